// SQL Server's protocol as a relay sees it (MS-TDS), both ends of it.
// tds serve PORT CERTIFICATE KEY: whoever begins with PRELOGIN gets TLS inside it, whoever begins with TLS gets that first.
// tds load PORT CONNECTIONS SECONDS BATCHES: in plain; sessions of BATCHES questions (0: one session until the end), each
// answered by 1 KiB; prints the latencies of questions, or of sessions if a session has one question.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 1, ANSWER = 4, LOGIN = 0x10, PRELOGIN = 0x12, HEADER = 8, MOST = 4096 };

struct stream {
    int socket;
    SSL *ssl;
};

static int get(struct stream *stream, unsigned char *bytes, int size) {
    for (int have = 0; have < size;) {
        int got = stream->ssl ? SSL_read(stream->ssl, bytes + have, size - have)
                              : (int)read(stream->socket, bytes + have, size - have);
        if (got <= 0) return 0;
        have += got;
    }
    return 1;
}

static int put(struct stream *stream, const unsigned char *bytes, int size) {
    for (int sent = 0; sent < size;) {
        int went = stream->ssl ? SSL_write(stream->ssl, bytes + sent, size - sent)
                               : (int)write(stream->socket, bytes + sent, size - sent);
        if (went <= 0) return 0;
        sent += went;
    }
    return 1;
}

// The payload's length, or -1.
static int get_packet(struct stream *stream, unsigned char *payload, int *type) {
    unsigned char header[HEADER];
    if (!get(stream, header, HEADER)) return -1;
    int size = (header[2] << 8 | header[3]) - HEADER;
    *type = header[0];
    return size >= 0 && size <= MOST && get(stream, payload, size) ? size : -1;
}

static int put_packet(struct stream *stream, int type, const void *payload, int size) {
    unsigned char packet[HEADER + MOST] = {type, 1, (size + HEADER) >> 8, (size + HEADER) & 255, 0, 0, 1, 0};
    memcpy(packet + HEADER, payload, size);
    return put(stream, packet, HEADER + size);
}

// MARK: the server

static SSL_CTX *context;

// TLS 1.2, the handshake in PRELOGIN packets, all later records bare.
static int shake_hands_inside(struct stream *stream) {
    struct stream plain = {stream->socket, NULL};
    unsigned char payload[MOST];
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL *ssl = SSL_new(context);
    SSL_set_bio(ssl, in, out);
    int type, finished = 0;
    while (!finished) {
        int size = get_packet(&plain, payload, &type);
        if (size < 0 || type != PRELOGIN) break;
        BIO_write(in, payload, size);
        finished = SSL_accept(ssl) == 1;
        while ((size = BIO_read(out, payload, 4088)) > 0) put_packet(&plain, PRELOGIN, payload, size);
    }
    if (finished) SSL_set_fd(ssl, stream->socket);
    stream->ssl = ssl;
    return finished;
}

static int answer_prelogin(struct stream *stream) {
    static const unsigned char answer[] = {
        0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xFF, 15, 0, 7, 208, 0, 0, 1,
    };
    return put_packet(stream, ANSWER, answer, sizeof answer);
}

// LOGINACK of TDS 7.4 by a server with a name of one letter, and DONE.
static int answer_login(struct stream *stream) {
    static const unsigned char answer[] = {
        0xAD, 12, 0, 1, 0x74, 0, 0, 4, 1, 'S', 0, 15, 0, 7, 208, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    };
    return put_packet(stream, ANSWER, answer, sizeof answer);
}

