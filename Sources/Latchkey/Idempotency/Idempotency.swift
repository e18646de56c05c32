package import Hummingbird
import JOSE
package import LibCrypto
package import Postgres
import Synchronization

/// Calls that make something, each once however often it is sent: a caller that was told 503, or nothing at all, sends it
/// again under the same `Idempotency-Key` and gets what the first was answered (draft-ietf-httpapi-idempotency-key-header-07).
///
/// This room owns the table of those that have created something, for a day. A row stands and falls with what it tells of:
/// it is written in the same transaction. So whoever wants to fill it must create something for each row, and refusals
/// leave none. The answer stands sealed, since it may hold a client's secret.
package struct Idempotency: Sendable {
    private let database: Database
    private let secrets: Secrets
    private let underWay = UnderWay()

    /// By the version of the master key that they are derived from.
    package struct Secrets: Sendable {
        package enum Secret: Sendable {
            case held(SecretBytes)
            /// Nobody holds it any more.
            case retired
            /// This node does not hold it; another may.
            case unknown
        }

        private let current: @Sendable () -> Int16
        private let secret: @Sendable (Int16) -> Secret

        package init(
            current: @escaping @Sendable () -> Int16, secret: @escaping @Sendable (Int16) -> Secret
        ) {
            self.current = current
            self.secret = secret
        }

        func present() throws(Rejection) -> (version: Int16, secret: SecretBytes) {
            let version = current()
            guard case .held(let secret) = secret(version) else { throw .unavailable(retryAfter: 1) }
            return (version, secret)
        }

        func held(_ version: Int16) throws(Rejection) -> SecretBytes {
            switch secret(version) {
            case .held(let secret): return secret
            case .unknown: throw .unavailable(retryAfter: 1)
            case .retired:
                throw .conflict(
                    code: "idempotency-answer-lost",
                    detail:
                        "What was asked for under this Idempotency-Key is done; its answer cannot be opened any more.")
            }
        }
    }

    package init(_ database: Database, secrets: Secrets) {
        self.database = database
        self.secrets = secrets
    }

    /// Those that this node is at.
    private final class UnderWay: Sendable {
        private let ids = Mutex<Set<[UInt8]>>([])

        func enter(_ id: [UInt8]) -> Bool { ids.withLock { $0.insert(id).inserted } }
        func leave(_ id: [UInt8]) { ids.withLock { _ = $0.remove(id) } }
    }

    /// Carries a request out, or answers what it was answered the first time.
    ///
    /// - Parameters:
    ///   - body: what it asks for: nothing where it has none.
    ///   - caller: who sent it.
    ///   - route: its method and path.
    ///   - target: what the path names, where it names something: of another the request is another.
    ///   - answer: what is answered to what was made.
    ///   - create: the journey; nil where the request does not name itself.
    /// - Throws: `Rejection.invalidRequest` for a malformed key; `.conflict` while the first is under way; `.invalidField` (422)
    ///   where another request has had the key; what `create` throws.
    package func answer<Created: Sendable>(
        to request: Request, _ body: JSONBody?, from caller: String, route: StaticString, target: String? = nil,
        _ answer: @escaping @Sendable (Created) -> CreatedAnswer, _ create: (Once<Created>?) async throws -> Created
    ) async throws -> Response {
        guard let key = try IdempotencyKey(request.headers) else { return answer(try await create(nil)).response }
        let named = NamedRequest(key, from: caller, to: route)
        guard underWay.enter(named.id) else { throw Self.isUnderWay }
        defer { underWay.leave(named.id) }
        // No line end stands in encoded JSON: the last one ends the target.
        let body = (target.map { Array("\($0)\n".utf8) } ?? []) + (body?.encoded ?? [])
        if let earlier = try await earlier(named, body) { return earlier.response }
        do {
            return answer(try await create(try once(named, body, answer))).response
        } catch is AlreadyClaimed {
            guard let earlier = try await earlier(named, body) else { throw Self.isUnderWay }
            return earlier.response
        } catch PostgresError.unknownOutcome {
            // Committed or not: where it was, its row is there.
            guard let earlier = try? await earlier(named, body) else { throw PostgresError.unknownOutcome }
            return earlier.response
        }
    }

    private static let isUnderWay = Rejection.conflict(
        code: "idempotency-key-in-use",
        detail: "The first request with this Idempotency-Key is under way: send it again.")

    private func once<Created: Sendable>(
        _ named: NamedRequest, _ body: [UInt8], _ answer: @escaping @Sendable (Created) -> CreatedAnswer
    ) throws -> Once<Created> {
        let (version, secret) = try secrets.present()
        let salt = SecureRandom.bytes(16)
        let fingerprint = try named.fingerprint(of: body, secret, salt: salt)
        return Once(
            claim: IdempotencySQL.claim(named.id, salt: salt, masterKey: version, request: fingerprint),
            keep: { created in
                let sealed = try AES256GCM.seal(
                    SecretBytes(answer(created).encoded), key: try named.sealingKey(secret, salt: salt),
                    associatedData: named.id)
                return IdempotencySQL.keep(named.id, answer: sealed)
            })
    }

    /// What the request was answered the first time; nil where it was not carried out.
    ///
    /// - Throws: `Rejection.invalidField` where it was another request.
    private func earlier(_ named: NamedRequest, _ body: [UInt8]) async throws -> CreatedAnswer? {
        guard let row = try await database.query(IdempotencySQL.find(named.id)).first else { return nil }
        let secret = try secrets.held(try row.decode("master_key"))
        let (salt, request): (Bytes, Bytes) = (try row.decode("salt"), try row.decode("request"))
        guard
            constantTimeEquals(
                request.bytes, try named.fingerprint(of: body, secret, salt: salt.bytes))
        else {
            throw Rejection.invalidField("Idempotency-Key", reason: "Another request has had this Idempotency-Key.")
        }
        let sealed: Bytes = try row.decode("answer")
        let opened = try AES256GCM.open(
            sealed.bytes, key: try named.sealingKey(secret, salt: salt.bytes), associatedData: named.id)
        guard let answer = CreatedAnswer(opened.withBytes { Array($0) }) else {
            throw PostgresError.undecodable(column: "answer")
        }
        return answer
    }

    /// What is done once a minute: a day later nobody asks again.
    package func keepHouse() async throws(PostgresError) {
        while try await database.query(IdempotencySQL.forget).affected == 1000 {}
    }
}

