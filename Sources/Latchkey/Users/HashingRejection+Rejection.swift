extension Rejection {
    /// What a password could not be hashed for.
    package init(_ rejection: HashingRejection) {
        switch rejection {
        case .overloaded(let seconds): self = .overloaded(retryAfter: seconds)
        case .cancelled, .pepperMissing: self = .unavailable(retryAfter: 1)
        }
    }
}
