package import Hummingbird
package import JOSE

/// A page of a list, by cursor: `?limit=` (1 to 1000, default 100) and `?after=` what the page before called `next`.
package struct Page: Sendable {
    package let limit: Int64
    package let after: String?

    /// - Throws: `Rejection.invalidField`.
    package init(_ request: Request) throws(Rejection) {
        after = request.uri.queryParameters["after"].map { String($0) }
        guard let text = request.uri.queryParameters["limit"] else {
            limit = 100
            return
        }
        guard text.utf8.count <= 4, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let limit = Int64(text),
            (1...1000).contains(limit)
        else { throw .invalidField("limit", reason: "It is a number from 1 to 1000.") }
        self.limit = limit
    }

    /// - Throws: `Rejection.invalidField`.
    package func afterID() throws(Rejection) -> UniqueID? {
        guard let after else { return nil }
        guard let id = UniqueID(text: after) else {
            throw .invalidField("after", reason: "It is the `next` of the page before.")
        }
        return id
    }

    /// Of lists whose `next` is a number.
    ///
    /// - Throws: `Rejection.invalidField`.
    package func afterNumber() throws(Rejection) -> Int64? {
        guard let after else { return nil }
        guard let number = Int64(after), number > 0 else {
            throw .invalidField("after", reason: "It is the `next` of the page before.")
        }
        return number
    }

    /// - Parameter rows: one more than `limit` where there are more.
    package func response<Row>(_ rows: [Row], json: (Row) -> JSONValue, cursor: (Row) -> String) -> Response {
        let page = rows.prefix(Int(limit))
        return .page(page.map(json), next: rows.count > page.count ? page.last.map(cursor) : nil)
    }
}
