/* tunnel.c - CONNECT against a real egressd: who may, where to, what may flow. Every refusal asserts that nobody was reached. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "support/daemon.h"

static const char POLICY[] = "egress: 1\n"
                             "allow:\n"
                             "  - {host: api.example.test, ports: [@ORIGIN@]}\n"
                             "  - {host: \"*.wild.test\", ports: [@ORIGIN@]}\n"
                             "  - {host: raw.test, scheme: tcp, ports: [@PLAIN@]}\n"
                             "  - {host: web.test, scheme: http, ports: [@PLAIN@]}\n"
                             "  - {host: nowhere.test, ports: [@ORIGIN@]}\n"
                             "  - {host: local.test, ports: [@ORIGIN@]}\n"
                             "  - {host: meta.test, ports: [@ORIGIN@]}\n"
                             "  - {host: mixed.test, ports: [@ORIGIN@]}\n"
                             "deny: [bad.wild.test]\n"
                             "networks: {allow: [127.0.0.1/32]}\n"
                             "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"
                             "tls: {ca: \"@DIR@/ca.pem\", system: false}\n";

static const char *const NAMES[] = { "api.example.test=127.0.0.1",
                                     "ok.wild.test=127.0.0.1",
                                     "bad.wild.test=127.0.0.1",
                                     "raw.test=127.0.0.1",
                                     "web.test=127.0.0.1",
                                     "nowhere.test=nxdomain",
                                     "local.test=127.0.0.2",
                                     "meta.test=169.254.169.254",
                                     "mixed.test=127.0.0.1,10.0.0.1",
                                     "evil.test=127.0.0.1",
                                     NULL };

static void setup(struct eg_world *w)
{
    eg_world_new(w);
    eg_world_origin(w, NULL);
    eg_world_plain(w);
    eg_world_dns(w, NAMES);
    eg_world_egressd(w, POLICY, NULL, NULL);
}

static unsigned count(const char *text, const char *needle)
{
    unsigned n = 0;
    for (; (text = strstr(text, needle)); text++)
        n++;
    return n;
}

static int connect_port(struct eg_client *c, const struct eg_world *w, const char *host,
                        unsigned port)
{
    char authority[300];
    snprintf(authority, sizeof authority, "%s:%u", host, port);
    eg_client_open(c, w->proxy_port);
    return eg_client_connect(c, w, authority);
}

/* A refusal with this reason, recorded. */
static void refused(const struct eg_world *w, const char *host, unsigned port, int status,
                    const char *reason)
{
    struct eg_client c;
    char head[8192], *body = NULL, want[64];
    eg_client_open(&c, w->proxy_port);
    eg_client_text(&c,
                   "CONNECT %s:%u HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                   host, port, w->token);
    int got = eg_client_response(&c, head, sizeof head, &body, NULL);
    cr_expect(got == status, "%s:%u: %d, want %d: %s", host, port, got, status, head);
    cr_expect(eg_head_has(head, "X-Egress-Reason", reason), "%s:%u: want %s: %s", host, port,
              reason, head);
    cr_expect(body && strstr(body, reason));
    snprintf(want, sizeof want, "\"reason\":\"%s\"", reason);
    char *events = eg_world_events(w);
    cr_expect(eg_events_with(events, want, NULL) >= 1, "%s: %s", want, events);
    free(events);
    free(body);
    eg_client_close(&c);
}

Test(tunnel, carries_tls_to_an_allowed_host, .timeout = 60)
{
    struct eg_world w;
    setup(&w);
    char url[200], proxy[200], user[100], *out = NULL;
    snprintf(url, sizeof url, "https://api.example.test:%u/headers", w.origin_port);
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", w.proxy_port);
    snprintf(user, sizeof user, "anybody:%s", w.token);
    const char *argv[] = { "curl",
                           "-sS",
                           "--proxy",
                           proxy,
                           "--proxy-user",
                           user,
                           "--cacert",
                           eg_world_path(&w, "ca.pem"),
                           url,
                           NULL };
    cr_assert(eg_proc_run(&w, argv, NULL, &out) == 0, "%s", out);
    cr_assert(strcasestr(out, "host") != NULL, "%s", out);
    free(out);
    cr_assert(eg_world_await_event(&w, 1, "\"event\":\"end\"", "api.example.test"));
    char *events = eg_world_events(&w);
    cr_assert(eg_events_with(events, "\"event\":\"decision\"", "\"decision\":\"allow\"",
                             "\"address\":\"127.0.0.1\"", "egress.yaml:3", NULL) == 1,
              "%s", events);
    free(events);
    eg_world_done(&w);
}

Test(tunnel, without_a_token_is_challenged_and_stays_open, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char head[8192];
    setup(&w);
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c, "CONNECT raw.test:%u HTTP/1.1\r\nHost: raw.test\r\n\r\n", w.plain_port);
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 407);
    cr_assert(eg_head_has(head, "Proxy-Authenticate", "Basic realm=\"egress\"") &&
                  eg_head_has(head, "X-Egress-Reason", "token_missing"),
              "%s", head);
    eg_client_text(&c,
                   "CONNECT raw.test:%u HTTP/1.1\r\nHost: raw.test\r\nProxy-Authorization: Bearer "
                   "%064d\r\n\r\n",
                   w.plain_port, 0);
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 407);
    cr_assert(eg_head_has(head, "X-Egress-Reason", "token_invalid"), "%s", head);
    char authority[100];
    snprintf(authority, sizeof authority, "raw.test:%u", w.plain_port);
    cr_assert(eg_client_connect(&c, &w, authority) == 200); /* the same connection */
    eg_world_saw_nothing(&w);
    eg_client_close(&c);
    eg_world_done(&w);
}

