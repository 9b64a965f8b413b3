/* dial.c - the bottom layer that connects: it races the addresses it was given (RFC 8305 section 5), in their order, 250 ms
 * apart and at most 4 at once, and keeps the first that answers. It resolves nothing and judges nothing: these very addresses
 * were judged (invariant 2). It has no total deadline: the owner's is the one.
 * Invariant: descriptors of losers are closed before connect returns EG_OK. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/sock.h"
#include "stream/fd.h"

enum { RACE_MAX = 4, STAGGER_MS = 250, ADDRS_MAX = 64 };

struct attempt {
    int fd;
    uint32_t tag;
    unsigned which; /* index in addrs */
};

struct race { /* what an idle connection does not need */
    struct attempt racing[RACE_MAX];
    unsigned racing_count;
    unsigned next;       /* the first address that was not tried */
    uint64_t started_ms; /* when the latest attempt began */
    struct eg_err worst; /* the most informative failure so far */
    unsigned worst_which;
    unsigned count;
    struct eg_sockaddr addrs[];
};

struct dial {
    struct eg_stream stream;
    struct race *race; /* NULL once connected */
    int fd;            /* -1 until connected */
    uint32_t tag;
    struct eg_sockaddr peer;
};

/* A refusal proves that somebody is there; "unreachable" often says only that we have no IPv6. */
static int informative(enum eg_status status)
{
    switch (status) {
    case EG_CONNECT_REFUSED:
        return 5;
    case EG_CONNECT_TIMEOUT:
        return 4;
    case EG_HOST_UNREACHABLE:
        return 3;
    case EG_NET_UNREACHABLE:
        return 2;
    default:
        return 1;
    }
}

static void note_failure(struct race *d, unsigned which, const struct eg_err *err)
{
    if (d->worst.status != EG_OK && informative(d->worst.status) >= informative(err->status))
        return;
    d->worst = *err;
    d->worst_which = which;
}

static void start_next(struct race *d)
{
    unsigned which = d->next++;
    struct eg_err err = { 0 };
    int fd = -1;
    d->started_ms = eg_clock_ms();
    if (eg_sock_connect(&d->addrs[which], &fd, &err) != EG_OK) {
        note_failure(d, which, &err);
        return;
    }
    d->racing[d->racing_count++] = (struct attempt){ fd, eg_stream_fd_tag(), which };
}

static bool may_start(const struct race *d, uint64_t now)
{
    if (d->next == d->count || d->racing_count == RACE_MAX)
        return false;
    return d->racing_count == 0 || now >= d->started_ms + STAGGER_MS;
}

static void close_racers(struct race *d)
{
    for (unsigned i = 0; i < d->racing_count; i++)
        close(d->racing[i].fd);
    d->racing_count = 0;
}

/* Looks at all attempts under way: true when one has connected. A failure frees its place, and the next address need not
 * wait for its turn (RFC 8305 section 5). */
static bool poll_racers(struct race *d, struct attempt *winner)
{
    for (unsigned i = 0; i < d->racing_count;) {
        struct eg_err err = { 0 };
        enum eg_status r = eg_sock_connected(d->racing[i].fd, &err);
        if (r == EG_OK) {
            *winner = d->racing[i];
            d->racing[i] = d->racing[--d->racing_count];
            close_racers(d);
            return true;
        }
        if (r == EG_AGAIN) {
            i++;
            continue;
        }
        note_failure(d, d->racing[i].which, &err);
        close(d->racing[i].fd);
        d->racing[i] = d->racing[--d->racing_count];
        if (d->next < d->count && d->racing_count < RACE_MAX)
            start_next(d);
    }
    return false;
}

