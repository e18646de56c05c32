import Foundation
import LatchkeyGuard
import Testing

/// `docs/guard.md` and the configurations beside it.
@Suite struct GuardPageTests {
    private static func text(_ path: String) throws -> String {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        return try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    @Test func `Every setting stands in the table by both its names, and the command has every option`() async throws {
        let page = try Self.text("docs/guard.md")
        let rows = page.matches(of: /(?m)^\| (?:`(--[a-z-]+)` )?\| `(LATCHKEY_GUARD_[A-Z_]+)` \|/)
        #expect(rows.map { String($0.2) }.sorted() == GuardSetting.allCases.map(\.variable).sorted())
        let help = try await LatchkeyBinary.run(["guard", "--help"]).output
        for setting in GuardSetting.allCases {
            let row = try #require(rows.first { $0.2 == setting.variable })
            guard setting != .credentials else {
                #expect(row.1 == nil && !help.contains("--credentials "), "no secret is an argument")
                continue
            }
            #expect(row.1.map { String($0) } == setting.option)
            #expect(help.contains("  \(setting.option) "), "\(setting.option)")
        }
    }

    @Test func `The page names every field of an identity, and nginx and Envoy replace each`() throws {
        let page = try Self.text("docs/guard.md")
        let identity = try Self.text("docs/packaging/nginx-guard-identity.conf")
        for field in IdentityFields.Field.allCases {
            #expect(page.contains("| `\(field.rawValue)` |"))
            let variable = field.rawValue.lowercased().replacing("-", with: "_")
            let line = try #require(
                identity.firstMatch(of: try Regex("auth_request_set (\\$[a-z_]+) \\$upstream_http_\(variable);")))
            #expect(identity.contains("proxy_set_header \(field.rawValue) \(line.output[1].substring ?? "");"))
            #expect(field.rawValue.lowercased().hasPrefix("x-auth-"))
        }
        let envoy = try Self.text("docs/packaging/envoy-guard.yaml")
        for line in [
            "path_prefix: /envoy", "failure_mode_allow: false", "patterns: [{prefix: x-auth-, ignore_case: true}]",
            "headers_with_underscores_action: REJECT_REQUEST", "{key: X-Guard-Scope, value: \"orders:read\"}",
            "patterns: [{exact: authorization}, {safe_regex: {regex: \"x[^a-z0-9]auth[^a-z0-9].*\"}}]", "timeout: 4s",
        ] {
            #expect(envoy.contains(line), "\(line)")
        }
    }
}
