/* verify.h - a TLS server over memory, a client that may or may not believe it, and two CAs. For tests of who is let through. */
#ifndef EG_TESTS_SUPPORT_VERIFY_H
#define EG_TESTS_SUPPORT_VERIFY_H

#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

#include "stream/stream.h"
#include "support/duo.h"
#include "support/pki.h"
#include "tls/context.h"
#include "tls/session.h"

struct world {
    struct pki_ca *ca, *other;
    struct eg_tls_ctx *client, *server;
    struct eg_stream *a, *b;
    struct pki_leaf leaf; /* the server's */
};

static inline void begin(struct world *w)
{
    memset(w, 0, sizeof *w);
    cr_assert(sodium_init() >= 0 && eg_tls_start(NULL) == EG_OK);
    w->ca = pki_ca_new("trusted CA");
    w->other = pki_ca_new("other CA");
    cr_assert(w->ca && w->other);
}

static inline void end(struct world *w)
{
    eg_stream_free(w->a);
    eg_stream_free(w->b);
    eg_tls_ctx_unref(w->client);
    eg_tls_ctx_unref(w->server);
    pki_ca_free(w->ca);
    pki_ca_free(w->other);
    eg_tls_stop();
}

static inline void serve(struct world *w, struct pki_ca *by, const struct pki_request *request)
{
    struct eg_err err = { 0 };
    cr_assert(pki_issue(by, request, &w->leaf));
    struct eg_tls_server_config config = { .cert_pem = eg_slice_str(w->leaf.cert_pem),
                                           .key_pem = eg_slice_str(w->leaf.key_pem) };
    cr_assert_eq(eg_tls_server_ctx(&config, &w->server, &err), EG_OK, "%s", err.text);
}

static inline struct duo_result meet(struct world *w, const char *host)
{
    struct eg_authority name;
    struct eg_stream *a = NULL;
    struct eg_stream *b = NULL;
    cr_assert_eq(eg_host_parse(eg_slice_str(host), &name, NULL), EG_OK, "%s", host);
    cr_assert_eq(eg_stream_mem(20000, &a, &b), EG_OK);
    cr_assert_eq(eg_stream_tls(a, w->client, &name, EG_SLICE_NONE, &w->a, NULL), EG_OK);
    cr_assert_eq(eg_stream_tls_server(b, w->server, &w->b, NULL), EG_OK);
    return duo_connect(w->a, w->b);
}

#endif
