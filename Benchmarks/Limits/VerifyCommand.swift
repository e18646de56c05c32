import ArgumentParser
import JOSE
import LatchkeyVerifier
import LibCrypto

/// What a verdict costs on one core, with a list of so many revocations and with an empty one, by turns.
struct VerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Verifies RS256 tokens on one core, against a list of N entries and an empty one."
    )

    @Option(help: "Revocations in the list.") var entries = 1_000_000
    @Option(help: "Seconds for each of the turns.") var seconds = 1.0
    @Option var turns = 5

    private static let now: Int64 = 1_790_000_000

    func run() async throws {
        let key = try PrivateKey.generate(.rs256)
        let publicKey = JSONWebKey(key.publicKey)
        let keys = VerificationKeys([publicKey])
        let verifier = TokenVerifier(issuer: "https://id.example", audience: "https://id.example", leeway: 30)
        // Many of them: one would find its place of the list in the cache each time.
        var others = Numbers(state: 1 << 63)
        let tokens = try (0..<4000).map { _ in try Self.token(by: key, publicKey.keyID, others.id(), others.id()) }
        var list = RevocationSet()
        var numbers = Numbers()
        for _ in 0..<entries { list.insert(numbers.id(), expiresAt: Self.now + 600) }

        var rates: [(empty: Double, full: Double)] = []
        for _ in 0..<turns {
            rates.append(
                (try rate(tokens, verifier, keys, RevocationSet()), try rate(tokens, verifier, keys, list)))
        }
        let ratios = rates.map { $0.empty / $0.full }.sorted()
        let full = rates.map(\.full).sorted()
        print(
            """
            {"per_second":\(full[turns / 2]),"per_second_empty":\(rates.map(\.empty).sorted()[turns / 2]),\
            "ratio":\(ratios[turns / 2]),"least":\(ratios[0]),"most":\(ratios[turns - 1]),\
            "entries":\(list.count),"bytes":\(list.heldBytes)}
            """)
    }

    private func rate(
        _ tokens: [[UInt8]], _ verifier: TokenVerifier, _ keys: VerificationKeys, _ list: RevocationSet
    ) throws -> Double {
        let began = ContinuousClock.now
        var count = 0
        while ContinuousClock.now - began < .seconds(seconds) {
            for token in tokens[(count % tokens.count)..<(count % tokens.count + 100)] {
                _ = try verifier.verify(token, keys: keys, revocations: list, now: Self.now)
            }
            count += 100
        }
        let (whole, parts) = (ContinuousClock.now - began).components
        return Double(count) / (Double(whole) + Double(parts) / 1e18)
    }

    /// Ids that look random, quickly (SplitMix64).
    private struct Numbers {
        var state: UInt64 = 0

        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var mixed = (state ^ state >> 30) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
            return mixed ^ mixed >> 31
        }

        mutating func id() -> UniqueID {
            UniqueID(
                high: UInt64(VerifyCommand.now) * 1000 << 16 | 0x7000 | next() & 0xfff,
                low: next() & 0x3fff_ffff_ffff_ffff | 1 << 63)
        }
    }

    private static func token(
        by key: PrivateKey, _ keyID: String, _ tokenID: UniqueID, _ sessionID: UniqueID
    ) throws -> [UInt8] {
        let claims = AccessTokenClaims(
            issuer: "https://id.example", subject: sessionID.text, audience: ["https://id.example"],
            expiresAt: now + 600, issuedAt: now, tokenID: tokenID, clientID: "first-party", sessionID: sessionID,
            authenticatedAt: now, scopes: ["account"], roles: [])
        let header = JSONWebSignature.header(algorithm: .rs256, keyID: keyID, type: AccessTokenClaims.type)
        let input = JSONWebSignature.signingInput(header: header, payload: claims.encoded())
        return Array(JSONWebSignature.compact(signingInput: input, signature: try key.sign(input)).utf8)
    }
}

/// A verifier's start, with the whole list of a living issuer.
struct ColdVerifierCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cold-verifier", abstract: "Starts the library's verifier and tells how long until it can judge.")

    @Option(help: "The issuer's URL.") var issuer: String

    func run() async throws {
        let verifier = try Verifier(issuer: issuer, audience: issuer, staleAfter: .seconds(60), whenStale: .refuse)
        let before = ProcessEnvironment.residentBytes
        let measure = Measure()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await verifier.run() }
            try await verifier.waitUntilReady(within: .seconds(300))
            group.cancelAll()
            measure.print(
                count: verifier.status.revocations, ["resident": Double(ProcessEnvironment.residentBytes - before)])
            for try await _ in group {}
        }
    }
}
