import CLibpq

/// The arrays that libpq wants of a statement's arguments, kept from one statement to the next.
struct Arguments {
    private var values: [UnsafePointer<CChar>?] = []
    private var formats: [CInt] = []

    /// Sends `query`, which the server knows as `name`, in binary both ways; false where libpq refuses it.
    mutating func send(_ query: Query, named name: String, over pg: OpaquePointer?) -> Bool {
        let count = query.lengths.count
        if formats.count < count { formats = [CInt](repeating: 1, count: count) }
        return name.withCString { name in
            query.bytes.withUnsafeBytes { bytes in
                // An empty value still needs an address, any; none would be NULL.
                let base = bytes.bindMemory(to: CChar.self).baseAddress ?? name
                values.removeAll(keepingCapacity: true)
                var offset = 0
                for length in query.lengths {
                    values.append(length < 0 ? nil : base + offset)
                    offset += max(0, Int(length))
                }
                return PQsendQueryPrepared(pg, name, CInt(count), values, query.lengths, formats, 1) == 1
            }
        }
    }
}
