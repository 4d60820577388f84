import Foundation
import Platform
import Support
import Testing

/// While a reload is under way, the generation before it serves.
@Suite("Deaths during a reload", .serialized) struct OldGenerationTests {
    let supervised: Supervised

    init() throws { supervised = try Supervised() }

    /// Reloads, and stops the new workers before they serve.
    private func beginReload(_ everyhop: EveryhopProcess, workers count: Int) throws -> Set<Int32> {
        for attempt in 1...20 {
            let old = Set(try everyhop.workers())
            let ready = everyhop.log.components(separatedBy: "ready generation").count
            try supervised.changeDrain(to: 10 + attempt)
            everyhop.signal(SIGHUP)
            var stopped: Set<Int32> = []
            let isReady = { everyhop.log.components(separatedBy: "ready generation").count > ready }
            try waitUntil("new workers:\n\(everyhop.log)") {
                for worker in supervised.children(everyhop, "worker") where !old.contains(worker) {
                    if stopped.insert(worker).inserted { kill(worker, SIGSTOP) }
                }
                return stopped.count == count || isReady()
            }
            if !isReady() { return stopped }
            // They were faster.
            for worker in stopped { kill(worker, SIGCONT) }
            try waitUntil("the end of the old workers") { try everyhop.workers().count == count }
        }
        throw DeadlinePassed(description: "new workers are always faster than this test")
    }

    @Test(arguments: [1, 2], [SIGCONT, SIGKILL])
    func `a worker that dies meanwhile has its place taken`(_ count: Int, _ end: Int32) throws {
        let everyhop = try supervised.start(workers: count)
        let next = try beginReload(everyhop, workers: count)
        let old = try #require(try everyhop.workers().first { !next.contains($0) })
        kill(old, SIGKILL)
        try everyhop.waitForLog("died; its connections are lost")
        // Its sockets go on to get clients, while nobody else has begun to serve.
        for _ in 0..<12 { #expect(supervised.isServed, "\(everyhop.log)") }
        for worker in next { kill(worker, end) }
        if end == SIGKILL {
            try everyhop.waitForLog("the new configuration cannot be served, the present one stays")
        } else {
            try waitUntil("only new workers:\n\(everyhop.log)") { try Set(everyhop.workers()) == next }
        }
        for _ in 0..<12 { #expect(supervised.isServed, "\(everyhop.log)") }
        try waitUntil("\(count) workers:\n\(everyhop.log)") { try everyhop.workers().count == count }
    }
}
