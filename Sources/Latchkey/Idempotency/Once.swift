package import JOSE
package import Hummingbird
package import Postgres

/// A request that names itself, as the journey sees it that makes something.
package struct Once<Created: Sendable>: Sendable {
    /// Goes first in the transaction. It changes one row where nobody has done the same or is about to.
    let claim: Query
    /// Goes last, with COMMIT.
    let keep: @Sendable (Created) throws -> Query
}

/// The request was carried out already, or another node is at it.
struct AlreadyClaimed: Error {}

extension Database {
    /// Creates something by `statements`, all or nothing; with `once`, once.
    ///
    /// - Parameter made: makes what was created of their results.
    package func create<Created: Sendable>(
        _ statements: [Query], _ once: Once<Created>?, _ made: @Sendable ([ResultSet]) throws -> Created
    ) async throws -> Created {
        guard let once else { return try made(try await batch(statements)) }
        return try await transaction { transaction in
            guard try await transaction.query(once.claim).affected == 1 else { throw AlreadyClaimed() }
            let created = try made(try await transaction.batch(statements))
            try await transaction.commit([try once.keep(created)])
            return created
        }
    }
}

/// What a call that made something answers: 201 with the path of it (RFC 9110 §15.3.2), or 200 where it has none: a secret.
package struct CreatedAnswer: Sendable {
    let body: JSONValue
    let location: String?

    package init(_ body: JSONValue, location: String?) {
        self.body = body
        self.location = location
    }

    package var response: Response {
        guard let location else { return .json(body, caching: .noStore) }
        return .created(body, location: location, caching: .noStore)
    }

    var encoded: [UInt8] {
        JSONValue.object(JSONObject([("location", location.map { .string($0) }), ("body", body)])).encoded()
    }

    init?(_ encoded: [UInt8]) {
        guard let members = try? JSONValue.parse(encoded).object, let body = members["body"] else { return nil }
        self.init(body, location: members["location"]?.string)
    }
}
