import Hummingbird
import NIOCore
import Postgres

extension RevocationFeed {
    /// Entries behind a position that are worth sending to one reader: the whole list is made once for all who ask for it.
    static let mostBehind = 16_384
    /// Nanoseconds: with the quarter of a second after which waiters look again, within two seconds.
    private static let mostPatience: Int64 = 1_500_000_000

    /// The whole list. Whoever has just revoked something here finds it there, though the position moves by reading alone.
    func whole() async throws -> FeedLists.Whole {
        let begun = BootInstant.now()
        // What is appended from here on is not waited for, or a steady stream of it would hold up every reader.
        let own = list.appendedAt
        while let own, let read = list.position, own.epoch == read.epoch, own.seq > read.seq,
            BootInstant.now() - begun < Self.mostPatience / 6, await readings.next()
        {}
        return try await lists.current(notBehind: own)
    }

    /// The list as of now, where it has gone through `position`.
    ///
    /// - Throws: `Rejection.resync` where it has not; `.unavailable` where that cannot be told.
    func extract(after position: FeedPosition) async throws -> RevocationList.Extract {
        let extract = try await extract(notBehind: position)
        guard position.epoch == extract.position.epoch, position.seq <= extract.position.seq else {
            throw Rejection.resync
        }
        if position == extract.position { return extract }
        guard position.seq < extract.position.seq, extract.log.count(after: position.seq) <= Self.mostBehind,
            try await list.wentThrough(position)
        else { throw Rejection.resync }
        return extract
    }

    /// Whether a position is ahead of this node: what it is waits to be seen.
    func isAhead(_ position: FeedPosition) -> Bool {
        list.position.map { position.epoch == $0.epoch && position.seq > $0.seq } ?? false
    }

    /// A position ahead of this node: another has read further. A tick that began after the request shows whether there is
    /// such a position; it need not be asked for, since one comes twice a second.
    private func extract(notBehind position: FeedPosition) async throws -> RevocationList.Extract {
        let begun = BootInstant.now()
        let most = Patience.current?.bounded(Self.mostPatience) ?? Self.mostPatience
        // The database may be asked about the position next.
        defer { Patience.current?.spend(.nanoseconds(BootInstant.now() - begun)) }
        while true {
            guard let extract = list.extract else { throw Rejection.unavailable(retryAfter: 1) }
            guard position.epoch == extract.position.epoch, position.seq > extract.position.seq,
                extract.claim.asOf < begun
            else { return extract }
            guard BootInstant.now() - begun < most, await readings.next() else {
                throw Rejection.unavailable(retryAfter: 1)
            }
        }
    }

    /// Waits until there is something behind `position` or the time is over.
    ///
    /// - Parameters:
    ///   - cursor: of the stream, from before `extract` was taken, so that nothing is missed.
    ///   - extract: whose position it is.
    func wait(
        from cursor: Int, behind extract: RevocationList.Extract, until deadline: BootInstant
    ) async -> RevocationList.Extract {
        var (cursor, extract) = (cursor, extract)
        let position = extract.position
        while true {
            guard let latest = list.extract, latest.history == extract.history else { return extract }
            extract = latest
            guard extract.position == position, case .events(_, let next) = await ring.next(cursor, until: deadline)
            else { return list.extract.map { $0.history == extract.history ? $0 : extract } ?? extract }
            cursor = next
        }
    }

    /// Where a stream begins.
    enum Start: Sendable {
        case behind(FeedPosition, history: Int)
        case whole(FeedEvent.Reason)
    }

    /// Writes the stream, until its reader goes, is cut off, the time is over, or the node shuts down.
    func follow(
        _ start: Start, nonce: String?, until end: BootInstant?, to writer: inout any ResponseBodyWriter
    ) async throws {
        var nonce = nonce
        let position: FeedPosition
        let history: Int
        switch start {
        case .behind(let given, let number): (position, history) = (given, number)
        case .whole(let reason):
            let whole = try await self.whole()
            try await write(whole, reason, nonce: nonce, to: &writer)
            nonce = nil
            (position, history) = (whole.position, whole.history)
        }
        guard var cursor = try await join(behind: position, history: history, start, nonce: nonce, to: &writer) else {
            // Another history was met meanwhile.
            return try await writer.write(ByteBuffer(bytes: FeedEvent.resync(.history)))
        }
        while end.map({ BootInstant.now() < $0 }) ?? true,
            case .events(let events, let next) = await ring.next(cursor, until: end)
        {
            cursor = next
            if events.count == 1 {
                try await writer.write(events[0].bytes)
            } else {
                try await writer.write(contentsOf: events.map(\.bytes))
            }
        }
    }

    private func write(
        _ whole: FeedLists.Whole, _ reason: FeedEvent.Reason, nonce: String?, to writer: inout any ResponseBodyWriter
    ) async throws {
        let start = FeedEvent.retry + FeedEvent.resync(reason)
        try await write(whole.entries, behind: start, to: &writer) { whole.message(nonce: nonce, list.extract) }
    }

    /// A part at a time: who takes them slowly holds one of them, not all.
    ///
    /// - Parameter message: made when its parts are written: its claim is to be the latest.
    private func write(
        _ entries: FeedMessage.Entries, behind start: [UInt8], to writer: inout any ResponseBodyWriter,
        message: () -> FeedMessage
    ) async throws {
        var buffer = ByteBuffer(bytes: start)
        for piece in entries.pieces.dropLast() {
            buffer.writeBytes(FeedEvent.part(piece))
            try await writer.write(buffer)
            buffer = ByteBuffer()
        }
        buffer.writeBytes(try FeedEvent.end(of: message(), by: source))
        try await writer.write(buffer)
    }

    /// Brings the reader from `position` to where the stream stands.
    ///
    /// - Returns: the stream's cursor there; nil where `position` is of another history by now.
    private func join(
        behind position: FeedPosition, history: Int, _ start: Start, nonce: String?,
        to writer: inout any ResponseBodyWriter
    ) async throws -> Int? {
        var (cursor, standing) = ring.join()
        // The stream may not have got as far as the list.
        while let place = standing, place.position.epoch == position.epoch, place.position.seq < position.seq {
            guard case .events(let events, let next) = await ring.next(cursor) else { return nil }
            cursor = next
            standing = events.last { $0.standing != nil }?.standing ?? standing
        }
        guard let standing, let extract = list.extract, extract.history == history,
            standing.position.epoch == position.epoch
        else { return nil }
        let entries = FeedMessage.Entries(
            extract.log.extract(after: position.seq, through: standing.position.seq, now: nil))
        let claim = extract.position == standing.position ? extract.claim : standing.claim
        let message = FeedMessage(
            position: standing.position, after: position, claim: claim, entries: entries, nonce: nonce)
        switch start {
        case .behind: try await write(entries, behind: FeedEvent.retry, to: &writer) { message }
        case .whole where standing.position != position:
            try await write(entries, behind: [], to: &writer) { message }
        case .whole: break
        }
        return cursor
    }
}
