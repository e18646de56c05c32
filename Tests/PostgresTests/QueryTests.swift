import Testing

@testable import Postgres

@Suite("Queries")
struct QueryTests {
    @Test func `A value becomes a bind, whatever it says`() {
        let query: Query = "SELECT id FROM users WHERE username = \("' OR true --") AND age > \(Int64(3))"
        #expect(query.sql == "SELECT id FROM users WHERE username = $1 AND age > $2")
        #expect(query.bytes == Array("' OR true --".utf8) + [0, 0, 0, 0, 0, 0, 0, 3])
        #expect(query.lengths == [12, 8])
        #expect(query.types == [25, 20])
    }

    @Test func `A literal without values has no binds`() {
        let query: Query = "SELECT 1"
        #expect(query.sql == "SELECT 1")
        #expect(query.types.isEmpty && query.lengths.isEmpty && query.bytes.isEmpty)
    }

    @Test func `nil is a bind of its type without bytes`() {
        let query: Query = "SELECT \(Int64?.none)"
        #expect(query.sql == "SELECT $1")
        #expect(query.types == [20])
        #expect(query.lengths == [-1])
        #expect(query.bytes.isEmpty)
    }

    @Test func `An embedded query's binds are numbered anew`() {
        let inner: Query = "b = \(Int64(2)) OR c = \(Int64(3))"
        let outer: Query = "a = \(Int64(1)) AND (\(inner)) AND d = \(Int64(4))"
        #expect(outer.sql == "a = $1 AND (b = $2 OR c = $3) AND d = $4")
        #expect(outer.bytes == [1, 2, 3, 4].flatMap { [0, 0, 0, 0, 0, 0, 0, $0] })
        let twice: Query = "\(outer) UNION \(outer)"
        #expect(
            twice.sql == "a = $1 AND (b = $2 OR c = $3) AND d = $4 UNION a = $5 AND (b = $6 OR c = $7) AND d = $8")
        #expect(twice.types.count == 8)
        #expect(twice.bytes == outer.bytes + outer.bytes)
    }

    @Test func `Ten binds and more are numbered by their place`() {
        let part: Query = "\(Int64(0)),"
        let query: Query = "\(part)\(part)\(part)\(part)\(part)\(part)\(part)\(part)\(part)\(part)\(part)"
        #expect(query.sql == "$1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,")
    }

    @Test func `Embedding keeps what stands around a bind, of any script`() {
        let inner: Query = "äöü \(Int64(1)) – \("é") 漢"
        let ten: Query =
            "\(inner)\(inner)\(inner)\(inner)\(inner) \(Int64?.none)"
        let outer: Query = "x\(ten)y"
        #expect(
            outer.sql
                == "xäöü $1 – $2 漢äöü $3 – $4 漢äöü $5 – $6 漢äöü $7 – $8 漢äöü $9 – $10 漢 $11y")
        #expect(outer.lengths == [8, 2, 8, 2, 8, 2, 8, 2, 8, 2, -1])
    }

    @Test func `What is bound shows in no description, reflection or dump`() {
        let query: Query = "SELECT \("canary")"
        var dumped = ""
        dump(query, to: &dumped)
        for text in ["\(query)", String(reflecting: query), dumped] {
            #expect(text.contains("SELECT $1"))
            #expect(!text.contains("canary") && !text.contains("99"))  // 99: the c, as a byte
        }
    }

    @Test(arguments: zip([0, 7, 9, 10, 15] as [Int16], ["t_00", "t_07", "t_09", "t_10", "t_15"]))
    func `A table of a ring is named by its slot`(slot: Int16, name: String) {
        let query: Query = "SELECT \(literal: "id, name") FROM \("t", slot: slot) WHERE id = \(slot)"
        #expect(query.sql == "SELECT id, name FROM \(name) WHERE id = $1")
    }
}
