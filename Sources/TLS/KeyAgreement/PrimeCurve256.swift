import COpenSSL

/// P-256 (SP 800-186 §3.2.1.3) by the library's arithmetic, without the objects and searches of EVP around each.
///
/// EVP makes the group anew for every key, and multiplies a public key by the group's order to see that it is in the
/// group. The order is prime and the cofactor 1, so every point on the curve is, and that is looked at for each
/// (SP 800-56A r3 §5.6.2.3.4).
///
/// *Ownership:* owns the group and numbers of the secure heap that hold nothing between two calls; for one thread.
final class PrimeCurve256: AgreementCurve {
    private static let size = 32

    private let group: OpaquePointer
    private let arithmetic: OpaquePointer
    private let scalar: OpaquePointer
    private let coordinate: OpaquePointer

    let publicSize = 1 + 2 * size
    let facts = (bits: CInt(256), mostBytes: CInt(72))

    /// - Returns: nil when the library has no such curve, or there is no memory.
    init?() {
        guard let group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1), let arithmetic = BN_CTX_new(),
            let scalar = BN_secure_new(), let coordinate = BN_secure_new()
        else { return nil }
        (self.group, self.arithmetic, self.scalar, self.coordinate) = (group, arithmetic, scalar, coordinate)
        BN_set_flags(scalar, BN_FLG_CONSTTIME)
    }

    deinit {
        BN_clear_free(scalar)
        BN_clear_free(coordinate)
        BN_CTX_free(arithmetic)
        EC_GROUP_free(group)
    }

    /// Any number from 1 up to the order, all equally likely.
    func makePrivateKey(_ key: UnsafeMutableRawPointer) -> Bool {
        guard let order = EC_GROUP_get0_order(group) else { return false }
        defer { BN_clear(scalar) }
        repeat {
            guard BN_priv_rand_range(scalar, order) == 1 else { return false }
        } while BN_is_zero(scalar) == 1
        return BN_bn2binpad(scalar, key.assumingMemoryBound(to: UInt8.self), CInt(Self.size)) == Self.size
    }

    func accepts(_ publicKey: UnsafeRawPointer) -> Bool {
        guard let point = EC_POINT_new(group) else { return false }
        defer { EC_POINT_free(point) }
        return read(publicKey, into: point)
    }

    func multiply(
        _ privateKey: UnsafeRawPointer,
        publicKey: UnsafeMutableRawPointer? = nil,
        other: UnsafeRawPointer? = nil,
        secret: UnsafeMutableRawPointer? = nil
    ) -> Bool {
        defer { BN_clear(scalar) }
        guard BN_bin2bn(privateKey.assumingMemoryBound(to: UInt8.self), CInt(Self.size), scalar) != nil,
            let product = EC_POINT_new(group)
        else { return false }
        defer { EC_POINT_clear_free(product) }
        if let publicKey,
            !(EC_POINT_mul(group, product, scalar, nil, nil, arithmetic) == 1 && write(product, to: publicKey))
        {
            return false
        }
        guard let other, let secret else { return true }
        guard let point = EC_POINT_new(group) else { return false }
        defer { EC_POINT_free(point) }
        defer { BN_clear(coordinate) }
        return read(other, into: point) && EC_POINT_mul(group, product, nil, point, scalar, arithmetic) == 1
            && EC_POINT_get_affine_coordinates(group, product, coordinate, nil, arithmetic) == 1
            && BN_bn2binpad(coordinate, secret.assumingMemoryBound(to: UInt8.self), CInt(Self.size)) == Self.size
    }

    /// Uncompressed points only (RFC 8446 §4.2.8.2); the library looks whether one is on the curve.
    private func read(_ publicKey: UnsafeRawPointer, into point: OpaquePointer) -> Bool {
        let bytes = publicKey.assumingMemoryBound(to: UInt8.self)
        return bytes.pointee == 4 && EC_POINT_oct2point(group, point, bytes, publicSize, arithmetic) == 1
    }

    private func write(_ point: OpaquePointer, to publicKey: UnsafeMutableRawPointer) -> Bool {
        let bytes = publicKey.assumingMemoryBound(to: UInt8.self)
        return EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, bytes, publicSize, arithmetic)
            == publicSize
    }
}
