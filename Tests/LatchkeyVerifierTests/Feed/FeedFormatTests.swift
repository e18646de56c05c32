import JOSE
import LibCrypto
import Testing

@testable import LatchkeyVerifier

@Suite struct FeedFormats {
    private static let epoch = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
    private static let word = "\(epoch).7.abcdefghijklmn-_"
    private static let kid = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"

    // MARK: positions

    @Test(
        "a position is an epoch, a number and a check, in one spelling",
        arguments: [
            "", ".", "..", "7", "\(epoch)", "\(epoch).7", "\(epoch).7.", "\(epoch).7.abc",
            "\(epoch).07.abcdefghijklmn-_",
            "\(epoch).-7.abcdefghijklmn-_", "\(epoch).+7.abcdefghijklmn-_", "\(epoch)..abcdefghijklmn-_",
            "\(epoch).9223372036854775808.abcdefghijklmn-_", "\(epoch).7.abcdefghijklmn-=",
            "\(epoch).7.abcdefghijklmn-_.",
            "\(epoch).٧.abcdefghijklmn-_", "\(epoch).7.abcdefghijklmn-_ ",
            "017F22E2-79B0-7CC3-98C4-DC0C0C07398F.7.abcdefghijklmn-_",
            "\(epoch).7.abcdefghijklmn-_\n",
        ])
    func positions(word: String) throws {
        #expect(FeedPosition(word) == nil)
        let good = try #require(FeedPosition(Self.word))
        #expect(good.seq == 7 && good.epoch.text == Self.epoch && good.word == Self.word)
        #expect(FeedPosition("\(Self.epoch).0.abcdefghijklmn-_")?.seq == 0)
        #expect(FeedPosition("\(Self.epoch).9223372036854775807.abcdefghijklmn-_")?.seq == .max)
    }

    // MARK: entries

