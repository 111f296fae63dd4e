/* Stands between a process and its disk and clock (LD_PRELOAD); a file that is mapped by both says what to do.
 *
 * Calls that change a file as SQLite changes it (pwrite, ftruncate, fsync, fdatasync, unlink) are counted; one
 * of them can be the last of the process, be done by half, or fail. Each can be slowed down. The wall clock can
 * be shifted at any moment, also as /proc/stat shows it: the time of the boot is what it says minus the uptime.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { DIE = 1, TEAR = 2, FAIL = 3 };

/* As tests/faults/shim.py has it. */
struct control {
    int64_t calls;   /* so far */
    int64_t at;      /* the call at which `action` is taken; 0: none */
    int64_t action;
    int64_t error;   /* errno of FAIL */
    int64_t fails;   /* how many calls fail, from that one on */
    int64_t delay;   /* of each call, in microseconds */
    int64_t shift;   /* of the wall clock, in seconds */
};

static struct control nothing;
static volatile struct control *control = &nothing;

/* Obey the file; returns 0 if it can be mapped. */
int hpsearch_shim(const char *path)
{
    int file = syscall(SYS_openat, AT_FDCWD, path, O_RDWR);
    if (file < 0)
        return -1;
    void *page = mmap(NULL, sizeof nothing, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (page == MAP_FAILED)
        return -1;
    control = page;
    return 0;
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Count a call; returns what is to become of it. */
static int passes(void)
{
    int64_t call = __atomic_add_fetch(&control->calls, 1, __ATOMIC_SEQ_CST);
    if (control->delay) {
        struct timespec delay = {control->delay / 1000000, control->delay % 1000000 * 1000};
        nanosleep(&delay, NULL);
    }
    if (!control->at || call < control->at || call >= control->at + control->fails)
        return 0;
    if (control->action == DIE)
        die();
    errno = control->error;
    return control->action;
}

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

#define WRAP(name, parameters, arguments)            \
    int name parameters                              \
    {                                                \
        switch (passes()) {                          \
        case FAIL:                                   \
            return -1;                               \
        case TEAR:                                   \
            die();                                   \
        }                                            \
        return REAL(name) arguments;                 \
    }

WRAP(fsync, (int file), (file))
WRAP(fdatasync, (int file), (file))
WRAP(ftruncate, (int file, off_t size), (file, size))
WRAP(ftruncate64, (int file, off64_t size), (file, size))
WRAP(unlink, (const char *path), (path))

#define WRAP_WRITE(name, offset)                                                      \
    ssize_t name(int file, const void *data, size_t size, offset at)                  \
    {                                                                                 \
        switch (passes()) {                                                           \
        case FAIL:                                                                    \
            return -1;                                                                \
        case TEAR:                                                                    \
            REAL(name)(file, data, size / 2, at);                                     \
            die();                                                                    \
        }                                                                             \
        return REAL(name)(file, data, size, at);                                      \
    }

WRAP_WRITE(pwrite, off_t)
WRAP_WRITE(pwrite64, off64_t)

/* The clock. */

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = REAL(clock_gettime)(clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
        now->tv_sec += control->shift;
    return result;
}

int gettimeofday(struct timeval *now, void *zone)
{
    int result = REAL(gettimeofday)(now, zone);
    now->tv_sec += control->shift;
    return result;
}

time_t time(time_t *where)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where)
        *where = now.tv_sec;
    return now.tv_sec;
}

/* /proc/stat, with the time of the boot shifted. */
static int shifted_stat(void)
{
    static const char word[] = "btime ";
    char text[1 << 16], *at;
    int from = syscall(SYS_openat, AT_FDCWD, "/proc/stat", O_RDONLY), to = memfd_create("stat", MFD_CLOEXEC);
    size_t size = 0;
    ssize_t got;
    while (size < sizeof text - 1 && (got = read(from, text + size, sizeof text - 1 - size)) > 0)
        size += got;
    text[size] = 0;
    close(from);
    at = strstr(text, word);
    if (at) {
        char *end;
        int64_t boot = strtoll(at + sizeof word - 1, &end, 10);
        dprintf(to, "%.*s%s%lld%s", (int)(at - text), text, word, (long long)(boot + control->shift), end);
    }
    lseek(to, 0, SEEK_SET);
    return to;
}

#define WRAP_OPEN(name)                                         \
    int name(const char *path, int flags, ...)                  \
    {                                                           \
        va_list more;                                           \
        va_start(more, flags);                                  \
        mode_t mode = va_arg(more, mode_t);                     \
        va_end(more);                                           \
        if (control->shift && strcmp(path, "/proc/stat") == 0)  \
            return shifted_stat();                              \
        return REAL(name)(path, flags, mode);                   \
    }

WRAP_OPEN(open)
WRAP_OPEN(open64)
