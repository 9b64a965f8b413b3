/* privacy.c - audit.destinations: what is not to be kept stands in no record, log, status or
 * summary, for every way in, allowed or refused. What egressd is told by its own policy (its
 * listeners, its file names) is no destination. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/daemon.h"

static const char POLICY[] = "egress: 1\n"
                             "allow:\n"
                             "  - {host: raw.hush.test, scheme: tcp, ports: [@PLAIN@]}\n"
                             "  - {host: gone.hush.test, scheme: tcp, ports: [1]}\n"
                             "  - {host: lost.hush.test, scheme: tcp, ports: [@PLAIN@]}\n"
                             "  - {host: web.hush.test, scheme: http, ports: [@PLAIN@]}\n"
                             "deny: [denied.hush.test]\n"
                             "services:\n"
                             "  hushservice: {upstream: \"http://api.hush.test:@PLAIN@\"}\n"
                             "networks: {allow: [127.0.0.1/32]}\n"
                             "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"
                             "audit: {destinations: %s, file: \"@DIR@/audit.jsonl\"}\n";

static const char *const NAMES[] = { "raw.hush.test=127.0.0.1",    "gone.hush.test=127.0.0.1",
                                     "web.hush.test=127.0.0.1",    "api.hush.test=127.0.0.1",
                                     "private.hush.test=10.9.8.7", NULL };

static void start(struct eg_world *w, const char *destinations)
{
    static const char *const args[] = { "--log", "debug", NULL };
    char policy[2048];
    snprintf(policy, sizeof policy, POLICY, destinations);
    eg_world_new(w);
    eg_world_plain(w);
    eg_world_dns(w, NAMES);
    eg_world_egressd(w, policy, args, NULL);
}

static void end(struct eg_client *c)
{
    char *body = NULL;
    char head[8192];
    size_t n;
    (void)eg_client_response(c, head, sizeof head, &body, &n);
    free(body);
    eg_client_close(c);
}

static void tunnel(const struct eg_world *w, const char *host, unsigned port)
{
    struct eg_client c;
    eg_client_open(&c, w->proxy_port);
    eg_client_text(&c, "CONNECT %s:%u HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n", host,
                   port, w->token);
    end(&c);
}

static void forward(const struct eg_world *w, const char *host, const char *path)
{
    struct eg_client c;
    eg_client_open(&c, w->proxy_port);
    eg_client_text(&c,
                   "GET http://%s:%u%s HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer %s\r\n"
                   "Connection: close\r\n\r\n",
                   host, w->plain_port, path, w->token);
    end(&c);
}

static void route(const struct eg_world *w, const char *path)
{
    struct eg_client c;
    eg_client_open(&c, w->proxy_port);
    eg_client_text(&c,
                   "GET /hushservice%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                   "Proxy-Authorization: Bearer %s\r\nConnection: close\r\n\r\n",
                   path, w->proxy_port, w->token);
    end(&c);
}

static void socks(const struct eg_world *w, const char *host)
{
    struct eg_client c;
    unsigned char ask[300] = { 5, 1, 0, 3 };
    size_t n = strlen(host);
    eg_client_open(&c, w->proxy_port);
    eg_client_send(&c, "\x05\x01\x02", 3);
    cr_assert(eg_client_wait(&c, NULL, 2));
    eg_client_send(&c, "\x01\x01x\x40", 4);
    eg_client_send(&c, w->token, 64);
    cr_assert(eg_client_wait(&c, NULL, 4));
    ask[4] = (unsigned char)n;
    memcpy(ask + 5, host, n);
    ask[5 + n] = (unsigned char)(w->plain_port >> 8);
    ask[6 + n] = (unsigned char)w->plain_port;
    eg_client_send(&c, ask, n + 7);
    cr_assert(eg_client_wait(&c, NULL, 14), "no reply to the request");
    eg_client_close(&c);
}

enum { ASKED = 14 };

static void ask_all(const struct eg_world *w)
{
    tunnel(w, "raw.hush.test", w->plain_port);
    tunnel(w, "gone.hush.test", 1);
    tunnel(w, "lost.hush.test", w->plain_port);
    tunnel(w, "denied.hush.test", 443);
    tunnel(w, "unknown.hush.test", 443);
    tunnel(w, "10.9.8.7", 443);
    forward(w, "web.hush.test", "/whisper-1?whisper=2");
    forward(w, "web.hush.test", "/other-whisper?whisper=2");
    forward(w, "unknown.hush.test", "/whisper-1?whisper=2");
    route(w, "/whisper-1?whisper=2");
    route(w, "/other-whisper?whisper=2");
    socks(w, "raw.hush.test");
    socks(w, "lost.hush.test");
    socks(w, "denied.hush.test");
}

static void lacks(const char *text, const char *const *never, const char *where)
{
    for (; *never; never++)
        cr_expect_null(strcasestr(text, *never), "%s in %s: %s", *never, where, text);
}

/* Record, file, views, log and status. */
static void check(struct eg_world *w, const char *const *never)
{
    char *table = NULL, *denied = NULL, *status = NULL;
    cr_assert(eg_world_await_event(w, ASKED, "\"event\":\"decision\"", "\"decision\":"), "%s",
              eg_world_events(w));
    char *events = eg_world_events(w), *file = eg_world_read(w, "audit.jsonl", NULL);
    cr_assert(eg_events_with(events, "\"decision\":\"allow\"", NULL) >= 4, "%s", events);
    cr_assert(eg_events_with(events, "\"decision\":\"deny\"", NULL) >= 6, "%s", events);
    cr_assert(eg_events_with(file, "\"event\":\"decision\"", NULL) >= ASKED, "%s", file);
    cr_assert_eq(eg_ctl_run(w, &table, "audit", NULL), 0);
    cr_assert_eq(eg_ctl_run(w, &denied, "audit", "--denied", NULL), 0);
    cr_assert_eq(eg_ctl_run(w, &status, "status", NULL), 0);
    char *said = eg_world_read(w, "egressd.err", NULL);
    lacks(events, never, "events");
    lacks(file, never, "audit.file");
    lacks(table, never, "egressctl audit");
    lacks(denied, never, "egressctl audit --denied");
    lacks(said, never, "the log");
    cr_expect_null(strstr(status, "hush"), "%s", status); /* a listener's address may stand there */
    free(events);
    free(file);
    free(table);
    free(denied);
    free(status);
    free(said);
}

