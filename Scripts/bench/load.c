// Load over TLS that no common tool makes: full or resumed handshakes of one version, open-loop rates, idle connections.
// One thread, one epoll. It says when it is ready, begins with a byte on its input, and ends with the end of that. Every connection negotiates X25519 and AES-128-GCM, whatever the proxy would rather have.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum phase { CLOSED, CONNECTING, SENDING, RECEIVING, RESTING };

struct slot {
    int socket;
    enum phase phase;
    SSL *ssl;
    SSL_SESSION *session;
    int requests;           // answered on this connection
    long long since;        // where the latency of the present operation begins
    long long body;         // bytes of the body that are missing; -1 while the head is
    int head;               // bytes of the head that are here
    int sent;               // bytes of the request that are written
    int closes;             // the server closes after this answer
    char buffer[16384];
};

static struct {
    const char *name, *path;
    int port, connections, tls, resume, requests, idle, post, count;
    double seconds, rate;
} options = {"localhost", "/1k", 0, 32, 13, 0, 1, 0, 0, 0, 1, 0};

static struct sockaddr_in address;
static SSL_CTX *context;
static struct slot *slots;
static int poller, request_length, running, begun;
static char *request;
static long long *latencies, began, stops, next_due;
static size_t count, room, handshakes, resumed, failed, lost;

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int keep_session(SSL *ssl, SSL_SESSION *session) {
    struct slot *slot = SSL_get_app_data(ssl);
    SSL_SESSION_free(slot->session);
    slot->session = session;
    return 1;
}

static void make_context(void) {
    context = SSL_CTX_new(TLS_client_method());
    int version = options.tls == 12 ? TLS1_2_VERSION : TLS1_3_VERSION;
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256");
    SSL_CTX_set1_groups_list(context, "X25519:P-256");
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | (options.idle ? SSL_MODE_RELEASE_BUFFERS : 0));
    // One read of the socket for a record: what the load spares, the proxy's neighbour has.
    SSL_CTX_set_read_ahead(context, 1);
    if (!options.resume) return;
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_session);
}

static void close_slot(struct slot *slot) {
    if (slot->ssl) {
        if (slot->phase >= SENDING) SSL_shutdown(slot->ssl);
        SSL_free(slot->ssl);
        slot->ssl = NULL;
    }
    if (slot->socket >= 0) close(slot->socket);
    slot->socket = -1;
    slot->phase = CLOSED;
}

// The operation has come to nothing.
static void fail(struct slot *slot) {
    failed++;
    if (slot->phase >= SENDING && slot->requests) lost++;
    ERR_clear_error();
    close_slot(slot);
    running--;
}

static void done(struct slot *slot) {
    if (count == room) latencies = realloc(latencies, (room = room ? 2 * room : 65536) * sizeof *latencies);
    latencies[count++] = now() - slot->since;
    slot->requests++;
    running--;
    if (slot->closes || slot->requests >= options.requests) close_slot(slot);
    else slot->phase = RESTING;
}

static void connect_slot(struct slot *slot) {
    int one = 1;
    slot->requests = 0;
    slot->phase = CONNECTING;
    slot->socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(slot->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(slot->socket, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) { fail(slot); return; }
    slot->ssl = SSL_new(context);
    SSL_set_app_data(slot->ssl, slot);
    SSL_set_fd(slot->ssl, slot->socket);
    SSL_set_tlsext_host_name(slot->ssl, options.name);
    if (slot->session) SSL_set_session(slot->ssl, slot->session);
    SSL_set_connect_state(slot->ssl);
    struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLET, {.ptr = slot}};
    epoll_ctl(poller, EPOLL_CTL_ADD, slot->socket, &event);
}

// Whether the head is here; sets what is missing of the body. -1 for an answer that is none.
static int read_head(struct slot *slot) {
    char *end = memmem(slot->buffer, slot->head, "\r\n\r\n", 4);
    if (!end) return slot->head < (int)sizeof slot->buffer - 1 ? 0 : -1;
    *end = 0;
    if (strncmp(slot->buffer, "HTTP/1.1 2", 10)) return -1;
    char *length = strcasestr(slot->buffer, "\r\ncontent-length:");
    if (!length) return -1;
    slot->closes = strcasestr(slot->buffer, "\r\nconnection: close") != NULL;
    slot->body = atoll(length + 17) - (slot->buffer + slot->head - end - 4);
    return 1;
}

