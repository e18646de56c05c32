import JOSE
import LatchkeyTesting

/// Requests as they stand on the wire.
enum RawRequest {
    static let livez = get("/livez")

    static func get(_ path: String, _ fields: String...) -> String {
        "GET \(path) HTTP/1.1\r\nHost: a\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n"
    }

    static func post(_ path: String, _ body: JSONValue, _ fields: String...) -> String {
        let bytes = body.encoded()
        return "POST \(path) HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            + fields.map { $0 + "\r\n" }.joined() + "Content-Length: \(bytes.count)\r\n\r\n"
            + String(decoding: bytes, as: UTF8.self)
    }
}

extension RawAnswer {
    var json: JSONObject { (try? JSONValue.parse(body))?.object ?? JSONObject() }

    /// Whether it is a problem document of this code with all that every answer carries, and the connection's last.
    func isLastRefusal(_ status: Int, _ code: String) -> Bool {
        self.status == status && self["content-type"] == "application/problem+json" && self["connection"] == "close"
            && self["x-request-id"]?.utf8.count == 32 && self["date"] != nil
            && self["x-content-type-options"] == "nosniff" && self["cache-control"] == "no-store"
            && json["code"]?.string == code
    }
}
