public import Hummingbird
public import LatchkeyVerifier

/// A request context with a verified access token, for services that need nothing else in theirs.
public struct BearerContext: BearerRequestContext {
    public var coreContext: CoreRequestContextStorage
    public var accessToken: AccessToken?

    public init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
    }
}
