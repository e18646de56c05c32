internal import JOSE

/// A message in its binary form, read piece by piece as it comes.
///
///     body      = %x4C.4B.52.31 length members *entry signature    ; "LKR1"
///     length    = 4OCTET          ; octets of members, the highest first
///     members   = *OCTET          ; JSON, UTF-8: the message without entries and signature
///     signature = *OCTET          ; ASCII, up to the end of the body
struct BinaryMessageParser {
    private enum Stage {
        case head
        case members(Int)
        case entries(left: Int)
        case signature
    }

    private var stage = Stage.head
    private var buffer: [UInt8] = []
    private var staged = StagedEntries()

    private static let magic = Array("LKR1".utf8)
    private static let longestMembers = 8192

    mutating func feed(_ piece: [UInt8]) throws(FeedFault) {
        buffer += piece
        var position = 0
        stages: while true {
            let rest = buffer.count - position
            switch stage {
            case .head:
                guard rest >= 8 else { break stages }
                guard buffer[position..<(position + 4)].elementsEqual(Self.magic) else { throw .malformed }
                let length = buffer[(position + 4)..<(position + 8)].reduce(0) { $0 << 8 | Int($1) }
                guard length <= Self.longestMembers else { throw .tooLarge }
                stage = .members(length)
                position += 8
            case .members(let length):
                guard rest >= length else { break stages }
                let json = try? JSONValue.parse(Array(buffer[position..<(position + length)]))
                guard let count = json?.object?["count"]?.int, count >= 0 else { throw .malformed }
                guard count <= StagedEntries.maximumCount else { throw .tooLarge }
                stage = .entries(left: Int(count))
                position += length
            case .entries(let left):
                let begin = position
                let read = try readEntries(upTo: left, from: &position)
                staged.digest(buffer[begin..<position])
                stage = read == left ? .signature : .entries(left: left - read)
                if read < left { break stages }
            case .signature:
                guard rest <= JSONWebSignature.maximumByteCount else { throw .tooLarge }
                break stages
            }
        }
        buffer.removeSubrange(..<position)
    }

    /// - Returns: how many there were, whole.
    private mutating func readEntries(upTo count: Int, from position: inout Int) throws(FeedFault) -> Int {
        var read = 0
        while read < count, position < buffer.count {
            guard let octets = FeedEntry.octets(ofKind: buffer[position]) else { throw .malformed }
            guard buffer.count - position >= octets else { break }
            guard let entry = FeedEntry(buffer[position..<(position + octets)]) else { throw .malformed }
            try staged.append(entry)
            position += octets
            read += 1
        }
        return read
    }

    /// At the end of the body: the signature and the entries that it is said to be over.
    consuming func finish() throws(FeedFault) -> (signature: [UInt8], entries: StagedEntries) {
        guard case .signature = stage, !buffer.isEmpty else { throw .cutOff }
        return (buffer, staged)
    }
}
