import TLS
import Testing

@Suite struct KeyWrapTests {
    private func secret(_ text: String) -> SecretBytes {
        var bytes = Array(text.utf8)
        return SecretBytes(taking: &bytes)
    }

    private func secret(_ bytes: [UInt8]) -> SecretBytes {
        var bytes = bytes
        return SecretBytes(taking: &bytes)
    }

    private func hexadecimal(_ secret: borrowing SecretBytes) -> String {
        secret.withBytes { $0.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
    }

    @Test func scryptIsThatOfItsStandard() throws {
        // RFC 7914, section 12.
        let cost = try #require(KeyWrap.Cost(logN: 14, blockSize: 8, parallelism: 1))
        let key = try KeyWrap.key(
            passphrase: secret("pleaseletmein"),
            salt: Array("SodiumChloride".utf8),
            cost: cost
        )
        #expect(hexadecimal(key) == "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2")
    }

    @Test func keysOfRandomBytesAreThoseOfTheirStandard() throws {
        // RFC 5869, A.3.
        let key = try KeyWrap.key(random: secret(Array(repeating: 0x0B, count: 22)), salt: [], purpose: "", count: 42)
        #expect(
            hexadecimal(key)
                == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
        )
    }

    @Test func aSecretIsOpenedByItsKeyOnly() throws {
        let (key, other) = ([UInt8](repeating: 1, count: 32), [UInt8](repeating: 2, count: 32))
        let sealed = try KeyWrap.seal(secret("the master key"), under: secret(key), context: [1, 2])
        #expect(
            try hexadecimal(KeyWrap.open(sealed, under: secret(key), context: [1, 2])) == "746865206d6173746572206b6579"
        )
        #expect(throws: KeyWrap.NotOpened.self) { _ = try KeyWrap.open(sealed, under: secret(other), context: [1, 2]) }
        #expect(throws: KeyWrap.NotOpened.self) { _ = try KeyWrap.open(sealed, under: secret(key), context: [1, 3]) }
    }

    @Test func whatWasChangedOrCutOffIsRefused() throws {
        let key = [UInt8](repeating: 1, count: 32)
        let sealed = try KeyWrap.seal(secret("the master key"), under: secret(key), context: [])
        for index in sealed.indices {
            var changed = sealed
            changed[index] ^= 1
            #expect(throws: KeyWrap.NotOpened.self) { _ = try KeyWrap.open(changed, under: secret(key), context: []) }
            let cut = Array(sealed.prefix(index))
            #expect(throws: KeyWrap.NotOpened.self) { _ = try KeyWrap.open(cut, under: secret(key), context: []) }
        }
    }

    @Test func aCostOutOfBoundsIsRefused() {
        #expect(KeyWrap.Cost(logN: 17, blockSize: 8, parallelism: 1) == .standard)
        for (logN, size, parallelism) in [
            (13, 8, 1), (24, 8, 1), (63, 8, 1), (23, 32, 1), (17, 0, 1), (17, 8, 0), (-1, 8, 1),
        ] {
            #expect(KeyWrap.Cost(logN: logN, blockSize: size, parallelism: parallelism) == nil)
        }
    }

    @Test func aSecretLeavesNothingWhereItCameFrom() {
        var bytes: [UInt8] = [1, 2, 3]
        let secret = SecretBytes(taking: &bytes)
        #expect(bytes.isEmpty && secret.count == 3)
    }
}

@Suite struct RecoveryKeyTests {
    @Test func itIsReadAsPeopleTypeIt() throws {
        let secret = try RecoveryKey.make()
        let text = RecoveryKey.text(secret)
        #expect(text.count == 69 && text.filter { $0 == 0x2D }.count == 13)
        let typed = String(decoding: text, as: UTF8.self).lowercased().map { character in
            switch character {
            case "0": "o"
            case "1": "l"
            case "-": "  "
            default: "\(character)"
            }
        }.joined()
        for form in [text, Array(typed.utf8), text.filter { $0 != 0x2D } + [0x0D, 0x0A]] {
            let read = try RecoveryKey.read(form)
            #expect(read.withBytes { Array($0) } == secret.withBytes { Array($0) })
        }
    }

    @Test func aSlipOfThePenIsNoticed() throws {
        let text = RecoveryKey.text(try RecoveryKey.make())
        for index in text.indices where text[index] != 0x2D {
            var slip = text
            slip[index] = slip[index] == 0x37 ? 0x38 : 0x37
            #expect(throws: RecoveryKey.Mistake.checksum) { _ = try RecoveryKey.read(slip) }
        }
        #expect(throws: RecoveryKey.Mistake.length(52)) { _ = try RecoveryKey.read(Array(text.prefix(64))) }
        #expect(throws: RecoveryKey.Mistake.length(0)) { _ = try RecoveryKey.read([]) }
        #expect(throws: RecoveryKey.Mistake.character("U")) { _ = try RecoveryKey.read([0x55] + text) }
        #expect(throws: RecoveryKey.Mistake.character("?")) { _ = try RecoveryKey.read([0xFF]) }
    }
}
