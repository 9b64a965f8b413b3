/* forward.c - plain http:// in absolute-form against a real egressd: what reaches the origin,
 * and what never does. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "support/peer.h"

static const char POLICY[] =
    "egress: 1\n"
    "allow:\n"
    "  - {host: web.test, scheme: http, ports: [@PLAIN@]}\n"
    "  - {host: small.test, scheme: http, ports: [@PLAIN@], max_request_body: 10}\n"
    "  - {host: \"*.wild.test\", scheme: http, ports: [@PLAIN@]}\n"
    "  - {host: local.test, scheme: http, ports: [@PLAIN@]}\n"
    "  - {host: meta.test, scheme: http, ports: [@PLAIN@]}\n"
    "  - {host: mixed.test, scheme: http, ports: [@PLAIN@]}\n"
    "  - {host: nowhere.test, scheme: http, ports: [@PLAIN@]}\n"
    "  - {host: \"*.many.localhost\", scheme: http, ports: [@PLAIN@]}\n"
    "deny: [bad.wild.test]\n"
    "services:\n"
    "  api:\n"
    "    upstream: http://127.0.0.1:@PLAIN@\n"
    "    credential: key\n"
    "    write: [\"header:Authorization: Bearer {}\"]\n"
    "    env: {key: [API_KEY]}\n"
    "  open: {upstream: \"http://127.0.0.1:@PLAIN@\"}\n"
    "credentials:\n"
    "  key: {from: env:TEST_REAL_KEY, hosts: [127.0.0.1]}\n"
    "networks: {allow: [127.0.0.1/32, \"::1/128\"]}\n"
    "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n";

static const char *const ENVIRONMENT[] = { "TEST_REAL_KEY=sk-live-0123456789abcdefghij", NULL };
static const char *const NAMES[] = { "web.test=127.0.0.1",        "small.test=127.0.0.1",
                                     "ok.wild.test=127.0.0.1",    "bad.wild.test=127.0.0.1",
                                     "evil.test=127.0.0.1",       "local.test=127.0.0.2",
                                     "meta.test=169.254.169.254", "mixed.test=127.0.0.1,10.0.0.1",
                                     "nowhere.test=nxdomain",     NULL };

static void setup(struct eg_world *w)
{
    eg_world_new(w);
    eg_world_plain(w);
    eg_world_dns(w, NAMES);
    eg_world_egressd(w, POLICY, NULL, ENVIRONMENT);
}

/* One request on c with the world's token and a Host that must not matter (httpjail 57); rest:
 * further fields, the empty line and the body. */
static void ask(struct eg_client *c, const struct eg_world *w, const char *method, const char *host,
                const char *path, const char *rest)
{
    eg_client_text(c,
                   "%s http://%s:%u%s HTTP/1.1\r\nHost: evil.test\r\nProxy-Authorization: Bearer "
                   "%s\r\n%s",
                   method, host, w->plain_port, path, w->token, rest);
}

static char *recorded(const struct eg_world *w)
{
    return eg_world_read(w, "plain.rec", NULL);
}

static void assert_origin_saw_nothing(const struct eg_world *w)
{
    char *rec = recorded(w);
    cr_assert(strlen(rec) == 0, "%s", rec);
    free(rec);
}

static void refused(const struct eg_world *w, const char *method, const char *host,
                    const char *path, const char *rest, int status, const char *reason)
{
    struct eg_client c;
    char head[8192], want[64];
    snprintf(want, sizeof want, "\"reason\":\"%s\"", reason);
    eg_client_open(&c, w->proxy_port);
    ask(&c, w, method, host, path, rest);
    int got = eg_client_response(&c, head, sizeof head, NULL, NULL);
    cr_expect(got == status && eg_head_has(head, "X-Egress-Reason", reason),
              "%s %s%s: want %d %s, got %d: %s", method, host, path, status, reason, got, head);
    eg_client_close(&c);
    char *events = eg_world_events(w);
    cr_expect(eg_events_with(events, "\"decision\":\"deny\"", want, NULL) >= 1, "%s: %s", want,
              events);
    free(events);
}

