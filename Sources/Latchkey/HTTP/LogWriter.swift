internal import Dispatch
internal import Foundation
internal import Glibc
internal import Synchronization

/// The one writer of standard error: whole lines, in their order. A thread of its own writes what has gathered within two
/// milliseconds in one call, so that a line costs a request no system call, and a log that nobody reads (a full pipe) blocks
/// that thread alone: beyond `capacity` lines are dropped and counted.
final class LogWriter: Sendable {
    enum Urgency {
        case soon
        /// Before `write` returns: what tells of a fault must not be lost with the process.
        case now
    }

    private static let gathering: UInt32 = 2_000

    private let descriptor: Int32
    /// In bytes.
    private let capacity: Int

    private struct State {
        var gathered: [UInt8] = []
        var dropped = 0
    }

    static let standardError: LogWriter = {
        let writer = LogWriter()
        let thread = Thread { writer.loop() }
        thread.name = "log"
        thread.start()
        // What was said last is often why.
        atexit { LogWriter.standardError.leave() }
        return writer
    }()

    private let state = Mutex(State())
    /// Held while bytes go out, so that two never write at once.
    private let output = Mutex(())
    private let wake = DispatchSemaphore(value: 0)

    /// Without a thread: nothing is written but by `flush`.
    init(descriptor: Int32 = STDERR_FILENO, capacity: Int = 4 << 20) {
        self.descriptor = descriptor
        self.capacity = capacity
    }

    func write(_ line: [UInt8], _ urgency: Urgency) {
        let isFirst = state.withLock { state in
            guard state.gathered.count + line.count <= capacity else {
                state.dropped += 1
                return false
            }
            defer { state.gathered += line }
            return state.gathered.isEmpty
        }
        if urgency == .now { flush() } else if isFirst { wake.signal() }
    }

    /// Returns once everything that was said before is written.
    func flush() {
        output.withLock { _ in drain() }
    }

    /// The same at the end of the process, which a reader that takes nothing does not hold up for more than a second.
    func leave() {
        for _ in 0..<100 {
            if output.withLockIfAvailable({ _ in drain() }) != nil { return }
            usleep(10_000)
        }
    }

    private func drain() {
        let (bytes, dropped) = state.withLock { state in
            defer { state = State() }
            return (state.gathered, state.dropped)
        }
        put(bytes)
        if dropped > 0 {
            let line = #"{"level":"warning","message":"log lines were dropped: nobody took them","lines":\#(dropped)}"#
            put(Array(line.utf8) + [0x0A])
        }
    }

    private func loop() {
        while true {
            wake.wait()
            usleep(Self.gathering)
            flush()
        }
    }

    private func put(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno == EAGAIN {
                usleep(Self.gathering)  // a full pipe that does not block
            } else if errno != EINTR {
                return  // nobody is there any more: the service goes on without the lines
            }
        }
    }
}
