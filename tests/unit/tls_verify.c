/* Who is let through and why not: each test here would pass a stranger if one line of verification went. The other side is a
 * real TLS server over memory. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "support/verify.h"

static struct eg_slice text(const char *s)
{
    return eg_slice_str(s);
}

static void trust(struct world *w, const char *pem)
{
    struct eg_tls_client_config config = { .ca_pem = { text(pem) } };
    struct eg_err err = { 0 };
    cr_assert_eq(eg_tls_client_ctx(&config, &w->client, &err), EG_OK, "%s", err.text);
}

struct row {
    const char *names[3]; /* of the certificate */
    const char *common_name;
    const char *asked;
    enum eg_status expected;
    bool unknown_ca, address_as_dns;
    int from, to;
};

static const struct row rows[] = {
    { .names = { "api.example.test" }, .asked = "api.example.test", .expected = EG_OK },
    { .names = { "a.test", "api.example.test" }, .asked = "api.example.test", .expected = EG_OK },
    { .names = { "API.Example.TEST" }, .asked = "api.example.test", .expected = EG_OK },
    { .names = { "*.example.test" }, .asked = "api.example.test", .expected = EG_OK },
    { .names = { "*.example.test" }, .asked = "a.b.example.test", .expected = EG_TLS_NAME },
    { .names = { "*.example.test" }, .asked = "example.test", .expected = EG_TLS_NAME },
    { .names = { "api.example.test" }, .asked = "www.example.test", .expected = EG_TLS_NAME },
    { .names = { "api.example.test" }, .asked = "example.test", .expected = EG_TLS_NAME },
    { .names = { "example.test" }, .asked = "api.example.test", .expected = EG_TLS_NAME },
    { .names = { "api.example.test.evil.test" },
      .asked = "api.example.test",
      .expected = EG_TLS_NAME },
    { .names = { "xapi.example.test" }, .asked = "api.example.test", .expected = EG_TLS_NAME },
    { .names = { "other.test" },
      .common_name = "api.example.test",
      .asked = "api.example.test",
      .expected = EG_TLS_NAME },
    { .names = { "a*.example.test" }, .asked = "api.example.test", .expected = EG_TLS_NAME },
    { .names = { "*pi.example.test" }, .asked = "api.example.test", .expected = EG_TLS_NAME },
    { .names = { "api.*.test" }, .asked = "api.example.test", .expected = EG_TLS_NAME },
    { .names = { "*.*.test" }, .asked = "api.example.test", .expected = EG_TLS_NAME },
    { .names = { "*.test" }, .asked = "example.test", .expected = EG_TLS_NAME },
    { .names = { "*" }, .asked = "localhost", .expected = EG_TLS_NAME },
    { .names = { "a*.example.test", "api.example.test" },
      .asked = "api.example.test",
      .expected = EG_OK },
    { .names = { "127.0.0.1" }, .asked = "127.0.0.1", .expected = EG_OK },
    { .names = { "127.0.0.1" }, .asked = "127.0.0.2", .expected = EG_TLS_NAME },
    { .names = { "2001:db8::1" }, .asked = "[2001:db8::1]", .expected = EG_OK },
    { .names = { "2001:db8::1" }, .asked = "[2001:db8::2]", .expected = EG_TLS_NAME },
    { .names = { "api.example.test", "127.0.0.1" }, .asked = "127.0.0.1", .expected = EG_OK },
    { .names = { "api.example.test", "127.0.0.1" },
      .asked = "api.example.test",
      .expected = EG_OK },
    { .names = { "127.0.0.1" },
      .asked = "127.0.0.1",
      .address_as_dns = true,
      .expected = EG_TLS_NAME },
    { .names = { "api.example.test" },
      .common_name = "127.0.0.1",
      .asked = "127.0.0.1",
      .expected = EG_TLS_NAME },
    { .names = { "127.0.0.1" }, .asked = "api.example.test", .expected = EG_TLS_NAME },
    { .names = { "api.example.test" },
      .asked = "api.example.test",
      .unknown_ca = true,
      .expected = EG_TLS_UNTRUSTED },
    { .names = { "127.0.0.1" },
      .asked = "127.0.0.1",
      .unknown_ca = true,
      .expected = EG_TLS_UNTRUSTED },
    { .names = { "api.example.test" },
      .asked = "api.example.test",
      .from = -30,
      .to = -1,
      .expected = EG_TLS_EXPIRED },
    { .names = { "api.example.test" },
      .asked = "api.example.test",
      .from = 2,
      .to = 30,
      .expected = EG_TLS_EXPIRED },
    { .names = { "www.test" },
      .asked = "api.test",
      .unknown_ca = true,
      .expected = EG_TLS_UNTRUSTED },
};

