/* loop.c - the epoll loop: watches, the queue of runnable tasks and the dead list.
 *
 * One tick is: wait, timers, watches, tasks, dead list. It knows no flow and reads or writes no descriptor but its own.
 * Invariants: owner[fd] is the only watch that may remove fd from epoll, so a watch whose descriptor was closed and whose
 * number was given out again can't take the new one's registration away; after a watch's callback the loop does not touch it
 * again, so a callback may free what holds it. */
#include "net/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/timer.h"

enum { EVENTS_MAX = 256, OWNERS_MIN = 64 };

struct eg_loop {
    int epoll;
    uint64_t now_ms;
    struct eg_timers timers;
    struct eg_watch **owner; /* by descriptor */
    size_t owner_count;
    struct eg_task *head, *tail;
    struct eg_dead *dead;
    struct epoll_event events[EVENTS_MAX];
    int event_next,
        event_count; /* events[event_next..event_count) are fetched and not yet delivered */
};

enum eg_status eg_loop_new(struct eg_loop **ret, struct eg_err *err)
{
    struct eg_loop *l = calloc(1, sizeof *l);
    if (!l)
        return eg_err_set(err, EG_NOMEM, "loop", 0, "out of memory");
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0) {
        int error = errno;
        free(l);
        return eg_err_set(err, EG_IO, "loop", error, "epoll_create1 failed");
    }
    l->now_ms = eg_clock_ms();
    *ret = l;
    return EG_OK;
}

static void free_dead(struct eg_loop *l)
{
    while (l->dead) { /* a destructor may bury more */
        struct eg_dead *d = l->dead;
        l->dead = d->next;
        d->free(d);
    }
}

void eg_loop_free(struct eg_loop *l)
{
    if (!l)
        return;
    free_dead(l);
    eg_timers_done(&l->timers);
    close(l->epoll);
    free(l->owner);
    free(l);
}

uint64_t eg_loop_now(const struct eg_loop *l)
{
    return l->now_ms;
}

/* ---- watches ---- */

static bool own(struct eg_loop *l, int fd)
{
    if ((size_t)fd < l->owner_count)
        return true;
    size_t n = l->owner_count ? l->owner_count : OWNERS_MIN;
    while (n <= (size_t)fd)
        n *= 2;
    struct eg_watch **grown = realloc(l->owner, n * sizeof(*grown));
    if (!grown)
        return false;
    memset(grown + l->owner_count, 0, (n - l->owner_count) * sizeof(*grown));
    l->owner = grown;
    l->owner_count = n;
    return true;
}

static void forget_events(struct eg_loop *l, const struct eg_watch *w)
{
    for (int i = l->event_next; i < l->event_count; i++)
        if (l->events[i].data.ptr == w)
            l->events[i].data.ptr = NULL;
}

static void drop(struct eg_loop *l, struct eg_watch *w, bool tell)
{
    if (!w->registered)
        return;
    forget_events(l, w);
    if ((size_t)w->fd < l->owner_count && l->owner[w->fd] == w) {
        /* ENOENT and EBADF: it was closed before, which took it out of epoll. */
        if (tell)
            (void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, NULL);
        l->owner[w->fd] = NULL;
    }
    w->registered = false;
    w->interest = 0;
}

void eg_watch_drop(struct eg_loop *l, struct eg_watch *w)
{
    drop(l, w, true);
}

void eg_watch_closing(struct eg_loop *l, struct eg_watch *w)
{
    drop(l, w, false);
}

static enum eg_status put(struct eg_loop *l, struct eg_watch *w, unsigned interest)
{
    struct epoll_event e = { .data.ptr = w };
    if (interest & EG_IN)
        e.events |= w->exclusive ? EPOLLIN : EPOLLIN | EPOLLRDHUP; /* not allowed together */
    if (interest & EG_OUT)
        e.events |= EPOLLOUT;
    if (w->exclusive)
        e.events |= EPOLLEXCLUSIVE;
    int op = w->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(l->epoll, op, w->fd, &e) == 0)
        return EG_OK;
    /* The number was closed and opened again behind our back, or a copy of the old descriptor lives elsewhere. */
    if (errno == ENOENT && op == EPOLL_CTL_MOD)
        op = EPOLL_CTL_ADD;
    else if (errno == EEXIST && op == EPOLL_CTL_ADD && !w->exclusive)
        op = EPOLL_CTL_MOD;
    else
        return EG_IO;
    return epoll_ctl(l->epoll, op, w->fd, &e) == 0 ? EG_OK : EG_IO;
}

