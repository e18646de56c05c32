import Foundation

/// Wall time and this process's CPU time from its making to `print`.
struct Measure {
    private let began = ContinuousClock.now
    private let spent = Measure.cpuSeconds()

    /// One JSON object on standard output. CPU is in seconds, user and system together.
    ///
    /// - Parameter more: further members.
    func print(count: Int, _ more: KeyValuePairs<String, Double> = [:]) {
        let (seconds, attoseconds) = (ContinuousClock.now - began).components
        let wall = Double(seconds) + Double(attoseconds) / 1e18
        let rest = more.map { #","\#($0.key)":\#($0.value)"# }.joined()
        Swift.print(#"{"count":\#(count),"seconds":\#(wall),"cpu":\#(Measure.cpuSeconds() - spent)\#(rest)}"#)
    }

    static func cpuSeconds() -> Double {
        var usage = rusage()
        getrusage(RUSAGE_SELF.rawValue, &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }
}
