import ArgumentParser
import Foundation
import LibCrypto
import Synchronization

/// What signs our tokens, without a token: the other side of `openssl speed`.
struct SignCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sign", abstract: "RS256 over 600 bytes with one key of 2048 bits on N threads.")

    @Option var threads = 2
    @Option var seconds = 2.0

    func run() async throws {
        // One key for all threads, as the service has it.
        let key = try PrivateKey.generate(.rs256)
        let input = [UInt8](repeating: UInt8(ascii: "x"), count: 600)
        let measure = Measure()
        let deadline = ContinuousClock.now + .seconds(seconds)
        let running = Mutex(threads)
        let total = Mutex(0)
        await withCheckedContinuation { (done: CheckedContinuation<Void, Never>) in
            for _ in 0..<threads {
                Thread {
                    var count = 0
                    while ContinuousClock.now < deadline, (try? key.sign(input)) != nil { count += 1 }
                    total.withLock { $0 += count }
                    let isLast = running.withLock { running in
                        running -= 1
                        return running == 0
                    }
                    if isLast { done.resume() }
                }.start()
            }
        }
        measure.print(count: total.withLock { $0 })
    }
}
