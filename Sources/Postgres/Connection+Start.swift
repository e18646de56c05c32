import CLibpq

extension Connection {
    /// Begins to connect. Before the caller's own settings, which win, stand ours: a partition that swallows packets is
    /// noticed within seconds instead of the kernel's two hours, by a connection that only listens too.
    static func start(_ conninfo: String) -> OpaquePointer? {
        let settings = [
            ("keepalives_idle", "5"), ("keepalives_interval", "2"), ("keepalives_count", "2"), ("dbname", conninfo),
        ]
        let keywords = settings.map { Array($0.0.utf8CString) }
        let values = settings.map { Array($0.1.utf8CString) }
        return withPointers(keywords) { keywords in
            withPointers(values) { values in
                // 1: `dbname` is a connection string and may be followed by nothing.
                PQconnectStartParams(keywords, values, 1)
            }
        }
    }

    /// The strings as C wants them: an array of pointers that ends in NULL.
    private static func withPointers<R>(_ strings: [[CChar]], _ body: ([UnsafePointer<CChar>?]) -> R) -> R {
        func next(_ rest: ArraySlice<[CChar]>, _ pointers: [UnsafePointer<CChar>?]) -> R {
            guard let first = rest.first else { return body(pointers + [nil]) }
            return first.withUnsafeBufferPointer { next(rest.dropFirst(), pointers + [$0.baseAddress]) }
        }
        return next(strings[...], [])
    }
}
