/* Client certificates: who may come in, what the server's audit is told of those who may not, and the names of those who did.
 * Both ends are ours, over memory, so this is mutual TLS of a listener and of a hop alike. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "stream/stream.h"
#include "support/duo.h"
#include "support/flaky.h"
#include "support/pki.h"
#include "tls/context.h"

struct world {
    struct pki_ca *servers, *clients, *other;
    struct eg_tls_ctx *client, *server;
    struct eg_stream *a, *b;
};

static void begin(struct world *w)
{
    memset(w, 0, sizeof *w);
    cr_assert_eq(eg_tls_start(NULL), EG_OK);
    w->servers = pki_ca_new("CA of servers");
    w->clients = pki_ca_new("CA of clients");
    w->other = pki_ca_new("CA of others");
    cr_assert(w->servers && w->clients && w->other);
}

static void end(struct world *w)
{
    eg_stream_free(w->a);
    eg_stream_free(w->b);
    eg_tls_ctx_unref(w->client);
    eg_tls_ctx_unref(w->server);
    pki_ca_free(w->servers);
    pki_ca_free(w->clients);
    pki_ca_free(w->other);
    eg_tls_stop();
}

static void serve(struct world *w, const struct eg_tls_server_config *like)
{
    const char *names[] = { "proxy.example.test", NULL };
    struct pki_leaf leaf;
    struct eg_err err = { 0 };
    struct eg_tls_server_config config = *like;
    cr_assert(pki_issue(w->servers, &(struct pki_request){ .names = names }, &leaf));
    config.cert_pem = eg_slice_str(leaf.cert_pem);
    config.key_pem = eg_slice_str(leaf.key_pem);
    cr_assert_eq(eg_tls_server_ctx(&config, &w->server, &err), EG_OK, "%s", err.text);
}

/* by NULL: without a certificate. */
static void come(struct world *w, struct pki_ca *by, const struct pki_request *request)
{
    struct pki_leaf leaf;
    struct eg_err err = { 0 };
    struct eg_tls_client_config config = { .ca_pem = { eg_slice_str(pki_ca_pem(w->servers)) } };
    if (by) {
        cr_assert(pki_issue(by, request, &leaf));
        config.cert_pem = eg_slice_str(leaf.cert_pem);
        config.key_pem = eg_slice_str(leaf.key_pem);
    }
    cr_assert_eq(eg_tls_client_ctx(&config, &w->client, &err), EG_OK, "%s", err.text);
}

static struct duo_result meet(struct world *w, const char *host, struct eg_slice ticket)
{
    struct eg_authority name;
    struct eg_stream *a = NULL;
    struct eg_stream *b = NULL;
    eg_stream_free(w->a);
    eg_stream_free(w->b);
    w->a = w->b = NULL;
    cr_assert_eq(eg_host_parse(eg_slice_str(host), &name, NULL), EG_OK, "%s", host);
    cr_assert_eq(eg_stream_mem(20000, &a, &b), EG_OK);
    cr_assert_eq(flaky_stream(a, 5, 30, 900, &a), EG_OK);
    cr_assert_eq(eg_stream_tls(a, w->client, &name, ticket, &w->a, NULL), EG_OK);
    cr_assert_eq(eg_stream_tls_server(b, w->server, &w->b, NULL), EG_OK);
    return duo_connect(w->a, w->b);
}

enum who { NOBODY, OURS, STRANGER, EXPIRED, EARLY, A_SERVER };

static void come_as(struct world *w, enum who who)
{
    static const char *const names[] = { "agent.example.test", NULL };
    struct pki_request q = { .names = names, .client = who != A_SERVER };
    if (who == EXPIRED) {
        q.from_days = -30;
        q.to_days = -1;
    } else if (who == EARLY) {
        q.from_days = 2;
        q.to_days = 30;
    }
    struct pki_ca *by = who == STRANGER ? w->other : w->clients;
    come(w, who == NOBODY ? NULL : by, &q);
}

