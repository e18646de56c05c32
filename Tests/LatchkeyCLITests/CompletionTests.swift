import Foundation
import Testing

/// Shell completions, which the argument parser makes.
@Suite struct CompletionTests {
    @Test(arguments: ["bash", "zsh", "fish"])
    func `A script comes out that knows every command`(shell: String) async throws {
        let transcript = try await LatchkeyBinary.run(["--generate-completion-script", shell])
        #expect(transcript.exit == .code(0))
        for command in ["doctor", "check-config", "serve", "sessions", "--config"] {
            let word = shell == "fish" ? command.replacing("--", with: "") : command
            #expect(transcript.output.contains(word), "\(command)")
        }
    }

    @Test func `Bash loads it and completes by it`() async throws {
        let script = try await LatchkeyBinary.run(["--generate-completion-script", "bash"]).output
        let test = """
            \(script)
            COMP_WORDS=(latchkey che) COMP_CWORD=1 COMP_LINE='latchkey che' COMP_POINT=12
            $(complete -p latchkey | sed 's/.*-F \\([^ ]*\\).*/\\1/') latchkey che latchkey
            printf '%s\\n' "${COMPREPLY[@]}"
            """
        let process = try await ChildProcess.start(["/bin/bash", "--norc", "-s"], input: test)
        let transcript = try await process.end()
        #expect(transcript.exit == .code(0), "\(transcript.errors)")
        #expect(transcript.errors == "")
        #expect(transcript.outputLines.map { $0.trimmingCharacters(in: .whitespaces) } == ["check-config"])
    }

    @Test func `A shell of nobody's knowing is refused`() async throws {
        #expect(try await LatchkeyBinary.run(["--generate-completion-script", "tcsh"]).exit != .code(0))
    }
}
