/* Pinned keys: alone in the place of a chain, and beside one. Each row would let a stranger in if one line went. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "support/verify.h"

/* What `openssl x509 -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64` prints: a P-256 key's
 * SubjectPublicKeyInfo is 91 bytes of a known beginning (RFC 5480). */
static void pin_of(const struct pki_leaf *leaf, char out[80])
{
    static const unsigned char info[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                          0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                          0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04 };
    static const char mark[] = "-----BEGIN CERTIFICATE-----";
    unsigned char der[4096], hash[32];
    char text[64];
    size_t n = 0;
    const char *from = strstr(leaf->cert_pem, mark);
    cr_assert_not_null(from);
    from += sizeof mark - 1;
    cr_assert_eq(sodium_base642bin(der, sizeof der, from, strcspn(from, "-"), "\r\n", &n, NULL,
                                   sodium_base64_VARIANT_ORIGINAL),
                 0);
    const unsigned char *at = memmem(der, n, info, sizeof info);
    cr_assert(at && at + 91 <= der + n);
    crypto_hash_sha256(hash, at, 91);
    sodium_bin2base64(text, sizeof text, hash, sizeof hash, sodium_base64_VARIANT_ORIGINAL);
    snprintf(out, 80, "sha256/%s", text);
}

static void serve_days(struct world *w, struct pki_ca *by, int from, int to)
{
    const char *names[] = { "api.example.test", NULL };
    const struct pki_request request = { .names = names, .from_days = from, .to_days = to };
    serve(w, by, &request);
}

struct row {
    bool ca;        /* the client has a CA beside the pin */
    bool by_other;  /* the server's is of another */
    bool wrong_pin; /* the pin is another key's, and */
    bool second;    /* the right one follows it */
    const char *asked;
    int from, to;
    enum eg_status expected;
};

static const struct row rows[] = {
    { .expected = EG_OK },
    { .by_other = true, .expected = EG_OK },
    { .ca = true, .expected = EG_OK },
    { .ca = true, .by_other = true, .expected = EG_TLS_UNTRUSTED },
    { .wrong_pin = true, .expected = EG_TLS_UNTRUSTED },
    { .wrong_pin = true, .second = true, .expected = EG_OK },
    { .ca = true, .wrong_pin = true, .expected = EG_TLS_UNTRUSTED },
    { .ca = true, .wrong_pin = true, .second = true, .expected = EG_OK },
    { .asked = "www.example.test", .expected = EG_TLS_NAME },
    { .ca = true, .asked = "www.example.test", .expected = EG_TLS_NAME },
    { .from = -30, .to = -1, .expected = EG_TLS_EXPIRED },
    { .from = 2, .to = 30, .expected = EG_TLS_EXPIRED },
    { .ca = true, .from = -30, .to = -1, .expected = EG_TLS_EXPIRED },
};

static void trust(struct world *w, const struct row *row)
{
    struct pki_leaf stranger;
    struct eg_err err = { 0 };
    char pin[80], wrong[80];
    cr_assert(pki_issue(w->ca, &(struct pki_request){ .common_name = "x" }, &stranger));
    pin_of(&w->leaf, pin);
    pin_of(&stranger, wrong);
    struct eg_tls_client_config config = { .pin_count = 1 };
    config.pins[0] = eg_slice_str(row->wrong_pin ? wrong : pin);
    if (row->second)
        config.pins[config.pin_count++] = eg_slice_from(eg_slice_str(pin), 7); /* without sha256/ */
    if (row->ca)
        config.ca_pem[0] = eg_slice_str(pki_ca_pem(w->ca));
    cr_assert_eq(eg_tls_client_ctx(&config, &w->client, &err), EG_OK, "%s", err.text);
}

Test(tls, a_pinned_key_alone_or_beside_a_chain)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        struct world w;
        begin(&w);
        serve_days(&w, row->by_other ? w.other : w.ca, row->from, row->to);
        trust(&w, row);
        struct duo_result r = meet(&w, row->asked ? row->asked : "api.example.test");
        cr_expect_eq(r.a, row->expected, "row %zu: %s, not %s (%s)", i, egress_status_name(r.a),
                     egress_status_name(row->expected), r.a_err.text);
        if (row->expected == EG_OK)
            cr_expect_eq(duo_copy_both(w.a, w.b, 40000, 3), EG_OK, "row %zu", i);
        else
            cr_expect(r.a_err.text[0], "row %zu: no detail", i);
        end(&w);
    }
}

/* In TLS 1.3 a server may be shown our certificate before wolfSSL has told us that the handshake is done. */
Test(tls, a_server_without_the_pinned_key_is_shown_no_certificate_of_ours)
{
    struct world w;
    struct pki_leaf own, stranger;
    char pin[80];
    begin(&w);
    const char *names[] = { "api.example.test", NULL };
    cr_assert(pki_issue(w.ca, &(struct pki_request){ .names = names }, &w.leaf));
    cr_assert(pki_issue(w.ca, &(struct pki_request){ .common_name = "x", .client = true }, &own));
    cr_assert(pki_issue(w.ca, &(struct pki_request){ .common_name = "x" }, &stranger));
    pin_of(&stranger, pin);
    struct eg_tls_server_config sc = { .cert_pem = eg_slice_str(w.leaf.cert_pem),
                                       .key_pem = eg_slice_str(w.leaf.key_pem),
                                       .client_ca_pem = eg_slice_str(pki_ca_pem(w.ca)),
                                       .require_client = true };
    struct eg_tls_client_config cc = { .pins = { eg_slice_str(pin) },
                                       .pin_count = 1,
                                       .cert_pem = eg_slice_str(own.cert_pem),
                                       .key_pem = eg_slice_str(own.key_pem) };
    cr_assert_eq(eg_tls_server_ctx(&sc, &w.server, NULL), EG_OK);
    cr_assert_eq(eg_tls_client_ctx(&cc, &w.client, NULL), EG_OK);
    struct duo_result r = meet(&w, "api.example.test");
    cr_assert_eq(r.a, EG_TLS_UNTRUSTED, "%s %s", egress_status_name(r.a), r.a_err.text);
    cr_assert_neq(r.b, EG_OK, "the server was shown who we are");
    end(&w);
}

Test(tls, pins_that_are_none_are_refused)
{
    static const char *const bad[] = {
        "",
        "sha256/",
        "sha256/AAAA",
        "sha1/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
        "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= ",
        "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    };
    struct world w;
    begin(&w);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct eg_err err = { 0 };
        struct eg_tls_client_config c = { .pins = { eg_slice_str(bad[i]) }, .pin_count = 1 };
        cr_expect_eq(eg_tls_client_ctx(&c, &w.client, &err), EG_INVALID, "%s", bad[i]);
        cr_expect(err.text[0]);
    }
    struct eg_tls_client_config many = { .pin_count = EG_TLS_PINS + 1 };
    cr_assert_eq(eg_tls_client_ctx(&many, &w.client, NULL), EG_INVALID);
    /* a bundle that can't be read is not the same as none */
    struct eg_tls_client_config rubbish = {
        .ca_pem = { EG_SLICE("rubbish") },
        .pins = { EG_SLICE("sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=") },
        .pin_count = 1
    };
    cr_assert_eq(eg_tls_client_ctx(&rubbish, &w.client, NULL), EG_INVALID);
    end(&w);
}
