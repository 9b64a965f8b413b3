/* limits.c - every key of `limits:` lowered and seen to bite, with a complete refusal where one
 * can still be given, and with no descriptor left afterwards. */
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/peer.h"

static const char POLICY[] = "egress: 1\n"
                             "allow:\n"
                             "  - {host: web.test, scheme: http, ports: [@PLAIN@]}\n"
                             "  - {host: raw.test, scheme: tcp, ports: [@PLAIN@]}\n"
                             "  - {host: hang.test, scheme: tcp, ports: [@PLAIN@]}\n"
                             "services:\n"
                             "  api: {upstream: \"https://web.test:@PLAIN@\"}\n"
                             "networks: {allow: [127.0.0.1/32]}\n"
                             "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n";

static const char *const NAMES[] = { "web.test=127.0.0.1", "raw.test=127.0.0.1", "hang.test=hang",
                                     NULL };

struct start { /* descriptors before anything happened */
    unsigned supervisor, worker;
    pid_t pid;
};

static int setup(struct eg_world *w, const char *limits, struct start *s)
{
    char policy[2048];
    eg_world_new(w);
    int listener = eg_peer_listen(&w->plain_port);
    eg_world_dns(w, NAMES);
    snprintf(policy, sizeof policy, "%slimits: {%s}\n", POLICY, limits);
    eg_world_egressd(w, policy, NULL, NULL);
    s->pid = eg_world_worker(w);
    s->supervisor = eg_proc_fds(w->egressd.pid);
    s->worker = eg_proc_fds(s->pid);
    return listener;
}

/* Every descriptor is back: closing is the loop's next tick at the latest, linger ends when the
 * client has closed. */
static void finish(struct eg_world *w, int listener, const struct start *s)
{
    uint64_t deadline = eg_clock_ms() + EG_PROC_DEADLINE_MS;
    while ((eg_proc_fds(s->pid) > s->worker || eg_proc_fds(w->egressd.pid) > s->supervisor) &&
           eg_clock_ms() < deadline)
        ;
    cr_expect(eg_proc_fds(s->pid) <= s->worker, "worker: %u, were %u", eg_proc_fds(s->pid),
              s->worker);
    cr_expect(eg_proc_fds(w->egressd.pid) <= s->supervisor);
    close(listener);
    eg_world_done(w);
}

static void ask(struct eg_client *c, const struct eg_world *w, const char *method, const char *path,
                const char *rest)
{
    eg_client_text(c,
                   "%s http://web.test:%u%s HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer "
                   "%s\r\n%s",
                   method, w->plain_port, path, w->token, rest);
}

static void refusal(const struct eg_world *w, struct eg_client *c, int status, const char *reason)
{
    char head[8192], want[64];
    int got = eg_client_response(c, head, sizeof head, NULL, NULL);
    cr_assert(got == status && eg_head_has(head, "X-Egress-Reason", reason),
              "want %d %s, got %d: %s", status, reason, got, head);
    cr_assert(status != 503 || eg_head_has(head, "Retry-After", NULL), "%s", head);
    snprintf(want, sizeof want, "\"reason\":\"%s\"", reason);
    cr_assert(eg_world_await_event(w, 1, want, "\"event\":"));
}

/* Sends the text and has it refused; the origin is not reached. */
static void refused(const struct eg_world *w, int listener, const char *path, const char *rest,
                    int status, const char *reason)
{
    struct eg_client c;
    eg_client_open(&c, w->proxy_port);
    ask(&c, w, "GET", path, rest);
    refusal(w, &c, status, reason);
    cr_assert(eg_peer_unused(listener));
    eg_client_close(&c);
}

