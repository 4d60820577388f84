// What the sandbox asks of the kernel: calls and constants that glibc and older kernel headers do not have.
#ifndef EVERYHOP_SANDBOX_H
#define EVERYHOP_SANDBOX_H
#include <linux/filter.h>
#include <stdint.h>
#include <sys/types.h>

/// The machine's number in seccomp_data, such as AUDIT_ARCH_X86_64.
uint32_t everyhop_audit_arch(void);

/// seccomp(SECCOMP_SET_MODE_FILTER) for every thread; 0, or -1 with errno.
int everyhop_install_filter(struct sock_filter *program, unsigned short length);

/// The version of landlock's interface, or -1 with errno.
long everyhop_landlock_version(void);

/// landlock_create_ruleset(2): what is restricted; a descriptor, or -1 with errno.
int everyhop_landlock_create(uint64_t files, uint64_t network, uint64_t scope);

/// landlock_add_rule(2): permits `access` beneath an open folder; 0, or -1 with errno.
int everyhop_landlock_allow_beneath(int rules, uint64_t access, int folder);

/// landlock_add_rule(2): permits `access` with a TCP port; 0, or -1 with errno.
int everyhop_landlock_allow_port(int rules, uint64_t access, uint64_t port);

/// landlock_restrict_self(2): 0, or -1 with errno.
int everyhop_landlock_restrict(int rules);

/// prctl(PR_CAPBSET_DROP): 0, or -1 with errno; EINVAL when the kernel has no such capability.
int everyhop_drop_from_bounding_set(int capability);

/// prctl(PR_CAP_AMBIENT_CLEAR_ALL).
int everyhop_clear_ambient(void);

/// capget(2): which capabilities are permitted, one bit each; 0, or -1 with errno.
int everyhop_permitted_capabilities(uint64_t *permitted);

/// capset(2): `kept` becomes permitted and effective, nothing inheritable; 0, or -1 with errno.
int everyhop_keep_capabilities(uint64_t kept);

/// prctl(PR_SET_DUMPABLE).
int everyhop_set_dumpable(int dumpable);

/// prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN): no memory becomes executable any more.
int everyhop_refuse_executable_memory(void);

/// Whether the kernel knows PR_SET_MDWE; 0, or -1 with errno.
int everyhop_can_refuse_executable_memory(void);

/// Whether seccomp filters may be installed; 0, or -1 with errno.
int everyhop_can_filter(void);

/// fstat(2) as the kernel has it: glibc may ask for fstatat(2), which takes paths, too.
int everyhop_file_status(int descriptor, void *status);

/// Has free(3) overwrite what it takes back, or not.
void everyhop_wipe_freed(int wipes);

/// Two connected ends of a unix socket that keeps messages apart; 0, or -1 with errno.
int everyhop_message_pair(int ends[2]);

// What `everyhop sandbox-probe` tries, each with one system call: 0 when it was done, else errno.
int everyhop_try_execute(const char *path);
int everyhop_try_trace(pid_t process);
int everyhop_try_read_memory(pid_t process);
int everyhop_try_signal(pid_t process);
int everyhop_try_executable_memory(int by_mapping);
int everyhop_try_socket(int family, int type, int protocol);
int everyhop_try_fast_open(uint16_t port);
int everyhop_try_fork(void);
int everyhop_try_new_namespace(void);
int everyhop_try_abstract_socket(const char *name, size_t length);
int everyhop_try_other_interface(void);
#endif
