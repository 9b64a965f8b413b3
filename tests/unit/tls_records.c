/* Several records in one read and in one write: nothing is lost, doubled or told too early. */
#include <criterion/criterion.h>

#include <string.h>

#include "stream/stream.h"
#include "support/duo.h"
#include "support/pki.h"
#include "tls/context.h"

struct world {
    struct pki_ca *ca;
    struct eg_tls_ctx *client, *server;
    struct eg_stream *a, *b;
};

/* Two connected ends of these contexts; nothing lies between them. */
static void join(struct world *w, struct eg_stream **client, struct eg_stream **server)
{
    struct eg_authority name;
    struct eg_stream *a = NULL, *b = NULL;
    char none;
    size_t done;
    cr_assert_eq(eg_host_parse(EG_SLICE("api.example.test"), &name, NULL), EG_OK);
    cr_assert_eq(eg_stream_mem(20000, &a, &b), EG_OK);
    cr_assert_eq(eg_stream_tls(a, w->client, &name, EG_SLICE_NONE, client, NULL), EG_OK);
    cr_assert_eq(eg_stream_tls_server(b, w->server, server, NULL), EG_OK);
    struct duo_result r = duo_connect(*client, *server);
    cr_assert(r.a == EG_OK && r.b == EG_OK);
    cr_assert_eq(eg_stream_recv(*client, &none, 1, &done, NULL), EG_AGAIN);
}

static void begin(struct world *w)
{
    const char *names[] = { "api.example.test", NULL };
    struct pki_leaf leaf;
    memset(w, 0, sizeof *w);
    cr_assert_eq(eg_tls_start(NULL), EG_OK);
    w->ca = pki_ca_new("records test CA");
    cr_assert(w->ca && pki_issue(w->ca, &(struct pki_request){ .names = names }, &leaf));
    struct eg_tls_server_config sc = { .cert_pem = eg_slice_str(leaf.cert_pem),
                                       .key_pem = eg_slice_str(leaf.key_pem) };
    struct eg_tls_client_config cc = { .ca_pem = { eg_slice_str(pki_ca_pem(w->ca)) } };
    cr_assert_eq(eg_tls_server_ctx(&sc, &w->server, NULL), EG_OK);
    cr_assert_eq(eg_tls_client_ctx(&cc, &w->client, NULL), EG_OK);
    join(w, &w->a, &w->b);
}

static void end(struct world *w)
{
    eg_stream_free(w->a);
    eg_stream_free(w->b);
    eg_tls_ctx_unref(w->client);
    eg_tls_ctx_unref(w->server);
    pki_ca_free(w->ca);
    eg_tls_stop();
}

static void put_text(struct eg_stream *s, const char *p, size_t n)
{
    size_t done = 0;
    cr_assert_eq(eg_stream_send(s, p, n, &done, NULL), EG_OK);
    cr_assert_eq(done, n);
}

Test(tls, a_read_gives_all_records_that_are_there)
{
    struct world w;
    char got[1000];
    size_t done = 0;
    begin(&w);
    put_text(w.b, "one ", 4);
    put_text(w.b, "two ", 4);
    put_text(w.b, "three", 5);
    cr_assert_eq(duo_recv(w.a, got, sizeof got, &done, NULL), EG_OK);
    cr_assert_eq(done, 13);
    cr_assert_eq(memcmp(got, "one two three", 13), 0);
    put_text(w.b, "four", 4);
    put_text(w.b, "five", 4);
    cr_assert_eq(duo_recv(w.a, got, 6, &done, NULL), EG_OK);
    cr_assert(done == 6 && memcmp(got, "fourfi", 6) == 0, "no more than there is room for");
    cr_assert(eg_stream_pending(w.a));
    cr_assert_eq(duo_recv(w.a, got, sizeof got, &done, NULL), EG_OK);
    cr_assert(done == 2 && memcmp(got, "ve", 2) == 0);
    end(&w);
}

/* The end comes in the same read as bytes before it: those are given first, and what the end was is told after them. */
Test(tls, an_end_behind_records_is_told_by_the_next_read)
{
    static const struct {
        const char *tail;
        size_t n;
        enum eg_status expected;
    } ends[] = { { "\x17\x03\x03", 3, EG_RESPONSE_TRUNCATED },
                 { "\x17\x03\x03\x00\x20", 5, EG_RESPONSE_TRUNCATED },
                 { "\x17\x03\x03\x00\x14"
                   "aaaaaaaaaaaaaaaaaaaa",
                   25, EG_TLS_FAILED },
                 { NULL, 0, EG_EOF } };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct world w;
        char got[1000];
        size_t done = 0;
        struct eg_err err = { 0 };
        begin(&w);
        put_text(w.b, "before", 6);
        if (ends[i].tail) {
            put_text(w.b->below, ends[i].tail, ends[i].n);
            cr_assert_eq(eg_stream_shut(w.b->below, NULL), EG_OK);
        } else {
            cr_assert_eq(eg_stream_shut(w.b, NULL), EG_OK);
        }
        cr_assert_eq(duo_recv(w.a, got, sizeof got, &done, NULL), EG_OK, "end %zu", i);
        cr_assert(done == 6 && memcmp(got, "before", 6) == 0, "end %zu", i);
        enum eg_status last = duo_recv(w.a, got, sizeof got, &done, &err);
        cr_assert_eq(last, ends[i].expected, "end %zu: %s %s", i, egress_status_name(last),
                     err.text);
        cr_assert(last == EG_EOF || err.text[0], "end %zu: no detail", i);
        cr_assert_eq(duo_recv(w.a, got, sizeof got, &done, NULL), ends[i].expected, "end %zu", i);
        end(&w);
    }
}

/* More than one send takes: every length around the records that are gathered, through a pipe that takes less. */
Test(tls, long_writes_arrive_whole)
{
    static const size_t lengths[] = { 16384, 16385, 32768, 65535, 65536, 65537, 200000 };
    struct world w;
    begin(&w);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        cr_assert_eq(duo_copy_both(w.a, w.b, lengths[i], (uint32_t)i), EG_OK, "%zu", lengths[i]);
    end(&w);
}

/* The buffer that is read ahead into is the context's: what one connection left in it stays that one's. */
Test(tls, connections_of_one_context_keep_their_own_bytes)
{
    struct world w;
    struct eg_stream *a = NULL, *b = NULL;
    char got[1000];
    size_t done = 0;
    begin(&w);
    join(&w, &a, &b);
    put_text(w.b, "first", 5);
    put_text(w.b, " and more", 9);
    put_text(b, "other", 5);
    cr_assert_eq(duo_recv(w.a, got, 2, &done, NULL), EG_OK);
    cr_assert(done == 2 && memcmp(got, "fi", 2) == 0);
    cr_assert_eq(duo_recv(a, got, sizeof got, &done, NULL), EG_OK);
    cr_assert(done == 5 && memcmp(got, "other", 5) == 0);
    cr_assert(eg_stream_pending(w.a) && !eg_stream_pending(a));
    cr_assert_eq(duo_recv(w.a, got, 3, &done, NULL), EG_OK);
    cr_assert(done == 3 && memcmp(got, "rst", 3) == 0);
    cr_assert_eq(duo_recv(w.a, got, sizeof got, &done, NULL), EG_OK);
    cr_assert(done == 9 && memcmp(got, " and more", 9) == 0);
    eg_stream_free(a);
    eg_stream_free(b);
    end(&w);
}
