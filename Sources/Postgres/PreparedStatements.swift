/// What a connection's server has prepared, by text and types of the binds: the same text with other types is another
/// statement. Bounded: beyond `maximum` all are dropped, and those in use are prepared again.
struct PreparedStatements {
    struct Shape: Hashable {
        let sql: String
        let types: [UInt32]

        init(_ query: Query) {
            sql = query.sql
            types = query.types
        }
    }

    /// Far more than the service has statements; each costs the server some 10 to 50 KiB in each connection.
    static let maximum = 512

    /// What must be prepared before statements can run.
    struct Work {
        /// All that the server holds goes first.
        let dropsAll: Bool
        let shapes: [(shape: Shape, name: String)]
    }

    /// An aborted transaction takes no DEALLOCATE, only its end.
    enum Transaction { case sound, aborted }

    private var names: [Shape: String] = [:]
    /// How many the server holds, those that are not used any more included.
    private var held = 0
    private var made = 0

    /// The names of the statements' shapes; nil where `work(for:)` comes first.
    func names(of queries: [Query]) -> [String]? {
        var all: [String] = []
        all.reserveCapacity(queries.count)
        for query in queries {
            guard let name = names[Shape(query)] else { return nil }
            all.append(name)
        }
        return all
    }

    mutating func work(for queries: [Query], in transaction: Transaction) -> Work {
        let shapes = Set(queries.map(Shape.init))
        var missing = shapes.filter { names[$0] == nil }
        let dropsAll = transaction == .sound && held > 0 && held + missing.count > Self.maximum
        if dropsAll {
            (names, held) = ([:], 0)
            missing = shapes
        }
        let work = missing.map { shape -> (Shape, String) in
            made += 1
            return (shape, "s\(made)")
        }
        return Work(dropsAll: dropsAll, shapes: work)
    }

    mutating func didPrepare(_ shape: Shape, as name: String) {
        names[shape] = name
        held += 1
    }

    /// The server says that a plan does not fit its table any more, or that it does not know a name: each is prepared
    /// afresh, under another name.
    mutating func forget() {
        names = [:]
    }
}
