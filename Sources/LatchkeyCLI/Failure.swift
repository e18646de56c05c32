import Latchkey
import Postgres

/// What went wrong, in one line that says what to do.
struct Failure: Error, CustomStringConvertible {
    let description: String

    init(_ text: String) {
        description = text
    }

    init(_ error: any Error) {
        description =
            switch error {
            case let failure as Failure: failure.description
            case let rejection as Rejection: rejection.problem.detail
            case let error as PostgresError: "\(error); is the database running, and is LATCHKEY_DATABASE_URL right?"
            case let error as MigrationError: Self.text(error)
            case let error as any CustomStringConvertible: "\(error)"
            default: "\(type(of: error))"
            }
    }

    private static func text(_ error: MigrationError) -> String {
        switch error {
        case .ahead(let unknown):
            "a newer latchkey has migrated this database (\(unknown.joined(separator: ", "))): use that version"
        case .edited(let name):
            "migration \(name) differs from the one that was applied: use the version that applied it"
        case .failed(let name, .unknownOutcome): "the outcome of migration \(name) is unknown: run this again"
        case .failed(let name, let error): "migration \(name) failed and changed nothing: \(error)"
        case .lockHeld: "another process migrates this database and does not finish: look at pg_stat_activity"
        }
    }
}
