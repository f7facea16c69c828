/* Kills the process with SIGKILL just before its n-th write to a file, a disk or a socket, where
 * KILL_AT_WRITE is n. Preloaded by the kill tests only. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long left;

__attribute__((constructor)) static void begin(void) {
    const char *count = getenv("KILL_AT_WRITE");
    atomic_store(&left, count ? atol(count) : -1);
}

static void tick(void) {
    if (atomic_fetch_sub(&left, 1) == 1) kill(getpid(), SIGKILL);
}

#define HOOK(type, name, parameters, arguments)             \
    type name parameters {                                  \
        static type(*real) parameters;                      \
        if (!real) real = dlsym(RTLD_NEXT, #name);          \
        tick();                                             \
        return real arguments;                              \
    }

HOOK(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
HOOK(ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count))
HOOK(ssize_t, send, (int fd, const void *data, size_t size, int flags), (fd, data, size, flags))
HOOK(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
HOOK(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
HOOK(int, fsync, (int fd), (fd))
HOOK(int, fdatasync, (int fd), (fd))
HOOK(int, ftruncate, (int fd, off_t size), (fd, size))
