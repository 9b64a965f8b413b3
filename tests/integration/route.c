/* route.c - credential routes against a real egressd and a TLS origin that records every byte it gets. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "support/daemon.h"

#define REAL "sk-live-0123456789abcdefghijklmnopqrstuvwxyzABCD"

static const char POLICY[] =
    "egress: 1\n"
    "services:\n"
    "  api:\n"
    "    upstream: https://api.example.test:@ORIGIN@\n"
    "    credential: key\n"
    "    accept: [bearer, \"header:x-api-key\"]\n"
    "    write: [\"header:Authorization: Bearer {}\", \"header:x-org: acme\"]\n"
    "    strip: [\"header:x-debug\"]\n"
    "    env: {base_url: API_BASE_URL, base_path: /v1, key: [API_KEY]}\n"
    "    shape: {prefix: \"sk-\"}\n"
    "  other:\n"
    "    upstream: https://api.example.test:@ORIGIN@\n"
    "    credential: key\n"
    "    write: [\"header:x-api-key: {}\"]\n"
    "  lost:\n"
    "    upstream: https://api.example.test:@ORIGIN@\n"
    "    credential: absent\n"
    "    write: [\"header:x-api-key: {}\"]\n"
    "  plain: {upstream: \"https://api.example.test:@ORIGIN@\"}\n"
    "  wrong: {upstream: \"https://wrong.test:@ORIGIN@\"}\n"
    "credentials:\n"
    "  key: {from: env:TEST_REAL_KEY, hosts: [api.example.test]}\n"
    "  absent: {from: env:TEST_ABSENT_KEY, hosts: [api.example.test]}\n"
    "networks: {allow: [127.0.0.1/32]}\n"
    "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"
    "tls: {ca: \"@DIR@/ca.pem\", system: false}\n";

static const char *const ENVIRONMENT[] = { "TEST_REAL_KEY=" REAL, NULL };
static const char *const NAMES[] = { "api.example.test=127.0.0.1", "wrong.test=127.0.0.1", NULL };

/* The phantom of the session's service, as `egressctl env` shows it. */
static void phantom_of(const struct eg_world *w, const char *variable, char *out, size_t cap)
{
    char prefix[64], *text = eg_daemon_environment(w);
    snprintf(prefix, sizeof prefix, "\"%s\"", variable);
    char *at = strstr(text, prefix);
    cr_assert(at != NULL, "%s in %s", variable, text);
    at = strchr(strchr(at, ':'), '"') + 1;
    snprintf(out, cap, "%.*s", (int)strcspn(at, "\""), at);
    free(text);
}

static void setup(struct eg_world *w, char *phantom, size_t cap)
{
    eg_world_new(w);
    eg_world_origin(w, NULL);
    eg_world_dns(w, NAMES);
    eg_world_egressd(w, POLICY, NULL, ENVIRONMENT);
    phantom_of(w, "API_KEY", phantom, cap);
}

static unsigned count(const char *text, const char *needle)
{
    unsigned n = 0;
    for (; (text = strstr(text, needle)); text++)
        n++;
    return n;
}

static void ask(struct eg_client *c, const struct eg_world *w, const char *method, const char *path,
                const char *fields)
{
    eg_client_text(c, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s\r\n", method, path, w->proxy_port,
                   fields);
}

static void refused(const struct eg_world *w, const char *path, const char *fields, int status,
                    const char *reason)
{
    struct eg_client c;
    char head[8192];
    eg_client_open(&c, w->proxy_port);
    ask(&c, w, "GET", path, fields);
    int got = eg_client_response(&c, head, sizeof head, NULL, NULL);
    cr_expect(got == status && eg_head_has(head, "X-Egress-Reason", reason),
              "%s %s: want %d %s: %s", path, fields, status, reason, head);
    eg_client_close(&c);
}

