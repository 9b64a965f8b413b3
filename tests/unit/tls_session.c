/* TLS connections over memory: resumption, versions, ends, bad peers, and the exactness of progress. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "stream/stream.h"
#include "support/duo.h"
#include "support/flaky.h"
#include "support/pki.h"
#include "tls/context.h"
#include "tls/session.h"

enum { PIPE = 20000, TICKET = 8192 };

struct world {
    struct pki_ca *ca;
    struct eg_tls_ctx *client, *server;
    struct eg_stream *a, *b;
    bool only_tls12;
    unsigned char ticket[TICKET];
    size_t ticket_len;
};

static void begin(struct world *w, bool only_tls12, bool tickets)
{
    const char *names[] = { "api.example.test", "www.example.test", NULL };
    struct pki_leaf leaf;
    struct eg_err err = { 0 };
    memset(w, 0, sizeof *w);
    w->only_tls12 = only_tls12;
    cr_assert_eq(eg_tls_start(NULL), EG_OK);
    w->ca = pki_ca_new("session test CA");
    cr_assert(w->ca && pki_issue(w->ca, &(struct pki_request){ .names = names }, &leaf));
    struct eg_tls_server_config sc = { .cert_pem = eg_slice_str(leaf.cert_pem),
                                       .key_pem = eg_slice_str(leaf.key_pem),
                                       .tickets = tickets,
                                       .only_tls12 = only_tls12 };
    struct eg_tls_client_config cc = { .ca_pem = { eg_slice_str(pki_ca_pem(w->ca)) } };
    cr_assert_eq(eg_tls_server_ctx(&sc, &w->server, &err), EG_OK, "%s", err.text);
    cr_assert_eq(eg_tls_client_ctx(&cc, &w->client, &err), EG_OK, "%s", err.text);
}

static void hang_up(struct world *w)
{
    eg_stream_free(w->a);
    eg_stream_free(w->b);
    w->a = w->b = NULL;
}

static void end(struct world *w)
{
    hang_up(w);
    eg_tls_ctx_unref(w->client);
    eg_tls_ctx_unref(w->server);
    pki_ca_free(w->ca);
    eg_tls_stop();
}

static void meet(struct world *w, const char *host)
{
    struct eg_authority name;
    struct eg_stream *a = NULL;
    struct eg_stream *b = NULL;
    cr_assert_eq(eg_host_parse(eg_slice_str(host), &name, NULL), EG_OK);
    cr_assert_eq(eg_stream_mem(PIPE, &a, &b), EG_OK);
    cr_assert_eq(
        eg_stream_tls(a, w->client, &name, eg_slice(w->ticket, w->ticket_len), &w->a, NULL), EG_OK);
    cr_assert_eq(eg_stream_tls_server(b, w->server, &w->b, NULL), EG_OK);
    struct duo_result r = duo_connect(w->a, w->b);
    cr_assert_eq(r.a, EG_OK, "%s %s", egress_status_name(r.a), r.a_err.text);
    cr_assert_eq(r.b, EG_OK, "%s %s", egress_status_name(r.b), r.b_err.text);
    cr_assert_str_eq(eg_stream_tls_version(w->a), w->only_tls12 ? "TLSv1.2" : "TLSv1.3");
}

/* Data both ways, so that the client has read the tickets, then keeps the session. */
static void talk_and_save(struct world *w)
{
    cr_assert_eq(duo_copy_both(w->a, w->b, 5000, 11), EG_OK);
    cr_assert_eq(eg_stream_tls_save(w->a, w->ticket, sizeof w->ticket, &w->ticket_len), EG_OK);
}

static void resumption(bool only_tls12)
{
    struct world w;
    begin(&w, only_tls12, true);
    meet(&w, "api.example.test");
    cr_assert_not(eg_stream_tls_resumed(w.a));
    talk_and_save(&w);
    cr_assert_gt(w.ticket_len, 100);
    cr_assert_lt(w.ticket_len, 4096, "%zu bytes", w.ticket_len);
    hang_up(&w);

    meet(&w, "api.example.test");
    cr_assert(eg_stream_tls_resumed(w.a));
    talk_and_save(&w);
    cr_assert_gt(w.ticket_len, 100, "a resumed session can be resumed again");
    hang_up(&w);

    meet(&w, "www.example.test");
    cr_assert_not(eg_stream_tls_resumed(w.a),
                  "a session of another name must not be resumed: no certificate would be seen");
    end(&w);
}

Test(tls, resumes_tls13)
{
    resumption(false);
}

