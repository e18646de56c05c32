internal import HTTPTypes
internal import NIOCore
internal import NIOHTTP1

/// Which fields cross the proxy, in either direction.
enum ForwardedFields {
    /// Of the connection and not of the message (RFC 9110 §7.6.1). What frames the body is made anew for each side, so that
    /// nobody's reading of a length is handed on.
    private static let hopByHop: Set<String> = [
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer",
        "transfer-encoding", "upgrade", "content-length", "expect",
    ]

    /// What the service gets of a caller's request.
    ///
    /// - Parameters:
    ///   - request: as it came.
    ///   - identity: of its token.
    ///   - caller: the other end of the connection.
    static func request(
        _ request: HTTPRequest, identity: IdentityFields, authorization: GuardSettings.AuthorizationField,
        caller: SocketAddress?
    ) -> HTTPHeaders {
        // Before anything is added: a caller who names `X-Auth-Subject` as a field of the connection takes out his own.
        let named = options(request.headerFields[values: .connection])
        var headers = HTTPHeaders()
        if let authority = request.authority { headers.add(name: "Host", value: authority) }
        var forwardedFor: [String] = []
        for field in request.headerFields {
            let name = field.name.canonicalName
            if hopByHop.contains(name) || named.contains(name) || IdentityFields.isReserved(field.name) { continue }
            switch name {
            case "authorization" where authorization == .drop: continue
            case "x-forwarded-for": forwardedFor.append(field.value)
            default: headers.add(name: field.name.rawName, value: field.value)
            }
        }
        // Behind what came: who trusts the guard alone believes the last.
        if let address = caller?.ipAddress { forwardedFor.append(address) }
        if !forwardedFor.isEmpty {
            headers.add(name: "X-Forwarded-For", value: forwardedFor.joined(separator: ", "))
        }
        // RFC 9110 §7.6.3: a gateway must.
        headers.add(name: "Via", value: "1.1 latchkey-guard")
        for field in identity.fields { headers.add(name: field.name.rawName, value: field.value) }
        return headers
    }

    /// What the caller gets of the service's answer.
    static func response(_ headers: HTTPHeaders) -> HTTPFields {
        let named = options(headers["connection"])
        var fields = HTTPFields()
        for (name, value) in headers {
            guard let name = HTTPField.Name(name), !hopByHop.contains(name.canonicalName),
                !named.contains(name.canonicalName)
            else { continue }
            fields.append(HTTPField(name: name, value: value))
        }
        return fields
    }

    /// The names in `Connection`, in lower case.
    private static func options(_ values: [String]) -> Set<String> {
        Set(
            values.flatMap { $0.utf8.split { $0 == UInt8(ascii: ",") || $0 == 0x20 || $0 == 0x09 } }
                .map { String(decoding: $0, as: UTF8.self).lowercased() })
    }
}