static void serve(struct stream *stream) {
    unsigned char first, payload[MOST] = {0};
    int type, one = 1;
    setsockopt(stream->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (recv(stream->socket, &first, 1, MSG_PEEK) != 1) return;
    if (first == 0x16) {
        stream->ssl = SSL_new(context);
        SSL_set_fd(stream->ssl, stream->socket);
        if (SSL_accept(stream->ssl) != 1) return;
    }
    if (get_packet(stream, payload, &type) < 0 || type != PRELOGIN || !answer_prelogin(stream)) return;
    if (!stream->ssl && !shake_hands_inside(stream)) return;
    if (get_packet(stream, payload, &type) < 0 || type != LOGIN || !answer_login(stream)) return;
    while (get_packet(stream, payload, &type) >= 0 && type == BATCH)
        if (!put_packet(stream, ANSWER, payload, 1024 - HEADER)) return;
}

static void *serve_thread(void *argument) {
    struct stream *stream = argument;
    serve(stream);
    if (stream->ssl) { SSL_shutdown(stream->ssl); SSL_free(stream->ssl); }
    close(stream->socket);
    free(stream);
    return NULL;
}

static struct sockaddr_in loopback(const char *port) {
    return (struct sockaddr_in){AF_INET, htons(atoi(port)), {htonl(INADDR_LOOPBACK)}, {0}};
}

static int server(char **argv) {
    context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    if (SSL_CTX_use_certificate_chain_file(context, argv[3]) != 1) return 1;
    if (SSL_CTX_use_PrivateKey_file(context, argv[4], SSL_FILETYPE_PEM) != 1) return 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = loopback(argv[2]);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) return 1;
    for (;;) {
        struct stream *stream = calloc(1, sizeof *stream);
        if ((stream->socket = accept(listener, NULL, NULL)) < 0) return 1;
        pthread_t thread;
        pthread_create(&thread, NULL, serve_thread, stream);
        pthread_detach(thread);
    }
}

// MARK: the load

static struct sockaddr_in target;
static int batches;
static double began, ends;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static double *latencies;
static size_t count, room, failed;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static void note(double latency) {
    pthread_mutex_lock(&lock);
    if (count == room) latencies = realloc(latencies, (room = room ? 2 * room : 65536) * sizeof *latencies);
    latencies[count++] = latency;
    pthread_mutex_unlock(&lock);
}

static int log_in(struct stream *stream) {
    // VERSION, and ENCRYPTION: this client cannot.
    static const unsigned char question[] = {0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xFF, 9, 0, 0, 0, 0, 0, 2};
    unsigned char payload[MOST], login[94 + 4] = {sizeof login, 0, 0, 0, 4, 0, 0, 0x74, 0, 16};
    int type, one = 1;
    stream->socket = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(stream->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(stream->socket, (struct sockaddr *)&target, sizeof target)) return 0;
    if (!put_packet(stream, PRELOGIN, question, sizeof question) || get_packet(stream, payload, &type) < 0) return 0;
    // A user of two letters, all else empty.
    for (int field = 36; field < 94; field += 4) login[field] = 94;
    login[42] = 2;
    memcpy(login + 94, "s\0a", 4);
    return put_packet(stream, LOGIN, login, sizeof login) && get_packet(stream, payload, &type) > 0 && payload[0] == 0xAD;
}

static int session(double since) {
    struct stream stream = {-1, NULL};
    unsigned char payload[MOST], question[200] = {22, 0, 0, 0, 18};
    int type, good = log_in(&stream);
    for (int index = 0; good && (!batches || index < batches) && now() < ends; index++) {
        if (batches != 1) since = now();
        good = put_packet(&stream, BATCH, question, sizeof question) && get_packet(&stream, payload, &type) == 1024 - HEADER;
        if (good) note(now() - since);
    }
    close(stream.socket);
    return good;
}

static void *load_thread(void *unused) {
    (void)unused;
    while (now() < ends)
        if (!session(now())) { __atomic_add_fetch(&failed, 1, __ATOMIC_RELAXED); usleep(1000); }
    return NULL;
}

static int ascending(const void *a, const void *b) {
    double one = *(const double *)a, other = *(const double *)b;
    return (one > other) - (one < other);
}

static int load(char **argv) {
    int connections = atoi(argv[3]);
    target = loopback(argv[2]);
    batches = atoi(argv[5]);
    began = now();
    ends = began + atof(argv[4]) * 1e6;
    pthread_t threads[connections];
    for (int index = 0; index < connections; index++) pthread_create(&threads[index], NULL, load_thread, NULL);
    for (int index = 0; index < connections; index++) pthread_join(threads[index], NULL);
    double seconds = (now() - began) / 1e6;
    qsort(latencies, count, sizeof *latencies, ascending);
    printf("{\"count\": %zu, \"failed\": %zu, \"seconds\": %.4f, \"p50\": %.1f, \"p99\": %.1f}\n", count, failed, seconds,
           count ? latencies[count / 2] : 0, count ? latencies[(size_t)(count * 0.99)] : 0);
    return 0;
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    if (argc == 5 && !strcmp(argv[1], "serve")) return server(argv);
    return argc == 6 && !strcmp(argv[1], "load") ? load(argv) : 2;
}
