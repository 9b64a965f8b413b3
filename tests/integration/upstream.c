/* upstream.c - an upstream http proxy: real squid where it is installed, else and for the exact
 * bytes a proxy played by the test. Policy is judged before the proxy is asked, and it never
 * sees a token of the child's. */
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/peer.h"

#define RIGHT   "corp:Aladdin-opens-sesame"
#define RIGHT64 "Y29ycDpBbGFkZGluLW9wZW5zLXNlc2FtZQ=="

static const char POLICY[] = "egress: 1\n"
                             "allow:\n"
                             "  - {host: web.test, scheme: http, ports: [@PLAIN@]}\n"
                             "  - {host: raw.test, scheme: tcp, ports: [@PLAIN@]}\n"
                             "  - {host: refused.test, scheme: tcp, ports: [@PLAIN@]}\n"
                             "  - {host: local.test, scheme: tcp, ports: [@PLAIN@]}\n"
                             "services:\n"
                             "  api: {upstream: \"https://api.example.test:@ORIGIN@\"}\n"
                             "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"
                             "tls: {ca: \"@DIR@/ca.pem\", system: false}\n"
                             "credentials:\n"
                             "  corp: {from: env:TEST_CORP, hosts: [127.0.0.1]}\n"
                             "upstream: {proxies: [{proxy: \"http://127.0.0.1:%u\"%s}]%s}\n%s";

static const char *const NAMES[] = { "web.test=127.0.0.1", "raw.test=127.0.0.1",
                                     "local.test=10.1.2.3", "api.example.test=127.0.0.1", NULL };

static void start(struct eg_world *w, unsigned proxy, const char *more, const char *resolve,
                  const char *secret)
{
    char policy[2048], variable[100];
    const char *environment[] = { variable, NULL };
    /* the proxy's own address is private and not opened: it is no destination of the child's */
    snprintf(policy, sizeof policy, POLICY, proxy, more, resolve,
             resolve[0] ? "networks: {allow: [127.0.0.1/32]}\n" : "");
    snprintf(variable, sizeof variable, "TEST_CORP=%s", secret);
    eg_world_dns(w, NAMES);
    eg_world_egressd(w, policy, NULL, environment);
}

static void new_world(struct eg_world *w)
{
    eg_world_new(w);
    eg_world_origin(w, NULL);
    eg_world_plain(w);
}

/* CONNECT on a new connection; the status, with the reason checked when there is one. */
static int tunnel(const struct eg_world *w, struct eg_client *c, const char *host,
                  const char *reason)
{
    char head[8192];
    eg_client_open(c, w->proxy_port);
    eg_client_text(c, "CONNECT %s:%u HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n", host,
                   w->plain_port, w->token);
    int status = eg_client_response(c, head, sizeof head, NULL, NULL);
    cr_expect(!reason || eg_head_has(head, "X-Egress-Reason", reason), "%s: want %s: %s", host,
              reason, head);
    cr_expect(!eg_head_has(head, "Proxy-Authenticate", NULL), "%s", head);
    return status;
}

static int forward(const struct eg_world *w, struct eg_client *c, const char *path,
                   const char *reason)
{
    char head[8192];
    eg_client_open(c, w->proxy_port);
    eg_client_text(c,
                   "GET http://web.test:%u%s HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer "
                   "%s\r\n\r\n",
                   w->plain_port, path, w->token);
    int status = eg_client_response(c, head, sizeof head, NULL, NULL);
    cr_expect(!reason || eg_head_has(head, "X-Egress-Reason", reason), "want %s: %s", reason, head);
    return status;
}

/* ---- squid ---- */

