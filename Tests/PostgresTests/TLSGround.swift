import Foundation
import Glibc
import LatchkeyTesting
import Synchronization

/// Certificates of two authorities, made by the `openssl` command; and what of a cluster must know them.
struct TLSGround: Sendable {
    let folder: String
    /// An address of loopback that nobody else in this run listens on.
    let address = "127.\(Int.random(in: 1...254)).\(Int.random(in: 1...254)).\(Int.random(in: 1...254))"

    static let password = "canary-of-the-password"

    static func run(_ body: (TLSGround) async throws -> Void) async throws {
        let it = TLSGround(folder: "/tmp/latchkey-tests-tls-\(String(UInt64.random(in: .min ... .max), radix: 16))")
        try FileManager.default.createDirectory(atPath: it.folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: it.folder) }
        try await it.makeCertificates()
        try await body(it)
    }

    private func makeCertificates() async throws {
        let script = """
            set -e
            cd "$1"
            for authority in ours theirs; do
                openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
                    -subj "/CN=$authority" -keyout $authority.key -out $authority.pem
                openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server \
                    -keyout $authority-server.key -out $authority-server.csr
                printf 'subjectAltName=DNS:db.example' > extensions
                openssl x509 -req -in $authority-server.csr -CA $authority.pem -CAkey $authority.key -CAcreateserial \
                    -days 2 -extfile extensions -out $authority-server.pem
            done
            printf '%s\\n' 'local all all trust' 'hostssl all scram all scram-sha-256' 'hostssl all clear all password' \
                > hba.conf
            chmod 755 .
            chmod 644 *
            chmod 600 *.key
            if [ "$(id -u)" = 0 ]; then chown postgres ours-server.key; fi
            """
        guard try await Self.finish(start("/bin/sh", ["-c", script, "sh", folder])) == 0 else {
            throw CocoaError(.fileWriteUnknown)
        }
    }

    /// Options of a cluster that listens on `address` with the certificate of ours.
    var options: [String: String] {
        [
            "listen_addresses": address, "ssl": "on", "ssl_cert_file": "\(folder)/ours-server.pem",
            "ssl_key_file": "\(folder)/ours-server.key", "hba_file": "\(folder)/hba.conf",
        ]
    }

    /// - Parameters:
    ///   - input: what it reads, and then nothing more: no end either, at which `s_server` would not listen any more.
    ///   - output: the file into which it writes.
    func start(
        _ program: String, _ arguments: [String], input: [UInt8]? = nil, output: String? = nil
    ) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.standardInput = try input.map(endless) ?? FileHandle.nullDevice
        if let output { _ = FileManager.default.createFile(atPath: output, contents: nil) }
        process.standardOutput = output.flatMap { FileHandle(forWritingAtPath: $0) } ?? FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        return process
    }

    /// A named pipe open for both, so that it has no end; not inherited by what is started meanwhile.
    private func endless(_ bytes: [UInt8]) throws -> FileHandle {
        let path = "\(folder)/input-\(UInt64.random(in: .min ... .max))"
        guard mkfifo(path, 0o600) == 0 else { throw CocoaError(.fileWriteUnknown) }
        let descriptor = open(path, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0, write(descriptor, bytes, bytes.count) == bytes.count else {
            throw CocoaError(.fileWriteUnknown)
        }
        return FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    }

    private static func finish(_ process: Process) async throws -> Int32 {
        _ = await becomesTrue(within: .seconds(60)) { !process.isRunning }
        return process.terminationStatus
    }
}

/// A server of no good: it answers the request for TLS as it likes, asks for the password in clear, and writes down all
/// that it is sent. With TLS it is `openssl s_server` that reads what the client says.
final class Impostor: Sendable {
    enum Face { case plain, tls(authority: String) }

    let port: UInt16
    private let listener: Int32
    private let heard = Mutex<[UInt8]>([])
    private let behind: (process: Process, output: String)?
    /// AuthenticationCleartextPassword (PostgreSQL's protocol 3.0, §55.7).
    private static let asksForPassword: [UInt8] = [UInt8(ascii: "R"), 0, 0, 0, 8, 0, 0, 0, 3]