Test(tls, lets_through_whom_the_certificate_names_and_nobody_else)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        struct world w;
        begin(&w);
        struct pki_request request = { .names = row->names,
                                       .common_name = row->common_name,
                                       .address_as_dns = row->address_as_dns,
                                       .from_days = row->from,
                                       .to_days = row->to };
        serve(&w, row->unknown_ca ? w.other : w.ca, &request);
        trust(&w, pki_ca_pem(w.ca));
        struct duo_result r = meet(&w, row->asked);
        cr_expect_eq(r.a, row->expected, "row %zu: %s asked of %s: %s, not %s (%s)", i, row->asked,
                     row->names[0], egress_status_name(r.a), egress_status_name(row->expected),
                     r.a_err.text);
        if (row->expected == EG_OK) {
            cr_expect_eq(r.b, EG_OK, "row %zu", i);
        } else {
            cr_expect_eq(r.a_err.status, row->expected, "row %zu", i);
            cr_expect(r.a_err.text[0] && r.a_err.layer, "row %zu: no detail", i);
            char byte = 0;
            size_t done;
            cr_expect_neq(eg_stream_send(w.a, &byte, 1, &done, NULL), EG_OK,
                          "row %zu: bytes to a stranger", i);
        }
        end(&w);
    }
}

Test(tls, a_certificate_without_names_is_for_nobody)
{
    struct world w;
    begin(&w);
    serve(&w, w.ca, &(struct pki_request){ .common_name = "127.0.0.1" });
    trust(&w, pki_ca_pem(w.ca));
    cr_assert_eq(meet(&w, "127.0.0.1").a, EG_TLS_NAME);
    end(&w);
    begin(&w);
    serve(&w, w.ca, &(struct pki_request){ .common_name = "api.example.test" });
    trust(&w, pki_ca_pem(w.ca));
    cr_assert_eq(meet(&w, "api.example.test").a, EG_TLS_NAME,
                 "a common name is no name (RFC 9525)");
    end(&w);
}

Test(tls, a_clients_certificate_is_not_a_servers)
{
    struct world w;
    const char *names[] = { "api.example.test", NULL };
    begin(&w);
    serve(&w, w.ca, &(struct pki_request){ .names = names, .client = true });
    trust(&w, pki_ca_pem(w.ca));
    struct duo_result r = meet(&w, "api.example.test");
    cr_assert_eq(r.a, EG_TLS_UNTRUSTED, "%s %s", egress_status_name(r.a), r.a_err.text);
    end(&w);
}

Test(tls, refuses_patterns_as_names)
{
    struct world w;
    const char *names[] = { "*.example.test", NULL };
    struct eg_stream *a = NULL;
    struct eg_stream *b = NULL;
    struct eg_stream *s = NULL;
    begin(&w);
    serve(&w, w.ca, &(struct pki_request){ .names = names });
    trust(&w, pki_ca_pem(w.ca));
    cr_assert_eq(eg_stream_mem(100, &a, &b), EG_OK);
    struct eg_authority pattern = { .host = "*.example.test", .host_len = 14, .port = 443 };
    struct eg_authority empty = { .port = 443 };
    cr_assert_eq(eg_stream_tls(a, w.client, &pattern, EG_SLICE_NONE, &s, NULL), EG_INVALID);
    cr_assert_eq(eg_stream_tls(a, w.client, &empty, EG_SLICE_NONE, &s, NULL), EG_INVALID);
    eg_stream_free(a);
    eg_stream_free(b);
    end(&w);
}

/* ---- contexts ---- */

Test(tls, context_needs_an_anchor_that_it_can_read)
{
    struct world w;
    struct eg_err err = { 0 };
    begin(&w);
    struct eg_tls_client_config none = { .ca_pem = { EG_SLICE_NONE } };
    cr_assert_eq(eg_tls_client_ctx(&none, &w.client, &err), EG_INVALID);
    cr_assert(err.text[0]);
    struct eg_tls_client_config rubbish = {
        .ca_pem = { EG_SLICE("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n") }
    };
    cr_assert_eq(eg_tls_client_ctx(&rubbish, &w.client, NULL), EG_INVALID);
    cr_assert_null(w.client);
    end(&w);
}

Test(tls, context_skips_certificates_that_it_cannot_read)
{
    struct world w;
    char pem[20000];
    unsigned loaded;
    unsigned skipped;
    begin(&w);
    snprintf(
        pem, sizeof pem,
        "# a comment\n%s\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\nmore\n%s",
        pki_ca_pem(w.other), pki_ca_pem(w.ca));
    trust(&w, pem);
    eg_tls_ctx_cas(w.client, &loaded, &skipped);
    cr_assert_eq(loaded, 2);
    cr_assert_eq(skipped, 1);
    end(&w);
}

