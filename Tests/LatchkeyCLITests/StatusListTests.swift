import Foundation
import JOSE
import Testing

/// A stranger's verifier of status lists, written from the draft's words with PyJWT, against the running binary.
@Suite(
    .serialized, .sharedDev(["LATCHKEY_STATUS_LIST": "on", "LATCHKEY_STATUS_LIST_TTL": "2"]))
struct StatusListTests {
    private static let client =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/clients/status_list.py"

    @Test(arguments: ["verify", "refuse", "aggregate", "clients", "rotated"])
    func `A stranger verifies by status lists, with the draft alone`(check: String) async throws {
        let dev = try SharedDev.dev
        let python = try await StrangersPython.interpreter()
        let name = "status-list-\(check)"
        _ = try await dev.site.newUser(name)
        let given: JSONValue = [
            "issuer": .string(dev.site.issuer), "username": .string(name), "password": "correct horse",
            "admin_password": .string(dev.folder.adminPassword),
        ]
        let process = try await ChildProcess.start(
            [python, "-B", Self.client, check], input: String(decoding: given.encoded(), as: UTF8.self))
        let transcript = try await process.end()
        #expect(transcript.exit == .code(0), "\(transcript.errors)")
        #expect(transcript.outputLines == ["ok \(check)"])
    }

    /// A bit that was given out survives the node that gave it, whatever ends it.
    @Test func `A node that was killed gives out no bit twice, and its lists say what they said`() async throws {
        try await Dev.withFolder { folder in
            let environment = ["LATCHKEY_STATUS_LIST": "on"]
            var places: [String] = []
            var ended: JSONObject?
            for round in 0..<3 {
                try await Dev.run(in: folder, port: FreePort.next(), environment: environment) { dev in
                    if round == 0 { _ = try await dev.site.newUser("alice") }
                    for number in 0..<5 {
                        let answer = try await dev.site.logIn("alice")
                        try #require(answer.status == 200)
                        let status = try Self.status(answer["access_token"])
                        places.append("\(try Self.text(status["uri"]).suffix(8)) \(status["idx"]?.int ?? -1)")
                        if round == 0, number == 0 {
                            ended = status
                            let out = try await dev.site.post("/auth/logout", [:], bearer: answer["access_token"])
                            #expect(out.status == 204)
                        }
                    }
                    // `dev.run` ends it by SIGKILL. The bit is there in every life of it.
                    let status = try #require(ended)
                    let path = "/status-lists/\(try Self.text(status["uri"]).suffix(8))"
                    let index = try #require(status["idx"]?.int)
                    let limit = ContinuousClock.now + .seconds(10)
                    while try await !Self.isSet(index, in: try await dev.site.get(path)) {
                        try #require(ContinuousClock.now < limit, "round \(round)")
                        try await Task.sleep(for: .milliseconds(50))
                    }
                }
            }
            #expect(places.count == 15 && Set(places).count == 15, "\(places)")
        }
    }

    private static func text(_ value: JSONValue?) throws -> String { try #require(value?.string) }

    private static func status(_ token: String) throws -> JSONObject {
        let payload = try #require(Base64URL.decode(token.utf8.split(separator: UInt8(ascii: "."))[1]))
        let status = try JSONValue.parse(payload).object?["status"]?.object
        return try #require(status?["status_list"]?.object)
    }

    /// By the stranger's zlib: the command's tests have none of their own.
    private static func isSet(_ index: Int64, in answer: Site.Answer) async throws -> Bool {
        try #require(answer.status == 200)
        let payload = try #require(Base64URL.decode(answer.body.split(separator: UInt8(ascii: "."))[1]))
        let list = try JSONValue.parse(payload).object?["status_list"]?.object
        let program = """
            import base64, sys, zlib
            octets = zlib.decompress(base64.urlsafe_b64decode(sys.argv[1] + "==="))
            print(octets[int(sys.argv[2]) // 8] >> int(sys.argv[2]) % 8 & 1)
            """
        let process = try await ChildProcess.start(
            ["/usr/bin/python3", "-c", program, try text(list?["lst"]), "\(index)"])
        let transcript = try await process.end()
        try #require(transcript.exit == .code(0), "\(transcript.errors)")
        return transcript.outputLines == ["1"]
    }
}
