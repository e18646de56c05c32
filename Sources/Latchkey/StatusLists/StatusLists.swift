import Foundation
import JOSE
import LibCrypto
import NIOCore
import PKCS11
import Postgres
import Synchronization

/// Whether tokens name their bit and the lists are served.
package enum StatusListChoice: String, Sendable, CaseIterable {
    case off, on
}

package struct StatusListSettings: Sendable {
    package var choice: StatusListChoice
    /// Seconds that a verifier may keep a list before it asks again.
    package var ttl: Int64
}

/// The status lists of this node (draft-ietf-oauth-status-list), for verifiers that speak the standard: the revocation
/// list in another form. It owns the tokens that carry them; which bits there are is `StatusIndices`' affair. A list is as
/// fresh as the node's last reading, says so in `iat`, and is not served by a node that is stale.
package final class StatusLists: Sendable {
    /// Nanoseconds after which a list is signed again, so that its `iat` moves.
    private static let mostAge: Int64 = 1_000_000_000
    /// Bytes of tokens that are kept.
    private static let mostKept = 32 << 20
    /// Nanoseconds after which a list is never served, and what took longer to sign is not kept.
    private static let longest: Int64 = 2_000_000_000
    /// A list outlives some failed attempts to get the next one.
    private static let livesInTTLs: Int64 = 3

    private struct Kept: Sendable {
        let token: StatusListToken
        let text: String
        let version: Int
        let history: Int
        /// Up to where it is known to be the latest.
        var seq: Int64
        let madeAt: BootInstant
        /// Nanoseconds that it took, without the signature.
        let cost: Int64

        func serves(_ extract: RevocationList.Extract, at now: BootInstant) -> Bool {
            guard history == extract.history else { return false }
            // At most a fifth of a thread makes lists.
            let age = now - madeAt
            return age < min(4 * cost, StatusLists.longest)
                || (seq == extract.position.seq && age < StatusLists.mostAge)
        }
    }

    private struct State: Sendable {
        var bits: StatusBits?
        /// Raised whenever bits are read, so that no two of them bear one version: what they are put beside may be another
        /// queue's.
        var bitsVersion = 0
        var kept: [StatusListID: Kept] = [:]
        /// Of which history the following are: a list of one that was lost is none.
        var history = 0
        var known: Set<StatusListID> = []
        var living: (lists: [StatusListID], asOf: BootInstant)?

        mutating func follow(history: Int) {
            guard self.history < history else { return }
            (self.history, known, living) = (history, [], nil)
        }
    }

    package let settings: StatusListSettings
    private let list: RevocationList
    private let indices: StatusIndices
    private let ring: KeyRing
    private let addresses: StatusListAddresses
    private let life: Int64
    private let state = Mutex(State())
    /// What is made of a list, and its signature, take some ms: not on a thread that others share, and each list once.
    private let queue = DispatchQueue(label: "status-lists")
    /// Those that a PKCS #11 token signs: one that hangs keeps its queue, and must not keep what other keys sign.
    private let tokenQueue = DispatchQueue(label: "status-lists-in-token")

    /// - Parameter lifetime: seconds that an access token lives: as long at least stands the key of a list in the JWKS.
    package init(
        _ list: RevocationList, indices: StatusIndices, ring: KeyRing, issuer: String, lifetime: Int64,
        settings: StatusListSettings
    ) {
        self.list = list
        self.indices = indices
        self.ring = ring
        self.settings = settings
        addresses = StatusListAddresses(issuer: issuer)
        life = min(Self.livesInTTLs * settings.ttl, lifetime)
    }

    /// - Throws: `Rejection.notFound`; `.unavailable` where this node cannot prove that its list is complete.
    func token(of id: StatusListID) async throws -> StatusListToken {
        guard settings.choice == .on else { throw Rejection.notFound(what: "status list") }
        let extract = try fresh()
        guard try await isKnown(id, extract.history) else { throw Rejection.notFound(what: "status list") }
        if let token = kept(id, extract) { return token }
        let (kid, key, holder) = try await ring.signer(at: extract.claim.time, version: 0)
        let queue = holder == .token ? tokenQueue : queue
        let answer = FirstAnswer<StatusListToken>()
        do {
            return try await withCheckedThrowingContinuation { continuation in
                answer.wait(continuation, within: SecurityToken.callersPatience)
                queue.async {
                    if !answer.isGiven { answer.give(Result { try self.make(id, of: extract.history, key, kid) }) }
                }
            }
        } catch is TookTooLong {
            throw Rejection.unavailable(retryAfter: 1)
        }
    }

    /// The addresses of all lists of which a token may be alive.
    ///
    /// - Throws: `Rejection.notFound`.
    func uris() async throws -> [String] {
        guard settings.choice == .on else { throw Rejection.notFound(what: "status list") }
        let (now, history) = (BootInstant.now(), try fresh().history)
        let living = state.withLock { state in
            state.follow(history: history)
            return state.living
        }
        if let living, now - living.asOf < Self.mostAge { return living.lists.map { addresses.uri(of: $0) } }
        let lists = try await indices.livingLists()
        state.withLock { state in
            guard state.history == history else { return }
            state.living = (lists, now)
            state.known = Set(lists)
        }
        return lists.map { addresses.uri(of: $0) }
    }

    /// One that nobody knows is looked up, whoever asks: the next token may name a list that has just begun.
    private func isKnown(_ id: StatusListID, _ history: Int) async throws(PostgresError) -> Bool {
        let isKnown = state.withLock { state in
            state.follow(history: history)
            return state.known.contains(id)
        }
        if isKnown { return true }
        guard try await indices.exists(id) else { return false }
        state.withLock { if $0.history == history { $0.known.insert(id) } }
        return true
    }

    private func fresh() throws -> RevocationList.Extract {
        guard list.isFresh, let extract = list.extract else { throw Rejection.unavailable(retryAfter: 1) }
        return extract
    }

    private func kept(_ id: StatusListID, _ extract: RevocationList.Extract) -> StatusListToken? {
        state.withLock { state in
            guard let kept = state.kept[id], kept.serves(extract, at: .now()) else { return nil }
            return kept.token
        }
    }

    /// On one of the queues.
    ///
    /// - Parameter history: the one in which the list is known: a loss that came while this waited may have ended it.
    private func make(
        _ id: StatusListID, of history: Int, _ key: PrivateKey, _ kid: String
    ) throws -> StatusListToken {
        let begun = BootInstant.now()
        let extract = try fresh()
        guard extract.history == history else { throw Rejection.unavailable(retryAfter: 1) }
        // Whoever was before us in the queue may have made it.
        if let token = kept(id, extract) { return token }
        var old = state.withLock { $0.kept[id] }
        let bits = bits(extract)[id]
        if let same = old, same.version == bits.version, same.history == extract.history {
            if begun - same.madeAt < Self.mostAge {
                old?.seq = extract.position.seq
                state.withLock { $0.kept[id] = old }
                return same.token
            }
        } else {
            old = nil
        }
        let text = old?.text ?? CompressedList.text(bits.indices)
        let cost = BootInstant.now() - begun
        let token: StatusListToken
        do throws(CryptoError) {
            token = try StatusListToken(
                .init(
                    uri: addresses.uri(of: id), aggregationURI: addresses.aggregation, issuedAt: extract.claim.time,
                    life: life, ttl: settings.ttl, list: text), key: key, keyID: kid)
        } catch {
            // A key in a PKCS #11 token that does not answer: another node may reach it.
            throw Rejection.unavailable(retryAfter: 1)
        }
        let madeAt = BootInstant.now()
        // Of a token that hung: it tells of a time long gone, and nobody waits for it.
        guard madeAt - begun < Self.longest else { throw Rejection.unavailable(retryAfter: 1) }
        let made = Kept(
            token: token, text: text, version: bits.version, history: extract.history, seq: extract.position.seq,
            madeAt: madeAt, cost: cost)
        state.withLock { state in
            if state.kept.values.reduce(0, { $0 + $1.token.body.readableBytes }) > Self.mostKept { state.kept = [:] }
            state.kept[id] = made
        }
        return token
    }

    /// The bits as of `extract`. On one of the queues: while the other one has them they are made anew.
    private func bits(_ extract: RevocationList.Extract) -> StatusBits {
        let (old, version) = state.withLock { state in
            defer { state.bits = nil }
            state.bitsVersion += 1
            return (state.bits, state.bitsVersion)
        }
        let bits: StatusBits
        if var old, old.leads(to: extract) {
            old.follow(extract, version: version)
            bits = old
        } else {
            bits = StatusBits(
                extract, now: list.clock.reading?.settled.seconds, replacing: old, version: version)
        }
        state.withLock { $0.bits = bits }
        return bits
    }
}
