import HTTPTypes
package import Hummingbird
import NIOCore
import Synchronization

/// `GET /revocations` and `GET /revocations/stream`, as `docs/revocation.md` describes them.
package struct FeedRoutes: Sendable {
    package static let path = "/revocations"

    private let feed: RevocationFeed
    private let clients: Clients
    private let settings: FeedSettings
    private let plain: PlainLists

    package init(_ feed: RevocationFeed, clients: Clients, settings: FeedSettings) {
        self.feed = feed
        self.clients = clients
        self.settings = settings
        plain = PlainLists(feed)
    }

    package func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.get(RouterPath(Self.path)) { request, _ in
            try await admit(request)
            let query = try FeedQuery(request)
            let form = FeedQuery.form(request.headers)
            if let after = query.after {
                return try await behind(after, query, form, FeedCoding.of(request.headers))
            }
            guard let nonce = query.nonce else { return try await whole(form, request.headers) }
            let whole = try await feed.whole()
            let signed = try whole.message(nonce: nonce, feed.list.extract).signed(by: feed.source)
            var answer = FeedAnswer(
                form: form, signed: signed, entries: whole.entries, encoded: whole.encoded?[form])
            if FeedCoding.of(request.headers) == .gzip { await answer.compress(feed.compression) }
            return try response(answer)
        }
        router.get(RouterPath(Self.path + "/stream")) { request, _ in
            try await admit(request)
            return try await stream(request)
        }
    }

    private func admit(_ request: Request) async throws {
        guard settings.access != .everyone else { return }
        guard let claim = try ClaimedClient(FormBody(bytes: []), request.headers), claim.secret != nil else {
            throw Rejection.invalidClient
        }
        switch settings.access {
        case .everyone: break
        case .clients: _ = try await clients.authenticate(claim)
        case .verifiers: try await clients.authenticate(claim, holding: FeedAccess.scope)
        }
    }

    /// The whole list for whoever asks: the same bytes for a second.
    private func whole(_ form: FeedForm, _ headers: HTTPFields) async throws -> Response {
        let list = try await plain.current()
        var answer = FeedAnswer(
            form: form, signed: list.signed, entries: list.whole.entries, encoded: list.whole.encoded?[form])
        if FeedCoding.of(headers) == .gzip { await answer.compress(feed.compression) }
        let etag = list.etag(form, answer.coding)
        var fields = FeedAnswer.fields(
            form, answer.coding,
            cacheControl: settings.access == .everyone ? "public, max-age=1" : "private, max-age=1")
        fields[.eTag] = etag
        if headers.contains(.ifNoneMatch), JWKSRoutes.holds(headers[values: .ifNoneMatch], etag) {
            return Response(status: .notModified, headers: fields)
        }
        return Response(status: .ok, headers: fields, body: try answer.body(feed.longAnswers))
    }

    private func response(_ answer: FeedAnswer) throws -> Response {
        Response(
            status: .ok, headers: FeedAnswer.fields(answer.form, answer.coding, cacheControl: "no-store"),
            body: try answer.body(feed.longAnswers))
    }

    private func behind(
        _ after: FeedPosition, _ query: FeedQuery, _ form: FeedForm, _ coding: FeedCoding
    ) async throws -> Response {
        // Who comes from further on waits for a tick: as one of those who may wait, since anybody can spell such a position.
        let early = feed.isAhead(after) ? try enter() : nil
        let extract = try await feed.extract(after: after)
        guard query.wait > 0, extract.position == after else {
            var present = try answer(extract, after: after, query, form)
            if coding == .gzip { await present.compress(feed.compression) }
            return try response(present)
        }
        let place = try early ?? enter()
        let cursor = feed.ring.join().cursor
        let deadline = BootInstant.now().advanced(by: query.wait * 1_000_000_000)
        // The head goes out now and the request is under way no longer: those who wait take no other's place. What is held
        // is told as soon as there is something, mostly one entry: it is not compressed.
        return Response(
            status: .ok, headers: FeedAnswer.fields(form, .identity, cacheControl: "no-store"),
            body: ResponseBody { writer in
                let extract = await feed.wait(from: cursor, behind: extract, until: deadline)
                try await answer(extract, after: after, query, form).write(to: &writer)
                withExtendedLifetime(place) {}
                try await writer.finish(nil)
            })
    }

    /// A place among those who follow.
    private func enter() throws -> FeedRing.Place {
        guard let place = feed.ring.enter(most: settings.followers) else { throw Rejection.overloaded(retryAfter: 1) }
        return place
    }

    private func answer(
        _ extract: RevocationList.Extract, after: FeedPosition, _ query: FeedQuery, _ form: FeedForm
    ) throws -> FeedAnswer {
        let message = feed.message(extract, after: after, nonce: query.nonce)
        return FeedAnswer(form: form, signed: try message.signed(by: feed.source), entries: message.entries)
    }

    private func stream(_ request: Request) async throws -> Response {
        let query = try FeedQuery(request)
        let place = try enter()
        let start = try await start(request.headers[.lastEventID], query.after)
        // Who was disabled meanwhile, or lost the scope, must not follow for ever.
        let end = settings.access == .everyone ? nil : BootInstant.now().advanced(by: settings.longestStream)
        return Response(
            status: .ok,
            // A proxy that gathers what it passes on would hold every event back (nginx).
            headers: [.contentType: "text/event-stream", .cacheControl: "no-store", .accelBuffering: "no"],
            body: ResponseBody { writer in
                try await feed.follow(start, nonce: query.nonce, until: end, to: &writer)
                withExtendedLifetime(place) {}
                try await writer.finish(nil)
            })
    }

    /// A browser cannot mend what it sends: a position of no use begins anew.
    private func start(_ lastEventID: String?, _ after: FeedPosition?) async throws -> RevocationFeed.Start {
        guard feed.list.extract != nil else { throw Rejection.unavailable(retryAfter: 1) }
        let last = lastEventID.flatMap { $0.isEmpty ? nil : $0 }
        guard last != nil || after != nil else { return .whole(.start) }
        guard let position = last.map({ FeedPosition(word: $0) }) ?? after else { return .whole(.history) }
        do {
            let extract = try await feed.extract(after: position)
            return .behind(position, history: extract.history)
        } catch Rejection.resync {
            return .whole(.history)
        }
    }
}

