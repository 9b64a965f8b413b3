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
    }
    if (system && s->settings->ca_system && !(service && service->ca_pem.n > 0))
        config.ca_pem[2] = s->system_ca_pem;
    return eg_tls_client_ctx(&config, ret, err);
}

static enum eg_status load_service_tls(struct eg_snapshot *s, struct eg_err *err)
{
    s->service_count = eg_policy_service_count(s->policy);
    s->service_tls = calloc(s->service_count + 1, sizeof(struct eg_tls_ctx *));
    if (!s->service_tls)
        return EG_NOMEM;
    for (unsigned i = 0; i < s->service_count; i++) {
        struct eg_service service;
        eg_policy_service(s->policy, i, &service);
        if (service.ca_pem.n == 0 && service.client_cert_pem.n == 0)
            continue;
        enum eg_status status = client_context(s, &service, true, &s->service_tls[i], err);
        if (status != EG_OK)
            return status;
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
        status = load_service_tls(s, err);
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
