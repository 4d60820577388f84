import Bytes
import Config
import Platform
import Telemetry

/// What is under way to change what is served, who waits for it, and what is watched; one change at a time.
struct ChangeState {
    /// The loader at work.
    var load: LoadTask?
    /// Certificates and trust on their way into living workers.
    var replacement: Replacement?
    /// Whether files have changed that may be replaced.
    var wantsRefresh = false
    /// The configuration as it was last asked for: by the start, or by a reload that was done.
    var asked: Bundle?
    /// Warnings of the loader about what is on its way.
    var findings = ""
    /// What its files looked like before they were read.
    var seen: [String: FileSignature]?
    /// What a worker that could not serve has said last.
    var workerFailure: String?
    /// Counts replacements.
    var number = 0
    /// Whose commands wait for the reload that runs, and for the one after it.
    var asking: [Token] = []
    var waiting: [Token] = []
    /// In which order the retired page counts.
    var retiredNames: MetricsNames
    /// The ticket keys of a generation that does not serve yet, where a file has them.
    var ticketKeys: [UInt8]?

    init(_ configuration: Configuration) { retiredNames = MetricsNames(configuration) }
}

/// How a reload has ended.
enum ReloadOutcome {
    /// What was asked for serves; how, in words.
    case done(String)
    /// The one before goes on; why.
    case refused(String)
    /// Nothing has ended: the program that takes over is the one to ask.
    case left
}
