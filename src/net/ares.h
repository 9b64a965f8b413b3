/* ares.h - several c-ares channels on the loop. Only net/dns.c uses it; no other file of ours sees
 * c-ares but net/ares.c. */
#ifndef EG_NET_ARES_H
#define EG_NET_ARES_H

#include "net/loop.h"
#include "base/uri.h"

struct eg_ares;

/* Each channel has its own sockets, so its own source port. Reads no file but the system's random
 * device (c-ares 1.18, for query ids). timeout_ms is for all tries of one question together. */
enum eg_status eg_ares_new(struct eg_loop *loop, const struct eg_sockaddr *servers,
                           unsigned server_count, unsigned channels, uint32_t timeout_ms,
                           struct eg_ares **ret, struct eg_err *err) EG_MUST_USE;
/* Calls answered for every question that is under way, with EG_CLOSED. */
void eg_ares_free(struct eg_ares *a);
/* The channel that the next question should take: in turn, but one with the fewest questions under
 * way. */
unsigned eg_ares_pick(struct eg_ares *a);

/* How many channels are open: none at first, one soon after the start, the others by questions. */
unsigned eg_ares_open(const struct eg_ares *a);

struct eg_ares_question { /* embed it; must live until answered */
    unsigned channel;
    uint8_t family; /* 4 or 6 */
    struct eg_ares *ares;
    uint32_t
        ttl_s; /* of EG_OK: the shortest of the addresses and of the aliases on the way to them */
    /* Exactly once, maybe from inside ask: EG_OK after add was called at least once,
     * EG_DNS_NOT_FOUND, EG_DNS_FAILED, EG_DNS_TIMEOUT, EG_CLOSED. */
    void (*answered)(struct eg_ares_question *q, enum eg_status status);
    void (*add)(struct eg_ares_question *q, const struct eg_addr *addr);
};

/* Asks for the addresses of one family of name, which ends in a dot: no search list is applied.
 * channel, family, answered and add are set. */
void eg_ares_ask(struct eg_ares *a, struct eg_ares_question *q, const char *name);

#endif
