// swift-tools-version: 6.2

import PackageDescription

/// `make test` and CI set `LATCHKEY_STRICT=1`: a warning is an error there, while a stranger's clone does not break
/// because a newer compiler deprecates something.
let strict = Context.environment["LATCHKEY_STRICT"] == "1"

let settings: [SwiftSetting] =
    [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
    ] + (strict ? [.treatAllWarnings(as: .error)] : [])

let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let httpClient = Target.Dependency.product(name: "AsyncHTTPClient", package: "async-http-client")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let metrics = Target.Dependency.product(name: "Metrics", package: "swift-metrics")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let serviceLifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")

let package = Package(
    name: "latchkey",
    products: [
        .library(name: "LatchkeyVerifier", targets: ["LatchkeyVerifier"]),
        .library(name: "LatchkeyHummingbird", targets: ["LatchkeyHummingbird"]),
        .executable(name: "latchkey", targets: ["LatchkeyCLI"]),
    ],
    dependencies: [
        // Each line's reason stands in the README, under "Dependencies".
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1"),
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-configuration", exact: "1.4.0", traits: []),
        .package(url: "https://github.com/apple/swift-http-types", exact: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", exact: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client", exact: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
    ],
    targets: [
        // Floor 0: C libraries, a module map and a shim header each.
        .systemLibrary(name: "CLibCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CLibpq", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        // Its header alone, on the compiler's own path: nothing of it is linked.
        .systemLibrary(name: "CPKCS11", providers: [.apt(["libp11-kit-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CArgon2", pkgConfig: "libargon2", providers: [.apt(["libargon2-dev"])]),

        // Floor 1: one home for each C library.
        .target(name: "LibCrypto", dependencies: ["CLibCrypto"], swiftSettings: settings),
        .target(name: "PKCS11", dependencies: ["CPKCS11", "LibCrypto"], swiftSettings: settings),
        .target(name: "Postgres", dependencies: ["CLibpq", "LibCrypto", logging], swiftSettings: settings),

        // Floor 2.
        .target(name: "EmbeddedPostgres", swiftSettings: settings),
        .target(name: "JOSE", dependencies: ["LibCrypto"], swiftSettings: settings),

        // Floor 3 and 4: what a resource service needs.
        .target(
            name: "LatchkeyVerifier",
            dependencies: [
                "JOSE", "LibCrypto", httpClient, logging, metrics, serviceLifecycle,
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .target(
            name: "LatchkeyHummingbird", dependencies: ["LatchkeyVerifier", httpTypes, hummingbird],
            swiftSettings: settings),

        // Floor 4: the guard, which knows nothing of the server.
        .target(
            name: "LatchkeyGuard",
            dependencies: [
                "LatchkeyVerifier", "LatchkeyHummingbird", "JOSE", httpClient, httpTypes, hummingbird, logging, metrics,
                serviceLifecycle,
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ],
            swiftSettings: settings),

        // The resource service of Examples/swift, which has a manifest of its own. Here it sees what a stranger sees.
        .executableTarget(
            name: "OrdersExample", dependencies: ["LatchkeyVerifier", "LatchkeyHummingbird", hummingbird],
            path: "Examples/swift/Sources/Orders", packageAccess: false, swiftSettings: settings),

        // Floor 4: the server.
        .target(
            name: "Latchkey",
            dependencies: [
                "CArgon2", "CZlib", "LibCrypto", "PKCS11", "Postgres", "JOSE", "LatchkeyVerifier",
                "LatchkeyHummingbird",
                httpTypes,
                hummingbird, logging, serviceLifecycle,
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "Yams", package: "Yams"),
            ],
            exclude: ["migrations/schema.sql"],
            resources: [.embedInCode("migrations")],
            swiftSettings: settings),

        // Floor 5: the command.
        .executableTarget(
            name: "LatchkeyCLI",
            dependencies: [
                "Latchkey", "EmbeddedPostgres", "PKCS11", "Postgres", "LibCrypto", "JOSE", logging, serviceLifecycle,
                "LatchkeyGuard",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings),

        // Tests.
        .target(
            name: "LatchkeyTesting",
            dependencies: [
                "Latchkey", "EmbeddedPostgres", "PKCS11", "Postgres", "JOSE", "LibCrypto", "LatchkeyVerifier", logging,
                serviceLifecycle, httpClient,
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .testTarget(name: "LibCryptoTests", dependencies: ["LibCrypto"], swiftSettings: settings),
        .testTarget(
            name: "PKCS11Tests", dependencies: ["PKCS11", "CPKCS11", "LibCrypto", "LatchkeyTesting"],
            swiftSettings: settings),
        .testTarget(name: "JOSETests", dependencies: ["JOSE", "LibCrypto"], swiftSettings: settings),
        .testTarget(
            name: "LatchkeyVerifierTests",
            dependencies: [
                "LatchkeyVerifier", "LatchkeyHummingbird", "Latchkey", "LatchkeyTesting", "JOSE", "LibCrypto",
                httpTypes, httpClient,
                hummingbird, logging, serviceLifecycle,
                .product(name: "HummingbirdTesting", package: "hummingbird"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "LatchkeyGuardTests",
            dependencies: [
                "LatchkeyGuard", "LatchkeyVerifier", httpTypes, logging, metrics,
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "PostgresTests", dependencies: ["Postgres", "EmbeddedPostgres", "LatchkeyTesting"],
            swiftSettings: settings),
        .testTarget(
            name: "EmbeddedPostgresTests", dependencies: ["EmbeddedPostgres", "Postgres", "LatchkeyTesting"],
            swiftSettings: settings),
        .testTarget(
            name: "LatchkeyTests",
            dependencies: [
                "Latchkey", "LatchkeyTesting", "EmbeddedPostgres", "PKCS11", "Postgres", "JOSE", "LibCrypto", "CZlib",
                "LatchkeyVerifier", httpClient, httpTypes, hummingbird, logging,
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "HummingbirdTesting", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "LatchkeyCLITests",
            dependencies: [
                "LatchkeyCLI", "Latchkey", "LatchkeyTesting", "LibCrypto", "Postgres", "JOSE", httpClient,
                "LatchkeyGuard",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            exclude: ["clients"],
            swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)

/// The benchmarks, and the one dependency of theirs, are built by `make bench` alone: nobody else pays for them.
if Context.environment["LATCHKEY_BENCHMARKS"] == "1" {
    package.dependencies.append(.package(url: "https://github.com/ordo-one/benchmark", exact: "1.38.1", traits: []))
    package.targets += [
        .executableTarget(
            name: "Limits",
            dependencies: [
                "Latchkey", "LatchkeyVerifier", "Postgres", "JOSE", "LibCrypto", "CArgon2", httpClient, hummingbird,
                logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            path: "Benchmarks/Limits",
            swiftSettings: settings),
        .target(name: "CountedAllocations", path: "Benchmarks/CountedAllocations"),
        .executableTarget(
            name: "Micro",
            dependencies: [
                "CountedAllocations",
                "Latchkey", "LatchkeyVerifier", "JOSE", "LibCrypto",
                .product(name: "Benchmark", package: "benchmark"),
            ],
            path: "Benchmarks/Micro",
            swiftSettings: settings,
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
    ]
}