Test(forward, gets_and_rewrites_host_from_the_target, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char head[8192], want[100], *body = NULL;
    setup(&w);
    eg_client_open(&c, w.proxy_port);
    ask(&c, &w, "GET", "WEB.test.", "/headers?q=1#", "\r\n");
    int status = eg_client_response(&c, head, sizeof head, NULL, NULL);
    cr_assert(status == 400, "a fragment is no part of a request-target: %s", head);
    eg_client_close(&c);
    eg_client_open(&c, w.proxy_port);
    ask(&c, &w, "GET", "WEB.test.", "/headers?q=1", "X-Mine: yes\r\n\r\n");
    cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200, "%s", head);
    free(body);
    char *rec = recorded(&w);
    snprintf(want, sizeof want, "\r\nHost: web.test:%u\r\n", w.plain_port);
    cr_assert(strstr(rec, "GET /headers?q=1 HTTP/1.1\r\n") == rec, "%s", rec);
    cr_assert(strstr(rec, want) && eg_text_count(rec, "Host:") == 1 && !strstr(rec, "evil"), "%s",
              rec);
    cr_assert(!strstr(rec, w.token) && !strcasestr(rec, "proxy-") && strstr(rec, "X-Mine: yes"),
              "%s", rec);
    free(rec);
    eg_client_close(&c);
    cr_assert(eg_world_await_event(&w, 1, "\"event\":\"end\"", "\"status\":200"));
    eg_world_done(&w);
}

Test(forward, keeps_the_connection_for_bodies_of_both_kinds, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char head[8192], *body = NULL;
    setup(&w);
    eg_client_open(&c, w.proxy_port);
    ask(&c, &w, "POST", "web.test", "/echo", "Content-Length: 5\r\n\r\nhello");
    cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200 &&
                  strcmp(body, "hello") == 0,
              "%s", head);
    free(body);
    ask(&c, &w, "POST", "web.test", "/echo",
        "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Trailer: "
        "1\r\n\r\n");
    cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200 &&
                  strcmp(body, "abcdefg") == 0,
              "%s", head);
    free(body);
    ask(&c, &w, "POST", "web.test", "/echo", "\r\n"); /* no body: said so to the origin */
    cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200, "%s", head);
    free(body);
    for (int i = 0; i < 60; i++) { /* one connection serves many */
        ask(&c, &w, "GET", "web.test", "/bytes/100", "\r\n");
        cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 200, "%d: %s", i, head);
    }
    ask(&c, &w, "GET", "web.test", "/stats", "\r\n");
    cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200 &&
                  strstr(body, "\"connections\":1,"),
              "%s", body); /* and one to the origin too */
    free(body);
    char *rec = recorded(&w);
    cr_assert(!strstr(rec, "X-Trailer") && !strstr(rec, "x=y"), "%s", rec);
    cr_assert(strstr(rec, "Content-Length: 0\r\n") != NULL, "%s", rec);
    free(rec);
    eg_client_close(&c);
    eg_world_done(&w);
}

Test(forward, answers_pipelined_requests_in_order, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char head[8192], all[4096], *body = NULL;
    setup(&w);
    size_t n = 0;
    for (int i = 0; i < 5; i++)
        n += (size_t)snprintf(
            all + n, sizeof all - n,
            "POST http://web.test:%u/echo HTTP/1.1\r\nHost: x\r\nProxy-Authorization: "
            "Bearer %s\r\nContent-Length: 2\r\n\r\nn%d",
            w.plain_port, w.token, i);
    eg_client_open(&c, w.proxy_port);
    eg_client_send(&c, all, n);
    for (int i = 0; i < 5; i++) {
        char want[4] = { 'n', (char)('0' + i) };
        cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200, "%s", head);
        cr_assert_str_eq(body, want);
        free(body);
    }
    eg_client_close(&c);
    eg_world_done(&w);
}

