import Benchmark
import CountedAllocations
import JOSE
import Latchkey
import LatchkeyVerifier
import LibCrypto

/// How often the measured code allocates in one turn: the package's own count needs another allocator.
private let allocations = BenchmarkMetric.custom("Allocations", polarity: .prefersSmaller)

/// One turn of each: what a request pays for signing, verifying, checking and encoding.
let benchmarks: @Sendable () -> Void = {
    Benchmark.defaultConfiguration = .init(
        metrics: [.instructions, .wallClock, allocations], warmupIterations: 10, scalingFactor: .kilo,
        maxDuration: .seconds(2), maxIterations: 200)
    func add(_ name: String, scaling: BenchmarkScalingFactor = .kilo, _ turn: @escaping () throws -> Void) {
        Benchmark(name, configuration: .init(scalingFactor: scaling)) { benchmark in
            let before = counted_allocations()
            for _ in benchmark.scaledIterations { try turn() }
            let spent = Int(counted_allocations() - before)
            benchmark.measurement(allocations, spent)
        }
    }
    do {
        let sample = try Sample()
        add("Sign an access token (RS256, 2048 bits)", scaling: .one) {
            blackHole(try sample.key.sign(sample.signingInput))
        }
        add("Verify an access token, 10,000 revoked") {
            blackHole(
                try sample.verifier.verify(
                    sample.token, keys: sample.keys, revocations: sample.revocations, now: Sample.now))
        }
        add("Check a refresh token") {
            blackHole(try RefreshToken(sample.refreshToken, masterKeys: sample.masterKeys))
        }
        add("Make a refresh token") { blackHole(sample.successor.text(masterKeys: sample.masterKeys)) }
        add("Look up an id among 10,000 revoked") { blackHole(sample.revocations.contains(sample.unlisted)) }
        add("Claims to JSON") { blackHole(sample.claims.encoded()) }
        add("JSON to claims") { blackHole(try AccessTokenClaims(parsing: sample.payload)) }
        add("A log in's JSON body") { blackHole(try JSONBody(bytes: sample.body)) }
        add("A refresh's form") { blackHole(try FormBody(bytes: sample.form)) }
    } catch {
        preconditionFailure("the samples cannot be made: \(error)")
    }
}
