import Foundation
import HTTPTypes
import LatchkeyTesting
import Logging
import Testing

@testable import Latchkey

/// `docs/operations.md` beside what the service really shows.
@Suite struct OperationsPageTests {
    private static func families() throws -> Set<String> {
        let source = try Repository.text("Sources/Latchkey/MetricsRoutes.swift")
        return Set(source.matches(of: /\.family\(\s*"([a-z_]+)"/).map { String($0.1) })
    }

    private static func section(_ title: String) throws -> String {
        let text = try Repository.text("docs/operations.md")
        let rest = try #require(text.components(separatedBy: "\n## \(title)\n").last)
        return try #require(rest.components(separatedBy: "\n## ").first)
    }

    @Test func `Every metric is described, and no other`() throws {
        let names = try Set(
            Self.section("Metrics").matches(of: /`((?:latchkey|process)_[a-z_]+)`/).map { String($0.1) })
        let families = try Self.families()
        try #require(families.count > 30)
        #expect(names.subtracting(families).sorted() == [])
        #expect(families.subtracting(names).sorted() == [])
    }

    @Test func `Every alert asks for metrics and labels that exist`() throws {
        let rows = try Self.section("Alerts").split(separator: "\n").filter { $0.hasPrefix("| ") }.dropFirst()
        #expect(rows.count >= 15)
        let (families, metrics) = (try Self.families(), try Self.section("Metrics"))
        for row in rows {
            let cells = row.split(separator: "|")
            let query = try #require(cells.dropFirst().first)
            let names = query.matches(of: /((?:latchkey|process)_[a-z_]+)/).map {
                String($0.1).replacing(/_(bucket|sum|count)$/, with: "")
            }
            #expect(!names.isEmpty, "\(row)")
            for name in names { #expect(families.contains(name), "\(name)") }
            for match in query.matches(of: /([a-z]+)="([^"]+)"/) where !["status", "route", "cause"].contains(match.1) {
                #expect(metrics.contains(match.2), "\(row)")
            }
            #expect(query.count { $0 == "(" } == query.count { $0 == ")" })
            #expect(cells.last.map { $0.count > 10 } == true, "what to do")
        }
        let causes = rows.joined().matches(of: /cause="([^"]+)"/).map { String($0.1) }
        #expect(!causes.isEmpty)
        for cause in causes { #expect(EndCause(rawValue: cause) != nil, "\(cause)") }
    }

    @Test func `The labels described are those of the closed sets`() throws {
        let text = try Self.section("Metrics")
        for label in LogInOutcome.allCases.map(\.label) + RefreshDecision.allCases.map(\.label)
            + SigningKeyState.allCases.map(\.rawValue) + RevocationEntry.Kind.allCases.map(\.label)
        {
            #expect(text.contains(label), "\(label)")
        }
    }

    @Test func `Links lead to files of the repository`() throws {
        for match in try Repository.text("docs/operations.md").matches(of: /\]\(([^)#]+)/) {
            let path = Repository.root.appending(path: "docs/\(match.1)").standardizedFileURL.path
            #expect(FileManager.default.fileExists(atPath: path), "\(match.1)")
        }
    }
}