static const char SQUID[] =
    "http_port 127.0.0.1:%u\n"
    "pid_filename none\nmemory_cache_shared off\ncache deny all\ncache_mem 4 "
    "MB\nmax_filedescriptors 512\n"
    "access_log stdio:%s/squid/access.log\ncache_log %s/squid/cache.log\nnetdb_filename none\n"
    "cache_store_log none\nvisible_hostname squid.test\nhosts_file %s/squid/hosts\n"
    "pinger_enable off\nshutdown_lifetime 0 seconds\ncoredump_dir none\n"
    "auth_param basic program /bin/sh %s/squid/auth\nauth_param basic children 1 startup=1\n"
    "acl known proxy_auth REQUIRED\nacl refused dstdomain refused.test\nhttp_access deny refused\n"
    "http_access %s\nhttp_access deny all\n";

static void write_squid(const struct eg_world *w, unsigned port, bool auth)
{
    char text[2048];
    cr_assert(mkdir(eg_world_path(w, "squid"), 0777) == 0);
    cr_assert(chmod(w->dir, 0711) == 0 && chmod(eg_world_path(w, "squid"), 0777) == 0);
    snprintf(text, sizeof text, SQUID, port, w->dir, w->dir, w->dir, w->dir,
             auth ? "allow known" : "allow all");
    eg_world_write(w, "squid/conf", text);
    eg_world_write(w, "squid/hosts",
                   "127.0.0.1 web.test\n127.0.0.1 raw.test\n127.0.0.1 api.example.test\n");
    eg_world_write(w, "squid/auth",
                   "while read -r u p; do\n"
                   "[ \"$u:$p\" = " RIGHT " ] && echo OK || echo ERR\ndone\n");
    cr_assert(chmod(eg_world_path(w, "squid/hosts"), 0644) == 0 &&
              chmod(eg_world_path(w, "squid/auth"), 0644) == 0 &&
              chmod(eg_world_path(w, "squid/conf"), 0644) == 0);
}

/* Reads what squid says until it accepts; the socket buffer of the pipe holds the rest. */
static void await_squid(struct eg_proc *squid)
{
    char text[16384] = "";
    size_t n = 0;
    uint64_t deadline = eg_clock_ms() + EG_PROC_DEADLINE_MS;
    while (!strstr(text, "Accepting HTTP Socket")) {
        struct pollfd p = { .fd = squid->out, .events = POLLIN };
        uint64_t now = eg_clock_ms();
        cr_assert(now < deadline && n + 1 < sizeof text && poll(&p, 1, (int)(deadline - now)) == 1,
                  "squid: %s", text);
        ssize_t got = read(squid->out, text + n, sizeof text - 1 - n);
        cr_assert(got > 0, "squid ended: %s%s", squid->ready, text);
        n += (size_t)got;
        text[n] = 0;
    }
}

/* false: there is none, the test was skipped. */
static unsigned start_squid(struct eg_world *w, struct eg_proc *squid, bool auth)
{
    static const char *const places[] = { "/usr/sbin/squid", "/usr/local/sbin/squid" };
    const char *program = NULL;
    for (unsigned i = 0; i < 2 && !program; i++)
        program = access(places[i], X_OK) == 0 ? places[i] : NULL;
    if (!program) {
        fprintf(stderr, "skipped: squid is not installed\n");
        cr_skip_test("squid is not installed");
    }
    uint16_t port;
    close(eg_peer_listen(&port));
    write_squid(w, port, auth);
    char name[32]; /* of its shared memory: other squids may run beside it */
    snprintf(name, sizeof name, "egress%u", port);
    const char *argv[] = { "/bin/sh",
                           "-c",
                           "echo starting; exec \"$0\" -N -d 1 -n \"$2\" -f \"$1\" 2>&1",
                           program,
                           eg_world_path(w, "squid/conf"),
                           name,
                           NULL };
    eg_proc_start(squid, w, "squid", argv, NULL);
    await_squid(squid);
    return port;
}

static char *squid_log(const struct eg_world *w, struct eg_proc *squid)
{
    eg_proc_end(squid, SIGTERM); /* what it did is written then */
    return eg_world_read(w, "squid/access.log", NULL);
}

