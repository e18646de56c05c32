import Foundation
package import Hummingbird
import LatchkeyHummingbird
package import LatchkeyVerifier
internal import Logging
internal import Synchronization
package import NIOCore

/// What the server knows of a request beside the request.
package struct LatchkeyRequestContext: BearerRequestContext, RemoteAddressRequestContext {
    package var coreContext: CoreRequestContextStorage

    /// Names the request in every log line and in `X-Request-Id`.
    package internal(set) var requestID: String {
        didSet { logger[metadataKey: "request_id"] = .string(requestID) }
    }
    /// Hummingbird's own `id` reads a metadata key that this context drops.
    package var id: String { requestID }

    /// The connection.
    let channel: any Channel
    /// The other end of the connection: a proxy's where there is one.
    package let remoteAddress: SocketAddress?
    /// Whose `forwardedFor` is believed; see `callerAddress`.
    var proxies = TrustedProxies.none
    /// `X-Forwarded-For` as it came.
    var forwardedFor: String?

    /// The verified access token, once a middleware has verified one.
    package var accessToken: AccessToken?

    package init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        channel = source.channel
        remoteAddress = source.channel.remoteAddress
        // A property's first value runs no observer: the id is put into the logger below.
        requestID = RequestID.next()
        // One request, one id: not Hummingbird's counter beside ours.
        logger[metadataKey: "hb.request.id"] = nil
        logger[metadataKey: "request_id"] = .string(requestID)
    }
}

extension LatchkeyRequestContext {
    /// A parameter of the path, percent-decoded: Hummingbird hands it over as it came, and clients encode `@`.
    package func pathParameter(_ name: String) throws(Rejection) -> String {
        guard let text = parameters.get(name)?.removingPercentEncoding else {
            throw .invalidRequest(description: "The path is not percent-encoded UTF-8.")
        }
        return text
    }
}

/// The word that names a request.
enum RequestID {
    private static let ofProcess = UInt64.random(in: .min ... .max)
    private static let count = Atomic<UInt64>(.random(in: .min ... .max))

    /// 16 bytes in hexadecimal that no other request of any node bears: a random number of this process, and a count. It
    /// is a name, no secret; randomness from the kernel would cost each request two system calls.
    static func next() -> String {
        // Spread over all bits (the finaliser of SplitMix64), so that neighbours do not look alike in a log.
        var spread = count.wrappingAdd(0x9E37_79B9_7F4A_7C15, ordering: .relaxed).newValue
        spread = (spread ^ (spread >> 30)) &* 0xBF58_476D_1CE4_E5B9
        spread = (spread ^ (spread >> 27)) &* 0x94D0_49BB_1331_11EB
        let halves = (ofProcess, spread ^ (spread >> 31))
        return String(unsafeUninitializedCapacity: 32) { digits in
            for index in 0..<32 {
                let half = index < 16 ? halves.0 : halves.1
                let digit = UInt8(truncatingIfNeeded: half >> UInt64(60 - index % 16 * 4) & 0xF)
                digits[index] = digit < 10 ? 0x30 + digit : 0x57 + digit
            }
            return 32
        }
    }

    /// An id that came with the request, where it can do no harm in a log or a header: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    static func accepted(_ given: String?) -> String? {
        guard let given, (1...64).contains(given.utf8.count) else { return nil }
        let isHarmless = given.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        return isHarmless ? given : nil
    }
}
