/// A folder whose files are served.
public struct FileRoot: Sendable {
    /// Where it is.
    public let path: Located<String>
    /// The files that stand for a folder, the first that there is.
    public let index: [String]
    /// Whether it may lie on the disk in plain.
    public let allowsPlaintext: Bool
    /// Whether links are followed that stay inside.
    public let followsLinks: Bool
}

extension Configuration {
    /// A folder, and whose it is.
    public struct Served: Sendable {
        /// The site's place.
        public let site: Int
        /// The route's place in it; nil for what no route takes.
        public let route: Int?
        /// The folder.
        public let folder: FileRoot
    }

    /// Every folder that is served, in an order that all processes find alike.
    public var folders: [Served] {
        sites.enumerated().flatMap { index, site in
            let own = site.folder.map { [Served(site: index, route: nil, folder: $0)] } ?? []
            return own
                + site.routes.enumerated().compactMap { number, route in
                    guard case .folder(let folder) = route.action else { return nil }
                    return Served(site: index, route: number, folder: folder)
                }
        }
    }
}
