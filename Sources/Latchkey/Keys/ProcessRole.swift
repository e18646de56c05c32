/// What a process is to the installation.
package enum ProcessRole: Sendable {
    /// It serves: its own settings hold for what it does, and outlive it in what it hands out.
    case node
    /// It acts once, from a shell whose settings may be anything: those of the nodes hold.
    case command
}
