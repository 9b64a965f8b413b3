/* snapshot.c - builds a snapshot of a compiled policy and keeps it while a flow uses it.
 *
 * Whatever the policy names for TLS is loaded when the snapshot is made, so that a file that
 * can't be read fails start and reload alike (invariant 7); only the system's bundle waits for
 * its first use. */
#include "proxy/snapshot.h"

#include <stdlib.h>

static enum eg_status open_dns(struct eg_snapshot *s, struct eg_loop *loop,
                               const struct eg_facts *facts, struct eg_err *err)
{
    const struct eg_settings *set = s->settings;
    struct eg_dns_config config = {
        .servers = set->dns_count ? set->dns_servers : facts->dns_servers,
        .server_count = set->dns_count ? set->dns_count : facts->dns_count,
        .hosts_text = facts->hosts_text,
        .timeout_ms = (uint32_t)s->limits->dns_timeout,
        .channels = 4,
        .second_family_ms = 50,
    };
    return eg_dns_new(loop, &config, &s->dns, err);
}

/* A context that trusts what the policy names; with the system's bundle only when it is wanted
 * and asked for. */
static enum eg_status client_context(const struct eg_snapshot *s, const struct eg_service *service,
                                     bool system, struct eg_tls_ctx **ret, struct eg_err *err)
{
    struct eg_tls_client_config config = { .ca_pem = { s->settings->ca_pem } };
    if (service) {
        config.ca_pem[1] = service->ca_pem;
        config.cert_pem = service->client_cert_pem;
        config.key_pem = service->client_key_pem;
        config.pin_count = service->pin_count;
        for (unsigned i = 0; i < service->pin_count; i++)
            config.pins[i] = service->pins[i];
    }
    if (service && service->pin_count > 0 && service->ca_pem.n == 0)
        config.ca_pem[0] = EG_SLICE_NONE; /* the pinned key alone is trusted */
    else if (system && s->settings->ca_system && !(service && service->ca_pem.n > 0))
        config.ca_pem[2] = s->system_ca_pem;
    return eg_tls_client_ctx(&config, ret, err);
}

static enum eg_status load_services(struct eg_snapshot *s, struct eg_err *err)
{
    s->service_count = eg_policy_service_count(s->policy);
    s->service_tls = calloc(s->service_count + 1, sizeof(struct eg_tls_ctx *));
    s->services = calloc(s->service_count + 1, sizeof *s->services);
    if (!s->service_tls || !s->services)
        return EG_NOMEM;
    for (unsigned i = 0; i < s->service_count; i++) {
        struct eg_service *service = &s->services[i];
        eg_policy_service(s->policy, i, service);
        if (service->ca_pem.n == 0 && service->client_cert_pem.n == 0 && service->pin_count == 0)
            continue;
        enum eg_status status = client_context(s, service, true, &s->service_tls[i], err);
        if (status != EG_OK)
            return status;
    }
    return EG_OK;
}

/* ---- ways out ---- */

static bool same_pem(struct eg_slice a, struct eg_slice b)
{
    return a.n == b.n && (a.n == 0 || a.p == b.p);
}

/* A context that was made for the same files: both chains are usually one. */
static struct eg_tls_ctx *made_before(const struct eg_snapshot *s, const struct eg_hop *hop)
{
    for (unsigned c = 0; c < 2; c++)
        for (unsigned i = 0; i < s->ways[c].count; i++) {
            const struct eg_hop *other = &s->ways[c].hop[i];
            if (s->ways[c].tls[i] && same_pem(hop->ca_pem, other->ca_pem) &&
                same_pem(hop->cert_pem, other->cert_pem) && same_pem(hop->key_pem, other->key_pem))
                return s->ways[c].tls[i];
        }
    return NULL;
}

/* A hop is trusted for its own CA, or else for the system's: what origins are verified with
 * (tls.ca) never vouches for it. */
