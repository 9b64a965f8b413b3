/* socks.c - SOCKS5 against a real egressd on the port that speaks HTTP too: who may, where to by IPv4, IPv6 and name, what may
 * flow. Every refusal asserts that nobody was reached, every test that no descriptor is left. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/sock.h"
#include "support/peer.h"

static const char POLICY[] = "egress: 1\n"
                             "allow:\n"
                             "  - {host: api.example.test, ports: [@ORIGIN@]}\n"
                             "  - {host: raw.test, scheme: tcp, ports: any}\n"
                             "  - {host: web.test, scheme: http, ports: [@PLAIN@]}\n"
                             "  - {host: nowhere.test, ports: [@ORIGIN@]}\n"
                             "  - {host: hang.test, ports: [@ORIGIN@]}\n"
                             "  - {host: local.test, ports: any}\n"
                             "  - {address: 127.0.0.1, scheme: tcp, ports: any}\n"
                             "  - {address: \"::1\", scheme: tcp, ports: any}\n"
                             "networks: {allow: [127.0.0.1/32]}\n"
                             "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"
                             "limits: {dns_timeout: 3s, head_timeout: 3s}\n"
                             "tls: {ca: \"@DIR@/ca.pem\", system: false}\n";

static const char *const NAMES[] = { "api.example.test=127.0.0.1",
                                     "raw.test=127.0.0.1",
                                     "web.test=127.0.0.1",
                                     "nowhere.test=nxdomain",
                                     "hang.test=hang",
                                     "local.test=127.0.0.2",
                                     NULL };

struct scene {
    struct eg_world w;
    pid_t worker;
    unsigned fds;
};

static void setup(struct scene *s)
{
    eg_world_new(&s->w);
    eg_world_origin(&s->w, NULL);
    eg_world_plain(&s->w);
    eg_world_dns(&s->w, NAMES);
    eg_world_egressd(&s->w, POLICY, NULL, NULL);
    s->worker = eg_world_worker(&s->w);
    s->fds = eg_proc_fds(s->worker);
}

static void finish(struct scene *s)
{
    eg_proc_settled(s->worker, s->fds + 2); /* sockets to the name server may stay */
    eg_world_done(&s->w);
}

/* ---- a client ---- */

static void login(struct eg_client *c, const struct eg_world *w, const char *token)
{
    char hello[128];
    size_t n = strlen(token);
    eg_client_open(c, w->proxy_port);
    memcpy(hello, "\x05\x01\x02\x01\x04user", 9);
    hello[9] = (char)n;
    memcpy(hello + 10, token, n);
    eg_client_send(c, hello, 10 + n);
}

static void ask(struct eg_client *c, int type, const void *host, size_t n, unsigned port)
{
    unsigned char request[300] = { 5, 1, 0, (unsigned char)type, (unsigned char)n };
    size_t at = type == 3 ? 5 : 4;
    memcpy(request + at, host, n);
    request[at + n] = (unsigned char)(port >> 8);
    request[at + n + 1] = (unsigned char)port;
    eg_client_send(c, request, at + n + 2);
}

/* The octet of the reply; everything up to it is taken off. -1: something else came. */
static int reply(struct eg_client *c)
{
    static const char before[] = "\x05\x02\x01\x00\x05",
                      after[] = "\x00\x01\x00\x00\x00\x00\x00\x00";
    cr_assert(eg_client_wait(c, NULL, 14), "%zu bytes came", c->len);
    if (c->len < 14 || memcmp(c->buf, before, 5) != 0 || memcmp(c->buf + 6, after, 8) != 0)
        return -1;
    int octet = (unsigned char)c->buf[5];
    eg_client_take(c, 14);
    return octet;
}

static int connect_name(struct eg_client *c, const struct eg_world *w, const char *host,
                        unsigned port)
{
    login(c, w, w->token);
    ask(c, 3, host, strlen(host), port);
    return reply(c);
}