Test(upstream, carries_tunnels_routes_and_plain_http_through_squid, .timeout = 90)
{
    struct eg_world w;
    struct eg_proc squid = { 0 };
    struct eg_client c;
    char head[8192], want[100], *body = NULL;
    new_world(&w);
    start(&w, start_squid(&w, &squid, false), "", "", "x:y");
    cr_assert(tunnel(&w, &c, "raw.test", NULL) == 200);
    eg_client_text(&c, "POST /echo HTTP/1.1\r\nHost: r\r\nContent-Length: 5\r\n\r\nhello");
    cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200 &&
              strcmp(body, "hello") == 0);
    free(body);
    eg_client_close(&c);
    eg_client_open(&c, w.proxy_port);
    for (int i = 0; i < 3;
         i++) { /* kept: judged again by what was judged, not by squid's address */
        eg_client_text(&c, "GET /api/bytes/10 HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
                       w.proxy_port);
        cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 200, "%s", head);
    }
    eg_client_close(&c);
    cr_assert(forward(&w, &c, "/status/204", NULL) == 204);
    eg_client_close(&c);
    cr_assert(tunnel(&w, &c, "refused.test", "upstream_proxy_refused") == 502);
    eg_client_close(&c);
    cr_assert(tunnel(&w, &c, "evil.test", "host_not_allowed") == 403);
    eg_client_close(&c);
    char *log = squid_log(&w, &squid);
    snprintf(want, sizeof want, "CONNECT raw.test:%u ", w.plain_port);
    cr_assert(eg_text_count(log, want) == 1, "%s", log);
    snprintf(want, sizeof want, "CONNECT api.example.test:%u ", w.origin_port);
    cr_assert(eg_text_count(log, want) == 1, "one CONNECT for three requests: %s", log);
    snprintf(want, sizeof want, "GET http://web.test:%u/status/204 ", w.plain_port);
    cr_assert(eg_text_count(log, want) == 1 && !strstr(log, "evil"), "%s", log);
    free(log);
    char *rec = eg_world_read(&w, "plain.rec", NULL);
    cr_assert(!strstr(rec, w.token), "%s", rec);
    free(rec);
    eg_world_done(&w);
}

Test(upstream, shows_squid_its_credential, .timeout = 90)
{
    struct eg_world w;
    struct eg_proc squid = { 0 };
    struct eg_client c;
    new_world(&w);
    start(&w, start_squid(&w, &squid, true), ", credential: corp", "", RIGHT);
    cr_assert(tunnel(&w, &c, "raw.test", NULL) == 200);
    eg_client_close(&c);
    cr_assert(forward(&w, &c, "/status/204", NULL) == 204);
    eg_client_close(&c);
    char *rec = eg_world_read(&w, "plain.rec", NULL);
    cr_assert(!strstr(rec, RIGHT64) && !strstr(rec, w.token), "%s", rec);
    free(rec);
    eg_proc_end(&squid, SIGTERM);
    eg_world_done(&w);
}

Test(upstream, squids_407_never_reaches_the_child, .timeout = 90)
{
    struct eg_world w;
    struct eg_proc squid = { 0 };
    struct eg_client c;
    new_world(&w);
    start(&w, start_squid(&w, &squid, true), ", credential: corp", "", "corp:wrong");
    cr_assert(tunnel(&w, &c, "raw.test", "upstream_proxy_auth") == 502);
    eg_client_close(&c);
    cr_assert(forward(&w, &c, "/x", "upstream_proxy_auth") == 502);
    eg_client_close(&c);
    eg_world_saw_nothing(&w);
    cr_assert(eg_world_await_event(&w, 2, "\"event\":\"end\"", "upstream_proxy_auth"));
    eg_proc_end(&squid, SIGTERM);
    eg_world_done(&w);
}

/* ---- a proxy that the test plays ---- */

Test(upstream, that_is_dead_is_a_clear_502, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    new_world(&w);
    start(&w, eg_peer_refusing(), "", "", "x:y");
    cr_assert(tunnel(&w, &c, "raw.test", "connect_refused") == 502);
    eg_client_close(&c);
    cr_assert(forward(&w, &c, "/", "connect_refused") == 502);
    eg_client_close(&c);
    eg_world_saw_nothing(&w);
    eg_world_done(&w);
}

