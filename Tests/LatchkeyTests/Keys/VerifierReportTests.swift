import Testing

@testable import Latchkey

/// `Latchkey-Verifier`, which anybody may send.
@Suite struct VerifierReportTests {
    static let read: [(String, String, [String]?)] = [
        (#"name="orders""#, "orders", nil),
        (#"name="orders", kids=("a" "b")"#, "orders", ["a", "b"]),
        (#"kids=(),name="orders/1:2_3-4.5""#, "orders/1:2_3-4.5", []),
        ("name=\"orders\"\t , \tkids=(  \"a\"   \"b\"  )", "orders", ["a", "b"]),
        (#"name="orders", since="x", more=("y"), *k=("z")"#, "orders", nil),
        (#"name="first", name="last""#, "last", nil),
        (#"name="\#(String(repeating: "x", count: 64))""#, String(repeating: "x", count: 64), nil),
        (
            #"name="o", kids=(\#(Array(repeating: "\"k\"", count: 16).joined(separator: " ")))"#, "o",
            Array(repeating: "k", count: 16)
        ),
    ]

    @Test(arguments: read)
    func `A Dictionary of RFC 8941 is read`(field: String, name: String, kids: [String]?) throws {
        let report = try #require(VerifierReport(field))
        #expect(report.name == name)
        #expect(report.kids == kids)
    }

    static let ignored = [
        "", " ", "orders", "name", "name=", "name=orders", #"name="orders"#, #"name="""#, #"name="or ders""#,
        #"name="orders","#, #"name="orders" kids=("a")"#, #"name="orders";q=1"#, #"name=("orders")"#, #"kids=("a")"#,
        #"name="orders", kids="a""#, #"name="orders", kids=("a""b")"#, #"name="orders", kids=("a", "b")"#,
        #"name="orders", kids=("a""#, #"name="orders", kids=(a)"#, #"name="orders", kids=("a"))"#,
        #"name="orders", kids=(1 2)"#, #"name="or\"ders""#, #"name="ordérs""#, "name=\"or\u{0}ders\"",
        "name=\"or\u{1B}[2Jders\"", #"name="orders", Kids=("a")"#, #"name=:b3JkZXJz:"#, #"name=?1"#,
        #"name="orders", kids=("a")x"#, #"=“orders”"#,
        #"name="\#(String(repeating: "x", count: 65))""#,
        #"name="o", kids=(\#(Array(repeating: "\"k\"", count: 17).joined(separator: " ")))"#,
        #"name="o", kids=("\#(String(repeating: "k", count: 1024))")"#,
    ]

    @Test(arguments: ignored)
    func `Anything else counts as no field at all`(field: String) {
        #expect(VerifierReport(field) == nil)
    }
}
