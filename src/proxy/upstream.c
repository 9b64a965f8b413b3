/* upstream.c - from a ticket that was allowed by name to a connected stack of hops in f->origin.
 *
 * Judge, resolve, judge, record, connect: addresses come from one DNS answer (or a literal), go
 * through the gate, and only what the gate returned is dialled (invariant 2). A connection is a
 * list of hops: dial; with an upstream proxy http_connect over it; tls over that for an https
 * service. */
#include "proxy/upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/pool.h"

struct eg_upstream {
    struct eg_dns_query *query;
    bool answered;
    bool proxy_turn; /* the answer is for the upstream proxy's name */
    struct eg_dns_answer answer;
    struct eg_sockaddr addrs[EG_DNS_MAX_ADDRS];
    unsigned count;
    struct eg_authority ask;         /* what the upstream proxy is asked for */
    struct eg_secret *authorization; /* for the upstream proxy, while it is connected to */
};

void eg_upstream_drop(struct eg_flow *f)
{
    struct eg_upstream *up = f->up;
    if (!up)
        return;
    f->up = NULL;
    if (up->query)
        eg_dns_cancel(up->query);
    eg_secret_free(up->authorization);
    free(up);
}

static bool via_proxy(const struct eg_flow *f)
{
    return f->snapshot->settings->has_proxy;
}

bool eg_upstream_absolute(const struct eg_flow *f)
{
    if (!via_proxy(f) || f->snapshot->settings->proxy_resolve_local)
        return false; /* in absolute-form the proxy would resolve the name again (invariant 2) */
    return f->want == EG_WANT_FORWARD || (f->want == EG_WANT_ROUTE && !eg_exchange_service(f)->tls);
}

static enum eg_step connect_to(struct eg_flow *f);

static void answered(void *ctx, const struct eg_dns_answer *answer)
{
    struct eg_flow *f = ctx;
    f->up->query = NULL;
    f->up->answered = true;
    f->up->answer = *answer;
    eg_flow_wake(f);
}

static enum eg_step ask(struct eg_flow *f, const struct eg_authority *name)
{
    struct eg_err err = { 0 };
    f->up->answered = false;
    enum eg_status status =
        eg_dns_ask(f->snapshot->dns, eg_authority_host(name), answered, f, &f->up->query, &err);
    if (status != EG_OK)
        return eg_refuse(f, EG_DNS_FAILED, true, err.text);
    eg_flow_move(f, EG_PHASE_RESOLVE, f->snapshot->limits->dns_timeout + 500,
                 EG_DNS_TIMEOUT); /* the resolver's own deadline comes first */
    return EG_STEP_MORE;
}

/* The operator's proxy is no destination of the child's: its addresses are not the policy's to
 * judge. */
static enum eg_step to_proxy(struct eg_flow *f)
{
    const struct eg_authority *proxy = &f->snapshot->settings->proxy;
    f->up->proxy_turn = true;
    if (!proxy->literal)
        return ask(f, proxy);
    f->up->addrs[0] = (struct eg_sockaddr){ proxy->addr, proxy->port };
    f->up->count = 1;
    return connect_to(f);
}

bool eg_upstream_still_allowed(const struct eg_flow *f)
{
    const struct eg_gate *g = &f->engine->gate;
    const struct eg_snapshot *now = f->engine->current;
    const struct eg_sockaddr *peer = f->peer.addr.family ? &f->peer : NULL;
    if (!f->up || f->up->count == 0 || via_proxy(f))
        return eg_gate_still_allowed(g, &f->ticket, now, peer);
    for (unsigned i = 0; i < f->up->count; i++)
        if (!eg_gate_still_allowed(g, &f->ticket, now, &f->up->addrs[i]))
            return false;
    return true;
}

static enum eg_step gated(struct eg_flow *f, enum eg_status status)
{
    if (status != EG_OK)
        return eg_refuse(f, status, true, NULL);
    if (via_proxy(f) && f->up->count > 0)
        f->peer = f->up->addrs[0]; /* what was judged; the hop's own address never is */
    if (f->snapshot != f->engine->current && !eg_upstream_still_allowed(f))
        return eg_refuse(f, EG_HOST_DENIED, true, "a new policy came into force and denies it");
    if (!via_proxy(f))
        return connect_to(f);
    f->up->ask = f->ticket.to;
    if (f->up->count >
        0) /* resolve: local: the upstream is asked for the address that was judged */
        eg_authority_from_addr(&f->up->addrs[0].addr, f->ticket.to.port, &f->up->ask);
    return to_proxy(f);
}

static enum eg_step judge(struct eg_flow *f, const struct eg_addr *addrs, unsigned count)
{
    return gated(f, eg_gate_addresses(&f->engine->gate, &f->ticket, addrs, count, f->up->addrs,
                                      &f->up->count));
}

enum eg_step eg_upstream_open(struct eg_flow *f)
{
    eg_upstream_drop(f);
    f->up = calloc(1, sizeof *f->up);
    if (!f->up)
        return eg_refuse(f, EG_NOMEM, true, NULL);
    if (f->ticket.to.literal)
        return judge(f, &f->ticket.to.addr, 1);
    if (via_proxy(f) && !f->snapshot->settings->proxy_resolve_local)
        return gated(f, eg_gate_remote(&f->engine->gate, &f->ticket));
    return ask(f, &f->ticket.to);
}

