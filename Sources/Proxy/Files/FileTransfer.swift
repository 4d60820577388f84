import Bytes
import HTTP
import Platform

/// A file on its way to a client, read in blocks and only while the client takes them.
///
/// *Ownership:* its exchange owns it, and it owns the open file; it owns no memory of the file's contents.
///
/// Reading a block that is not in the page cache holds the worker up, as with other servers that read files in their
/// loop; the kernel reads ahead.
final class FileTransfer {
    /// So much is read at a time.
    static let block = 65_536

    enum Step {
        /// So many bytes lie in the buffer.
        case bytes(Int)
        case text([UInt8])
        case end
        /// The rest cannot be sent.
        case broken(String)
    }

    private let descriptor: FileDescriptor
    private var body: FileAnswer.Body
    private var next = 0
    private var hasText = false
    private var offset: UInt64 = 0

    init(_ descriptor: consuming FileDescriptor, _ body: FileAnswer.Body) {
        self.descriptor = consume descriptor
        self.body = body
    }

    /// What is next; what was answered before counts as sent.
    ///
    /// - Parameter buffer: has room for a block.
    func step(_ buffer: inout [UInt8]) -> Step {
        while next < body.parts.count {
            let part = body.parts[next]
            if !hasText {
                hasText = true
                offset = part.range.start
                if !part.text.isEmpty { return .text(part.text) }
            }
            if offset < part.range.end { return read(part.range.end - offset, &buffer) }
            next += 1
            hasText = false
        }
        guard body.end.isEmpty else {
            defer { body = FileAnswer.Body() }
            return .text(body.end)
        }
        return .end
    }

    /// What the file has not is not made up: a file that has become shorter ends its response.
    private func read(_ wanted: UInt64, _ buffer: inout [UInt8]) -> Step {
        let count = Int(min(wanted, UInt64(buffer.count)))
        do throws(Errno) {
            let read = try File.read(descriptor, at: offset, count, into: &buffer)
            guard read > 0 else { return .broken("the file has become shorter while it was sent") }
            offset += UInt64(read)
            return .bytes(read)
        } catch { return .broken("the file cannot be read: \(error)") }
    }
}
