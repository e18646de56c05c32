package import JOSE
import Postgres

/// `uuid`, in its 16 bytes.
extension UniqueID: PostgresValue {
    package static var postgresType: UInt32 { 2950 }
    package static var postgresArrayType: UInt32 { 2951 }
    package var postgresBytes: [UInt8] { bytes }
    package init?(postgresBytes: UnsafeRawBufferPointer) {
        self.init(bytes: [UInt8](postgresBytes))
    }
}
