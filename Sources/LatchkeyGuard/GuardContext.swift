internal import Hummingbird
internal import LatchkeyHummingbird
internal import LatchkeyVerifier
internal import NIOCore

/// What the guard knows of a request beside the request.
struct GuardContext: BearerRequestContext, RemoteAddressRequestContext {
    var coreContext: CoreRequestContextStorage
    var accessToken: AccessToken?
    /// The other end of the connection.
    let remoteAddress: SocketAddress?

    init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        remoteAddress = source.channel.remoteAddress
    }
}