static void recorded(const struct scene *s, const char *reason)
{
    char want[64];
    snprintf(want, sizeof want, "\"reason\":\"%s\"", reason);
    cr_expect(eg_world_await_event(&s->w, 1, want, "\"via\":\"socks\""), "%s", reason);
}

static void refused(struct scene *s, const char *host, unsigned port, int octet, const char *reason)
{
    struct eg_client c;
    int got = connect_name(&c, &s->w, host, port);
    cr_expect(got == octet, "%s:%u: reply %d, want %d", host, port, got, octet);
    cr_expect(eg_client_wait(&c, NULL, 0) && c.len == 0 && !c.reset, "%s: not closed", host);
    eg_client_close(&c);
    recorded(s, reason);
}

static void echo(struct eg_client *c)
{
    char head[8192], *body = NULL;
    eg_client_text(c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    cr_assert(eg_client_response(c, head, sizeof head, &body, NULL) == 200 &&
                  strcmp(body, "hello") == 0,
              "%s", head);
    free(body);
}

/* A socket of ::1, for origins that the test plays itself; -1 where the machine has no IPv6. */
static int listen_v6(uint16_t *port)
{
    const struct eg_sockaddr any = { { 6, { [15] = 1 } }, 0 };
    struct eg_sockaddr at;
    int fd = -1;
    if (eg_sock_listen(&any, &fd, &at, NULL) != EG_OK)
        return -1;
    *port = at.port;
    return fd;
}

/* ---- where to ---- */

Test(socks, carries_bytes_to_an_address_and_a_name, .timeout = 60)
{
    const unsigned char v4[] = { 127, 0, 0, 1 };
    struct scene s;
    struct eg_client c;
    setup(&s);
    login(&c, &s.w, s.w.token);
    ask(&c, 1, v4, sizeof v4, s.w.plain_port);
    cr_assert_eq(reply(&c), 0);
    echo(&c);
    eg_client_close(&c);
    cr_assert_eq(connect_name(&c, &s.w, "raw.test", s.w.plain_port), 0);
    echo(&c);
    shutdown(c.fd, SHUT_WR);
    cr_assert(eg_client_wait(&c, NULL, 0) && !c.reset); /* half-close goes across */
    eg_client_close(&c);
    cr_assert(eg_world_await_event(&s.w, 2, "\"event\":\"end\"", "\"reason\":\"ok\""));
    char *events = eg_world_events(&s.w);
    cr_expect(eg_events_with(events, "\"event\":\"decision\"", "\"via\":\"socks\"",
                             "\"decision\":\"allow\"", "\"host\":\"raw.test\"",
                             "\"address\":\"127.0.0.1\"", NULL) == 1,
              "%s", events);
    free(events);
    finish(&s);
}

Test(socks, carries_bytes_to_an_address_of_ipv6, .timeout = 60)
{
    const unsigned char v6[16] = { [15] = 1 };
    struct scene s;
    struct eg_client c, origin;
    uint16_t port;
    int listener = listen_v6(&port);
    if (listener < 0)
        cr_skip_test("this machine has no ::1");
    setup(&s);
    login(&c, &s.w, s.w.token);
    ask(&c, 4, v6, sizeof v6, port);
    cr_assert_eq(reply(&c), 0);
    eg_client_send(&c, "ping", 4);
    eg_peer_accept(listener, &origin);
    cr_assert(eg_client_wait(&origin, "ping", 0));
    eg_client_send(&origin, "pong", 4);
    cr_assert(eg_client_wait(&c, "pong", 0));
    eg_client_close(&c);
    eg_client_close(&origin);
    close(listener);
    refused(&s, "::1", port, 5, "connect_refused"); /* an address in a name's place */
    finish(&s);
}

Test(socks, keeps_what_was_sent_ahead, .timeout = 60)
{
    struct scene s;
    struct eg_client c;
    char head[8192], *body = NULL;
    setup(&s);
    login(&c, &s.w, s.w.token);
    ask(&c, 3, "raw.test", 8, s.w.plain_port);
    eg_client_text(&c, "GET /headers HTTP/1.1\r\nHost: ahead.test\r\n\r\n");
    cr_assert_eq(reply(&c), 0);
    cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200 &&
                  strstr(body, "ahead.test"),
              "%s", head);
    free(body);
    eg_client_close(&c);
    finish(&s);
}

