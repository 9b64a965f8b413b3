/* hops_faults.c - upstream proxies that misbehave, each played by the test byte by byte: 502 or 504
 * with the reason, the hop is named to the child and in the audit, the origin receives nothing, and
 * no descriptor is left. */
#include <criterion/criterion.h>
#include <signal.h>
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
                             "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"
                             "tls: {ca: \"@DIR@/ca.pem\", system: false}\n"
                             "limits: {connect_timeout: 2s, response_timeout: 2s}\n"
                             "credentials:\n"
                             "  corp: {from: env:TEST_CORP, hosts: [127.0.0.1]}\n"
                             "upstream: {proxies: [%s]}\n";

static const char *const NAMES[] = { "web.test=127.0.0.1", "raw.test=127.0.0.1", NULL };

static void new_world(struct eg_world *w)
{
    eg_world_new(w);
    eg_world_origin(w, NULL);
    eg_world_plain(w);
    eg_world_dns(w, NAMES);
}

static void start(struct eg_world *w, const char *proxies, const char *secret)
{
    char policy[2048], variable[700];
    const char *environment[] = { variable, NULL };
    snprintf(policy, sizeof policy, POLICY, proxies);
    snprintf(variable, sizeof variable, "TEST_CORP=%s", secret);
    eg_world_egressd(w, policy, NULL, environment);
}

enum { TUNNEL, FORWARD };