static int served(const struct eg_world *w, int listener, struct eg_client *c, const char *path,
                  const char *rest)
{
    struct eg_client o;
    char head[8192];
    ask(c, w, "GET", path, rest);
    eg_peer_request(listener, &o);
    eg_client_text(&o, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    int status = eg_client_response(c, head, sizeof head, NULL, NULL);
    eg_client_close(&o);
    return status;
}

static char *repeated(const char *before, const char *piece, unsigned times, const char *after)
{
    size_t n = strlen(before), step = strlen(piece);
    char *text = malloc(n + step * times + strlen(after) + 1);
    cr_assert(text != NULL);
    memcpy(text, before, n);
    for (unsigned i = 0; i < times; i++)
        memcpy(text + n + step * i, piece, step);
    memcpy(text + n + step * times, after, strlen(after) + 1);
    return text;
}

Test(limits, of_a_head, .timeout = 60)
{
    struct eg_world w;
    struct start s;
    struct eg_client c;
    int listener = setup(&w, "head_bytes: 2KiB, headers: 10, target_bytes: 300", &s);
    char *big = repeated("X: ", "y", 2048, "\r\n\r\n"),
         *many = repeated("", "X: y\r\n", 11, "\r\n"), *fit = repeated("", "X: y\r\n", 8, "\r\n"),
         *path = repeated("/", "p", 300, ""), *fits = repeated("/", "p", 200, "");
    refused(&w, listener, "/", big, 431, "head_too_large");
    refused(&w, listener, "/", many, 431, "too_many_fields");
    refused(&w, listener, path, "\r\n", 414, "target_too_long");
    eg_client_open(&c, w.proxy_port);
    cr_assert(served(&w, listener, &c, "/", fit) == 200);
    cr_assert(served(&w, listener, &c, fits, "\r\n") == 200);
    eg_client_close(&c);
    free(big), free(many), free(fit), free(path), free(fits);
    finish(&w, listener, &s);
}

Test(limits, of_an_origins_head, .timeout = 60)
{
    struct eg_world w;
    struct start s;
    struct eg_client c, o;
    int listener = setup(&w, "head_bytes: 2KiB, headers: 10", &s);
    char *answers[] = { repeated("HTTP/1.1 200 OK\r\nX: ", "y", 2048, "\r\n\r\n"),
                        repeated("HTTP/1.1 200 OK\r\n", "X: y\r\n", 11, "\r\n") };
    for (int i = 0; i < 2; i++) {
        eg_client_open(&c, w.proxy_port);
        ask(&c, &w, "GET", "/", "\r\n");
        eg_peer_request(listener, &o);
        eg_client_text(&o, "%s", answers[i]);
        refusal(&w, &c, 502, "bad_response");
        eg_client_close(&o);
        eg_client_close(&c);
        free(answers[i]);
    }
    finish(&w, listener, &s);
}

/* A head may be raised to megabytes: it still gets through in one piece. */
Test(limits, of_a_head_can_be_raised, .timeout = 60)
{
    struct eg_world w;
    struct start s;
    struct eg_client c;
    int listener = setup(&w, "head_bytes: 1MiB", &s);
    char *big = repeated("X: ", "y", 900000, "\r\n\r\n");
    eg_client_open(&c, w.proxy_port);
    cr_assert(served(&w, listener, &c, "/", big) == 200);
    eg_client_close(&c);
    free(big);
    finish(&w, listener, &s);
}

enum { FEW = 4 };

Test(limits, of_connections, .timeout = 60)
{
    struct eg_world w;
    struct start s;
    struct eg_client c[FEW], more;
    char head[8192];
    int listener = setup(&w, "connections: 4", &s);
    for (int i = 0; i < FEW; i++) {
        eg_client_open(&c[i], w.proxy_port);
        cr_assert(served(&w, listener, &c[i], "/", "\r\n") == 200); /* it counts from now on */
    }
    eg_client_open(&more, w.proxy_port);
    ask(&more, &w, "GET", "/", "\r\n");
    refusal(&w, &more, 503, "too_many_connections");
    eg_client_close(&more);
    cr_assert(eg_peer_unused(listener));
    cr_assert(served(&w, listener, &c[0], "/", "\r\n") == 200); /* those that are in go on */
    for (int i = 0; i < FEW; i++)
        eg_client_close(&c[i]);
    int status = 503; /* until the worker has seen them leave */
    for (uint64_t deadline = eg_clock_ms() + EG_PROC_DEADLINE_MS; status == 503 && eg_clock_ms() < deadline;) {
        eg_client_open(&more, w.proxy_port);
        eg_client_text(&more, "GET / HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", w.proxy_port);
        status = eg_client_response(&more, head, sizeof head, NULL, NULL);
        eg_client_close(&more);
    }
    cr_assert(status == 404, "%s", head);
    finish(&w, listener, &s);
}

Test(limits, of_a_clients_time, .timeout = 60)
{
    struct eg_world w;
    struct start s;
    struct eg_client c, o;
    int listener = setup(&w, "head_timeout: 1s, body_timeout: 1s", &s);
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c, "GET http://web.test/ HTTP/1.1\r\nHo");
    refusal(&w, &c, 408, "head_timeout");
    eg_client_close(&c);
    cr_assert(eg_peer_unused(listener));
    eg_client_open(&c, w.proxy_port);
    ask(&c, &w, "POST", "/", "Content-Length: 9\r\n\r\nhalf");
    eg_peer_request(listener, &o);
    refusal(&w, &c, 408, "body_timeout");
    eg_client_close(&o);
    eg_client_close(&c);
    char authority[64]; /* after 200 to CONNECT nothing comes: closed */
    snprintf(authority, sizeof authority, "web.test:%u", w.plain_port);
    eg_client_open(&c, w.proxy_port);
    cr_assert(eg_client_connect(&c, &w, authority) == 200);
    cr_assert(eg_client_wait(&c, NULL, 0));
    eg_client_close(&c);
    finish(&w, listener, &s);
}

