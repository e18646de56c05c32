/// Who may read the revocation feed, and how many at once.
package struct FeedSettings: Sendable {
    package var access: FeedAccess
    /// Streams and held answers of one node.
    package var followers: Int
    /// Nanoseconds after which a stream ends, where not everyone may read: who connects again is asked again who it is. A
    /// little more than the ten minutes after which a follower anchors anew: mostly it leaves by itself.
    package var longestStream: Int64 = 610_000_000_000
}

package enum FeedAccess: String, Sendable, CaseIterable {
    case everyone
    /// Whoever authenticates as a confidential client.
    case clients
    /// Such a client, registered with the scope `revocations`.
    case verifiers

    package static let scope = "revocations"
}
