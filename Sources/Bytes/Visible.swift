/// Text of strangers that people are shown: server names, certificates, alerts and files may say anything.
public enum Visible {
    /// The text with every character that would not be seen, or would change how others are seen, spelled out.
    ///
    /// - Parameter keepsLines: whether line ends stay as they are.
    public static func text(_ text: String, keepsLines: Bool = false) -> String {
        guard text.unicodeScalars.contains(where: isHidden) else { return text }
        return text.unicodeScalars.reduce(into: "") { result, scalar in
            if isHidden(scalar), !(keepsLines && scalar == "\n") {
                result += "\\u{\(String(scalar.value, radix: 16))}"
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
    }

    /// Control characters, line and paragraph ends, and what turns the direction of writing.
    public static func isHidden(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: true
        default: false
        }
    }
}
