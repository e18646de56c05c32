import Configuration

extension SettingsReader {
    mutating func statusList() -> StatusListSettings {
        StatusListSettings(
            choice: choice("status.list", default: .off, of: StatusListChoice.allCases),
            ttl: seconds("status.listTtl", default: 60, in: 1...86_400))
    }

    mutating func checkStatusList(_ settings: Settings) {
        guard settings.statusList.choice == .on, settings.statusList.ttl > settings.accessTokenTTL else { return }
        problems.append(
            "LATCHKEY_STATUS_LIST_TTL is \(settings.statusList.ttl): it must be at most LATCHKEY_ACCESS_TOKEN_TTL "
                + "\(settings.accessTokenTTL), or a revoked token would expire before a verifier asks again")
    }
}
