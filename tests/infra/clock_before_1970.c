/* Preloaded into the function by rie.py: while the file of CLOCK_BEFORE_1970_WHILE exists, the wall clock shows 1969. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    const char *file = getenv("CLOCK_BEFORE_1970_WHILE");
    long failed = syscall(SYS_clock_gettime, clock, time);
    if (!failed && clock == CLOCK_REALTIME && file && access(file, F_OK) == 0) {
        time->tv_sec = -1000000;
    }
    return (int)failed;
}
