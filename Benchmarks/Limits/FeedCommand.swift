import ArgumentParser
import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1

/// How soon followers of the stream hear of a revocation, counted from its answer, while revocations run at a given rate.
struct FeedCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "feed", abstract: "Revokes each token of a file at a steady rate, while N streams are followed.")

    @Option(help: "Where it revokes: http://HOST:PORT.") var node: String
    @Option(help: "Where it follows; more of them take turns.") var follow: [String]
    @Option(help: "A file with a refresh token a line.") var tokens: String
    @Option(help: "Revocations a second.") var rate = 500
    @Option var followers = 50

    private struct Revoked: Sendable {
        let position: String
        let seq: Int64
        let answered: ContinuousClock.Instant
        let took: Duration
    }

    func run() async throws {
        var tokens = try String(contentsOfFile: tokens, encoding: .utf8).split(separator: "\n").map(String.init)
        // Where they begin: a follower has got the list before it follows the stream.
        guard let first = try await revoke([tokens.removeFirst()]).first else {
            throw ValidationError("the first token was not revoked")
        }
        var readers: [StreamReader] = []
        for number in 0..<followers {
            guard let url = URL(string: follow[number % follow.count]), let host = url.host, let port = url.port else {
                throw ValidationError("--follow is http://HOST:PORT")
            }
            readers.append(try await StreamReader.connect(host: host, port: port, from: first.position))
        }
        try await wait(within: .seconds(10)) { readers.allSatisfy { $0.position != nil } }

        let began = ContinuousClock.now
        let revoked = try await revoke(tokens)
        let spent = ContinuousClock.now - began
        let last = revoked.map(\.seq).max() ?? 0
        try await wait(within: .seconds(30)) { readers.allSatisfy { ($0.position ?? 0) >= last || $0.hasEnded } }
        var delays: [Double] = []
        var missed = 0
        for reader in readers {
            for one in revoked {
                guard let at = reader.instant(of: one.seq) else {
                    missed += 1
                    continue
                }
                // What was heard before the answer was was heard at once.
                delays.append(max(0, Self.milliseconds(at - one.answered)))
            }
        }
        for reader in readers { await reader.close() }
        delays.sort()
        let took = revoked.map { Self.milliseconds($0.took) }.sorted()
        print(
            """
            {"count":\(revoked.count),"unanswered":\(tokens.count - revoked.count),"missed":\(missed),\
            "rate":\(Double(revoked.count) / (Self.milliseconds(spent) / 1000)),\
            "p50":\(Self.of(delays, 50)),"p99":\(Self.of(delays, 99)),"most":\(delays.last ?? 0),\
            "revoke_p50":\(Self.of(took, 50)),"revoke_p99":\(Self.of(took, 99))}
            """)
    }

    /// Each at its instant, however long the others take.
    private func revoke(_ tokens: [String]) async throws -> [Revoked] {
        var configuration = HTTPClient.Configuration()
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 64
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        let pause = Duration.nanoseconds(1_000_000_000 / rate)
        let start = ContinuousClock.now
        let node = node
        let revoked = await withTaskGroup(of: Revoked?.self) { group in
            for (number, token) in tokens.enumerated() {
                group.addTask {
                    try? await Task.sleep(until: start + pause * number, clock: .continuous)
                    return try? await Self.revoke(token, at: node, by: client)
                }
            }
            return await group.reduce(into: [Revoked]()) { all, one in if let one { all.append(one) } }
        }
        try await client.shutdown()
        return revoked
    }

    private static func revoke(_ token: String, at node: String, by client: HTTPClient) async throws -> Revoked? {
        var request = HTTPClientRequest(url: "\(node)/oauth2/revoke")
        request.method = .POST
        request.headers = ["content-type": "application/x-www-form-urlencoded"]
        request.body = .bytes(ByteBuffer(string: "token=\(token)"))
        let sent = ContinuousClock.now
        let answer = try await client.execute(request, timeout: .seconds(10))
        let answered = ContinuousClock.now
        _ = try await answer.body.collect(upTo: 1 << 16)
        let position = answer.headers.first(name: "latchkey-position") ?? ""
        let parts = position.split(separator: ".")
        guard answer.status == .ok, parts.count == 3, let seq = Int64(parts[1]) else { return nil }
        return Revoked(position: position, seq: seq, answered: answered, took: answered - sent)
    }

    private func wait(within limit: Duration, until isTrue: () -> Bool) async throws {
        let end = ContinuousClock.now + limit
        while !isTrue(), ContinuousClock.now < end { try await Task.sleep(for: .milliseconds(5)) }
    }

    private static func milliseconds(_ duration: Duration) -> Double {
        let (seconds, attoseconds) = duration.components
        return Double(seconds) * 1000 + Double(attoseconds) / 1e15
    }

    private static func of(_ sorted: [Double], _ percent: Int) -> Double {
        sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, sorted.count * percent / 100)]
    }
}
