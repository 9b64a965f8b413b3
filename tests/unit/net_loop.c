/* The loop: order of timers and tasks, and watches that survive the reuse of descriptor numbers. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/loop.h"

static struct eg_loop *new_loop(void)
{
    struct eg_loop *l = NULL;
    cr_assert_eq(eg_loop_new(&l, NULL), EG_OK);
    return l;
}

static void tick(struct eg_loop *l)
{
    cr_assert_eq(eg_loop_tick(l, 0, NULL), EG_OK);
}

/* ---- timers ---- */

enum { TIMERS = 300 };

struct clockwork {
    struct eg_loop *loop;
    struct eg_timer timers[TIMERS];
    uint64_t fired_at[TIMERS];
    unsigned fired;
    bool out_of_order;
    uint64_t last;
};

static void on_fire(struct eg_timer *t)
{
    struct clockwork *c = t->ctx;
    c->out_of_order = c->out_of_order || t->at_ms < c->last;
    c->last = t->at_ms;
    c->fired_at[t - c->timers]++;
    c->fired++;
    cr_assert_eq(t->slot, 0, "not armed while it fires");
}

Test(net, timers_fire_in_order_however_they_were_moved)
{
    static struct clockwork c;
    c.loop = new_loop();
    uint64_t past = eg_clock_ms() - 10000;
    unsigned armed = 0;
    srand(42);
    for (int i = 0; i < TIMERS; i++) {
        c.timers[i] = (struct eg_timer){ .fire = on_fire, .ctx = &c };
        cr_assert_eq(eg_timer_set(c.loop, &c.timers[i], past + (uint64_t)(rand() % 5000)), EG_OK);
    }
    for (int i = 0; i < 2000; i++) {
        struct eg_timer *t = &c.timers[rand() % TIMERS];
        if (rand() % 3 == 0)
            eg_timer_clear(c.loop, t);
        else
            cr_assert_eq(eg_timer_set(c.loop, t, past + (uint64_t)(rand() % 5000)), EG_OK);
    }
    for (int i = 0; i < TIMERS; i++)
        armed += c.timers[i].slot != 0;
    tick(c.loop);
    cr_assert_eq(c.fired, armed);
    cr_assert_not(c.out_of_order);
    for (int i = 0; i < TIMERS; i++)
        cr_assert_leq(c.fired_at[i], 1);
    eg_loop_free(c.loop);
}

static void on_rearm(struct eg_timer *t)
{
    struct clockwork *c = t->ctx;
    c->fired++;
    cr_assert_eq(eg_timer_set(c->loop, t, 1), EG_OK);
}

Test(net, a_timer_that_arms_itself_for_the_past_waits_for_the_next_tick)
{
    static struct clockwork c;
    c.loop = new_loop();
    c.timers[0] = (struct eg_timer){ .fire = on_rearm, .ctx = &c };
    cr_assert_eq(eg_timer_set(c.loop, &c.timers[0], 1), EG_OK);
    for (unsigned i = 1; i <= 3; i++) {
        tick(c.loop);
        cr_assert_eq(c.fired, i);
    }
    eg_loop_free(c.loop);
    cr_assert_eq(c.timers[0].slot, 0, "the loop lets go of it");
}

Test(net, the_loop_wakes_for_a_timer)
{
    static struct clockwork c;
    c.loop = new_loop();
    c.timers[0] = (struct eg_timer){ .fire = on_fire, .ctx = &c };
    uint64_t from = eg_clock_ms();
    cr_assert_eq(eg_timer_set(c.loop, &c.timers[0], from + 30), EG_OK);
    for (int i = 0; i < 10 && !c.fired; i++)
        cr_assert_eq(eg_loop_tick(c.loop, -1, NULL), EG_OK);
    uint64_t took = eg_clock_ms() - from;
    cr_assert(took >= 30 && took < 30000, "%d ms", (int)took);
    eg_loop_free(c.loop);
}

/* ---- tasks ---- */

struct job {
    struct eg_task task;
    struct eg_loop *loop;
    struct job *mark, *unmark;
    unsigned runs;
    struct eg_dead dead;
    bool *freed;
};

