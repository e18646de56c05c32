import JOSE
import Postgres

/// Entries that one statement has read, in their order.
///
///     page  = *entry
///     entry = seq expires kind id
///     seq   = 8OCTET               ; the highest octet first, here and below
///     expires = 8OCTET             ; microseconds since 2000, as PostgreSQL sends them
///     kind  = 2OCTET
///     id    = 16OCTET
struct RevocationPage {
    private static let length = 34
    private static let epoch2000: Int64 = 946_684_800_000_000

    let entries: [(seq: Int64, entry: RevocationEntry)]

    init(_ row: ResultSet.Row) throws(PostgresError) {
        let bytes = try row.decodeIfPresent("entries", as: Bytes.self)?.bytes ?? []
        guard bytes.count % Self.length == 0 else { throw .undecodable(column: "entries") }
        var entries: [(seq: Int64, entry: RevocationEntry)] = []
        entries.reserveCapacity(bytes.count / Self.length)
        for start in stride(from: 0, to: bytes.count, by: Self.length) {
            let (micros, overflow) = Int64(bitPattern: Self.word(bytes, start + 8))
                .addingReportingOverflow(Self.epoch2000)
            let number = Int16(bitPattern: UInt16(bytes[start + 16]) << 8 | UInt16(bytes[start + 17]))
            guard let kind = RevocationEntry.Kind(rawValue: number), !overflow else {
                throw .undecodable(column: "entries")
            }
            let id = UniqueID(high: Self.word(bytes, start + 18), low: Self.word(bytes, start + 26))
            entries.append(
                (
                    Int64(bitPattern: Self.word(bytes, start)),
                    RevocationEntry(kind: kind, id: id, expiresAt: Instant(microseconds: micros))
                ))
        }
        self.entries = entries
    }

    private static func word(_ bytes: [UInt8], _ start: Int) -> UInt64 {
        var word: UInt64 = 0
        for index in start..<(start + 8) { word = word << 8 | UInt64(bytes[index]) }
        return word
    }
}
