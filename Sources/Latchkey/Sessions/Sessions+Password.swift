import Postgres

extension Sessions {
    /// An account whose password was shown, as it stood when its hash was read.
    struct Proof: Sendable {
        let credentials: Credentials
        let phc: PHCString
        let verdict: PasswordVerdict
        /// The known device that it was shown on.
        let device: DeviceToken?
    }

    /// Refuses a log in that could not be hashed before anything is done for it.
    ///
    /// - Throws: `Rejection.overloaded`.
    func admitLogIn() throws {
        do {
            try users.hasher.requireRoom()
        } catch {
            metrics.logIns.add(.overloaded)
            throw Rejection(error)
        }
    }

    /// The one way to a password, for every door that takes one: a guess's slot, the credentials, the hash (no connection
    /// held meanwhile), and then `open`. The slot is given back where the password was right, where it was not looked at
    /// (503) and where the caller hung up before that; a wrong one keeps it.
    ///
    /// - Parameters:
    ///   - name: what the guesses are counted by.
    ///   - read: reads the account; nil where there is none.
    /// - Throws: `Rejection.tooManyAttempts`, `.invalidCredentials`, each the same after the same work for an unknown
    ///   name, a wrong password, a disabled account and one without a password; `.overloaded`, what `read` and `open` throw.
    func prove<R: Sendable>(
        _ password: Password, of name: String, deviceToken: String?, origin: Origin,
        reading read: () async throws -> Credentials?, _ open: (Proof) async throws -> R
    ) async throws -> R {
        // A flood that cannot be hashed costs neither a slot nor a look at the database.
        do { try users.hasher.requireRoom() } catch { throw Rejection(error) }
        let slot = try await guesses.take(for: name, deviceToken: deviceToken, origin: origin)
        let credentials: Credentials?
        let verdict: PasswordVerdict
        do {
            credentials = try await read()
            verdict = try await users.hasher.verify(password, against: credentials?.effectivePHC)
        } catch {
            if error is PostgresError { guesses.owe(slot) } else { await guesses.giveBack(slot) }
            throw (error as? HashingRejection).map { Rejection($0) } ?? error
        }
        guard let credentials, let phc = credentials.effectivePHC, verdict != .differs else {
            guesses.keep(slot, user: credentials?.id)
            throw Rejection.invalidCredentials
        }
        // Beside what the door does next, so that it costs the answer no time, and before the answer, so that whoever
        // logs in by script finds the slot free again. What `open` throws does not stop it.
        async let given: Void = guesses.giveBack(slot)
        let result = try await open(
            Proof(credentials: credentials, phc: phc, verdict: verdict, device: slot.knownDevice))
        await given
        return result
    }
}
