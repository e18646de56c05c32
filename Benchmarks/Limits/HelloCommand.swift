import ArgumentParser
import Hummingbird
import Logging

/// The HTTP server alone: a fixed answer, and the same to a form that was parsed.
struct HelloCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hello", abstract: "Serves a fixed JSON answer of N bytes at GET /N and, to a form, at POST /N.")

    @Option var port: Int
    @Argument(help: "The sizes of the answers, in bytes.") var sizes: [Int]

    /// What a refresh sends.
    private struct Form: Decodable {
        let grant_type: String
        let refresh_token: String
    }

    func run() async throws {
        let router = Router()
        for size in sizes {
            let body = ByteBuffer(string: #"{"x":""# + String(repeating: "x", count: max(0, size - 8)) + #""}"#)
            let response = Response(
                status: .ok, headers: [.contentType: "application/json"], body: .init(byteBuffer: body))
            router.get("/\(size)") { _, _ in response }
            router.post("/\(size)") { request, context in
                let form = try await URLEncodedFormDecoder().decode(Form.self, from: request, context: context)
                guard form.grant_type == "refresh_token" else { throw HTTPError(.badRequest) }
                return response
            }
        }
        var logger = Logger(label: "limits")
        logger.logLevel = .error
        try await Application(
            router: router, configuration: .init(address: .hostname("127.0.0.1", port: port), serverName: nil),
            logger: logger
        ).runService()
    }
}
