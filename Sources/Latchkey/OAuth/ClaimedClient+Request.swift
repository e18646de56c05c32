import Foundation
package import HTTPTypes
import JOSE

/// Client authentication as requests carry it (RFC 6749 §2.3.1):
///
///     Authorization: Basic BASE64( form-encoded client_id ":" form-encoded client_secret )
///     …&client_id=…&client_secret=…
///     …&client_id=…                        a public client names itself
///
/// One of them, and not two.
extension ClaimedClient {
    /// nil where the request says nothing of its client.
    ///
    /// - Throws: `Rejection.invalidRequest` for two methods at once; `.invalidClient` for one that we do not take, and
    ///   for credentials that are none.
    package init?(_ form: FormBody, _ headers: HTTPFields) throws(Rejection) {
        let fields = headers[values: .authorization]
        let id = form.optional("client_id")
        let secret = form.optional("client_secret")
        // RFC 7523: a third method, which nobody here is registered for.
        let isAsserted = form.optional("client_assertion") != nil || form.optional("client_assertion_type") != nil
        guard fields.count + (secret == nil ? 0 : 1) + (isAsserted ? 1 : 0) <= 1 else {
            throw .invalidRequest(description: "Authenticate the client by one method, not by two (RFC 6749 2.3).")
        }
        if let field = fields.first {
            let (basicID, basicSecret) = try Self.basic(field)
            guard id.map({ $0.isSameText(as: basicID) }) ?? true else {
                throw .invalidRequest(description: "The parameter client_id names another client than the header.")
            }
            self.init(
                id: basicID, method: .clientSecretBasic, secret: ClientSecret(presented: basicSecret))
        } else if let secret {
            guard let id else { throw .invalidClient }
            self.init(id: id, method: .clientSecretPost, secret: ClientSecret(presented: secret))
        } else if isAsserted {
            throw .invalidClient
        } else if let id {
            self.init(id: id, method: .none, secret: nil)
        } else {
            return nil
        }
    }

    /// RFC 7617 §2 with the encoding of RFC 6749 §2.3.1. Read as bytes, and strictly: one spelling for each text.
    private static func basic(_ field: String) throws(Rejection) -> (id: String, secret: String) {
        let bytes = Array(field.utf8)
        let scheme = bytes.prefix { $0 != 0x20 }
        let encoded = Array(bytes.dropFirst(scheme.count).drop { $0 == 0x20 })
        guard scheme.map({ $0 | 0x20 }) == Array("basic".utf8), let data = Data(base64Encoded: Data(encoded)),
            // Foundation takes base64 with bits left over in its tail.
            Array(data.base64EncodedString().utf8) == encoded, let colon = data.firstIndex(of: UInt8(ascii: ":"))
        else { throw .invalidClient }
        do {
            return (
                try FormBody.decoded(ArraySlice(data[..<colon])),
                try FormBody.decoded(ArraySlice(data[data.index(after: colon)...]))
            )
        } catch {
            throw .invalidClient
        }
    }
}
