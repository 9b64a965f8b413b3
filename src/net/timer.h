/* timer.h - deadlines in a binary heap, earliest first. Only the loop uses it: other rooms see eg_timer_set and eg_timer_clear. */
#ifndef EG_NET_TIMER_H
#define EG_NET_TIMER_H

#include <stddef.h>

#include "net/loop.h"

struct eg_timers { /* zeroed = empty */
    struct eg_timer **heap;
    size_t count, cap;
};

/* Frees the heap; timers that are still armed count as not armed from then on. */
void eg_timers_done(struct eg_timers *h);
/* Arms or moves t. EG_NOMEM. */
enum eg_status eg_timers_set(struct eg_timers *h, struct eg_timer *t, uint64_t at_ms) EG_MUST_USE;
void eg_timers_clear(struct eg_timers *h, struct eg_timer *t);
/* The earliest deadline; false when nothing is armed. */
bool eg_timers_first(const struct eg_timers *h, uint64_t *at_ms);
/* Fires what is due at now_ms, earliest first. A timer that arms itself again for a time that is past waits for the next call. */
void eg_timers_fire(struct eg_timers *h, uint64_t now_ms);

#endif
