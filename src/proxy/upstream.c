/* upstream.c - from a ticket that was allowed by name to a connected stack of hops in f->origin.
 *
 * Judge, resolve, judge, record, connect: addresses come from one DNS answer (or a literal), go
 * through the gate, and only what the gate returned is dialled (invariant 2). Through a chain of
 * proxies the first one is dialled (or its ssh channel is opened) and hops.c stacks the rest; the
 * last one is asked for the name, or with resolve: local for the address that was judged. TLS with
 * the origin comes over whatever that gives. */
#include "proxy/upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/channel.h"
#include "proxy/exchange.h"
#include "proxy/pool.h"

enum { EXPLAIN_MAX = 600 };

struct eg_upstream {
    struct eg_dns_query *query;
    bool answered;
    bool hop_turn; /* the answer is for the first hop's name */
    struct eg_dns_answer answer;
    struct eg_sockaddr addrs[EG_DNS_MAX_ADDRS]; /* to be dialled */
    unsigned count;
    struct eg_authority ask;                  /* what the last hop is asked for */
    struct eg_channel *channel;               /* of an ssh gateway, while it is waited for */
    const struct eg_stream *top[EG_HOPS_MAX]; /* the uppermost layer of each hop, once stacked */
};

void eg_upstream_drop(struct eg_flow *f)
{
    struct eg_upstream *up = f->up;
    if (!up)
        return;
    f->up = NULL;
    if (up->query)
        eg_dns_cancel(up->query);
    eg_channel_drop(up->channel);
    free(up);
}

bool eg_upstream_absolute(const struct eg_flow *f)
{
    if (f->want != EG_WANT_FORWARD &&
        (f->want != EG_WANT_ROUTE || !f->exchange || eg_exchange_service(f)->tls))
        return false;
    const struct eg_way *way = eg_hops_way(f);
    if (!way || way->hop[way->count - 1].kind != EG_HOP_HTTP)
        return false;
    /* in absolute-form the proxy would resolve the name again (invariant 2) */
    return !f->snapshot->settings->proxy_resolve_local;
}

/* ---- which hop ---- */

/* The hop whose layer is being raised, or -1. */
static int current_hop(const struct eg_flow *f, const struct eg_way *way)
{
    if (!f->up)
        return -1;
    if (!f->origin.stream)
        return f->up->hop_turn || f->up->channel ? 0 : -1;
    for (unsigned i = 0; i < way->count; i++)
        if (f->up->top[i] && !f->up->top[i]->connected)
            return (int)i;
    return -1;
}

/* The hop that a failure now is about, or -1: the origin, or no hop at all. In absolute-form the
 * last one is who answers. */
static int hop_at_fault(const struct eg_flow *f, const struct eg_way *way)
{
    if (!way)
        return -1;
    if (f->phase == EG_PHASE_EXCHANGE)
        return eg_upstream_absolute(f) ? (int)way->count - 1 : -1;
    return current_hop(f, way);
}

const char *eg_upstream_explain(const struct eg_flow *f, enum eg_status *status,
                                const struct eg_err *err, char *out, size_t cap)
{
    const struct eg_way *way = eg_hops_way(f);
    bool named = err->layer && strcmp(err->layer, "hops") == 0; /* it says so itself */
    int hop = named ? -1 : hop_at_fault(f, way);
    if (hop >= 0 && !eg_exchange_answered(f))
        *status = eg_hops_reason(*status);
    if (named)
        snprintf(out, cap, "%s", err->text);
    else if (hop < 0)
        eg_err_format(err, out, cap);
    else
        eg_hops_say(way, (unsigned)hop, err->text[0] ? err->text : egress_status_sentence(*status),
                    out, cap);
    return out;
}

