import Testing

@testable import Latchkey

@Suite("The limit on open files")
struct OpenFilesTests {
    @Test(
        "leaves the reserve, and what else is open, beside the connections and those that are being refused",
        arguments: [
            // files, connections asked for, others, connections
            (65_536, 10_000, 8, 10_000), (11_642, 10_000, 8, 10_000), (11_633, 10_000, 8, 9_992),
            (1_024, 10_000, 8, 560),
            (1_024, 100, 8, 100), (1_024, 10_000, 300, 296), (410, 10_000, 8, 16), (64, 10_000, 8, 16), (0, 8, 0, 8),
        ])
    func room(files: Int, asked: Int, others: Int, expected: Int) {
        let connections = OpenFiles.held(by: files, of: asked, beside: others)
        #expect(connections == expected)
        if connections > 16 { #expect(connections + connections / 8 + OpenFiles.reserve + others <= files) }
    }

    @Test func `is raised as far as is needed, and no connection is promised beyond it`() {
        #expect(OpenFiles.makeRoom(for: 16) == 16)
        let most = OpenFiles.makeRoom(for: 500_000_000)
        #expect(most >= 16 && most < 500_000_000)
    }
}
