// OpenSSL's headers, and its function-like macros as functions: Swift imports no macro that takes arguments.
#ifndef EVERYHOP_COPENSSL_H
#define EVERYHOP_COPENSSL_H
#include <openssl/bio.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

static inline void everyhop_ctx_set_mode(SSL_CTX *context, long mode) { SSL_CTX_set_mode(context, mode); }
static inline int everyhop_ctx_set_versions(SSL_CTX *context, int least, int most) {
    return SSL_CTX_set_min_proto_version(context, least) && SSL_CTX_set_max_proto_version(context, most);
}
static inline int everyhop_ctx_set_groups(SSL_CTX *context, const char *list) {
    return (int)SSL_CTX_set1_groups_list(context, list);
}
static inline int everyhop_ctx_set_signature_algorithms(SSL_CTX *context, const char *list) {
    return (int)SSL_CTX_set1_sigalgs_list(context, list);
}
static inline long everyhop_ctx_set_session_cache_mode(SSL_CTX *context, long mode) {
    return SSL_CTX_set_session_cache_mode(context, mode);
}
static inline int everyhop_ctx_add_chain(SSL_CTX *context, X509 *certificate) {
    return (int)SSL_CTX_add1_chain_cert(context, certificate);
}
static inline void everyhop_ctx_set_options(SSL_CTX *context, int is_server) {
    uint64_t options = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_SSLv3;
    if (is_server) options |= SSL_OP_CIPHER_SERVER_PREFERENCE;
    SSL_CTX_set_options(context, options);
}
static inline void everyhop_ctx_allow_legacy_servers(SSL_CTX *context) {
    SSL_CTX_set_options(context, SSL_OP_LEGACY_SERVER_CONNECT);
}
static inline int everyhop_ctx_set_oldest(SSL_CTX *context, int version) {
    return SSL_CTX_set_min_proto_version(context, version);
}
static inline int everyhop_ctx_set_newest(SSL_CTX *context, int version) {
    return SSL_CTX_set_max_proto_version(context, version);
}
static inline int everyhop_set_newest(SSL *ssl, int version) { return SSL_set_max_proto_version(ssl, version); }
static inline void everyhop_bio_retry(BIO *bio, int reading) {
    if (reading) {
        BIO_set_retry_read(bio);
    } else {
        BIO_set_retry_write(bio);
    }
}
static inline void everyhop_bio_no_retry(BIO *bio) { BIO_clear_retry_flags(bio); }
static inline int everyhop_set_host_name(SSL *ssl, const char *name) {
    return (int)SSL_set_tlsext_host_name(ssl, name);
}
/// Takes other versions than the connection's context has.
static inline int everyhop_set_versions(SSL *ssl, int least, int most) {
    return SSL_set_min_proto_version(ssl, least) && SSL_set_max_proto_version(ssl, most);
}
static inline int everyhop_group(SSL *ssl) { return (int)SSL_get_negotiated_group(ssl); }
/// The group's name in the key exchange, as TLS spells it, or NULL. A library newer than these headers knows more.
static inline const char *everyhop_group_name(SSL *ssl) {
    long group = SSL_get_negotiated_group(ssl);
    return group == 0 ? NULL : SSL_group_to_name(ssl, (int)group);
}
/// Drops errors that an earlier call left on this thread, so that no other connection is blamed for them.
/// Looking costs a fraction of clearing, and hardly ever is there anything to clear.
static inline void everyhop_forget_errors(void) {
    if (ERR_peek_error() != 0) ERR_clear_error();
}
static inline unsigned long everyhop_error_reason(unsigned long error) {
    return (unsigned long)ERR_GET_REASON(error);
}
static inline int everyhop_error_library(unsigned long error) { return ERR_GET_LIB(error); }
static inline int everyhop_generate_key_bits(EVP_PKEY_CTX *context, int bits) {
    return EVP_PKEY_CTX_set_rsa_keygen_bits(context, bits);
}
static inline void everyhop_print_name(BIO *bio, const X509_NAME *name) {
    X509_NAME_print_ex(bio, name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
}
static inline void everyhop_free(void *pointer) { OPENSSL_free(pointer); }
static inline int everyhop_ssl_ex_index(void) { return SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL); }
static inline int everyhop_ctx_ex_index(void) { return SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL); }
static inline long everyhop_bio_memory(BIO *bio, char **bytes) { return BIO_get_mem_data(bio, bytes); }
static inline int everyhop_names_count(const GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }
static inline const GENERAL_NAME *everyhop_name(const GENERAL_NAMES *names, int index) {
    return sk_GENERAL_NAME_value(names, index);
}
static inline void everyhop_names_free(GENERAL_NAMES *names) { GENERAL_NAMES_free(names); }
static inline int everyhop_chain_count(const STACK_OF(X509) *chain) { return sk_X509_num(chain); }
static inline X509 *everyhop_chain_at(const STACK_OF(X509) *chain, int index) { return sk_X509_value(chain, index); }
static inline void everyhop_chain_free(STACK_OF(X509) *chain) { sk_X509_pop_free(chain, X509_free); }
static inline int everyhop_add_extension(STACK_OF(X509_EXTENSION) **list, X509V3_CTX *context, int nid,
                                         const char *value) {
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, context, nid, value);
    if (!extension) return 0;
    int ok = X509v3_add_ext(list, extension, -1) != NULL;
    X509_EXTENSION_free(extension);
    return ok;
}
static inline int everyhop_certificate_add_extension(X509 *certificate, X509 *issuer, int nid, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    if (!extension) return 0;
    int ok = X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return ok;
}
/// The extension of RFC 8737 §3, which libraries know by its number only.
static inline int everyhop_certificate_add_acme_identifier(X509 *certificate, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_nconf(NULL, &context, "1.3.6.1.5.5.7.1.31", value);
    if (!extension) return 0;
    int ok = X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return ok;
}
static inline int everyhop_request_add_names(X509_REQ *request, const char *value) {
    STACK_OF(X509_EXTENSION) *list = NULL;
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, NULL, NULL, request, NULL, 0);
    int ok = everyhop_add_extension(&list, &context, NID_subject_alt_name, value) &&
             X509_REQ_add_extensions(request, list);
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    return ok;
}

