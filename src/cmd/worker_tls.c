/* worker_tls.c - when a worker has AES-GCM hastened: with the first policy that uses TLS, so that a start without TLS does not
 * wait for it. The library was mapped before the worker was confined. It judges no policy. */
#include "cmd/worker.h"

#include "policy/policy.h"
#include "tls/aead.h"

static bool chain_has_tls(const struct eg_policy *p, enum eg_chain chain)
{
    struct eg_hop hops[EG_HOPS_MAX];
    unsigned n = eg_policy_hops(p, chain, hops);
    for (unsigned i = 0; i < n; i++)
        if (hops[i].tls)
            return true;
    return false;
}

static bool has_tls(const struct eg_policy *p)
{
    for (unsigned i = 0; i < eg_policy_service_count(p); i++) {
        struct eg_service service;
        eg_policy_service(p, i, &service);
        if (service.tls)
            return true;
    }
    for (unsigned i = 0; i < eg_policy_listen_count(p); i++) {
        struct eg_listen_spec listen;
        eg_policy_listen(p, i, &listen);
        if (listen.cert_pem.n > 0)
            return true;
    }
    return chain_has_tls(p, EG_CHAIN_SECURE) || chain_has_tls(p, EG_CHAIN_PLAIN);
}

enum eg_status eg_worker_hasten(const void *block, size_t n, bool *done, struct eg_err *err)
{
    struct eg_policy *p = NULL;
    if (*done || eg_policy_open(block, n, &p, NULL) != EG_OK)
        return EG_OK;
    *done = has_tls(p);
    eg_policy_close(p);
    return *done ? eg_tls_hasten(err) : EG_OK;
}
