import Testing

@testable import Postgres

@Suite("Queries")
struct QueryTests {
    @Test func `A value becomes a bind, whatever it says`() {
        let query: Query = "SELECT id FROM users WHERE username = \("' OR true --") AND age > \(Int64(3))"
        #expect(query.sql == "SELECT id FROM users WHERE username = $1 AND age > $2")
        #expect(query.binds.map(\.bytes) == [Array("' OR true --".utf8), [0, 0, 0, 0, 0, 0, 0, 3]])
        #expect(query.binds.map(\.type) == [25, 20])
    }

    @Test func `A literal without values has no binds`() {
        let query: Query = "SELECT 1"
        #expect(query.sql == "SELECT 1")
        #expect(query.binds.isEmpty)
    }

    @Test func `nil is a bind of its type without bytes`() {
        let query: Query = "SELECT \(Int64?.none)"
        #expect(query.sql == "SELECT $1")
        #expect(query.binds.map(\.type) == [20])
        #expect(query.binds.map(\.bytes) == [nil])
    }

    @Test func `An embedded query's binds are numbered anew`() {
        let inner: Query = "b = \(Int64(2)) OR c = \(Int64(3))"
        let outer: Query = "a = \(Int64(1)) AND (\(inner)) AND d = \(Int64(4))"
        #expect(outer.sql == "a = $1 AND (b = $2 OR c = $3) AND d = $4")
        #expect(outer.binds.map { $0.bytes?.last } == [1, 2, 3, 4])
        let twice: Query = "\(outer) UNION \(outer)"
        #expect(
            twice.sql == "a = $1 AND (b = $2 OR c = $3) AND d = $4 UNION a = $5 AND (b = $6 OR c = $7) AND d = $8")
        #expect(twice.binds.count == 8)
    }

    @Test func `Ten binds and more are numbered by their place`() {
        let part: Query = "\(Int64(0)),"
        let query: Query = "\(part)\(part)\(part)\(part)\(part)\(part)\(part)\(part)\(part)\(part)\(part)"
        #expect(query.sql == "$1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,")
    }

    @Test(arguments: zip([0, 7, 9, 10, 15] as [Int16], ["t_00", "t_07", "t_09", "t_10", "t_15"]))
    func `A table of a ring is named by its slot`(slot: Int16, name: String) {
        let query: Query = "SELECT \(literal: "id, name") FROM \("t", slot: slot) WHERE id = \(slot)"
        #expect(query.sql == "SELECT id, name FROM \(name) WHERE id = $1")
    }
}
