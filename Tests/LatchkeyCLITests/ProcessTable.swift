import Foundation
import Glibc

/// The machine's processes as /proc shows them. Zombies are left out: they run nothing, and where process 1 does not
/// reap, an orphan stays one for ever.
enum ProcessTable {
    private struct Entry {
        let id: pid_t
        let parent: pid_t
    }

    /// The processes below `id`, at any depth.
    static func descendants(of id: pid_t) -> Set<pid_t> {
        let entries = entries()
        var found: Set<pid_t> = []
        var parents: Set<pid_t> = [id]
        while !parents.isEmpty {
            let children = Set(entries.filter { parents.contains($0.parent) }.map(\.id)).subtracting(found)
            found.formUnion(children)
            parents = children
        }
        return found
    }

    /// The processes that name `folder` in their command line or work in it: a server's backends name nothing, but work
    /// in its data directory.
    static func using(_ folder: String) -> Set<pid_t> {
        Set(
            entries().map(\.id).filter { id in
                if id == getpid() { return false }
                let line = FileManager.default.contents(atPath: "/proc/\(id)/cmdline") ?? Data()
                if line.range(of: Data(folder.utf8)) != nil { return true }
                let here = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(id)/cwd")) ?? ""
                return here.hasPrefix(folder)
            })
    }

    /// Returns when none of `processes` and nobody who uses `folder` is left, with the time that took.
    ///
    /// Strangers' ends cannot be waited for, only looked at: on a thread of its own.
    static func untilGone(
        _ processes: Set<pid_t> = [], using folder: String, within limit: Duration
    ) async -> (left: Set<pid_t>, after: Duration) {
        let start = ContinuousClock.now
        return await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                while true {
                    let left = processes.intersection(entries().map(\.id)).union(using(folder))
                    let after = ContinuousClock.now - start
                    if left.isEmpty || after > limit { return continuation.resume(returning: (left, after)) }
                    usleep(20_000)
                }
            }
        }
    }

    private static func entries() -> [Entry] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { name in
            guard let id = pid_t(name), let stat = FileManager.default.contents(atPath: "/proc/\(id)/stat") else {
                return nil
            }
            // After the name in parentheses, which may hold anything: state, parent, … (proc(5)).
            let text = String(decoding: stat, as: UTF8.self)
            guard let name = text.lastIndex(of: ")") else { return nil }
            let fields = text[text.index(after: name)...].split(separator: " ")
            guard fields.count > 1, fields[0] != "Z", fields[0] != "X", let parent = pid_t(fields[1]) else {
                return nil
            }
            return Entry(id: id, parent: parent)
        }
    }
}