/// Every statement on `idempotency_keys`.
enum IdempotencySQL {
    /// Whoever is at the same request on another node holds the lock until its commit, and is not waited for. A row that has
    /// expired gives way.
    static func claim(_ id: [UInt8], salt: [UInt8], masterKey: Int16, request: [UInt8]) -> Query {
        let lock = id.prefix(8).reduce(Int64(0)) { $0 << 8 | Int64($1) }
        return """
            INSERT INTO idempotency_keys AS k (id, salt, master_key, request, answer, expires_at)
            SELECT \(Bytes(id)), \(Bytes(salt)), \(masterKey), \(Bytes(request)), ''::bytea,
                   clock_timestamp() + interval '24 hours'
            FROM (SELECT pg_try_advisory_xact_lock(\(lock)) AS is_ours OFFSET 0) AS turn
            WHERE turn.is_ours
            ON CONFLICT (id) DO UPDATE
            SET salt = excluded.salt, master_key = excluded.master_key, request = excluded.request,
                answer = excluded.answer, expires_at = excluded.expires_at
            WHERE k.expires_at <= clock_timestamp()
            """
    }

    static func keep(_ id: [UInt8], answer: [UInt8]) -> Query {
        "UPDATE idempotency_keys SET answer = \(Bytes(answer)) WHERE id = \(Bytes(id))"
    }

    /// The row's lock makes even this commit a write: what is answered by it rests on a commit of its own, and not on one
    /// whose wait for a standby was cancelled.
    static func find(_ id: [UInt8]) -> Query {
        """
        SELECT salt, master_key, request, answer
        FROM idempotency_keys
        WHERE id = \(Bytes(id)) AND expires_at > clock_timestamp()
        FOR UPDATE
        """
    }

    static let forget: Query = """
        DELETE FROM idempotency_keys
        WHERE id IN (
            SELECT id FROM idempotency_keys WHERE expires_at <= clock_timestamp() ORDER BY expires_at LIMIT 1000)
        """
}
