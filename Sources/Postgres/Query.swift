/// A statement whose interpolated values become binds: `"SELECT id FROM users WHERE username = \(name)"`. The text is
/// always a literal of the program; nothing a client sends can become part of it.
package struct Query: Sendable, ExpressibleByStringInterpolation {
    package let sql: String
    let binds: [Bind]
    /// The text between the binds: one piece more than there are binds.
    private let pieces: [String]

    package init(stringLiteral value: String) {
        sql = value
        binds = []
        pieces = [value]
    }

    package init(stringInterpolation interpolation: Interpolation) {
        binds = interpolation.binds
        pieces = interpolation.pieces
        var sql = pieces[0]
        for (number, piece) in pieces.enumerated().dropFirst() { sql += "$\(number)" + piece }
        self.sql = sql
    }

    package struct Interpolation: StringInterpolationProtocol {
        fileprivate var pieces = [""]
        fileprivate var binds: [Bind] = []

        package init(literalCapacity: Int, interpolationCount: Int) {
            binds.reserveCapacity(interpolationCount)
            pieces.reserveCapacity(interpolationCount + 1)
        }

        package mutating func appendLiteral(_ literal: String) {
            pieces[pieces.count - 1] += literal
        }

        package mutating func appendInterpolation(_ value: some PostgresValue) {
            append(value.bind)
        }

        package mutating func appendInterpolation<T: PostgresValue>(_ value: T?) {
            append(value?.bind ?? Bind(type: T.postgresType, bytes: nil))
        }

        /// A part of the statement that is text of the program itself: a column list shared by statements.
        package mutating func appendInterpolation(literal text: StaticString) {
            appendLiteral("\(text)")
        }

        /// A part of the statement that has binds of its own.
        package mutating func appendInterpolation(_ query: Query) {
            for (piece, bind) in zip(query.pieces, query.binds) {
                appendLiteral(piece)
                append(bind)
            }
            appendLiteral(query.pieces[query.pieces.count - 1])
        }

        /// A partition of a ring of tables, `sessions_07`: named by the program and a number, so that a hot statement
        /// plans, locks and touches that one table.
        package mutating func appendInterpolation(_ table: StaticString, slot: Int16) {
            appendLiteral("\(table)_\(slot < 10 ? "0" : "")\(slot)")
        }

        private mutating func append(_ bind: Bind) {
            binds.append(bind)
            pieces.append("")
        }
    }

    /// About how many bytes the statement takes on the wire once it is prepared: Bind, Describe and Execute.
    var wireSize: Int {
        binds.reduce(64) { $0 + 8 + ($1.bytes?.count ?? 0) }
    }
}
