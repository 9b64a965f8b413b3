/* hops_forms.c - what exactly a chain of proxies is asked for: absolute-form to the last http hop
 * and no CONNECT, names or addresses, nothing at all for what is bypassed or refused. The test plays
 * the proxies. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/daemon.h"
#include "support/peer.h"

static const char POLICY[] = "egress: 1\n"
                             "allow:\n"
                             "  - {host: web.test, scheme: http, ports: [@PLAIN@]}\n"
                             "  - {host: raw.test, scheme: tcp, ports: [@PLAIN@]}\n"
                             "  - {host: near.test, scheme: tcp, ports: [@PLAIN@]}\n"
                             "  - {host: evil.test, scheme: tcp, ports: [@PLAIN@]}\n"
                             "  - {cidr: 192.0.2.0/24, scheme: tcp, ports: any}\n"
                             "services:\n"
                             "  plain: {upstream: \"http://web.test:@PLAIN@/v1\"}\n"
                             "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"
                             "tls: {ca: \"@DIR@/ca.pem\", system: false}\n"
                             "networks: {allow: [127.0.0.1/32]}\n"
                             "credentials:\n"
                             "  corp: {from: env:TEST_CORP, hosts: [127.0.0.1, far.test]}\n"
                             "upstream: {proxies: [%s]%s}\n";

static const char *const NAMES[] = { "web.test=127.0.0.1", "raw.test=127.0.0.1",
                                     "near.test=127.0.0.1", "evil.test=10.1.2.3", NULL };

struct lab {
    struct eg_world w;
    int listener;
    uint16_t port;
};

static void begin(struct lab *l, const char *scheme, const char *more, const char *beside)
{
    char policy[2048], proxies[512];
    const char *environment[] = { "TEST_CORP=corp:secret", NULL };
    eg_world_new(&l->w);
    eg_world_origin(&l->w, NULL);
    eg_world_plain(&l->w);
    eg_world_dns(&l->w, NAMES);
    l->listener = eg_peer_listen(&l->port);
    snprintf(proxies, sizeof proxies, "{proxy: \"%s://127.0.0.1:%u\"%s", scheme, l->port, more);
    snprintf(policy, sizeof policy, POLICY, proxies, beside);
    eg_world_egressd(&l->w, policy, NULL, environment);
}

static void done(struct lab *l)
{
    char *tls = eg_world_read(&l->w, "origin.rec", NULL);
    cr_expect_str_eq(tls, "");
    free(tls);
    close(l->listener);
    eg_world_done(&l->w);
}

static void get(const struct lab *l, struct eg_client *c, const char *path)
{
    eg_client_text(
        c, "GET http://web.test:%u%s HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer %s\r\n\r\n",
        l->w.plain_port, path, l->w.token);
}

static int answer(struct eg_client *c, const char *reason)
{
    char head[8192];
    int status = eg_client_response(c, head, sizeof head, NULL, NULL);
    cr_expect(!reason || eg_head_has(head, "X-Egress-Reason", reason), "want %s: %s", reason, head);
    return status;
}

/* The head of the next request on a connection that stays. */
static void asked(struct eg_client *p, const char *want)
{
    cr_assert(eg_client_wait(p, "\r\n\r\n", 0) && p->buf);
    cr_assert_str_eq(p->buf, want);
    eg_client_take(p, p->len);
}

Test(hops, in_absolute_form_are_kept_and_shown_their_credential_each_time, .timeout = 60)
{
    struct lab l;
    struct eg_client c, p = { .fd = -1 };
    char want[300];
    begin(&l, "http", ", credential: corp}", "");
    eg_client_open(&c, l.w.proxy_port);
    for (int i = 0; i < 3; i++) {
        get(&l, &c, i == 1 ? "/b" : "/a");
        if (i == 0)
            eg_peer_accept(l.listener, &p);
        snprintf(want, sizeof want,
                 "GET http://web.test:%u%s HTTP/1.1\r\nHost: web.test:%u\r\nProxy-Authorization: "
                 "Basic Y29ycDpzZWNyZXQ=\r\n\r\n",
                 l.w.plain_port, i == 1 ? "/b" : "/a", l.w.plain_port);
        asked(&p, want);
        eg_client_text(&p, "HTTP/1.1 204 no\r\n\r\n");
        cr_assert(answer(&c, NULL) == 204);
    }
    cr_assert(eg_peer_unused(l.listener), "one connection serves them all");
    eg_client_close(&p);
    eg_client_close(&c);
    done(&l);
}