const char *eg_upstream_late(const struct eg_flow *f, enum eg_status *reason, char *out, size_t cap)
{
    const struct eg_way *way = f->phase == EG_PHASE_HEAD ? NULL : eg_hops_way(f);
    int hop = hop_at_fault(f, way);
    if (hop < 0)
        return NULL;
    const struct eg_stream *layer = f->phase == EG_PHASE_CONNECT ? f->origin.stream : NULL;
    while (layer && layer->below && !layer->below->connected)
        layer = layer->below;
    if (layer && strcmp(layer->ops->name, "tls") == 0)
        *reason = EG_TLS_TIMEOUT;
    return eg_hops_say(way, (unsigned)hop, egress_status_sentence(*reason), out, cap);
}

static enum eg_step refuse_err(struct eg_flow *f, enum eg_status status, const struct eg_err *err)
{
    char text[EXPLAIN_MAX];
    const char *why = eg_upstream_explain(f, &status, err, text, sizeof text);
    return eg_refuse(f, status, true, why);
}

/* ---- judged, then connected ---- */

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
        return refuse_err(f, EG_DNS_FAILED, &err);
    eg_flow_move(f, EG_PHASE_RESOLVE, f->snapshot->limits->dns_timeout + 500,
                 EG_DNS_TIMEOUT); /* the resolver's own deadline comes first */
    return EG_STEP_MORE;
}

/* The plan of the chain for this flow; 0: it can't be taken. */
static unsigned plan(const struct eg_flow *f, const struct eg_way *way,
                     struct eg_link links[EG_LINKS_MAX])
{
    return eg_hops_plan(way->hop, way->count, eg_upstream_absolute(f), &f->up->ask, links);
}

/* What the last hop is asked for: the name that was judged, or the address (resolve: local). */
static void set_ask(struct eg_flow *f)
{
    f->up->ask = f->ticket->to;
    if (f->up->count > 0)
        eg_authority_from_addr(&f->up->addrs[0].addr, f->ticket->to.port, &f->up->ask);
}

static enum eg_step open_channel(struct eg_flow *f, const struct eg_way *way,
                                 const struct eg_link *link)
{
    struct eg_err err = { 0 };
    enum eg_status status = eg_channel_open(f, &way->hop[0], link->to, &f->up->channel, &err);
    if (status != EG_OK)
        return refuse_err(f, status, &err);
    eg_flow_move(f, EG_PHASE_CONNECT, f->snapshot->limits->connect_timeout, EG_CONNECT_TIMEOUT);
    return EG_STEP_MORE;
}

/* The operator's proxy is no destination of the child's: its addresses are not the policy's to
 * judge. What it wants to be shown is had before anybody is asked. */
static enum eg_step to_first_hop(struct eg_flow *f, const struct eg_way *way)
{
    const struct eg_authority *first = &way->hop[0].at;
    struct eg_link links[EG_LINKS_MAX];
    struct eg_err err = { 0 };
    set_ask(f);
    f->up->hop_turn = true;
    enum eg_status status = plan(f, way, links) > 0 ? eg_hops_check(f, way, &err) : EG_INTERNAL;
    if (status != EG_OK) {
        f->up->hop_turn = false; /* err names the hop */
        return refuse_err(f, status, &err);
    }
    if (links[0].kind == EG_LINK_CHANNEL)
        return open_channel(f, way, &links[0]);
    if (!first->literal)
        return ask(f, first);
    f->up->addrs[0] = (struct eg_sockaddr){ first->addr, first->port };
    f->up->count = 1;
    return connect_to(f);
}

bool eg_upstream_still_allowed(struct eg_flow *f)
{
    const struct eg_ticket *ticket = eg_flow_ticket(f);
    const struct eg_gate *g = &f->engine->gate;
    const struct eg_snapshot *now = f->engine->current;
    const struct eg_sockaddr *peer = f->peer.addr.family ? &f->peer : NULL;
    struct eg_path_flags flags = { 0 };
    struct eg_slice path = eg_exchange_judged(f, &flags);
    if (!f->up || f->up->count == 0 || eg_hops_way(f))
        return eg_gate_still_allowed(g, ticket, now, peer, path, flags);
    for (unsigned i = 0; i < f->up->count; i++)
        if (!eg_gate_still_allowed(g, ticket, now, &f->up->addrs[i], path, flags))
            return false;
    return true;
}

