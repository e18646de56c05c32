import Foundation
import Glibc
import Synchronization

/// A running guard (see `GuardScript`) and the owner's end of its pipe: the one room that spawns and waits.
final class GuardProcess: Sendable {
    let processIdentifier: pid_t
    private let state: Mutex<State>

    private struct State {
        /// The owner's end; -1 once closed. Descriptors are reused: it is closed exactly once, under the lock.
        var pipe: Int32
        /// The guard's status as a shell says it: 128 and the signal where one ended it.
        var exit: Int32?
        var waiters: [CheckedContinuation<Int32, Never>] = []
        var watchers: [AsyncStream<Void>.Continuation] = []
    }

    /// Spawns the guard with `arguments` for its script, as `account`'s user, in a session of its own.
    init(account: ClusterAccount, arguments: [String]) throws(EmbeddedPostgresError) {
        var ends: [Int32] = [-1, -1]
        // CLOEXEC from birth, which pipe(2) cannot: another process spawned meanwhile must not keep the cluster alive.
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw .systemCall(name: "socketpair", code: errno) }
        defer { close(ends[0]) }
        do {
            processIdentifier = try Self.spawn(
                account.commandPrefix + ["/bin/sh", "-c", GuardScript.text, GuardScript.name] + arguments,
                input: ends[0])
        } catch {
            close(ends[1])
            throw error
        }
        state = Mutex(State(pipe: ends[1]))
        Thread.detachNewThread { [self] in reap() }
    }

    /// The guard's status, where it has ended.
    var exitStatus: Int32? { state.withLock { $0.exit } }

    /// Closes the pipe, which asks the guard to stop the server. Idempotent.
    func release() {
        state.withLock { state in
            if state.pipe >= 0 { close(state.pipe) }
            state.pipe = -1
        }
    }

    /// Asks for an end without a checkpoint; nothing where the pipe is closed or the guard has ended.
    func crash() {
        state.withLock { state in
            guard state.pipe >= 0 else { return }
            // The guard may have ended this instant: no SIGPIPE.
            _ = GuardScript.crash.withCString { send(state.pipe, $0, strlen($0), Int32(MSG_NOSIGNAL)) }
        }
    }

    /// Returns when neither the guard nor its server is left.
    @discardableResult
    func waitUntilExit() async -> Int32 {
        await withCheckedContinuation { continuation in
            let ended = state.withLock { state -> Int32? in
                if state.exit == nil { state.waiters.append(continuation) }
                return state.exit
            }
            if let ended { continuation.resume(returning: ended) }
        }
    }

    /// Ends when neither the guard nor its server is left. A task that iterates it may be cancelled.
    func exit() -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
        let isOver = state.withLock { state in
            if state.exit == nil { state.watchers.append(continuation) }
            return state.exit != nil
        }
        if isOver { continuation.finish() }
        return stream
    }

    private func reap() {
        var status: Int32 = 0
        var reaped: pid_t
        repeat { reaped = waitpid(processIdentifier, &status, 0) } while reaped < 0 && errno == EINTR
        // ECHILD: the owner ignores SIGCHLD, and the kernel reaped the guard when it ended.
        let signal = status & 0x7F
        let exit = reaped < 0 ? 0 : signal == 0 ? (status >> 8) & 0xFF : 128 + signal
        let (waiters, watchers) = state.withLock { state in
            state.exit = exit
            defer { (state.waiters, state.watchers) = ([], []) }
            return (state.waiters, state.watchers)
        }
        release()
        for waiter in waiters { waiter.resume(returning: exit) }
        for watcher in watchers { watcher.finish() }
    }

    /// No variable of the owner's reaches the server: neither its secrets nor `PGDATA` and the like.
    private static let environment = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"]

    private static func spawn(_ command: [String], input: Int32) throws(EmbeddedPostgresError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input, 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        // What the owner inherited without CLOEXEC (a pipe of `make … | tee`) would be held open as long as the server.
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? [] {
            if let descriptor = Int32(name), descriptor >= 3 { posix_spawn_file_actions_addclose(&actions, descriptor) }
        }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // The owner may block or ignore signals, which a child inherits and a shell cannot undo.
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        // POSIX_SPAWN_SETSID, which glibc's header keeps behind _GNU_SOURCE: a session of its own.
        let session: Int32 = 0x80
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | session))

        var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
        var variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
        defer { (arguments + variables).forEach { free($0) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, command[0], &actions, &attributes, &arguments, &variables)
        guard code == 0 else { throw .systemCall(name: "posix_spawn", code: code) }
        return child
    }
}
