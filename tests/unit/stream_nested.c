/* The proof that layers stack: TLS to an origin inside HTTP CONNECT inside TLS to a proxy, with a layer between every two that
 * gives short reads, short writes and EG_AGAIN at random. Both servers run in this process, over memory. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream/stream.h"
#include "support/duo.h"
#include "support/flaky.h"
#include "support/pki.h"
#include "tls/context.h"

enum { PIPE = 8192, MOST = 3000 };

struct nest {
    struct pki_ca *ca;
    struct eg_tls_ctx *client_ctx, *proxy_ctx, *origin_ctx;
    struct eg_stream *client; /* the whole stack */
    struct eg_stream *server; /* the origin's end, once the proxy has answered */
    struct eg_stream *proxy;  /* before that: the proxy's end */
    char head[1024];
    size_t head_len;
    uint64_t seed;
    unsigned again;
};

static void flaky(struct nest *n, struct eg_stream **s)
{
    cr_assert_eq(flaky_stream(*s, n->seed++, n->again, MOST, s), EG_OK);
}

static struct eg_authority authority(const char *text)
{
    struct eg_authority a;
    cr_assert_eq(eg_authority_parse(eg_slice_str(text), 443, &a, NULL), EG_OK);
    return a;
}

static struct eg_tls_ctx *server_ctx(struct pki_ca *ca, const char *name)
{
    const char *names[] = { name, NULL };
    struct pki_leaf leaf;
    cr_assert(pki_issue(ca, &(struct pki_request){ .names = names }, &leaf));
    struct eg_tls_server_config config = { .cert_pem = eg_slice_str(leaf.cert_pem),
                                           .key_pem = eg_slice_str(leaf.key_pem) };
    struct eg_tls_ctx *ctx = NULL;
    struct eg_err err = { 0 };
    cr_assert_eq(eg_tls_server_ctx(&config, &ctx, &err), EG_OK, "%s", err.text);
    return ctx;
}

static void nest_init(struct nest *n, uint64_t seed, unsigned again)
{
    memset(n, 0, sizeof *n);
    n->seed = seed;
    n->again = again;
    cr_assert_eq(eg_tls_start(NULL), EG_OK);
    n->ca = pki_ca_new("nested test CA");
    cr_assert(n->ca);
    struct eg_tls_client_config config = { .ca_pem = { eg_slice_str(pki_ca_pem(n->ca)) } };
    cr_assert_eq(eg_tls_client_ctx(&config, &n->client_ctx, NULL), EG_OK);
    n->proxy_ctx = server_ctx(n->ca, "proxy.example.test");
    n->origin_ctx = server_ctx(n->ca, "origin.example.test");

    struct eg_authority proxy = authority("proxy.example.test:3128");
    struct eg_authority origin = authority("origin.example.test:443");
    struct eg_stream *a = NULL;
    struct eg_stream *b = NULL;
    cr_assert_eq(eg_stream_mem(PIPE, &a, &b), EG_OK);
    flaky(n, &a);
    cr_assert_eq(eg_stream_tls(a, n->client_ctx, &proxy, EG_SLICE_NONE, &a, NULL), EG_OK);
    flaky(n, &a);
    cr_assert_eq(eg_stream_http_connect(a, &origin, NULL, &a), EG_OK);
    flaky(n, &a);
    cr_assert_eq(eg_stream_tls(a, n->client_ctx, &origin, EG_SLICE_NONE, &a, NULL), EG_OK);
    n->client = a;
    flaky(n, &b);
    cr_assert_eq(eg_stream_tls_server(b, n->proxy_ctx, &b, NULL), EG_OK);
    n->proxy = b;
}

static void nest_done(struct nest *n)
{
    eg_stream_free(n->client);
    eg_stream_free(n->server);
    eg_stream_free(n->proxy);
    eg_tls_ctx_unref(n->client_ctx);
    eg_tls_ctx_unref(n->proxy_ctx);
    eg_tls_ctx_unref(n->origin_ctx);
    pki_ca_free(n->ca);
    eg_tls_stop();
}