struct row {
    enum who who;
    bool require;
    enum eg_status expected; /* of the server */
    const char *says;
};

static const struct row rows[] = {
    { OURS, true, EG_OK, "" },
    { OURS, false, EG_OK, "" },
    { NOBODY, false, EG_OK, "" },
    { NOBODY, true, EG_TLS_FAILED, "the client showed no certificate" },
    { STRANGER, true, EG_TLS_UNTRUSTED, "the client's certificate is not signed" },
    { STRANGER, false, EG_TLS_UNTRUSTED, "the client's certificate is not signed" },
    { EXPIRED, true, EG_TLS_EXPIRED, "the client's certificate has expired" },
    { EXPIRED, false, EG_TLS_EXPIRED, "the client's certificate has expired" },
    { EARLY, true, EG_TLS_EXPIRED, "the client's certificate is not valid yet" },
    { A_SERVER, true, EG_TLS_UNTRUSTED, "not valid for this use" },
    { A_SERVER, false, EG_TLS_UNTRUSTED, "not valid for this use" },
};

static bool take_any(void *ctx, struct eg_slice san)
{
    (void)ctx;
    (void)san;
    return true;
}

static void check_row(const struct row *row, bool only_tls12, size_t i)
{
    struct world w;
    char byte = 0;
    size_t done = 0;
    begin(&w);
    serve(&w, &(struct eg_tls_server_config){ .client_ca_pem = eg_slice_str(pki_ca_pem(w.clients)),
                                              .require_client = row->require,
                                              .only_tls12 = only_tls12 });
    come_as(&w, row->who);
    struct duo_result r = meet(&w, "proxy.example.test", EG_SLICE_NONE);
    cr_expect_eq(r.b, row->expected, "row %zu: %s %s", i, egress_status_name(r.b), r.b_err.text);
    if (row->expected == EG_OK) {
        cr_expect_eq(r.a, EG_OK, "row %zu", i);
        cr_expect_eq(duo_copy_both(w.a, w.b, 3000, 3), EG_OK, "row %zu", i);
    } else {
        cr_expect_eq(r.b_err.status, row->expected, "row %zu", i);
        cr_expect(strstr(r.b_err.text, row->says), "row %zu: %s", i, r.b_err.text);
        cr_expect_neq(eg_stream_send(w.b, "x", 1, &done, NULL), EG_OK, "row %zu", i);
        cr_expect_not(eg_stream_tls_peer_sans(w.b, take_any, NULL), "row %zu", i);
        eg_stream_free(w.b);
        w.b = NULL;
        /* TLS 1.3: the client learns it when it reads. */
        enum eg_status heard = r.a == EG_OK      ? duo_recv(w.a, &byte, 1, &done, NULL)
                               : r.a == EG_AGAIN ? duo_connect(w.a, w.a).a
                                                 : r.a;
        cr_expect_eq(heard, EG_TLS_FAILED, "row %zu: %s", i, egress_status_name(heard));
    }
    bool named = w.b && eg_stream_tls_peer_sans(w.b, take_any, NULL);
    cr_expect_eq(named, row->who == OURS, "row %zu: a name only of who was verified", i);
    cr_expect_not(eg_stream_tls_peer_sans(w.a, take_any, NULL), "row %zu: not of a server", i);
    end(&w);
}

Test(tls, client_certificates_and_what_the_server_says_of_them)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check_row(&rows[i], false, i);
        check_row(&rows[i], true, i);
    }
}

Test(tls, a_hop_with_a_certificate_still_checks_the_name_of_its_proxy)
{
    struct world w;
    begin(&w);
    serve(&w, &(struct eg_tls_server_config){ .client_ca_pem = eg_slice_str(pki_ca_pem(w.clients)),
                                              .require_client = true });
    come_as(&w, OURS);
    struct duo_result r = meet(&w, "other.example.test", EG_SLICE_NONE);
    cr_assert_eq(r.a, EG_TLS_NAME, "%s %s", egress_status_name(r.a), r.a_err.text);
    cr_assert_eq(meet(&w, "proxy.example.test", EG_SLICE_NONE).a, EG_OK);
    end(&w);
}