static void run_job(struct eg_task *t)
{
    struct job *j = t->ctx;
    j->runs++;
    if (j->mark)
        eg_loop_mark(j->loop, &j->mark->task);
    if (j->unmark)
        eg_loop_unmark(j->loop, &j->unmark->task);
}

static struct job job(struct eg_loop *l)
{
    return (struct job){ .loop = l, .task = { .run = run_job } };
}

Test(net, tasks_run_once_a_tick)
{
    struct eg_loop *l = new_loop();
    struct job a = job(l);
    struct job b = job(l);
    struct job c = job(l);
    a.task.ctx = &a;
    b.task.ctx = &b;
    c.task.ctx = &c;
    a.mark = &a; /* itself: next tick */
    b.unmark = &c;
    eg_loop_mark(l, &a.task);
    eg_loop_mark(l, &a.task);
    eg_loop_mark(l, &b.task);
    eg_loop_mark(l, &c.task);
    tick(l);
    cr_assert_eq(a.runs, 1);
    cr_assert_eq(b.runs, 1);
    cr_assert_eq(c.runs, 0, "unmarked by b before its turn");
    cr_assert(a.task.queued);
    cr_assert_eq(eg_loop_tick(l, -1, NULL), EG_OK, "a marked task means no waiting");
    cr_assert_eq(a.runs, 2);
    eg_loop_unmark(l, &a.task);
    eg_loop_mark(l, &c.task);
    tick(l);
    cr_assert_eq(a.runs, 2);
    cr_assert_eq(c.runs, 1, "the queue is whole after unmarking its last");
    eg_loop_free(l);
}

static void free_job(struct eg_dead *d)
{
    struct job *j = (struct job *)(void *)((char *)d - offsetof(struct job, dead));
    *j->freed = true;
    free(j);
}

static void bury_self(struct eg_task *t)
{
    struct job *j = t->ctx;
    eg_loop_bury(j->loop, &j->dead);
    j->runs++; /* still there */
}

Test(net, the_dead_are_freed_at_the_end_of_the_tick)
{
    struct eg_loop *l = new_loop();
    bool freed[2] = { false };
    for (int i = 0; i < 2; i++) {
        struct job *j = calloc(1, sizeof *j);
        cr_assert(j);
        j->loop = l;
        j->task = (struct eg_task){ .run = bury_self, .ctx = j };
        j->dead.free = free_job;
        j->freed = &freed[i];
        if (i == 0) {
            eg_loop_mark(l, &j->task);
            tick(l);
            cr_assert(freed[0]);
        } else {
            eg_loop_bury(l, &j->dead);
        }
    }
    eg_loop_free(l);
    cr_assert(freed[1], "and with the loop");
}

/* ---- watches ---- */

struct seen {
    struct eg_watch watch;
    struct eg_loop *loop;
    struct eg_watch *drop;
    unsigned calls, events;
};

static void on_seen(struct eg_watch *w, unsigned events)
{
    struct seen *s = w->ctx;
    s->calls++;
    s->events = events;
    if (s->drop)
        eg_watch_drop(s->loop, s->drop);
}

static void look(struct seen *s, struct eg_loop *l)
{
    memset(s, 0, sizeof *s);
    s->loop = l;
    s->watch.ready = on_seen;
    s->watch.ctx = s;
}

static void pair(int fds[2])
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
}

Test(net, watches_are_level_triggered_and_interest_0_ends_them)
{
    struct eg_loop *l = new_loop();
    struct seen s;
    int fds[2];
    pair(fds);
    look(&s, l);
    cr_assert_eq(eg_watch_set(l, &s.watch, fds[0], 1, EG_IN), EG_OK);
    tick(l);
    cr_assert_eq(s.calls, 0);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    tick(l);
    tick(l);
    cr_assert_eq(s.calls, 2);
    cr_assert_eq(s.events, EG_IN);
    cr_assert_eq(eg_watch_set(l, &s.watch, fds[0], 1, EG_IN | EG_OUT), EG_OK);
    tick(l);
    cr_assert_eq(s.events, EG_IN | EG_OUT);
    cr_assert_eq(eg_watch_set(l, &s.watch, fds[0], 1, 0), EG_OK);
    cr_assert_not(s.watch.registered);
    close(fds[1]);
    tick(l);
    cr_assert_eq(s.calls, 3, "a hang-up is not reported to who does not listen");
    cr_assert_eq(eg_watch_set(l, &s.watch, fds[0], 1, EG_OUT), EG_OK);
    tick(l);
    cr_assert_eq(s.events, EG_IN | EG_OUT, "a hang-up is both");
    eg_watch_drop(l, &s.watch);
    close(fds[0]);
    eg_loop_free(l);
}

