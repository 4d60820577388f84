public import Bytes
import CLinux
import Glibc

/// What a descriptor waits for.
public struct Interest: OptionSet, Sendable {
    /// The bits.
    public let rawValue: UInt8
    /// Makes a set from bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Bytes to read, a connection to accept, or the peer's end of stream.
    public static let read = Interest(rawValue: 1)
    /// Room to write, or the outcome of a connection attempt.
    public static let write = Interest(rawValue: 2)
}

/// What became of a descriptor.
public struct Readiness: OptionSet, Sendable {
    /// The bits.
    public let rawValue: UInt8
    /// Makes a set from bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Reading would not block.
    public static let readable = Readiness(rawValue: 1)
    /// Writing would not block.
    public static let writable = Readiness(rawValue: 2)
    /// The connection failed or both directions are closed; a read or write says why.
    public static let hangUp = Readiness(rawValue: 4)
}

/// One epoll(7) instance, level-triggered, which names what is ready by token.
///
/// A token of a closed connection finds nothing in its slab, so a late event does no harm.
public final class Poller {
    private let descriptor: FileDescriptor
    private let events: UnsafeMutableBufferPointer<epoll_event>
    /// How many waits there have been.
    public private(set) var turns: UInt64 = 0

    /// Opens an instance that reports at most `batch` events per wait.
    public init(batch: Int = 256) throws(Errno) {
        let raw = epoll_create1(CInt(EPOLL_CLOEXEC))
        guard raw >= 0 else { throw Errno(in: "epoll_create1") }
        descriptor = FileDescriptor(owning: raw)
        events = .allocate(capacity: batch)
    }

    deinit { events.deallocate() }

    /// Starts watching; the kernel stops by itself when the descriptor is closed.
    public func add(_ watched: borrowing FileDescriptor, _ token: Token, _ interest: Interest) throws(Errno) {
        try control(EPOLL_CTL_ADD, watched.raw, token, interest)
    }

    /// Changes what is waited for.
    public func change(_ watched: borrowing FileDescriptor, _ token: Token, _ interest: Interest) throws(Errno) {
        try control(EPOLL_CTL_MOD, watched.raw, token, interest)
    }

    /// Stops watching a descriptor that stays open.
    public func remove(_ watched: borrowing FileDescriptor) {
        _ = epoll_ctl(descriptor.raw, EPOLL_CTL_DEL, watched.raw, nil)
    }

    /// Waits for events.
    ///
    /// - Parameter milliseconds: how long at most; -1 without end.
    /// - Returns: how many events `event(at:)` can now tell.
    public func wait(milliseconds: CInt) throws(Errno) -> Int {
        turns &+= 1
        if let count = try take(milliseconds) { return count }
        // It was stopped and goes on: what has come meanwhile comes before deadlines that have passed meanwhile.
        return try take(0) ?? 0
    }

    /// The same; nil when a signal came instead.
    private func take(_ milliseconds: CInt) throws(Errno) -> Int? {
        let count = epoll_wait(descriptor.raw, events.baseAddress, CInt(events.count), milliseconds)
        if count >= 0 { return Int(count) }
        guard errno == EINTR else { throw Errno(in: "epoll_wait") }
        return nil
    }

    /// One event of the last wait.
    public func event(at index: Int) -> (token: Token, readiness: Readiness) {
        let event = events[index]
        var readiness = Readiness()
        if event.events & (EPOLLIN.rawValue | EPOLLRDHUP.rawValue) != 0 { readiness.insert(.readable) }
        if event.events & EPOLLOUT.rawValue != 0 { readiness.insert(.writable) }
        if event.events & (EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 { readiness.insert(.hangUp) }
        return (Token(rawValue: event.data.u64), readiness)
    }

    private func control(_ call: CInt, _ watched: CInt, _ token: Token, _ interest: Interest) throws(Errno) {
        var event = epoll_event()
        if interest.contains(.read) { event.events |= EPOLLIN.rawValue }
        if interest.contains(.write) { event.events |= EPOLLOUT.rawValue }
        event.data.u64 = token.rawValue
        guard epoll_ctl(descriptor.raw, call, watched, &event) == 0 else { throw Errno(in: "epoll_ctl") }
    }
}