/// The whole list with the one signature that everybody gets.
private final class PlainLists: Sendable {
    struct Plain: Sendable {
        let whole: FeedLists.Whole
        let signed: FeedMessage.Signed
        private let signedAt = BootInstant.now()
        private let word: String

        init(_ whole: FeedLists.Whole, by feed: RevocationFeed) throws {
            self.whole = whole
            let message = whole.message(nonce: nil, feed.list.extract)
            signed = try message.signed(by: feed.source)
            word = "\(message.position.word).\(message.claim.asOf.nanoseconds)"
        }

        /// Another for each spelling of the list (RFC 9110 §8.8.3.3).
        func etag(_ form: FeedForm, _ coding: FeedCoding) -> String {
            "\"\(word).\(form)\(coding == .gzip ? ".gzip" : "")\""
        }

        /// A second long, while the list is the same.
        func isOf(_ whole: FeedLists.Whole) -> Bool {
            self.whole.made == whole.made && BootInstant.now() - signedAt < 1_000_000_000
        }
    }

    private let feed: RevocationFeed
    private let latest = Mutex<Plain?>(nil)

    init(_ feed: RevocationFeed) {
        self.feed = feed
    }

    func current() async throws -> Plain {
        let whole = try await feed.whole()
        if let plain = latest.withLock({ $0 }), plain.isOf(whole) { return plain }
        let plain = try Plain(whole, by: feed)
        latest.withLock { $0 = plain }
        return plain
    }
}

extension HTTPField.Name {
    fileprivate static let accelBuffering = HTTPField.Name(known: "x-accel-buffering")
    fileprivate static let lastEventID = HTTPField.Name(known: "last-event-id")
}