Test(limits, of_idle_time, .timeout = 60)
{
    struct eg_world w;
    struct start s;
    struct eg_client c, o;
    char authority[64];
    int listener = setup(&w, "idle_timeout: 2s", &s);
    eg_client_open(&c, w.proxy_port);
    cr_assert(served(&w, listener, &c, "/", "\r\n") == 200);
    cr_assert(eg_client_wait(&c, NULL, 0) && c.len == 0 && !c.reset); /* in silence and in order */
    eg_client_close(&c);
    snprintf(authority, sizeof authority, "raw.test:%u", w.plain_port);
    eg_client_open(&c, w.proxy_port);
    cr_assert(eg_client_connect(&c, &w, authority) == 200);
    eg_peer_accept(listener, &o);
    uint64_t begun = eg_clock_ms();
    for (unsigned n = 1; eg_clock_ms() - begun < 3000; n++) { /* one that is used lives on */
        eg_client_text(&c, "x");
        cr_assert(eg_client_wait(&o, NULL, n));
        eg_client_text(&o, "y");
        cr_assert(eg_client_wait(&c, NULL, n));
    }
    cr_assert(eg_client_wait(&c, NULL, 0) && eg_client_wait(&o, NULL, 0));
    cr_assert(eg_world_await_event(&w, 1, "\"event\":\"end\"", "idle_timeout"));
    eg_client_close(&o);
    eg_client_close(&c);
    finish(&w, listener, &s);
}

Test(limits, of_total_time, .timeout = 60)
{
    struct eg_world w;
    struct start s;
    struct eg_client c, o;
    char authority[64];
    int listener = setup(&w, "total_timeout: 2s", &s);
    snprintf(authority, sizeof authority, "raw.test:%u", w.plain_port);
    eg_client_open(&c, w.proxy_port);
    cr_assert(eg_client_connect(&c, &w, authority) == 200);
    eg_peer_accept(listener, &o);
    uint64_t begun = eg_clock_ms();
    for (unsigned n = 1; !c.eof && eg_clock_ms() - begun < EG_PROC_DEADLINE_MS; n++) { /* busy or not */
        eg_client_text(&c, "x");
        if (!eg_client_wait(&o, NULL, n))
            break;
        eg_client_text(&o, "y");
        if (!eg_client_wait(&c, NULL, n))
            break;
    }
    cr_assert(eg_clock_ms() - begun < EG_PROC_DEADLINE_MS);
    cr_assert(eg_world_await_event(&w, 1, "\"event\":\"end\"", "total_timeout"));
    eg_client_close(&o);
    eg_client_close(&c);
    finish(&w, listener, &s);
}

Test(limits, of_a_name_servers_time, .timeout = 60)
{
    struct eg_world w;
    struct start s;
    struct eg_client c;
    int listener = setup(&w, "dns_timeout: 200ms", &s);
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c, "CONNECT hang.test:%u HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                   w.plain_port, w.token);
    refusal(&w, &c, 504, "dns_timeout");
    cr_assert(eg_peer_unused(listener));
    eg_client_close(&c);
    finish(&w, listener, &s);
}

