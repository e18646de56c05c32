/// A Swift type that PostgreSQL knows too, in its binary form. Binary binds carry their length; a text bind would stop at
/// NUL.
package protocol PostgresValue: Sendable {
    /// OID of the type, and of an array of it (`pg_type`).
    static var postgresType: UInt32 { get }
    static var postgresArrayType: UInt32 { get }

    var postgresBytes: [UInt8] { get }

    /// Appends `postgresBytes`: what a hot statement binds needs no array of its own.
    func appendPostgresBytes(to out: inout [UInt8])

    /// nil where the bytes are not this type's.
    init?(postgresBytes: UnsafeRawBufferPointer)
}

extension PostgresValue {
    package func appendPostgresBytes(to out: inout [UInt8]) { out += postgresBytes }
}

/// The bytes of an integer, most significant first.
func networkOrder<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { [UInt8]($0) }
}

func appendNetworkOrder<T: FixedWidthInteger>(_ value: T, to out: inout [UInt8]) {
    withUnsafeBytes(of: value.bigEndian) { out.append(contentsOf: $0) }
}

func readInteger<T: FixedWidthInteger>(_ bytes: UnsafeRawBufferPointer, as type: T.Type) -> T? {
    guard bytes.count == MemoryLayout<T>.size else { return nil }
    return T(bigEndian: bytes.loadUnaligned(as: T.self))
}

extension Int64: PostgresValue {
    package static var postgresType: UInt32 { 20 }
    package static var postgresArrayType: UInt32 { 1016 }
    package var postgresBytes: [UInt8] { networkOrder(self) }
    package func appendPostgresBytes(to out: inout [UInt8]) { appendNetworkOrder(self, to: &out) }
    package init?(postgresBytes bytes: UnsafeRawBufferPointer) {
        guard let value = readInteger(bytes, as: Int64.self) else { return nil }
        self = value
    }
}

extension Int32: PostgresValue {
    package static var postgresType: UInt32 { 23 }
    package static var postgresArrayType: UInt32 { 1007 }
    package var postgresBytes: [UInt8] { networkOrder(self) }
    package func appendPostgresBytes(to out: inout [UInt8]) { appendNetworkOrder(self, to: &out) }
    package init?(postgresBytes bytes: UnsafeRawBufferPointer) {
        guard let value = readInteger(bytes, as: Int32.self) else { return nil }
        self = value
    }
}

extension Int16: PostgresValue {
    package static var postgresType: UInt32 { 21 }
    package static var postgresArrayType: UInt32 { 1005 }
    package var postgresBytes: [UInt8] { networkOrder(self) }
    package func appendPostgresBytes(to out: inout [UInt8]) { appendNetworkOrder(self, to: &out) }
    package init?(postgresBytes bytes: UnsafeRawBufferPointer) {
        guard let value = readInteger(bytes, as: Int16.self) else { return nil }
        self = value
    }
}

extension Bool: PostgresValue {
    package static var postgresType: UInt32 { 16 }
    package static var postgresArrayType: UInt32 { 1000 }
    package var postgresBytes: [UInt8] { [self ? 1 : 0] }
    package init?(postgresBytes bytes: UnsafeRawBufferPointer) {
        guard bytes.count == 1 else { return nil }
        self = bytes[0] != 0
    }
}

extension String: PostgresValue {
    package static var postgresType: UInt32 { 25 }
    package static var postgresArrayType: UInt32 { 1009 }
    package var postgresBytes: [UInt8] { [UInt8](utf8) }
    package func appendPostgresBytes(to out: inout [UInt8]) { out.append(contentsOf: utf8) }
    package init?(postgresBytes bytes: UnsafeRawBufferPointer) {
        self.init(validating: bytes.bindMemory(to: UInt8.self), as: UTF8.self)
    }
}

/// `timestamptz`: microseconds since 2000-01-01.
extension Instant: PostgresValue {
    private static var epoch2000: Int64 { 946_684_800_000_000 }
    package static var postgresType: UInt32 { 1184 }
    package static var postgresArrayType: UInt32 { 1185 }
    package var postgresBytes: [UInt8] { networkOrder(microseconds - Self.epoch2000) }
    package init?(postgresBytes bytes: UnsafeRawBufferPointer) {
        guard let value = readInteger(bytes, as: Int64.self) else { return nil }
        let (microseconds, overflow) = value.addingReportingOverflow(Self.epoch2000)
        guard !overflow else { return nil }
        self.init(microseconds: microseconds)
    }
}

/// `bytea`, in a type of its own: `[UInt8]` is an array of a value too.
package struct Bytes: PostgresValue, Hashable {
    package let bytes: [UInt8]
    package init(_ bytes: [UInt8]) { self.bytes = bytes }
    package static var postgresType: UInt32 { 17 }
    package static var postgresArrayType: UInt32 { 1001 }
    package var postgresBytes: [UInt8] { bytes }
    package init?(postgresBytes: UnsafeRawBufferPointer) { self.init([UInt8](postgresBytes)) }
}

/// One-dimensional arrays without NULL elements: dimensions, flags, element type, length, lower bound, elements.
extension Array: PostgresValue where Element: PostgresValue {
    package static var postgresType: UInt32 { Element.postgresArrayType }
    package static var postgresArrayType: UInt32 { Element.postgresArrayType }

    package var postgresBytes: [UInt8] {
        var out: [UInt8] = []
        appendPostgresBytes(to: &out)
        return out
    }

    package func appendPostgresBytes(to out: inout [UInt8]) {
        appendNetworkOrder(Int32(isEmpty ? 0 : 1), to: &out)
        appendNetworkOrder(Int32(0), to: &out)
        appendNetworkOrder(Element.postgresType, to: &out)
        guard !isEmpty else { return }
        appendNetworkOrder(Int32(count), to: &out)
        appendNetworkOrder(Int32(1), to: &out)
        for element in self {
            let bytes = element.postgresBytes
            appendNetworkOrder(Int32(bytes.count), to: &out)
            out += bytes
        }
    }

    package init?(postgresBytes bytes: UnsafeRawBufferPointer) {
        self.init()
        var rest = bytes[...]
        func next() -> Int32? {
            guard rest.count >= 4 else { return nil }
            defer { rest = rest.dropFirst(4) }
            return readInteger(UnsafeRawBufferPointer(rebasing: rest.prefix(4)), as: Int32.self)
        }
        guard let dimensions = next(), next() != nil, next() != nil else { return nil }
        if dimensions == 0 { return }
        guard dimensions == 1, let count = next(), count >= 0, next() != nil else { return nil }
        for _ in 0..<count {
            guard let length = next(), length >= 0, rest.count >= Int(length),
                let element = Element(postgresBytes: UnsafeRawBufferPointer(rebasing: rest.prefix(Int(length))))
            else { return nil }
            append(element)
            rest = rest.dropFirst(Int(length))
        }
    }
}