Test(forward, hop_by_hop_tricks_remove_nothing_of_ours, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char head[8192], want[100], *body = NULL;
    setup(&w);
    eg_client_open(&c, w.proxy_port);
    ask(&c, &w, "POST", "web.test", "/echo",
        "Connection: Host, Content-Length, Authorization, X-Hop, keep-alive, Transfer-Encoding\r\n"
        "Authorization: Basic dTpw\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nTE: trailers\r\n"
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\nProxy-Connection: keep-alive\r\n"
        "Content-Length: 3\r\n\r\nabc");
    cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200 &&
                  strcmp(body, "abc") == 0,
              "%s", head);
    free(body);
    char *rec = recorded(&w);
    snprintf(want, sizeof want, "Host: web.test:%u\r\n", w.plain_port);
    cr_assert(strstr(rec, want) && strstr(rec, "Content-Length: 3\r\n"), "%s", rec);
    static const char *const gone[] = { "X-Hop",    "Keep-Alive", "\nTE:",       "Upgrade",
                                        "Settings", "Proxy-",     "Connection:", NULL };
    for (const char *const *g = gone; *g; g++)
        cr_assert(strcasestr(rec, *g) == NULL, "%s in %s", *g, rec);
    free(rec);
    eg_client_close(&c);
    eg_world_done(&w);
}

Test(forward, refuses_what_the_policy_does_not_allow, .timeout = 120)
{
    struct eg_world w;
    setup(&w);
    refused(&w, "GET", "evil.test", "/", "\r\n", 403, "host_not_allowed");
    refused(&w, "GET", "bad.wild.test", "/", "\r\n", 403, "host_denied"); /* deny beats allow */
    refused(&w, "GET", "wild.test", "/", "\r\n", 403, "host_not_allowed");
    refused(&w, "GET", "127.0.0.1", "/", "\r\n", 403, "host_not_allowed");
    refused(&w, "GET", "169.254.169.254", "/latest", "\r\n", 403, "metadata_denied");
    char *asked = eg_world_read(&w, "dns.log", NULL);
    cr_assert(strlen(asked) == 0, "no question for a refused name (T5): %s", asked);
    free(asked);
    refused(&w, "GET", "local.test", "/", "\r\n", 403, "address_denied");
    refused(&w, "GET", "meta.test", "/", "\r\n", 403, "metadata_denied");
    refused(&w, "GET", "mixed.test", "/", "\r\n", 403, "address_denied");
    refused(&w, "GET", "nowhere.test", "/", "\r\n", 502, "dns_not_found");
    assert_origin_saw_nothing(&w);
    eg_world_done(&w);
}

Test(forward, https_in_absolute_form_is_told_to_use_connect, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char head[8192], *body = NULL;
    setup(&w);
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c,
                   "GET https://web.test:%u/ HTTP/1.1\r\nHost: web.test\r\nProxy-Authorization: "
                   "Bearer %s\r\n\r\n",
                   w.plain_port, w.token);
    int status = eg_client_response(&c, head, sizeof head, &body, NULL);
    cr_assert(status == 400 && eg_head_has(head, "X-Egress-Reason", "bad_target"), "%s", head);
    cr_assert(body && strstr(body, "CONNECT"), "%s", body);
    free(body);
    eg_client_close(&c);
    assert_origin_saw_nothing(&w);
    eg_world_done(&w);
}