// 1 when the answer is whole, 0 when more has to come, -1 when it cannot.
static int receive(struct slot *slot) {
    static char sink[65536];
    for (;;) {
        int isHead = slot->body < 0;
        char *place = isHead ? slot->buffer + slot->head : sink;
        int size = isHead ? (int)sizeof slot->buffer - 1 - slot->head : (int)sizeof sink;
        int got = SSL_read(slot->ssl, place, size);
        if (got <= 0) return SSL_get_error(slot->ssl, got) == SSL_ERROR_WANT_READ ? 0 : -1;
        if (isHead) {
            slot->head += got;
            slot->buffer[slot->head] = 0;
            int known = read_head(slot);
            if (known < 0) return -1;
        } else slot->body -= got;
        if (slot->body == 0) return 1;
    }
}

// Goes on as far as it can without waiting.
static void advance(struct slot *slot) {
    if (slot->phase == CONNECTING) {
        int outcome = SSL_do_handshake(slot->ssl);
        if (outcome != 1) {
            int error = SSL_get_error(slot->ssl, outcome);
            if (error == SSL_ERROR_SYSCALL && errno == ENOTCONN) return;
            if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) fail(slot);
            return;
        }
        handshakes++;
        resumed += SSL_session_reused(slot->ssl);
        slot->phase = SENDING;
    }
    if (slot->phase == SENDING) {
        while (slot->sent < request_length) {
            int sent = SSL_write(slot->ssl, request + slot->sent, request_length - slot->sent);
            if (sent <= 0) {
                if (SSL_get_error(slot->ssl, sent) != SSL_ERROR_WANT_WRITE) fail(slot);
                return;
            }
            slot->sent += sent;
        }
        slot->phase = RECEIVING;
        slot->body = -1;
        slot->head = 0;
    }
    if (slot->phase == RECEIVING) {
        int outcome = receive(slot);
        if (outcome < 0) fail(slot);
        else if (outcome > 0) done(slot);
    } else if (slot->phase == RESTING) {
        char byte;
        int got = SSL_read(slot->ssl, &byte, 1);
        if (got <= 0 && SSL_get_error(slot->ssl, got) != SSL_ERROR_WANT_READ) { ERR_clear_error(); close_slot(slot); }
    }
}

static void begin(struct slot *slot, long long since) {
    running++;
    slot->since = since;
    slot->sent = 0;
    if (slot->phase == RESTING) slot->phase = SENDING;
    else connect_slot(slot);
    if (slot->phase != CLOSED) advance(slot);
}

// With a rate, operations are due at their times, whether a connection is free or not: waiting is latency.
static void begin_what_is_due(void) {
    static int turn;
    long long time = now(), step = options.rate ? (long long)(1e9 / options.rate) : 0;
    for (int looked = 0; looked < options.connections; looked++, turn++) {
        struct slot *slot = &slots[turn % options.connections];
        if (slot->phase != CLOSED && slot->phase != RESTING) continue;
        if (time >= stops || (step && time < next_due)) return;
        if (options.count && begun == options.count) return;
        begun++;
        begin(slot, step ? next_due : now());
        next_due += step;
    }
}

static void wait_for_events(void) {
    struct epoll_event events[256];
    int timeout = 1;
    // Milliseconds are too coarse for a pause between operations.
    struct timespec pause = {0, 1000000};
    if (options.rate && next_due) {
        long long left = next_due - now();
        pause.tv_nsec = left < 0 ? 0 : left < 1000000 ? left : 1000000;
    } else timeout = 10;
    int ready = options.rate && next_due ? epoll_pwait2(poller, events, 256, &pause, NULL) : epoll_wait(poller, events, 256, timeout);
    for (int index = 0; index < ready; index++) advance(events[index].data.ptr);
}

