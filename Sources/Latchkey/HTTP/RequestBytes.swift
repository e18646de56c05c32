internal import HTTPTypes
internal import Hummingbird
internal import NIOCore

/// The body of a request as bytes, at most `limit` of them and of the one media type that the route takes.
enum RequestBytes {
    static func collect(
        _ body: RequestBody, headers: HTTPFields, type: StaticString, limit: Int
    ) async throws -> [UInt8] {
        guard isMediaType(headers[.contentType], type) else {
            throw Rejection.unsupportedMediaType(expected: "\(type)")
        }
        // Compressed bytes are not read: a bomb of a thousand times their size would stand in them.
        guard headers[.contentEncoding] == nil else { throw Rejection.unsupportedContentCoding }
        // Refused before a byte is read where the request says so itself.
        if let length = headers[.contentLength].flatMap({ Int($0) }), length > limit {
            throw Rejection.bodyTooLarge(limit: limit)
        }
        var bytes = [UInt8]()
        for try await buffer in body {
            guard bytes.count + buffer.readableBytes <= limit else { throw Rejection.bodyTooLarge(limit: limit) }
            bytes.append(contentsOf: buffer.readableBytesView)
        }
        return bytes
    }

    /// Whether a Content-Type is `type`, in UTF-8 where it says a charset (RFC 9110 §8.3.1). By bytes: text comparison
    /// would take a letter with an accent apart for the letter.
    static func isMediaType(_ given: String?, _ type: StaticString) -> Bool {
        guard let given else { return false }
        let parts = given.utf8.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false)
            .map { lowercasedTrimmed($0) }
        guard parts[0].elementsEqual("\(type)".utf8) else { return false }
        return parts.dropFirst().allSatisfy { parameter in
            guard parameter.starts(with: "charset=".utf8) else { return true }
            let charset = parameter.dropFirst("charset=".utf8.count)
            return charset.elementsEqual("utf-8".utf8) || charset.elementsEqual("\"utf-8\"".utf8)
        }
    }

    private static func lowercasedTrimmed(_ part: Substring.UTF8View) -> [UInt8] {
        let isSpace = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
        let trimmed = part.drop(while: isSpace).reversed().drop(while: isSpace).reversed()
        return trimmed.map { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) ? $0 + 32 : $0 }
    }
}
