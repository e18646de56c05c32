internal import HTTPTypes

/// The headers that both faces of a rejection carry.
extension Rejection {
    static let realm = "latchkey"

    /// RFC 6750 §3: how to authenticate, and why the token did not do.
    static func challenge(error: String? = nil, description: String? = nil, scope: String? = nil) -> HTTPFields {
        let parameters: [(String, String?)] = [
            ("realm", realm), ("error", error), ("error_description", description), ("scope", scope),
        ]
        let text = parameters.compactMap { name, value in
            value.map { "\(name)=\"\(ErrorText.restricted($0))\"" }
        }
        return [.wwwAuthenticate: "Bearer \(text.joined(separator: ", "))"]
    }

    /// RFC 6749 §5.2: clients authenticate with HTTP Basic.
    static let clientChallenge: HTTPFields = [.wwwAuthenticate: "Basic realm=\"\(realm)\""]

    static func allow(_ methods: [String]) -> HTTPFields {
        [.allow: methods.joined(separator: ", ")]
    }

    /// RFC 9110 §12.5.3: no content coding is understood.
    static let noCoding: HTTPFields = [.acceptEncoding: "identity"]

    /// RFC 9110 §10.2.3, whole seconds, at least one.
    static func retry(after seconds: Int) -> HTTPFields {
        [.retryAfter: String(max(1, seconds))]
    }
}

/// The character set of `error_description` and of the challenge's values.
enum ErrorText {
    /// RFC 6749 §5.2 and RFC 6750 §3: %x20-21 / %x23-5B / %x5D-7E, so that a text can neither leave its quotes nor
    /// its header line. Quotes become apostrophes, all else a question mark.
    static func restricted(_ text: String) -> String {
        String(
            decoding: text.utf8.map { byte in
                switch byte {
                case 0x20...0x21, 0x23...0x5B, 0x5D...0x7E: byte
                case UInt8(ascii: "\""): UInt8(ascii: "'")
                default: UInt8(ascii: "?")
                }
            }, as: UTF8.self)
    }
}
