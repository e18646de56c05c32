/// Several statements sent at once with one sync: one implicit transaction, or a part of an explicit one.
struct Batch {
    var queries: [Query]
    /// Text of a migration, sent by the simple protocol, which alone takes several statements in one text.
    var script: String?
    var deadline: Int64
    /// Called once, on the reactor's thread.
    var completion: (BatchOutcome) -> Void
}

enum BatchOutcome: Sendable {
    /// `warned`: the server warned meanwhile; a commit among them may not have reached its standby.
    case done([ResultSet], warned: Bool)
    /// Nothing since the last commit stands.
    case refused(PostgresError)
    /// The connection broke, or the deadline passed, with statements in flight.
    case broken

    /// The outcome of an autocommit statement. After a warning its commit may not have reached the standby.
    var single: Result<ResultSet, PostgresError> {
        switch self {
        case .done(let results, warned: false): results.first.map { .success($0) } ?? .failure(.unexpectedRowCount(0))
        case .done, .broken: .failure(.unknownOutcome)
        case .refused(let error): .failure(error)
        }
    }
}
