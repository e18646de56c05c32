internal import Foundation

/// What a service shows where the feed is not for everyone (`LATCHKEY_FEED_ACCESS`): a confidential client's id and
/// secret, sent by HTTP Basic to the feed's address alone.
public struct FeedCredentials: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private let clientID: String
    private let secret: String

    public init(clientID: String, secret: String) {
        self.clientID = clientID
        self.secret = secret
    }

    /// `Authorization: Basic …` (RFC 6749 §2.3.1: both are form-encoded first).
    var header: (String, String) {
        (
            "authorization",
            "Basic " + Data("\(Self.encoded(clientID)):\(Self.encoded(secret))".utf8).base64EncodedString()
        )
    }

    private static func encoded(_ text: String) -> String {
        text.addingPercentEncoding(
            withAllowedCharacters: .alphanumerics.intersection(.init(charactersIn: "\u{21}"..."\u{7e}")).union(
                .init(charactersIn: "-._~"))) ?? ""
    }

    public var description: String { "****" }
    public var debugDescription: String { "****" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
