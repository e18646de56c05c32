import ArgumentParser
import CArgon2
import Foundation
import Synchronization

/// libargon2 alone, on threads that do nothing else.
struct Argon2Command: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "argon2", abstract: "Raw libargon2 (argon2id, 16 bytes of salt, 32 of tag) on N threads.")

    @Option(help: "In KiB.") var memory: UInt32 = 19_456
    @Option var iterations: UInt32 = 2
    @Option var parallelism: UInt32 = 1
    @Option var threads = 2
    @Option var seconds = 4.0

    func run() async throws {
        let (memory, iterations, parallelism) = (memory, iterations, parallelism)
        let measure = Measure()
        let deadline = ContinuousClock.now + .seconds(seconds)
        let running = Mutex(threads)
        let total = Mutex(0)
        await withCheckedContinuation { (done: CheckedContinuation<Void, Never>) in
            for _ in 0..<threads {
                Thread {
                    let password = Array("correct horse battery staple".utf8)
                    let salt = [UInt8](repeating: 7, count: 16)
                    var tag = [UInt8](repeating: 0, count: 32)
                    var count = 0
                    while ContinuousClock.now < deadline {
                        let code = argon2id_hash_raw(
                            iterations, memory, parallelism, password, password.count, salt, salt.count, &tag, tag.count
                        )
                        guard code == ARGON2_OK.rawValue else { break }
                        count += 1
                    }
                    total.withLock { $0 += count }
                    if running.withLock({
                        $0 -= 1; return $0 == 0
                    }) {
                        done.resume()
                    }
                }.start()
            }
        }
        measure.print(count: total.withLock { $0 })
    }
}
