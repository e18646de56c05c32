import CPKCS11
import Synchronization

/// A PKCS #11 module, loaded and initialised once for the life of the process.
///
/// Sendable: the function table is never written, and the module was told to lock for its callers' threads.
final class TokenModule: @unchecked Sendable {
    let functions: lk_module

    private init(_ functions: lk_module) {
        self.functions = functions
    }

    private static let loaded = Mutex<[String: TokenModule]>([:])

    /// - Parameter path: of the shared library; the dynamic linker looks for one without a slash in its own places.
    static func load(_ path: String) throws(SecurityTokenError) -> TokenModule {
        let result = loaded.withLock { loaded -> Result<TokenModule, SecurityTokenError> in
            if let module = loaded[path] { return .success(module) }
            var functions: lk_module?
            guard lk_module_load(path, &functions) == CKR_OK, let functions else {
                return .failure(.notAModule(path: path))
            }
            let module = TokenModule(functions)
            loaded[path] = module
            return .success(module)
        }
        return try result.get()
    }
}
