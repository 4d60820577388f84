// A provider for OpenSSL whose keys have no private half: what is to be signed goes over a socket to who has it.
#ifndef EVERYHOP_CSIGNER_H
#define EVERYHOP_CSIGNER_H
#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

enum {
    /// SHA-256 of a SubjectPublicKeyInfo: a key's name.
    everyhop_key_name_length = 32,
    /// Before what is signed: a number, the key's name, and the signature scheme (RFC 8446 §4.2.3).
    everyhop_request_head = 8 + everyhop_key_name_length + 2,
    /// The most that is signed at once: a handshake of TLS 1.2, as a client sees it.
    everyhop_most_to_sign = 131072,
    /// Before a signature: the request's number.
    everyhop_answer_head = 8,
    everyhop_longest_signature = 2048,
};

/// Adds the provider to the library, behind all others; 1, or 0 when the library refuses.
int everyhop_signer_install(void);

/// Where signatures are asked for from now on; takes the descriptor over, and closes the one before.
void everyhop_signer_use(int socket);

/// Waits until the signer has said something, or is gone; 1, or 0 when so many milliseconds have passed.
int everyhop_signer_await(int milliseconds);

/// How many signatures were made, and how many were not.
void everyhop_signer_counts(uint64_t *made, uint64_t *failed);

/// A key of the provider for a public key in DER (SubjectPublicKeyInfo), or NULL.
EVP_PKEY *everyhop_remote_key(const unsigned char *encoded, size_t length);
#endif
