/* clock.c - time. No other file reads a clock, so that deadlines can't mix the two kinds. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

uint64_t eg_clock_ns(void)
{
    struct timespec ts = { 0, 0 };
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t eg_clock_ms(void)
{
    return eg_clock_ns() / 1000000u;
}

uint64_t eg_clock_wall_us(void)
{
    struct timespec ts = { 0, 0 };
    clock_gettime(CLOCK_REALTIME, &ts);
    if (ts.tv_sec < 0)
        return 0;
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

char *eg_clock_rfc3339(uint64_t wall_us, char *out, size_t cap)
{
    /* RFC 3339 has four digits for the year: what lies beyond is shown as its last second. */
    const uint64_t last = 253402300799u;
    uint64_t seconds = wall_us / 1000000u;
    time_t t = (time_t)(seconds > last ? last : seconds);
    struct tm tm = { 0 };
    gmtime_r(&t, &tm);
    snprintf(out, cap, "%04d-%02d-%02dT%02d:%02d:%02d.%06uZ", tm.tm_year + 1900, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(wall_us % 1000000u));
    return out;
}