static void ask(const struct eg_world *w, struct eg_client *c, int kind)
{
    eg_client_open(c, w->proxy_port);
    if (kind == TUNNEL)
        eg_client_text(c, "CONNECT raw.test:%u HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                       w->plain_port, w->token);
    else
        eg_client_text(c,
                       "GET http://web.test:%u/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer "
                       "%s\r\n\r\n",
                       w->plain_port, w->token);
}

static void told(struct eg_client *c, const char *what, int status, const char *reason,
                 const char *hop)
{
    char head[8192], *body = NULL;
    int got = eg_client_response(c, head, sizeof head, &body, NULL);
    cr_expect(got == status && eg_head_has(head, "X-Egress-Reason", reason), "%s: want %d %s: %s",
              what, status, reason, head);
    cr_expect(body && strstr(body, hop), "%s: want %s: %s", what, hop, body);
    cr_expect(!eg_head_has(head, "Proxy-Authenticate", NULL), "%s: %s", what, head);
    free(body);
    eg_client_close(c);
}

struct fault {
    const char *what; /* for the reader */
    const char *says; /* "\x00" can't be in it: size */
    size_t size;
    bool silent; /* then it stays and says no more; else it closes */
    int status;
    const char *reason;
};
#define SAYS(text) text, sizeof(text) - 1

/* The played proxy accepts, reads what comes first, says its line, and closes or falls silent. */
static void suffer(struct eg_world *w, int listener, int kind, const struct fault *faults,
                   size_t count, const char *hop)
{
    unsigned before = eg_proc_fds(eg_world_worker(w));
    for (size_t i = 0; i < count; i++) {
        const struct fault *x = &faults[i];
        struct eg_client c, p;
        ask(w, &c, kind);
        eg_peer_accept(listener, &p);
        cr_assert(eg_client_wait(&p, NULL, 3), "%s: it was not asked", x->what);
        eg_client_send(&p, x->says, x->size);
        if (!x->silent)
            eg_client_close(&p);
        told(&c, x->what, x->status, x->reason, hop);
        if (x->silent)
            eg_client_close(&p);
    }
    cr_expect(eg_world_await_event(w, (unsigned)count, "\"event\":\"end\"", hop),
              "the audit names %s", hop);
    (void)eg_daemon_await_sum(w, "open_flows", 0);
    cr_expect(eg_proc_fds(eg_world_worker(w)) <= before, "descriptors are left");
    eg_world_saw_nothing(w);
}

#define LONG64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define LONG1K                                                                                     \
    LONG64 LONG64 LONG64 LONG64 LONG64 LONG64 LONG64 LONG64 LONG64 LONG64 LONG64 LONG64 LONG64     \
        LONG64 LONG64 LONG64
#define LONG20K                                                                                    \
    LONG1K LONG1K LONG1K LONG1K LONG1K LONG1K LONG1K LONG1K LONG1K LONG1K LONG1K LONG1K LONG1K     \
        LONG1K LONG1K LONG1K LONG1K LONG1K LONG1K LONG1K

static const struct fault http_faults[] = {
    { "garbage", SAYS("\x16\x03\x01 nonsense\r\n\r\n"), true, 502, "upstream_proxy_failed" },
    { "half an answer", SAYS("HTTP/1.1 200 O"), false, 502, "upstream_proxy_failed" },
    { "half a head", SAYS("HTTP/1.1 200 OK\r\nVia: x\r\n"), false, 502, "upstream_proxy_failed" },
    { "too much head", SAYS("HTTP/1.1 200 OK\r\nX: " LONG20K), true, 502, "upstream_proxy_failed" },
    { "200 with a body", SAYS("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n<html>log in"), true,
      502, "upstream_proxy_failed" },
    { "200 with chunks",
      SAYS("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), true, 502,
      "upstream_proxy_failed" },
    { "nothing", SAYS(""), false, 502, "upstream_proxy_failed" },
    { "silence", SAYS(""), true, 504, "connect_timeout" },
    { "silence in the head", SAYS("HTTP/1.1 200 OK\r\n"), true, 504, "connect_timeout" },
    { "a refusal", SAYS("HTTP/1.1 403 corp:secret\r\nContent-Length: 0\r\n\r\n"), true, 502,
      "upstream_proxy_refused" },
    { "407", SAYS("HTTP/1.1 407 who\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n"), true, 502,
      "upstream_proxy_auth" },
};

static const struct fault forward_faults[] = {
    { "garbage", SAYS("\x16\x03\x01 nonsense\r\n\r\n"), true, 502, "upstream_proxy_failed" },
    { "half an answer", SAYS("HTTP/1.1 200 O"), false, 502, "upstream_proxy_failed" },
    { "too much head", SAYS("HTTP/1.1 200 OK\r\nX: " LONG20K LONG20K LONG20K LONG20K), true, 502,
      "upstream_proxy_failed" },
    { "nothing", SAYS(""), false, 502, "upstream_proxy_failed" },
    { "silence", SAYS(""), true, 504, "response_timeout" },
    { "407", SAYS("HTTP/1.1 407 who\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n"), true, 502,
      "upstream_proxy_auth" },
};

static const struct fault socks_faults[] = {
    { "garbage", SAYS("HTTP/1.1 400 Bad Request\r\n\r\n"), true, 502, "upstream_proxy_failed" },
    { "half an answer", SAYS("\x05"), false, 502, "upstream_proxy_failed" },
    { "an unoffered method", SAYS("\x05\x01"), true, 502, "upstream_proxy_failed" },
    { "a reply of another version", SAYS("\x05\x00\x04\x00\x00\x01"), true, 502,
      "upstream_proxy_failed" },
    { "half a reply", SAYS("\x05\x00\x05\x00\x00\x01"), false, 502, "upstream_proxy_failed" },
    { "nothing", SAYS(""), false, 502, "upstream_proxy_failed" },
    { "silence", SAYS(""), true, 504, "connect_timeout" },
    { "no method", SAYS("\x05\xff"), true, 502, "upstream_proxy_auth" },
    { "a refusal", SAYS("\x05\x00\x05\x05\x00\x01\0\0\0\0\0\0"), true, 502,
      "upstream_proxy_refused" },
};

static const struct fault tls_faults[] = {
    { "plain bytes", SAYS("HTTP/1.1 400 Bad Request\r\n\r\n"), true, 502, "tls_failed" },
    { "an alert", SAYS("\x15\x03\x03\x00\x02\x02\x28"), true, 502, "tls_failed" },
    { "silence", SAYS(""), true, 504, "tls_timeout" },
};

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

static void suffer_all(const char *scheme, const char *tls, int kind, const struct fault *faults,
                       size_t count)
{
    struct eg_world w;
    char proxies[300], hop[64];
    uint16_t port;
    new_world(&w);
    int listener = eg_peer_listen(&port);
    snprintf(proxies, sizeof proxies, "{proxy: \"%s://127.0.0.1:%u\"%s}", scheme, port, tls);
    snprintf(hop, sizeof hop, "%s://127.0.0.1:%u: ", scheme, port);
    start(&w, proxies, "x:y");
    suffer(&w, listener, kind, faults, count, hop);
    close(listener);
    eg_world_done(&w);
}

Test(hops, of_http_that_misbehave_are_named, .timeout = 60)
{
    suffer_all("http", "", TUNNEL, http_faults, COUNT(http_faults));
}

Test(hops, of_http_that_misbehave_in_absolute_form_are_named, .timeout = 60)
{
    suffer_all("http", "", FORWARD, forward_faults, COUNT(forward_faults));
}

Test(hops, of_socks_that_misbehave_are_named, .timeout = 60)
{
    suffer_all("socks5", "", TUNNEL, socks_faults, COUNT(socks_faults));
}

Test(hops, whose_tls_fails_are_named, .timeout = 60)
{
    suffer_all("https", ", tls: {ca: \"@DIR@/ca.pem\"}", TUNNEL, tls_faults, COUNT(tls_faults));
    suffer_all("socks5+tls", ", tls: {ca: \"@DIR@/ca.pem\"}", FORWARD, tls_faults,
               COUNT(tls_faults));
}

/* The first hop does its part; the second one is at fault, and is asked by the first one alone. */
Test(hops, behind_another_are_named_by_their_place, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, p;
    char proxies[300], hop[96], want[100];
    uint16_t port;
    new_world(&w);
    int listener = eg_peer_listen(&port);
    snprintf(proxies, sizeof proxies,
             "{proxy: \"http://127.0.0.1:%u\"}, {proxy: \"socks5://far.test:1080\"}", port);
    start(&w, proxies, "x:y");
    snprintf(hop, sizeof hop, "socks5://far.test:1080 (hop 2 of 2): ");
    ask(&w, &c, TUNNEL);
    eg_peer_request(listener, &p);
    snprintf(want, sizeof want, "CONNECT far.test:1080 HTTP/1.1\r\n");
    cr_assert(strncmp(p.buf, want, strlen(want)) == 0 && !strstr(p.buf, "raw.test"), "%s", p.buf);
    eg_client_text(&p, "HTTP/1.1 200 ok\r\n\r\nnot SOCKS");
    told(&c, "garbage behind", 502, "upstream_proxy_failed", hop);
    eg_client_close(&p);
    ask(&w, &c, TUNNEL);
    eg_peer_request(listener, &p);
    eg_client_text(&p, "HTTP/1.1 502 no\r\n\r\n");
    snprintf(hop, sizeof hop, "http://127.0.0.1:%u (hop 1 of 2): ", port);
    told(&c, "the near one refuses", 502, "upstream_proxy_refused", hop);
    eg_client_close(&p);
    close(listener);
    ask(&w, &c, FORWARD);
    told(&c, "the near one is dead", 502, "connect_refused", hop);
    eg_world_saw_nothing(&w);
    char *asked = eg_world_read(&w, "dns.log", NULL);
    cr_assert(strlen(asked) == 0, "no name is looked up here: %s", asked);
    free(asked);
    eg_world_done(&w);
}

Test(hops, whose_name_does_not_exist_are_named, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    new_world(&w);
    start(&w, "{proxy: \"socks5h://absent.test:1080\"}", "x:y");
    ask(&w, &c, TUNNEL);
    told(&c, "absent", 502, "dns_not_found", "absent.test:1080: ");
    eg_world_saw_nothing(&w);
    eg_world_done(&w);
}

/* Too long for RFC 1929: the proxy is not even greeted with it, and the field is named. */
Test(hops, with_a_login_that_does_not_fit_say_which_field, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, p;
    char secret[600], proxies[200], hop[64];
    uint16_t port;
    new_world(&w);
    int listener = eg_peer_listen(&port);
    snprintf(secret, sizeof secret, "corp:%0300d", 7);
    snprintf(proxies, sizeof proxies, "{proxy: \"socks5://127.0.0.1:%u\", credential: corp}", port);
    snprintf(hop, sizeof hop, "socks5://127.0.0.1:%u: ", port);
    start(&w, proxies, secret);
    ask(&w, &c, TUNNEL);
    eg_peer_accept(listener, &p);
    char head[8192], *body = NULL;
    cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 502 &&
                  eg_head_has(head, "X-Egress-Reason", "upstream_proxy_auth") &&
                  strstr(body, hop) && strstr(body, "password") && !strstr(body, "00000"),
              "%s%s", head, body);
    free(body);
    eg_client_close(&c);
    eg_client_close(&p);
    eg_world_saw_nothing(&w);
    eg_world_done(&w);
}

/* Whatever a hop is shown, nobody is asked when it can't be had. */
Test(hops, whose_credential_is_missing_are_not_asked, .timeout = 60)
{
    static const char *const schemes[] = { "http", "socks5" };
    struct eg_world w;
    struct eg_client c;
    char proxies[200], hop[64];
    uint16_t port;
    new_world(&w);
    int listener = eg_peer_listen(&port);
    for (int i = 0; i < 2; i++) {
        snprintf(proxies, sizeof proxies, "{proxy: \"%s://127.0.0.1:%u\", credential: corp}",
                 schemes[i], port);
        snprintf(hop, sizeof hop, "%s://127.0.0.1:%u: ", schemes[i], port);
        start(&w, proxies, "");
        for (int kind = TUNNEL; kind <= FORWARD; kind++) {
            ask(&w, &c, kind);
            told(&c, schemes[i], 502, "credential_unavailable", hop);
        }
        cr_assert(eg_peer_unused(listener));
        cr_assert(eg_proc_end(&w.egressd, SIGTERM) == 0);
    }
    eg_world_saw_nothing(&w);
    eg_world_done(&w);
}

static const char BAD_PEM[] = "egress: 1\nupstream: {proxies: [{proxy: \"https://127.0.0.1:1\", "
                              "tls: {ca: \"%s\"}}]}\n";

/* An unreadable file, or one with nothing in it that is a certificate, fails start and reload
 * alike. */
Test(hops, with_a_bad_pem_start_nothing_and_change_nothing, .timeout = 60)
{
    struct eg_world w;
    char policy[1024];
    new_world(&w);
    static const char *const files[] = { "@DIR@/absent.pem", "@DIR@/empty.pem",
                                         "@DIR@/broken.pem" };
    eg_world_write(&w, "empty.pem", "");
    eg_world_write(&w, "broken.pem",
                   "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (size_t i = 0; i < COUNT(files); i++) {
        char *out = NULL;
        snprintf(policy, sizeof policy, BAD_PEM, files[i]);
        eg_world_policy(&w, policy);
        const char *args[] = { "--policy", eg_world_path(&w, "egress.yaml"), "--control", w.control,
                               NULL };
        cr_expect(eg_daemon_fail(&w, args, &out) != 0, "%s: %s", files[i], out);
        free(out);
    }
    start(&w, "{proxy: \"https://127.0.0.1:1\", tls: {ca: \"@DIR@/ca.pem\"}}", "x:y");
    for (size_t i = 0; i < COUNT(files); i++) {
        struct eg_client c;
        snprintf(policy, sizeof policy, BAD_PEM, files[i]);
        eg_world_policy(&w, policy);
        cr_assert(kill(w.egressd.pid, SIGHUP) == 0);
        cr_expect(eg_world_await_event(&w, (unsigned)i + 1, "reload_failed", "system"), "%s",
                  files[i]);
        ask(&w, &c, TUNNEL);
        told(&c, "the old policy", 502, "connect_refused", "https://127.0.0.1:1: ");
    }
    eg_world_done(&w);
}