enum eg_status eg_snapshot_hop_tls(struct eg_snapshot *s, struct eg_way *way, unsigned i,
                                   struct eg_tls_ctx **ret, struct eg_err *err)
{
    const struct eg_hop *hop = &way->hop[i];
    struct eg_tls_client_config config = {
        .ca_pem = { hop->ca_pem.n > 0 ? hop->ca_pem : s->system_ca_pem },
        .cert_pem = hop->cert_pem,
        .key_pem = hop->key_pem,
    };
    if (!way->tls[i]) {
        way->tls[i] = made_before(s, hop);
        if (way->tls[i])
            eg_tls_ctx_ref(way->tls[i]);
    }
    enum eg_status status = way->tls[i] ? EG_OK : eg_tls_client_ctx(&config, &way->tls[i], err);
    if (status == EG_OK)
        *ret = way->tls[i];
    return status;
}

static enum eg_status open_ways(struct eg_snapshot *s, struct eg_err *err)
{
    for (unsigned c = 0; c < 2; c++) {
        struct eg_way *way = &s->ways[c];
        way->count = eg_policy_hops(s->policy, (enum eg_chain)c, way->hop);
        for (unsigned i = 0; i < way->count; i++) {
            struct eg_tls_ctx *unused;
            struct eg_err why = { 0 };
            if (!way->hop[i].tls || (way->hop[i].ca_pem.n == 0 && way->hop[i].cert_pem.n == 0))
                continue;
            enum eg_status status = eg_snapshot_hop_tls(s, way, i, &unused, &why);
            if (status != EG_OK)
                return eg_err_set(err, status, "tls", 0, "%.*s: %s", (int)way->hop[i].text.n,
                                  way->hop[i].text.p, why.text);
        }
    }
    return EG_OK;
}

enum eg_status eg_snapshot_new(struct eg_loop *loop, const void *block, size_t n,
                               const struct eg_facts *facts, void (*release)(void *ctx), void *ctx,
                               struct eg_snapshot **ret, struct eg_err *err)
{
    enum eg_status status = EG_NOMEM;
    struct eg_snapshot *s = calloc(1, sizeof *s);
    if (!s) {
        release(ctx);
        return status;
    }
    s->refs = 1;
    s->release = release;
    s->ctx = ctx;
    status = eg_policy_open(block, n, &s->policy, err);
    if (status != EG_OK)
        goto fail;
    s->limits = eg_policy_limits(s->policy);
    s->settings = eg_policy_settings(s->policy);
    s->system_ca_pem = facts->system_ca_pem;
    status = open_dns(s, loop, facts, err);
    if (status == EG_OK)
        status = load_services(s, err);
    if (status == EG_OK)
        status = open_ways(s, err);
    if (status == EG_OK && s->settings->ca_pem.n > 0)
        status = client_context(s, NULL, !s->settings->ca_system, &s->origin_tls, err);
    if (status != EG_OK)
        goto fail;
    if (s->settings->ca_system) {
        /* that was only the check of tls.ca; the whole one is made at first use */
        eg_tls_ctx_unref(s->origin_tls);
        s->origin_tls = NULL;
    }
    *ret = s;
    return EG_OK;
fail:
    eg_snapshot_unref(s);
    return status;
}

struct eg_snapshot *eg_snapshot_ref(struct eg_snapshot *s)
{
    s->refs++;
    return s;
}

void eg_snapshot_unref(struct eg_snapshot *s)
{
    if (!s || --s->refs > 0)
        return;
    for (unsigned i = 0; s->service_tls && i < s->service_count; i++)
        eg_tls_ctx_unref(s->service_tls[i]);
    free(s->service_tls);
    free(s->services);
    for (unsigned i = 0; i < 2 * EG_HOPS_MAX; i++)
        eg_tls_ctx_unref(s->ways[i / EG_HOPS_MAX].tls[i % EG_HOPS_MAX]);
    eg_tls_ctx_unref(s->origin_tls);
    eg_dns_free(s->dns);
    eg_policy_close(s->policy);
    s->release(s->ctx);
    free(s);
}

enum eg_status eg_snapshot_tls(struct eg_snapshot *s, unsigned service, struct eg_tls_ctx **ret,
                               struct eg_err *err)
{
    if (service < s->service_count && s->service_tls[service]) {
        *ret = s->service_tls[service];
        return EG_OK;
    }
    if (!s->origin_tls) {
        enum eg_status status = client_context(s, NULL, true, &s->origin_tls, err);
        if (status != EG_OK)
            return status;
    }
    *ret = s->origin_tls;
    return EG_OK;
}