/* A route of plain http is plain http: the service's path in absolute-form. */
Test(hops, get_a_plain_route_in_absolute_form, .timeout = 60)
{
    struct lab l;
    struct eg_client c, p;
    char want[200];
    begin(&l, "http", "}", "");
    eg_client_open(&c, l.w.proxy_port);
    eg_client_text(&c, "GET /plain/x?y HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", l.w.proxy_port);
    eg_peer_accept(l.listener, &p);
    snprintf(want, sizeof want,
             "GET http://web.test:%u/v1/x?y HTTP/1.1\r\nHost: web.test:%u\r\n\r\n", l.w.plain_port,
             l.w.plain_port);
    asked(&p, want);
    eg_client_text(&p, "HTTP/1.1 204 no\r\n\r\n");
    cr_assert(answer(&c, NULL) == 204);
    eg_client_close(&p);
    eg_client_close(&c);
    done(&l);
}

/* The first hop is asked for the second, the second gets the request itself: no CONNECT to it. */
Test(hops, behind_others_get_plain_requests_in_absolute_form, .timeout = 60)
{
    struct lab l;
    struct eg_client c, p;
    char want[300];
    begin(&l, "http", "}, {proxy: \"http://far.test:3128\", credential: corp}", "");
    eg_client_open(&c, l.w.proxy_port);
    get(&l, &c, "/a");
    eg_peer_accept(l.listener, &p);
    asked(&p, "CONNECT far.test:3128 HTTP/1.1\r\nHost: far.test:3128\r\n\r\n");
    eg_client_text(&p, "HTTP/1.1 200 ok\r\n\r\n");
    snprintf(want, sizeof want,
             "GET http://web.test:%u/a HTTP/1.1\r\nHost: web.test:%u\r\nProxy-Authorization: Basic "
             "Y29ycDpzZWNyZXQ=\r\n\r\n",
             l.w.plain_port, l.w.plain_port);
    asked(&p, want);
    eg_client_text(&p, "HTTP/1.1 407 who\r\nContent-Length: 0\r\n\r\n");
    cr_assert(answer(&c, "upstream_proxy_auth") == 502);
    eg_client_close(&p);
    eg_client_close(&c);
    done(&l);
}

/* A SOCKS proxy last: it opens the way, and the request is in origin-form. */
Test(hops, of_socks_carry_plain_requests_in_origin_form, .timeout = 60)
{
    struct lab l;
    struct eg_client c, p;
    char want[300];
    begin(&l, "socks5h", ", credential: corp}", "");
    eg_client_open(&c, l.w.proxy_port);
    get(&l, &c, "/a");
    eg_peer_accept(l.listener, &p);
    cr_assert(eg_client_wait(&p, NULL, 4) && memcmp(p.buf, "\x05\x02\x00\x02", 4) == 0);
    eg_client_take(&p, p.len);
    eg_client_send(&p, "\x05\x02", 2);
    cr_assert(eg_client_wait(&p, NULL, 13) && memcmp(p.buf,
                                                     "\x01\x04"
                                                     "corp\x06"
                                                     "secret",
                                                     13) == 0);
    eg_client_take(&p, p.len);
    eg_client_send(&p, "\x01\x00", 2);
    cr_assert(eg_client_wait(&p, NULL, 15) &&
              memcmp(p.buf, "\x05\x01\x00\x03\x08web.test", 13) == 0 &&
              (unsigned char)p.buf[13] * 256u + (unsigned char)p.buf[14] == l.w.plain_port);
    eg_client_take(&p, p.len);
    eg_client_send(&p, "\x05\x00\x00\x01\0\0\0\0\0\0", 10);
    snprintf(want, sizeof want, "GET /a HTTP/1.1\r\nHost: web.test:%u\r\n\r\n", l.w.plain_port);
    asked(&p, want);
    eg_client_text(&p, "HTTP/1.1 204 no\r\n\r\n");
    cr_assert(answer(&c, NULL) == 204);
    char *names = eg_world_read(&l.w, "dns.log", NULL);
    cr_expect(strlen(names) == 0, "no name is looked up here: %s", names);
    free(names);
    eg_client_close(&p);
    eg_client_close(&c);
    done(&l);
}