Test(forward, without_a_token_is_challenged, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char head[8192];
    setup(&w);
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c, "GET http://web.test:%u/ HTTP/1.1\r\nHost: web.test\r\n\r\n", w.plain_port);
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 407 &&
                  eg_head_has(head, "X-Egress-Reason", "token_missing"),
              "%s", head);
    eg_client_text(
        &c,
        "GET http://web.test:%u/ HTTP/1.1\r\nHost: web.test\r\nProxy-Authorization: Bearer "
        "%s\r\nProxy-Authorization: Bearer %s\r\n\r\n",
        w.plain_port, w.token, w.token);
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 407 &&
                  eg_head_has(head, "X-Egress-Reason", "token_invalid"),
              "%s", head);
    assert_origin_saw_nothing(&w);
    ask(&c, &w, "GET", "web.test", "/", "\r\n"); /* the same connection */
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 200, "%s", head);
    eg_client_text(&c, "GET http://web.test:%u/second HTTP/1.1\r\nHost: x\r\n\r\n", w.plain_port);
    int status = eg_client_response(&c, head, sizeof head, NULL, NULL);
    cr_assert(status == 407, "each request shows its token: %s", head);
    char *rec = recorded(&w);
    cr_assert(!strstr(rec, "second"), "%s", rec);
    free(rec);
    eg_client_close(&c);
    eg_world_done(&w);
}

Test(forward, a_token_or_phantom_where_it_does_not_belong_is_a_canary, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char text[400], phantom[200], head[8192], *out = NULL;
    setup(&w);
    const char *argv[] = { EG_BUILD_DIR "/egressctl",
                           "env",
                           "--control",
                           w.control,
                           "--session",
                           "default",
                           "--format",
                           "json",
                           NULL };
    cr_assert(eg_proc_run(&w, argv, NULL, &out) == 0, "%s", out);
    char *at = strstr(out, "\"API_KEY\"");
    cr_assert(at != NULL, "%s", out);
    at = strchr(strchr(at, ':'), '"') + 1;
    snprintf(phantom, sizeof phantom, "%.*s", (int)strcspn(at, "\""), at);
    free(out);
    snprintf(text, sizeof text, "/x?key=%s", w.token);
    refused(&w, "GET", "web.test", text, "\r\n", 403, "canary");
    snprintf(text, sizeof text, "Cookie: t=%s\r\n\r\n", w.token);
    refused(&w, "GET", "web.test", "/", text, 403, "canary");
    snprintf(text, sizeof text, "Authorization: Bearer %s\r\n\r\n", phantom);
    refused(&w, "GET", "web.test", "/", text, 403, "canary");
    snprintf(text, sizeof text, "/x?key=%%%02x%s", phantom[0], phantom + 1); /* percent-encoded */
    refused(&w, "GET", "web.test", text, "\r\n", 403, "canary");
    /* a plain route asks for no session, so whose secret it is has to be found out */
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c, "GET /open/x HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nX-Key: %s\r\n\r\n",
                   w.proxy_port, phantom);
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 403 &&
                  eg_head_has(head, "X-Egress-Reason", "canary"),
              "%s", head);
    eg_client_close(&c);
    assert_origin_saw_nothing(&w);
    char *events = eg_world_events(&w);
    cr_assert(eg_events_with(events, "\"event\":\"canary\"", NULL) >= 1, "%s", events);
    cr_assert(!strstr(events, w.token) && !strstr(events, phantom), "%s", events);
    free(events);
    eg_world_done(&w);
}

Test(forward, to_our_own_authority_is_a_route, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char head[8192];
    setup(&w);
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c, "GET http://localhost:%u/open/status/204 HTTP/1.1\r\nHost: x\r\n\r\n",
                   w.proxy_port);
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 204, "%s", head);
    eg_client_text(&c, "GET http://127.0.0.1:%u/absent/x HTTP/1.1\r\nHost: x\r\n\r\n",
                   w.proxy_port);
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 404 &&
                  eg_head_has(head, "X-Egress-Reason", "route_unknown"),
              "%s", head);
    eg_client_close(&c);
    eg_world_done(&w);
}