enum eg_status eg_watch_set(struct eg_loop *l, struct eg_watch *w, int fd, uint32_t tag,
                            unsigned interest)
{
    if (w->registered && (w->fd != fd || w->tag != tag || interest == 0 ||
                          (w->exclusive && w->interest != interest)))
        eg_watch_drop(l, w);
    if (interest == 0 || (w->registered && w->interest == interest))
        return EG_OK;
    if (fd < 0 || !own(l, fd)) {
        errno = fd < 0 ? EBADF : ENOMEM;
        return EG_IO;
    }
    if (!w->registered && l->owner[fd]) {
        struct eg_watch *old = l->owner[fd]; /* its descriptor is closed: that number is ours now */
        forget_events(l, old);
        old->registered = false;
        old->interest = 0;
        l->owner[fd] = NULL;
    }
    w->fd = fd;
    w->tag = tag;
    enum eg_status r = put(l, w, interest);
    if (r != EG_OK) {
        int error = errno;
        eg_watch_drop(l, w);
        errno = error;
        return r;
    }
    l->owner[fd] = w;
    w->registered = true;
    w->interest = (uint8_t)interest;
    return EG_OK;
}

/* ---- timers, tasks and the dead ---- */

enum eg_status eg_timer_set(struct eg_loop *l, struct eg_timer *t, uint64_t at_ms)
{
    return eg_timers_set(&l->timers, t, at_ms);
}

void eg_timer_clear(struct eg_loop *l, struct eg_timer *t)
{
    eg_timers_clear(&l->timers, t);
}

void eg_loop_mark(struct eg_loop *l, struct eg_task *t)
{
    if (t->queued)
        return;
    t->queued = true;
    t->next = NULL;
    if (l->tail)
        l->tail->next = t;
    else
        l->head = t;
    l->tail = t;
}

void eg_loop_unmark(struct eg_loop *l, struct eg_task *t)
{
    if (!t->queued)
        return;
    struct eg_task *prev = NULL;
    struct eg_task **at = &l->head;
    while (*at && *at != t) {
        prev = *at;
        at = &prev->next;
    }
    if (*at == t) {
        *at = t->next;
        if (l->tail == t)
            l->tail = prev;
    }
    t->queued = false;
    t->next = NULL;
}

void eg_loop_bury(struct eg_loop *l, struct eg_dead *d)
{
    d->next = l->dead;
    l->dead = d;
}

/* ---- the tick ---- */

static int wait_ms(const struct eg_loop *l, int max_wait_ms)
{
    if (l->head)
        return 0;
    uint64_t at = 0;
    if (!eg_timers_first(&l->timers, &at))
        return max_wait_ms;
    uint64_t now = eg_clock_ms();
    uint64_t left = at > now ? at - now : 0;
    if (left > INT_MAX)
        left = INT_MAX;
    return max_wait_ms >= 0 && (uint64_t)max_wait_ms < left ? max_wait_ms : (int)left;
}

/* Who has nothing more to say waits until those have been served who speak or have just come: to
 * close a tunnel costs as much as to open one, and nobody waits for it. */
static void put_leaving_last(struct eg_loop *l)
{
    struct epoll_event leaving[EVENTS_MAX];
    int stay = 0, leave = 0;
    for (int i = 0; i < l->event_count; i++)
        if (l->events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            leaving[leave++] = l->events[i];
        else
            l->events[stay++] = l->events[i];
    memcpy(l->events + stay, leaving, (size_t)leave * sizeof *leaving);
}

static void deliver(struct eg_loop *l)
{
    if (l->event_count > 1)
        put_leaving_last(l);
    while (l->event_next < l->event_count) {
        struct epoll_event *e = &l->events[l->event_next++];
        struct eg_watch *w = e->data.ptr;
        if (!w)
            continue;
        unsigned ready = 0;
        if (e->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            ready |= EG_IN;
        if (e->events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
            ready |= EG_OUT;
        w->ready(w, ready);
    }
    l->event_next = l->event_count = 0;
}

static void run_tasks(struct eg_loop *l)
{
    /* A task of no work marks where this tick's share ends: what is marked from here on belongs to the next tick. The real
     * list stays whole, so that unmark works for tasks of both shares. */
    struct eg_task fence = { 0 };
    eg_loop_mark(l, &fence);
    for (;;) {
        struct eg_task *t = l->head;
        l->head = t->next;
        if (!l->head)
            l->tail = NULL;
        t->queued = false;
        t->next = NULL;
        if (t == &fence)
            return;
        t->run(t);
    }
}

enum eg_status eg_loop_tick(struct eg_loop *l, int max_wait_ms, struct eg_err *err)
{
    int n = epoll_wait(l->epoll, l->events, EVENTS_MAX, wait_ms(l, max_wait_ms));
    if (n < 0 && errno != EINTR)
        return eg_err_set(err, EG_IO, "loop", errno, "epoll_wait failed");
    l->event_next = 0;
    l->event_count = n < 0 ? 0 : n;
    l->now_ms = eg_clock_ms();
    eg_timers_fire(&l->timers, l->now_ms);
    deliver(l);
    if (l->head)
        run_tasks(l);
    free_dead(l);
    return EG_OK;
}
