package import Logging
import ServiceLifecycle

/// Hashes computed anew with the settings' parameters, after the login that showed the password was answered. At most 64
/// wait; what does not fit waits for that user's next login.
package struct PasswordUpgrades: Service {
    private struct Upgrade: Sendable {
        let user: UserID
        let old: PHCString
        let password: Password
    }

    private let users: Users
    private let logger: Logger
    private let stream: AsyncStream<Upgrade>
    private let continuation: AsyncStream<Upgrade>.Continuation

    package init(_ users: Users, logger: Logger) {
        self.users = users
        self.logger = logger
        (stream, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(64))
    }

    func schedule(_ user: UserID, from old: PHCString, with password: Password) {
        continuation.yield(Upgrade(user: user, old: old, password: password))
    }

    /// Returns at graceful shutdown. A failed upgrade is tried again at that user's next login.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            for await upgrade in stream {
                do {
                    try await users.upgrade(upgrade.user, from: upgrade.old, with: upgrade.password)
                } catch {
                    logger.notice("a password hash was not upgraded", metadata: ["error": "\(type(of: error))"])
                }
            }
        }
    }
}
