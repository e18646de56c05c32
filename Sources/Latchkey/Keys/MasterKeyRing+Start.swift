package import Postgres

extension MasterKeyRing {
    /// What must be true of the master keys before a node serves: all that the installation needs are held, each is the
    /// installation's own, and what is sealed under them opens. New versions are made known.
    ///
    /// - Parameter keys: the signing keys as they stand.
    /// - Throws: `MasterKeyRefusal`.
    package func settle(_ signingKeys: [SigningKey], now: Instant, origin: Origin) async throws {
        let records = try await readRecords(on: database)
        try requireKnown(records)
        let held = keys
        // One that leaked without having come into use is named by nothing.
        for record in records
        where record.retiredAt == nil
            && (record.compromisedAt == nil ? records.mayHaveMinted(record) : record.mintingFrom != nil)
        {
            guard held.versions.contains(record.version) else {
                throw MasterKeyRefusal.missing(record.version, in: source.place)
            }
        }
        let retired = Set(records.filter { $0.retiredAt != nil }.map(\.version))
        try requireOpening(signingKeys, with: held, retired: retired, now: now)
        let known = Set(records.map(\.version))
        try await notice(held, held.versions.filter { !known.contains($0) }, .use)
        _ = try await promote(origin: origin)
    }

    /// A key whose seal is broken stops the start where it signs; another one says so when it is needed. A master key that
    /// opens nothing of its own is another installation's, and stops it in any case.
    private func requireOpening(
        _ signingKeys: [SigningKey], with held: MasterKeys, retired: Set<Int16>, now: Instant
    ) throws {
        for key in signingKeys where key.sealed != nil {
            do {
                _ = try key.unseal(with: held, among: signingKeys)
            } catch SigningKeyError.doesNotOpen(let kid, let fault) {
                switch fault {
                case .noMasterKey(let version):
                    guard retired.contains(version) else {
                        throw MasterKeyRefusal.missing(version, in: source.place)
                    }
                    // One that is retired is held by nobody, and its file is not taken: what it sealed is lost, and no node
                    // would ever start.
                    if key.state(at: now) == .active { throw MasterKeyRefusal.lost(kid: kid, version: version) }
                    tell(kid, fault)
                case .wrongMasterKey(let version): throw MasterKeyRefusal.another(version, in: source.place)
                case .movedFrom, .otherVersion, .damaged:
                    if key.state(at: now) == .active { throw MasterKeyRefusal.sealed(kid: kid, fault) }
                    tell(kid, fault)
                }
            }
        }
    }
}