Test(tls, the_ca_of_clients_does_not_vouch_for_the_server)
{
    struct world w;
    struct eg_err err = { 0 };
    begin(&w);
    serve(&w,
          &(struct eg_tls_server_config){ .client_ca_pem = eg_slice_str(pki_ca_pem(w.clients)) });
    struct eg_tls_client_config config = { .ca_pem = { eg_slice_str(pki_ca_pem(w.clients)) } };
    cr_assert_eq(eg_tls_client_ctx(&config, &w.client, &err), EG_OK, "%s", err.text);
    cr_assert_eq(meet(&w, "proxy.example.test", EG_SLICE_NONE).a, EG_TLS_UNTRUSTED);
    end(&w);
}

/* Found while built: a resumed handshake shows no certificate, so its client would have had no name. */
Test(tls, who_shows_a_certificate_is_not_resumed)
{
    for (int tls12 = 0; tls12 < 2; tls12++) {
        struct world w;
        unsigned char ticket[8192];
        size_t n = 0;
        begin(&w);
        serve(&w,
              &(struct eg_tls_server_config){ .client_ca_pem = eg_slice_str(pki_ca_pem(w.clients)),
                                              .require_client = true,
                                              .tickets = true,
                                              .only_tls12 = tls12 });
        come_as(&w, OURS);
        cr_assert_eq(meet(&w, "proxy.example.test", EG_SLICE_NONE).b, EG_OK);
        cr_assert_eq(duo_copy_both(w.a, w.b, 3000, 3), EG_OK);
        cr_assert_eq(eg_stream_tls_save(w.a, ticket, sizeof ticket, &n), EG_OK);
        cr_assert_eq(meet(&w, "proxy.example.test", eg_slice(ticket, n)).b, EG_OK);
        cr_assert_not(eg_stream_tls_resumed(w.a));
        cr_assert(eg_stream_tls_peer_sans(w.b, take_any, NULL));
        end(&w);
    }
}

/* ---- names ---- */

struct names {
    char all[4096];
    unsigned count;
    const char *stop_at;
};

static bool collect(void *ctx, struct eg_slice san)
{
    struct names *n = ctx;
    size_t len = strlen(n->all);
    snprintf(n->all + len, sizeof n->all - len, "<%.*s>", (int)san.n, san.p);
    n->count++;
    return n->stop_at && eg_slice_eq(san, eg_slice_str(n->stop_at));
}

static bool names_of(const char *const *sans, const char *common_name, struct names *n)
{
    struct world w;
    begin(&w);
    serve(&w, &(struct eg_tls_server_config){ .client_ca_pem = eg_slice_str(pki_ca_pem(w.clients)),
                                              .require_client = true });
    come(&w, w.clients,
         &(struct pki_request){ .names = sans, .common_name = common_name, .client = true });
    struct duo_result r = meet(&w, "proxy.example.test", EG_SLICE_NONE);
    cr_assert_eq(r.b, EG_OK, "%s %s", egress_status_name(r.b), r.b_err.text);
    cr_assert_eq(flaky_stream(w.b, 1, 0, 100, &w.b), EG_OK);
    bool taken = eg_stream_tls_peer_sans(w.b, collect, n); /* from above the tls layer, too */
    end(&w);
    return taken;
}

