/* snapshot.h - one immutable policy with what was built of it: resolver and TLS contexts. A flow
 * lives on one snapshot (invariant 6). */
#ifndef EG_PROXY_SNAPSHOT_H
#define EG_PROXY_SNAPSHOT_H

#include "net/dns.h"
#include "proxy/engine.h"
#include "tls/context.h"

struct eg_way { /* a chain of proxies, ready to be taken */
    unsigned count; /* 0: none, origins are reached directly */
    struct eg_hop hop[EG_HOPS_MAX];
    struct eg_tls_ctx *tls[EG_HOPS_MAX]; /* NULL: no TLS with it, or made at first use */
};

struct eg_snapshot { /* reference counted */
    unsigned refs;
    struct eg_policy *policy;
    const struct eg_limits *limits;     /* of the policy */
    const struct eg_settings *settings; /* of the policy */
    struct eg_dns *dns;
    struct eg_slice system_ca_pem;
    /* the default trust, made at first use: loading the system's CAs takes 10 to 20 ms */
    struct eg_tls_ctx *origin_tls;
    struct eg_service *services; /* as the policy gives them: read once, for every request */
    /* per service with a CA or certificate of its own, else NULL */
    struct eg_tls_ctx **service_tls;
    unsigned service_count;
    struct eg_way ways[2]; /* by enum eg_chain */
    void (*release)(void *ctx);
    void *ctx;
};

/* As eg_engine_prepare. On failure release was called. */
enum eg_status eg_snapshot_new(struct eg_loop *loop, const void *block, size_t n,
                               const struct eg_facts *facts, void (*release)(void *ctx), void *ctx,
                               struct eg_snapshot **ret, struct eg_err *err) EG_MUST_USE;
struct eg_snapshot *eg_snapshot_ref(struct eg_snapshot *s);
void eg_snapshot_unref(struct eg_snapshot *s);
/* The client context for that service; borrowed, lives with the snapshot. */
enum eg_status eg_snapshot_tls(struct eg_snapshot *s, unsigned service, struct eg_tls_ctx **ret,
                               struct eg_err *err) EG_MUST_USE;
/* The client context for TLS with hop i itself; way is one of the snapshot's. Borrowed, as above. */
enum eg_status eg_snapshot_hop_tls(struct eg_snapshot *s, struct eg_way *way, unsigned i,
                                   struct eg_tls_ctx **ret, struct eg_err *err) EG_MUST_USE;

#endif
