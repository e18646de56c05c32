internal import JOSE

/// RFC 6749 §3.3: `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`.
package struct Scope: Sendable {
    package let text: String

    package init?(_ text: String) {
        guard (1...128).contains(text.utf8.count),
            text.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != 0x22 && $0 != 0x5C })
        else { return nil }
        self.text = text
    }

    /// The scopes of a space-separated list, each once, in order.
    package static func list(_ text: String) throws -> [String] {
        var seen: Set<String> = []
        var scopes: [String] = []
        for part in text.utf8.split(separator: 0x20) {
            guard let scope = Scope(String(decoding: part, as: UTF8.self)) else { throw Rejection.invalidScope }
            if seen.insert(scope.text).inserted { scopes.append(scope.text) }
        }
        return scopes
    }

    /// What every login's token may do: act on the caller's own account. No client has it.
    package static let account = "account"

    /// What a token may do at Latchkey's own API beyond its own account. The role `admin` carries these.
    package static let administrative = [
        "users:read", "users:write", "clients:read", "clients:write", "sessions:read", "sessions:revoke", "keys:read",
        "keys:rotate", "keys:compromise", "audit:read", "introspect",
    ]

    /// Byte for byte, as all comparing of scopes is.
    package static func list(_ scopes: [String], holds scope: String) -> Bool {
        scopes.contains { $0.isSameText(as: scope) }
    }
}
