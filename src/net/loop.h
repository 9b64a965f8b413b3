/* loop.h - one level-triggered epoll loop, its timers and its queue of runnable tasks.
 *
 * A callback of a watch or timer only marks a task runnable (or does a bounded bit of work of its own room); each tick runs the tasks that
 * were runnable at its start, once each; then the dead list is freed. So nothing is freed under a running function. */
#ifndef EG_NET_LOOP_H
#define EG_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct eg_loop;

enum { EG_IN = 1, EG_OUT = 2 }; /* interest and readiness; errors and hang-ups are reported as both */

struct eg_watch { /* embed it; zeroed = not registered */
    int fd;
    uint32_t tag;      /* tells a new descriptor from a closed one of the same number */
    uint8_t interest;  /* EG_IN | EG_OUT as registered; only the loop writes it */
    bool registered;
    bool exclusive;    /* set before registration: a listener that several workers share wakes one of them (EPOLLEXCLUSIVE) */
    void (*ready)(struct eg_watch *w, unsigned events);
    void *ctx;
};

struct eg_timer { /* embed it; zeroed = not armed */
    uint64_t at_ms; /* eg_clock_ms */
    uint32_t slot;  /* heap index + 1; 0 = not armed */
    void (*fire)(struct eg_timer *t);
    void *ctx;
};

struct eg_task { /* embed it; zeroed = idle */
    struct eg_task *next;
    bool queued;
    void (*run)(struct eg_task *t);
    void *ctx;
};

struct eg_dead { /* embed it in what is freed at the end of the tick */
    struct eg_dead *next;
    void (*free)(struct eg_dead *d);
};

enum eg_status eg_loop_new(struct eg_loop **ret, struct eg_err *err) EG_MUST_USE;
void eg_loop_free(struct eg_loop *l);
/* Milliseconds, read once a tick: for deadlines. */
uint64_t eg_loop_now(const struct eg_loop *l);

/* Registers, changes or (interest 0) removes w->fd. Idempotent, no system call when nothing changes.
 * EG_IO with errno where epoll refuses. */
enum eg_status eg_watch_set(struct eg_loop *l, struct eg_watch *w, int fd, uint32_t tag, unsigned interest) EG_MUST_USE;
/* Before close(2) of its descriptor. Events already fetched in this tick are not delivered. */
void eg_watch_drop(struct eg_loop *l, struct eg_watch *w);
/* The same when close(2) of a descriptor that nobody else holds follows at once: that takes it out of epoll, so the kernel isn't told twice. */
void eg_watch_closing(struct eg_loop *l, struct eg_watch *w);

/* Arms or moves. EG_NOMEM only when the heap must grow. */
enum eg_status eg_timer_set(struct eg_loop *l, struct eg_timer *t, uint64_t at_ms) EG_MUST_USE;
void eg_timer_clear(struct eg_loop *l, struct eg_timer *t);

/* Runs t once, in this tick if marked before its run phase, else in the next (which then does not wait). Idempotent. */
void eg_loop_mark(struct eg_loop *l, struct eg_task *t);
/* Takes t out of the queue. */
void eg_loop_unmark(struct eg_loop *l, struct eg_task *t);
/* Frees d at the end of this tick. */
void eg_loop_bury(struct eg_loop *l, struct eg_dead *d);

/* One tick: waits at most max_wait_ms (-1: for ever, 0: not at all), timers, watches, tasks, dead list. EG_OK, or EG_IO. */
enum eg_status eg_loop_tick(struct eg_loop *l, int max_wait_ms, struct eg_err *err) EG_MUST_USE;

#endif