Test(net, events_of_a_dropped_watch_are_not_delivered)
{
    struct eg_loop *l = new_loop();
    struct seen a;
    struct seen b;
    int one[2];
    int two[2];
    pair(one);
    pair(two);
    look(&a, l);
    look(&b, l);
    a.drop = &b.watch;
    b.drop = &a.watch;
    cr_assert_eq(eg_watch_set(l, &a.watch, one[0], 1, EG_OUT), EG_OK);
    cr_assert_eq(eg_watch_set(l, &b.watch, two[0], 1, EG_OUT), EG_OK);
    tick(l);
    cr_assert_eq(a.calls + b.calls, 1, "both were ready in one tick; the first dropped the other");
    eg_watch_drop(l, &a.watch);
    eg_watch_drop(l, &b.watch);
    for (int i = 0; i < 2; i++) {
        close(one[i]);
        close(two[i]);
    }
    eg_loop_free(l);
}

/* Regression: a watch whose descriptor was closed must not take the registration of who got its number. */
Test(net, a_stale_watch_does_not_unregister_the_new_owner_of_its_number)
{
    struct eg_loop *l = new_loop();
    struct seen old;
    struct seen new;
    int one[2];
    int two[2];
    pair(one);
    look(&old, l);
    look(&new, l);
    cr_assert_eq(eg_watch_set(l, &old.watch, one[0], 1, EG_OUT), EG_OK);
    close(one[0]);
    pair(two);
    cr_assert_eq(two[0], one[0], "the number is given out again");
    cr_assert_eq(eg_watch_set(l, &new.watch, two[0], 2, EG_OUT), EG_OK);
    cr_assert_eq(eg_watch_set(l, &old.watch, two[1], 3, EG_OUT), EG_OK, "the old one moves on");
    tick(l);
    cr_assert_eq(new.calls, 1);
    cr_assert_eq(old.calls, 1);
    eg_watch_drop(l, &old.watch);
    tick(l);
    cr_assert_eq(new.calls, 2);
    eg_watch_drop(l, &new.watch);
    close(one[1]);
    close(two[0]);
    close(two[1]);
    eg_loop_free(l);
}

Test(net, the_same_number_with_another_tag_is_registered_anew)
{
    struct eg_loop *l = new_loop();
    struct seen s;
    int one[2];
    int two[2];
    pair(one);
    look(&s, l);
    cr_assert_eq(eg_watch_set(l, &s.watch, one[0], 1, EG_IN), EG_OK);
    close(one[0]);
    pair(two);
    cr_assert_eq(two[0], one[0]);
    cr_assert_eq(write(two[1], "x", 1), 1);
    cr_assert_eq(eg_watch_set(l, &s.watch, two[0], 2, EG_IN), EG_OK);
    tick(l);
    cr_assert_eq(s.calls, 1);
    eg_watch_drop(l, &s.watch);
    close(one[1]);
    close(two[0]);
    close(two[1]);
    eg_loop_free(l);
}

Test(net, what_epoll_refuses_is_an_error)
{
    struct eg_loop *l = new_loop();
    struct seen s;
    look(&s, l);
    FILE *f = tmpfile();
    cr_assert(f);
    cr_assert_eq(eg_watch_set(l, &s.watch, fileno(f), 1, EG_IN), EG_IO, "a regular file");
    cr_assert_not(s.watch.registered);
    cr_assert_eq(eg_watch_set(l, &s.watch, -1, 1, EG_IN), EG_IO);
    fclose(f);
    eg_loop_free(l);
}
