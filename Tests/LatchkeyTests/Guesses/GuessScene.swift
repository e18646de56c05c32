import JOSE
import LatchkeyTesting
import Postgres
import Testing

@testable import Latchkey

extension TestInstallation {
    /// How many slots each bucket holds, by number.
    func slots() async throws -> [Int64] {
        try await database.query(
            "SELECT cardinality(slots)::bigint AS count FROM guess_buckets WHERE slots <> '{}' ORDER BY 1"
        ).rows.map { row in try row.decode("count") }
    }

    /// Lets time pass for the `count` oldest slots of every bucket, or all.
    func ageSlots(_ count: Int64 = 1_000_000, seconds: Int64) async throws {
        try await database.query(
            """
            UPDATE guess_buckets
            SET slots = ARRAY(
                SELECT CASE WHEN n <= \(count) THEN slot - \(seconds) * interval '1 second' ELSE slot END
                FROM unnest(slots) WITH ORDINALITY AS s (slot, n)
                ORDER BY n)
            """)
    }

    /// Wrong passwords for `name`, one after the other, over all nodes by turns.
    func guess(_ name: String, times: Int, device: String? = nil) async throws -> [Int] {
        var statuses: [Int] = []
        for number in 0..<times {
            statuses.append(
                try await nodes[number % nodes.count].logIn(name, "wrong horse", device: device).status)
        }
        return statuses
    }

    /// A token that a login of `user` could have been answered with, the `number`th in age.
    func deviceToken(_ user: TestNode.Answer, _ number: Int, passwordVersion: UInt32 = 1) throws -> String {
        let id = try #require(UniqueID(text: try user.userID))
        let device = UniqueID.version7(
            millisecondsSince1970: 1_000 + Int64(number), random: [UInt8](repeating: 7, count: 10))
        return DeviceToken(user: UserID(id), device: device, passwordVersion: passwordVersion)
            .text(masterKeys: node.installation.masterKeys)
    }
}

extension TestNode.Answer {
    var deviceToken: String { self["device_token"] }
}

func expectTooMany(
    _ answer: TestNode.Answer, within seconds: ClosedRange<Int> = 1...900,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(answer.status == 429, sourceLocation: sourceLocation)
    #expect(answer["code"] == "too-many-attempts", sourceLocation: sourceLocation)
    let wait = Int(answer.header("retry-after") ?? "") ?? -1
    #expect(seconds.contains(wait), "\(wait)", sourceLocation: sourceLocation)
}