Test(route, swaps_the_phantom_for_the_credential, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char phantom[600], head[8192], fields[1400], *body = NULL;
    setup(&w, phantom, sizeof phantom);
    cr_assert(strlen(phantom) == strlen(REAL) && strncmp(phantom, "sk-", 3) == 0 &&
                  strcmp(phantom, REAL) != 0,
              "%s", phantom);
    eg_client_open(&c, w.proxy_port);
    snprintf(fields, sizeof fields,
             "Authorization: Bearer %s\r\nx-api-key: %s\r\nx-debug: 1\r\nx-org: "
             "evil\r\nUser-Agent: t\r\n",
             phantom, phantom);
    ask(&c, &w, "GET", "/api/v1/models?limit=3", fields);
    cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) >= 200, "%s", head);
    free(body);
    char *rec = eg_world_read(&w, "origin.rec", NULL);
    cr_assert(count(rec, REAL) == 1 && strstr(rec, "Authorization: Bearer " REAL "\r\n"), "%s",
              rec);
    cr_assert(strstr(rec, phantom) == NULL && strcasestr(rec, "x-api-key") == NULL &&
                  strcasestr(rec, "x-debug") == NULL,
              "%s", rec);
    cr_assert(strstr(rec, "GET /v1/models?limit=3 HTTP/1.1\r\n") &&
                  strstr(rec, "x-org: acme\r\n") && !strstr(rec, "evil"),
              "%s", rec);
    free(rec);
    char *events = eg_world_events(&w);
    cr_assert(eg_events_with(events, "\"event\":\"decision\"", "\"credential\":\"key\"",
                             "\"service\":\"api\"", "\"path\":\"/v1/models\"", NULL) == 1,
              "%s", events);
    cr_assert(strstr(events, REAL) == NULL && strstr(events, phantom) == NULL);
    free(events);
    eg_client_close(&c);
    eg_world_done(&w);
}

Test(route, refuses_a_missing_or_wrong_phantom, .timeout = 60)
{
    struct eg_world w;
    char phantom[600], fields[1400];
    setup(&w, phantom, sizeof phantom);
    refused(&w, "/api/v1/x", "", 401, "phantom_missing");
    refused(&w, "/api/v1/x", "Authorization: Bearer " REAL "\r\n", 401, "phantom_invalid");
    snprintf(fields, sizeof fields, "Authorization: Bearer %s\r\nx-api-key: something-else\r\n",
             phantom);
    refused(&w, "/api/v1/x", fields, 401,
            "phantom_invalid"); /* an accepted slot that holds anything else */
    snprintf(fields, sizeof fields, "x-api-key: %s\r\n", phantom);
    refused(&w, "/other/v1/x", fields, 401, "phantom_invalid"); /* another service's */
    snprintf(fields, sizeof fields, "Authorization: Bearer %s\r\n", w.token);
    refused(&w, "/api/v1/x", fields, 401, "phantom_invalid"); /* the session token opens no route */
    snprintf(fields, sizeof fields,
             "Authorization: Bearer %s\r\nProxy-Authorization: Bearer %064d\r\n", phantom, 1);
    refused(&w, "/api/v1/x", fields, 407, "token_invalid");
    char *rec = eg_world_read(&w, "origin.rec", NULL);
    cr_assert(strlen(rec) == 0, "%s", rec);
    free(rec);
    eg_world_done(&w);
}

Test(route, refuses_phantoms_where_they_do_not_belong, .timeout = 60)
{
    struct eg_world w;
    char phantom[600], fields[2000], path[900];
    setup(&w, phantom, sizeof phantom);
    snprintf(fields, sizeof fields, "Authorization: Bearer %s\r\nCookie: a=%s\r\n", phantom,
             phantom);
    refused(&w, "/api/v1/x", fields, 403, "canary");
    snprintf(fields, sizeof fields, "Authorization: Bearer %s\r\n", phantom);
    snprintf(path, sizeof path, "/api/v1/x?key=%s", phantom);
    refused(&w, path, fields, 403, "canary");
    snprintf(fields, sizeof fields, "Authorization: Bearer %s\r\nx-note: %s\r\n", phantom, w.token);
    refused(&w, "/api/v1/x", fields, 403, "canary");
    char *events = eg_world_events(&w), *rec = eg_world_read(&w, "origin.rec", NULL);
    cr_assert(eg_events_with(events, "\"event\":\"canary\"", NULL) == 3, "%s", events);
    cr_assert(strlen(rec) == 0, "%s", rec);
    free(events);
    free(rec);
    eg_world_done(&w);
}

Test(route, answers_only_to_its_own_authority, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char phantom[600], head[8192];
    const char *hosts[] = { "evil.test", "127.0.0.1:1", "127.0.0.1", "localhost.evil.test" };
    setup(&w, phantom, sizeof phantom);
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        eg_client_open(&c, w.proxy_port);
        eg_client_text(&c, "GET /api/v1/x HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n",
                       hosts[i], phantom);
        cr_expect(eg_client_response(&c, head, sizeof head, NULL, NULL) == 421, "%s: %s", hosts[i],
                  head);
        eg_client_close(&c);
    }
    eg_client_open(&c, w.proxy_port); /* absolute-form of ourselves is a request to a route */
    eg_client_text(&c,
                   "GET http://localhost:%u/api/headers HTTP/1.1\r\nHost: "
                   "localhost:%u\r\nAuthorization: Bearer %s\r\n\r\n",
                   w.proxy_port, w.proxy_port, phantom);
    cr_expect(eg_client_response(&c, head, sizeof head, NULL, NULL) == 200, "%s", head);
    eg_client_close(&c);
    refused(&w, "/nothing/here", "", 404, "route_unknown");
    eg_world_done(&w);
}

