package import Hummingbird
internal import Postgres

/// Bounds how long one request waits for the database in all: a journey of four statements, each within its deadline,
/// would hold its caller four times as long.
package struct PatienceMiddleware: RouterMiddleware {
    package typealias Context = LatchkeyRequestContext

    private let nanoseconds: Int64

    package init(nanoseconds: Int64) {
        self.nanoseconds = nanoseconds
    }

    package func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        try await Patience.$current.withValue(Patience(nanoseconds: nanoseconds)) {
            try await next(request, context)
        }
    }
}
