import Foundation
import Testing

@testable import LatchkeyVerifier

@Suite("The articles")
struct DocumentationTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    /// The lines without what they are indented by.
    private static func lines(_ text: some StringProtocol) -> [String] {
        text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }

    @Test(
        "show nothing that does not compile",
        arguments: [
            ("Sources/LatchkeyVerifier/LatchkeyVerifier.docc/GettingStarted.md", 5),
            ("Sources/LatchkeyHummingbird/LatchkeyHummingbird.docc/LatchkeyHummingbird.md", 1),
        ])
    func compiledCode(path: String, count: Int) throws {
        let compiled = Self.lines(try Self.text("Tests/LatchkeyVerifierTests/DocumentedCode.swift"))
        let blocks = try Self.text(path).components(separatedBy: "```swift\n").dropFirst().map {
            Self.lines($0.components(separatedBy: "```")[0])
        }
        #expect(blocks.count == count)
        for block in blocks {
            let stands = compiled.indices.contains { compiled[$0...].starts(with: block) }
            #expect(stands && !block.isEmpty, "\(block.first ?? "")")
        }
    }

    @Test func `a verdict is documented as it is`() async throws {
        let verifier = try documentedVerifier()
        #expect(await documentedVerdict(verifier: verifier, bearer: "x") == .tryAgainLater)
    }

    @Test func `every metric is named`() throws {
        let article = try Self.text("Sources/LatchkeyVerifier/LatchkeyVerifier.docc/Freshness.md")
        let source = try Self.text("Sources/LatchkeyVerifier/VerifierMetrics.swift")
        let names = source.matches(of: /"(?:latchkey_verifier_)?([a-z]+_[a-z_]+|revocations)"/).map { String($0.1) }
        #expect(names.count >= 9)
        for name in names { #expect(article.contains(name), "\(name)") }
    }
}
