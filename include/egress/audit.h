/* egress/audit.h - audit events: fixed-size records in a shared ring, and their JSON.
 *
 * The ring is one anonymous shared memory (memfd) that the supervisor makes and every worker
 * maps: it survives a worker. It overwrites the oldest event and counts what it overwrote; the
 * newest is never lost. Many writers, many readers, no locks. A reader copies, then checks. */
#ifndef EGRESS_AUDIT_H
#define EGRESS_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "egress/status.h"

#define EGRESS_AUDIT_SCHEMA 1

enum egress_event_kind {
    EGRESS_EVENT_DECISION = 1, /* before a byte flows */
    EGRESS_EVENT_END = 2,      /* after the last; same id as its decision */
    EGRESS_EVENT_CANARY = 3,
    EGRESS_EVENT_SYSTEM = 4,   /* start, stop, reload, reload_failed, worker_died, enforcement */
};
enum egress_event_via {
    EGRESS_VIA_NONE,
    EGRESS_VIA_TUNNEL,
    EGRESS_VIA_FORWARD,
    EGRESS_VIA_ROUTE,
    EGRESS_VIA_SOCKS,
    EGRESS_VIA_CAPTURED, /* a connection of a program that knows no proxy */
};
enum egress_event_stage {
    EGRESS_STAGE_REQUEST,
    EGRESS_STAGE_ADDRESS,
    EGRESS_STAGE_HELLO,
    EGRESS_STAGE_CONNECT,
    EGRESS_STAGE_RESPONSE,
};

struct egress_event { /* fixed size; texts are NUL-terminated and truncated with a flag */
    uint64_t seq;       /* set by append; 1, 2, 3 ... over all writers */
    uint64_t id;        /* joins decision(s) and end of one exchange */
    uint64_t wall_us;   /* set by append when 0 */
    uint64_t bytes_up, bytes_down; /* child to origin, origin to child: payload */
    uint64_t duration_us;
    uint32_t writer;    /* worker number from 1; 0 = supervisor */
    uint16_t port;
    uint16_t http_status; /* status that the child got; 0 = none */
    uint8_t kind, via, stage;
    uint8_t allowed;    /* decision: 1 allow, 0 deny */
    uint8_t observe;    /* mode: 0 enforce, 1 observe: a decision that allows with a reason would have been a deny */
    uint8_t truncated;  /* a text was cut */
    uint16_t reason;    /* enum eg_status */
    char session[48];
    char rule[96];      /* file:line */
    char host[256];
    char address[48];
    char method[24];
    char path[256];     /* canonical, without the query */
    char credential[64]; /* name only */
    char service[64];
    char detail[96];
};

/* A decision that let through what is refused in mode: enforce; reason is that refusal. */
static inline bool egress_event_would_deny(const struct egress_event *e)
{
    return e->kind == EGRESS_EVENT_DECISION && e->observe && e->allowed && e->reason != EG_OK;
}

struct egress_ring;

/* capacity in events (16 to 1,048,511; EG_INVALID otherwise), about 1.2 KiB each. *fd is the
 * memfd, owned by the ring and closed with it; hand dups to workers. Its size is sealed.
 * EG_NOMEM, EG_IO. */
enum eg_status egress_ring_create(uint32_t capacity, struct egress_ring **ret, int *fd) EG_MUST_USE;
/* Maps a ring from its descriptor (which stays the caller's); seals, size and header are
 * checked: EG_INVALID. A read-only descriptor gives a ring that can be read and takes no
 * events. */
enum eg_status egress_ring_open(int fd, struct egress_ring **ret) EG_MUST_USE;
/* NULL is fine. */
void egress_ring_free(struct egress_ring *r);
/* Never fails, never blocks; returns the sequence number (0: the ring is read-only). *e gets
 * seq and wall_us. */
uint64_t egress_ring_append(struct egress_ring *r, struct egress_event *e);
/* A fresh id for an exchange, over all writers: 1, 2, 3 ..., a count of its own that leaves no
 * gap in seq. */
uint64_t egress_ring_next_id(struct egress_ring *r);
/* Copies the first event with seq > after into *e: EG_OK; EG_AGAIN when there is none yet.
 * *lost (may be NULL) gets the number of events between `after` and it that were overwritten,
 * or never came because their writer died. Where a number is missing and later ones are there,
 * it is waited for (EG_AGAIN) until the next one is 250 ms old. Numbers and texts of *e are in
 * range whatever the writer did. */
enum eg_status egress_ring_read(const struct egress_ring *r, uint64_t after, struct egress_event *e,
                                uint64_t *lost) EG_MUST_USE;
/* From now on this reader waits for no missing number: call it when no writer is left, before
 * the last reads. */
void egress_ring_settle(struct egress_ring *r);
/* Highest sequence number given, capacity, overwritten so far. Any pointer may be NULL. */
void egress_ring_stats(const struct egress_ring *r, uint64_t *newest, uint32_t *capacity,
                       uint64_t *overwritten);

/* One JSON object without a newline, at most cap bytes with the NUL. Returns its length, 0 when
 * cap is too small (EGRESS_EVENT_JSON_MAX always suffices). Keys, in this order, where empty texts
 * and numbers marked ? that are 0 are left out:
 *
 *   v (1), seq, id?, time (RFC 3339), event (decision|end|canary|system), session,
 *   mode (enforce|observe), decision (allow|deny|would_deny; not in system), reason, rule,
 *   via (tunnel|forward|route|socks|captured), stage (request|address|hello|connect|response; not
 *   in system), host, port?, address, method, path, service, credential, status?,
 *   bytes_up, bytes_down, duration_ms (these three in end only, the last with 3 decimals),
 *   detail, worker (0: the supervisor), truncated (only when true)
 *
 * Every control and non-ASCII byte is escaped as \u00XX: a text is bytes, not characters. Numbers
 * are cut at 2^53 - 1. */
#define EGRESS_EVENT_JSON_MAX 8192
size_t egress_event_json(const struct egress_event *e, char *out, size_t cap);
/* The inverse, for `egressctl audit` on a kept file; unknown keys are passed over, missing ones
 * are 0. EG_INVALID: not such an object, another v, a wrong type or word; EG_NOMEM. *e is
 * untouched on failure. */
enum eg_status egress_event_parse(const char *json, size_t n, struct egress_event *e) EG_MUST_USE;

#endif