    private static let entries: [(FeedEntry, String, String)] = {
        guard let id = UniqueID(text: epoch) else { return [] }
        let octets = "017f22e279b07cc398c4dc0c0c07398f"
        let name = kid.utf8.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        return [
            (.id(.token, id, expiresAt: 1), #"{"jti":"\#(epoch)","exp":1}"#, "01\(octets)00000001"),
            (.id(.session, id, expiresAt: 0x0102_0304), #"{"exp":16909060,"sid":"\#(epoch)"}"#, "02\(octets)01020304"),
            (.id(.session, id, expiresAt: .max), #"{"exp":4294967295,"sid":"\#(epoch)","x":1}"#, "02\(octets)ffffffff"),
            (.key(kid), #"{"kid":"\#(kid)"}"#, "03\(name)"),
            (.lift(kid), #"{"lift":"\#(kid)"}"#, "04\(name)"),
        ]
    }()

    @Test func `an entry has one meaning in both forms`() throws {
        #expect(Self.entries.count == 5)
        for (entry, json, hex) in Self.entries {
            #expect(FeedEntry(try JSONValue.parse(Array(json.utf8))) == entry)
            var octets: [UInt8] = []
            entry.write(to: &octets)
            #expect(octets.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() == hex)
            #expect(FeedEntry(octets[...]) == entry)
            // Anywhere in a longer buffer.
            #expect(FeedEntry(([9, 9, 9] + octets)[3...]) == entry)
            #expect(FeedEntry(octets.dropLast()) == nil && FeedEntry((octets + [0])[...]) == nil)
        }
        for octets in [[], [5], [0]] as [[UInt8]] { #expect(FeedEntry(octets[...]) == nil) }
        #expect(FeedEntry(([3] + [UInt8](repeating: 0, count: 43))[...]) == nil)
    }

    @Test(
        "what is no entry is none",
        arguments: [
            "1", "{}", "[]", #"{"jti":"\#(epoch)"}"#, #"{"exp":1}"#, #"{"jti":"\#(epoch)","exp":-1}"#,
            #"{"jti":"\#(epoch)","exp":"1"}"#, #"{"jti":"\#(epoch)","exp":1.5}"#, #"{"jti":1,"exp":1}"#,
            #"{"jti":"017F22E2-79B0-7CC3-98C4-DC0C0C07398F","exp":1}"#, #"{"kid":"short"}"#, #"{"kid":null}"#,
            #"{"jti":"\#(epoch)","sid":"\#(epoch)","exp":1}"#, #"{"jti":"\#(epoch)","exp":1,"kid":null}"#,
            #"{"kid":"\#(kid)","lift":"\#(kid)"}"#, #"{"sid":"","kid":"\#(kid)"}"#,
            #"{"lift":"\#(kid)x"}"#, #"{"kid":"\#(String(repeating: "é", count: 21))x"}"#,
        ])
    func noEntries(json: String) throws {
        #expect(FeedEntry(try JSONValue.parse(Array(json.utf8))) == nil)
    }

    // MARK: messages

    private static let few: [FeedEntry] = [
        .id(.token, .random(), expiresAt: 10), .key(kid), .id(.session, .random(), expiresAt: .max), .lift(kid),
        .id(.session, .random(), expiresAt: 0),
    ]

    private func parse(_ body: [UInt8], inPiecesOf size: Int) throws(FeedFault) -> ([UInt8], StagedEntries) {
        var parser = BinaryMessageParser()
        var rest = body[...]
        while !rest.isEmpty {
            try parser.feed(Array(rest.prefix(size)))
            rest = rest.dropFirst(size)
        }
        return try parser.finish()
    }

    @Test("a message is read however it is cut into pieces", arguments: [1, 2, 7, 20, 21, 22, 44, 1000])
    func pieces(size: Int) throws {
        let forge = try FeedForge()
        let members = FeedForge.members(position: Self.word, after: Self.word, nonce: "n", count: Self.few.count)
        let body = FeedForge.binary(members, Self.few, signature: try forge.sign(members, Self.few))
        let (signature, staged) = try parse(body, inPiecesOf: size)
        let claims = try forge.verifier.verify(signature, over: staged)
        #expect(staged.count == 5 && staged.keys == [.revoked(Self.kid), .lifted(Self.kid)])
        #expect(claims.position.word == Self.word && claims.after == Self.word && claims.nonce == "n")
        #expect(claims.asOf == 1000 && claims.now == 1200 && claims.node == "node" && claims.time == 1_700_000_000)
    }

    @Test func `every truncation of a message is refused`() throws {
        let forge = try FeedForge()
        let members = FeedForge.members(position: Self.word, count: Self.few.count)
        let body = FeedForge.binary(members, Self.few, signature: try forge.sign(members, Self.few))
        var accepted: [Int] = []
        for count in body.indices {
            do {
                let (signature, staged) = try parse(Array(body.prefix(count)), inPiecesOf: 64)
                _ = try forge.verifier.verify(signature, over: staged)
                accepted.append(count)
            } catch {}
        }
        #expect(accepted == [])
        let (signature, staged) = try parse(body, inPiecesOf: 64)
        #expect(throws: Never.self) { try forge.verifier.verify(signature, over: staged) }
    }

    @Test func `a change of any single bit of a message is refused, or changes nothing that is believed`() throws {
        let forge = try FeedForge()
        let members = FeedForge.members(position: Self.word, count: Self.few.count)
        let body = FeedForge.binary(members, Self.few, signature: try forge.sign(members, Self.few))
        let (whole, entries) = try parse(body, inPiecesOf: 64)
        let good = try forge.verifier.verify(whole, over: entries)
        for position in body.indices {
            for bit in 0..<8 {
                var tampered = body
                tampered[position] ^= 1 << UInt8(bit)
                guard let (signature, staged) = try? parse(tampered, inPiecesOf: 64),
                    let claims = try? forge.verifier.verify(signature, over: staged)
                else { continue }
                // The members beside the signature say how many entries follow, and are believed in nothing else.
                #expect(claims == good && staged.keys == entries.keys && staged.count == entries.count)
                #expect(8..<(8 + members.encoded().count) ~= position)
            }
        }
    }

    @Test func `what is too large is refused before it is held`() {
        var parser = BinaryMessageParser()
        #expect(throws: FeedFault.tooLarge) { try parser.feed(Array("LKR1".utf8) + [0xff, 0xff, 0xff, 0xff]) }
        let many = Array(#"{"count":99999999999}"#.utf8)
        var other = BinaryMessageParser()
        #expect(throws: FeedFault.tooLarge) {
            try other.feed(Array("LKR1".utf8) + [0, 0, 0, UInt8(many.count)] + many)
        }
        let none = Array(#"{"count":0}"#.utf8)
        var third = BinaryMessageParser()
        #expect(throws: FeedFault.tooLarge) {
            try third.feed(
                Array("LKR1".utf8) + [0, 0, 0, UInt8(none.count)] + none + [UInt8](repeating: 0x2e, count: 9000))
        }
        var fourth = BinaryMessageParser()
        #expect(throws: FeedFault.malformed) { try fourth.feed(Array("LKR2".utf8) + [0, 0, 0, 0]) }
    }

    @Test func `a message says only so much of keys, which are compared one by one`() throws {
        var staged = StagedEntries()
        for _ in 0..<32_768 {
            try staged.append(.key(Self.kid))
            try staged.append(.lift(Self.kid))
        }
        try staged.append(.id(.token, .random(), expiresAt: 10))
        #expect(throws: FeedFault.tooLarge) { try staged.append(.key(Self.kid)) }
        #expect(throws: FeedFault.tooLarge) { try staged.append(.lift(Self.kid)) }
        try staged.append(.id(.token, .random(), expiresAt: 10))
        #expect(staged.keys.count == 65_536)
    }

    @Test func `only the feed's own key, type and issuer make a signature`() throws {
        let forge = try FeedForge()
        let members = FeedForge.members(position: Self.word, count: Self.few.count)
        func verdict(_ signature: [UInt8], _ entries: [FeedEntry] = few) -> FeedFault? {
            var staged = StagedEntries()
            do throws(FeedFault) {
                for entry in entries { try staged.append(entry) }
                staged.digest(FeedForge.octets(entries)[...])
                _ = try forge.verifier.verify(signature, over: staged)
                return nil
            } catch {
                return error
            }
        }
        let few = Self.few
        #expect(verdict(try forge.sign(members, few)) == nil)
        let stranger = try PrivateKey.generate(.edDSA)
        #expect(verdict(try forge.sign(members, few, by: stranger)) == .badSignature)
        let name = JSONWebKey(stranger.publicKey).keyID
        #expect(verdict(try forge.sign(members, few, by: stranger, keyID: name)) == .unknownKey)
        #expect(verdict(try forge.sign(members, few, type: "at+jwt")) == .malformed)
        #expect(verdict(try forge.sign(members, few) { $0["iss"] = "https://evil.example" }) == .wrongIssuer)
        #expect(verdict(try forge.sign(members, few) { $0["iss"] = nil }) == .wrongIssuer)
        for (name, value) in [
            ("position", nil), ("position", .string("x")), ("as_of", nil), ("as_of", .integer(1201)),
            ("as_of", .integer(-1)), ("as_of", .string("1")),
            ("now", .integer(1 << 43)), ("node", nil), ("node", .string("")), ("iat", nil), ("nonce", .integer(1)),
            ("after", .integer(1)), ("digest", nil),
            ("epoch", .string("017f22e2-79b0-7cc3-98c4-dc0c0c073990")), ("count", .integer(-1)),
        ] as [(String, JSONValue?)] {
            #expect(verdict(try forge.sign(members, few) { $0[name] = value }) == .malformed, "\(name)")
        }
        #expect(verdict(try forge.sign(members, few) { $0["count"] = 4 }) == .wrongEntries)
        #expect(verdict(try forge.sign(members, few), few.dropLast()) == .wrongEntries)
        #expect(verdict(try forge.sign(members, few), few.reversed()) == .wrongEntries)
        #expect(verdict(try forge.sign(members, few), Array(few.dropLast()) + [few[0]]) == .wrongEntries)
        #expect(verdict([]) == .malformed)
    }

    // MARK: server-sent events

    @Test(
        "events are read however they are cut and their lines end", arguments: [1, 2, 3, 5, 1000], ["\n", "\r\n", "\r"])
    func events(size: Int, end: String) throws {
        let text = [
            "\u{feff}: a comment", "retry: 1000", "event: heartbeat", "id: 1", "data: {\"a\":", "data:1}", "",
            "event: stale", "data: {}", "", "event: nothing", "", "data", "id", "x: y", "", "data: unfinished",
        ].joined(separator: end)
        var parser = EventStreamParser()
        var events: [ServerSentEvent] = []
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            events += try parser.feed(Array(rest.prefix(size)))
            rest = rest.dropFirst(size)
        }
        #expect(
            events == [
                ServerSentEvent(name: "heartbeat", data: Array("{\"a\":\n1}".utf8), id: "1"),
                ServerSentEvent(name: "stale", data: Array("{}".utf8), id: nil),
                ServerSentEvent(name: "", data: [], id: ""),
            ])
    }

    @Test func `an event without an end is not held for ever`() throws {
        var parser = EventStreamParser()
        let piece = [UInt8](repeating: 0x61, count: 1 << 16)
        var fed = 0
        #expect(throws: FeedFault.tooLarge) {
            while true {
                _ = try parser.feed(piece)
                fed += piece.count
                if fed > 1 << 22 { return }
            }
        }
        #expect(fed <= 1 << 20)
    }

    @Test func `an event with an id is a message, one without a part`() throws {
        let forge = try FeedForge()
        let entry = FeedEntry.key(Self.kid)
        let members = FeedForge.members(position: Self.word, count: 1)
        let signature = try forge.sign(members, [entry])
        func event(_ bytes: [UInt8]) throws -> FeedEvent {
            var parser = EventStreamParser()
            return try FeedEvent(try #require(try parser.feed(bytes).first))
        }
        #expect(
            try event(FeedForge.event("revoked", id: Self.word, members, [entry], signature: signature))
                == .message(signature: signature, [entry]))
        #expect(
            try event(FeedForge.event("lifted", id: nil, JSONObject(), [entry], signature: [])) == .part([entry]))
        #expect(try event(Array("event: stale\ndata: {}\n\n".utf8)) == .stale)
        #expect(try event(Array("event: resync\ndata: {\"reason\":\"start\"}\n\n".utf8)) == .resync)
        #expect(try event(Array("event: later\ndata: {}\n\n".utf8)) == .unknown)
        for bad in ["[]", "{", "{\"entries\":[1]}", "{\"entries\":[{\"kid\":1}]}"] {
            #expect(throws: FeedFault.malformed) { try event(Array("event: revoked\nid: x\ndata: \(bad)\n\n".utf8)) }
        }
        #expect(throws: FeedFault.cutOff) { try event(Array("event: revoked\nid: x\ndata: {}\n\n".utf8)) }
    }
}
