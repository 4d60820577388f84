// Loaded into everyhop (LD_PRELOAD), so that valgrind can run its workers: they are started by what $EVERYHOP_UNDER says,
// from the program's file ($EVERYHOP_FILE; below valgrind /proc/self/exe is valgrind), and without the layers of the sandbox
// in which valgrind cannot work. For counting instructions only.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

enum { LANDLOCK_FIRST = 444, LANDLOCK_LAST = 446, REFUSE_EXECUTABLE_MEMORY = 65, MOST = 64 };

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
                char *const arguments[], char *const environment[]) {
    int (*real)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const[],
                char *const[]) = dlsym(RTLD_NEXT, "posix_spawn");
    const char *file = getenv("EVERYHOP_FILE"), *under = getenv("EVERYHOP_UNDER");
    if (!file || strcmp(path, "/proc/self/exe")) return real(pid, path, actions, attributes, arguments, environment);
    if (!under || !arguments[1] || strcmp(arguments[1], "worker"))
        return real(pid, file, actions, attributes, arguments, environment);
    char *all[MOST], *words = strdup(under);
    int count = 0;
    for (char *word = strtok(words, " "); word && count < MOST / 2; word = strtok(NULL, " ")) all[count++] = word;
    all[count++] = (char *)file;
    for (int index = 1; arguments[index] && count < MOST - 1; index++) all[count++] = arguments[index];
    all[count] = NULL;
    int result = real(pid, all[0], actions, attributes, all, environment);
    free(words);
    return result;
}

long syscall(long number, ...) {
    long (*real)(long, ...) = dlsym(RTLD_NEXT, "syscall");
    long values[6];
    va_list list;
    va_start(list, number);
    for (int index = 0; index < 6; index++) values[index] = va_arg(list, long);
    va_end(list);
    if (number == SYS_seccomp || (number >= LANDLOCK_FIRST && number <= LANDLOCK_LAST)) {
        errno = ENOSYS;
        return -1;
    }
    return real(number, values[0], values[1], values[2], values[3], values[4], values[5]);
}

int prctl(int option, ...) {
    int (*real)(int, ...) = dlsym(RTLD_NEXT, "prctl");
    unsigned long values[4];
    va_list list;
    va_start(list, option);
    for (int index = 0; index < 4; index++) values[index] = va_arg(list, unsigned long);
    va_end(list);
    // vgdb has to reach the worker.
    if (option == REFUSE_EXECUTABLE_MEMORY || option == PR_SET_SECCOMP || option == PR_SET_DUMPABLE) return 0;
    return real(option, values[0], values[1], values[2], values[3]);
}
