// swift-tools-version: 6.2

import PackageDescription

let package = Package(
    name: "orders",
    dependencies: [
        // Elsewhere: .package(url: "https://…/latchkey", from: "0.1.0")
        .package(name: "latchkey", path: "../.."),
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1"),
    ],
    targets: [
        .executableTarget(
            name: "Orders",
            dependencies: [
                .product(name: "LatchkeyVerifier", package: "latchkey"),
                .product(name: "LatchkeyHummingbird", package: "latchkey"),
                .product(name: "Hummingbird", package: "hummingbird"),
            ])
    ]
)
