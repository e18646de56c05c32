import LatchkeyVerifier
import NIOCore

extension LatchkeyRequestContext {
    /// Who asks, from where, in which request: for the audit log.
    package var origin: Origin {
        Origin(
            actor: accessToken.map { "\($0.isClients ? "client" : "user"):\($0.subject)" } ?? "anonymous",
            address: remoteAddress?.ipAddress,
            requestID: requestID)
    }
}
