#define _GNU_SOURCE
#include "Sandbox.h"
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int outcome(long result) { return result < 0 ? errno : 0; }

int everyhop_try_execute(const char *path) {
    char *const arguments[] = {(char *)path, NULL};
    char *const environment[] = {NULL};
    return outcome(execve(path, arguments, environment));
}

int everyhop_try_trace(pid_t process) {
    long result = ptrace(PTRACE_SEIZE, process, NULL, NULL);
    int code = outcome(result);
    if (result == 0) ptrace(PTRACE_DETACH, process, NULL, NULL);
    return code;
}

int everyhop_try_read_memory(pid_t process) {
    char byte;
    // Nothing lies there: who is told so was let in.
    struct iovec here = {.iov_base = &byte, .iov_len = 1};
    struct iovec there = {.iov_base = NULL, .iov_len = 1};
    int code = outcome(process_vm_readv(process, &here, 1, &there, 1, 0));
    return code == EFAULT ? 0 : code;
}

int everyhop_try_signal(pid_t process) { return outcome(kill(process, 0)); }

int everyhop_try_executable_memory(int by_mapping) {
    int access = PROT_READ | PROT_WRITE | (by_mapping ? PROT_EXEC : 0);
    void *page = mmap(NULL, 4096, access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return errno;
    int code = by_mapping ? 0 : outcome(mprotect(page, 4096, PROT_READ | PROT_EXEC));
    munmap(page, 4096);
    return code;
}

int everyhop_try_socket(int family, int type, int protocol) {
    int made = socket(family, type, protocol);
    int code = outcome(made);
    if (made >= 0) close(made);
    return code;
}

int everyhop_try_fast_open(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int made = socket(AF_INET, SOCK_STREAM, 0);
    if (made < 0) return errno;
    int code = outcome(sendto(made, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof address));
    close(made);
    return code;
}

int everyhop_try_fork(void) {
    pid_t child = fork();
    if (child == 0) _exit(0);
    if (child < 0) return errno;
    waitpid(child, NULL, 0);
    return 0;
}

int everyhop_try_new_namespace(void) { return outcome(unshare(CLONE_NEWUSER)); }

int everyhop_try_abstract_socket(const char *name, size_t length) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (length > sizeof address.sun_path - 1) return ENAMETOOLONG;
    memcpy(address.sun_path + 1, name, length);
    int made = socket(AF_UNIX, SOCK_STREAM, 0);
    if (made < 0) return errno;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
    int code = outcome(connect(made, (struct sockaddr *)&address, size));
    close(made);
    return code;
}

int everyhop_try_other_interface(void) {
#if defined(__x86_64__)
    // getpid(2) of the x32 interface.
    return outcome(syscall(0x40000000 + 39));
#else
    return ENOSYS;
#endif
}