Test(socks, refusals_have_the_octet_of_their_kind, .timeout = 120)
{
    struct scene s;
    setup(&s);
    unsigned port = s.w.origin_port;
    refused(&s, "evil.test", 443, 2, "host_not_allowed");
    refused(&s, "api.example.test", 1, 2, "port_not_allowed");
    refused(&s, "10.0.0.1", port, 2, "host_not_allowed");
    refused(&s, "169.254.169.254", 80, 2, "metadata_denied");
    refused(&s, "local.test", port, 2, "address_denied");
    refused(&s, "2130706433", port, 1, "bad_host");
    refused(&s, "nowhere.test", port, 4, "dns_not_found");
    refused(&s, "hang.test", port, 4, "dns_timeout");
    refused(&s, "127.0.0.1", s.w.proxy_port, 2, "address_denied"); /* the proxy itself */
    eg_world_saw_nothing(&s.w);
    eg_proc_end(&s.w.plain, SIGKILL);
    refused(&s, "raw.test", s.w.plain_port, 5, "connect_refused");
    refused(&s, "127.0.0.1", s.w.plain_port, 5, "connect_refused");
    finish(&s);
}

/* ---- who ---- */

static void turned_away(struct scene *s, const char *token, const char *reason)
{
    struct eg_client c;
    login(&c, &s->w, token);
    ask(&c, 3, "raw.test", 8, s->w.plain_port);
    cr_expect(eg_client_wait(&c, NULL, 0) && c.len == 4 &&
                  memcmp(c.buf, "\x05\x02\x01\x01", 4) == 0,
              "%s: %zu bytes", reason, c.len);
    eg_client_close(&c);
    recorded(s, reason);
}

Test(socks, wants_the_token_as_password, .timeout = 60)
{
    struct scene s;
    struct eg_client c;
    char wrong[65];
    setup(&s);
    memset(wrong, '0', 64);
    wrong[64] = 0;
    turned_away(&s, wrong, "token_invalid");
    turned_away(&s, "password", "token_invalid");
    turned_away(&s, "", "token_missing");
    eg_client_open(&c, s.w.proxy_port);
    eg_client_send(&c, "\x05\x02\x00\x01", 4);
    cr_expect(eg_client_wait(&c, NULL, 0) && c.len == 2 && memcmp(c.buf, "\x05\xff", 2) == 0);
    eg_client_close(&c);
    recorded(&s, "token_missing");
    eg_world_saw_nothing(&s.w);
    finish(&s);
}

/* ---- what may flow ---- */

Test(socks, holds_a_tunnel_to_its_name, .timeout = 60)
{
    struct scene s;
    struct eg_client c;
    setup(&s);
    cr_assert_eq(connect_name(&c, &s.w, "api.example.test", s.w.origin_port), 0);
    eg_client_text(&c, "SSH-2.0-OpenSSH_9.2\r\n");
    cr_expect(eg_client_wait(&c, NULL, 0) && c.len == 7 &&
                  memcmp(c.buf, "\x15\x03\x01\x00\x02\x02\x70", 7) == 0,
              "%zu bytes", c.len);
    eg_client_close(&c);
    cr_expect(eg_world_await_event(&s.w, 1, "\"reason\":\"not_tls\"", "\"stage\":\"hello\""));
    eg_world_saw_nothing(&s.w);
    finish(&s);
}

