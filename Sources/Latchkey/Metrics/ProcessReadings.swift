import Foundation

/// What the kernel says of this process, under the names that Prometheus' client libraries share.
package struct ProcessReadings: Sendable {
    package let residentBytes: Int
    package let cpuSeconds: Double
    package let openDescriptors: Int
    package let maximumDescriptors: UInt64
    /// Unix seconds.
    package let startedAt: Double

    /// Worked out once: read again it would differ by a clock tick, and look like a restart.
    private static let started: Double? = {
        guard let fields = stat(), fields.count > 19, let sinceBoot = Double(fields[19]),
            let uptime = read("/proc/uptime")?.split(separator: " ").first.flatMap({ Double($0) })
        else { return nil }
        return (Date().timeIntervalSince1970 - uptime + sinceBoot / ticks).rounded()
    }()

    private static let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))

    /// proc(5): the second field, the name, may hold blanks and parentheses; what is read here comes after its end.
    private static func stat() -> [Substring]? {
        read("/proc/self/stat").map { ($0.split(separator: ")").last ?? "").split(separator: " ") }
    }

    /// nil where there is no `/proc`.
    package static func now() -> ProcessReadings? {
        guard let started, let fields = stat(), fields.count > 19, let user = Double(fields[11]),
            let system = Double(fields[12]),
            let pages = read("/proc/self/statm")?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }),
            let descriptors = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")
        else { return nil }
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return ProcessReadings(
            residentBytes: pages * Int(sysconf(Int32(_SC_PAGESIZE))), cpuSeconds: (user + system) / ticks,
            // One of them was open for this very reading.
            openDescriptors: descriptors.count - 1, maximumDescriptors: UInt64(limit.rlim_cur), startedAt: started)
    }

    private static func read(_ path: String) -> String? {
        // Files of /proc have no size: they are read to their end.
        guard let handle = FileHandle(forReadingAtPath: path), let data = try? handle.readToEnd() else { return nil }
        return String(decoding: data, as: UTF8.self)
    }
}
