import CLibpq

/// The rows of one statement, as libpq keeps them.
// Sendable: a PGresult is never written to after libpq has handed it over, and this class alone clears it.
package final class ResultSet: @unchecked Sendable {
    private let result: OpaquePointer

    init(_ result: OpaquePointer) {
        self.result = result
    }

    deinit {
        PQclear(result)
    }

    package var count: Int { Int(PQntuples(result)) }

    /// How many rows an INSERT, UPDATE or DELETE touched.
    package var affected: Int {
        guard let text = PQcmdTuples(result) else { return 0 }
        return Int(String(cString: text)) ?? 0
    }

    /// The command tag: "COMMIT", or "ROLLBACK" where a COMMIT met an aborted transaction.
    var tag: String {
        PQcmdStatus(result).map { String(cString: $0) } ?? ""
    }

    package var rows: some Sequence<Row> {
        (0..<count).lazy.map { Row(set: self, index: Int32($0)) }
    }

    package var first: Row? {
        count > 0 ? Row(set: self, index: 0) : nil
    }

    /// The one row of a statement that always returns one.
    package func one() throws(PostgresError) -> Row {
        guard count == 1 else { throw .unexpectedRowCount(count) }
        return Row(set: self, index: 0)
    }

    package struct Row: Sendable {
        let set: ResultSet
        let index: Int32

        /// Throws `undecodable` with the column's name where it is missing, NULL or another type.
        package func decode<T: PostgresValue>(_ column: String, as type: T.Type = T.self) throws(PostgresError) -> T {
            guard let value: T = try decodeIfPresent(column) else { throw .undecodable(column: column) }
            return value
        }

        package func decodeIfPresent<T: PostgresValue>(
            _ column: String, as type: T.Type = T.self
        ) throws(PostgresError) -> T? {
            let result = set.result
            let number = PQfnumber(result, column)
            guard number >= 0, PQftype(result, number) == T.postgresType else { throw .undecodable(column: column) }
            if PQgetisnull(result, index, number) == 1 { return nil }
            let bytes = UnsafeRawBufferPointer(
                start: PQgetvalue(result, index, number), count: Int(PQgetlength(result, index, number)))
            guard let value = T(postgresBytes: bytes) else { throw .undecodable(column: column) }
            return value
        }
    }
}
