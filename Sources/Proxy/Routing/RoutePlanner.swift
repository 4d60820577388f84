import Config
import HTTP

/// How large a request may be, how long its server may take, and what is changed in messages.
struct RouteLimits {
    let bodyBytes: UInt64
    let timeouts: Upstream.Timeouts
    let rules: SiteRules
}

/// From the routes of a configuration to what becomes of requests, decided once for all of them.
struct RoutePlanner {
    private let configuration: Configuration
    private let bundle: Bundle
    private let folders: [ServedFolder]
    private(set) var limits: [RouteLimits] = []

    /// - Parameters:
    ///   - bundle: holds the files that answers are read from.
    ///   - folders: in the order of `Configuration.folders`.
    init(_ configuration: Configuration, _ bundle: Bundle, _ folders: [ServedFolder]) {
        self.folders = folders
        self.configuration = configuration
        self.bundle = bundle
    }

    /// What a bundle calls the file of an answer.
    static func answerName(_ path: String) -> String { "answer.\(path)" }

    /// What becomes of requests that no route takes.
    mutating func end(ofSite site: Int) -> Snapshot.Decision {
        if configuration.sites[site].folder != nil { return folder(site, nil) }
        guard let upstream = configuration.sites[site].upstream else {
            return .denied(404, "no route takes the request", site: site)
        }
        return forward(to: upstream.value, site, nil)
    }

    /// What becomes of the requests of each route.
    mutating func ends(ofRoutes site: Int) -> [Snapshot.Decision] {
        configuration.sites[site].routes.enumerated().map { index, route in
            switch route.action {
            case .folder: folder(site, index)
            case .upstream(let upstream): forward(to: upstream.value, site, route)
            case .respond(let answer): .answer(LocalAnswer(answer, bundle), site: site)
            case .redirect(let redirection): .answer(LocalAnswer(redirection), site: site)
            }
        }
    }

    private func folder(_ site: Int, _ route: Int?) -> Snapshot.Decision {
        let index = configuration.folders.firstIndex { $0.site == site && $0.route == route }
        guard let index, folders.indices.contains(index) else { return .denied(503, "no folder", site: site) }
        return .folder(folders[index])
    }

    private mutating func forward(to upstream: String, _ site: Int, _ route: SiteRoute?) -> Snapshot.Decision {
        let pool = configuration.upstreams.firstIndex { $0.name == upstream } ?? 0
        let settings = configuration.sites[site]
        limits.append(
            RouteLimits(
                bodyBytes: route?.bodyBytes ?? configuration.server.limits.bodyBytes ?? .max,
                timeouts: configuration.upstreams[pool].timeouts.changed(by: route?.timeouts),
                rules: SiteRules(
                    route?.rewriting ?? settings.rewriting,
                    of: settings,
                    to: configuration.upstreams[pool]
                )
            )
        )
        return .upstream(Route(site: site, pool: pool, limits: limits.count - 1))
    }
}

extension LocalAnswer {
    fileprivate convenience init(_ answer: StaticAnswer, _ bundle: Bundle) {
        let body: [UInt8]? =
            switch answer.body {
            case .page: nil
            case .text(let text): Array(text.utf8)
            case .file(let path): bundle.resources[RoutePlanner.answerName(path.value)] ?? []
            }
        self.init(status: answer.status, contentType: Array(answer.contentType.utf8), body: body, location: nil)
    }

    fileprivate convenience init(_ redirection: Redirection) {
        self.init(
            status: redirection.status,
            contentType: [],
            body: nil,
            location: Array(redirection.location.utf8)
        )
    }
}
