/* dns.h - names to addresses through c-ares on the loop: both families, asked once for all who want
 * the same name, and kept for their TTL within bounds (cache.h). A kept answer is an answer like
 * any other: the caller judges this very set and connects to it (invariant 2). Channels are opened
 * soon after the start and rotated, each with its own source port. */
#ifndef EG_NET_DNS_H
#define EG_NET_DNS_H

#include "base/uri.h"
#include "net/cache.h"
#include "net/loop.h"

enum { EG_DNS_MAX_ADDRS = 32 };

struct eg_dns;
struct eg_dns_query;

struct eg_dns_config {
    const struct eg_sockaddr *servers; /* server_count 0: every question is EG_DNS_FAILED */
    unsigned server_count;
    struct eg_slice hosts_text; /* the text of /etc/hosts (workers read no file): looked into first;
                                   parsed and copied by eg_dns_new, with a ceiling; may be empty */
    uint32_t timeout_ms;        /* for the whole question */
    uint32_t channels;          /* 1..16 */
    uint32_t
        second_family_ms; /* how long the second family may take after the first has answered: 50 */
    bool cache_off;       /* every call asks anew, unless the same name is being asked for */
    struct eg_cache_limits cache;
};

struct eg_dns_answer {
    enum eg_status status; /* EG_OK (count >= 1), EG_DNS_NOT_FOUND, EG_DNS_FAILED, EG_DNS_TIMEOUT */
    unsigned count;
    struct eg_addr addrs[EG_DNS_MAX_ADDRS]; /* in the order to try (RFC 8305 section 4: families
                                               alternate, IPv6 first) */
};

/* Reads no file: servers and hosts_text are what it knows. */
enum eg_status eg_dns_new(struct eg_loop *loop, const struct eg_dns_config *config,
                          struct eg_dns **ret, struct eg_err *err) EG_MUST_USE;
/* Cancels all questions without calling back. */
void eg_dns_free(struct eg_dns *d);
/* Asks for host (canonical name, never a literal). Who comes while the name is being asked for gets
 * that answer, and its deadline. done is called exactly once, from the loop and never from inside
 * this call, unless cancelled. *ret is valid until done or cancel. */
enum eg_status eg_dns_ask(struct eg_dns *d, struct eg_slice host,
                          void (*done)(void *ctx, const struct eg_dns_answer *answer), void *ctx,
                          struct eg_dns_query **ret, struct eg_err *err) EG_MUST_USE;
void eg_dns_cancel(struct eg_dns_query *q);

#endif
