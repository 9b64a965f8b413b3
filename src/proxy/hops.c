/* hops.c - a chain of proxies as a list of layers: who is dialled, where TLS lies between, who is
 * asked for whom and what each is shown.
 *
 * Every hop is asked for the next one; only the last one learns the origin. A hop's credential is
 * lent by the gate, goes into that hop's layer alone and is wiped here at once. A hop's TLS trusts
 * what that hop's entry names, never what origins are verified with. */
#include "proxy/hops.h"

#include <stdio.h>

#include "proxy/exchange.h"

unsigned eg_hops_plan(const struct eg_hop *hops, unsigned count, bool absolute,
                      const struct eg_authority *ask, struct eg_link out[EG_LINKS_MAX])
{
    unsigned n = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct eg_hop *hop = &hops[i];
        bool last = i + 1 == count;
        const struct eg_authority *to = last ? ask : &hops[i + 1].at;
        if ((hop->kind == EG_HOP_SSH && i > 0) || (last && absolute && hop->kind != EG_HOP_HTTP))
            return 0;
        if (hop->kind == EG_HOP_SSH) {
            out[n++] = (struct eg_link){ EG_LINK_CHANNEL, i, to };
            continue;
        }
        if (i == 0)
            out[n++] = (struct eg_link){ EG_LINK_DIAL, i, &hop->at };
        if (hop->tls)
            out[n++] = (struct eg_link){ EG_LINK_TLS, i, NULL };
        if (!last || !absolute)
            out[n++] = (struct eg_link){ hop->kind == EG_HOP_HTTP ? EG_LINK_CONNECT : EG_LINK_SOCKS,
                                         i, to };
    }
    return n;
}

/* A service of plain http is plain http, whoever asks for it. */
struct eg_way *eg_hops_way(const struct eg_flow *f)
{
    bool plain = f->want == EG_WANT_FORWARD ||
                 (f->want == EG_WANT_ROUTE && f->exchange && !eg_exchange_service(f)->tls);
    struct eg_way *way = &f->snapshot->ways[plain ? EG_CHAIN_PLAIN : EG_CHAIN_SECURE];
    if (way->count == 0 || eg_policy_bypassed(f->snapshot->policy, &f->ticket->to))
        return NULL;
    return way;
}

char *eg_hops_say(const struct eg_way *way, unsigned i, const char *what, char *out, size_t cap)
{
    char place[40] = "";
    if (way->count > 1)
        snprintf(place, sizeof place, " (hop %u of %u)", i + 1, way->count);
    snprintf(out, cap, "%.*s%s: %s", (int)way->hop[i].text.n, way->hop[i].text.p, place, what);
    return out;
}

enum eg_status eg_hops_reason(enum eg_status status)
{
    switch (status) {
    case EG_IO:
    case EG_BAD_RESPONSE:
    case EG_RESPONSE_TRUNCATED:
        return EG_UPSTREAM_PROXY_FAILED;
    default:
        return egress_status_http(status) == 0 ? EG_UPSTREAM_PROXY_FAILED : status;
    }
}

/* ---- credentials ---- */

/* The failure with the hop's name before it. */
static enum eg_status name_hop(const struct eg_way *way, unsigned i, enum eg_status status,
                               const struct eg_err *why, struct eg_err *err)
{
    char text[sizeof why->text];
    eg_hops_say(way, i, why->text[0] ? why->text : egress_status_sentence(status), text,
                sizeof text);
    return eg_err_set(err, status, "hops", 0, "%s", text);
}

/* A value that can't be shown is one that can't be had. */
static enum eg_status unavailable(const struct eg_way *way, unsigned i, enum eg_status status,
                                  const struct eg_err *why, struct eg_err *err)
{
    if (status == EG_INVALID || status == EG_TOO_BIG)
        status = EG_CREDENTIAL_UNAVAILABLE;
    return name_hop(way, i, status, why, err);
}

static enum eg_status borrow(struct eg_flow *f, const struct eg_hop *hop,
                             const struct eg_secret **ret, struct eg_err *err)
{
    return eg_gate_proxy_credential(&f->engine->gate, f->ticket, hop->credential,
                                    eg_authority_host(&hop->at), ret, err);
}

