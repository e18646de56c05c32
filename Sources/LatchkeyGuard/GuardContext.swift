package import Hummingbird
package import LatchkeyHummingbird
package import LatchkeyVerifier
package import NIOCore

/// What the guard knows of a request beside the request.
package struct GuardContext: BearerRequestContext, RemoteAddressRequestContext {
    package var coreContext: CoreRequestContextStorage
    package var accessToken: AccessToken?
    /// The other end of the connection.
    package let remoteAddress: SocketAddress?

    package init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        remoteAddress = source.channel.remoteAddress
    }
}