/// Reads PKCS#12 with the algorithms of `library`; NULL when it is not such a file.
static inline PKCS12 *everyhop_read_pfx(BIO *bio, OSSL_LIB_CTX *library) {
    PKCS12 *file = PKCS12_init_ex(NID_pkcs7_data, library, NULL);
    if (file && !d2i_PKCS12_bio(bio, &file)) {
        // Depending on where it stumbled, the decoder has freed it and set it to NULL, or not.
        PKCS12_free(file);
        return NULL;
    }
    return file;
}

/// Looks a certificate up in the lists of its issuer that a store has: X509_V_OK, or what is wrong.
static inline int everyhop_revocation(X509_STORE *store, X509 *certificate) {
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    STACK_OF(X509_CRL) *lists = NULL;
    int verdict = X509_V_ERR_UNABLE_TO_GET_CRL;
    if (context && X509_STORE_CTX_init(context, store, certificate, NULL) == 1) {
        lists = X509_STORE_CTX_get1_crls(context, X509_get_issuer_name(certificate));
    }
    for (int index = 0; index < sk_X509_CRL_num(lists); index++) {
        X509_CRL *list = sk_X509_CRL_value(lists, index);
        X509_REVOKED *entry = NULL;
        if (X509_CRL_get0_by_cert(list, &entry, certificate) == 1) {
            verdict = X509_V_ERR_CERT_REVOKED;
            break;
        }
        const ASN1_TIME *next = X509_CRL_get0_nextUpdate(list);
        if (!next || X509_cmp_current_time(next) > 0) {
            verdict = X509_V_OK;
        } else if (verdict != X509_V_OK) {
            verdict = X509_V_ERR_CRL_HAS_EXPIRED;
        }
    }
    sk_X509_CRL_pop_free(lists, X509_CRL_free);
    X509_STORE_CTX_free(context);
    return verdict;
}