Test(tls, resumes_tls12)
{
    resumption(true);
}

Test(tls, a_server_without_tickets_is_not_resumed)
{
    for (int tls12 = 0; tls12 < 2; tls12++) {
        struct world w;
        begin(&w, tls12, false);
        meet(&w, "api.example.test");
        talk_and_save(&w);
        hang_up(&w);
        meet(&w, "api.example.test");
        cr_assert_not(eg_stream_tls_resumed(w.a));
        end(&w);
    }
}

Test(tls, a_ticket_that_is_rubbish_means_a_full_handshake)
{
    struct world w;
    begin(&w, false, true);
    meet(&w, "api.example.test");
    talk_and_save(&w);
    size_t whole = w.ticket_len;
    for (size_t cut = 0; cut < whole; cut += 97) {
        hang_up(&w);
        w.ticket_len = cut;
        meet(&w, "api.example.test");
    }
    hang_up(&w);
    w.ticket_len = whole;
    memset(w.ticket + 30, 0xff, whole - 30);
    meet(&w, "api.example.test");
    cr_assert_eq(duo_copy_both(w.a, w.b, 100, 1), EG_OK);
    end(&w);
}

Test(tls, save_says_when_there_is_no_room)
{
    struct world w;
    unsigned char small[64];
    size_t n = 1;
    begin(&w, false, true);
    meet(&w, "api.example.test");
    talk_and_save(&w);
    cr_assert_eq(eg_stream_tls_save(w.a, small, sizeof small, &n), EG_TOO_BIG);
    cr_assert_eq(n, 0);
    cr_assert_eq(eg_stream_tls_save(w.b, small, sizeof small, &n), EG_OK, "a server keeps none");
    cr_assert_eq(n, 0);
    cr_assert_eq(eg_stream_tls_save(w.a->below, small, sizeof small, &n), EG_OK, "memory neither");
    cr_assert_eq(n, 0);
    end(&w);
}

/* ---- ends ---- */

Test(tls, half_close_both_versions)
{
    for (int tls12 = 0; tls12 < 2; tls12++) {
        struct world w;
        begin(&w, tls12, false);
        meet(&w, "api.example.test");
        cr_assert_eq(duo_shut(w.a, w.b), EG_EOF, "TLS 1.%d", tls12 ? 2 : 3);
        cr_assert_eq(duo_copy(w.b, w.a, 40000, 8), EG_OK, "TLS 1.%d: the other direction is open",
                     tls12 ? 2 : 3);
        cr_assert_eq(duo_shut(w.b, w.a), EG_EOF);
        char byte;
        size_t done;
        cr_assert_eq(eg_stream_recv(w.a, &byte, 1, &done, NULL), EG_EOF);
        cr_assert_eq(eg_stream_recv(w.b, &byte, 1, &done, NULL), EG_EOF);
        cr_assert_eq(eg_stream_shut(w.a, NULL), EG_OK, "idempotent");
        cr_assert_eq(eg_stream_send(w.a, "x", 1, &done, NULL), EG_INVALID, "not after shut");
        size_t n;
        cr_assert_eq(eg_stream_tls_save(w.a, w.ticket, sizeof w.ticket, &n), EG_OK);
        cr_assert_eq(n, 0, "wolfSSL forgot the session");
        end(&w);
    }
}

Test(tls, an_end_without_close_notify_is_truncation)
{
    for (int tls12 = 0; tls12 < 2; tls12++) {
        struct world w;
        char data[200];
        size_t done = 0;
        size_t total = 0;
        struct eg_err err = { 0 };
        begin(&w, tls12, false);
        meet(&w, "api.example.test");
        cr_assert_eq(duo_put(w.b, "the last words", 14), EG_OK);
        eg_stream_free(w.b);
        w.b = NULL;
        enum eg_status r;
        while ((r = duo_recv(w.a, data, sizeof data, &done, &err)) == EG_OK)
            total += done;
        cr_assert_eq(total, 14, "what came before is not lost");
        cr_assert_eq(r, EG_RESPONSE_TRUNCATED);
        cr_assert_eq(eg_stream_recv(w.a, data, 1, &done, NULL), EG_RESPONSE_TRUNCATED,
                     "and stays so");
        end(&w);
    }
}

