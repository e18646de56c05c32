import Configuration

extension SettingsReader {
    /// The folder of the master keys: what is set, else systemd's credentials where they hold one, else `keys`.
    package static func keysDirectory(in sources: [SettingsSource]) -> String {
        text("keys.dir", in: sources) ?? credentials(in: sources) ?? "keys"
    }

    private static func credentials(in sources: [SettingsSource]) -> String? {
        guard let path = sources.lazy.compactMap(\.credentialsDirectory).first,
            let versions = try? MasterKeyFolder(path).versions(), !versions.isEmpty
        else { return nil }
        return path
    }

    /// An inherited file descriptor that the master keys are read from.
    mutating func descriptor() -> Int32? {
        guard let text = string("masterKey.fd") else { return nil }
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int32(text), number <= 65_535 else {
            problems.append("\(told("masterKey.fd", text)): it must be the number of an open file descriptor")
            return nil
        }
        return number
    }
}
