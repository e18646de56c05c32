import JOSE
import Logging
import Synchronization
import Testing

@testable import Latchkey

@Suite("The log")
struct JSONLogHandlerTests {
    private final class Lines: Sendable {
        let lines = Mutex<[[UInt8]]>([])
    }

    /// The one line that `body` logs.
    private func line(
        provider: Logger.MetadataProvider? = nil, _ body: (inout Logger) -> Void
    ) throws -> JSONObject {
        let lines = Lines()
        var logger = Logger(label: "test") { label in
            var handler = JSONLogHandler(label: label, logLevel: .debug) { line in
                lines.lines.withLock { $0.append(line) }
            }
            handler.metadataProvider = provider
            return handler
        }
        body(&logger)
        let written = lines.lines.withLock { $0 }
        try #require(written.count == 1)
        #expect(written[0].last == UInt8(ascii: "\n"))
        #expect(written[0].filter { $0 < 0x20 } == [UInt8(ascii: "\n")])
        return try #require(try JSONValue.parse(Array(written[0].dropLast())).object)
    }

    @Test("has the four fields of every line")
    func fields() throws {
        let object = try line { $0.warning("something") }
        #expect(object.members.map(\.name) == ["time", "level", "message", "label"])
        #expect(object["level"] == "warning" && object["message"] == "something" && object["label"] == "test")
        let time = try #require(object["time"]?.string)
        #expect(time.hasPrefix("20") && time.hasSuffix("Z"))
    }

    @Test(
        "escapes what would end a line or a string", arguments: ["\n", "\r\n", "\"", "\\", "\u{0}", "\u{1b}[2J", "é👍"])
    func escaping(text: String) throws {
        // NUL is escaped by the writer and refused by our own reader: look for the escape.
        let object: JSONObject? = try? line { $0.info("m", metadata: ["key": .string("a\(text)b")]) }
        if text == "\u{0}" {
            #expect(object == nil)
        } else {
            #expect(object?["key"] == .string("a\(text)b"))
        }
    }

    @Test("keeps numbers and booleans, and flattens dictionaries")
    func values() throws {
        let object = try line {
            $0.info(
                "m",
                metadata: [
                    "int": .stringConvertible(7), "big": .stringConvertible(UInt64.max),
                    "flag": .stringConvertible(true),
                    "double": .stringConvertible(1.5), "nan": .stringConvertible(Double.nan),
                    "list": ["a", .stringConvertible(1)], "nested": ["a": "b", "deep": ["c": "d"]],
                ])
        }
        #expect(object["int"] == 7 && object["big"] == "18446744073709551615" && object["flag"] == true)
        #expect(object["double"] == 1.5 && object["nan"] == "nan" && object["list"] == ["a", 1])
        #expect(object["nested.a"] == "b" && object["nested.deep.c"] == "d")
    }

    @Test("lets no metadata stand in for a field of the line")
    func reserved() throws {
        let object = try line { $0.info("m", metadata: ["level": "canary", "time": "canary"]) }
        #expect(
            object["level"] == "info" && object["metadata.level"] == "canary" && object["metadata.time"] == "canary")
    }

    @Test("takes the nearest of several values")
    func precedence() throws {
        let provider = Logger.MetadataProvider { ["a": "provider", "b": "provider", "c": "provider"] }
        let object = try line(provider: provider) {
            $0[metadataKey: "b"] = "logger"
            $0[metadataKey: "c"] = "logger"
            $0.info("m", metadata: ["c": "statement"])
        }
        #expect(object["a"] == "provider" && object["b"] == "logger" && object["c"] == "statement")
    }
}
