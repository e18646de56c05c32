import CLibpq
import Glibc

/// Where a connection string leads: what libpq makes of it together with its environment (`PGHOST`, `PGSERVICE`, …) and
/// service files. Read once; holds no secret.
package struct ServerTarget: Sendable, Equatable {
    /// One of the hosts, in libpq's words. An empty `host` is libpq's own default, a socket.
    struct Host: Sendable, Hashable {
        var host = ""
        var hostaddr = ""
        var port = "5432"

        /// A socket's path, or an address: nothing to look up.
        var isAddress: Bool {
            host.isEmpty || !hostaddr.isEmpty || host.utf8.first == UInt8(ascii: "/")
                || host.utf8.first == UInt8(ascii: "@") || Self.isNumeric(host)
        }

        private static func isNumeric(_ host: String) -> Bool {
            var address = in6_addr()
            return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1
        }
    }

    let hosts: [Host]
    /// `target_session_attrs`, where it is not what libpq would do anyway.
    let sessionAttributes: String?

    /// Several hosts fail over to each other: one of them must be found that takes writes.
    package var hasSeveralHosts: Bool { hosts.count > 1 }

    /// nil for what libpq cannot read, or where its lists differ in length.
    package init?(_ connectionString: String) {
        guard let options = Self.options(of: connectionString) else { return nil }
        func list(_ keyword: String) -> [String] {
            (options[keyword] ?? "").split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        }
        let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port"))
        let hasAddresses = addresses != [""]
        let count = hasAddresses ? addresses.count : hosts.count
        guard !hasAddresses || hosts == [""] || hosts.count == count, ports.count == 1 || ports.count == count
        else { return nil }
        // libpq ignores an empty override: a list of addresses with a hole could not be taken apart.
        guard !hasAddresses || count == 1 || !addresses.contains("") else { return nil }
        self.hosts = (0..<count).map { index in
            let port = ports.count == 1 ? ports[0] : ports[index]
            return Host(
                host: hosts.count == count ? hosts[index] : "", hostaddr: hasAddresses ? addresses[index] : "",
                port: port.isEmpty ? "5432" : port)
        }
        let attributes = options["target_session_attrs"] ?? "any"
        // With several hosts a standby that happens to come first would refuse every write.
        sessionAttributes = count > 1 && attributes == "any" ? "read-write" : nil
    }

    /// Every option by its keyword, defaults included. Opens nothing: an option that libpq checks last and that is wrong
    /// ends the attempt before it begins, with all options read. (`PQconndefaults` would miss a `service` named in the
    /// string.)
    private static func options(of connectionString: String) -> [String: String]? {
        var message: UnsafeMutablePointer<CChar>?
        let parsed = PQconninfoParse(connectionString, &message)
        PQfreemem(message)  // it may quote the password
        guard let parsed else { return nil }
        PQconninfoFree(parsed)
        let attempt = Connection.start([("dbname", connectionString), ("gssencmode", "none")])
        defer { PQfinish(attempt) }
        guard let attempt, let first = PQconninfo(attempt) else { return nil }
        defer { PQconninfoFree(first) }
        var options: [String: String] = [:]
        var option = first
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { options[String(cString: keyword)] = String(cString: value) }
            option += 1
        }
        return options
    }
}