Test(tls, context_tells_which_pem_is_wrong)
{
    struct world w;
    struct pki_leaf one;
    struct pki_leaf two;
    const char *names[] = { "a.test", NULL };
    begin(&w);
    cr_assert(pki_issue(w.ca, &(struct pki_request){ .names = names }, &one));
    cr_assert(pki_issue(w.ca, &(struct pki_request){ .names = names }, &two));
    static const struct {
        int cert, key; /* 0 of one, 1 of two, 2 rubbish */
        const char *says;
    } cases[] = { { 2, 0, "certificate" },
                  { 0, 2, "private key" },
                  { 0, 1, "not the certificate's" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct eg_err err = { 0 };
        const char *rubbish = "rubbish";
        const char *certs[] = { one.cert_pem, two.cert_pem, rubbish };
        const char *keys[] = { one.key_pem, two.key_pem, rubbish };
        struct eg_tls_server_config config = { .cert_pem = text(certs[cases[i].cert]),
                                               .key_pem = text(keys[cases[i].key]) };
        cr_assert_eq(eg_tls_server_ctx(&config, &w.server, &err), EG_INVALID, "case %zu", i);
        cr_assert(strstr(err.text, cases[i].says), "case %zu: %s", i, err.text);
    }
    struct eg_tls_client_config half = { .ca_pem = { text(pki_ca_pem(w.ca)) },
                                         .cert_pem = text(one.cert_pem) };
    cr_assert_eq(eg_tls_client_ctx(&half, &w.client, NULL), EG_INVALID);
    end(&w);
}

/* ---- client certificates ---- */

struct mutual {
    bool require, show, by_other;
    enum eg_status server; /* what the server's handshake says */
};

static void mutual_tls(const struct mutual *m)
{
    struct world w;
    struct pki_leaf server;
    struct pki_leaf client;
    const char *names[] = { "api.example.test", NULL };
    begin(&w);
    cr_assert(pki_issue(w.ca, &(struct pki_request){ .names = names }, &server));
    cr_assert(pki_issue(m->by_other ? w.other : w.ca,
                        &(struct pki_request){ .common_name = "agent", .client = true }, &client));
    struct eg_tls_server_config sc = { .cert_pem = text(server.cert_pem),
                                       .key_pem = text(server.key_pem),
                                       .client_ca_pem = text(pki_ca_pem(w.ca)),
                                       .require_client = m->require };
    struct eg_tls_client_config cc = { .ca_pem = { text(pki_ca_pem(w.ca)) } };
    if (m->show) {
        cc.cert_pem = text(client.cert_pem);
        cc.key_pem = text(client.key_pem);
    }
    cr_assert_eq(eg_tls_server_ctx(&sc, &w.server, NULL), EG_OK);
    cr_assert_eq(eg_tls_client_ctx(&cc, &w.client, NULL), EG_OK);
    struct duo_result r = meet(&w, "api.example.test");
    cr_assert_eq(r.b, m->server, "%s %s", egress_status_name(r.b), r.b_err.text);
    if (m->server == EG_OK) {
        cr_assert_eq(duo_copy_both(w.a, w.b, 1000, 3), EG_OK);
    } else {
        char byte;
        size_t done;
        struct eg_err err = { 0 };
        cr_assert_eq(duo_recv(w.a, &byte, 1, &done, &err), EG_TLS_FAILED,
                     "TLS 1.3: the client learns it when it reads");
        cr_assert(strstr(err.text, "alert"), "%s", err.text);
    }
    end(&w);
}

Test(tls, client_certificates)
{
    static const struct mutual cases[] = {
        { .require = true, .show = true, .server = EG_OK },
        { .require = true, .show = false, .server = EG_TLS_FAILED },
        { .require = true, .show = true, .by_other = true, .server = EG_TLS_UNTRUSTED },
        { .require = false, .show = true, .server = EG_OK },
        { .require = false, .show = false, .server = EG_OK },
        { .require = false, .show = true, .by_other = true, .server = EG_TLS_UNTRUSTED },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        mutual_tls(&cases[i]);
}

Test(tls, requiring_client_certificates_needs_their_ca)
{
    struct world w;
    struct pki_leaf leaf;
    const char *names[] = { "a.test", NULL };
    begin(&w);
    cr_assert(pki_issue(w.ca, &(struct pki_request){ .names = names }, &leaf));
    struct eg_tls_server_config config = { .cert_pem = text(leaf.cert_pem),
                                           .key_pem = text(leaf.key_pem),
                                           .require_client = true };
    cr_assert_eq(eg_tls_server_ctx(&config, &w.server, NULL), EG_INVALID);
    end(&w);
}
