/* Everything together on one loop: many clients (tls over dial) and a TLS origin, driven by nothing but what eg_stream_want
 * says. If it ever said too little, these tests would stand still. */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "stream/stream.h"
#include "support/origin.h"
#include "support/pki.h"

enum { CLIENTS = 20, KEEP = 512, DEADLINE_MS = 20000 };

struct world {
    struct eg_loop *loop;
    struct origin *origin;
    struct pki_ca *ca;
    struct eg_tls_ctx *client, *server;
    char dir[64];
    unsigned fds; /* open before */
};

struct client {
    struct world *world;
    struct eg_stream *stream;
    struct eg_watch watches[EG_POLL_MAX];
    struct eg_task task;
    struct eg_timer timer;
    char request[128];
    size_t sent;
    size_t got;
    char head[KEEP];      /* the first bytes of the answer */
    enum eg_status ended; /* EG_AGAIN while it runs */
    unsigned runs;
};

static unsigned open_fds(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void set_up(struct world *w, bool only_tls12)
{
    const char *names[] = { "api.example.test", NULL };
    struct pki_leaf leaf;
    memset(w, 0, sizeof *w);
    cr_assert_eq(eg_tls_start(NULL), EG_OK);
    w->fds = open_fds();
    snprintf(w->dir, sizeof w->dir, "/tmp/egress-loop-XXXXXX");
    cr_assert(mkdtemp(w->dir));
    cr_assert_eq(eg_loop_new(&w->loop, NULL), EG_OK);
    w->ca = pki_ca_new("loop test CA");
    cr_assert(w->ca && pki_issue(w->ca, &(struct pki_request){ .names = names }, &leaf));
    struct eg_tls_server_config sc = { .cert_pem = eg_slice_str(leaf.cert_pem),
                                       .key_pem = eg_slice_str(leaf.key_pem),
                                       .tickets = true,
                                       .only_tls12 = only_tls12 };
    struct eg_tls_client_config cc = { .ca_pem = { eg_slice_str(pki_ca_pem(w->ca)) } };
    cr_assert_eq(eg_tls_server_ctx(&sc, &w->server, NULL), EG_OK);
    cr_assert_eq(eg_tls_client_ctx(&cc, &w->client, NULL), EG_OK);
    struct origin_config oc = { .dir = w->dir, .tls = w->server, .record = -1 };
    w->origin = origin_new(w->loop, &oc);
    cr_assert(w->origin);
}

static void tear_down(struct world *w)
{
    origin_free(w->origin);
    eg_tls_ctx_unref(w->client);
    eg_tls_ctx_unref(w->server);
    pki_ca_free(w->ca);
    eg_loop_free(w->loop);
    char go[80];
    snprintf(go, sizeof go, "%s/sse-go", w->dir);
    unlink(go);
    cr_assert_eq(rmdir(w->dir), 0);
    eg_tls_stop();
    cr_assert_eq(open_fds(), w->fds, "no descriptor is left");
}

static void finish(struct client *c, enum eg_status why)
{
    for (unsigned i = 0; i < EG_POLL_MAX; i++)
        eg_watch_drop(c->world->loop, &c->watches[i]);
    eg_timer_clear(c->world->loop, &c->timer);
    eg_stream_free(c->stream);
    c->stream = NULL;
    c->ended = why;
}

static void rearm(struct client *c, unsigned intent)
{
    struct eg_pollset set = { 0 };
    eg_stream_want(c->stream, intent, &set);
    for (unsigned i = 0; i < EG_POLL_MAX; i++)
        cr_assert_eq(
            eg_watch_set(c->world->loop, &c->watches[i], i < set.count ? set.fds[i].fd : -1,
                         i < set.count ? set.fds[i].tag : 0, i < set.count ? set.fds[i].events : 0),
            EG_OK);
    if (set.wake_ms)
        cr_assert_eq(eg_timer_set(c->world->loop, &c->timer, set.wake_ms), EG_OK);
    else
        eg_timer_clear(c->world->loop, &c->timer);
    if (set.now)
        eg_loop_mark(c->world->loop, &c->task);
}

static void run(struct eg_task *t)
{
    struct client *c = t->ctx;
    size_t n = strlen(c->request);
    char data[4000];
    size_t done = 0;
    c->runs++;
    enum eg_status r = eg_stream_connect(c->stream, NULL);
    while (r == EG_OK && c->sent < n) {
        r = eg_stream_send(c->stream, c->request + c->sent, n - c->sent, &done, NULL);
        c->sent += r == EG_OK ? done : 0;
    }
    if (r == EG_AGAIN && c->sent < n) {
        rearm(c, EG_OUT);
        return;
    }
    /* A few reads a run, as a fair flow does. */
    for (int i = 0; i < 3 && r == EG_OK; i++) {
        r = eg_stream_recv(c->stream, data, sizeof data, &done, NULL);
        for (size_t k = 0; r == EG_OK && k < done && c->got + k < KEEP - 1; k++)
            c->head[c->got + k] = data[k];
        c->got += r == EG_OK ? done : 0;
    }
    if (r == EG_OK || r == EG_AGAIN)
        rearm(c, EG_IN);
    else
        finish(c, r);
}

static void on_ready(struct eg_watch *w, unsigned events)
{
    struct client *c = w->ctx;
    (void)events;
    eg_loop_mark(c->world->loop, &c->task);
}

static void on_timer(struct eg_timer *t)
{
    struct client *c = t->ctx;
    eg_loop_mark(c->world->loop, &c->task);
}

static void start(struct client *c, struct world *w, const char *path)
{
    struct eg_sockaddr at = { .addr = { .family = 4, .b = { 127, 0, 0, 1 } },
                              .port = origin_port(w->origin) };
    struct eg_authority name;
    struct eg_stream *tcp = NULL;
    memset(c, 0, sizeof *c);
    c->world = w;
    c->ended = EG_AGAIN;
    c->task = (struct eg_task){ .run = run, .ctx = c };
    c->timer = (struct eg_timer){ .fire = on_timer, .ctx = c };
    for (unsigned i = 0; i < EG_POLL_MAX; i++)
        c->watches[i] = (struct eg_watch){ .ready = on_ready, .ctx = c };
    snprintf(c->request, sizeof c->request,
             "GET %s HTTP/1.1\r\nHost: api.example.test\r\nConnection: close\r\n\r\n", path);
    cr_assert_eq(eg_host_parse(EG_SLICE("api.example.test"), &name, NULL), EG_OK);
    cr_assert_eq(eg_stream_dial(&at, 1, &tcp), EG_OK);
    cr_assert_eq(eg_stream_tls(tcp, w->client, &name, EG_SLICE_NONE, &c->stream, NULL), EG_OK);
    eg_loop_mark(w->loop, &c->task);
}

/* Until got has reached `most` or the client has ended. */
static void run_until(struct client *c, size_t most)
{
    uint64_t end = eg_clock_ms() + DEADLINE_MS;
    while (c->ended == EG_AGAIN && c->got < most && eg_clock_ms() < end)
        cr_assert_eq(eg_loop_tick(c->world->loop, 500, NULL), EG_OK);
    cr_assert(c->ended != EG_AGAIN || c->got >= most, "stands still after %zu bytes", c->got);
}

static void many(bool only_tls12)
{
    struct world w;
    static struct client clients[CLIENTS];
    set_up(&w, only_tls12);
    for (int i = 0; i < CLIENTS; i++)
        start(&clients[i], &w, i % 2 ? "/bytes/300000" : "/chunked/200000");
    for (int i = 0; i < CLIENTS; i++) {
        run_until(&clients[i], SIZE_MAX);
        cr_assert_eq(clients[i].ended, EG_EOF, "%s", egress_status_name(clients[i].ended));
        cr_assert_gt(clients[i].got, i % 2 ? 300000 : 200000);
        cr_assert(strncmp(clients[i].head, "HTTP/1.1 200 OK\r\n", 17) == 0);
    }
    tear_down(&w);
}

Test(stream, twenty_clients_share_a_loop_with_tls13)
{
    many(false);
}

Test(stream, twenty_clients_share_a_loop_with_tls12)
{
    many(true);
}

Test(stream, ends_are_told_apart)
{
    static const struct {
        const char *path;
        enum eg_status ended;
    } rows[] = { { "/close", EG_EOF },
                 { "/until-close", EG_EOF },
                 { "/until-close-cut", EG_RESPONSE_TRUNCATED },
                 { "/truncate", EG_RESPONSE_TRUNCATED },
                 { "/truncate-chunked", EG_RESPONSE_TRUNCATED },
                 { "/die", EG_CLOSED } };
    struct world w;
    static struct client c;
    set_up(&w, false);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        start(&c, &w, rows[i].path);
        run_until(&c, SIZE_MAX);
        cr_assert_eq(c.ended, rows[i].ended, "%s: %s", rows[i].path, egress_status_name(c.ended));
    }
    tear_down(&w);
}

Test(stream, a_held_event_arrives_before_the_rest_and_nobody_spins)
{
    struct world w;
    static struct client c;
    char go[80];
    set_up(&w, false);
    start(&c, &w, "/sse");
    run_until(&c, 120);
    while (!strstr(c.head, "data: one"))
        run_until(&c, c.got + 1);
    unsigned runs = c.runs;
    for (int i = 0; i < 5; i++)
        cr_assert_eq(eg_loop_tick(w.loop, 20, NULL), EG_OK);
    cr_assert_leq(c.runs, runs + 1, "idle means idle");
    cr_assert_null(strstr(c.head, "data: two"));
    snprintf(go, sizeof go, "%s/sse-go", w.dir);
    int fd = open(go, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    close(fd);
    while (!strstr(c.head, "data: two") && c.ended == EG_AGAIN)
        run_until(&c, c.got + 1);
    cr_assert(strstr(c.head, "data: two"), "%s", c.head);
    if (c.ended == EG_AGAIN)
        finish(&c, EG_CLOSED);
    tear_down(&w);
}
