/* cache.h - what name servers said, for a short while: addresses of a name, or that it has none.
 * One cache belongs to one resolver, so a policy or resolv.conf that changed begins with an empty
 * one. Private to the room but for the limits. */
#ifndef EG_NET_CACHE_H
#define EG_NET_CACHE_H

#include "base/uri.h"

enum {
    EG_CACHE_ENTRIES = 1024, /* one entry: one family of one name */
    EG_CACHE_POSITIVE_MIN_S = 1,
    EG_CACHE_POSITIVE_MAX_S = 300,
    EG_CACHE_NEGATIVE_S = 5, /* where the answer does not say */
    EG_CACHE_NEGATIVE_MAX_S = 60,
};
#define EG_CACHE_TTL_UNKNOWN UINT32_MAX

struct eg_cache;

struct eg_cache_limits { /* 0 anywhere: the constant above */
    uint32_t entries;
    uint32_t positive_min_s, positive_max_s;
    uint32_t negative_s, negative_max_s;
};

struct eg_cache_answer {
    enum eg_status status; /* EG_OK with addresses, or EG_DNS_NOT_FOUND */
    unsigned count;
    const struct eg_addr *addrs; /* the cache's, until the next call */
};

/* EG_NOMEM. */
enum eg_status eg_cache_new(const struct eg_cache_limits *limits,
                            struct eg_cache **ret) EG_MUST_USE;
void eg_cache_free(struct eg_cache *c);
/* name: canonical, at most EG_HOST_MAX. family: 4 or 6. now_ms: eg_clock_ms, never less than in an
 * earlier call. false: not known, or not any more. */
bool eg_cache_get(struct eg_cache *c, struct eg_slice name, uint8_t family, uint64_t now_ms,
                  struct eg_cache_answer *ret);
/* Keeps EG_OK (with addresses) and EG_DNS_NOT_FOUND for ttl_s within the limits, in place of what
 * was there; the oldest entry makes room. Every other status is not kept: a failure says nothing of
 * the name. Without memory nothing is kept. */
void eg_cache_put(struct eg_cache *c, struct eg_slice name, uint8_t family, uint64_t now_ms,
                  uint32_t ttl_s, enum eg_status status, const struct eg_addr *addrs,
                  unsigned count);
size_t eg_cache_count(const struct eg_cache *c);

#endif
