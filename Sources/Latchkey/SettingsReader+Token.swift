import CDispatch
import Configuration
import Foundation

extension SettingsReader {
    /// The PKCS #11 token; nil where none is set. A PIN comes from a file, or from a setting that is not shown.
    mutating func token() -> TokenSettings? {
        let module = string("pkcs11.module")
        let label = string("pkcs11.token")
        let file = string("pkcs11.pinFile")
        let pin = string("pkcs11.pin", .secret)
        guard module != nil || label != nil || file != nil || pin != nil else { return nil }
        guard let module, let label, !label.isEmpty, label.utf8.count <= 32 else {
            problems.append(
                "LATCHKEY_PKCS11_TOKEN and LATCHKEY_PKCS11_MODULE belong together: name the token's label, at most 32 "
                    + "bytes, and the path of the vendor's PKCS #11 library")
            return nil
        }
        guard (file == nil) != (pin == nil) else {
            problems.append(
                "LATCHKEY_PKCS11_PIN_FILE or LATCHKEY_PKCS11_PIN must give the token's user PIN, and not both")
            return nil
        }
        guard let given = pin ?? file.flatMap({ Self.line(ofFile: $0) }) else {
            problems.append(
                "LATCHKEY_PKCS11_PIN_FILE is \(file ?? ""): it must be a file with one line that this user may read "
                    + "and others may not")
            return nil
        }
        return TokenSettings(module: module, label: label, pin: given)
    }

    /// The first line; nil where there is none, or where others may read it.
    private static func line(ofFile path: String) -> String? {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_mode & 0o077 == 0,
            let text = try? String(contentsOfFile: path, encoding: .utf8)
        else { return nil }
        return text.split(whereSeparator: \.isNewline).first.map(String.init)
    }
}