Test(tls, an_end_inside_a_record_is_truncation)
{
    struct world w;
    char wire[PIPE];
    size_t n = 0;
    begin(&w, false, false);
    meet(&w, "api.example.test");
    cr_assert_eq(duo_copy_both(w.a, w.b, 1000, 1), EG_OK);
    /* Half of a record: taken off the wire below the client and put back in part. */
    cr_assert_eq(duo_put(w.b, "0123456789", 10), EG_OK);
    cr_assert_eq(eg_stream_recv(w.a->below, wire, sizeof wire, &n, NULL), EG_OK);
    cr_assert_eq(eg_stream_unread(w.a->below, wire, n / 2), EG_OK);
    cr_assert_eq(eg_stream_shut(w.b->below, NULL), EG_OK);
    char byte;
    cr_assert_eq(duo_recv(w.a, &byte, 1, &n, NULL), EG_RESPONSE_TRUNCATED);
    end(&w);
}

Test(tls, a_changed_record_is_a_failure_not_data)
{
    struct world w;
    char wire[PIPE];
    char data[100];
    size_t n = 0;
    size_t done = 0;
    begin(&w, false, false);
    meet(&w, "api.example.test");
    cr_assert_eq(duo_copy_both(w.a, w.b, 1000, 1), EG_OK);
    cr_assert_eq(duo_put(w.b, "0123456789", 10), EG_OK);
    cr_assert_eq(eg_stream_recv(w.a->below, wire, sizeof wire, &n, NULL), EG_OK);
    wire[n - 3] ^= 1;
    cr_assert_eq(eg_stream_unread(w.a->below, wire, n), EG_OK);
    cr_assert_eq(duo_recv(w.a, data, sizeof data, &done, NULL), EG_TLS_FAILED);
    end(&w);
}

/* ---- peers that are not TLS, or gone ---- */

static struct duo_result against(struct world *w, const char *said, bool close)
{
    struct eg_authority name;
    struct eg_stream *a = NULL;
    struct duo_result r = { .a = EG_AGAIN };
    cr_assert_eq(eg_host_parse(EG_SLICE("api.example.test"), &name, NULL), EG_OK);
    cr_assert_eq(eg_stream_mem(PIPE, &a, &w->b), EG_OK);
    cr_assert_eq(eg_stream_tls(a, w->client, &name, EG_SLICE_NONE, &w->a, NULL), EG_OK);
    if (*said)
        cr_assert_eq(duo_put(w->b, said, strlen(said)), EG_OK);
    if (close)
        cr_assert_eq(eg_stream_shut(w->b, NULL), EG_OK);
    for (int i = 0; i < 10 && r.a == EG_AGAIN; i++)
        r.a = eg_stream_connect(w->a, &r.a_err);
    return r;
}

Test(tls, a_peer_that_is_no_tls_fails_the_handshake)
{
    static const char *const said[] = { "HTTP/1.1 400 Bad Request\r\n\r\n",
                                        "SSH-2.0-OpenSSH_9.2\r\n", "\x15\x03\x01\xff\xff" };
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        struct world w;
        begin(&w, false, false);
        struct duo_result r = against(&w, said[i], true);
        cr_assert_eq(r.a, EG_TLS_FAILED, "%zu: %s", i, egress_status_name(r.a));
        cr_assert(r.a_err.text[0]);
        cr_assert_eq(eg_stream_connect(w.a, NULL), EG_TLS_FAILED, "and stays so");
        end(&w);
    }
}

Test(tls, an_alert_in_the_handshake_is_named)
{
    struct world w;
    begin(&w, false, false);
    /* fatal handshake_failure */
    struct duo_result r = against(&w, "\x15\x03\x03", false);
    cr_assert_eq(r.a, EG_AGAIN);
    cr_assert_eq(duo_put(w.b, "\0\x02\x02\x28", 4), EG_OK);
    r.a = eg_stream_connect(w.a, &r.a_err);
    cr_assert_eq(r.a, EG_TLS_FAILED);
    cr_assert(strstr(r.a_err.text, "handshake_failure"), "%s", r.a_err.text);
    end(&w);
}

Test(tls, a_peer_that_closes_in_the_handshake_is_a_failure)
{
    struct world w;
    begin(&w, false, false);
    cr_assert_eq(against(&w, "", true).a, EG_TLS_FAILED);
    end(&w);
}

Test(tls, a_silent_peer_is_waited_for_without_spinning)
{
    struct world w;
    begin(&w, false, false);
    cr_assert_eq(against(&w, "", false).a, EG_AGAIN);
    struct eg_pollset set = { 0 };
    eg_stream_want(w.a, 0, &set);
    cr_assert_not(set.now, "nothing to do until the peer speaks");
    end(&w);
}

