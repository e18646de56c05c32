import HTTPTypes
package import Hummingbird
import JOSE
import LibCrypto

/// `GET /.well-known/jwks.json` (RFC 7517 §5): encoded once, conditional (RFC 9110 §13.1.2), for anybody.
package struct JWKSRoutes: Sendable {
    package static let path = "/.well-known/jwks.json"

    private let ring: KeyRing
    private let use: KeyUse

    package init(_ ring: KeyRing, use: KeyUse) {
        self.ring = ring
        self.use = use
    }

    package func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.get(RouterPath(Self.path)) { request, _ in
            guard let jwks = ring.jwks else { throw Rejection.unavailable(retryAfter: 1) }
            // HEAD brings nobody a key.
            if request.method == .get { use.fetched(by: Self.report(request.headers), served: jwks.kids) }
            if request.headers.contains(.ifNoneMatch),
                Self.holds(request.headers[values: .ifNoneMatch], jwks.etag)
            {
                return jwks.notModified
            }
            return jwks.answer
        }
    }

    /// nil where there is none, or none that can be read. Most have none: looking for it is one walk.
    private static func report(_ headers: HTTPFields) -> VerifierReport? {
        guard headers.contains(.latchkeyVerifier) else { return nil }
        return headers[.latchkeyVerifier].flatMap { VerifierReport($0) }
    }

    /// Weak comparison, as If-None-Match asks for it (RFC 9110 §13.1.2).
    static func holds(_ fields: [String], _ etag: String) -> Bool {
        fields.contains { field in
            field.utf8.split(separator: UInt8(ascii: ",")).contains { part in
                var tag = part.drop { $0 == 0x20 || $0 == 0x09 }
                while let last = tag.last, last == 0x20 || last == 0x09 { tag = tag.dropLast() }
                if tag.elementsEqual("*".utf8) { return true }
                if tag.starts(with: "W/".utf8) { tag = tag.dropFirst(2) }
                return tag.elementsEqual(etag.utf8)
            }
        }
    }
}

/// The JWKS as it is served, encoded once.
package struct EncodedJWKS: Sendable {
    /// A strong validator (RFC 9110 §8.8.3).
    package let etag: String
    /// The keys in it.
    package let kids: [String]
    let answer: Response
    let notModified: Response

    /// - Parameter maxAge: in seconds.
    init(_ keys: JSONWebKeySet, maxAge: Int64) {
        let body = keys.encoded()
        kids = keys.keys.map(\.keyID)
        etag = "\"\(Base64URL.encode(SHA256.digest(body)))\""
        let headers: HTTPFields = [
            .contentType: "application/json", .cacheControl: "public, max-age=\(maxAge)", .eTag: etag,
            .accessControlAllowOrigin: "*",
        ]
        answer = Response(status: .ok, headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: body)))
        notModified = Response(status: .notModified, headers: headers)
    }
}