Test(route, whose_credential_is_missing_says_so, .timeout = 60)
{
    struct eg_world w;
    char phantom[600], *text = NULL;
    setup(&w, phantom, sizeof phantom);
    const char *argv[] = { EG_BUILD_DIR "/egressctl",
                           "env",
                           "--control",
                           w.control,
                           "--session",
                           "default",
                           "--format",
                           "json",
                           NULL };
    cr_assert(eg_proc_run(&w, argv, NULL, &text) == 0);
    cr_assert(strstr(text, "LOST_BASE_URL") != NULL &&
                  strstr(text, "\"TEST_ABSENT_KEY\":") == NULL &&
                  strstr(text, "LOST_API_KEY") == NULL,
              "%s", text);
    free(text);
    refused(&w, "/lost/v1/x", "Authorization: Bearer whatever-it-is-that-one-sends\r\n", 401,
            "phantom_invalid");
    eg_world_done(&w);
}

Test(route, without_a_credential_is_plain, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char phantom[600], head[8192];
    setup(&w, phantom, sizeof phantom);
    eg_client_open(&c, w.proxy_port);
    ask(&c, &w, "GET", "/plain/headers", "Authorization: Bearer mine\r\n");
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 200, "%s", head);
    char *rec = eg_world_read(&w, "origin.rec", NULL);
    cr_assert(strstr(rec, "Authorization: Bearer mine\r\n") && strstr(rec, REAL) == NULL, "%s",
              rec);
    free(rec);
    eg_client_close(&c);
    eg_world_done(&w);
}

Test(route, to_a_wrong_certificate_sends_nothing, .timeout = 60)
{
    struct eg_world w;
    char phantom[600];
    setup(&w, phantom, sizeof phantom);
    refused(&w, "/wrong/headers", "", 502, "tls_name");
    char *rec = eg_world_read(&w, "origin.rec", NULL);
    cr_assert(strlen(rec) == 0, "%s", rec);
    free(rec);
    eg_world_done(&w);
}

Test(route, keeps_connections_and_pipelines, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char phantom[600], head[8192], auth[700], *body = NULL;
    setup(&w, phantom, sizeof phantom);
    snprintf(auth, sizeof auth, "Authorization: Bearer %s\r\n", phantom);
    eg_client_open(&c, w.proxy_port);
    for (int i = 0; i < 60; i++)
        ask(&c, &w, "GET", "/api/bytes/10", auth);
    for (int i = 0; i < 60; i++) {
        size_t n = 0;
        cr_assert(eg_client_response(&c, head, sizeof head, &body, &n) == 200 && n == 10, "%d: %s",
                  i, head);
        free(body);
    }
    eg_client_close(&c);
    char *out = NULL;
    const char *argv[] = {
        EG_BUILD_DIR "/egressctl", "status", "--json", "--control", w.control, NULL
    };
    cr_assert(eg_proc_run(&w, argv, NULL, &out) == 0 && strstr(out, "tls_full"), "%s", out);
    const char *full = strstr(out, "tls_full");
    cr_assert(strtol(strchr(full, ':') + 1, NULL, 10) == 1, "one handshake for 60 requests: %s",
              out);
    free(out);
    eg_world_done(&w);
}

Test(route, streams_bodies_both_ways, .timeout = 120)
{
    struct eg_world w;
    struct eg_client c;
    char phantom[600], head[8192], auth[800], *body = NULL;
    size_t n = 0, size = 3000000;
    char *big = malloc(size);
    cr_assert(big != NULL);
    memset(big, 'x', size);
    setup(&w, phantom, sizeof phantom);
    eg_client_open(&c, w.proxy_port);
    snprintf(auth, sizeof auth, "Authorization: Bearer %s\r\nContent-Length: %zu\r\n", phantom,
             size);
    ask(&c, &w, "POST", "/api/echo", auth);
    eg_client_send(&c, big, size / 2);
    eg_client_send(&c, big + size / 2, size - size / 2);
    cr_assert(eg_client_response(&c, head, sizeof head, &body, &n) == 200 && n == size &&
                  memcmp(body, big, size) == 0,
              "%zu %s", n, head);
    free(body);
    snprintf(auth, sizeof auth, "Authorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n",
             phantom);
    ask(&c, &w, "POST", "/api/echo", auth);
    eg_client_text(&c, "5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: dropped\r\n\r\n");
    cr_assert(eg_client_response(&c, head, sizeof head, &body, &n) == 200 && n == 11 &&
                  memcmp(body, "hello world", 11) == 0,
              "%s", head);
    free(body);
    snprintf(auth, sizeof auth, "Authorization: Bearer %s\r\n", phantom);
    ask(&c, &w, "GET", "/api/chunked/100000", auth);
    cr_assert(eg_client_response(&c, head, sizeof head, &body, &n) == 200 && n == 100000, "%zu %s",
              n, head);
    free(body);
    char *rec = eg_world_read(&w, "origin.rec", NULL);
    cr_assert(strstr(rec, "X-Trailer") == NULL && strstr(rec, "ext=1") == NULL);
    free(rec);
    free(big);
    eg_client_close(&c);
    eg_world_done(&w);
}

