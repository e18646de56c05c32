import ArgumentParser
import Foundation
import JOSE
import Latchkey

extension UsersCommand {
    struct Import: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "import", abstract: "Makes users from a file, one JSON object a line; `-` is standard input.",
            discussion: """
                A line: {"username":"alice","phc":"$argon2id$v=19$m=19456,t=2,p=1$…","email":"a@b.example","roles":["x"]}
                `phc` is an argon2id hash as other systems store it; without one nobody logs in by password. A user who
                exists already is passed over; the first line that is not usable ends the import and is named.

                Example: latchkey users import users.jsonl
                """)

        @OptionGroup var installation: InstallationOptions
        @Argument(help: "The file, or -.") var file: String

        func run() async throws {
            let handle =
                file == "-" ? FileHandle.standardInput : FileHandle(forReadingAtPath: file)
            guard let data = try handle?.readToEnd() else { throw Failure("\(file) cannot be read, or is empty") }
            let lines = data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            let counts = try await installation.withInstallation { it in
                var counts = (made: 0, passedOver: 0)
                for (number, line) in lines.enumerated() where !line.isEmpty {
                    do {
                        let user = try ImportedUser(Array(line))
                        try await it.users.importUser(user, origin: InstallationOptions.origin)
                        counts.made += 1
                    } catch Rejection.usernameTaken {
                        counts.passedOver += 1
                    } catch {
                        throw Failure(
                            "line \(number + 1): \(Failure(error).description) (\(counts.made) users were made before it)"
                        )
                    }
                }
                return counts
            }
            Output.line("made \(counts.made) users, passed over \(counts.passedOver) that exist")
        }
    }
}
