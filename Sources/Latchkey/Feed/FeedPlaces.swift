import Synchronization

/// So many at once: a place is taken until what it was taken for is over, or forgotten (an answer that is never written).
final class FeedPlaces: Sendable {
    private let most: Int
    private let taken = Mutex(0)

    init(most: Int) {
        self.most = most
    }

    final class Place: Sendable {
        private let places: FeedPlaces

        fileprivate init(_ places: FeedPlaces) {
            self.places = places
        }

        deinit {
            places.taken.withLock { $0 -= 1 }
        }
    }

    /// nil where all are taken.
    func take() -> Place? {
        let isIn = taken.withLock { taken in
            guard taken < most else { return false }
            taken += 1
            return true
        }
        return isIn ? Place(self) : nil
    }
}
