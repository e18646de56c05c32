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
}
