import Foundation
import NIOCore
import Postgres
import Synchronization

/// Whole lists for whoever asks for one, made at most a few times a second and shared: encoded where the list is short, as
/// pieces that share their bytes with the node's log where it is long.
final class FeedLists: Sendable {
    struct Whole: Sendable {
        let position: FeedPosition
        let claim: RevocationList.Claim
        let history: Int
        let entries: FeedMessage.Entries
        /// The encoded entries; nil for a long list.
        let encoded: [FeedForm: ByteBuffer]?
        let made: BootInstant
        /// Nanoseconds that it took.
        fileprivate let cost: Int64

        func message(nonce: String?, _ extract: RevocationList.Extract?) -> FeedMessage {
            // The same list, and a later claim of it.
            let isSame = extract?.history == history && extract?.position == position
            return FeedMessage(
                position: position, after: nil, claim: isSame ? extract?.claim ?? claim : claim, entries: entries,
                nonce: nonce)
        }
    }

    /// Entries of which the encoded form is kept.
    static let mostEncoded = 65_536
    /// Nanoseconds after which what has expired is left out.
    private static let mostAge: Int64 = 60_000_000_000

    private let list: RevocationList
    private let latest = Mutex<Whole?>(nil)
    /// A list of millions takes a second to go through: not on a thread that others share, and one at a time.
    private let queue = DispatchQueue(label: "revocation-lists")

    init(_ list: RevocationList) {
        self.list = list
    }

    /// Nanoseconds: a list that takes longer is not made anew for each revocation that its reader may know of.
    private static let smallCost: Int64 = 20_000_000

    /// - Parameter own: what the reader may know of; a long list may be behind it nevertheless, and says so.
    /// - Throws: `Rejection.unavailable` before the list was read.
    func current(notBehind own: FeedPosition?) async throws -> Whole {
        if let usable = usable(notBehind: own) { return usable }
        let made: Whole? = await withCheckedContinuation { continuation in
            queue.async { continuation.resume(returning: self.usable(notBehind: own) ?? self.make()) }
        }
        guard let made else { throw Rejection.unavailable(retryAfter: 1) }
        return made
    }

    private func usable(notBehind own: FeedPosition?) -> Whole? {
        guard let whole = latest.withLock({ $0 }), let extract = list.extract, extract.history == whole.history else {
            return nil
        }
        let age = BootInstant.now() - whole.made
        // At most a fifth of a thread makes lists; a short one is always the latest.
        let isBehind = own.map { $0.epoch == whole.position.epoch && $0.seq > whole.position.seq } ?? false
        let isRecent = age < 4 * whole.cost && !(isBehind && whole.cost < Self.smallCost)
        return isRecent || (extract.position == whole.position && age < Self.mostAge) ? whole : nil
    }

    private func make() -> Whole? {
        guard let extract = list.extract else { return nil }
        let begun = BootInstant.now()
        let entries = FeedMessage.Entries(
            extract.log.extract(
                after: nil, through: extract.position.seq, now: list.clock.reading?.settled.seconds))
        var encoded: [FeedForm: ByteBuffer]?
        if entries.count <= Self.mostEncoded {
            encoded = [:]
            for form in FeedForm.allCases { encoded?[form] = Self.encode(entries, form) }
        }
        let made = BootInstant.now()
        let whole = Whole(
            position: extract.position, claim: extract.claim, history: extract.history, entries: entries,
            encoded: encoded, made: made, cost: made - begun)
        latest.withLock { $0 = whole }
        return whole
    }

    static func encode(_ entries: FeedMessage.Entries, _ form: FeedForm) -> ByteBuffer {
        var buffer = ByteBuffer()
        var place = FeedForm.Place.first
        for piece in entries.pieces {
            buffer.writeBytes(form.piece(piece, place))
            place = .further
        }
        return buffer
    }
}
