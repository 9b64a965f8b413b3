/* Chains of hops: each proxy of a way out is played from its first byte, with a layer between every two that gives short reads,
 * short writes and EG_AGAIN at random. What stacks here is what an origin is reached through. */
#include <criterion/criterion.h>

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/secret.h"
#include "stream/stream.h"
#include "support/duo.h"
#include "support/flaky.h"
#include "support/pki.h"
#include "tls/context.h"

enum { PIPE = 8192, MOST = 900, HOPS = 4, SAID_MAX = 600 };

enum hop { END, HTTP, HTTPS, SOCKS, SOCKS_LOGIN, SOCKS_TLS, ORIGIN_TLS, ORIGIN };

struct chain {
    struct pki_ca *ca;
    struct eg_tls_ctx *client_ctx, *server_ctx;
    struct eg_vault *vault;
    struct eg_secret *basic, *login;
    struct eg_stream *client, *server;
    uint64_t seed;
    unsigned again;
};

static void flaky(struct chain *c, struct eg_stream **s)
{
    cr_assert_eq(flaky_stream(*s, c->seed++, c->again, MOST, s), EG_OK);
}

static struct eg_authority authority(const char *text)
{
    struct eg_authority a;
    cr_assert_eq(eg_authority_parse(eg_slice_str(text), 443, &a, NULL), EG_OK);
    return a;
}

/* One pair of contexts with certificates of both sides serves every hop: TLS here is always mutual. */
static void begin(struct chain *c, uint64_t seed, unsigned again)
{
    const char *names[] = { "hop.example.test", "origin.example.test", NULL };
    const char *agent[] = { "agent.example.test", NULL };
    struct pki_leaf own;
    struct pki_leaf shown;
    memset(c, 0, sizeof *c);
    c->seed = seed;
    c->again = again;
    cr_assert_geq(sodium_init(), 0);
    cr_assert_eq(eg_tls_start(NULL), EG_OK);
    c->ca = pki_ca_new("chain test CA");
    cr_assert(c->ca && pki_issue(c->ca, &(struct pki_request){ .names = names }, &own) &&
              pki_issue(c->ca, &(struct pki_request){ .names = agent, .client = true }, &shown));
    struct eg_slice ca = eg_slice_str(pki_ca_pem(c->ca));
    struct eg_tls_client_config cc = { .ca_pem = { ca },
                                       .cert_pem = eg_slice_str(shown.cert_pem),
                                       .key_pem = eg_slice_str(shown.key_pem) };
    struct eg_tls_server_config sc = { .cert_pem = eg_slice_str(own.cert_pem),
                                       .key_pem = eg_slice_str(own.key_pem),
                                       .client_ca_pem = ca,
                                       .require_client = true };
    cr_assert_eq(eg_tls_client_ctx(&cc, &c->client_ctx, NULL), EG_OK);
    cr_assert_eq(eg_tls_server_ctx(&sc, &c->server_ctx, NULL), EG_OK);
    cr_assert_eq(eg_vault_new(&c->vault, 4096, false, NULL, NULL), EG_OK);
    cr_assert_eq(eg_secret_new(c->vault, "Basic dTpw", 10, &c->basic, NULL), EG_OK);
    cr_assert_eq(eg_secret_new(c->vault, "u:p", 3, &c->login, NULL), EG_OK);
}

static void end(struct chain *c)
{
    eg_stream_free(c->client);
    eg_stream_free(c->server);
    eg_tls_ctx_unref(c->client_ctx);
    eg_tls_ctx_unref(c->server_ctx);
    pki_ca_free(c->ca);
    eg_vault_free(c->vault);
    eg_tls_stop();
}

static bool over_tls(enum hop h)
{
    return h == HTTPS || h == SOCKS_TLS || h == ORIGIN_TLS;
}

/* ---- our side ---- */

static void add_client_hop(struct chain *c, enum hop h, bool last)
{
    struct eg_authority hop = authority("hop.example.test:1080");
    struct eg_authority origin = authority("origin.example.test:443");
    const struct eg_authority *next = last ? &origin : &hop;
    struct eg_stream **s = &c->client;
    if (over_tls(h)) {
        cr_assert_eq(eg_stream_tls(*s, c->client_ctx, h == ORIGIN_TLS ? &origin : &hop,
                                   EG_SLICE_NONE, s, NULL),
                     EG_OK);
        flaky(c, s);
    }
    if (h == HTTP || h == HTTPS)
        cr_assert_eq(eg_stream_http_connect(*s, next, c->basic, s), EG_OK);
    else if (h == SOCKS || h == SOCKS_LOGIN || h == SOCKS_TLS)
        cr_assert_eq(eg_stream_socks5(*s, next, h == SOCKS ? NULL : c->login, s), EG_OK);
    if (h != ORIGIN_TLS)
        flaky(c, s);
}