Test(socks, of_scheme_http_is_judged_request_by_request, .timeout = 60)
{
    struct scene s;
    struct eg_client c;
    char head[8192];
    setup(&s);
    cr_assert_eq(connect_name(&c, &s.w, "web.test", s.w.plain_port), 0);
    for (int i = 0; i < 2; i++) {
        eg_client_text(&c, "GET /headers HTTP/1.1\r\nHost: web.test:%u\r\n\r\n", s.w.plain_port);
        cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 200, "%s", head);
    }
    eg_client_text(&c, "GET /headers HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 421, "%s", head);
    eg_client_close(&c);
    finish(&s);
}

static int curl(const struct scene *s, const char *scheme, const char *url, char **out)
{
    char proxy[300];
    snprintf(proxy, sizeof proxy, "%s://anybody:%s@127.0.0.1:%u", scheme, s->w.token,
             s->w.proxy_port);
    const char *argv[] = { "curl", "-sS",      "--proxy",
                           proxy,  "--cacert", eg_world_path(&s->w, "ca.pem"),
                           url,    NULL };
    return eg_proc_run(&s->w, argv, NULL, out);
}

Test(socks, serves_curl, .timeout = 60)
{
    struct scene s;
    char url[200], *out = NULL;
    setup(&s);
    snprintf(url, sizeof url, "https://api.example.test:%u/headers", s.w.origin_port);
    cr_expect(curl(&s, "socks5h", url, &out) == 0 && strcasestr(out, "host"), "%s", out);
    free(out);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/headers", s.w.plain_port);
    cr_expect(curl(&s, "socks5", url, &out) == 0 && strcasestr(out, "host"), "%s", out);
    free(out);
    cr_expect(curl(&s, "socks5h", "https://evil.test/", &out) == 97, "%s", out); /* CURLE_PROXY */
    free(out);
    finish(&s);
}

/* ---- time ---- */

Test(socks, handshake_has_one_deadline, .timeout = 60)
{
    static const char *const pieces[] = { "\x05", "\x05\x01", "\x05\x01\x02",
                                          "\x05\x01\x02\x01\x05us" };
    static const size_t sizes[] = { 1, 2, 3, 7 };
    struct scene s;
    struct eg_client c[4];
    setup(&s);
    uint64_t begun = eg_clock_ms();
    for (int i = 0; i < 4; i++) {
        eg_client_open(&c[i], s.w.proxy_port);
        eg_client_send(&c[i], pieces[i], sizes[i]);
    }
    for (int i = 0; i < 4; i++) {
        cr_expect(eg_client_wait(&c[i], NULL, 0) && c[i].len <= 2 && !c[i].reset, "%d: %zu", i,
                  c[i].len);
        eg_client_close(&c[i]);
    }
    uint64_t took = eg_clock_ms() - begun;
    cr_expect(took >= 2500 && took < EG_PROC_DEADLINE_MS, "%u ms", (unsigned)took);
    cr_expect(eg_world_await_event(&s.w, 4, "\"reason\":\"head_timeout\"", "\"via\":\"socks\""));
    finish(&s);
}

Test(socks, client_that_leaves_midway_is_recorded, .timeout = 60)
{
    struct scene s;
    struct eg_client c;
    setup(&s);
    eg_client_open(&c, s.w.proxy_port);
    eg_client_send(&c, "\x05\x01\x02\x01\x04us", 7);
    shutdown(c.fd, SHUT_WR);
    cr_expect(eg_client_wait(&c, NULL, 0));
    eg_client_close(&c);
    recorded(&s, "bad_request");
    finish(&s);
}

Test(socks, and_http_share_a_port, .timeout = 60)
{
    struct scene s;
    struct eg_client a, b;
    char authority[64];
    setup(&s);
    snprintf(authority, sizeof authority, "raw.test:%u", s.w.plain_port);
    cr_assert_eq(connect_name(&a, &s.w, "raw.test", s.w.plain_port), 0);
    eg_client_open(&b, s.w.proxy_port);
    cr_assert_eq(eg_client_connect(&b, &s.w, authority), 200);
    echo(&a);
    echo(&b);
    eg_client_close(&a);
    eg_client_close(&b);
    finish(&s);
}