/* A queue of connections that is full drops what comes: whoever connects waits. */
Test(limits, of_connecting, .timeout = 60)
{
    struct eg_world w;
    struct start s;
    struct eg_client c, full[4];
    int listener = setup(&w, "connect_timeout: 300ms", &s);
    cr_assert(listen(listener, 0) == 0);
    eg_client_open(&full[0], w.plain_port);
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c, "CONNECT raw.test:%u HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                   w.plain_port, w.token);
    refusal(&w, &c, 504, "connect_timeout");
    eg_client_close(&c);
    eg_client_close(&full[0]);
    finish(&w, listener, &s);
}

Test(limits, of_an_origins_time, .timeout = 60)
{
    struct eg_world w;
    struct start s;
    struct eg_client c, o;
    int listener = setup(&w, "tls_timeout: 200ms, response_timeout: 200ms", &s);
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c, "GET /api/x HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", w.proxy_port);
    eg_peer_accept(listener, &o); /* the TLS handshake is never answered */
    refusal(&w, &c, 504, "tls_timeout");
    cr_assert(eg_client_wait(&o, NULL, 0));
    eg_client_close(&o);
    ask(&c, &w, "GET", "/", "\r\n"); /* the client's connection was kept */
    eg_peer_request(listener, &o);
    refusal(&w, &c, 504, "response_timeout");
    cr_assert(eg_client_wait(&o, NULL, 0));
    eg_client_close(&o);
    eg_client_close(&c);
    finish(&w, listener, &s);
}

Test(limits, of_a_clients_handshake, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    eg_world_new(&w);
    eg_world_origin(&w, NULL); /* only for its certificate */
    eg_world_egressd(&w,
                     "egress: 1\nlimits: {tls_timeout: 200ms}\nlisten:\n  - address: "
                     "\"127.0.0.1:0\"\n    protocols: [http]\n    tls: {cert: \"@DIR@/cert.pem\", "
                     "key: \"@DIR@/key.pem\"}\n",
                     NULL, NULL);
    eg_client_open(&c, w.proxy_port); /* silent */
    cr_assert(eg_client_wait(&c, NULL, 0) && c.len == 0);
    eg_client_close(&c);
    cr_assert(eg_world_await_event(&w, 1, "\"reason\":\"tls_timeout\"", "\"decision\":\"deny\""));
    eg_client_open(&c, w.proxy_port); /* plain bytes are refused, never downgraded */
    eg_client_text(&c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    cr_assert(eg_client_wait(&c, NULL, 0) && (c.len == 0 || c.buf[0] != 'H'));
    eg_client_close(&c);
    cr_assert(eg_world_await_event(&w, 1, "\"reason\":\"tls_failed\"", "\"decision\":\"deny\""));
    eg_world_done(&w);
}

Test(limits, of_draining, .timeout = 60)
{
    struct eg_world w;
    struct start s;
    struct eg_client c, o, busy, held;
    char authority[64], head[8192];
    int listener = setup(&w, "drain_timeout: 3s", &s);
    snprintf(authority, sizeof authority, "raw.test:%u", w.plain_port);
    eg_client_open(&c, w.proxy_port);
    cr_assert(eg_client_connect(&c, &w, authority) == 200);
    eg_peer_accept(listener, &o);
    eg_client_open(&busy, w.proxy_port);
    ask(&busy, &w, "GET", "/", "\r\n");
    eg_peer_request(listener, &held);
    uint64_t begun = eg_clock_ms();
    cr_assert(kill(w.egressd.pid, SIGTERM) == 0);
    eg_client_text(&held, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    cr_assert(eg_client_response(&busy, head, sizeof head, NULL, NULL) == 200, "%s", head);
    cr_assert(eg_client_wait(&busy, NULL, 0) && !busy.reset, "what was under way is finished");
    cr_assert(eg_client_wait(&c, NULL, 0)); /* the tunnel lasts until the patience ends */
    cr_assert(eg_clock_ms() - begun < EG_PROC_DEADLINE_MS);
    eg_client_close(&o);
    eg_client_close(&c);
    eg_client_close(&busy);
    eg_client_close(&held);
    close(listener);
    eg_world_done(&w);
}
