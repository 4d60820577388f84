// swift-tools-version: 6.2
import PackageDescription

// Every Swift target: language mode 6, typed throws and spans, no warning left standing.
let base: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
    .treatAllWarnings(as: .error),
    // No process has a second thread: reference counts need no locked instructions (docs/performance.md).
    .unsafeFlags(["-Xfrontend", "-assume-single-threaded"], .when(configuration: .release)),
]

// Targets that parse what others send: every unsafe expression has to be marked.
let pure: [SwiftSetting] = base + [.strictMemorySafety()]

let package = Package(
    name: "everyhop",
    products: [
        .executable(name: "everyhop", targets: ["Proxy"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    ],
    targets: [
        // Layer 0: C that Swift cannot reach otherwise, and bytes.
        .target(name: "CLinux"),
        .systemLibrary(name: "CNghttp2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .target(
            name: "CTOML",
            // NDEBUG: with assertions on, some invalid files abort toml++ instead of being refused.
            cxxSettings: [
                .define("TOML_HEADER_ONLY", to: "1"), .define("TOML_EXCEPTIONS", to: "0"), .define("NDEBUG"),
            ]
        ),
        .target(name: "CSigner", dependencies: ["COpenSSL"]),
        .target(name: "Bytes", swiftSettings: pure),
        // Layer 1: pure machines, and the operating system.
        .target(name: "Config", dependencies: ["Bytes", "CTOML"], swiftSettings: pure),
        .target(name: "HTTP", dependencies: ["Bytes"], swiftSettings: pure),
        .target(name: "Database", dependencies: ["Bytes"], swiftSettings: pure),
        .target(name: "Platform", dependencies: ["Bytes", "CLinux"], swiftSettings: base),
        // Layer 2
        .target(name: "TLS", dependencies: ["Bytes", "Platform", "COpenSSL", "CSigner"], swiftSettings: base),
        .target(name: "HTTP2", dependencies: ["Bytes", "HTTP", "CNghttp2"], swiftSettings: base),
        .target(
            name: "Telemetry",
            dependencies: ["Bytes", "Platform", .product(name: "Logging", package: "swift-log")],
            swiftSettings: base
        ),
        // Layer 3: probes of every hop, at-rest checks, reports.
        .target(
            name: "Evidence",
            dependencies: ["Bytes", "Config", "Database", "HTTP", "Platform", "TLS", "Telemetry"],
            swiftSettings: base
        ),
        // Certificates from authorities.
        .target(name: "ACME", dependencies: ["Config", "Platform", "TLS"], swiftSettings: base),
        // Layer 4: the program.
        .executableTarget(
            name: "Proxy",
            dependencies: [
                "ACME", "Bytes", "Config", "Database", "Evidence", "HTTP", "HTTP2", "Platform", "TLS", "Telemetry",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: base
        ),
        // Not installed: mutated input for the parsers.
        .executableTarget(
            name: "Fuzz",
            dependencies: [
                "Bytes", "Config", "Database", "HTTP", "HTTP2", "TLS",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: base
        ),
        // Not installed: the pure parts, for callgrind to count their instructions.
        .executableTarget(
            name: "Instructions",
            dependencies: ["Bytes", "Database", "HTTP", "HTTP2", "Platform", "Telemetry"],
            swiftSettings: base
        ),
        .testTarget(name: "BytesTests", dependencies: ["Bytes"], swiftSettings: base),
        .testTarget(name: "ConfigTests", dependencies: ["Config"], swiftSettings: base),
        .testTarget(name: "DatabaseTests", dependencies: ["Bytes", "Database"], swiftSettings: base),
        .testTarget(name: "HTTPTests", dependencies: ["Bytes", "HTTP", "Support"], swiftSettings: base),
        .testTarget(name: "HTTP2Tests", dependencies: ["Bytes", "HTTP", "HTTP2", "Support"], swiftSettings: base),
        .testTarget(name: "PlatformTests", dependencies: ["Bytes", "Platform", "Support"], swiftSettings: base),
        .testTarget(
            name: "TLSTests",
            dependencies: ["Bytes", "COpenSSL", "Platform", "Support", "TLS"],
            swiftSettings: base
        ),
        .testTarget(name: "TelemetryTests", dependencies: ["Bytes", "Platform", "Telemetry"], swiftSettings: base),
        .testTarget(
            name: "EvidenceTests",
            dependencies: ["Bytes", "Config", "Database", "Evidence", "Platform", "Support", "TLS"],
            swiftSettings: base
        ),
        .testTarget(
            name: "ACMETests",
            dependencies: ["ACME", "Config", "Platform", "Support", "TLS"],
            swiftSettings: base
        ),
        .testTarget(
            name: "ProxyTests",
            dependencies: ["ACME", "Bytes", "Config", "Evidence", "HTTP", "Platform", "Proxy", "TLS"],
            swiftSettings: base
        ),
        .target(
            name: "Support",
            dependencies: ["Bytes", "CNghttp2", "Platform", "TLS"],
            path: "Tests/Support",
            swiftSettings: base
        ),
        .testTarget(
            name: "EndToEndTests",
            dependencies: ["ACME", "Bytes", "Evidence", "Platform", "TLS", "Support", "Proxy"],
            swiftSettings: base
        ),
    ],
    cxxLanguageStandard: .cxx17
)
