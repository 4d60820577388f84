import Foundation
import Platform

/// A network of its own beside this one, joined by one wire on which packets can be lost (network namespaces, nftables).
///
/// It goes away with the test. Needs root.
public final class TestNetwork: Sendable {
    /// The namespace's name, for `ip netns exec`.
    public let name: String
    /// This side's address on the wire.
    public let here: String
    /// The other network's address.
    public let there: String

    /// Makes it, with nothing lost.
    public init() throws {
        let mark = String(UInt32.random(in: 0...0xFF_FFFF), radix: 16)
        name = "everyhop-\(mark)"
        let (second, third) = (UInt8.random(in: 100...250), UInt8.random(in: 1...250))
        here = "10.\(second).\(third).1"
        there = "10.\(second).\(third).2"
        try LoopVolume.run(["ip", "netns", "add", name])
        try LoopVolume.run(
            ["ip", "link", "add", "eh\(mark)a", "type", "veth", "peer", "name", "eh\(mark)b", "netns", name]
        )
        try LoopVolume.run(["ip", "address", "add", "\(here)/30", "dev", "eh\(mark)a"])
        try LoopVolume.run(["ip", "link", "set", "eh\(mark)a", "up"])
        try inside(["ip", "address", "add", "\(there)/30", "dev", "eh\(mark)b"])
        try inside(["ip", "link", "set", "eh\(mark)b", "up"])
        try inside(["ip", "link", "set", "lo", "up"])
    }

    // What runs in it has to have ended; the wire goes with the namespace.
    deinit {
        _ = try? Shell.run(["ip", "netns", "delete", name], merged: true)
    }

    /// The beginning of a command that runs in the other network.
    public var prefix: [String] { ["ip", "netns", "exec", name] }

    /// Runs a program in the other network, which has to succeed.
    @discardableResult
    public func inside(_ arguments: [String]) throws -> String { try LoopVolume.run(prefix + arguments) }

    /// Loses what a rule of nftables matches, in both directions; what was lost before passes again.
    ///
    /// - Parameter match: such as `numgen random mod 100 < 20`; empty for all.
    public func lose(_ match: String) throws {
        try pass()
        try inside(["nft", "add", "table", "inet", "loss"])
        for (hook, device) in [("input", "iifname"), ("output", "oifname")] {
            try inside(["nft", "add chain inet loss \(hook) { type filter hook \(hook) priority 0; }"])
            try inside(["nft", "add rule inet loss \(hook) \(device) != \"lo\" \(match) drop"])
        }
    }

    /// Loses nothing any more.
    public func pass() throws { _ = try Shell.run(prefix + ["nft", "delete", "table", "inet", "loss"], merged: true) }
}
