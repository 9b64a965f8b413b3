/* hops.h - the chain of proxies of a way out, as layers of a stream. Internal to proxy. */
#ifndef EG_PROXY_HOPS_H
#define EG_PROXY_HOPS_H

#include "proxy/flow.h"

enum eg_link_kind {
    EG_LINK_DIAL,    /* tcp to the first hop */
    EG_LINK_CHANNEL, /* a channel of an ssh gateway, the first hop */
    EG_LINK_TLS,     /* TLS with the hop itself */
    EG_LINK_CONNECT, /* the hop is asked for `to` by HTTP CONNECT */
    EG_LINK_SOCKS,   /* ... by SOCKS5 */
};
struct eg_link { /* one layer, over the one before it */
    enum eg_link_kind kind;
    unsigned hop;                  /* whose */
    const struct eg_authority *to; /* whom it leads to; TLS: NULL */
};
enum { EG_LINKS_MAX = 2 + 2 * EG_HOPS_MAX };

/* The layers of a chain, bottom first; pure. Each hop is asked for the next one, the last one for
 * `ask`; with absolute (the last hop speaks HTTP) nobody is asked for the origin. Borrows from its
 * arguments. 0: such a chain can't be built (ssh behind another hop, absolute-form to what is no
 * HTTP proxy, no hop at all). */
unsigned eg_hops_plan(const struct eg_hop *hops, unsigned count, bool absolute,
                      const struct eg_authority *ask, struct eg_link out[EG_LINKS_MAX]);

/* The chain that this flow's exchange takes; NULL: it goes there directly. Lives with the flow's
 * snapshot. */
struct eg_way *eg_hops_way(const struct eg_flow *f);
/* May every credential of the chain be had? Else EG_CREDENTIAL_UNAVAILABLE, and err names the hop. */
enum eg_status eg_hops_check(struct eg_flow *f, const struct eg_way *way,
                             struct eg_err *err) EG_MUST_USE;
/* What hop i is shown: the value of Proxy-Authorization, or "user:password" for SOCKS5; the
 * caller's to free. *ret is NULL where it wants none. */
enum eg_status eg_hops_secret(struct eg_flow *f, const struct eg_way *way, unsigned i,
                              struct eg_secret **ret, struct eg_err *err) EG_MUST_USE;
/* Puts links[1..count) over f->origin.stream, which is the first. top[i] becomes the uppermost
 * layer of hop i. On failure err names the hop; what stands is the flow's to close. */
enum eg_status eg_hops_stack(struct eg_flow *f, struct eg_way *way, const struct eg_link *links,
                             unsigned count, const struct eg_stream *top[EG_HOPS_MAX],
                             struct eg_err *err) EG_MUST_USE;
/* "https://proxy.example:8443 (hop 1 of 2): what"; never a user or a password. Returns out. */
char *eg_hops_say(const struct eg_way *way, unsigned i, const char *what, char *out, size_t cap);
/* A failure of a hop that has no reason of its own is upstream_proxy_failed. */
enum eg_status eg_hops_reason(enum eg_status status);

#endif