/* ---- their side: what each hop waits for, and what it answers; NULL ends ---- */

struct line {
    const char *want;
    size_t want_n;
    const char *say;
    size_t say_n;
};

#define LINE(want, say)                                                                            \
    {                                                                                              \
        "" want, sizeof(want) - 1, "" say, sizeof(say) - 1                                         \
    }
#define REPLY      "\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38"
#define TO_HOP     "\x05\x01\x00\x03\x10hop.example.test\x04\x38"
#define TO_ORIGIN  "\x05\x01\x00\x03\x13origin.example.test\x01\xbb"
#define ASK_HOP    "CONNECT hop.example.test:1080 HTTP/1.1\r\nHost: hop.example.test:1080\r\n"
#define ASK_ORIGIN "CONNECT origin.example.test:443 HTTP/1.1\r\nHost: origin.example.test:443\r\n"
#define AUTH       "Proxy-Authorization: Basic dTpw\r\n\r\n"
#define OK_HTTP    "HTTP/1.1 200 OK\r\nVia: x\r\n\r\n"

static unsigned script(enum hop h, bool last, struct line out[3])
{
    static const struct line http[2] = { LINE(ASK_HOP AUTH, OK_HTTP),
                                         LINE(ASK_ORIGIN AUTH, OK_HTTP) };
    static const struct line greet = LINE("\x05\x01\x00", "\x05\x00");
    static const struct line greet_login = LINE("\x05\x02\x00\x02", "\x05\x02");
    static const struct line login = LINE("\x01\x01u\x01p", "\x01\x00");
    static const struct line request[2] = { LINE(TO_HOP, REPLY), LINE(TO_ORIGIN, REPLY) };
    if (h == ORIGIN || h == ORIGIN_TLS)
        return 0;
    if (h == HTTP || h == HTTPS) {
        out[0] = http[last];
        return 1;
    }
    if (h == SOCKS) {
        out[0] = greet;
        out[1] = request[last];
        return 2;
    }
    out[0] = greet_login;
    out[1] = login;
    out[2] = request[last];
    return 3;
}

/* The client, and whoever plays the other end, in turn; EG_AGAIN of the client is all that is right until the end. */
static void turn(struct chain *c)
{
    struct eg_err err = { 0 };
    enum eg_status r = eg_stream_connect(c->client, &err);
    cr_assert(r == EG_AGAIN || r == EG_OK, "client: %s %s: %s", egress_status_name(r), err.layer,
              err.text);
}

static void raise_server(struct chain *c)
{
    struct eg_err err = { 0 };
    enum eg_status r = EG_AGAIN;
    for (int i = 0; i < 20000 && r == EG_AGAIN; i++) {
        turn(c);
        r = eg_stream_connect(c->server, &err);
    }
    cr_assert_eq(r, EG_OK, "server: %s %s", egress_status_name(r), err.text);
}

static void play_line(struct chain *c, const struct line *l)
{
    char got[SAID_MAX];
    size_t n = 0;
    for (int i = 0; i < 100000 && n < l->want_n; i++) {
        size_t done = 0;
        struct eg_err err = { 0 };
        turn(c);
        enum eg_status r = eg_stream_recv(c->server, got + n, l->want_n - n, &done, &err);
        cr_assert(r == EG_OK || r == EG_AGAIN, "server: %s %s", egress_status_name(r), err.text);
        n += r == EG_OK ? done : 0;
    }
    cr_assert(n == l->want_n && memcmp(got, l->want, n) == 0, "the hop was asked otherwise: %.*s",
              (int)n, got);
    cr_assert_eq(duo_put(c->server, l->say, l->say_n), EG_OK);
}

static void play(struct chain *c, enum hop h, bool last)
{
    struct line lines[3];
    if (over_tls(h)) {
        cr_assert_eq(eg_stream_tls_server(c->server, c->server_ctx, &c->server, NULL), EG_OK);
        raise_server(c);
        flaky(c, &c->server);
        raise_server(c);
    }
    unsigned n = script(h, last, lines);
    for (unsigned i = 0; i < n; i++)
        play_line(c, &lines[i]);
}

/* ---- the chains ---- */

static const enum hop chains[][HOPS + 1] = {
    { HTTP, ORIGIN },
    { HTTPS, ORIGIN },
    { SOCKS, ORIGIN },
    { SOCKS_LOGIN, ORIGIN },
    { SOCKS_TLS, ORIGIN },
    { SOCKS, ORIGIN_TLS },
    { HTTPS, ORIGIN_TLS },
    { SOCKS_TLS, ORIGIN_TLS },
    { HTTP, SOCKS, ORIGIN },
    { SOCKS_LOGIN, HTTP, ORIGIN_TLS },
    { HTTP, SOCKS_TLS, ORIGIN_TLS }, /* tls over socks5 over tls over http_connect */
    { HTTPS, SOCKS_TLS, ORIGIN_TLS },
    { SOCKS_TLS, HTTPS, SOCKS_TLS, ORIGIN_TLS },
    { SOCKS, SOCKS, SOCKS, ORIGIN },
};

