import Foundation
import LatchkeyVerifier
import Logging
import Testing

@testable import LatchkeyGuard

@Suite("The guard's settings")
struct GuardSettingsTests {
    private static let needed: [GuardSetting: String] = [
        .issuer: "https://id.example", .audience: "https://api.example",
    ]

    private func read(
        _ options: [GuardSetting: String] = needed, _ environment: [String: String] = [:]
    ) throws -> GuardSettings {
        try GuardSettings(options: options, environment: environment, hostName: "web 1.example")
    }

    private func problems(
        _ options: [GuardSetting: String] = needed, _ environment: [String: String] = [:]
    ) -> [String] {
        do {
            _ = try read(options, environment)
            return []
        } catch {
            return (error as? GuardSettingsError)?.problems ?? ["\(error)"]
        }
    }

    @Test func `have defaults that fail closed`() throws {
        let settings = try read()
        #expect(settings.whenStale == .refuse && settings.staleAfter == .seconds(5))
        #expect(settings.authorization == .drop && settings.upstream == nil && settings.credentials == nil)
        #expect(settings.host == "127.0.0.1" && settings.port == 8070)
        #expect(settings.managementHost == "127.0.0.1" && settings.managementPort == 9070)
        #expect(settings.requirement.scopes == [] && settings.requirement.roles == [])
        #expect(settings.name == "guard/web1.example:8070")
        #expect(settings.upstreamTimeout == .seconds(60) && settings.bodyLimit == 16_777_216)
        #expect(settings.logLevel == .info && settings.leeway == .seconds(30))
    }

    @Test func `come from options, else from the environment, else by default; what is empty is not given`() throws {
        let settings = try read(
            Self.needed.merging([.port: "1", .host: "", .scope: "a b", .whenStale: "accept"]) { $1 },
            [
                "LATCHKEY_GUARD_PORT": "2", "LATCHKEY_GUARD_HOST": "0.0.0.0", "LATCHKEY_GUARD_SCOPE": "c",
                "LATCHKEY_GUARD_ROLE": "clerk  admin", "LATCHKEY_GUARD_STALE_AFTER": "", "LATCHKEY_PORT": "8080",
                "LATCHKEY_GUARD_UPSTREAM": "http://127.0.0.1:3000/", "LATCHKEY_GUARD_AUTHORIZATION": "pass",
            ])
        #expect(settings.port == 1 && settings.managementPort == 1001 && settings.host == "0.0.0.0")
        #expect(settings.requirement.scopes == ["a", "b"] && settings.requirement.roles == ["clerk", "admin"])
        #expect(settings.whenStale == .accept && settings.staleAfter == .seconds(5))
        #expect(settings.upstream?.address(of: "/x") == "http://127.0.0.1:3000/x")
        #expect(settings.authorization == .pass)
    }

    @Test(arguments: [
        (GuardSetting.port, "65536"), (.port, "+1"), (.port, "eighty"), (.port, "٨"), (.managementPort, "-1"),
        (.staleAfter, "2"), (.staleAfter, "3601"), (.staleAfter, "5.0"), (.leeway, "301"), (.whenStale, "Refuse"),
        (.whenStale, "ignore"), (.scope, "a \"b\""), (.scope, "ä"), (.role, " "), (.name, "one two"), (.name, "é"),
        (.upstream, "127.0.0.1:3000"), (.upstream, "http://127.0.0.1:3000/orders"), (.upstreamTimeout, "0"),
        (.authorization, "forward"), (.bodyLimit, "1G"), (.logLevel, "loud"), (.credentialsFile, "/nowhere"),
    ])
    func `are refused by name, with what is allowed`(setting: GuardSetting, value: String) {
        let byOption = problems(Self.needed.merging([setting: value]) { $1 })
        #expect(byOption.count == 1 && byOption[0].hasPrefix("\(setting.option) is '\(value)': "), "\(byOption)")
        let byVariable = problems(Self.needed, [setting.variable: value])
        #expect(byVariable.count == 1 && byVariable[0].hasPrefix("\(setting.variable) is '\(value)': "))
    }

    @Test func `are all told of at once, and so is a variable that is none`() {
        let told = problems(
            [:], ["LATCHKEY_GUARD_PORT": "x", "LATCHKEY_GUARD_SCOPES": "orders:read", "LATCHKEY_GUARD_LEEWAY": "-1"])
        #expect(told.count == 5, "\(told)")
        for word in [
            "--issuer or LATCHKEY_GUARD_ISSUER is missing", "--audience or ", "_PORT", "_SCOPES is no setting",
        ] {
            #expect(told.contains { $0.contains(word) }, "\(word)")
        }
    }

    @Test func `take credentials from the environment or from a file that nobody else reads, and repeat none`() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "guard-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: file) }
        func write(_ text: String, mode: Int) throws {
            try text.write(toFile: file, atomically: true, encoding: .utf8)
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file)
        }
        #expect(try read(Self.needed, ["LATCHKEY_GUARD_CREDENTIALS": "me:hunter2:x"]).credentials != nil)
        try write("me:hunter2\n", mode: 0o600)
        let options = Self.needed.merging([.credentialsFile: file]) { $1 }
        let settings = try read(options)
        #expect(settings.credentials != nil)
        #expect(!"\(String(reflecting: settings))".contains("hunter2"))
        try write("me:hunter2\n", mode: 0o640)
        #expect(problems(options).contains { $0.contains("0600") })
        for text in ["hunter2", ":hunter2", "hunter2:", ""] {
            try write(text, mode: 0o600)
            let told = problems(options)
            #expect(told.count == 1 && !told[0].contains("hunter2"), "\(told)")
        }
    }
}
