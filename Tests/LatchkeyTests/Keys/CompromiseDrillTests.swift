import Foundation
import JOSE
import Latchkey
import LatchkeyTesting
import LibCrypto
import Testing

/// From the command to the refusal by every node and every follower, again and again.
@Suite struct CompromiseDrillTests {
    private static let drills = ProcessInfo.processInfo.environment["LATCHKEY_DRILLS"].flatMap { Int($0) } ?? 100

    @Test func `A compromise reaches every node and every follower within the second, by the median of many`()
        async throws
    {
        // Keys whose making costs nothing: what is measured is the way of the news.
        try await TestInstallation.run(nodes: 2, settings: { $0.signingAlgorithm = .es256 }) { it in
            let scene = try await CompromiseScene(it)
            var tokens = try await it.node.newUser("alice")
            var (own, nodes, followed): ([Duration], [Duration], [Duration]) = ([], [], [])
            for number in 0..<Self.drills {
                let kid = try tokens.signer
                let old = tokens
                let followers = [try await Follower(it.nodes[0]), try await Follower(it.nodes[1])]
                for follower in followers { try #require(try follower.admits(old)) }
                for node in it.nodes { try #require(try await node.admits(old)) }
                let command = it.nodes[number % 2]
                let administrator = try await scene.administrator()

                let start = ContinuousClock.now
                let answer = try await command.post(
                    "/admin/keys/\(kid)/compromise", ["reason": "drill \(number)", "confirm": true],
                    bearer: administrator)
                try #require(answer.status == 202)
                own.append(ContinuousClock.now - start)
                // Whoever asks the node that was told, after it was told, is refused.
                try #require(try await command.admits(old) == false)
                let slowest = try await withThrowingTaskGroup(of: (node: Duration, follower: Duration).self) { group in
                    for node in it.nodes {
                        group.addTask {
                            try #require(try await becomesTrue { try await node.admits(old) == false })
                            return (ContinuousClock.now - start, .zero)
                        }
                    }
                    for follower in followers {
                        group.addTask {
                            try #require(try await becomesTrue { try follower.admits(old) == false })
                            return (.zero, ContinuousClock.now - start)
                        }
                    }
                    return try await group.reduce((Duration.zero, Duration.zero)) {
                        (max($0.0, $1.node), max($0.1, $1.follower))
                    }
                }
                nodes.append(slowest.0)
                followed.append(slowest.1)
                tokens = try await it.nodes[(number + 1) % 2].refresh(old.refresh)
                try #require(tokens.status == 200)
                try #require(try tokens.signer != kid)
            }
            print(
                "\(Self.drills) compromises: answered after \(Self.text(own)), refused by 2 nodes after "
                    + "\(Self.text(nodes)), by 2 followers after \(Self.text(followed))")
            #expect(nodes.sorted()[nodes.count / 2] < .seconds(1))
            #expect(followed.sorted()[followed.count / 2] < .seconds(1))
        }
    }

    private static func text(_ spent: [Duration]) -> String {
        let sorted = spent.sorted()
        func at(_ share: Double) -> Duration { sorted[max(0, Int((Double(sorted.count) * share).rounded(.up)) - 1)] }
        return "p50 \(at(0.5)), p99 \(at(0.99)), max \(at(1))"
    }
}
