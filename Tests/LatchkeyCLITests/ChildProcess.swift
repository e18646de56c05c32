import Foundation
import Glibc
import Synchronization

/// A process that a test has started. It does not outlive the tests, whatever ends them, and nothing of the tests'
/// environment, descriptors or signal mask reaches it.
final class ChildProcess: Sendable {
    enum Exit: Sendable, Equatable {
        case code(Int32)
        case signal(Int32)
    }

    /// What has been heard of it so far.
    struct Transcript: Sendable {
        var output = ""
        var errors = ""
        /// Set once both streams have ended, too.
        var exit: Exit?

        var outputLines: [String] { output.split(whereSeparator: \.isNewline).map(String.init) }
        var errorLines: [String] { errors.split(whereSeparator: \.isNewline).map(String.init) }
    }

    struct Overdue: Error, CustomStringConvertible {
        let awaited: String
        let transcript: Transcript

        var description: String { "\(awaited) did not come; \(transcript)" }
    }

    let id: pid_t
    private let heard: Mutex<Heard>

    private struct Heard {
        var transcript = Transcript()
        /// Each answers whether it has found what it waits for.
        var waiters: [Int: @Sendable (Transcript) -> Bool] = [:]
        var next = 0
        var isReaped = false

        mutating func hear(_ change: (inout Transcript) -> Void) {
            change(&transcript)
            let transcript = transcript
            waiters = waiters.filter { !$0.value(transcript) }
        }
    }

    private init(_ id: pid_t) {
        self.id = id
        heard = Mutex(Heard())
    }

    /// - Parameters:
    ///   - command: a program's path and its arguments.
    ///   - input: what its standard input holds.
    static func start(
        _ command: [String], environment: [String: String] = [:], input: String = ""
    ) async throws -> ChildProcess {
        // The parent-death signal follows the thread that spawns, so this one stays until its child has ended.
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                do {
                    let streams = try Streams(input: input)
                    let child = ChildProcess(
                        try streams.spawn(["/usr/bin/setpriv", "--pdeathsig", "KILL"] + command, environment))
                    continuation.resume(returning: child)
                    child.listen(streams)
                } catch {
                    continuation.resume(throwing: error)
                }
            }
        }
    }

    /// Returns when the process has ended and said everything. For the thread that spawned it.
    private func listen(_ streams: Streams) {
        let ended = DispatchGroup()
        for (descriptor, stream) in [(streams.output.read, \Transcript.output), (streams.errors.read, \.errors)] {
            ended.enter()
            Thread.detachNewThread {
                while let bytes = Streams.read(descriptor) {
                    self.heard.withLock { $0.hear { $0[keyPath: stream] += String(decoding: bytes, as: UTF8.self) } }
                }
                close(descriptor)
                ended.leave()
            }
        }
        var information = siginfo_t()
        while waitid(P_PID, id_t(id), &information, WEXITED | WNOWAIT) < 0, errno == EINTR {}
        // Reaped under the lock: until then the id is nobody else's, and from then on it is sent no signal.
        let status = heard.withLock { heard in
            var status: Int32 = 0
            while waitpid(id, &status, 0) < 0, errno == EINTR {}
            heard.isReaped = true
            return status
        }
        ended.wait()
        let signal = status & 0x7F
        let exit = signal == 0 ? Exit.code((status >> 8) & 0xFF) : Exit.signal(signal)
        heard.withLock { $0.hear { $0.exit = exit } }
    }

    var transcript: Transcript { heard.withLock { $0.transcript } }

    /// Nothing once it has ended.
    func send(_ signal: Int32) {
        heard.withLock { if !$0.isReaped { kill(id, signal) } }
    }

    /// Waits until `find` finds something in the transcript, which it is shown at once and after every change.
    func await<Found: Sendable>(
        _ awaited: String, within seconds: Int, _ find: @escaping @Sendable (Transcript) -> Found?
    ) async throws -> Found {
        try await withCheckedThrowingContinuation { continuation in
            let waiter = heard.withLock { heard -> Int? in
                if let found = find(heard.transcript) {
                    continuation.resume(returning: found)
                    return nil
                }
                heard.next += 1
                heard.waiters[heard.next] = { transcript in
                    guard let found = find(transcript) else { return false }
                    continuation.resume(returning: found)
                    return true
                }
                return heard.next
            }
            guard let waiter else { return }
            DispatchQueue.global().asyncAfter(deadline: .now() + .seconds(seconds)) {
                let overdue = self.heard.withLock { heard in
                    heard.waiters.removeValue(forKey: waiter).map { _ in heard.transcript }
                }
                if let overdue { continuation.resume(throwing: Overdue(awaited: awaited, transcript: overdue)) }
            }
        }
    }

    /// The rest of the line on standard output that begins with `prefix`. Throws where the process ends without it.
    func line(after prefix: String, within seconds: Int = 120) async throws -> String {
        let awaited = "a line that begins with \(prefix)"
        let lines = try await self.await(awaited, within: seconds) { transcript -> [String]? in
            // The last line counts when it is whole.
            let whole = transcript.output.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            let found = whole.filter { $0.hasPrefix(prefix) }.map(String.init)
            return found.isEmpty && transcript.exit == nil ? nil : found
        }
        guard let line = lines.first else { throw Overdue(awaited: awaited, transcript: transcript) }
        return String(line.dropFirst(prefix.count))
    }

    @discardableResult
    func end(within seconds: Int = 60) async throws -> Transcript {
        try await self.await("its end", within: seconds) { $0.exit == nil ? nil : $0 }
    }
}

/// The three streams of a child.
private struct Streams {
    typealias Ends = (read: Int32, write: Int32)

    struct Refused: Error {
        let call: String
        let code: Int32
    }

    let input: Ends
    let output: Ends
    let errors: Ends

    /// - Parameter text: no longer than the kernel holds for a socket, 64 KiB at least.
    init(input text: String) throws {
        input = try Self.pair()
        output = try Self.pair()
        errors = try Self.pair()
        let bytes = Array(text.utf8)
        guard bytes.isEmpty || write(input.write, bytes, bytes.count) == bytes.count else {
            throw Refused(call: "write", code: errno)
        }
    }

    /// A socket pair, which can be made so that it closes at exec: another test may start a child at any moment.
    private static func pair() throws -> Ends {
        var ends: [Int32] = [0, 0]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw Refused(call: "socketpair", code: errno)
        }
        return (ends[0], ends[1])
    }

    static func read(_ descriptor: Int32) -> ArraySlice<UInt8>? {
        var bytes = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor, &bytes, bytes.count)
            if count > 0 { return bytes[..<count] }
            if count == 0 || errno != EINTR { return nil }
        }
    }

    /// As a shell would start it: no signal blocked, every signal with its default action.
    func spawn(_ command: [String], _ environment: [String: String]) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (descriptor, end) in [(Int32(0), input.read), (1, output.write), (2, errors.write)] {
            posix_spawn_file_actions_adddup2(&actions, end, descriptor)
        }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        let variables = ["PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"].merging(environment) { $1 }
        var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
        var pairs: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { (arguments + pairs).forEach { free($0) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, command[0], &actions, &attributes, &arguments, &pairs)
        for descriptor in [input.read, input.write, output.write, errors.write] { close(descriptor) }
        guard code == 0 else { throw Refused(call: "posix_spawn", code: code) }
        return child
    }
}