Test(tunnel, refuses_what_no_rule_allows, .timeout = 120)
{
    struct eg_world w;
    setup(&w);
    refused(&w, "evil.test", w.origin_port, 403, "host_not_allowed");
    refused(&w, "api.example.test", 444, 403, "port_not_allowed");
    refused(&w, "bad.wild.test", w.origin_port, 403, "host_denied");
    refused(&w, "wild.test", w.origin_port, 403, "host_not_allowed");
    refused(&w, "api.example.test.evil.test", w.origin_port, 403, "host_not_allowed");
    refused(&w, "127.0.0.1", w.origin_port, 403, "host_not_allowed");
    refused(&w, "169.254.169.254", 80, 403, "metadata_denied");
    refused(&w, "metadata.google.internal", 80, 403, "metadata_denied");
    refused(&w, "2130706433", w.origin_port, 400, "bad_host");
    refused(&w, "0x7f.1", w.origin_port, 400, "bad_host");
    char *asked = eg_world_read(&w, "dns.log", NULL);
    cr_assert(strlen(asked) == 0, "no question for a refused name (T5): %s", asked);
    free(asked);
    eg_world_saw_nothing(&w);
    eg_world_done(&w);
}

Test(tunnel, refuses_names_that_resolve_to_forbidden_addresses, .timeout = 60)
{
    struct eg_world w;
    setup(&w);
    refused(&w, "local.test", w.origin_port, 403, "address_denied");
    refused(&w, "meta.test", w.origin_port, 403, "metadata_denied");
    refused(&w, "mixed.test", w.origin_port, 403, "address_denied"); /* one bad address refuses */
    refused(&w, "nowhere.test", w.origin_port, 502, "dns_not_found");
    eg_world_saw_nothing(&w);
    eg_world_done(&w);
}

Test(tunnel, asks_each_name_once, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    setup(&w);
    cr_assert(connect_port(&c, &w, "raw.test", w.plain_port) == 200);
    eg_client_close(&c);
    char *asked = eg_world_read(&w, "dns.log", NULL);
    cr_assert(count(asked, "raw.test A ") == 1 && count(asked, "raw.test AAAA ") == 1, "%s",
              asked); /* never resolve twice (invariant 2) */
    free(asked);
    eg_world_done(&w);
}

Test(tunnel, to_the_proxy_itself_is_refused, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char head[8192], *body = NULL;
    eg_world_new(&w);
    eg_world_egressd(&w,
                     "egress: 1\nallow: [{address: 127.0.0.1, scheme: tcp, ports: any}]\nnetworks: "
                     "{allow: [127.0.0.0/8]}\n",
                     NULL, NULL);
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c, "CONNECT 127.0.0.1:%u HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                   w.proxy_port, w.token);
    cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 403, "%s", head);
    cr_assert(strstr(body, "NO_PROXY") != NULL &&
                  eg_head_has(head, "X-Egress-Reason", "address_denied"),
              "%s", head);
    free(body);
    eg_client_close(&c);
    eg_world_done(&w);
}