static void make_load(void) {
    began = next_due = now();
    stops = began + (long long)(options.seconds * 1e9);
    // What has begun may end; what hangs is not waited for.
    while (now() < stops || (running && now() < stops + 3000000000LL)) {
        if (options.count && begun == options.count && !running) break;
        if (now() < stops) begin_what_is_due();
        wait_for_events();
    }
    failed += running;
}

// Opens every connection, with one answered request each, before anything is counted.
static void warm_up(void) {
    int opened = 0;
    stops = now() + 60000000000LL;
    while ((opened < options.connections || running) && !failed && now() < stops) {
        while (opened < options.connections && running < (options.idle ? 16 : options.connections)) begin(&slots[opened++], now());
        wait_for_events();
    }
}

// Who started this may look at the proxy before anything is counted, and before connections are closed.
static void say_ready_and_wait(void) {
    printf("ready %zu %zu\n", count, failed);
    fflush(stdout);
    char byte;
    if (read(0, &byte, 1) < 0) exit(1);
    count = handshakes = resumed = failed = lost = 0;
}

static void wait_for_end(void) {
    fflush(stdout);
    char byte;
    while (read(0, &byte, 1) > 0) {}
}

static int ascending(const void *a, const void *b) {
    long long one = *(const long long *)a, other = *(const long long *)b;
    return (one > other) - (one < other);
}

static double microseconds(double share) {
    if (!count) return 0;
    size_t index = (size_t)(share * count);
    return latencies[index < count ? index : count - 1] / 1e3;
}

static void report(void) {
    qsort(latencies, count, sizeof *latencies, ascending);
    printf("{\"count\": %zu, \"handshakes\": %zu, \"resumed\": %zu, \"failed\": %zu, \"lost\": %zu, \"seconds\": %.4f, "
           "\"p50\": %.1f, \"p99\": %.1f, \"worst\": %.1f}\n",
           count, handshakes, resumed, failed, lost, (now() - began) / 1e9, microseconds(0.5), microseconds(0.99),
           microseconds(1));
}

static void make_request(void) {
    request = calloc(1, 512 + options.post);
    char length[64] = "";
    if (options.post) snprintf(length, sizeof length, "Content-Length: %d\r\n", options.post);
    request_length = snprintf(request, 512, "%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", options.post ? "POST" : "GET",
                              options.path, options.name, length) + options.post;
}

static void read_options(int argc, char **argv) {
    static const struct option names[] = {
        {"port", 1, 0, 'p'}, {"name", 1, 0, 'n'}, {"path", 1, 0, 'u'}, {"connections", 1, 0, 'c'},
        {"seconds", 1, 0, 's'}, {"tls", 1, 0, 't'}, {"resume", 0, 0, 'R'}, {"requests", 1, 0, 'q'},
        {"rate", 1, 0, 'r'}, {"idle", 0, 0, 'i'}, {"post", 1, 0, 'P'}, {"count", 1, 0, 'C'}, {0}};
    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) switch (option) {
        case 'p': options.port = atoi(optarg); break;
        case 'n': options.name = optarg; break;
        case 'u': options.path = optarg; break;
        case 'c': options.connections = atoi(optarg); break;
        case 's': options.seconds = atof(optarg); break;
        case 't': options.tls = strcmp(optarg, "1.2") ? 13 : 12; break;
        case 'R': options.resume = 1; break;
        case 'q': options.requests = atoi(optarg); break;
        case 'r': options.rate = atof(optarg); break;
        case 'i': options.idle = 1, options.requests = 2; break;
        case 'P': options.post = atoi(optarg); break;
        case 'C': options.count = atoi(optarg); break;
        default: exit(2);
    }
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    address = (struct sockaddr_in){AF_INET, htons(options.port), {htonl(INADDR_LOOPBACK)}, {0}};
    make_request();
    poller = epoll_create1(0);
    slots = calloc(options.connections, sizeof *slots);
    for (int index = 0; index < options.connections; index++) slots[index].socket = -1;
    make_context();
    if (options.requests > 1 || options.resume) warm_up();
    say_ready_and_wait();
    if (!options.idle) make_load();
    report();
    wait_for_end();
}