enum eg_step eg_resolve_step(struct eg_flow *f)
{
    struct eg_upstream *up = f->up;
    if (!up->answered)
        return EG_STEP_WAIT;
    if (up->answer.status != EG_OK)
        return eg_refuse(f, up->answer.status, true,
                         up->proxy_turn ? "the upstream proxy's name could not be resolved" : NULL);
    if (!up->proxy_turn)
        return judge(f, up->answer.addrs, up->answer.count);
    for (unsigned i = 0; i < up->answer.count; i++)
        up->addrs[i] =
            (struct eg_sockaddr){ up->answer.addrs[i], f->snapshot->settings->proxy.port };
    up->count = up->answer.count;
    return connect_to(f);
}

static enum eg_step refuse_err(struct eg_flow *f, enum eg_status status, const struct eg_err *err)
{
    char text[260];
    return eg_refuse(f, status, true, eg_err_format(err, text, sizeof text));
}

static enum eg_status proxy_authorization(struct eg_flow *f, struct eg_err *err)
{
    const struct eg_secret *secret;
    if (f->snapshot->settings->proxy_credential.n == 0)
        return EG_OK;
    enum eg_status status = eg_gate_proxy_credential(&f->engine->gate, &f->ticket, &secret, err);
    if (status != EG_OK)
        return status;
    return eg_inject_basic(f->engine->vault, EG_SLICE_NONE, secret, &f->up->authorization, err);
}

const struct eg_secret *eg_upstream_authorization(const struct eg_flow *f)
{
    return f->up ? f->up->authorization : NULL;
}

/* The hops below TLS, as one list. */
static enum eg_step connect_to(struct eg_flow *f)
{
    struct eg_err err = { 0 };
    struct eg_stream *hop = NULL;
    enum eg_status status = eg_stream_dial(f->up->addrs, f->up->count, &f->origin.stream);
    if (status == EG_OK && via_proxy(f))
        status = proxy_authorization(f, &err);
    if (status == EG_OK && via_proxy(f) && !eg_upstream_absolute(f)) {
        status = eg_stream_http_connect(f->origin.stream, &f->up->ask, f->up->authorization, &hop);
        if (status == EG_OK)
            f->origin.stream = hop;
    }
    if (status != EG_OK)
        return refuse_err(f, status, &err);
    eg_flow_move(f, EG_PHASE_CONNECT, f->snapshot->limits->connect_timeout, EG_CONNECT_TIMEOUT);
    return EG_STEP_MORE;
}

static enum eg_step secure(struct eg_flow *f)
{
    const struct eg_service *service = eg_exchange_service(f);
    struct eg_authority name = service->upstream;
    struct eg_tls_ctx *trust = NULL;
    struct eg_stream *tls = NULL;
    struct eg_err err = { 0 };
    enum eg_status status = EG_OK;
    if (service->server_name.n > 0)
        status = eg_host_parse(service->server_name, &name, &err);
    if (status == EG_OK)
        status = eg_snapshot_tls(f->snapshot, eg_exchange_service_index(f), &trust, &err);
    if (status == EG_OK)
        status = eg_stream_tls(f->origin.stream, trust, &name, eg_pool_ticket(f), &tls, &err);
    if (status != EG_OK)
        return refuse_err(f, status, &err);
    f->origin.stream = tls;
    eg_flow_move(f, EG_PHASE_SECURE, f->snapshot->limits->tls_timeout, EG_TLS_TIMEOUT);
    return EG_STEP_MORE;
}

/* Raises the stack. EG_STEP_MORE with *up: all connected. */
static enum eg_step raise(struct eg_flow *f, bool *up)
{
    struct eg_err err = { 0 };
    enum eg_status status = eg_stream_connect(f->origin.stream, &err);
    *up = status == EG_OK;
    if (status == EG_AGAIN)
        return EG_STEP_WAIT;
    return status == EG_OK ? EG_STEP_MORE : refuse_err(f, status, &err);
}

enum eg_step eg_connect_step(struct eg_flow *f)
{
    bool up;
    enum eg_step step = raise(f, &up);
    if (!up)
        return step;
    struct eg_stream *dial = eg_stream_find(f->origin.stream, "dial");
    if (!via_proxy(f) && (!dial || !eg_stream_dial_peer(dial, &f->peer)))
        f->peer = (struct eg_sockaddr){ 0 };
    if (f->want == EG_WANT_TUNNEL)
        return eg_tunnel_connected(f);
    if (f->want == EG_WANT_ROUTE && eg_exchange_service(f)->tls)
        return secure(f);
    return eg_exchange_begin(f, false);
}

enum eg_step eg_secure_step(struct eg_flow *f)
{
    bool up;
    enum eg_step step = raise(f, &up);
    if (!up)
        return step;
    if (eg_pool_resumed(f))
        f->engine->stats.tls_resumed++;
    else
        f->engine->stats.tls_full++;
    return eg_exchange_begin(f, false);
}
