/* timer.c - a binary heap of borrowed timers, ordered by deadline; each timer knows its slot, so that moving and clearing are
 * O(log n). It reads no clock. Timers of the same deadline fire in no particular order. */
#include "net/timer.h"

#include <stdlib.h>

enum { HEAP_MIN = 64 };

static void place(struct eg_timers *h, size_t i, struct eg_timer *t)
{
    h->heap[i] = t;
    t->slot = (uint32_t)i + 1;
}

static void up(struct eg_timers *h, size_t i, struct eg_timer *t)
{
    while (i > 0) {
        size_t parent = (i - 1) / 2;
        if (h->heap[parent]->at_ms <= t->at_ms)
            break;
        place(h, i, h->heap[parent]);
        i = parent;
    }
    place(h, i, t);
}

static void down(struct eg_timers *h, size_t i, struct eg_timer *t)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && h->heap[child + 1]->at_ms < h->heap[child]->at_ms)
            child++;
        if (t->at_ms <= h->heap[child]->at_ms)
            break;
        place(h, i, h->heap[child]);
        i = child;
    }
    place(h, i, t);
}

void eg_timers_done(struct eg_timers *h)
{
    for (size_t i = 0; i < h->count; i++)
        h->heap[i]->slot = 0;
    free(h->heap);
    *h = (struct eg_timers){ 0 };
}

enum eg_status eg_timers_set(struct eg_timers *h, struct eg_timer *t, uint64_t at_ms)
{
    if (t->slot) {
        bool later = at_ms > t->at_ms;
        t->at_ms = at_ms;
        if (later)
            down(h, t->slot - 1, t);
        else
            up(h, t->slot - 1, t);
        return EG_OK;
    }
    if (h->count == h->cap) {
        size_t cap = h->cap ? h->cap * 2 : HEAP_MIN;
        struct eg_timer **grown = realloc(h->heap, cap * sizeof(*grown));
        if (!grown)
            return EG_NOMEM;
        h->heap = grown;
        h->cap = cap;
    }
    t->at_ms = at_ms;
    up(h, h->count++, t);
    return EG_OK;
}

void eg_timers_clear(struct eg_timers *h, struct eg_timer *t)
{
    if (!t->slot)
        return;
    size_t i = t->slot - 1;
    struct eg_timer *last = h->heap[--h->count];
    t->slot = 0;
    if (last == t)
        return;
    if (i > 0 && last->at_ms < h->heap[(i - 1) / 2]->at_ms)
        up(h, i, last);
    else
        down(h, i, last);
}

bool eg_timers_first(const struct eg_timers *h, uint64_t *at_ms)
{
    if (!h->count)
        return false;
    *at_ms = h->heap[0]->at_ms;
    return true;
}

void eg_timers_fire(struct eg_timers *h, uint64_t now_ms)
{
    /* As many as were armed when this began: one that arms itself again at once can't keep the loop here. */
    for (size_t budget = h->count; budget > 0 && h->count > 0 && h->heap[0]->at_ms <= now_ms;
         budget--) {
        struct eg_timer *t = h->heap[0];
        eg_timers_clear(h, t);
        t->fire(t);
    }
}
