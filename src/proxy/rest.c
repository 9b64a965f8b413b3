/* rest.c - a tunnel at rest. It relays, maybe for days, and needs its ticket again only at its end or
 * when a new policy judges it; most of a ticket is room that its texts do not fill.
 *
 * The ticket is kept as runs: zero bytes are counted, others are copied. That knows nothing of the
 * ticket's members, so none can be forgotten. */
#include <stdlib.h>
#include <string.h>

#include "proxy/flow.h"

enum { GAP = 8 }; /* fewer zeros than that are copied: a run's head costs as much */

struct run { /* then `copied` bytes */
    uint16_t zeros, copied;
};
_Static_assert(sizeof(struct eg_ticket) <= UINT16_MAX, "a run may span the ticket");

struct eg_rest {
    uint16_t n; /* bytes of runs */
    unsigned char runs[];
};

static size_t zeros_at(const unsigned char *p, size_t n)
{
    size_t k = 0;
    while (k < n && p[k] == 0)
        k++;
    return k;
}

static size_t bytes_until_gap(const unsigned char *p, size_t n)
{
    size_t k = 0;
    while (k < n && zeros_at(p + k, n - k < GAP ? n - k : GAP) < GAP)
        k++;
    return k;
}

/* out NULL: only the size. */
static size_t pack(const unsigned char *p, size_t n, unsigned char *out)
{
    size_t used = 0;
    for (size_t at = 0; at < n;) {
        size_t zeros = zeros_at(p + at, n - at);
        size_t copied = bytes_until_gap(p + at + zeros, n - at - zeros);
        struct run r = { (uint16_t)zeros, (uint16_t)copied };
        if (out) {
            memcpy(out + used, &r, sizeof r);
            memcpy(out + used + sizeof r, p + at + zeros, copied);
        }
        used += sizeof r + copied;
        at += zeros + copied;
    }
    return used;
}

static void unpack(const struct eg_rest *rest, unsigned char *out)
{
    struct run r;
    for (size_t at = 0, to = 0; at < rest->n; at += sizeof r + r.copied) {
        memcpy(&r, rest->runs + at, sizeof r);
        memcpy(out + to + r.zeros, rest->runs + at + sizeof r, r.copied);
        to += (size_t)r.zeros + r.copied;
    }
}

void eg_flow_rest(struct eg_flow *f)
{
    eg_msg_free(f->request);
    f->request = NULL;
    const unsigned char *ticket = (const unsigned char *)f->ticket;
    size_t n = pack(ticket, sizeof *f->ticket, NULL);
    struct eg_rest *rest = n <= UINT16_MAX ? malloc(sizeof *rest + n) : NULL;
    if (!rest)
        return; /* it stays as it is */
    rest->n = (uint16_t)n;
    pack(ticket, sizeof *f->ticket, rest->runs);
    free(f->ticket);
    f->ticket = NULL;
    f->rest = rest;
}

struct eg_ticket *eg_flow_ticket(struct eg_flow *f)
{
    if (f->ticket)
        return f->ticket;
    struct eg_ticket *t = &f->engine->woken;
    memset(t, 0, sizeof *t);
    unpack(f->rest, (unsigned char *)t);
    return t;
}