/* resolve: local, and the last hop is asked for the address that was judged. */
Test(hops, of_socks_with_resolve_local_are_asked_for_the_address, .timeout = 60)
{
    struct lab l;
    struct eg_client c, p;
    char to[64];
    begin(&l, "socks5", "}", ", resolve: local");
    snprintf(to, sizeof to, "evil.test:%u", l.w.plain_port);
    eg_client_open(&c, l.w.proxy_port);
    cr_assert(eg_client_connect(&c, &l.w, to) == 403);
    eg_client_close(&c);
    cr_assert(eg_peer_unused(l.listener));
    eg_client_open(&c, l.w.proxy_port);
    get(&l, &c, "/a");
    eg_peer_accept(l.listener, &p);
    cr_assert(eg_client_wait(&p, NULL, 3) && memcmp(p.buf, "\x05\x01\x00", 3) == 0);
    eg_client_take(&p, p.len);
    eg_client_send(&p, "\x05\x00", 2);
    cr_assert(eg_client_wait(&p, NULL, 10) &&
              memcmp(p.buf, "\x05\x01\x00\x01\x7f\0\0\x01", 8) == 0);
    eg_client_close(&p);
    cr_assert(answer(&c, "upstream_proxy_failed") == 502);
    eg_client_close(&c);
    done(&l);
}

Test(hops, are_not_asked_for_what_is_bypassed_or_refused, .timeout = 60)
{
    static const char *const refused[] = { "169.254.169.254:80", "metadata.google.internal:80",
                                           "10.0.0.1:443",       "[::ffff:10.0.0.1]:443",
                                           "2130706433:80",      "0x7f.1:80",
                                           "other.test:443" };
    struct lab l;
    struct eg_client c;
    char to[64], head[4096];
    begin(&l, "http", "}", ", bypass: [near.test, \"198.51.100.0/24\"]");
    snprintf(to, sizeof to, "near.test:%u", l.w.plain_port);
    eg_client_open(&c, l.w.proxy_port);
    cr_assert(eg_client_connect(&c, &l.w, to) == 200);
    eg_client_text(&c, "GET /status/204 HTTP/1.1\r\nHost: r\r\n\r\n");
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 204);
    eg_client_close(&c);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        eg_client_open(&c, l.w.proxy_port);
        int status = eg_client_connect(&c, &l.w, refused[i]);
        cr_expect(status == 403 || status == 400, "%s: %d", refused[i], status);
        eg_client_close(&c);
    }
    cr_assert(eg_peer_unused(l.listener), "policy is judged before any hop");
    done(&l);
}

/* What an allowed literal is asked for is the address; it was judged although the hop resolves. */
Test(hops, are_asked_for_a_literal_as_it_was_judged, .timeout = 60)
{
    struct lab l;
    struct eg_client c, p;
    begin(&l, "http", "}", "");
    eg_client_open(&c, l.w.proxy_port);
    eg_client_text(&c, "CONNECT 192.0.2.7:9 HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                   l.w.token);
    eg_peer_accept(l.listener, &p);
    asked(&p, "CONNECT 192.0.2.7:9 HTTP/1.1\r\nHost: 192.0.2.7:9\r\n\r\n");
    eg_client_text(&p, "HTTP/1.1 200 ok\r\n\r\n");
    cr_assert(answer(&c, NULL) == 200);
    cr_expect(eg_world_await_event(&l.w, 1, "\"decision\":\"allow\"", "192.0.2.7"));
    eg_client_close(&p);
    eg_client_close(&c);
    done(&l);
}
