/// When the JWKS is fetched again: pure, `now` in nanoseconds on the boot clock.
///
/// The last good set stays in use whatever happens: a key that must go is named by the revocation feed, and no answer
/// is no reason to refuse valid tokens.
struct KeyCacheState: Sendable {
    /// What to do with a token whose `kid` is not known.
    enum UnknownKey: Equatable {
        /// A fetch is due, and who makes it is to be told: once, or each of a flood of askers would wake all the others.
        case ask
        /// It was asked for, or is under way: all who ask share it.
        case wait
        /// One was made lately: forged `kid`s must not make of us a flood at the issuer.
        case refuse
    }

    /// Seconds that the JWKS is kept where its answer does not say (RFC 9111 §4.2.2 leaves it to us).
    static let usualAge: Int64 = 300
    /// Between two fetches for the sake of unknown keys.
    static let coolDown = Duration.seconds(10).nanoseconds

    private(set) var nextFetch = Int64.min
    private(set) var isFetching = false
    private var isAsked = false
    private var lastAsked: Int64?
    private var backoff = Backoff(first: .seconds(1), limit: .seconds(60))

    mutating func unknownKey(now: Int64) -> UnknownKey {
        if isFetching { return .wait }
        if nextFetch > now {
            if let lastAsked, now - lastAsked < Self.coolDown { return .refuse }
            lastAsked = now
            nextFetch = now
        }
        defer { isAsked = true }
        return isAsked ? .wait : .ask
    }

    mutating func begun(now: Int64) {
        isFetching = true
        isAsked = false
        // Whoever asks right after is asked to be content with what this one brings.
        lastAsked = now
    }

    /// - Parameter maxAge: of the answer, in seconds; between 1 s and a day of it is believed.
    mutating func succeeded(now: Int64, maxAge: Int64?) {
        isFetching = false
        backoff.succeeded()
        nextFetch = now + min(max(maxAge ?? Self.usualAge, 1), 86_400) * 1_000_000_000
    }

    mutating func failed(now: Int64, jitter: Double) {
        isFetching = false
        nextFetch = now + backoff.failed(jitter: jitter).nanoseconds
    }
}

/// `max-age` of `Cache-Control` (RFC 9111 §5.2.2.1), less the answer's `Age` (§5.1).
enum CacheControl {
    static func seconds(_ fields: [String], age: String?) -> Int64? {
        let directives = fields.flatMap { $0.utf8.split(separator: UInt8(ascii: ",")) }.map(trimmed)
        if directives.contains(where: { $0.elementsEqual("no-store".utf8) || $0.elementsEqual("no-cache".utf8) }) {
            return 0
        }
        let prefix = Array("max-age=".utf8)
        guard let directive = directives.first(where: { $0.starts(with: prefix) }),
            let maxAge = number(directive.dropFirst(prefix.count))
        else { return nil }
        return max(0, maxAge - (age.flatMap { number(trimmed(Substring($0).utf8)) } ?? 0))
    }

    private static func trimmed(_ text: Substring.UTF8View) -> [UInt8] {
        let start = text.drop { $0 == 0x20 || $0 == 0x09 }
        let count = start.reversed().drop { $0 == 0x20 || $0 == 0x09 }.count
        return start.prefix(count).map { 0x41...0x5a ~= $0 ? $0 | 0x20 : $0 }
    }

    /// Digits alone: `Int("+5")` is 5.
    private static func number(_ text: some Collection<UInt8>) -> Int64? {
        guard 1...10 ~= text.count, text.allSatisfy({ 0x30...0x39 ~= $0 }) else { return nil }
        return text.reduce(0) { $0 * 10 + Int64($1 - 0x30) }
    }
}
