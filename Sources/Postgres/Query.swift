/// A statement whose interpolated values become binds: `"SELECT id FROM users WHERE username = \(name)"`. The text is
/// always a literal of the program; nothing a client sends can become part of it.
package struct Query: Sendable, ExpressibleByStringInterpolation {
    package let sql: String
    /// The binds, one after the other: OIDs of their types, lengths (-1: NULL), and the bytes of them all.
    let types: [UInt32]
    let lengths: [Int32]
    let bytes: [UInt8]
    /// Where in `sql`, in UTF-8, each `$n` stands.
    private let places: [Int]

    package init(stringLiteral value: String) {
        sql = value
        types = []
        lengths = []
        bytes = []
        places = []
    }

    package init(stringInterpolation interpolation: Interpolation) {
        sql = interpolation.sql
        types = interpolation.types
        lengths = interpolation.lengths
        bytes = interpolation.bytes
        places = interpolation.places
    }

    package struct Interpolation: StringInterpolationProtocol {
        fileprivate var sql = ""
        fileprivate var types: [UInt32] = []
        fileprivate var lengths: [Int32] = []
        fileprivate var bytes: [UInt8] = []
        fileprivate var places: [Int] = []

        package init(literalCapacity: Int, interpolationCount: Int) {
            sql.reserveCapacity(literalCapacity + 4 * interpolationCount)
            types.reserveCapacity(interpolationCount)
            lengths.reserveCapacity(interpolationCount)
            places.reserveCapacity(interpolationCount)
            bytes.reserveCapacity(16 * interpolationCount)
        }

        package mutating func appendLiteral(_ literal: String) {
            sql += literal
        }

        package mutating func appendInterpolation<T: PostgresValue>(_ value: T) {
            let start = bytes.count
            value.appendPostgresBytes(to: &bytes)
            append(T.postgresType, length: Int32(clamping: bytes.count - start))
        }

        package mutating func appendInterpolation<T: PostgresValue>(_ value: T?) {
            if let value { appendInterpolation(value) } else { append(T.postgresType, length: -1) }
        }

        /// A part of the statement that is text of the program itself: a column list shared by statements.
        package mutating func appendInterpolation(literal text: StaticString) {
            appendLiteral("\(text)")
        }

        /// A part of the statement that has binds of its own: they are numbered on.
        package mutating func appendInterpolation(_ query: Query) {
            var rest = query.sql.utf8[...]
            var offset = 0
            for (number, place) in query.places.enumerated() {
                let piece = rest.prefix(place - offset)
                sql += Substring(piece)
                let name = "$\(number + 1)".utf8.count
                rest = rest[piece.endIndex...].dropFirst(name)
                offset = place + name
                append(query.types[number], length: query.lengths[number])
            }
            sql += Substring(rest)
            bytes += query.bytes
        }

        /// A partition of a ring of tables, `sessions_07`: named by the program and a number, so that a hot statement
        /// plans, locks and touches that one table.
        package mutating func appendInterpolation(_ table: StaticString, slot: Int16) {
            appendLiteral("\(table)_\(slot < 10 ? "0" : "")\(slot)")
        }

        private mutating func append(_ type: UInt32, length: Int32) {
            types.append(type)
            lengths.append(length)
            places.append(sql.utf8.count)
            sql += "$\(types.count)"
        }
    }

    /// About how many bytes the statement takes on the wire once it is prepared: Bind, Describe and Execute.
    var wireSize: Int {
        64 + 8 * lengths.count + bytes.count
    }
}

/// The binds may be passwords' hashes or tokens' keys: a log by reflection shows the text alone.
extension Query: CustomReflectable, CustomStringConvertible {
    package var description: String { sql }
    package var customMirror: Mirror { Mirror(self, children: ["sql": sql]) }
}
