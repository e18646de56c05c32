package import HTTPTypes
package import Hummingbird
internal import JOSE

/// The JSON object that a request carries, read strictly (see `JSONValue.parse`). Fields that nobody asks for are
/// ignored; one of the wrong type is named. `null` is a field that is not there.
package struct JSONBody: Sendable {
    private let object: JSONObject

    package static let defaultLimit = 16 * 1024

    /// Reads the whole body.
    ///
    /// - Parameter limit: in bytes.
    /// - Throws: `Rejection`, or what reading from the connection throws.
    package init(_ request: Request, limit: Int = defaultLimit) async throws {
        try await self.init(request.body, headers: request.headers, limit: limit)
    }

    /// The same from the parts of a request. A body is read once; see `Request.whileCallerWaits` for watching the caller.
    package init(_ body: RequestBody, headers: HTTPFields, limit: Int = defaultLimit) async throws {
        try self.init(
            bytes: await RequestBytes.collect(body, headers: headers, type: "application/json", limit: limit))
    }

    /// nil where the request has no body at all: for calls whose every field is optional.
    package static func ifPresent(_ request: Request, limit: Int = defaultLimit) async throws -> JSONBody? {
        let length = request.headers[.contentLength].map { $0.utf8.elementsEqual("0".utf8) }
        if length ?? (request.headers[.transferEncoding] == nil) { return nil }
        return try await JSONBody(request, limit: limit)
    }

    package init(bytes: [UInt8]) throws(Rejection) {
        let value: JSONValue
        do {
            value = try JSONValue.parse(bytes, maximumDepth: 32)
        } catch {
            throw .badJSON(reason: error.description)
        }
        guard let object = value.object else { throw .badJSON(reason: "an object is expected at byte 0") }
        self.object = object
    }

    /// The same for two bodies that say the same, whatever their white space.
    package var encoded: [UInt8] { JSONValue.object(object).encoded() }

    package func string(_ name: String) throws(Rejection) -> String {
        try required(name, optionalString(name))
    }

    package func optionalString(_ name: String) throws(Rejection) -> String? {
        try field(name, "a string", \.string)
    }

    package func bool(_ name: String) throws(Rejection) -> Bool {
        try required(name, optionalBool(name))
    }

    package func optionalBool(_ name: String) throws(Rejection) -> Bool? {
        try field(name, "true or false", \.bool)
    }

    package func integer(_ name: String) throws(Rejection) -> Int64 {
        try required(name, optionalInteger(name))
    }

    package func optionalInteger(_ name: String) throws(Rejection) -> Int64? {
        try field(name, "an integer", \.int)
    }

    package func stringArray(_ name: String) throws(Rejection) -> [String] {
        try required(name, optionalStringArray(name))
    }

    package func optionalStringArray(_ name: String) throws(Rejection) -> [String]? {
        try field(name, "an array of strings", \.strings)
    }

    /// One string or several, as RFC 8707 has `resource`; empty where there is none.
    package func stringOrArray(_ name: String) throws(Rejection) -> [String] {
        try field(name, "a string or an array of strings") { $0.string.map { [$0] } ?? $0.strings } ?? []
    }

    private func field<Value>(
        _ name: String, _ expected: String, _ read: (JSONValue) -> Value?
    ) throws(Rejection) -> Value? {
        guard let value = object[name], value != .null else { return nil }
        guard let typed = read(value) else { throw .wrongType(field: name, expected: expected) }
        return typed
    }

    private func required<Value>(_ name: String, _ value: Value?) throws(Rejection) -> Value {
        guard let value else { throw .missingField(name) }
        return value
    }
}
