import LatchkeyVerifier
import NIOCore

extension LatchkeyRequestContext {
    /// Who asks, from where, in which request: for the audit log.
    package var origin: Origin {
        Origin(
            actor: accessToken.map { "\($0.isClients ? "client" : "user"):\($0.subject)" } ?? "anonymous",
            address: callerAddress?.text,
            requestID: requestID)
    }

    /// Where the request came from: the other end of the connection, or what a trusted proxy says it was.
    package var callerAddress: IPAddress? {
        guard let peer = remoteAddress?.ipAddress.flatMap(IPAddress.init) else { return nil }
        return proxies.caller(peer: peer, forwardedFor: forwardedFor)
    }
}