Test(forward, holds_bodies_to_max_request_body, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char head[8192], *body = NULL;
    setup(&w);
    refused(&w, "POST", "small.test", "/echo", "Content-Length: 11\r\n\r\nhello world", 413,
            "body_too_large");
    eg_client_open(&c, w.proxy_port); /* chunked: known only as it comes */
    ask(&c, &w, "POST", "small.test", "/echo",
        "Transfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n6\r\nghijkl\r\n0\r\n\r\n");
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 413 &&
                  eg_head_has(head, "X-Egress-Reason", "body_too_large"),
              "%s", head);
    eg_client_close(&c);
    assert_origin_saw_nothing(&w); /* no whole request */
    eg_client_open(&c, w.proxy_port);
    ask(&c, &w, "POST", "small.test", "/echo", "Content-Length: 10\r\n\r\nhelloworld");
    cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200, "%s", head);
    free(body);
    eg_client_close(&c);
    eg_world_done(&w);
}

Test(forward, serves_an_http_1_0_client, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char head[8192], *body = NULL;
    size_t n = 0;
    setup(&w);
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c,
                   "GET http://web.test:%u/chunked/70000 HTTP/1.0\r\nProxy-Authorization: Bearer "
                   "%s\r\n\r\n",
                   w.plain_port, w.token);
    cr_assert(eg_client_response(&c, head, sizeof head, &body, &n) == 200 && n == 70000, "%zu %s",
              n, head);
    cr_assert(!eg_head_has(head, "Transfer-Encoding", NULL) &&
                  eg_head_has(head, "Connection", "close") && !c.reset,
              "%s", head);
    free(body);
    eg_client_close(&c);
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c, /* RFC 9112 9.3: a proxy keeps no HTTP/1.0 connection, whatever is asked */
                   "GET http://web.test:%u/bytes/10 HTTP/1.0\r\nConnection: "
                   "keep-alive\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                   w.plain_port, w.token);
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 200 &&
                  eg_head_has(head, "Connection", "close"),
              "%s", head);
    eg_client_close(&c);
    eg_world_done(&w);
}

Test(forward, passes_100_continue_and_early_hints_on, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, o;
    char head[8192], *body = NULL;
    int listener;
    eg_world_new(&w);
    listener = eg_peer_listen(&w.plain_port);
    eg_world_dns(&w, NAMES);
    eg_world_egressd(&w, POLICY, NULL, ENVIRONMENT);
    eg_client_open(&c, w.proxy_port);
    ask(&c, &w, "POST", "web.test", "/", "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    eg_peer_request(listener, &o);
    cr_assert(strstr(o.buf, "Expect: 100-continue\r\n"), "%s", o.buf);
    eg_client_text(&o, "HTTP/1.1 100 Continue\r\n\r\n");
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 100, "%s", head);
    eg_client_text(&c, "hello");
    cr_assert(eg_client_wait(&o, "hello", 0));
    eg_client_text(&o, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 "
                       "OK\r\nContent-Length: 2\r\n\r\nok");
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 103, "%s", head);
    cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200 &&
                  strcmp(body, "ok") == 0,
              "%s", head);
    free(body);
    eg_client_close(&o);
    eg_client_close(&c);
    eg_world_done(&w);
}

/* More origins than are remembered: the newest are kept, not only the first. */
Test(forward, keeps_connections_to_the_origins_of_now, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char head[8192], host[64], *body, *first = NULL;
    setup(&w);
    eg_client_open(&c, w.proxy_port);
    for (int i = 0; i < 300; i++) {
        snprintf(host, sizeof host, "h%d.many.localhost", i);
        ask(&c, &w, "GET", host, "/status/204", "\r\n");
        cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 204, "%d: %s", i, head);
    }
    for (int i = 0; i < 2; i++) {
        ask(&c, &w, "GET", "new.many.localhost", "/stats", "\r\n");
        cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200, "%s", head);
        char *connections = strstr(body, "\"connections\"");
        cr_assert(connections != NULL, "%s", body);
        connections[strcspn(connections, ",")] = 0;
        if (i == 0)
            first = strdup(connections);
        else
            cr_assert_str_eq(connections, first, "a second connection was made");
        free(body);
    }
    free(first);
    eg_client_close(&c);
    eg_world_done(&w);
}
