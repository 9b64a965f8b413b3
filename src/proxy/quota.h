/* quota.h - a service's limits (policy: limits of a service) on one session, in any minute, as this worker counts them.
 *
 * The counters are the session's: they outlive connections and a session that is put anew, not the worker. */
#ifndef EG_PROXY_QUOTA_H
#define EG_PROXY_QUOTA_H

#include "policy/policy.h"

struct eg_quotas; /* of one session: reference counted, since exchanges outlive sessions */
struct eg_quota;  /* ... of one service in it */

struct eg_quotas *eg_quotas_ref(struct eg_quotas *q); /* NULL is fine */
void eg_quotas_unref(struct eg_quotas *q);            /* NULL is fine */

struct eg_quota_use { /* one exchange's; zeroed before begin */
    struct eg_quotas *owner;
    struct eg_quota *quota; /* NULL: nothing is limited */
    struct eg_service_limits limits;
    uint64_t up, down; /* counted so far */
    uint32_t retry_s;  /* of the last refusal: seconds until there may be room; 0: none yet */
};

/* A request to that service begins: it is counted and takes its place among the concurrent ones until the end. *quotas is the session's, made here
 * when it is NULL. body: it has one, of declared bytes (0: not told). EG_OK, EG_RATE_LIMITED, EG_BYTES_LIMITED, EG_BUSY_SERVICE, EG_NOMEM; then
 * nothing is counted. now_ms as eg_clock_ms, in all of them. */
enum eg_status eg_quota_begin(struct eg_quota_use *u, struct eg_quotas **quotas,
                              const struct eg_service *service, bool body, uint64_t declared,
                              uint64_t now_ms) EG_MUST_USE;
/* Gives the place back. Twice is fine. */
void eg_quota_end(struct eg_quota_use *u);

/* So many bytes of the request's body were read by now, or of the response's: EG_OK, or EG_BYTES_LIMITED: then the message must not look whole to
 * anybody. */
enum eg_status eg_quota_up(struct eg_quota_use *u, uint64_t total, uint64_t now_ms) EG_MUST_USE;
enum eg_status eg_quota_down(struct eg_quota_use *u, uint64_t total, uint64_t now_ms) EG_MUST_USE;
/* The response says that its body has n bytes: is there room for them? Counts nothing. */
enum eg_status eg_quota_down_fits(struct eg_quota_use *u, uint64_t n, uint64_t now_ms) EG_MUST_USE;

/* The limit as a sentence, for who was refused by it. Returns out. */
const char *eg_quota_explain(const struct eg_service *service, enum eg_status reason, char *out,
                             size_t cap);

#endif
