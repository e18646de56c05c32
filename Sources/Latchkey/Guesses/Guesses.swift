import JOSE
import LibCrypto
package import Logging
package import Postgres

/// Guess limits: this room counts passwords that are tried, by name, by known device and by network, and owns the tables
/// in which all nodes count together. It knows nothing of passwords, nor of what a door opens to: whoever compares a
/// password takes a slot before the hash, gives it back where nothing was guessed, and keeps it where the guess was wrong.
package struct Guesses: Sendable {
    private let database: Database
    private let masterKeys: MasterKeyRing
    private let limits: GuessLimits
    private let logger: Logger
    private let lane: GuessLane<GuessCaller, GuessVerdict>
    private let returns: GuessReturns

    package init(_ database: Database, masterKeys: MasterKeyRing, limits: GuessLimits, logger: Logger) {
        self.database = database
        self.masterKeys = masterKeys
        self.limits = limits
        self.logger = logger
        let half = Self.half(of: database)
        lane = GuessLane(patience: .nanoseconds(half)) { callers throws(PostgresError) in
            var verdicts: [GuessVerdict] = []
            // For all of them: whose task makes the call may hang up meanwhile.
            let taken = try await database.grouped(
                GuessSQL.take(callers, limits), in: .guesses, timeout: half, cancellation: .ignored)
            for row in taken.rows {
                verdicts.append(try GuessVerdict(row))
            }
            return verdicts
        }
        returns = GuessReturns(database)
    }

    /// In nanoseconds: how long one waits for the call in flight, and how long a call may take: together what a request
    /// waits for the database in all.
    static func half(of database: Database) -> Int64 { database.configuration.statementTimeout / 2 }

    /// Takes a slot in every bucket that counts this caller, or in none. A known device has a bucket of its own, **instead
    /// of** the name's and the network's: whoever guesses elsewhere cannot lock it out.
    ///
    /// - Parameters:
    ///   - name: as it was typed; unknown names and impossible ones are counted like any other.
    ///   - deviceToken: what the caller showed as one.
    /// - Throws: `Rejection.tooManyAttempts`, whatever the password would have been; `PostgresError` where it is not known
    ///   whether a slot was taken: then nothing may be looked at, and what was taken stays so.
    package func take(for name: String, deviceToken: String?, origin: Origin) async throws -> GuessSlot {
        let caller = caller(name, deviceToken: deviceToken, address: origin.address)
        guard !caller.accountKey.isEmpty || !caller.addressKey.isEmpty else {
            return GuessSlot(keys: [], takenAt: Instant(microseconds: 0), knownDevice: nil, full: [], address: nil)
        }
        // The call is made for several and heeds nobody's patience, but the time goes on this request's account.
        let begun = ContinuousClock.now
        defer { Patience.current?.spend(ContinuousClock.now - begun) }
        switch try await lane.answer(to: caller) {
        case .refused(let wait): throw Rejection.tooManyAttempts(retryAfter: Int(max(1, wait)))
        case .taken(let instant, let place, let fillsAccount, let fillsAddress):
            let account: GuessSlot.Full = place == nil ? .account : .device
            return GuessSlot(
                keys: caller.keys(place: place), takenAt: instant,
                knownDevice: place == nil ? nil : caller.device?.token,
                full: (fillsAccount ? [account] : []) + (fillsAddress ? [.address] : []), address: origin.address)
        }
    }

    /// Nothing was guessed: the password was right, or it was not looked at. Where the database cannot be told now, it is
    /// told later: an outage must not count against those it kept out.
    package func giveBack(_ slot: GuessSlot) async {
        guard !slot.keys.isEmpty else { return }
        await returns.giveBack(slot)
    }

    /// The same where the database has just failed: not waited for.
    package func owe(_ slot: GuessSlot) {
        guard !slot.keys.isEmpty else { return }
        returns.owe(slot)
    }

    /// The guess was wrong. Says so in the log where it was the last for now: at most `limits` times in a window for each
    /// bucket, however many are refused after it. The name is not told, since people type passwords there.
    package func keep(_ slot: GuessSlot, user: UserID?) {
        for full in slot.full {
            logger.notice(
                "a guess limit is reached: further passwords are refused for up to 15 minutes",
                metadata: [
                    "bucket": .string(full.rawValue), "user": .string(user?.text ?? "unknown"),
                    "address": .string(slot.address ?? "unknown"),
                ])
        }
    }

    /// The token to answer a login with: the same device's again where it is known, else a new device's.
    package func deviceToken(
        for user: UserID, passwordVersion: UInt32, known: DeviceToken?, bornAt instant: Instant
    ) -> String {
        let device =
            known.flatMap { $0.passwordVersion == passwordVersion ? $0.device : nil }
            ?? .version7(millisecondsSince1970: instant.milliseconds, random: SecureRandom.bytes(10))
        return DeviceToken(user: user, device: device, passwordVersion: passwordVersion).text(
            masterKeys: masterKeys.keys)
    }

    /// What is done once a minute: returns that failed are tried again, and spent rows go, a thousand at a time.
    package func keepHouse() async throws(PostgresError) {
        try await returns.settle()
        while try await database.query(GuessSQL.forgetSpent).affected == 1000 {}
    }

    private func caller(_ name: String, deviceToken: String?, address: String?) -> GuessCaller {
        let username = try? Username(name)
        let network = address.flatMap { IPAddress($0) }?.network
        guard limits.perAccount > 0 else {
            return GuessCaller(accountKey: [], addressKey: addressKey(network), username: "", device: nil)
        }
        let token = deviceToken.flatMap { DeviceToken($0, masterKeys: masterKeys.keys) }
        return GuessCaller(
            accountKey: key(.account, Array((username?.text ?? name).utf8)), addressKey: addressKey(network),
            username: username?.text ?? "",
            device: token.map { token in
                // The version too: a changed password leaves failures under the old one behind.
                let version = withUnsafeBytes(of: token.passwordVersion.bigEndian) { Array($0) }
                return .init(token: token, key: key(.device, token.user.id.bytes + version))
            })
    }

    private func addressKey(_ network: [UInt8]?) -> [UInt8] {
        guard let network, limits.perAddress > 0 else { return [] }
        return key(.address, network)
    }

    /// The first 128 bits of HMAC-SHA-256: a reader of the table cannot find out by trying which names were typed.
    private func key(_ kind: GuessSlot.Full, _ bytes: [UInt8]) -> [UInt8] {
        guard let key = masterKeys.keys.guessBucketKey else {
            preconditionFailure("there is a master key")
        }
        return Array(key.authenticate(Array(kind.rawValue.utf8) + [0] + bytes).prefix(16))
    }
}
