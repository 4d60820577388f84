/// A folder of reports, for those who only want to know the newest.
public enum ReportFolder {
    /// The newest report among the names of a folder's files; nil when there is none.
    public static func newest(of names: [String]) -> String? { ReportName.all(of: names).last?.description }
}