/// What to ask a responder about a certificate: the length of the request, which the caller frees, or 0.
static inline int everyhop_ocsp_request(X509 *certificate, X509 *issuer, unsigned char **target) {
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    // SHA-1 names the issuer here and proves nothing; RFC 5019 knows no other.
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), certificate, issuer);
    int length = 0;
    if (request && id && OCSP_request_add0_id(request, id)) {
        id = NULL;
        length = i2d_OCSP_REQUEST(request, target);
    }
    OCSP_CERTID_free(id);
    OCSP_REQUEST_free(request);
    return length;
}

/// Whether an answer is signed by the issuer, or by somebody whom the issuer lets sign answers.
static inline int everyhop_ocsp_is_signed(OCSP_BASICRESP *answer, X509 *issuer) {
    X509_STORE *store = X509_STORE_new();
    STACK_OF(X509) *others = sk_X509_new_null();
    int ok = store && others && X509_STORE_add_cert(store, issuer) == 1 && sk_X509_push(others, issuer) > 0 &&
             X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
             OCSP_basic_verify(answer, others, store, OCSP_NOEXPLICIT) == 1;
    sk_X509_free(others);
    X509_STORE_free(store);
    return ok;
}

/// What an answer says of a certificate: V_OCSP_CERTSTATUS_*, or -1 when it is about others.
static inline int everyhop_ocsp_status(OCSP_BASICRESP *answer, X509 *certificate, X509 *issuer,
                                       ASN1_GENERALIZEDTIME **from, ASN1_GENERALIZEDTIME **until) {
    int status = -1;
    const EVP_MD *digests[] = {EVP_sha1(), EVP_sha256()};
    for (int index = 0; index < 2 && status < 0; index++) {
        OCSP_CERTID *id = OCSP_cert_to_id(digests[index], certificate, issuer);
        if (id && OCSP_resp_find_status(answer, id, &status, NULL, NULL, from, until) != 1) status = -1;
        OCSP_CERTID_free(id);
    }
    return status;
}

/// The addresses that a certificate names for questions about it; `visit` copies one.
static inline void everyhop_ocsp_addresses(X509 *certificate, void *owner,
                                           void (*visit)(void *owner, const char *address)) {
    STACK_OF(OPENSSL_STRING) *list = X509_get1_ocsp(certificate);
    for (int index = 0; index < sk_OPENSSL_STRING_num(list); index++) {
        visit(owner, sk_OPENSSL_STRING_value(list, index));
    }
    X509_email_free(list);
}

/// Whether a certificate says that servers staple (RFC 7633): feature 5, status_request.
static inline int everyhop_must_staple(const X509 *certificate) {
    TLS_FEATURE *features = X509_get_ext_d2i(certificate, NID_tlsfeature, NULL, NULL);
    int found = 0;
    for (int index = 0; index < sk_ASN1_INTEGER_num(features); index++) {
        if (ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, index)) == 5) found = 1;
    }
    TLS_FEATURE_free(features);
    return found;
}

/// The name and version of a provider that is loaded; 1 when `target` holds them.
static inline int everyhop_provider_name(const char *provider, char *target, size_t length) {
    OSSL_PROVIDER *loaded = OSSL_PROVIDER_try_load(NULL, provider, 1);
    const char *name = NULL, *version = NULL;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_ptr(OSSL_PROV_PARAM_NAME, (char **)&name, 0),
        OSSL_PARAM_construct_utf8_ptr(OSSL_PROV_PARAM_VERSION, (char **)&version, 0),
        OSSL_PARAM_construct_end(),
    };
    int ok = loaded && OSSL_PROVIDER_get_params(loaded, parameters) == 1 && name && version;
    if (ok) BIO_snprintf(target, length, "%s %s", name, version);
    OSSL_PROVIDER_unload(loaded);
    return ok;
}

static inline void everyhop_ctx_set_status_callback(SSL_CTX *context, int (*callback)(SSL *, void *), void *owner) {
    SSL_CTX_set_tlsext_status_cb(context, callback);
    SSL_CTX_set_tlsext_status_arg(context, owner);
}

