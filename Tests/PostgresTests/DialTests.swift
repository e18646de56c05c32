import Testing

@testable import Postgres

private let second: Int64 = 1_000_000_000

@Suite("The search for a server")
struct DialTests {
    private typealias Host = ServerTarget.Host

    private func dial(_ text: String, preferred: ServerTarget.Host? = nil, seconds: Int64 = 2) throws -> Dial {
        Dial(try #require(ServerTarget(text)), preferred: preferred, deadline: seconds * second)
    }

    @Test func `One host has all the time`() throws {
        var dial = try dial("host=/tmp port=1")
        #expect(dial.next(now: 0) == .connect(Host(host: "/tmp", port: "1"), until: 2 * second))
        #expect(dial.next(now: 1) == .giveUp)
    }

    @Test func `Each host has its share of what is left`() throws {
        var dial = try dial("host=/a,/b,/c port=1", seconds: 3)
        #expect(dial.next(now: 0) == .connect(Host(host: "/a", port: "1"), until: second))
        // The first refused at once: the others share what is left.
        #expect(dial.next(now: 0) == .connect(Host(host: "/b", port: "1"), until: 3 * second / 2))
        #expect(dial.next(now: 3 * second / 2) == .connect(Host(host: "/c", port: "1"), until: 3 * second))
        #expect(dial.next(now: 2 * second) == .giveUp)
    }

    @Test func `Past the deadline nothing is tried`() throws {
        var dial = try dial("host=/a,/b port=1")
        _ = dial.next(now: 0)
        #expect(dial.next(now: 2 * second) == .giveUp)
    }

    @Test func `The search begins where the last one ended, and goes round`() throws {
        var dial = try dial("host=/a,/b,/c port=1", preferred: Host(host: "/b", port: "1"))
        var order: [String] = []
        while case .connect(let host, _) = dial.next(now: 0) { order.append(host.host) }
        #expect(order == ["/b", "/c", "/a"])
    }

    @Test func `A preferred host that is not named any more is forgotten`() throws {
        var dial = try dial("host=/a,/b port=1", preferred: Host(host: "/z", port: "1"))
        #expect(dial.next(now: 0) == .connect(Host(host: "/a", port: "1"), until: second))
    }

    @Test func `A name is looked up, and its addresses share its share`() throws {
        var dial = try dial("host=db.example,/b port=7", seconds: 4)
        let name = Host(host: "db.example", port: "7")
        #expect(dial.next(now: 0) == .lookUp(name, until: 2 * second))
        #expect(
            dial.found(["192.0.2.1", "2001:db8::1"], now: 0)
                == .connect(Host(host: "db.example", hostaddr: "192.0.2.1", port: "7"), until: second))
        #expect(
            dial.next(now: second)
                == .connect(Host(host: "db.example", hostaddr: "2001:db8::1", port: "7"), until: 2 * second))
        #expect(dial.next(now: 2 * second) == .connect(Host(host: "/b", port: "7"), until: 4 * second))
        #expect(dial.next(now: 3 * second) == .giveUp)
    }

    @Test func `A name without addresses leaves its time to the next`() throws {
        var dial = try dial("host=nowhere.example,/b port=7")
        _ = dial.next(now: 0)
        #expect(dial.found([], now: second / 10) == .connect(Host(host: "/b", port: "7"), until: 2 * second))
    }

    @Test func `A look-up that used its share up leaves the rest to the next`() throws {
        var dial = try dial("host=slow.example,/b port=7")
        _ = dial.next(now: 0)
        #expect(dial.next(now: second) == .connect(Host(host: "/b", port: "7"), until: 2 * second))
    }

    @Test(arguments: ["192.0.2.1", "2001:db8::1", "/tmp", "@abstract"])
    func `An address and a socket are not looked up`(host: String) throws {
        var dial = try dial("host='\(host)' port=1")
        #expect(dial.next(now: 0) == .connect(Host(host: host, port: "1"), until: 2 * second))
    }

    @Test(arguments: ["192.0.2", "192.0.2.1.example", "1", "db"])
    func `What only looks like an address is looked up`(host: String) throws {
        var dial = try dial("host='\(host)' port=1")
        guard case .lookUp = dial.next(now: 0) else {
            Issue.record("not looked up")
            return
        }
    }
}

@Suite("Where a connection string leads")
struct ServerTargetTests {
    private func hosts(_ text: String) throws -> [String] {
        try #require(ServerTarget(text)).hosts.map { "\($0.host)|\($0.hostaddr)|\($0.port)" }
    }

    @Test func `Keywords and URIs say the same`() throws {
        #expect(try hosts("host=a,b port=1,2 user=u dbname=d") == ["a||1", "b||2"])
        #expect(try hosts("postgresql://u:p@a:1,b:2/d?sslmode=verify-full") == ["a||1", "b||2"])
        #expect(try hosts("postgresql:///d?host=/run/x,/run/y&port=5") == ["/run/x||5", "/run/y||5"])
    }

    @Test func `A port that is not said is 5432`() throws {
        #expect(try hosts("host=a,b port=,7") == ["a||5432", "b||7"])
    }

    @Test func `An address given beside its name stays with it`() throws {
        #expect(try hosts("host=a,b hostaddr=192.0.2.1,192.0.2.2 port=1") == ["a|192.0.2.1|1", "b|192.0.2.2|1"])
        #expect(try hosts("hostaddr=192.0.2.1,192.0.2.2 port=1") == ["|192.0.2.1|1", "|192.0.2.2|1"])
    }

    @Test(arguments: [
        "host='", "nonsense", "host=a,b hostaddr=192.0.2.1", "host=a,b,c port=1,2", "host=a bogus=1",
        "host=a,b hostaddr=192.0.2.1,", "postgresql://[::1",
    ])
    func `What libpq would not take leads nowhere`(text: String) {
        #expect(ServerTarget(text) == nil)
    }

    @Test(arguments: [
        ("host=a", nil), ("host=a,b", "read-write"), ("host=a,b target_session_attrs=any", "read-write"),
        ("host=a,b target_session_attrs=primary", nil), ("host=a target_session_attrs=read-write", nil),
        ("hostaddr=192.0.2.1,192.0.2.2", "read-write"),
    ])
    func `Of several hosts one that takes writes is sought`(text: String, attributes: String?) throws {
        #expect(try #require(ServerTarget(text)).sessionAttributes == attributes)
    }

    @Test func `Several hosts are several, whether by name or by address`() throws {
        #expect(try #require(ServerTarget("host=a,b")).hasSeveralHosts)
        #expect(try #require(ServerTarget("hostaddr=192.0.2.1,192.0.2.2")).hasSeveralHosts)
        #expect(try !#require(ServerTarget("host=a")).hasSeveralHosts)
        #expect(try !#require(ServerTarget("dbname=d")).hasSeveralHosts)
    }
}