/* Sends CONNECT, has the played proxy answer it, returns the status that the child gets. */
static int answered(const struct eg_world *w, int listener, const char *answer, const char *reason)
{
    struct eg_client c, p;
    char head[8192];
    eg_client_open(&c, w->proxy_port);
    eg_client_text(&c, "CONNECT raw.test:%u HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                   w->plain_port, w->token);
    eg_peer_request(listener, &p);
    eg_client_text(&p, "%s", answer);
    eg_client_close(&p);
    int status = eg_client_response(&c, head, sizeof head, NULL, NULL);
    cr_expect(eg_head_has(head, "X-Egress-Reason", reason), "%s: want %s: %s", answer, reason,
              head);
    eg_client_close(&c);
    return status;
}

Test(upstream, that_misbehaves_is_a_clear_502, .timeout = 60)
{
    struct eg_world w;
    uint16_t port;
    new_world(&w);
    int listener = eg_peer_listen(&port);
    start(&w, port, "", "", "x:y");
    cr_expect(answered(&w, listener, "", "upstream_proxy_failed") == 502);
    cr_expect(answered(&w, listener, "nonsense\r\n\r\n", "upstream_proxy_failed") == 502);
    cr_expect(answered(&w, listener, "HTTP/1.1 200 O", "upstream_proxy_failed") == 502);
    cr_expect(answered(&w, listener, "HTTP/1.1 302 x\r\nLocation: http://a/\r\n\r\n",
                       "upstream_proxy_failed") == 502);
    cr_expect(answered(&w, listener, "HTTP/1.1 403 no\r\nContent-Length: 0\r\n\r\n",
                       "upstream_proxy_refused") == 502);
    cr_expect(answered(&w, listener,
                       "HTTP/1.1 407 who\r\nProxy-Authenticate: Basic realm=\"corp\"\r\n\r\n",
                       "upstream_proxy_auth") == 502);
    eg_world_saw_nothing(&w);
    eg_world_done(&w);
}

Test(upstream, is_asked_for_what_was_judged_and_with_no_token, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, p;
    char want[200];
    uint16_t port;
    new_world(&w);
    int listener = eg_peer_listen(&port);
    start(&w, port, ", credential: corp", "", RIGHT);
    cr_assert(tunnel(&w, &c, "evil.test", "host_not_allowed") == 403);
    eg_client_close(&c);
    cr_assert(eg_peer_unused(listener), "policy is judged before the proxy is asked");
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c,
                   "CONNECT raw.test:%u HTTP/1.1\r\nX-Mine: 1\r\nProxy-Authorization: Bearer "
                   "%s\r\n\r\n",
                   w.plain_port, w.token);
    eg_peer_request(listener, &p);
    snprintf(want, sizeof want,
             "CONNECT raw.test:%u HTTP/1.1\r\nHost: raw.test:%u\r\nProxy-Authorization: "
             "Basic " RIGHT64 "\r\n\r\n",
             w.plain_port, w.plain_port);
    cr_assert_str_eq(p.buf, want);
    eg_client_close(&p);
    eg_client_close(&c);
    char *asked = eg_world_read(&w, "dns.log", NULL);
    cr_assert(strlen(asked) == 0, "resolve: remote asks nothing here: %s", asked);
    free(asked);
    eg_world_done(&w);
}