/// Has this handshake carry an answer; 1 when it will.
static inline int everyhop_staple(SSL *ssl, const void *answer, size_t length) {
    void *copy = OPENSSL_memdup(answer, length);
    if (!copy) return 0;
    if (SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)length) == 1) return 1;
    OPENSSL_free(copy);
    return 0;
}

/// A session ticket key as the callback below uses it.
struct everyhop_ticket_key {
    unsigned char name[16];
    unsigned char cipher[32];
    unsigned char mac[32];
};

/// Encrypts new tickets under keys[0] and opens those of any key. A ticket of an older key is renewed, and in TLS 1.3
/// every one is: a client uses each once.
/// Returns what SSL_CTX_set_tlsext_ticket_key_evp_cb(3) says.
static inline int everyhop_ticket(SSL *ssl, const struct everyhop_ticket_key *keys, int count, unsigned char *name,
                                  unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypting) {
    int index = 0;
    if (count < 1) return -1;
    if (encrypting) {
        if (RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1) return -1;
        memcpy(name, keys[0].name, 16);
    } else {
        while (index < count && memcmp(name, keys[index].name, 16) != 0) index++;
        if (index == count) return 0;
    }
    OSSL_PARAM parameters[3];
    parameters[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)keys[index].mac, 32);
    parameters[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0);
    parameters[2] = OSSL_PARAM_construct_end();
    if (EVP_MAC_CTX_set_params(mac, parameters) != 1) return -1;
    if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, keys[index].cipher, iv, encrypting) != 1) return -1;
    return !encrypting && (index > 0 || SSL_version(ssl) >= TLS1_3_VERSION) ? 2 : 1;
}
static inline void everyhop_ctx_set_ticket_callback(SSL_CTX *context,
                                                    int (*callback)(SSL *, unsigned char *, unsigned char *,
                                                                    EVP_CIPHER_CTX *, EVP_MAC_CTX *, int)) {
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, callback);
}

/// HKDF with SHA-256 (RFC 5869); 1 when `target` is filled.
static inline int everyhop_hkdf(const void *secret, size_t secret_length, const void *salt, size_t salt_length,
                                const void *purpose, size_t purpose_length, unsigned char *target, size_t length) {
    EVP_KDF *kind = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kind ? EVP_KDF_CTX_new(kind) : NULL;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret, secret_length),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, salt_length),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)purpose, purpose_length),
        OSSL_PARAM_construct_end(),
    };
    int ok = context && EVP_KDF_derive(context, target, length, parameters) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kind);
    return ok;
}

/// AES-256-GCM: writes a random nonce of 12 bytes, the ciphertext and a tag of 16 bytes to `target`.
static inline int everyhop_seal(const void *key, const void *context, size_t context_length, const void *secret,
                                size_t length, unsigned char *target) {
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    int count = 0;
    int ok = cipher && RAND_bytes(target, 12) == 1 &&
             EVP_EncryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, (const unsigned char *)key, target) == 1 &&
             EVP_EncryptUpdate(cipher, NULL, &count, (const unsigned char *)context, (int)context_length) == 1 &&
             EVP_EncryptUpdate(cipher, target + 12, &count, (const unsigned char *)secret, (int)length) == 1 &&
             EVP_EncryptFinal_ex(cipher, target + 12 + length, &count) == 1 &&
             EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, 16, target + 12 + length) == 1;
    EVP_CIPHER_CTX_free(cipher);
    return ok;
}

/// Opens what `everyhop_seal` made of `length` bytes; 1 when the tag is right.
static inline int everyhop_open(const void *key, const void *context, size_t context_length,
                                const unsigned char *sealed, size_t length, unsigned char *target) {
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    int count = 0;
    int ok = cipher && EVP_DecryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, (const unsigned char *)key, sealed) == 1 &&
             EVP_DecryptUpdate(cipher, NULL, &count, (const unsigned char *)context, (int)context_length) == 1 &&
             EVP_DecryptUpdate(cipher, target, &count, sealed + 12, (int)length) == 1 &&
             EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, 16, (void *)(sealed + 12 + length)) == 1 &&
             EVP_DecryptFinal_ex(cipher, target + length, &count) == 1;
    EVP_CIPHER_CTX_free(cipher);
    return ok;
}
#endif
