/* quota.c - sliding minutes, in buckets of one second.
 *
 * 61 buckets hold whatever happened in any 60 seconds that end now, so a limit is never exceeded in any minute; it may be refused up to one second
 * earlier than need be. What was refused is not counted. */
#include "proxy/quota.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 61 };

struct window {
    uint64_t second; /* of the newest bucket */
    uint64_t total;
    uint64_t count[BUCKETS]; /* by second modulo BUCKETS */
};

struct eg_quota {
    struct eg_quota *next;
    uint32_t running;
    struct window requests, up, down;
    char service[]; /* its name */
};

struct eg_quotas {
    unsigned refs;
    struct eg_quota *first;
};

struct eg_quotas *eg_quotas_ref(struct eg_quotas *q)
{
    if (q)
        q->refs++;
    return q;
}

void eg_quotas_unref(struct eg_quotas *q)
{
    if (!q || --q->refs > 0)
        return;
    while (q->first) {
        struct eg_quota *next = q->first->next;
        free(q->first);
        q->first = next;
    }
    free(q);
}

/* ---- windows ---- */

/* Forgets what is older than a minute. */
static void advance(struct window *w, uint64_t second)
{
    if (second >= w->second + BUCKETS) {
        memset(w, 0, sizeof *w);
        w->second = second;
    }
    while (w->second < second) {
        w->second++;
        w->total -= w->count[w->second % BUCKETS];
        w->count[w->second % BUCKETS] = 0;
    }
}

/* Seconds until n fits below the limit, 0: now. What never fits is worth a whole minute. */
static uint32_t wait_for(struct window *w, uint64_t limit, uint64_t n, uint64_t now_ms)
{
    advance(w, now_ms / 1000);
    if (limit == 0 || (n <= limit && w->total <= limit - n))
        return 0;
    uint64_t left = w->total;
    for (uint64_t ago = BUCKETS - 1; n <= limit; ago--) { /* the oldest first */
        if (w->second >= ago)
            left -= w->count[(w->second - ago) % BUCKETS];
        if (left <= limit - n) {
            uint64_t at_ms = (w->second + BUCKETS - ago) * 1000;
            return (uint32_t)((at_ms - now_ms + 999) / 1000);
        }
    }
    return BUCKETS;
}

static void add(struct window *w, uint64_t n)
{
    w->total += n;
    w->count[w->second % BUCKETS] += n;
}

/* ---- one exchange ---- */

static struct eg_quota *quota_of(struct eg_quotas **quotas, struct eg_slice service)
{
    if (!*quotas && !(*quotas = calloc(1, sizeof **quotas)))
        return NULL;
    if ((*quotas)->refs == 0)
        (*quotas)->refs = 1;
    struct eg_quota *q = (*quotas)->first;
    while (q && !eg_slice_eq(eg_slice_str(q->service), service))
        q = q->next;
    if (q || !(q = calloc(1, sizeof *q + service.n + 1)))
        return q;
    memcpy(q->service, service.p, service.n);
    q->next = (*quotas)->first;
    (*quotas)->first = q;
    return q;
}

static enum eg_status refuse(struct eg_quota_use *u, enum eg_status status, uint32_t retry_s)
{
    u->retry_s = retry_s;
    return status;
}

enum eg_status eg_quota_begin(struct eg_quota_use *u, struct eg_quotas **quotas,
                              const struct eg_service *service, bool body, uint64_t declared,
                              uint64_t now_ms)
{
    const struct eg_service_limits *l = &service->limits;
    uint32_t wait = 0;
    if (l->requests_per_minute == 0 && l->concurrent == 0 && l->request_bytes == 0 &&
        l->response_bytes == 0)
        return EG_OK;
    struct eg_quota *q = quota_of(quotas, service->name);
    if (!q)
        return EG_NOMEM;
    if ((wait = wait_for(&q->requests, l->requests_per_minute, 1, now_ms)) > 0)
        return refuse(u, EG_RATE_LIMITED, wait);
    if (body && (wait = wait_for(&q->up, l->request_bytes, declared ? declared : 1, now_ms)) > 0)
        return refuse(u, EG_BYTES_LIMITED, wait);
    if ((wait = wait_for(&q->down, l->response_bytes, 1, now_ms)) > 0)
        return refuse(u, EG_BYTES_LIMITED, wait);
    if (l->concurrent != 0 && q->running >= l->concurrent)
        return refuse(u, EG_BUSY_SERVICE, 1);
    add(&q->requests, 1);
    q->running++;
    u->owner = eg_quotas_ref(*quotas);
    u->quota = q;
    u->limits = *l;
    return EG_OK;
}

void eg_quota_end(struct eg_quota_use *u)
{
    if (u->quota)
        u->quota->running--;
    eg_quotas_unref(u->owner);
    u->owner = NULL;
    u->quota = NULL;
}

static enum eg_status fits(struct eg_quota_use *u, struct window *w, uint64_t limit, uint64_t n,
                           uint64_t now_ms)
{
    uint32_t wait = wait_for(w, limit, n, now_ms);
    return wait == 0 ? EG_OK : refuse(u, EG_BYTES_LIMITED, wait);
}

static enum eg_status count(struct eg_quota_use *u, struct window *w, uint64_t limit,
                            uint64_t *counted, uint64_t total, uint64_t now_ms)
{
    uint64_t more = total - *counted;
    if (limit == 0 || more == 0)
        return EG_OK;
    enum eg_status status = fits(u, w, limit, more, now_ms);
    if (status != EG_OK)
        return status;
    add(w, more);
    *counted = total;
    return EG_OK;
}

enum eg_status eg_quota_up(struct eg_quota_use *u, uint64_t total, uint64_t now_ms)
{
    return u->quota ? count(u, &u->quota->up, u->limits.request_bytes, &u->up, total, now_ms)
                    : EG_OK;
}

enum eg_status eg_quota_down(struct eg_quota_use *u, uint64_t total, uint64_t now_ms)
{
    return u->quota ? count(u, &u->quota->down, u->limits.response_bytes, &u->down, total, now_ms)
                    : EG_OK;
}

enum eg_status eg_quota_down_fits(struct eg_quota_use *u, uint64_t n, uint64_t now_ms)
{
    return u->quota ? fits(u, &u->quota->down, u->limits.response_bytes, n, now_ms) : EG_OK;
}

const char *eg_quota_explain(const struct eg_service *service, enum eg_status reason, char *out,
                             size_t cap)
{
    const struct eg_service_limits *l = &service->limits;
    if (reason == EG_RATE_LIMITED)
        snprintf(out, cap, "the policy lets %" PRIu32 " requests a minute through to this service",
                 l->requests_per_minute);
    else if (reason == EG_BUSY_SERVICE)
        snprintf(out, cap, "the policy lets %" PRIu32 " requests at once through to this service",
                 l->concurrent);
    else
        snprintf(
            out, cap,
            "the policy bounds the bytes of bodies a minute for this service (0: not): %" PRIu64
            " in requests, %" PRIu64 " in responses",
            l->request_bytes, l->response_bytes);
    return out;
}