Test(route, expects_continue_and_passes_early_hints, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char phantom[600], head[8192], fields[900], *body = NULL;
    setup(&w, phantom, sizeof phantom);
    eg_client_open(&c, w.proxy_port);
    snprintf(fields, sizeof fields,
             "Authorization: Bearer %s\r\nContent-Length: 4\r\nExpect: 100-continue\r\n", phantom);
    ask(&c, &w, "POST", "/api/continue", fields);
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 100, "%s",
              head); /* before a byte of the body */
    eg_client_text(&c, "body");
    cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200, "%s", head);
    free(body);
    snprintf(fields, sizeof fields, "Authorization: Bearer %s\r\n", phantom);
    ask(&c, &w, "GET", "/api/early-hints", fields);
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 103, "%s", head);
    cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200, "%s", head);
    free(body);
    snprintf(fields, sizeof fields, "Content-Length: 4\r\nExpect: 100-continue\r\n");
    ask(&c, &w, "POST", "/api/continue", fields);
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 401, "%s",
              head); /* refused without a 100 */
    eg_client_close(&c);
    eg_world_done(&w);
}

Test(route, passes_events_as_they_arrive, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, other;
    char phantom[600], head[8192], auth[700];
    setup(&w, phantom, sizeof phantom);
    snprintf(auth, sizeof auth, "Authorization: Bearer %s\r\n", phantom);
    eg_client_open(&c, w.proxy_port);
    ask(&c, &w, "GET", "/api/sse", auth);
    cr_assert(eg_client_wait(&c, "data: one", 0),
              "the first event comes while the origin holds the second back");
    cr_assert(memmem(c.buf, c.len, "data: two", 9) == NULL);
    eg_client_open(&other, w.proxy_port);
    ask(&other, &w, "GET", "/api/sse-go", auth);
    cr_assert(eg_client_response(&other, head, sizeof head, NULL, NULL) == 200, "%s", head);
    cr_assert(eg_client_wait(&c, "data: two", 0));
    eg_client_close(&other);
    eg_client_close(&c);
    eg_world_done(&w);
}

Test(route, never_makes_a_cut_body_look_whole, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char phantom[600], head[8192], auth[700];
    const char *paths[] = { "/api/truncate", "/api/die" };
    setup(&w, phantom, sizeof phantom);
    snprintf(auth, sizeof auth, "Authorization: Bearer %s\r\n", phantom);
    for (size_t i = 0; i < 2; i++) {
        eg_client_open(&c, w.proxy_port);
        ask(&c, &w, "GET", paths[i], auth);
        int status = eg_client_response(&c, head, sizeof head, NULL, NULL);
        cr_expect(status == -200 || status == 502 || status == 0, "%s: %d", paths[i], status);
        cr_expect(status == 502 || c.reset || c.eof);
        eg_client_close(&c);
    }
    eg_client_open(&c, w.proxy_port);
    ask(&c, &w, "GET", "/api/bad", auth);
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 502 &&
                  eg_head_has(head, "X-Egress-Reason", "bad_response"),
              "%s", head);
    eg_client_close(&c);
    cr_assert(
        eg_world_await_event(&w, 1, "\"reason\":\"response_truncated\"", "\"event\":\"end\""));
    eg_world_done(&w);
}

Test(route, leaves_the_origin_when_the_client_leaves, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char phantom[600], auth[700];
    setup(&w, phantom, sizeof phantom);
    snprintf(auth, sizeof auth, "Authorization: Bearer %s\r\n", phantom);
    eg_client_open(&c, w.proxy_port);
    ask(&c, &w, "GET", "/api/sse", auth);
    cr_assert(eg_client_wait(&c, "data: one", 0));
    eg_client_close(&c);
    cr_assert(eg_world_await_event(&w, 1, "\"reason\":\"client_gone\"", "\"event\":\"end\""));
    eg_world_done(&w);
}