Test(upstream, of_plain_http_gets_the_absolute_form_written_anew, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, p;
    char head[8192], want[300];
    uint16_t port;
    new_world(&w);
    int listener = eg_peer_listen(&port);
    start(&w, port, ", credential: corp", "", RIGHT);
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c,
                   "GET http://WEB.test:%u/a%%41?q HTTP/1.1\r\nHost: evil\r\nProxy-Authorization: "
                   "Bearer %s\r\n\r\n",
                   w.plain_port, w.token);
    eg_peer_request(listener, &p);
    snprintf(want, sizeof want,
             "GET http://web.test:%u/aA?q HTTP/1.1\r\nHost: web.test:%u\r\nProxy-Authorization: "
             "Basic " RIGHT64 "\r\n\r\n",
             w.plain_port, w.plain_port);
    cr_assert_str_eq(p.buf, want);
    eg_client_text(&p, "HTTP/1.1 407 who\r\nProxy-Authenticate: Basic "
                       "realm=\"corp\"\r\nContent-Length: 0\r\n\r\n");
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 502 &&
                  eg_head_has(head, "X-Egress-Reason", "upstream_proxy_auth") &&
                  !strstr(head, "corp"),
              "%s", head);
    eg_client_close(&p);
    eg_client_close(&c);
    eg_world_done(&w);
}

Test(upstream, keeps_its_tunnels_over_a_reload, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, p;
    char head[8192], *policy;
    uint16_t port;
    new_world(&w);
    int listener = eg_peer_listen(&port);
    start(&w, port, "", "", "x:y");
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c, "CONNECT raw.test:%u HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                   w.plain_port, w.token);
    eg_peer_request(listener, &p);
    eg_client_take(&p, p.len);
    eg_client_text(&p, "HTTP/1.1 200 ok\r\n\r\n");
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 200, "%s", head);
    policy = eg_world_read(&w, "egress.yaml", NULL);
    char *changed = malloc(strlen(policy) + 32);
    cr_assert(changed != NULL);
    snprintf(changed, strlen(policy) + 32, "%sdeny: [evil.test]\n", policy);
    eg_world_policy(&w, changed);
    cr_assert(kill(w.egressd.pid, SIGHUP) == 0);
    cr_assert(eg_world_await_event(&w, 1, "\"reason\":\"reloaded\"", "\"event\":\"system\""));
    eg_client_text(&c, "up");
    cr_assert(eg_client_wait(&p, "up", 0));
    eg_client_text(&p, "down");
    cr_assert(eg_client_wait(&c, "down", 0));
    free(changed);
    free(policy);
    eg_client_close(&p);
    eg_client_close(&c);
    eg_world_done(&w);
}

/* resolve: local: the one asked for is the address that was judged, for tunnels and for plain
 * http (invariant 2). */
Test(upstream, with_resolve_local_is_asked_for_the_judged_address, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, p;
    char head[8192], want[200];
    uint16_t port;
    new_world(&w);
    int listener = eg_peer_listen(&port);
    start(&w, port, "", ", resolve: local", "x:y");
    snprintf(want, sizeof want, "CONNECT 127.0.0.1:%u HTTP/1.1\r\n", w.plain_port);
    cr_assert(tunnel(&w, &c, "local.test", "address_denied") == 403);
    eg_client_close(&c);
    cr_assert(eg_peer_unused(listener));
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c, "CONNECT raw.test:%u HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                   w.plain_port, w.token);
    eg_peer_request(listener, &p);
    cr_assert(strncmp(p.buf, want, strlen(want)) == 0, "%s", p.buf);
    eg_client_text(&p, "HTTP/1.1 200 ok\r\n\r\nearly");
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 200, "%s", head);
    cr_assert(eg_client_wait(&c, "early", 0)); /* what came with the answer belongs to the tunnel */
    eg_client_close(&p);
    eg_client_close(&c);
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c,
                   "GET http://web.test:%u/x HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer "
                   "%s\r\n\r\n",
                   w.plain_port, w.token);
    eg_peer_request(listener, &p);
    cr_assert(strncmp(p.buf, want, strlen(want)) == 0, "%s", p.buf);
    eg_client_take(&p, p.len);
    eg_client_text(&p, "HTTP/1.1 200 ok\r\n\r\n");
    cr_assert(eg_client_wait(&p, "\r\n\r\n", 0) && strncmp(p.buf, "GET /x HTTP/1.1\r\n", 17) == 0,
              "%s", p.buf);
    cr_assert(!strstr(p.buf, w.token));
    eg_client_close(&p);
    eg_client_close(&c);
    eg_world_done(&w);
}