static unsigned length(const enum hop *hops)
{
    unsigned n = 0;
    while (n < HOPS && hops[n] != ORIGIN && hops[n] != ORIGIN_TLS)
        n++;
    return n;
}

static void raise_chain(struct chain *c, const enum hop *hops, bool tcp)
{
    unsigned n = length(hops);
    int fds[2];
    if (tcp) {
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        cr_assert_eq(eg_stream_tcp(fds[0], &c->client), EG_OK);
        cr_assert_eq(eg_stream_tcp(fds[1], &c->server), EG_OK);
    } else {
        cr_assert_eq(eg_stream_mem(PIPE, &c->client, &c->server), EG_OK);
    }
    flaky(c, &c->client);
    flaky(c, &c->server);
    raise_server(c);
    for (unsigned i = 0; i < n; i++)
        add_client_hop(c, hops[i], i + 1 == n);
    if (hops[n] == ORIGIN_TLS)
        add_client_hop(c, ORIGIN_TLS, true);
    for (unsigned i = 0; i <= n; i++)
        play(c, hops[i], i + 1 == n);
    struct duo_result r = duo_connect(c->client, c->server);
    cr_assert_eq(r.a, EG_OK, "client: %s %s", egress_status_name(r.a), r.a_err.text);
    cr_assert_eq(r.b, EG_OK, "server: %s %s", egress_status_name(r.b), r.b_err.text);
}

static void carry(size_t i, uint64_t seed, unsigned again, bool tcp)
{
    struct chain c;
    begin(&c, seed, again);
    raise_chain(&c, chains[i], tcp);
    cr_expect_eq(duo_copy_both(c.client, c.server, 40000, (uint32_t)seed), EG_OK,
                 "chain %zu, seed %d", i, (int)seed);
    cr_expect_eq(duo_shut(c.client, c.server), EG_EOF, "chain %zu", i);
    cr_expect_eq(duo_copy(c.server, c.client, 20000, 6), EG_OK, "chain %zu is half-closed", i);
    cr_expect_eq(duo_shut(c.server, c.client), EG_EOF, "chain %zu", i);
    end(&c);
}

Test(stream, chains_over_memory_carry_bytes_both_ways_and_half_close)
{
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++)
        for (uint64_t seed = 1; seed <= 3; seed++)
            carry(i, seed * 1000 + i, (unsigned)seed * 15, false);
}

Test(stream, chains_over_sockets_carry_bytes_both_ways_and_half_close)
{
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++)
        carry(i, 50 + i, 10, true);
}

Test(stream, a_chain_names_the_layer_that_was_refused)
{
    static const enum hop hops[] = { HTTP, SOCKS, ORIGIN };
    static const struct line no = LINE("\x05\x01\x00", "\x05\xff");
    struct chain c;
    struct eg_err err = { 0 };
    enum eg_status r = EG_AGAIN;
    begin(&c, 3, 20);
    cr_assert_eq(eg_stream_mem(PIPE, &c.client, &c.server), EG_OK);
    add_client_hop(&c, hops[0], false);
    add_client_hop(&c, hops[1], true);
    play(&c, hops[0], false);
    play_line(&c, &no);
    for (int i = 0; i < 1000 && r == EG_AGAIN; i++)
        r = eg_stream_connect(c.client, &err);
    cr_assert_eq(r, EG_UPSTREAM_PROXY_AUTH);
    cr_assert_str_eq(err.layer, "socks5");
    end(&c);
}

Test(stream, a_chain_of_plain_hops_may_be_spliced)
{
    struct chain c;
    struct eg_authority origin = authority("origin.example.test:443");
    struct eg_authority hop = authority("hop.example.test:1080");
    int fds[2];
    begin(&c, 1, 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    cr_assert_eq(eg_stream_tcp(fds[0], &c.client), EG_OK);
    cr_assert_eq(eg_stream_tcp(fds[1], &c.server), EG_OK);
    cr_assert_eq(eg_stream_http_connect(c.client, &hop, c.basic, &c.client), EG_OK);
    cr_assert_eq(eg_stream_socks5(c.client, &origin, c.login, &c.client), EG_OK);
    play(&c, HTTP, false);
    play(&c, SOCKS_LOGIN, true);
    cr_assert_eq(eg_stream_connect(c.client, NULL), EG_OK);
    cr_assert_eq(eg_stream_raw_fd(c.client), fds[0]);
    end(&c);
}
