// The server behind every proxy: HTTP/1.1 over TLS 1.3, with as little work as there can be, so that the proxies are what limits a row and not what is behind them.
// One thread, one epoll. GET /1k, /64k, /10m, /100m answer so many bytes; what is posted is read as a whole before it is answered.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
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
#include <unistd.h>

struct connection {
    int socket;
    SSL *ssl;
    int handshaking;
    int head;               // bytes of the head that are here
    long long body;         // bytes of the request's body that are missing
    long long left;         // bytes of the answer's body that are not written
    int start, end;         // of the answer's beginning, in `out`
    int closes;
    char in[16384];
    char out[16384];
};

static int poller;
static char nothing[16384];

static void end_connection(struct connection *connection) {
    ERR_clear_error();
    SSL_free(connection->ssl);
    close(connection->socket);
    free(connection);
}

static void watch(struct connection *connection, int events) {
    struct epoll_event event = {events | EPOLLET, {.ptr = connection}};
    epoll_ctl(poller, EPOLL_CTL_ADD, connection->socket, &event);
}

static long long size_of(const char *path) {
    if (!strncmp(path, "/1k ", 4)) return 1024;
    if (!strncmp(path, "/64k ", 5)) return 65536;
    if (!strncmp(path, "/10m ", 5)) return 10 << 20;
    if (!strncmp(path, "/100m ", 6)) return 100000000;
    return -1;
}

// Puts the answer's head, and as much of the body as fits, into `out`.
static void answer(struct connection *connection) {
    char *path = strchr(connection->in, ' ');
    int posted = !strncmp(connection->in, "POST", 4);
    long long size = posted ? 6 : path ? size_of(path + 1) : -1;
    int found = size >= 0;
    if (!found) size = 0;
    connection->start = 0;
    connection->end = snprintf(connection->out, sizeof connection->out,
        "HTTP/1.1 %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %lld\r\n%s\r\n",
        found ? "200 OK" : "404 Not Found", size, connection->closes ? "Connection: close\r\n" : "");
    long long rest = (long long)sizeof connection->out - connection->end;
    long long part = size < rest ? size : rest;
    memset(connection->out + connection->end, 'x', part);
    connection->end += part;
    connection->left = size - part;
}

// Whether a request is whole; -1 for one that is none.
static int read_request(struct connection *connection) {
    for (;;) {
        if (connection->body > 0) {
            static char sink[65536];
            int most = connection->body < (int)sizeof sink ? (int)connection->body : (int)sizeof sink;
            int got = SSL_read(connection->ssl, sink, most);
            if (got <= 0) return SSL_get_error(connection->ssl, got) == SSL_ERROR_WANT_READ ? 0 : -1;
            if (!(connection->body -= got)) return 1;
            continue;
        }
        int got = SSL_read(connection->ssl, connection->in + connection->head, (int)sizeof connection->in - 1 - connection->head);
        if (got <= 0) return SSL_get_error(connection->ssl, got) == SSL_ERROR_WANT_READ ? 0 : -1;
        connection->head += got;
        connection->in[connection->head] = 0;
        char *end = memmem(connection->in, connection->head, "\r\n\r\n", 4);
        if (!end) {
            if (connection->head == (int)sizeof connection->in - 1) return -1;
            continue;
        }
        // Proxies send what they have buffered with its length.
        char *length = strcasestr(connection->in, "\r\ncontent-length:");
        if (!length && strcasestr(connection->in, "\r\ntransfer-encoding:")) return -1;
        connection->closes = strcasestr(connection->in, "\r\nconnection: close") != NULL;
        connection->body = (length && length < end ? atoll(length + 17) : 0) - (connection->in + connection->head - end - 4);
        if (connection->body < 0) return -1;
        if (!connection->body) return 1;
    }
}

// Whether all is written; -1 when it cannot be.
static int write_answer(struct connection *connection) {
    while (connection->start < connection->end || connection->left > 0) {
        int isHead = connection->start < connection->end;
        long long size = isHead ? connection->end - connection->start : connection->left;
        if (size > (long long)sizeof nothing) size = sizeof nothing;
        int sent = SSL_write(connection->ssl, isHead ? connection->out + connection->start : nothing, (int)size);
        if (sent <= 0) return SSL_get_error(connection->ssl, sent) == SSL_ERROR_WANT_WRITE ? 0 : -1;
        if (isHead) connection->start += sent;
        else connection->left -= sent;
    }
    return 1;
}

static void advance(struct connection *connection) {
    if (connection->handshaking) {
        int outcome = SSL_do_handshake(connection->ssl);
        if (outcome != 1) {
            int error = SSL_get_error(connection->ssl, outcome);
            if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) end_connection(connection);
            return;
        }
        connection->handshaking = 0;
    }
    for (;;) {
        if (connection->end || connection->left) {
            int written = write_answer(connection);
            if (!written) return;
            if (written < 0 || connection->closes) { end_connection(connection); return; }
            connection->start = connection->end = connection->head = 0;
            // Nobody pipelines: what comes next, an event tells.
            if (!SSL_has_pending(connection->ssl)) return;
        }
        int whole = read_request(connection);
        if (!whole) return;
        if (whole < 0) { end_connection(connection); return; }
        answer(connection);
    }
}

static void accept_all(int listener, SSL_CTX *context) {
    int one = 1;
    for (;;) {
        int socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (socket < 0) return;
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct connection *connection = calloc(1, sizeof *connection);
        connection->socket = socket;
        connection->handshaking = 1;
        connection->ssl = SSL_new(context);
        SSL_set_fd(connection->ssl, socket);
        SSL_set_accept_state(connection->ssl);
        watch(connection, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    }
}

// server PORT CERTIFICATE KEY
int main(int argc, char **argv) {
    if (argc != 4) return 2;
    signal(SIGPIPE, SIG_IGN);
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (SSL_CTX_use_certificate_chain_file(context, argv[2]) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, argv[3], SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        return 1;
    }
    SSL_CTX_set_session_id_context(context, (const unsigned char *)"server", 6);
    struct sockaddr_in address = {AF_INET, htons(atoi(argv[1])), {htonl(INADDR_LOOPBACK)}};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("listen");
        return 1;
    }
    memset(nothing, 'x', sizeof nothing);
    poller = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {.ptr = NULL}};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        struct epoll_event events[256];
        int ready = epoll_wait(poller, events, 256, -1);
        for (int index = 0; index < ready; index++) {
            if (events[index].data.ptr) advance(events[index].data.ptr);
            else accept_all(listener, context);
        }
    }
}
