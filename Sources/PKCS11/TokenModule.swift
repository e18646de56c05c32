import CPKCS11
import Foundation
import Glibc
import Synchronization

/// A PKCS #11 module, loaded once for the life of the process. Any number of calls share it; a restart has it alone.
///
/// Sendable: the function table is never written, the module was told to lock for its callers' threads, and the gate is a
/// lock itself.
final class TokenModule: @unchecked Sendable {
    let functions: lk_module
    private let gate: UnsafeMutablePointer<pthread_rwlock_t>
    private let restarts = Mutex((count: 0, at: 0))
    /// Since when somebody waits to begin it anew for a signature's sake.
    private let restartIsComing = Mutex<ContinuousClock.Instant?>(nil)
    /// For so long signatures that would fail again let whoever waits have the module: the lock prefers those who share.
    private static let giveWay: Duration = .seconds(1)
    /// Seconds between one beginning and the next.
    private static let shortestAge = 2

    init(_ functions: lk_module) {
        self.functions = functions
        gate = .allocate(capacity: 1)
        pthread_rwlock_init(gate, nil)
    }

    deinit {
        pthread_rwlock_destroy(gate)
        gate.deallocate()
    }

    private static let loaded = Mutex<[String: TokenModule]>([:])

    /// - Parameter path: of the shared library; the dynamic linker looks for one without a slash in its own places.
    static func load(_ path: String) throws(SecurityTokenError) -> TokenModule {
        try loaded.withLock { loaded throws(SecurityTokenError) in
            if let module = loaded[path] { return module }
            var functions: lk_module?
            guard lk_module_load(path, &functions) == CKR_OK, let functions else { throw .notAModule(path: path) }
            let module = TokenModule(functions)
            loaded[path] = module
            return module
        }
    }

    /// How often it was restarted: a session of an earlier beginning is void, and its handle may be another's by now.
    var generation: Int { beginning.generation }

    /// The same, and how many seconds ago that was.
    var beginning: (generation: Int, age: Int) { restarts.withLock { ($0.count, Self.now() - $0.at) } }

    /// Runs `body` while nobody restarts the module.
    func sharing<R>(_ body: () throws(SecurityTokenError) -> R) throws(SecurityTokenError) -> R {
        pthread_rwlock_rdlock(gate)
        defer { pthread_rwlock_unlock(gate) }
        return try body()
    }

    /// Ends and begins the module anew, at most once in two seconds: many of them know a token that came back in no other
    /// way. Every session is void afterwards.
    func restart() {
        pthread_rwlock_wrlock(gate)
        defer { pthread_rwlock_unlock(gate) }
        // The lock may have been waited for while a key was made.
        let now = Self.now()
        let isDue = restarts.withLock { last in
            guard now - last.at >= Self.shortestAge else { return false }
            last = (last.count + 1, now)
            return true
        }
        guard isDue else { return }
        _ = functions.pointee.C_Finalize(nil)
        _ = lk_module_initialize(functions)
    }

    /// The same on a thread of its own, for a signature: nobody who signs waits until a key is made, or for ever behind a
    /// call that hangs. One thread at most waits so, however many signatures ask for it. It waits the two seconds out too,
    /// unless somebody else begins the module anew meanwhile.
    func restartSoon() {
        let isFirst = restartIsComing.withLock { since in
            guard since == nil else { return false }
            since = .now
            return true
        }
        guard isFirst else { return }
        let known = generation
        Thread { [self] in
            while generation == known {
                guard beginning.age >= Self.shortestAge else {
                    Thread.sleep(forTimeInterval: 0.1)
                    continue
                }
                restartIsComing.withLock { $0 = .now }
                restart()
            }
            restartIsComing.withLock { $0 = nil }
        }.start()
    }

    /// Whether somebody waits to begin it anew for a signature's sake.
    var isAboutToRestart: Bool { restartIsComing.withLock { $0 != nil } }

    /// Whether a signature had better not use it now. Not for longer: a key may be being made, for a minute.
    var isLetGo: Bool { restartIsComing.withLock { $0.map { .now - $0 < Self.giveWay } ?? false } }

    /// Seconds that no step of a clock changes.
    private static func now() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return time.tv_sec
    }
}
