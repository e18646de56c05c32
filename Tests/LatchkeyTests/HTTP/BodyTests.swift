import JOSE
import Testing

@testable import Latchkey

@Suite("A JSON body")
struct JSONBodyTests {
    static let text = """
        {"name":"a","none":null,"flag":true,"count":3,"float":3.0,"list":["a","b"],"mixed":["a",1],"object":{},"more":0}
        """

    @Test("gives its fields in their types, and ignores what nobody asks for")
    func fields() throws {
        let body = try JSONBody(bytes: Array(Self.text.utf8))
        #expect(try body.string("name") == "a")
        #expect(try body.optionalString("none") == nil)
        #expect(try body.optionalString("absent") == nil)
        #expect(try body.bool("flag"))
        #expect(try body.optionalBool("absent") == nil)
        #expect(try body.integer("count") == 3)
        #expect(try body.optionalInteger("absent") == nil)
        #expect(try body.stringArray("list") == ["a", "b"])
        #expect(try body.optionalStringArray("absent") == nil)
        #expect(try body.stringOrArray("name") == ["a"])
        #expect(try body.stringOrArray("list") == ["a", "b"])
        #expect(try body.stringOrArray("absent").isEmpty)
    }

    @Test("names the field that is missing", arguments: ["absent", "none", "NAME"])
    func missing(name: String) throws {
        let body = try JSONBody(bytes: Array(Self.text.utf8))
        #expect(throws: Rejection.missingField(name)) { try body.string(name) }
        #expect(throws: Rejection.missingField(name)) { try body.bool(name) }
        #expect(throws: Rejection.missingField(name)) { try body.integer(name) }
        #expect(throws: Rejection.missingField(name)) { try body.stringArray(name) }
    }

    @Test("names the field of the wrong type")
    func wrongTypes() throws {
        let body = try JSONBody(bytes: Array(Self.text.utf8))
        for name in ["flag", "count", "float", "list", "object"] {
            #expect(throws: Rejection.wrongType(field: name, expected: "a string")) { try body.string(name) }
            #expect(throws: Rejection.wrongType(field: name, expected: "a string")) { try body.optionalString(name) }
        }
        #expect(throws: Rejection.wrongType(field: "more", expected: "true or false")) { try body.bool("more") }
        #expect(throws: Rejection.wrongType(field: "float", expected: "an integer")) { try body.integer("float") }
        for name in ["mixed", "name"] {
            #expect(throws: Rejection.wrongType(field: name, expected: "an array of strings")) {
                try body.stringArray(name)
            }
        }
    }

    @Test(
        "that is not strictly an object of JSON is refused, with the place",
        arguments: [
            ("", "byte 0"), ("[]", "byte 0"), ("\"a\"", "byte 0"), ("null", "byte 0"), ("{\"a\":1,}", "byte 6"),
            ("{\"a\":1,\"a\":2}", "byte 7"), ("{\"a\":1,\"\\u0061\":2}", "byte 7"), ("{\"a\":\"\\u0000\"}", "byte 6"),
            ("\u{feff}{}", "byte 0"), ("{}x", "byte 2"), ("{\"a\":01}", "byte 5"), ("{'a':1}", "byte 1"),
            ("{\"a\":NaN}", "byte 5"), ("{\"a\":\"\t\"}", "byte 6"), ("{} {}", "byte 3"),
            (String(repeating: "{\"a\":", count: 33) + "1" + String(repeating: "}", count: 33), "byte 160"),
        ])
    func refused(text: String, place: String) throws {
        let error = try #require(throws: Rejection.self) { try JSONBody(bytes: Array(text.utf8)) }
        guard case .badJSON(let reason) = error else {
            Issue.record("refused as \(error)")
            return
        }
        #expect(reason.hasSuffix("at \(place)"))
    }

    @Test("in other bytes than UTF-8 is refused", arguments: [[0x7b, 0x22, 0xff, 0x22], [0xff, 0xfe, 0x7b, 0x00]])
    func otherEncodings(bytes: [UInt8]) throws {
        let error = try #require(throws: Rejection.self) { try JSONBody(bytes: bytes) }
        #expect(error.problem.code == "bad-json")
    }
}