static void first_flight(const struct eg_world *w, const void *p, size_t n, const char *answer,
                         size_t answer_n, const char *reason)
{
    struct eg_client c;
    char want[64];
    cr_assert(connect_port(&c, w, "api.example.test", w->origin_port) == 200);
    eg_client_send(&c, p, n);
    cr_assert(eg_client_wait(&c, NULL, 0), "the tunnel is not closed");
    cr_assert(c.len >= answer_n && memcmp(c.buf, answer, answer_n) == 0, "answer of %zu bytes",
              c.len);
    snprintf(want, sizeof want, "\"reason\":\"%s\"", reason);
    cr_assert(eg_world_await_event(w, 1, want, "\"stage\":\"hello\""), "%s", reason);
    eg_client_close(&c);
}

Test(tunnel, is_held_to_its_name, .timeout = 60)
{
    static const char ALERT[] = "\x15\x03\x01\x00\x02\x02\x70";
    unsigned char hello[600];
    struct eg_world w;
    setup(&w);
    size_t n = eg_daemon_client_hello(hello, "evil.test");
    first_flight(&w, hello, n, ALERT, 7, "sni_mismatch");
    first_flight(&w, "SSH-2.0-OpenSSH_9.2\r\n", 21, ALERT, 7, "not_tls");
    first_flight(&w, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, "HTTP/1.1 403 ", 13, "not_tls");
    eg_world_saw_nothing(&w);
    eg_world_done(&w);
}

Test(tunnel, of_scheme_tcp_carries_anything_and_half_close, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char head[8192], *body = NULL;
    setup(&w);
    cr_assert(connect_port(&c, &w, "raw.test", w.plain_port) == 200);
    eg_client_text(&c, "POST /echo HTTP/1.1\r\nHost: raw.test\r\nContent-Length: 5\r\n\r\nhello");
    cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200 &&
                  strcmp(body, "hello") == 0,
              "%s", head);
    free(body);
    shutdown(c.fd, SHUT_WR);
    cr_assert(eg_client_wait(&c, NULL, 0) && !c.reset); /* the origin sees our end and ends too */
    eg_client_close(&c);
    cr_assert(eg_world_await_event(&w, 1, "\"event\":\"end\"", "\"reason\":\"ok\""));
    eg_world_done(&w);
}

Test(tunnel, moves_bulk_unchanged, .timeout = 120)
{
    struct eg_world w;
    struct eg_client c;
    char head[8192], *body = NULL;
    size_t n = 0;
    setup(&w);
    cr_assert(connect_port(&c, &w, "raw.test", w.plain_port) == 200);
    eg_client_text(&c, "GET /bytes/20000000 HTTP/1.1\r\nHost: raw.test\r\n\r\n");
    cr_assert(eg_client_response(&c, head, sizeof head, &body, &n) == 200 && n == 20000000, "%zu",
              n);
    free(body);
    eg_client_close(&c);
    eg_world_done(&w);
}

Test(tunnel, of_scheme_http_is_judged_request_by_request, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char head[8192], *body = NULL;
    setup(&w);
    cr_assert(connect_port(&c, &w, "web.test", w.plain_port) == 200);
    for (int i = 0; i < 3; i++) {
        eg_client_text(&c, "GET /headers HTTP/1.1\r\nHost: web.test:%u\r\n\r\n", w.plain_port);
        cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200, "%s", head);
        free(body);
    }
    eg_client_text(&c, "GET /headers HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 421 &&
                  eg_head_has(head, "X-Egress-Reason", "misdirected"),
              "%s", head);
    eg_client_close(&c);
    char *rec = eg_world_read(&w, "plain.rec", NULL);
    cr_assert(strstr(rec, "evil.test") == NULL && count(rec, "GET /headers") == 3, "%s", rec);
    free(rec);
    eg_world_done(&w);
}

Test(tunnel, to_a_dead_port_says_so, .timeout = 60)
{
    struct eg_world w;
    setup(&w);
    unsigned port = w.origin_port;
    eg_proc_end(&w.origin, SIGKILL);
    refused(&w, "ok.wild.test", port, 502, "connect_refused");
    eg_world_done(&w);
}

Test(tunnel, refusal_names_the_next_step, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char head[8192], *body = NULL;
    setup(&w);
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c, "CONNECT evil.test:443 HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                   w.token);
    cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 403);
    cr_assert(strstr(body, "add \\\"- evil.test\\\" to allow in "), "%s", body);
    cr_assert(strstr(body, "This is policy, not an outage"), "%s", body);
    free(body);
    eg_client_close(&c);
    eg_world_done(&w);
}
