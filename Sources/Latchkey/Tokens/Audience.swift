import JOSE

/// The `aud` of tokens (RFC 9068 §3).
package enum Audience {
    /// What a request names by `resource` (RFC 8707 §2), of those that the installation knows; the default where it names
    /// nothing.
    ///
    /// - Throws: `Rejection.invalidTarget`.
    package static func requested(
        _ resources: [String], default audience: String, others: [String]
    ) throws(Rejection) -> [String] {
        guard !resources.isEmpty else { return [audience] }
        let known = [audience] + others
        for resource in resources where !known.contains(where: { $0.isSameText(as: resource) }) {
            throw .invalidTarget
        }
        return resources
    }
}
