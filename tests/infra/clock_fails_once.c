/* rie.py preloads this into the function. The wall clock fails once when the file CLOCK_FAILS_AT exists. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    const char *file = getenv("CLOCK_FAILS_AT");
    if (clock == CLOCK_REALTIME && file && unlink(file) == 0) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_clock_gettime, clock, time);
}
