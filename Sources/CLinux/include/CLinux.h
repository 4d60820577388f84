// What the Glibc module lacks: epoll and friends, and calls that need _GNU_SOURCE or are variadic.
#ifndef EVERYHOP_CLINUX_H
#define EVERYHOP_CLINUX_H
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/types.h>
#include "Sandbox.h"
#include "Storage.h"

/// accept4(2) with SOCK_NONBLOCK and SOCK_CLOEXEC; the peer's address is written to `address`.
int everyhop_accept(int listener, void *address, unsigned int *length);

/// Adds "close every descriptor from `from` up" to the actions of a posix_spawn.
int everyhop_spawn_close_from(posix_spawn_file_actions_t *actions, int from);

/// prctl(PR_SET_PDEATHSIG): the kernel sends `signal` to this process when its parent dies.
int everyhop_set_parent_death_signal(int signal);

/// prctl(PR_SET_NO_NEW_PRIVS): no later execve gains privileges.
int everyhop_set_no_new_privileges(void);

/// Fills a buffer with random bytes (getrandom(2)); 0, or -1 with errno.
int everyhop_random(void *bytes, size_t length);

/// memfd_create(2) with MFD_CLOEXEC.
int everyhop_memfd(const char *name);

/// Pins the calling thread to one processor.
int everyhop_pin_to_processor(int processor);

/// Sends `length` bytes and at most one descriptor (-1: none) over a unix socket.
ssize_t everyhop_send_descriptor(int socket, const void *bytes, size_t length, int descriptor);

/// Receives bytes and at most one descriptor (-1: none came) with MSG_CMSG_CLOEXEC.
ssize_t everyhop_receive_descriptor(int socket, void *bytes, size_t length, int *descriptor);

/// setresuid(2) with one user for all three.
int everyhop_set_user(uid_t user);

/// setresgid(2) with one group for all three.
int everyhop_set_group(gid_t group);

/// pipe2(2) with O_CLOEXEC.
int everyhop_pipe(int ends[2]);

/// TCP_INFO's count of bytes that the peer has acknowledged; -1 where the socket is not TCP.
int everyhop_bytes_acknowledged(int socket, unsigned long long *count);

/// open(2) of a folder with O_PATH, O_DIRECTORY and O_CLOEXEC; -1 with errno.
int everyhop_open_folder(const char *path);

/// openat2(2) of a path below a folder for reading, which no `..`, link or mount may lead out of; -1 with errno.
int everyhop_open_beneath(int folder, const char *path, int follows_links);

/// WIFEXITED ? exit status : -(signal number).
int everyhop_wait_status(int status);
#endif
