import Postgres
package import Hummingbird
package import JOSE

/// Who may open an account.
package enum Registration: String, Sendable, CaseIterable {
    case open
    /// Administrators make accounts; invitations that a person can redeem are not there yet.
    case invite
    case closed
}

/// `POST /auth/register`.
package struct RegistrationRoutes: Sendable {
    private let users: Users
    private let registration: Registration
    private let idempotency: Idempotency

    package init(_ users: Users, registration: Registration, idempotency: Idempotency) {
        self.users = users
        self.registration = registration
        self.idempotency = idempotency
    }

    package func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.post("/auth/register") { request, context in
            guard registration == .open else { throw Rejection.registrationClosed }
            let origin = context.origin
            return try await request.whileCallerWaits(on: context) { request in
                let body = try await JSONBody(request)
                return try await idempotency.answer(
                    to: request, body, from: origin.actor, route: "POST /auth/register"
                ) { (user: User) in
                    CreatedAnswer(user.json, location: "/account")
                } _: { once in
                    try await Self.register(body, passwordIs: .required, users, origin: origin, once: once)
                }
            }
        }
    }

    package enum PasswordPresence { case required, optional }

    /// Shared with administrators, who may leave the password out.
    package static func register(
        _ body: JSONBody, passwordIs presence: PasswordPresence, _ users: Users, origin: Origin,
        once: Once<User>? = nil
    ) async throws -> User {
        let name = try body.string("username")
        let password: String? =
            switch presence {
            case .required: try body.string("password")
            case .optional: try body.optionalString("password")
            }
        let email = try body.optionalString("email")
        return try await users.register(
            try username(name), try password.map(newPassword), email: try email.map(emailAddress), origin: origin,
            once: once)
    }

    package static func username(_ text: String) throws(Rejection) -> Username {
        let username: Username
        do { username = try Username(text) } catch { throw .usernameInvalid(reason: error.description) }
        // Whoever means a user by the id would meet another one.
        guard UniqueID(text: username.text) == nil else {
            throw .usernameInvalid(reason: "A username is not written like a user's id.")
        }
        return username
    }

    package static func newPassword(_ text: String) throws(Rejection) -> Password {
        do { return try Password(setting: text) } catch { throw .passwordTooWeak(reason: error.description) }
    }

    private static func emailAddress(_ text: String) throws(Rejection) -> EmailAddress {
        do { return try EmailAddress(text) } catch { throw .invalidField("email", reason: error.description) }
    }
}

extension User {
    package var json: JSONValue {
        .object(
            JSONObject([
                ("id", .string(id.text)), ("username", .string(username)), ("email", email.map { .string($0) }),
                ("status", .string(status.rawValue)),
                ("created_at", .string(RFC3339.text(microseconds: createdAt.microseconds))),
                ("roles", .array(roles.map { .string($0) })), ("scopes", .array(roleScopes.map { .string($0) })),
            ]))
    }
}
