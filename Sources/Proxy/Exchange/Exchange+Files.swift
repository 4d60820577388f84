import Bytes
import HTTP
import Platform
import Telemetry

/// The server's side of an exchange that is for a file.
struct FileSide {
    /// Whose file it is.
    var folder: ServedFolder?
    /// The file on its way to the client.
    var transfer: FileTransfer?
    /// Whole field lines that belong to an answer without a file.
    var fields: [UInt8] = []
}

/// An exchange whose server's side is a folder of files.
extension Exchange {
    private static let allowed = Array("Allow: GET, HEAD, OPTIONS\r\n".utf8)

    /// Answers with a file, or with why not.
    func serve(_ folder: ServedFolder, _ worker: Worker) {
        files.folder = folder
        site = folder.site
        worker.metrics.add(.fileRequests)
        if request.upgrade != nil {
            guard request.majorVersion == 1 else {
                respond(501, because: "a folder speaks no other protocol", worker)
                return
            }
            ignoreUpgrade()
        }
        switch request.method {
        case .get, .head: break
        case .options:
            answer = LocalAnswer(status: 204, contentType: [], body: nil, location: nil)
            refuse(204, Self.allowed, nil, worker)
            return
        case .post, .put, .delete, .trace, .patch, .connect, .other:
            refuse(405, Self.allowed, "files are only read", worker)
            return
        }
        do throws(FilePathError) {
            try worker.filePath.read(request.path, below: folder.prefix)
        } catch {
            if error.status == 400 { worker.metrics.add(.requestsRefused) }
            respond(error.status, because: "\(error.reason)", worker)
            return
        }
        let found = folder.find(worker.filePath, worker)
        switch consume found {
        case .file(let descriptor, let facts, let type): send(descriptor, facts, type, worker)
        case .folder: redirectToFolder(worker)
        case .refused(let status, let reason):
            if status == 503 { worker.metrics.add(.fileFailures) }
            respond(status, because: reason, worker)
        }
    }

    /// RFC 9110 §15.4.2: the files of a folder are named relative to it, so its path has to end with a slash.
    private func redirectToFolder(_ worker: Worker) {
        let location = FileAnswer.folder(request)
        answer = LocalAnswer(status: 301, contentType: [], body: nil, location: location)
        respond(301, because: nil, worker)
    }

    private func send(
        _ descriptor: consuming FileDescriptor,
        _ facts: FileVersion,
        _ type: StaticString,
        _ worker: Worker
    ) {
        var head = ByteQueue(pool: worker.buffers)
        let outcome = FileAnswer.write(
            request,
            facts,
            type: type,
            requestID: requestID,
            now: worker.unixSeconds,
            date: worker.date,
            into: &head
        )
        switch outcome {
        case .failed: respond(412, because: nil, worker)
        case .unsatisfiable: refuse(416, FileAnswer.unsatisfied(size: facts.size), nil, worker)
        case .body(let body):
            // Read as a server's answer is, so that one writer serves both.
            var parser = ResponseParser(limit: .max)
            guard (try? parser.parse(head.bytes, into: &response, requestMethod: request.method)) == head.count else {
                respond(500, because: "the head of a file is not valid", worker)
                return
            }
            response.isOwn = true
            begin(FileTransfer(descriptor, body), worker)
        }
    }

    /// The head is in `response`; the file follows it.
    private func begin(_ transfer: FileTransfer, _ worker: Worker) {
        guard makeForwardingContext(worker) != nil else { return }
        files.transfer = transfer
        state.serverTook(hasBody: request.framing != .none && request.framing != .length(0))
        status = response.status
        state.responseStarted()
        clientSide(worker)?.sendHead(response, self, worker)
        sendFile(worker)
    }

    /// Answers without a file, with field lines that belong to the status.
    private func refuse(_ status: Int, _ fields: [UInt8], _ reason: String?, _ worker: Worker) {
        files.fields = fields
        respond(status, because: reason, worker)
    }

    /// The next bytes of the file, as many as the client takes now.
    func sendFile(_ worker: Worker) {
        guard let transfer = files.transfer, state.response == .forwarding, let side = clientSide(worker) else {
            return
        }
        if worker.fileBuffer.isEmpty { worker.fileBuffer = [UInt8](repeating: 0, count: FileTransfer.block) }
        var sent = 0
        while side.takesResponse {
            guard sent < FileTransfer.block else {
                // Others have their turn, too.
                worker.sendFileLater(token)
                return
            }
            switch transfer.step(&worker.fileBuffer) {
            case .bytes(let count):
                side.sendBody(worker.fileBuffer.span.extracting(first: count), self, worker)
                sent += count
            case .text(let text): side.sendBody(text.span, self, worker)
            case .end:
                endResponse(trailers: HeaderBlock(), reuseServer: false, worker)
                return
            case .broken(let reason):
                breakFile(reason, worker)
                return
            }
        }
    }

    /// The rest of the file cannot be sent.
    func breakFile(_ reason: String, _ worker: Worker) {
        guard files.transfer != nil else { return }
        failure = reason
        worker.metrics.add(.fileFailures)
        perform(state.serverFailed(repeatable: false), failureStatus: 503, worker)
    }

    /// The client has room again.
    func wakeServer(_ worker: Worker) {
        if let server { worker.touch(server.connection) }
        if files.transfer != nil { worker.sendFileLater(token) }
    }
}