static enum eg_step gated(struct eg_flow *f, enum eg_status status)
{
    const struct eg_way *way = eg_hops_way(f);
    if (status != EG_OK)
        return eg_refuse(f, status, true, NULL);
    if (way && f->up->count > 0)
        f->peer = f->up->addrs[0]; /* what was judged; the hop's own address never is */
    if (f->snapshot != f->engine->current && !eg_upstream_still_allowed(f))
        return eg_refuse(f, EG_HOST_DENIED, true, "a new policy came into force and denies it");
    return way ? to_first_hop(f, way) : connect_to(f);
}

static enum eg_step judge(struct eg_flow *f, const struct eg_addr *addrs, unsigned count)
{
    return gated(f, eg_gate_addresses(&f->engine->gate, f->ticket, addrs, count, f->up->addrs,
                                      &f->up->count));
}

enum eg_step eg_upstream_open(struct eg_flow *f)
{
    eg_upstream_drop(f);
    f->up = calloc(1, sizeof *f->up);
    if (!f->up)
        return eg_refuse(f, EG_NOMEM, true, NULL);
    if (f->ticket->to.literal)
        return judge(f, &f->ticket->to.addr, 1);
    if (!f->snapshot->settings->proxy_resolve_local && eg_hops_way(f))
        return gated(f, eg_gate_remote(&f->engine->gate, f->ticket));
    return ask(f, &f->ticket->to);
}

enum eg_step eg_resolve_step(struct eg_flow *f)
{
    struct eg_upstream *up = f->up;
    if (!up->answered)
        return EG_STEP_WAIT;
    if (up->answer.status != EG_OK && !up->hop_turn)
        return eg_refuse(f, up->answer.status, true, NULL);
    if (up->answer.status != EG_OK) {
        struct eg_err err = { 0 };
        return refuse_err(f, up->answer.status, &err);
    }
    if (!up->hop_turn)
        return judge(f, up->answer.addrs, up->answer.count);
    uint16_t port = eg_hops_way(f)->hop[0].at.port;
    for (unsigned i = 0; i < up->answer.count; i++)
        up->addrs[i] = (struct eg_sockaddr){ up->answer.addrs[i], port };
    up->count = up->answer.count;
    return connect_to(f);
}

/* The layers over the first one, which stands. */
static enum eg_status stack(struct eg_flow *f, struct eg_err *err)
{
    struct eg_way *way = eg_hops_way(f);
    struct eg_link links[EG_LINKS_MAX];
    if (!way)
        return EG_OK;
    return eg_hops_stack(f, way, links, plan(f, way, links), f->up->top, err);
}

static enum eg_step connect_to(struct eg_flow *f)
{
    struct eg_err err = { 0 };
    struct eg_engine *e = f->engine;
    enum eg_status status = e->dial ? e->dial(e->ctx, f->up->addrs, f->up->count, &f->origin.stream)
                                    : eg_stream_dial(f->up->addrs, f->up->count, &f->origin.stream);
    if (status == EG_OK)
        status = stack(f, &err);
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

/* EG_OK: the ssh gateway's channel came, and the layers over it stand. */
static enum eg_status take_channel(struct eg_flow *f, struct eg_err *err)
{
    enum eg_status status = eg_channel_take(f->up->channel, &f->origin.stream, err);
    if (status != EG_OK)
        return status;
    eg_channel_drop(f->up->channel);
    f->up->channel = NULL;
    return stack(f, err);
}

enum eg_step eg_connect_step(struct eg_flow *f)
{
    bool up;
    struct eg_err err = { 0 };
    if (f->up->channel) {
        enum eg_status status = take_channel(f, &err);
        if (status == EG_AGAIN)
            return EG_STEP_WAIT;
        if (status != EG_OK)
            return refuse_err(f, status, &err);
    }
    enum eg_step step = raise(f, &up);
    if (!up)
        return step;
    struct eg_stream *dial = eg_stream_find(f->origin.stream, "dial");
    if (!eg_hops_way(f) && (!dial || !eg_stream_dial_peer(dial, &f->peer)))
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
