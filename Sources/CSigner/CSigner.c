#include "CSigner.h"
#include <errno.h>
#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

// In milliseconds: how long a signature may take, since the connections of a worker wait meanwhile (one takes less than one,
// but for keys of unusual length); and how often a signer that did not answer is asked again, which nobody waits for.
enum { patience = 250, between_trials = 1000 };

// Without the provider itself: its keys are what is made here.
static const char *const elsewhere = "provider!=signer";
static const char encoded_parameter[] = "everyhop-public";

static int signer_socket = -1;
// The number 0 is that of a greeting.
static uint64_t last_number;
static uint64_t signatures_made;
static uint64_t signatures_failed;

// ---- why there is no signature

static int error_library;
enum { reason_silent = 1, reason_gone, reason_refused };

static void name_reasons(void) {
    static ERR_STRING_DATA reasons[] = {{0, "the signer does not answer"},
                                        {0, "there is no signer"},
                                        {0, "the signer does not sign this"},
                                        {0, NULL}};
    if (error_library) return;
    error_library = ERR_get_next_error_library();
    for (int index = 0; reasons[index].string; index++) reasons[index].error = ERR_PACK(0, 0, index + 1);
    ERR_load_strings(error_library, reasons);
}

// The first of all errors that a failed handshake leaves behind: it is the one that is told.
static int refuse(int reason) {
    ERR_raise(error_library, reason);
    return 0;
}

// ---- asking

// Whether the signer let a request pass unanswered, and has said nothing since; and when it may be asked again.
static int is_silent;
static int64_t next_trial;

void everyhop_signer_use(int socket) {
    if (signer_socket >= 0) close(signer_socket);
    signer_socket = socket;
    is_silent = 0;
}

