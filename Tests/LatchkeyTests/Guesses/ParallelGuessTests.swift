import LatchkeyTesting
import Postgres
import Testing

@testable import Latchkey

/// Promise 11: whatever the parallelism and whichever the node.
@Suite("Guesses in parallel", .timeLimit(.minutes(8)))
struct ParallelGuessTests {
    @Test func `are ten in five hundred over three nodes, and the owner's device gets in meanwhile`() async throws {
        try await TestInstallation.run(
            nodes: 3, settings: { $0.guesses = GuessLimits(perAccount: 10, perAddress: 0) }
        ) { it in
            let alice = try await it.node.newUser("alice")
            let (guesses, owners) = try await withThrowingTaskGroup(of: (Bool, Int).self) { group in
                for number in 0..<500 {
                    group.addTask {
                        (false, try await it.nodes[number % 3].logIn("alice", "guess number \(number)").status)
                    }
                    guard number % 50 == 25 else { continue }
                    group.addTask {
                        (true, try await it.nodes[number % 3].logIn("alice", device: alice.deviceToken).status)
                    }
                }
                return try await group.reduce(into: ([Int](), [Int]())) { all, answer in
                    if answer.0 { all.1.append(answer.1) } else { all.0.append(answer.1) }
                }
            }
            #expect(guesses.count { $0 == 401 } == 10)
            #expect(guesses.count { $0 == 429 } == 490)
            #expect(owners == Array(repeating: 200, count: 10))
            #expect(try await it.slots() == [10])
        }
    }

    @Test func `over many names from one address are as many as the address has, without a deadlock`() async throws {
        try await TestInstallation.run(
            nodes: 3, settings: { $0.guesses = GuessLimits(perAccount: 10, perAddress: 60) }
        ) { it in
            let users = try await withThrowingTaskGroup(of: TestNode.Answer.self) { group in
                for number in 0..<12 { group.addTask { try await it.nodes[number % 3].newUser("user\(number)") } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<600 {
                    let name = "user\(number * 7 % 12)"
                    group.addTask { try await it.nodes[number % 3].logIn(name, "wrong horse").status }
                    // Devices that join meanwhile lock rows of their own kind.
                    let user = users[number % 12]
                    guard number % 5 == 0 else { continue }
                    let device = try it.deviceToken(user, number / 60 % 9)
                    group.addTask {
                        let name = try await it.node.get("/account", bearer: user.access)["username"]
                        let answer = try await it.nodes[number % 3].logIn(name, device: device)
                        #expect(answer.status == 200)
                        return answer.status
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(statuses.allSatisfy { [200, 401, 429].contains($0) })
            #expect(statuses.count { $0 == 401 } == 60)
            let slots = try await it.slots()
            #expect(slots.last == 60)
            #expect(slots.dropLast().reduce(0, +) == 60)
            #expect(slots.dropLast().allSatisfy { $0 <= 10 })
        }
    }
}
