#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include "CLinux.h"

// <linux/tcp.h> and <netinet/tcp.h> do not go together, and only the former knows this field.
int everyhop_bytes_acknowledged(int socket, unsigned long long *count) {
    struct tcp_info info;
    socklen_t length = sizeof info;
    memset(&info, 0, sizeof info);
    if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return -1;
    if (length < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof info.tcpi_bytes_acked) return -1;
    *count = info.tcpi_bytes_acked;
    return 0;
}