Test(tls, sans_are_told_as_text)
{
    static const char *const sans[] = { "Build.Example.TEST", "192.0.2.1",
                                        "2001:db8::1",        "spiffe://example.test/agent/One",
                                        "*.example.test",     NULL };
    static const char *const want[] = { "<build.example.test>", "<192.0.2.1>", "<2001:db8::1>",
                                        "<spiffe://example.test/agent/One>", "<*.example.test>" };
    struct names n = { .count = 0 };
    cr_assert_not(names_of(sans, "common", &n), "none was taken");
    cr_expect_eq(n.count, 5, "%s", n.all);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        cr_expect(strstr(n.all, want[i]), "%s is not in %s", want[i], n.all);
    for (size_t i = 0; sans[i]; i++) {
        struct names one = { .stop_at = i ? sans[i] : "build.example.test" };
        cr_expect(names_of(sans, NULL, &one), "%s", sans[i]);
        cr_expect(one.count <= 5 && eg_slice_eq(eg_slice(strrchr(one.all, '<') + 1,
                                                         strlen(strrchr(one.all, '<')) - 2),
                                                eg_slice_str(one.stop_at)),
                  "nothing is told after the one that was taken: %s", one.all);
    }
}

Test(tls, a_common_name_is_nobodys_name)
{
    struct names n = { .count = 0 };
    cr_assert_not(names_of(NULL, "agent.example.test", &n));
    cr_assert_eq(n.count, 0);
}

Test(tls, names_with_bytes_that_can_not_be_shown_are_left_out)
{
    static const char *const sans[] = { "a b.example.test",
                                        "a\x01"
                                        "b.test",
                                        "caf\xc3\xa9.test", "good.test", NULL };
    struct names n = { .count = 0 };
    cr_assert_not(names_of(sans, NULL, &n));
    cr_assert_str_eq(n.all, "<good.test>");
}

Test(tls, a_connection_without_a_certificate_or_without_tls_has_no_names)
{
    struct world w;
    struct eg_stream *a = NULL;
    struct eg_stream *b = NULL;
    begin(&w);
    serve(&w, &(struct eg_tls_server_config){ .tickets = false });
    come_as(&w, OURS); /* it would show one, but is not asked */
    cr_assert_eq(meet(&w, "proxy.example.test", EG_SLICE_NONE).b, EG_OK);
    cr_assert_not(eg_stream_tls_peer_sans(w.b, take_any, NULL));
    cr_assert_eq(eg_stream_mem(10, &a, &b), EG_OK);
    cr_assert_not(eg_stream_tls_peer_sans(a, take_any, NULL));
    eg_stream_free(a);
    eg_stream_free(b);
    end(&w);
}

/* ---- bytes that are no TLS ---- */

Test(tls, a_server_says_that_its_client_speaks_no_tls)
{
    static const struct {
        const char *said;
        size_t n;
    } said[] = { { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27 },
                 { "CONNECT a.test:443 HTTP/1.1\r\n\r\n", 31 },
                 { "\x05\x01\x00\x05\x01\x00\x03\x01"
                   "a\x01\xbb",
                   11 },
                 { "\x05\x01\x02", 3 }, /* less than the head of a record */
                 { "SSH-2.0-OpenSSH_9.2\r\n", 21 } };
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        struct world w;
        struct eg_stream *b = NULL;
        struct eg_err err = { 0 };
        enum eg_status r = EG_AGAIN;
        begin(&w);
        serve(&w, &(struct eg_tls_server_config){ .tickets = false });
        cr_assert_eq(eg_stream_mem(1000, &w.a, &b), EG_OK);
        cr_assert_eq(eg_stream_tls_server(b, w.server, &w.b, NULL), EG_OK);
        cr_assert_eq(duo_put(w.a, said[i].said, said[i].n), EG_OK);
        for (int k = 0; k < 10 && r == EG_AGAIN; k++)
            r = eg_stream_connect(w.b, &err);
        cr_expect_eq(r, EG_TLS_FAILED, "row %zu: %s", i, egress_status_name(r));
        cr_expect(strstr(err.text, "the client does not speak TLS"), "row %zu: %s", i, err.text);
        end(&w);
    }
}