@Suite("A form")
struct FormBodyTests {
    @Test(
        "is decoded as RFC 6749 App. B has it",
        arguments: [
            // The example of the RFC's own appendix.
            ("v=+%25%26%2B%C2%A3%E2%82%AC", " %&+£€"),
            ("v=a", "a"), ("v=a%3Db", "a=b"), ("v=a=b==", "a=b=="), ("v=%41%61%7a%5A", "AazZ"), ("a=&v=b&c", "b"),
            ("%76=b", "b"), ("v=%F0%9F%91%8D", "👍"), ("v=~!*'()/:;,?@[]", "~!*'()/:;,?@[]"),
        ])
    func decoded(text: String, expected: String) throws {
        #expect(try FormBody(bytes: Array(text.utf8)).required("v").isSameText(as: expected))
    }

    @Test("has no parameter that has no value", arguments: ["", "v", "v=", "w=1", "V=1", "v%3D=1"])
    func missing(text: String) throws {
        let form = try FormBody(bytes: Array(text.utf8))
        #expect(form.optional("v") == nil)
        #expect(throws: Rejection.missingField("v")) { try form.required("v") }
    }

    @Test("does not take one character for another in a name")
    func exactNames() throws {
        let form = try FormBody(bytes: Array("%E2%84%AA=kelvin&K=letter&%3B=a&%CD%BE=b".utf8))
        #expect(form.optional("K") == "letter")
        #expect(form.optional("\u{212a}") == "kelvin")
        #expect(form.optional(";") == "a")
    }

    @Test(
        "is refused where two readers could read it differently",
        arguments: [
            "v=1&v=2", "v=1&v=1", "v=1&v=", "v=1&v", "v&v", "v=1&%76=2",
            "&", "v=1&", "&v=1", "v=1&&w=2", "=1", "=", "v=1&=2",
            "v=%", "v=%4", "v=%zz", "v=%4g", "v=%+1", "v=%-1", "%", "v=%u0041",
            "v=%00", "%00=1", "v=\u{0}", "v=a b", "v=a\r\n", "v=\t", "v=\u{7f}", "v=\u{e9}",
            "v=%ff", "v=%C0%80", "v=%ED%A0%80", "v=%E2%82", "v=%F4%90%80%80",
        ])
    func refused(text: String) throws {
        let error = try #require(throws: Rejection.self) { try FormBody(bytes: Array(text.utf8)) }
        #expect(error.problem.code == "invalid-request")
    }

    @Test("of many parameters is read in linear time", .timeLimit(.minutes(1)))
    func linear() throws {
        let text = (0..<20_000).map { "p\($0)=\($0)" }.joined(separator: "&")
        #expect(try FormBody(bytes: Array(text.utf8)).optional("p19999") == "19999")
        let percents = Array("v=".utf8) + Array(repeating: Array("%61".utf8), count: 100_000).joined()
        #expect(try FormBody(bytes: percents).optional("v")?.utf8.count == 100_000)
    }
}

@Suite("A media type")
struct MediaTypeTests {
    @Test(
        "is known whatever its letters' case and its parameters",
        arguments: [
            "application/json", "Application/JSON", " application/json ", "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"", "application/json; x=y",
        ])
    func known(text: String) {
        #expect(RequestBytes.isMediaType(text, "application/json"))
    }

    @Test(
        "of another kind is not",
        arguments: [
            nil, "", ";", "application/jsonp", "application", "text/json", "application/problem+json",
            "application/json; charset=utf-16", "application/json; charset=iso-8859-1", "application/json, text/plain",
            "application/json\u{301}", "application/\u{212a}son",
        ])
    func other(text: String?) {
        #expect(!RequestBytes.isMediaType(text, "application/json"))
    }
}

@Suite("An instant in RFC 3339")
struct RFC3339Tests {
    @Test(
        "is written in UTC",
        arguments: [
            (0, "1970-01-01T00:00:00Z"), (1, "1970-01-01T00:00:00.000001Z"), (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00Z"), (4_107_542_400_000_000, "2100-03-01T00:00:00Z"),
            (4_107_456_000_000_000, "2100-02-28T00:00:00Z"), (1_795_369_199_500_000, "2026-11-22T17:39:59.500000Z"),
            (253_402_300_799_000_000, "9999-12-31T23:59:59Z"), (Int64.max, "9999-12-31T23:59:59.999999Z"),
            (-62_167_219_200_000_000, "0000-01-01T00:00:00Z"), (Int64.min, "0000-01-01T00:00:00Z"),
        ])
    func text(microseconds: Int64, expected: String) {
        #expect(RFC3339.text(microseconds: microseconds) == expected)
    }

    @Test("never goes back over 400 years of days")
    func monotonic() {
        var last = ""
        for day in Int64(-80_000)..<66_100 {
            let text = RFC3339.text(microseconds: day * 86_400_000_000)
            #expect(text > last)
            last = text
        }
    }
}
