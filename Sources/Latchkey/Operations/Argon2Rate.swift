import Foundation
import LibCrypto

/// How quick argon2id is on this machine, and what parameters suit it.
package enum Argon2Rate {
    /// What OWASP's Password Storage Cheat Sheet names as the least, each as strong as the others, with one lane.
    static let leastByOWASP: [(memoryKiB: Int, iterations: Int)] = [
        (47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5),
    ]

    /// Seconds that one login may spend in its hash: beyond it people notice.
    static let longest = 0.1

    /// At least as strong as one of OWASP's.
    package static func isStrongEnough(_ parameters: Argon2Parameters) -> Bool {
        leastByOWASP.contains { parameters.memoryKiB >= $0.memoryKiB && parameters.iterations >= $0.iterations }
    }

    /// Two passes, one lane, and of memory the most whole MiB with which one hash alone takes at most 100 ms and with
    /// which every core can hash at once within the budget; never less than OWASP's least.
    ///
    /// - Parameters:
    ///   - secondsPerUnit: for a KiB of one pass.
    ///   - budgetKiB: `LATCHKEY_HASHING_MEMORY_KIB`.
    package static func recommended(secondsPerUnit: Double, budgetKiB: Int, cores: Int) -> Argon2Parameters {
        let fits = Int(min(longest / max(secondsPerUnit, 1e-12) / 2, Double(Argon2Parameters.memoryBounds.upperBound)))
        let memory = min(fits, budgetKiB / max(1, cores)) / 1024 * 1024
        let strongest = try? Argon2Parameters(memoryKiB: memory, iterations: 2, parallelism: 1)
        guard let strongest, isStrongEnough(strongest) else { return .standard }
        return strongest
    }

    /// Seconds of one hash, the median of some, on a thread of its own.
    package static func measure(_ parameters: Argon2Parameters) async -> Double? {
        await withCheckedContinuation { continuation in
            // Tens of milliseconds each: nothing for a cooperative thread.
            Thread { continuation.resume(returning: median(parameters)) }.start()
        }
    }

    private static func median(_ parameters: Argon2Parameters) -> Double? {
        var times: [Double] = []
        let end = ContinuousClock.now + .milliseconds(300)
        repeat {
            let start = ContinuousClock.now
            guard
                (try? Argon2id.hash(
                    password: SecureRandom.bytes(16), salt: SecureRandom.bytes(PHCString.saltLength), secret: [],
                    associatedData: [], parameters: parameters, tagLength: PHCString.tagLength)) != nil
            else { return nil }
            times.append((ContinuousClock.now - start) / .seconds(1))
        } while ContinuousClock.now < end || times.count < 3
        return times.sorted()[times.count / 2]
    }

    /// - Parameters:
    ///   - seconds: of a hash with the settings' parameters; nil where none could be computed.
    ///   - recommended: with its own seconds.
    package static func verdict(
        _ parameters: Argon2Parameters, seconds: Double?, recommended: (parameters: Argon2Parameters, seconds: Double)?
    ) -> Finding {
        guard let seconds, let recommended else {
            return Finding(
                .argon2, .fail, "\(text(parameters)) cannot be computed here", advice: "give this machine more memory")
        }
        let found =
            "\(text(parameters)) takes \(Verdicts.milliseconds(seconds)): \(Int(1 / seconds)) logins a second on each "
            + "core; recommended here: \(text(recommended.parameters)), \(Verdicts.milliseconds(recommended.seconds))"
        if !isStrongEnough(parameters) {
            return Finding(
                .argon2, .warn, found,
                advice:
                    "this is less than OWASP's least: raise LATCHKEY_ARGON2_MEMORY_KIB and LATCHKEY_ARGON2_ITERATIONS")
        }
        if seconds > 5 * longest {
            return Finding(.argon2, .warn, found, advice: "logins will be slow and few: lower the parameters")
        }
        return Finding(.argon2, .ok, found)
    }

    private static func text(_ it: Argon2Parameters) -> String {
        "m=\(it.memoryKiB) t=\(it.iterations) p=\(it.parallelism)"
    }
}
