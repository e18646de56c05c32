import Foundation

enum ProcessEnvironment {
    static var databaseURL: String? { ProcessInfo.processInfo.environment["LATCHKEY_DATABASE_URL"] }
}
