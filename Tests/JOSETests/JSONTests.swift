import JOSE
import Testing

@Suite struct StrictJSON {
    @Test(
        "what is valid is read and written back compactly",
        arguments: [
            ("null", "null"), (" true ", "true"), ("false", "false"), ("0", "0"), ("-1", "-1"),
            ("9223372036854775807", "9223372036854775807"), ("-9223372036854775808", "-9223372036854775808"),
            ("[ ]", "[]"), ("{\t}", "{}"), ("[1 ,\n2,\r[3]]", "[1,2,[3]]"),
            (#"{"b":1, "a":{"c":[null]}}"#, #"{"b":1,"a":{"c":[null]}}"#),
            (#""\u0041\/\b\f\n\r\t\"\\""#, #""A/\b\f\n\r\t\"\\""#), (#""\u001f\u0001""#, #""\u001f\u0001""#),
            (#""\ud83d\uDE00""#, "\"\u{1F600}\""), ("\"é\u{7f}\u{10FFFF}\"", "\"é\u{7f}\u{10FFFF}\""), ("1.5", "1.5"),
            (#"{"":0}"#, #"{"":0}"#), (#"{"a":1,"A":2,"á":3,"a\u0301":4}"#, "{\"a\":1,\"A\":2,\"á\":3,\"a\u{301}\":4}"),
        ])
    func valid(text: String, compact: String) throws {
        let value = try JSONValue.parse(Array(text.utf8))
        #expect(value.encoded() == Array(compact.utf8))
        #expect(try JSONValue.parse(value.encoded()) == value)
    }

    @Test(
        "what two parsers could read differently is refused with its place",
        arguments: [
            ("", .unexpectedEnd, 0), ("  ", .unexpectedEnd, 2), ("[1", .unexpectedEnd, 2), ("\"ab", .unexpectedEnd, 3),
            (#"{"a""#, .unexpectedEnd, 4), ("tru", .unexpectedEnd, 3), ("\"\\", .unexpectedEnd, 2),
            (#""\u00"#, .unexpectedEnd, 5), ("-", .unexpectedEnd, 1), ("1.", .unexpectedEnd, 2),
            ("True", .unexpectedByte, 0), ("nul1", .unexpectedByte, 3), ("{a:1}", .unexpectedByte, 1),
            ("{'a':1}", .unexpectedByte, 1), (#"{"a" 1}"#, .unexpectedByte, 5), ("[1 2]", .unexpectedByte, 3),
            ("// x", .unexpectedByte, 0), ("NaN", .unexpectedByte, 0), ("+1", .unexpectedByte, 0),
            (".5", .unexpectedByte, 0), ("[,1]", .unexpectedByte, 1), ("{,}", .unexpectedByte, 1),
            ("\u{a0}1", .invalidUTF8, 0), ("1 2", .trailingBytes, 2), ("{}x", .trailingBytes, 2),
            ("[]]", .trailingBytes, 2), ("1\u{b}", .trailingBytes, 1), ("\u{feff}{}", .byteOrderMark, 0),
            ("{}\u{0}", .nul, 2), ("\u{0}", .nul, 0), ("\"a\u{0}b\"", .nul, 2), (#"["\u0000"]"#, .nul, 2),
            (#"{"a":1,"a":1}"#, .duplicateName, 7), (#"{"a":1,"\u0061":2}"#, .duplicateName, 7),
            (#"[{"a":{},"b":0,"a":{}}]"#, .duplicateName, 15), ("[1,]", .trailingComma, 2),
            (#"{"a":1 , }"#, .trailingComma, 7), ("01", .invalidNumber, 0), ("-01", .invalidNumber, 0),
            ("00", .invalidNumber, 0), ("-x", .invalidNumber, 1), ("1.x", .invalidNumber, 2),
            ("1e]", .invalidNumber, 2),
            ("9223372036854775808", .numberOverflow, 0), ("[-9223372036854775809]", .numberOverflow, 1),
            ("1e400", .numberOverflow, 0), ("-1e999", .numberOverflow, 0),
            ("\"\u{1}\"", .controlCharacter, 1), ("\"a\nb\"", .controlCharacter, 2), (#""\x41""#, .invalidEscape, 1),
            (#""\u00g0""#, .invalidEscape, 1), (#""\u+041""#, .invalidEscape, 1), (#""\ud800""#, .loneSurrogate, 1),
            (#""\ud800x""#, .loneSurrogate, 1), (#""\udc00""#, .loneSurrogate, 1),
            (#""\ud800\ud800""#, .loneSurrogate, 1), (#""\ud800\u0041""#, .loneSurrogate, 1),
        ] as [(String, JSONError.Reason, Int)])
    func refused(text: String, reason: JSONError.Reason, offset: Int) {
        #expect(throws: JSONError(reason: reason, offset: offset)) { try JSONValue.parse(Array(text.utf8)) }
    }

    @Test(
        "invalid UTF-8 and UTF-16 are refused",
        arguments: [
            ([0x22, 0x80, 0x22], .invalidUTF8, 1), ([0x22, 0xc0, 0xaf, 0x22], .invalidUTF8, 1),
            ([0x22, 0x61, 0xc3, 0x22], .invalidUTF8, 2), ([0x22, 0xe0, 0x80, 0xaf, 0x22], .invalidUTF8, 1),
            ([0x22, 0xed, 0xa0, 0x80, 0x22], .invalidUTF8, 1), ([0x22, 0xf4, 0x90, 0x80, 0x80, 0x22], .invalidUTF8, 1),
            ([0x22, 0xf5, 0x80, 0x80, 0x80, 0x22], .invalidUTF8, 1), ([0x22, 0xf0, 0x9f, 0x98], .invalidUTF8, 1),
            ([0x22, 0xe2, 0x28, 0xa1, 0x22], .invalidUTF8, 1), ([0xff], .invalidUTF8, 0),
            ([0xff, 0xfe, 0x7b, 0x00], .utf16, 0), ([0xfe, 0xff, 0x00, 0x7b], .utf16, 0), ([0x7b, 0x00], .nul, 1),
            ([0x00, 0x7b], .nul, 0),
        ] as [([UInt8], JSONError.Reason, Int)])
    func encodings(bytes: [UInt8], reason: JSONError.Reason, offset: Int) {
        #expect(throws: JSONError(reason: reason, offset: offset)) { try JSONValue.parse(bytes) }
    }

    @Test("a number with fraction or exponent is never an integer", arguments: ["1.0", "1e3", "1E0", "-0.0", "10e-1"])
    func noInteger(text: String) throws {
        let value = try JSONValue.parse(Array(text.utf8))
        #expect(value.int == nil)
        #expect(value == .number(try #require(Double(text))))
    }

    @Test func `32 levels are read, 33 are refused, and a million open brackets do no harm`() throws {
        func nested(_ depth: Int) -> [UInt8] {
            [UInt8](repeating: 0x5b, count: depth) + [UInt8](repeating: 0x5d, count: depth)
        }
        #expect(try JSONValue.parse(nested(32)).array?.count == 1)
        #expect(throws: JSONError(reason: .tooDeep, offset: 32)) { try JSONValue.parse(nested(33)) }
        #expect(throws: JSONError(reason: .tooDeep, offset: 32)) { try JSONValue.parse(nested(1_000_000)) }
        #expect(throws: JSONError(reason: .tooDeep, offset: 5)) {
            try JSONValue.parse(Array(#"{"a":{}}"#.utf8), maximumDepth: 1)
        }
    }

    @Test func `20,000 names take no longer than their length, and the last duplicate is found`() throws {
        // Compared each with each, these are 200 million comparisons: the test would take minutes.
        let members = (0..<20_000).map { #""name\#($0)":\#($0)"# }
        let text = "{" + members.joined(separator: ",")
        #expect(try JSONValue.parse(Array((text + "}").utf8)).object?.members.count == 20_000)
        let offset = text.utf8.count + 1
        #expect(throws: JSONError(reason: .duplicateName, offset: offset)) {
            try JSONValue.parse(Array((text + #","name\u0030":0}"#).utf8))
        }
    }

    @Test("a duplicate is found among few and many names", arguments: 1...12)
    func duplicates(count: Int) {
        for repeated in 0..<count {
            let names = (0..<count).map { #""n\#($0)":0"# } + [#""n\#(repeated)":0"#]
            let text = "{" + names.joined(separator: ",") + "}"
            let error = #expect(throws: JSONError.self) { try JSONValue.parse(Array(text.utf8)) }
            #expect(error?.reason == .duplicateName)
        }
    }

    @Test func `a number of many digits is refused before it costs anything`() {
        let text = "1." + String(repeating: "1", count: 1_000_000)
        #expect(throws: JSONError(reason: .numberOverflow, offset: 0)) { try JSONValue.parse(Array(text.utf8)) }
    }

    @Test func `names and texts are compared by their bytes`() throws {
        let object = try #require(try JSONValue.parse(Array("{\"\u{212A}id\":1,\"e\u{301}\":2}".utf8)).object)
        #expect(object["Kid"] == nil)
        #expect(object["\u{e9}"] == nil)
        #expect(object["e\u{301}"] == 2)
        #expect(JSONValue.string("\u{212A}") != .string("K"))
        #expect(!"\u{37e}".isSameText(as: ";"))
    }

    @Test func `an object is built from pairs, those without a value left out`() {
        var object = JSONObject([("a", 1), ("b", nil), ("c", ["x", true, nil, 1.5]), ("a", 2)])
        #expect(object.encoded() == Array(#"{"a":2,"c":["x",true,null,1.5]}"#.utf8))
        object["c"] = nil
        object["d"] = "\u{1}\"\\/"
        #expect(object.encoded() == Array(#"{"a":2,"d":"\u0001\"\\/"}"#.utf8))
        #expect(JSONObject([("x", 1), ("y", 2)]) == ["y": 2, "x": 1])
        #expect(JSONObject([("x", 1)]) != ["x": 2])
        #expect(JSONValue.number(.infinity).encoded() == Array("null".utf8))
    }

    @Test func `accessors give a value of their type and nothing else`() {
        let values: [JSONValue] = [nil, true, 1, 1.5, "s", ["a"], ["k": 1]]
        #expect(values.map { $0.bool != nil } == [false, true, false, false, false, false, false])
        #expect(values.map { $0.int != nil } == [false, false, true, false, false, false, false])
        #expect(values.map { $0.string != nil } == [false, false, false, false, true, false, false])
        #expect(values.map { $0.strings != nil } == [false, false, false, false, false, true, false])
        #expect(values.map { $0.object != nil } == [false, false, false, false, false, false, true])
        #expect(JSONValue.array(["a", 1]).strings == nil)
    }
}
