import Foundation
import Platform
import Support
import Testing

/// Nothing that a child does holds the master up.
@Suite("The master's turn", .serialized) struct MasterTurnTests {
    let supervised: Supervised

    init() throws { supervised = try Supervised() }

    @Test(arguments: ["worker", "monitor"])
    func `a child that never stops talking keeps nobody else waiting`(_ kind: String) throws {
        let everyhop = try supervised.start()
        let child = try #require(supervised.children(everyhop, kind).first)
        // It says that it is there, as fast as its channel takes it.
        let talker = try supervised.python(
            """
            import ctypes, os, select
            channel = ctypes.CDLL(None, use_errno=True).syscall(438, os.pidfd_open(\(child)), 3, 0)
            assert channel >= 0, os.strerror(ctypes.get_errno())
            pongs = bytes([51, 0, 0, 0, 0, 0]) * 1000
            print("talks", flush=True)
            while True:
                try: os.write(channel, pongs)
                except BlockingIOError: select.select([], [channel], [])
            """
        )
        defer { talker.end() }
        #expect(try supervised.askAdmin("/healthz").hasSuffix("ok\n"))
        try supervised.changeDrain(to: 6)
        let result = try supervised.reloaded.reload()
        #expect(result.status == 0 && result.text.contains("generation 2 serves"), "\(result.text)\n\(everyhop.log)")
        #expect(supervised.isServed)
    }

    @Test func `a helper that does not end although it was killed is not waited for`() throws {
        let everyhop = try supervised.start(more: "[audit]\nprobe_interval = \"1h\"")
        try waitUntil("the prober") { supervised.children(everyhop, "prober").count == 1 }
        let prober = try #require(supervised.children(everyhop, "prober").first)
        let holder = try supervised.keep(prober)
        try supervised.changeDrain(to: 6)
        let result = try supervised.reloaded.reload()
        #expect(result.status == 0 && result.text.contains("generation 2 serves"), "\(result.text)")
        #expect(supervised.isServed)
        try everyhop.waitForLog("the prober was killed and does not end; it is not waited for")
        // Another one does its work.
        #expect(supervised.children(everyhop, "prober").contains { $0 != prober })
        holder.end()
        try waitUntil("the old prober's end") { kill(prober, 0) != 0 }
    }

    @Test(arguments: ["worker", "monitor"])
    func `the place of a child that does not end although it was killed is taken`(_ kind: String) throws {
        let everyhop = try supervised.start()
        let child = try #require(supervised.children(everyhop, kind).first)
        let holder = try supervised.keep(child)
        // What makes no sense has it killed.
        let talker = try supervised.python(
            """
            import ctypes, os, time
            channel = ctypes.CDLL(None, use_errno=True).syscall(438, os.pidfd_open(\(child)), 3, 0)
            assert channel >= 0, os.strerror(ctypes.get_errno())
            os.write(channel, bytes([255]) * 64)
            print("talked", flush=True)
            time.sleep(600)
            """
        )
        talker.end()
        let name = kind == "worker" ? "worker 0" : kind
        try everyhop.waitForLog("the \(name) was killed and does not end; it is not waited for")
        try waitUntil("another one:\n\(everyhop.log)") {
            supervised.children(everyhop, kind).contains { $0 != child } && supervised.isServed
        }
        #expect(try supervised.askAdmin("/healthz").hasSuffix("ok\n"))
        holder.end()
        try waitUntil("the old one's end") { kill(child, 0) != 0 }
    }

    @Test func `a loader that does not end is not waited for`() throws {
        let everyhop = try supervised.start()
        let worker = try #require(try everyhop.workers().first)
        let loader = try supervised.stopLoader(of: everyhop)
        let log = everyhop.log
        let niceness = Priority.niceness(of: everyhop.process)
        try waitUntil("a loader that gives way") {
            Priority.niceness(of: loader) == min(19, niceness + Priority.step)
        }
        let holder = try supervised.keep(loader)
        kill(loader, SIGKILL)
        kill(worker, SIGKILL)
        try everyhop.waitForLog("worker 0 serves", count: 2)
        #expect(supervised.isServed)
        #expect(!everyhop.log.dropFirst(log.count).contains("reload refused"))
        holder.end()
        try everyhop.waitForLog("the loader ended with signal 9")
        // Whoever has begun to serve gives way to nobody.
        try supervised.changeDrain(to: 6)
        #expect(try supervised.reloaded.reload().status == 0)
        for process in try everyhop.workers() { #expect(Priority.niceness(of: process) == niceness) }
    }

    @Test func `a monitor whose place is taken answers whom it has let in, and then ends`() throws {
        let everyhop = try supervised.start()
        let monitor = try #require(supervised.children(everyhop, "monitor").first)
        let begin = Clock.monotonicMicroseconds()
        let asking = try Connection(to: supervised.admin, nil)
        try asking.send("GET /metrics HTTP/1.1\r\nHost: local")
        let silent = try Connection(to: supervised.admin, nil)
        // They are let in in this order.
        #expect(try supervised.askAdmin("/healthz").hasSuffix("ok\n"))
        try supervised.changeDrain(to: 6)
        #expect(try supervised.reloaded.reload().status == 0)
        #expect(try supervised.askAdmin("/healthz").hasSuffix("ok\n"))
        #expect(supervised.children(everyhop, "monitor").contains { $0 != monitor })
        try asking.send("host\r\n\r\n")
        let answer = asking.receiveAll()
        // Nobody has more than five seconds to ask, on a busy machine neither.
        let isLate = Clock.monotonicMicroseconds() - begin > 4_500_000
        #expect(isLate || (answer.hasPrefix("HTTP/1.1 200 OK\r\n") && answer.hasSuffix("\n")), "\(answer)")
        // Who says nothing is not waited for without end.
        try waitUntil("the old monitor's end") { !supervised.children(everyhop, "monitor").contains(monitor) }
        #expect(silent.receiveAll() == "")
    }
}