    init(_ face: Face, _ ground: TLSGround) throws {
        (listener, port) = try Self.listen()
        switch face {
        case .plain: behind = nil
        case .tls(let authority):
            let (probe, free) = try Self.listen()
            Glibc.close(probe)
            let output = "\(ground.folder)/heard-\(free)"
            let process = try ground.start(
                "/usr/bin/openssl",
                [
                    "s_server", "-quiet", "-accept", "127.0.0.1:\(free)", "-cert",
                    "\(ground.folder)/\(authority)-server.pem", "-key", "\(ground.folder)/\(authority)-server.key",
                ], input: Self.asksForPassword, output: output)
            behind = (process, output)
            Thread.detachNewThread { [self] in serve(through: free) }
            return
        }
        Thread.detachNewThread { [self] in serve(through: nil) }
    }

    func close() {
        shutdown(listener, Int32(SHUT_RDWR))
        // Not SIGTERM: the child inherits a mask in which the tests' process has that one blocked.
        if let process = behind?.process, process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }

    /// All that a client said that this server can read.
    var whatItKnows: [UInt8] {
        heard.withLock { $0 }
            + (behind.flatMap { FileManager.default.contents(atPath: $0.output) }.map(Array.init) ?? [])
    }

    private func serve(through port: UInt16?) {
        while true {
            let client = accept(listener, nil, nil)
            guard client >= 0 else { break }
            Thread.detachNewThread { [self] in
                answer(client, through: port)
                Glibc.close(client)
            }
        }
        Glibc.close(listener)
    }

    private func answer(_ client: Int32, through port: UInt16?) {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        let first = read(client, &buffer, 8)
        guard first == 8 else { return }
        heard.withLock { $0 += buffer.prefix(8) }
        // SSLRequest; else it is a startup message already.
        let wantsTLS = buffer.prefix(8).elementsEqual([0, 0, 0, 8, 4, 0xD2, 0x16, 0x2F])
        guard let port else {
            if wantsTLS {
                send(client, [UInt8(ascii: "N")], 1, Int32(MSG_NOSIGNAL))
                guard listen(client, &buffer) else { return }
            } else if !listen(client, &buffer) {
                return
            }
            send(client, Self.asksForPassword, Self.asksForPassword.count, Int32(MSG_NOSIGNAL))
            while listen(client, &buffer) {}
            return
        }
        guard wantsTLS, let server = Self.connect(port) else { return }
        send(client, [UInt8(ascii: "S")], 1, Int32(MSG_NOSIGNAL))
        Thread.detachNewThread {
            Self.pump(server, client)
            Glibc.close(server)
        }
        Self.pump(client, server)
    }

    /// Writes down what comes next. False at the end.
    private func listen(_ client: Int32, _ buffer: inout [UInt8]) -> Bool {
        let count = read(client, &buffer, buffer.count)
        guard count > 0 else { return false }
        heard.withLock { $0 += buffer.prefix(count) }
        return true
    }

    private static func pump(_ from: Int32, _ to: Int32) {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = read(from, &buffer, buffer.count)
            guard count > 0, send(to, buffer, count, Int32(MSG_NOSIGNAL)) == count else { break }
        }
        shutdown(to, Int32(SHUT_RDWR))
    }

    private static func loopback(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = port.bigEndian
        return address
    }

    private static func listen() throws -> (socket: Int32, port: UInt16) {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = loopback(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                Glibc.bind(socket, address, length) == 0 && Glibc.listen(socket, 64) == 0
                    && getsockname(socket, address, &length) == 0
            }
        }
        guard bound else { throw CocoaError(.fileWriteUnknown) }
        return (socket, UInt16(bigEndian: address.sin_port))
    }

    /// Waits until `openssl` listens.
    private static func connect(_ port: UInt16) -> Int32? {
        for _ in 0..<200 {
            let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            var address = loopback(port)
            let made = withUnsafePointer(to: &address) { address in
                address.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
                }
            }
            if made { return socket }
            Glibc.close(socket)
            usleep(20_000)
        }
        return nil
    }
}