enum eg_status eg_hops_check(struct eg_flow *f, const struct eg_way *way, struct eg_err *err)
{
    for (unsigned i = 0; i < way->count; i++) {
        const struct eg_secret *secret;
        struct eg_err why = { 0 };
        if (way->hop[i].credential.n == 0)
            continue;
        enum eg_status status = borrow(f, &way->hop[i], &secret, &why);
        if (status != EG_OK)
            return unavailable(way, i, status, &why, err);
    }
    return EG_OK;
}

enum eg_status eg_hops_secret(struct eg_flow *f, const struct eg_way *way, unsigned i,
                              struct eg_secret **ret, struct eg_err *err)
{
    const struct eg_hop *hop = &way->hop[i];
    const struct eg_secret *lent;
    struct eg_vault *vault = f->engine->vault;
    struct eg_err why = { 0 };
    *ret = NULL;
    if (hop->credential.n == 0)
        return EG_OK;
    enum eg_status status = borrow(f, hop, &lent, &why);
    if (status == EG_OK && hop->kind == EG_HOP_SOCKS5)
        status = eg_inject_login(vault, hop->user, lent, ret, &why);
    else if (status == EG_OK && hop->bearer)
        status = eg_inject_bearer(vault, lent, ret, &why);
    else if (status == EG_OK)
        status = eg_inject_basic(vault, hop->user, lent, ret, &why);
    return status == EG_OK ? EG_OK : unavailable(way, i, status, &why, err);
}

/* ---- layers ---- */

/* Its context was made with the snapshot, or trusts the system's certificates: those may be gone. */
static enum eg_status secure(struct eg_flow *f, struct eg_way *way, unsigned i,
                             struct eg_stream **over, struct eg_err *err)
{
    const struct eg_hop *hop = &way->hop[i];
    struct eg_authority name = hop->at;
    struct eg_tls_ctx *trust = NULL;
    struct eg_err why = { 0 };
    enum eg_status status = EG_OK;
    if (hop->server_name.n > 0)
        status = eg_host_parse(hop->server_name, &name, &why);
    if (status == EG_OK)
        status = eg_snapshot_hop_tls(f->snapshot, way, i, &trust, &why);
    if (status == EG_OK)
        status = eg_stream_tls(f->origin.stream, trust, &name, EG_SLICE_NONE, over, &why);
    if (status == EG_OK)
        return EG_OK;
    return name_hop(way, i, status == EG_NOMEM ? status : EG_TLS_FAILED, &why, err);
}

static enum eg_status ask(struct eg_flow *f, const struct eg_way *way, const struct eg_link *link,
                          struct eg_stream **over, struct eg_err *err)
{
    struct eg_secret *shown = NULL;
    struct eg_err why = { 0 };
    enum eg_status status = eg_hops_secret(f, way, link->hop, &shown, err);
    if (status != EG_OK)
        return status;
    if (link->kind == EG_LINK_SOCKS)
        status = eg_stream_socks5(f->origin.stream, link->to, shown, over);
    else
        status = eg_stream_http_connect(f->origin.stream, link->to, shown, over);
    eg_secret_free(shown);
    return status == EG_OK ? EG_OK : unavailable(way, link->hop, status, &why, err);
}

enum eg_status eg_hops_stack(struct eg_flow *f, struct eg_way *way, const struct eg_link *links,
                             unsigned count, const struct eg_stream *top[EG_HOPS_MAX],
                             struct eg_err *err)
{
    for (unsigned i = 0; i < way->count; i++)
        top[i] = f->origin.stream;
    for (unsigned k = 1; k < count; k++) {
        const struct eg_link *link = &links[k];
        struct eg_stream *over = NULL;
        enum eg_status status = link->kind == EG_LINK_TLS ? secure(f, way, link->hop, &over, err)
                                                          : ask(f, way, link, &over, err);
        if (status != EG_OK)
            return status;
        f->origin.stream = over;
        for (unsigned i = link->hop; i < way->count; i++)
            top[i] = over;
    }
    return EG_OK;
}