/* ---- bytes ---- */

Test(tls, pending_tells_of_bytes_that_no_descriptor_shows)
{
    struct world w;
    char byte;
    size_t done;
    begin(&w, false, false);
    meet(&w, "api.example.test");
    cr_assert_eq(duo_copy_both(w.a, w.b, 10, 1), EG_OK);
    cr_assert_not(eg_stream_pending(w.a));
    cr_assert_eq(duo_put(w.b, "abc", 3), EG_OK);
    cr_assert_eq(duo_put(w.b, "def", 3), EG_OK);
    for (int i = 0; i < 6; i++) {
        cr_assert_eq(duo_recv(w.a, &byte, 1, &done, NULL), EG_OK);
        cr_assert_eq(byte, "abcdef"[i]);
        struct eg_pollset set = { 0 };
        eg_stream_want(w.a, EG_IN, &set);
        cr_assert_eq(eg_stream_pending(w.a), i < 5, "after byte %d", i);
        cr_assert_eq(set.now, i < 5);
    }
    cr_assert_eq(eg_stream_recv(w.a, &byte, 1, &done, NULL), EG_AGAIN);
    cr_assert_not(eg_stream_pending(w.a));
    end(&w);
}

Test(tls, writes_report_progress_exactly_over_a_pipe_of_a_few_bytes)
{
    struct world w;
    struct eg_authority name;
    struct eg_stream *a = NULL;
    struct eg_stream *b = NULL;
    begin(&w, false, false);
    cr_assert_eq(eg_host_parse(EG_SLICE("api.example.test"), &name, NULL), EG_OK);
    cr_assert_eq(eg_stream_mem(61, &a, &b), EG_OK);
    cr_assert_eq(flaky_stream(a, 4, 40, 50, &a), EG_OK);
    cr_assert_eq(eg_stream_tls(a, w.client, &name, EG_SLICE_NONE, &w.a, NULL), EG_OK);
    cr_assert_eq(eg_stream_tls_server(b, w.server, &w.b, NULL), EG_OK);
    struct duo_result r = duo_connect(w.a, w.b);
    cr_assert_eq(r.a, EG_OK, "%s", r.a_err.text);
    cr_assert_eq(r.b, EG_OK, "%s", r.b_err.text);
    cr_assert_eq(duo_copy(w.a, w.b, 60000, 2), EG_OK);
    cr_assert_eq(duo_copy(w.b, w.a, 60000, 3), EG_OK);
    cr_assert_eq(duo_shut(w.a, w.b), EG_EOF);
    end(&w);
}

Test(tls, a_write_that_is_taken_up_again_with_fewer_bytes_is_refused)
{
    struct world w;
    static char big[16384];
    size_t done = 0;
    begin(&w, false, false);
    meet(&w, "api.example.test");
    enum eg_status r = EG_OK;
    for (int i = 0; i < 4 && r == EG_OK; i++)
        r = eg_stream_send(w.a, big, sizeof big, &done, NULL);
    cr_assert_eq(r, EG_AGAIN, "the pipe is full");
    cr_assert_eq(eg_stream_send(w.a, big, 10, &done, NULL), EG_INVALID);
    struct eg_pollset set = { 0 };
    eg_stream_want(w.a, EG_OUT, &set);
    cr_assert_not(set.now);
    end(&w);
}

/* Regression: with the send side gone, what the peer said before is still read. */
Test(tls, what_the_peer_said_is_read_after_a_failed_write)
{
    struct world w;
    static char big[16384];
    char data[100];
    size_t done = 0;
    begin(&w, false, false);
    meet(&w, "api.example.test");
    cr_assert_eq(duo_copy_both(w.a, w.b, 100, 1), EG_OK);
    cr_assert_eq(duo_put(w.b, "413 enough", 10), EG_OK);
    cr_assert_eq(eg_stream_shut(w.b, NULL), EG_OK);
    eg_stream_free(w.b);
    w.b = NULL;
    struct eg_err err = { 0 };
    cr_assert_eq(eg_stream_send(w.a, big, sizeof big, &done, &err), EG_CLOSED, "%s", err.text);
    cr_assert_str_eq(err.layer, "mem", "the layer that knows tells");
    cr_assert_eq(duo_recv(w.a, data, sizeof data, &done, NULL), EG_OK);
    cr_assert_eq(done, 10);
    cr_assert_eq(duo_recv(w.a, data, sizeof data, &done, NULL), EG_EOF);
    end(&w);
}
