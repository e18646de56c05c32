import Foundation

enum ProcessEnvironment {
    static var databaseURL: String? { ProcessInfo.processInfo.environment["LATCHKEY_DATABASE_URL"] }

    /// What of this process stands in memory.
    static var residentBytes: Int {
        let pages = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ")
        return (pages?.dropFirst().first.flatMap { Int($0) } ?? 0) * Int(getpagesize())
    }
}
