/* clock.h - time. Deadlines use the monotonic clock (a suspend or a clock change must not fire them
 * all); the wall clock is for the audit and certificate dates only. */
#ifndef EG_BASE_CLOCK_H
#define EG_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* CLOCK_MONOTONIC in milliseconds / nanoseconds. */
uint64_t eg_clock_ms(void);
uint64_t eg_clock_ns(void);
/* Wall clock, microseconds since 1970. */
uint64_t eg_clock_wall_us(void);
/* RFC 3339 in UTC with microseconds, "2026-11-21T04:00:00.123456Z"; cap >= 28. Returns out. */
char *eg_clock_rfc3339(uint64_t wall_us, char *out, size_t cap);

#endif