void everyhop_signer_counts(uint64_t *made, uint64_t *failed) {
    *made = signatures_made;
    *failed = signatures_failed;
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static int await(short events, int64_t deadline) {
    struct pollfd entry = {.fd = signer_socket, .events = events};
    for (;;) {
        int64_t left = deadline - now();
        int count = poll(&entry, 1, left > 0 ? (int)left : 0);
        if (count > 0) return 1;
        if (count == 0 || errno != EINTR) return 0;
    }
}

int everyhop_signer_await(int milliseconds) { return signer_socket < 0 || await(POLLIN, now() + milliseconds); }

// Sends one request, waiting for room until the deadline; 1, or 0 when there is no room, or nobody.
static int request(uint64_t number, const unsigned char *name, uint16_t scheme, const unsigned char *bytes, size_t length,
                   int64_t deadline) {
    unsigned char head[everyhop_request_head];
    memcpy(head, &number, 8);
    memcpy(head + 8, name, everyhop_key_name_length);
    head[8 + everyhop_key_name_length] = (unsigned char)(scheme >> 8);
    head[9 + everyhop_key_name_length] = (unsigned char)scheme;
    struct iovec parts[] = {{.iov_base = head, .iov_len = sizeof head}, {.iov_base = (void *)bytes, .iov_len = length}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    while (sendmsg(signer_socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        if (errno != EINTR && !(errno == EAGAIN && await(POLLOUT, deadline))) return 0;
    }
    return 1;
}

// Whether a late answer has come: it belongs to a connection that has given up, but the signer is well again.
static int has_recovered(void) {
    unsigned char answer[everyhop_answer_head + everyhop_longest_signature];
    int found = 0;
    for (;;) {
        ssize_t count = recv(signer_socket, answer, sizeof answer, MSG_DONTWAIT);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return found;
        found = 1;
    }
}

static int falls_silent(void) {
    is_silent = 1;
    next_trial = now() + between_trials;
    return refuse(reason_silent);
}

static int ask(const unsigned char *name, uint16_t scheme, const unsigned char *bytes, size_t length,
               unsigned char *signature, size_t *signature_length, size_t room) {
    unsigned char answer[everyhop_answer_head + everyhop_longest_signature];
    int64_t start = now(), deadline = start + patience;
    uint64_t number = ++last_number;
    if (signer_socket < 0) return refuse(reason_gone);
    if (length > everyhop_most_to_sign) return refuse(reason_refused);
    if (is_silent) is_silent = !has_recovered();
    if (is_silent) {
        // Nobody waits a second time; what is asked now and then only finds out whether it answers again.
        if (start < next_trial) return refuse(reason_silent);
        (void)request(number, name, scheme, bytes, length, start);
        return falls_silent();
    }
    if (!request(number, name, scheme, bytes, length, deadline)) {
        return errno == EPIPE ? refuse(reason_gone) : falls_silent();
    }
    for (;;) {
        ssize_t count = recv(signer_socket, answer, sizeof answer, MSG_DONTWAIT);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && errno == EAGAIN) {
            if (await(POLLIN, deadline)) continue;
            return falls_silent();
        }
        if (count < everyhop_answer_head) return refuse(reason_gone);
        // A greeting; or what comes late, which belongs to a connection that has given up.
        if (memcmp(answer, &number, 8) != 0) continue;
        size_t made = (size_t)count - everyhop_answer_head;
        if (made == 0 || made > room) return refuse(reason_refused);
        memcpy(signature, answer + everyhop_answer_head, made);
        *signature_length = made;
        return 1;
    }
}

// ---- keys

struct remote_key {
    const char *kind;
    EVP_PKEY *public;
    unsigned char name[everyhop_key_name_length];
};

static void *key_new(const char *kind) {
    struct remote_key *key = OPENSSL_zalloc(sizeof *key);
    if (key) key->kind = kind;
    return key;
}

static void *rsa_new(void *provider) { return (void)provider, key_new("RSA"); }
static void *pss_new(void *provider) { return (void)provider, key_new("RSA-PSS"); }
static void *ec_new(void *provider) { return (void)provider, key_new("EC"); }
static void *ed25519_new(void *provider) { return (void)provider, key_new("ED25519"); }

static void key_free(void *data) {
    struct remote_key *key = data;
    if (!key) return;
    EVP_PKEY_free(key->public);
    OPENSSL_free(key);
}

static int key_has(const void *data, int selection) {
    const struct remote_key *key = data;
    (void)selection;
    return key && key->public;
}

static int key_match(const void *one, const void *other, int selection) {
    const struct remote_key *first = one, *second = other;
    (void)selection;
    return first->public && second->public && EVP_PKEY_eq(first->public, second->public) == 1;
}

/// The library's own parameters make a key to compare with; ours make one that signs.
static int key_import(void *data, int selection, const OSSL_PARAM parameters[]) {
    struct remote_key *key = data;
    const OSSL_PARAM *encoded = OSSL_PARAM_locate_const(parameters, encoded_parameter);
    (void)selection;
    if (key->public) return 0;
    if (encoded) {
        const unsigned char *next = encoded->data;
        if (encoded->data_type != OSSL_PARAM_OCTET_STRING || !next) return 0;
        SHA256(next, encoded->data_size, key->name);
        key->public = d2i_PUBKEY_ex(NULL, &next, (long)encoded->data_size, NULL, elsewhere);
        return key->public && EVP_PKEY_is_a(key->public, key->kind);
    }
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, key->kind, elsewhere);
    int ok = context && EVP_PKEY_fromdata_init(context) == 1 &&
             EVP_PKEY_fromdata(context, &key->public, EVP_PKEY_PUBLIC_KEY, (OSSL_PARAM *)parameters) == 1;
    EVP_PKEY_CTX_free(context);
    return ok;
}

static const OSSL_PARAM *key_import_types(int selection) {
    static const OSSL_PARAM types[] = {OSSL_PARAM_octet_string(encoded_parameter, NULL, 0), OSSL_PARAM_END};
    (void)selection;
    return types;
}

/// The public half only: who asks for more gets nothing.
static int key_export(void *data, int selection, OSSL_CALLBACK *callback, void *argument) {
    struct remote_key *key = data;
    if (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY || !key->public) return 0;
    return EVP_PKEY_export(key->public, EVP_PKEY_PUBLIC_KEY, callback, argument);
}

static const OSSL_PARAM *key_export_types(int selection) {
    static const OSSL_PARAM types[] = {OSSL_PARAM_END};
    (void)selection;
    return types;
}

static int key_get_params(void *data, OSSL_PARAM parameters[]) {
    struct remote_key *key = data;
    return key->public && EVP_PKEY_get_params(key->public, parameters);
}

static const OSSL_PARAM *key_gettable(void *provider) {
    static const OSSL_PARAM types[] = {
        OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
        OSSL_PARAM_END};
    (void)provider;
    return types;
}

static const char *rsa_operation(int operation) { return (void)operation, "RSA"; }
static const char *ec_operation(int operation) { return (void)operation, "ECDSA"; }
static const char *ed25519_operation(int operation) { return (void)operation, "ED25519"; }

#define FUNCTION(number, function) {number, (void (*)(void))function}
#define KEYS(prefix, operation)                                                                                       \
    static const OSSL_DISPATCH prefix##_keys[] = {                                                                    \
        FUNCTION(OSSL_FUNC_KEYMGMT_NEW, prefix##_new),                                                                \
        FUNCTION(OSSL_FUNC_KEYMGMT_FREE, key_free),                                                                   \
        FUNCTION(OSSL_FUNC_KEYMGMT_HAS, key_has),                                                                     \
        FUNCTION(OSSL_FUNC_KEYMGMT_MATCH, key_match),                                                                 \
        FUNCTION(OSSL_FUNC_KEYMGMT_IMPORT, key_import),                                                               \
        FUNCTION(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_import_types),                                                   \
        FUNCTION(OSSL_FUNC_KEYMGMT_EXPORT, key_export),                                                               \
        FUNCTION(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, key_export_types),                                                   \
        FUNCTION(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params),                                                       \
        FUNCTION(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable),                                                    \
        FUNCTION(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, operation),                                                  \
        {0, NULL}}
KEYS(rsa, rsa_operation);
KEYS(pss, rsa_operation);
KEYS(ec, ec_operation);
KEYS(ed25519, ed25519_operation);

// ---- signatures

struct remote_signature {
    const struct remote_key *key;
    int digest;
    int is_pss;
};

static void *signature_new(void *provider, const char *properties) {
    (void)provider, (void)properties;
    return OPENSSL_zalloc(sizeof(struct remote_signature));
}

static void signature_free(void *data) { OPENSSL_free(data); }

static int signature_set(void *data, const OSSL_PARAM parameters[]) {
    struct remote_signature *signature = data;
    if (!parameters) return 1;
    const OSSL_PARAM *mode = OSSL_PARAM_locate_const(parameters, OSSL_SIGNATURE_PARAM_PAD_MODE);
    if (mode) {
        int number = 0;
        if (mode->data_type == OSSL_PARAM_UTF8_STRING) {
            number = strcmp(mode->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0       ? RSA_PKCS1_PSS_PADDING
                     : strcmp(mode->data, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0 ? RSA_PKCS1_PADDING
                                                                               : 0;
        } else if (!OSSL_PARAM_get_int(mode, &number)) {
            return 0;
        }
        if (number != RSA_PKCS1_PSS_PADDING && number != RSA_PKCS1_PADDING) return 0;
        signature->is_pss = number == RSA_PKCS1_PSS_PADDING;
    }
    // As long as the digest: what TLS says (RFC 8446 §4.2.3), and what the signer does.
    const OSSL_PARAM *salt = OSSL_PARAM_locate_const(parameters, OSSL_SIGNATURE_PARAM_PSS_SALTLEN);
    if (salt) {
        int length = 0;
        if (salt->data_type == OSSL_PARAM_UTF8_STRING) {
            if (strcmp(salt->data, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) != 0 && strcmp(salt->data, "-1") != 0) return 0;
        } else if (!OSSL_PARAM_get_int(salt, &length) || length != RSA_PSS_SALTLEN_DIGEST) {
            return 0;
        }
    }
    return 1;
}

static const OSSL_PARAM *signature_settable(void *data, void *provider) {
    static const OSSL_PARAM types[] = {OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
                                       OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
                                       OSSL_PARAM_END};
    (void)data, (void)provider;
    return types;
}

static int signature_begin(void *data, const char *digest, void *key, const OSSL_PARAM parameters[]) {
    struct remote_signature *signature = data;
    if (key) signature->key = key;
    if (!signature->key) return 0;
    signature->is_pss = strcmp(signature->key->kind, "RSA-PSS") == 0;
    signature->digest = 0;
    if (digest && digest[0]) {
        EVP_MD *kind = EVP_MD_fetch(NULL, digest, NULL);
        if (!kind) return 0;
        signature->digest = EVP_MD_get_type(kind);
        EVP_MD_free(kind);
    }
    return signature_set(signature, parameters);
}

/// The number of a scheme that TLS has (RFC 8446 §4.2.3), or 0.
static uint16_t scheme_of(const struct remote_signature *signature) {
    int size = signature->digest == NID_sha256 ? 0 : signature->digest == NID_sha384 ? 1 : signature->digest == NID_sha512 ? 2 : -1;
    if (strcmp(signature->key->kind, "ED25519") == 0) return signature->digest == 0 ? 0x0807 : 0;
    if (size < 0) return 0;
    if (strcmp(signature->key->kind, "EC") == 0) return (uint16_t)(0x0403 + 0x0100 * size);
    return (uint16_t)(signature->is_pss ? 0x0804 + size : 0x0401 + 0x0100 * size);
}

static int signature_make(void *data, unsigned char *target, size_t *length, size_t room, const unsigned char *bytes,
                          size_t count) {
    struct remote_signature *signature = data;
    if (!target) {
        *length = (size_t)EVP_PKEY_get_size(signature->key->public);
        return *length > 0;
    }
    uint16_t scheme = scheme_of(signature);
    int ok = scheme && ask(signature->key->name, scheme, bytes, count, target, length, room);
    ok ? signatures_made++ : signatures_failed++;
    return ok;
}

static const OSSL_DISPATCH signatures[] = {FUNCTION(OSSL_FUNC_SIGNATURE_NEWCTX, signature_new),
                                           FUNCTION(OSSL_FUNC_SIGNATURE_FREECTX, signature_free),
                                           FUNCTION(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, signature_begin),
                                           FUNCTION(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, signature_make),
                                           FUNCTION(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, signature_set),
                                           FUNCTION(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, signature_settable),
                                           {0, NULL}};

// ---- the provider

// Nothing is computed here: who asks for approved algorithms gets those of the signer.
static const char properties[] = "provider=signer,fips=yes";

static const OSSL_ALGORITHM key_kinds[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", properties, rsa_keys, NULL},
    {"RSA-PSS:RSASSA-PSS:1.2.840.113549.1.1.10", properties, pss_keys, NULL},
    {"EC:id-ecPublicKey:1.2.840.10045.2.1", properties, ec_keys, NULL},
    {"ED25519:1.3.101.112", properties, ed25519_keys, NULL},
    {NULL, NULL, NULL, NULL}};

static const OSSL_ALGORITHM signature_kinds[] = {{"RSA:rsaEncryption:1.2.840.113549.1.1.1", properties, signatures, NULL},
                                                 {"ECDSA", properties, signatures, NULL},
                                                 {"ED25519:1.3.101.112", properties, signatures, NULL},
                                                 {NULL, NULL, NULL, NULL}};

static const OSSL_ALGORITHM *query(void *provider, int operation, int *may_not_keep) {
    (void)provider;
    *may_not_keep = 0;
    switch (operation) {
    case OSSL_OP_KEYMGMT: return key_kinds;
    case OSSL_OP_SIGNATURE: return signature_kinds;
    default: return NULL;
    }
}

static int begin(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **context) {
    static const OSSL_DISPATCH functions[] = {FUNCTION(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query), {0, NULL}};
    (void)in;
    *out = functions;
    *context = (void *)handle;
    return 1;
}

int everyhop_signer_install(void) {
    static OSSL_PROVIDER *provider;
    if (provider) return 1;
    name_reasons();
    // Whoever asks for an algorithm without a wish gets the first that has it: the usual ones have to be there before.
    static const char *const kinds[] = {"RSA", "RSA-PSS", "EC", "ED25519"};
    for (size_t index = 0; index < sizeof kinds / sizeof kinds[0]; index++) {
        EVP_KEYMGMT_free(EVP_KEYMGMT_fetch(NULL, kinds[index], NULL));
    }
    EVP_SIGNATURE_free(EVP_SIGNATURE_fetch(NULL, "RSA", NULL));
    EVP_SIGNATURE_free(EVP_SIGNATURE_fetch(NULL, "ECDSA", NULL));
    EVP_SIGNATURE_free(EVP_SIGNATURE_fetch(NULL, "ED25519", NULL));
    if (OSSL_PROVIDER_add_builtin(NULL, "signer", begin) != 1) return 0;
    provider = OSSL_PROVIDER_try_load(NULL, "signer", 1);
    return provider != NULL;
}

EVP_PKEY *everyhop_remote_key(const unsigned char *encoded, size_t length) {
    const unsigned char *next = encoded;
    EVP_PKEY *public = d2i_PUBKEY_ex(NULL, &next, (long)length, NULL, elsewhere);
    const char *kind = public ? EVP_PKEY_get0_type_name(public) : NULL;
    EVP_PKEY_CTX *context = kind ? EVP_PKEY_CTX_new_from_name(NULL, kind, "provider=signer") : NULL;
    EVP_PKEY *key = NULL;
    OSSL_PARAM parameters[] = {OSSL_PARAM_construct_octet_string(encoded_parameter, (void *)encoded, length),
                               OSSL_PARAM_construct_end()};
    if (!context || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, parameters) != 1) {
        key = NULL;
    }
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(public);
    return key;
}