/* The proxy: reads the head of CONNECT byte by byte, answers, and becomes the way to the origin. */
static void proxy_step(struct nest *n)
{
    struct eg_err err = { 0 };
    enum eg_status r = eg_stream_connect(n->proxy, &err);
    cr_assert(r == EG_OK || r == EG_AGAIN, "proxy: %s", err.text);
    while (r == EG_OK) {
        size_t done = 0;
        r = eg_stream_recv(n->proxy, n->head + n->head_len, 1, &done, &err);
        cr_assert(r == EG_OK || r == EG_AGAIN, "proxy: %s", err.text);
        if (r != EG_OK)
            return;
        n->head_len += done;
        cr_assert_lt(n->head_len, sizeof n->head);
        if (n->head_len >= 4 && memcmp(n->head + n->head_len - 4, "\r\n\r\n", 4) == 0)
            break;
    }
    if (r != EG_OK)
        return;
    static const char answer[] = "HTTP/1.1 200 Connection established\r\nX-Some: thing\r\n\r\n";
    cr_assert_eq(duo_put(n->proxy, answer, sizeof answer - 1), EG_OK);
    n->server = n->proxy;
    n->proxy = NULL;
    flaky(n, &n->server);
    cr_assert_eq(eg_stream_tls_server(n->server, n->origin_ctx, &n->server, NULL), EG_OK);
}

static void nest_connect(struct nest *n)
{
    enum eg_status a = EG_AGAIN;
    for (int i = 0; i < 100000 && !n->server; i++) {
        struct eg_err err = { 0 };
        a = eg_stream_connect(n->client, &err);
        cr_assert_eq(a, EG_AGAIN, "client: %s %s", egress_status_name(a), err.text);
        proxy_step(n);
    }
    cr_assert(n->server, "the proxy was never asked");
    n->head[n->head_len] = '\0';
    cr_assert_str_eq(
        n->head,
        "CONNECT origin.example.test:443 HTTP/1.1\r\nHost: origin.example.test:443\r\n\r\n");
    struct duo_result r = duo_connect(n->client, n->server);
    cr_assert_eq(r.a, EG_OK, "client: %s %s", egress_status_name(r.a), r.a_err.text);
    cr_assert_eq(r.b, EG_OK, "origin: %s %s", egress_status_name(r.b), r.b_err.text);
}

Test(stream, tls_inside_tls_carries_data_both_ways)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct nest n;
        nest_init(&n, seed * 1000, seed == 1 ? 0 : (unsigned)seed * 12);
        nest_connect(&n);
        cr_assert_eq(duo_copy_both(n.client, n.server, 300000, (uint32_t)seed), EG_OK, "seed %d",
                     (int)seed);
        cr_assert_eq(eg_stream_raw_fd(n.client), -1);
        cr_assert(eg_stream_find(n.client, "http_connect"));
        nest_done(&n);
    }
}

Test(stream, tls_inside_tls_half_closes)
{
    struct nest n;
    nest_init(&n, 77, 30);
    nest_connect(&n);
    cr_assert_eq(duo_copy(n.client, n.server, 50000, 5), EG_OK);
    cr_assert_eq(duo_shut(n.client, n.server), EG_EOF);
    cr_assert_eq(duo_copy(n.server, n.client, 120000, 6), EG_OK, "the other direction stays open");
    cr_assert_eq(duo_shut(n.server, n.client), EG_EOF);
    size_t done;
    char byte;
    cr_assert_eq(eg_stream_recv(n.client, &byte, 1, &done, NULL), EG_EOF, "the end is remembered");
    nest_done(&n);
}

Test(stream, tls_inside_tls_shows_truncation)
{
    struct nest n;
    nest_init(&n, 99, 20);
    nest_connect(&n);
    cr_assert_eq(duo_copy(n.server, n.client, 1000, 9), EG_OK);
    eg_stream_free(n.server); /* no close_notify of either session */
    n.server = NULL;
    char byte;
    size_t done;
    struct eg_err err = { 0 };
    cr_assert_eq(duo_recv(n.client, &byte, 1, &done, &err), EG_RESPONSE_TRUNCATED);
    cr_assert_eq(err.status, EG_RESPONSE_TRUNCATED);
    nest_done(&n);
}

/* The proxy ends its TLS in order, but the origin's inside it was cut: still truncated. */
Test(stream, an_orderly_outer_end_does_not_hide_inner_truncation)
{
    struct nest n;
    nest_init(&n, 123, 0);
    nest_connect(&n);
    struct eg_stream *outer = eg_stream_find(n.server->below, "tls");
    cr_assert(outer);
    cr_assert_eq(eg_stream_shut(outer, NULL), EG_OK);
    char byte;
    size_t done;
    cr_assert_eq(duo_recv(n.client, &byte, 1, &done, NULL), EG_RESPONSE_TRUNCATED);
    nest_done(&n);
}
