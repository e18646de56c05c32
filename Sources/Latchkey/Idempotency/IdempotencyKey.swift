package import HTTPTypes
import JOSE
import LibCrypto

/// The name that a caller gives a request, so that what it creates is created once however often it is sent
/// (draft-ietf-httpapi-idempotency-key-header-07 §2):
///
///     Idempotency-Key = DQUOTE name DQUOTE / name      ; sf-string of RFC 8941 §3.3.3; many send it without the quotes
///     name            = 1*128( %x21 / %x23-5B / %x5D-7E )
package struct IdempotencyKey: Sendable {
    package static let longest = 128

    let name: String

    /// nil where the request has none.
    ///
    /// - Throws: `Rejection.invalidRequest`.
    package init?(_ headers: HTTPFields) throws(Rejection) {
        let fields = headers[values: .idempotencyKey]
        guard let field = fields.first else { return nil }
        var bytes = Array(field.utf8)[...]
        if bytes.count >= 2, bytes.first == UInt8(ascii: "\""), bytes.last == UInt8(ascii: "\"") {
            bytes = bytes.dropFirst().dropLast()
        }
        guard fields.count == 1, (1...Self.longest).contains(bytes.count),
            bytes.allSatisfy({ (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") })
        else {
            throw .invalidRequest(
                description: "Idempotency-Key is 1 to 128 printable ASCII characters without space, quote or backslash."
            )
        }
        name = String(decoding: bytes, as: UTF8.self)
    }
}

extension HTTPField.Name {
    fileprivate static let idempotencyKey = HTTPField.Name(known: "idempotency-key")
}

/// A request that names itself: by whom it was sent, and to which route. Another caller's, or another route's, is another.
struct NamedRequest: Sendable {
    /// What the table knows it by. No caller, route or name holds a line end.
    let id: [UInt8]
    private let text: [UInt8]

    init(_ key: IdempotencyKey, from caller: String, to route: StaticString) {
        text = Array("\(caller)\n\(route)\n\(key.name)".utf8)
        id = SHA256.digest(text)
    }

    /// What seals its answer. It takes the name, which stands nowhere: a reader of the database who holds the master key
    /// still lacks that.
    func sealingKey(_ secret: SecretBytes, salt: [UInt8]) throws(CryptoError) -> SecretBytes {
        try HKDFSHA256.derive(from: secret, salt: salt, info: Array("answer\n".utf8) + text, count: 32)
    }

    /// A body may hold a password: what stands of it in the database must not let anybody guess.
    func fingerprint(of body: [UInt8], _ secret: SecretBytes, salt: [UInt8]) throws(CryptoError) -> [UInt8] {
        let key = try HKDFSHA256.derive(from: secret, salt: salt, info: Array("request\n".utf8) + text, count: 32)
        return HMACSHA256Key(key).authenticate(body)
    }
}