Test(privacy, none_keeps_neither_names_nor_addresses_nor_paths)
{
    static const char *const never[] = { "hush",     "whisper",     "10.9.8.7", "127.0.0.1",
                                         "\"port\"", "egress.yaml", NULL };
    struct eg_world w;
    start(&w, "none");
    ask_all(&w);
    check(&w, never);
    eg_world_done(&w);
}

Test(privacy, host_keeps_neither_paths_nor_queries)
{
    static const char *const never[] = { "whisper-", "whisper=", "other-", "?", NULL };
    struct eg_world w;
    start(&w, "host");
    ask_all(&w);
    char *events = eg_world_events(&w);
    cr_assert(strstr(events, "raw.hush.test") && strstr(events, "web.hush.test"), "%s", events);
    free(events);
    check(&w, never);
    eg_world_done(&w);
}

/* What would not be seen in the two above, if nobody were asked. */
Test(privacy, full_keeps_all)
{
    struct eg_world w;
    start(&w, "full");
    ask_all(&w);
    cr_assert(eg_world_await_event(&w, 1, "web.hush.test", "/whisper-1"));
    cr_assert(eg_world_await_event(&w, 1, "\"via\":\"socks\"", "denied.hush.test"));
    eg_world_done(&w);
}

/* ---- run: its summary and the events that it keeps ---- */

Test(privacy, run_tells_and_keeps_nothing_either)
{
    static const char *const never[] = { "hush", "10.9.8.7", NULL };
    struct eg_world w;
    char state[300], runtime[300], policy[2048], *out = NULL, *kept = NULL;
    eg_world_new(&w);
    eg_world_plain(&w);
    eg_world_dns(&w, NAMES);
    snprintf(policy, sizeof policy, POLICY, "none");
    eg_world_policy(&w, policy);
    snprintf(state, sizeof state, "XDG_STATE_HOME=%s", w.dir);
    snprintf(runtime, sizeof runtime, "XDG_RUNTIME_DIR=%s", w.dir);
    const char *environment[] = { state, runtime, NULL };
    /* a request by hand: no client needs to be installed */
    static const char script[] = "import os, socket, urllib.parse as u\n"
                                 "p = u.urlsplit(os.environ['https_proxy'])\n"
                                 "for to in ('denied.hush.test:443', '10.9.8.7:443'):\n"
                                 "    s = socket.create_connection((p.hostname, p.port))\n"
                                 "    s.sendall(f'CONNECT {to} HTTP/1.1\\r\\nProxy-Authorization: "
                                 "Bearer {p.password}\\r\\n\\r\\n'.encode())\n"
                                 "    assert b'403' in s.recv(4096)\n";
    const char *const run[] = { EG_BUILD_DIR "/egressctl",
                                "run",
                                "--no-enforce",
                                "--trust",
                                "-p",
                                eg_world_path(&w, "egress.yaml"),
                                "--",
                                "python3",
                                "-c",
                                script,
                                NULL };
    if (access("/usr/bin/python3", X_OK) != 0)
        cr_skip_test("no python3");
    cr_assert_eq(eg_proc_run(&w, run, environment, &out), 0, "%s", out);
    cr_assert(strstr(out, "did not get through"), "%s", out);
    lacks(out, never, "the summary");
    const char *const cat[] = { "/bin/sh", "-c", "cat \"$0\"/egress/*.jsonl", w.dir, NULL };
    cr_assert_eq(eg_proc_run(&w, cat, NULL, &kept), 0, "%s", kept);
    cr_assert(eg_events_with(kept, "\"decision\":\"deny\"", NULL) >= 2, "%s", kept);
    lacks(kept, never, "the kept events");
    free(out);
    free(kept);
    eg_world_done(&w);
}
