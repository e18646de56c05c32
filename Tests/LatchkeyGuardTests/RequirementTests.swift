import HTTPTypes
import Testing

@testable import LatchkeyGuard

@Suite("A requirement")
struct RequirementTests {
    private func fields(_ pairs: (String, String)...) throws -> HTTPFields {
        var fields = HTTPFields()
        for (name, value) in pairs {
            fields.append(HTTPField(name: try #require(HTTPField.Name(name)), value: value))
        }
        return fields
    }

    @Test func `is added to by query and by fields, and never taken from`() throws {
        let base = Requirement(scopes: ["base"], roles: ["user"])
        let byQuery = try base.adding(query: "scope=orders:read&role=clerk&scope=a%20b+c")
        #expect(byQuery.scopes == ["base", "orders:read", "a", "b", "c"])
        #expect(byQuery.roles == ["user", "clerk"])
        let byFields = try base.adding(
            fields(("X-Guard-Scope", "x y"), ("x-guard-role", "clerk"), ("X-Guard-Scope", "z"), ("X-Guard", "1")))
        #expect(byFields.scopes == ["base", "x", "y", "z"])
        #expect(byFields.roles == ["user", "clerk"])
        for nothing in ["", "&", "&&"] { #expect(try base.adding(query: nothing).scopes == ["base"]) }
    }

    @Test(arguments: [
        ("scopes=a", Requirement.Fault.parameter), ("Scope=a", .parameter), ("scope", .parameter), ("=a", .parameter),
        ("scope=a&x=1", .parameter), ("scope=%zz", .parameter), ("scope=%4", .parameter), ("scope=%ff", .parameter),
        ("scope=%+41", .parameter), ("sc%6fpe=a", .parameter), ("scope=", .value), ("scope=+", .value),
        ("role=", .value), ("scope=%22", .value), ("scope=%5C", .value), ("scope=%C3%A4", .value),
        ("scope=a%0Ab", .value), ("scope=a&role=%00", .value),
    ])
    func `that is misspelt is none, rather than one that asks for less`(query: String, fault: Requirement.Fault) {
        #expect(throws: fault) { _ = try Requirement().adding(query: query) }
    }

    @Test func `of an unknown or empty field is none`() throws {
        for (name, value, fault) in [
            ("X-Guard-Scopes", "a", Requirement.Fault.field), ("X-Guard-", "a", .field), ("X-Guard-Scope", "", .value),
            ("X-Guard-Role", "ä", .value),
        ] {
            let fields = try fields((name, value))
            #expect(throws: fault) { _ = try Requirement().adding(fields) }
        }
    }
}
