#define _GNU_SOURCE
#include "Sandbox.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Newer than the headers of some distributions that everyhop builds on; the numbers are the same on every machine.
enum {
    call_landlock_create = 444,
    call_landlock_add = 445,
    call_landlock_restrict = 446,
    landlock_version = 1,
    landlock_beneath = 1,
    landlock_port = 2,
    set_mdwe = 65,
    get_mdwe = 66,
    refuse_exec_gain = 1,
};

struct landlock_rules {
    uint64_t files;
    uint64_t network;
    uint64_t scope;
};

struct landlock_beneath_rule {
    uint64_t access;
    int32_t folder;
} __attribute__((packed));

struct landlock_port_rule {
    uint64_t access;
    uint64_t port;
};

uint32_t everyhop_audit_arch(void) {
#if defined(__x86_64__)
    return AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
    return AUDIT_ARCH_AARCH64;
#else
    return 0;
#endif
}

int everyhop_install_filter(struct sock_filter *program, unsigned short length) {
    struct sock_fprog filter = {.len = length, .filter = program};
    long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter);
    if (result > 0) errno = EBUSY;
    return result == 0 ? 0 : -1;
}

long everyhop_landlock_version(void) { return syscall(call_landlock_create, NULL, 0, landlock_version); }

int everyhop_landlock_create(uint64_t files, uint64_t network, uint64_t scope) {
    struct landlock_rules rules = {.files = files, .network = network, .scope = scope};
    // A kernel that knows less takes a longer description when the rest of it is zero.
    return (int)syscall(call_landlock_create, &rules, sizeof rules, 0);
}

int everyhop_landlock_allow_beneath(int rules, uint64_t access, int folder) {
    struct landlock_beneath_rule rule = {.access = access, .folder = folder};
    return (int)syscall(call_landlock_add, rules, landlock_beneath, &rule, 0);
}

int everyhop_landlock_allow_port(int rules, uint64_t access, uint64_t port) {
    struct landlock_port_rule rule = {.access = access, .port = port};
    return (int)syscall(call_landlock_add, rules, landlock_port, &rule, 0);
}

int everyhop_landlock_restrict(int rules) { return (int)syscall(call_landlock_restrict, rules, 0); }

int everyhop_drop_from_bounding_set(int capability) { return prctl(PR_CAPBSET_DROP, capability, 0, 0, 0); }

int everyhop_clear_ambient(void) { return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); }

int everyhop_permitted_capabilities(uint64_t *permitted) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) != 0) return -1;
    *permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted;
    return 0;
}

int everyhop_keep_capabilities(uint64_t kept) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[2] = {
        {.effective = (uint32_t)kept, .permitted = (uint32_t)kept},
        {.effective = (uint32_t)(kept >> 32), .permitted = (uint32_t)(kept >> 32)},
    };
    return (int)syscall(SYS_capset, &header, data);
}

int everyhop_set_dumpable(int dumpable) { return prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0); }

int everyhop_refuse_executable_memory(void) { return prctl(set_mdwe, refuse_exec_gain, 0, 0, 0); }

int everyhop_can_refuse_executable_memory(void) { return prctl(get_mdwe, 0, 0, 0, 0) < 0 ? -1 : 0; }

int everyhop_can_filter(void) {
    uint32_t action = SECCOMP_RET_KILL_PROCESS;
    return (int)syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action);
}

int everyhop_file_status(int descriptor, void *status) { return (int)syscall(SYS_fstat, descriptor, status); }

void everyhop_wipe_freed(int wipes) {
    mallopt(M_PERTURB, wipes ? 0x5A : 0);
    if (wipes) return;
    // What free(3) keeps at hand of each small size is not overwritten: seven pieces at most, taken out once.
    enum { pieces = 7, smallest = 24, largest = 1032, step = 16 };
    void *taken[pieces];
    for (size_t size = smallest; size <= largest; size += step) {
        for (int index = 0; index < pieces; index++) {
            taken[index] = malloc(size);
            if (taken[index]) explicit_bzero(taken[index], size);
        }
        for (int index = 0; index < pieces; index++) free(taken[index]);
    }
}

int everyhop_message_pair(int ends[2]) {
    int result = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends);
    if (result != 0) return result;
    // A whole handshake of TLS 1.2 may have to be signed at once.
    int room = 1 << 20;
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    return 0;
}