static enum eg_status all_failed(const struct race *d, struct eg_err *err)
{
    struct eg_authority at;
    char text[EG_AUTHORITY_TEXT];
    const struct eg_sockaddr *a = &d->addrs[d->worst_which];
    eg_authority_from_addr(&a->addr, a->port, &at);
    eg_authority_format(&at, 0, text, sizeof text);
    return eg_err_set(err, d->worst.status, "tcp", d->worst.sys, "%s: %s (%u address%s tried)",
                      text, d->worst.sys ? strerror(d->worst.sys) : "failed", d->count,
                      d->count == 1 ? "" : "es");
}

static enum eg_status dial_connect(struct eg_stream *s, struct eg_err *err)
{
    struct dial *d = (struct dial *)s;
    struct race *r = d->race;
    struct attempt winner;
    for (;;) {
        if (poll_racers(r, &winner))
            break;
        if (!may_start(r, eg_clock_ms()))
            return r->racing_count ? EG_AGAIN : all_failed(r, err);
        start_next(r);
    }
    d->fd = winner.fd;
    d->tag = winner.tag;
    d->peer = r->addrs[winner.which];
    d->race = NULL;
    free(r);
    return EG_OK;
}

static void dial_want(const struct eg_stream *s, unsigned intent, struct eg_pollset *set)
{
    const struct dial *d = (const struct dial *)s;
    const struct race *r = d->race;
    if (!r) {
        eg_stream_poll_add(set, d->fd, d->tag, intent);
        return;
    }
    if (r->racing_count == 0)
        set->now = true; /* not begun */
    for (unsigned i = 0; i < r->racing_count; i++)
        eg_stream_poll_add(set, r->racing[i].fd, r->racing[i].tag, EG_OUT);
    if (r->next < r->count && r->racing_count < RACE_MAX) {
        uint64_t due = r->started_ms + STAGGER_MS;
        if (set->wake_ms == 0 || due < set->wake_ms)
            set->wake_ms = due;
    }
}

static enum eg_status dial_recv(struct eg_stream *s, char *p, size_t n, size_t *done,
                                struct eg_err *err)
{
    return eg_stream_fd_recv(((struct dial *)s)->fd, p, n, done, err);
}

static enum eg_status dial_send(struct eg_stream *s, const char *p, size_t n, size_t *done,
                                struct eg_err *err)
{
    return eg_stream_fd_send(((struct dial *)s)->fd, p, n, done, err);
}

static enum eg_status dial_shut(struct eg_stream *s, struct eg_err *err)
{
    return eg_stream_fd_shut(((struct dial *)s)->fd, err);
}

static void dial_destroy(struct eg_stream *s)
{
    struct dial *d = (struct dial *)s;
    if (d->race)
        close_racers(d->race);
    free(d->race);
    if (d->fd >= 0)
        close(d->fd);
}

static int dial_raw_fd(const struct eg_stream *s)
{
    return ((const struct dial *)s)->fd;
}

static const struct eg_stream_ops dial_ops = {
    .name = "dial",
    .connect = dial_connect,
    .recv = dial_recv,
    .send = dial_send,
    .shut = dial_shut,
    .want = dial_want,
    .destroy = dial_destroy,
    .raw_fd = dial_raw_fd,
};

enum eg_status eg_stream_dial(const struct eg_sockaddr *addrs, unsigned count,
                              struct eg_stream **ret)
{
    if (count == 0 || count > ADDRS_MAX)
        return EG_INVALID;
    struct dial *d = calloc(1, sizeof *d);
    struct race *r = calloc(1, sizeof *r + count * sizeof *addrs);
    if (!d || !r) {
        free(d);
        free(r);
        return EG_NOMEM;
    }
    d->stream.ops = &dial_ops;
    d->race = r;
    d->fd = -1;
    r->count = count;
    memcpy(r->addrs, addrs, count * sizeof *addrs);
    *ret = &d->stream;
    return EG_OK;
}

bool eg_stream_dial_peer(const struct eg_stream *s, struct eg_sockaddr *ret)
{
    if (s->ops != &dial_ops || !s->connected)
        return false;
    *ret = ((const struct dial *)s)->peer;
    return true;
}
