import HTTPTypes
package import Hummingbird

extension HTTPField.Name {
    fileprivate static let latchkeyPosition = HTTPField.Name("Latchkey-Position")
}

extension Response {
    /// Says up to where a follower must have read to know of what was just revoked.
    package func at(_ position: FeedPosition?) -> Response {
        guard let position, let name = HTTPField.Name.latchkeyPosition else { return self }
        var response = self
        response.headers[name] = position.word
        return response
    }
}
