// What a handshake costs in the linked OpenSSL alone: both ends in memory, only the server's end is timed.
// floor CERTIFICATE KEY 1.2|1.3 SECONDS [resume]: prints microseconds of processor time per handshake.
#define _GNU_SOURCE
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static SSL_SESSION *session;

static double clock_of(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static int keep_session(SSL *ssl, SSL_SESSION *next) {
    (void)ssl;
    SSL_SESSION_free(session);
    session = next;
    return 1;
}

static SSL_CTX *context(const SSL_METHOD *method, int version) {
    SSL_CTX *context = SSL_CTX_new(method);
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256");
    SSL_CTX_set1_groups_list(context, "X25519:P-256");
    return context;
}

// One handshake and one byte, by which the client reads its tickets; the time of the server's end.
static double handshake(SSL_CTX *servers, SSL_CTX *clients, int resume) {
    BIO *up = BIO_new(BIO_s_mem()), *down = BIO_new(BIO_s_mem());
    BIO_up_ref(up);
    BIO_up_ref(down);
    SSL *client = SSL_new(clients);
    SSL_set_bio(client, down, up);
    SSL_set_tlsext_host_name(client, "localhost");
    if (resume && session) SSL_set_session(client, session);
    double before = clock_of(CLOCK_THREAD_CPUTIME_ID);
    SSL *server = SSL_new(servers);
    SSL_set_bio(server, up, down);
    double used = clock_of(CLOCK_THREAD_CPUTIME_ID) - before;
    for (int step = 0, served = 0; step < 6 && !(served && SSL_is_init_finished(client)); step++) {
        SSL_connect(client);
        before = clock_of(CLOCK_THREAD_CPUTIME_ID);
        served = SSL_accept(server) == 1;
        used += clock_of(CLOCK_THREAD_CPUTIME_ID) - before;
    }
    char byte = 0;
    if (SSL_write(server, &byte, 1) != 1 || SSL_read(client, &byte, 1) != 1 || (resume && session && !SSL_session_reused(client)))
        used = -1;
    SSL_shutdown(client);
    before = clock_of(CLOCK_THREAD_CPUTIME_ID);
    SSL_free(server);
    used += clock_of(CLOCK_THREAD_CPUTIME_ID) - before;
    SSL_free(client);
    return used;
}

int main(int argc, char **argv) {
    if (argc < 5) return 2;
    int version = strcmp(argv[3], "1.2") ? TLS1_3_VERSION : TLS1_2_VERSION, resume = argc > 5;
    SSL_CTX *servers = context(TLS_server_method(), version), *clients = context(TLS_client_method(), version);
    SSL_CTX_set_session_cache_mode(servers, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(servers, SSL_OP_NO_ANTI_REPLAY);
    if (SSL_CTX_use_certificate_chain_file(servers, argv[1]) != 1) return 1;
    if (SSL_CTX_use_PrivateKey_file(servers, argv[2], SSL_FILETYPE_PEM) != 1) return 1;
    if (resume) {
        SSL_CTX_set_session_cache_mode(clients, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(clients, keep_session);
    }
    handshake(servers, clients, resume);
    double end = clock_of(CLOCK_MONOTONIC) + atof(argv[4]) * 1e6, used = 0;
    long count = 0;
    for (; clock_of(CLOCK_MONOTONIC) < end; count++) {
        double one = handshake(servers, clients, resume);
        if (one < 0) return 1;
        used += one;
    }
    printf("%.1f\n", used / count);
}
