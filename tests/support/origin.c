/* origin.c - the connections of the test origin: accepted, read, answered one request after the other. What is answered is
 * origin_paths.c's. Nothing here waits or sleeps; a trickle is a timer, a held event stream waits for inotify or a request.
 * Invariant: a request is recorded, in one write, before the first byte of its answer is sent. */
#include "support/origin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/write.h"

enum {
    KEPT_MAX = 96 << 20,
    AHEAD_MAX = 64 << 10,
    FILL = 64 << 10,
    CHUNK_SIZE = 5000,
    TRICKLE = 10,
    TRICKLE_MS = 300,
    LINGER_MS = 2000
};

enum phase { RAISING, READING_HEAD, READING_BODY, ANSWERING, WAITING, LINGERING, ECHOING };

struct conn {
    struct conn *next, **link;
    struct origin *origin;
    struct eg_stream *stream;
    struct eg_watch watch;
    struct eg_task task;
    struct eg_timer timer;
    enum phase phase;
    bool eof, gone;
    struct eg_msg *msg;
    struct eg_buf in;   /* read and not yet parsed */
    struct eg_buf raw;  /* of this request */
    struct eg_buf body; /* decoded */
    struct origin_answer answer;
    uint64_t generated;
    unsigned trickled;
};

struct origin {
    struct eg_loop *loop;
    struct origin_config config;
    struct eg_listener listener;
    struct eg_sockaddr at;
    struct conn *conns;
    struct origin_stats stats;
    int inotify;
    struct eg_watch dir_watch;
};

/* ---- one connection's life ---- */

static void conn_free(struct conn *c)
{
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    c->origin->stats.open--;
    eg_watch_drop(c->origin->loop, &c->watch);
    eg_loop_unmark(c->origin->loop, &c->task);
    eg_timer_clear(c->origin->loop, &c->timer);
    eg_stream_free(c->stream);
    eg_msg_free(c->msg);
    eg_buf_done(&c->in);
    eg_buf_done(&c->raw);
    eg_buf_done(&c->body);
    eg_buf_done(&c->answer.out);
    free(c);
}

static void record(struct conn *c)
{
    struct eg_slice rest = eg_buf_slice(&c->raw);
    while (c->origin->config.record >= 0 && rest.n) {
        ssize_t n = write(c->origin->config.record, rest.p, rest.n);
        if (n < 0) {
            fprintf(stderr, "origin: the record can't be written: %s\n", strerror(errno));
            break;
        }
        rest = eg_slice_from(rest, (size_t)n);
    }
    eg_buf_done(&c->raw);
}

static void reset_connection(struct conn *c)
{
    struct linger hard = { .l_onoff = 1, .l_linger = 0 };
    struct eg_stream *tcp = eg_stream_find(c->stream, "tcp");
    if (tcp)
        setsockopt(eg_stream_raw_fd(tcp), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

static bool sse_may_go(const struct conn *c)
{
    char path[512];
    snprintf(path, sizeof path, "%s/sse-go", c->origin->config.dir);
    return access(path, F_OK) == 0;
}

static void next_request(struct conn *c)
{
    eg_msg_reset(c->msg, EG_SLICE_NONE);
    eg_buf_done(&c->body);
    eg_buf_done(&c->answer.out);
    c->generated = 0;
    c->trickled = 0;
    c->phase = READING_HEAD;
}

/* The answer is sent. */
static void answered(struct conn *c)
{
    switch (c->answer.after) {
    case ORIGIN_NEXT:
        next_request(c);
        break;
    case ORIGIN_RESET:
        reset_connection(c);
        c->gone = true;
        break;
    case ORIGIN_CUT:
        c->gone = true;
        break;
    case ORIGIN_CLOSE:
        c->phase = LINGERING;
        break;
    case ORIGIN_SSE:
        c->phase = WAITING;
        if (sse_may_go(c)) {
            c->gone = origin_sse_rest(&c->answer.out) != EG_OK;
            c->answer.after = ORIGIN_NEXT;
            c->phase = ANSWERING;
        }
        break;
    case ORIGIN_ECHO:
        c->phase = ECHOING;
        break;
    case ORIGIN_TRICKLE:
    case ORIGIN_HOLD:
        c->phase = WAITING;
        break;
    }
    if (c->phase == WAITING && c->answer.after == ORIGIN_TRICKLE)
        c->gone = eg_timer_set(c->origin->loop, &c->timer, eg_clock_ms() + TRICKLE_MS) != EG_OK;
    if (c->phase == LINGERING)
        c->gone = eg_timer_set(c->origin->loop, &c->timer, eg_clock_ms() + LINGER_MS) != EG_OK;
}

static void on_timer(struct eg_timer *t)
{
    struct conn *c = t->ctx;
    if (c->phase == LINGERING) {
        conn_free(c);
        return;
    }
    if (c->phase != WAITING)
        return;
    if (eg_buf_append(&c->answer.out, ".", 1) != EG_OK)
        c->gone = true;
    if (++c->trickled == TRICKLE)
        c->answer.after = ORIGIN_NEXT;
    c->phase = ANSWERING;
    eg_loop_mark(c->origin->loop, &c->task);
}

static void release_streams(struct origin *o)
{
    for (struct conn *c = o->conns; c; c = c->next) {
        if (c->phase != WAITING || c->answer.after != ORIGIN_SSE)
            continue;
        c->gone = origin_sse_rest(&c->answer.out) != EG_OK;
        c->answer.after = ORIGIN_NEXT;
        c->phase = ANSWERING;
        eg_loop_mark(o->loop, &c->task);
    }
}

/* ---- reading ---- */

static void refuse(struct conn *c, const struct eg_err *err)
{
    record(c);
    c->answer.after = ORIGIN_CLOSE;
    c->gone = eg_buf_printf(&c->answer.out,
                            "HTTP/1.1 400 Bad Request\r\nX-Why: %s\r\nContent-Length: "
                            "0\r\nConnection: close\r\n\r\n",
                            egress_status_name(err->status)) != EG_OK;
    c->phase = ANSWERING;
}

static struct origin_request request_of(const struct conn *c)
{
    const struct eg_head *h = eg_msg_head_get(c->msg);
    long query = eg_slice_index(h->target, '?');
    return (struct origin_request){ .head = h,
                                    .path = eg_slice(h->target.p,
                                                     query < 0 ? h->target.n : (size_t)query),
                                    .body = eg_buf_slice(&c->body),
                                    .dir = c->origin->config.dir };
}

/* Answers before the body was read, if it is asked to. */
static bool answered_early(struct conn *c)
{
    struct origin_request q = request_of(c);
    enum eg_status r = EG_OK;
    if (!origin_early(&q, &c->answer, &r))
        return false;
    c->origin->stats.requests++;
    record(c);
    c->gone = r != EG_OK;
    c->phase = ANSWERING;
    return true;
}

static void answer(struct conn *c)
{
    struct origin *o = c->origin;
    bool release = false;
    struct origin_request q = request_of(c);
    o->stats.requests++;
    record(c);
    c->answer.generate = 0;
    c->answer.generate_chunked = false;
    if (origin_answer(&q, &o->stats, &c->answer, &release) != EG_OK)
        c->gone = true;
    c->phase = ANSWERING;
    if (release)
        release_streams(o);
}

/* Takes n bytes from in, also into the record. */
static void take(struct conn *c, size_t n)
{
    if (c->origin->config.record >= 0 && eg_buf_append(&c->raw, eg_buf_slice(&c->in).p, n) != EG_OK)
        c->gone = true;
    eg_buf_consume(&c->in, n);
}

static void parse_head(struct conn *c)
{
    struct eg_slice in = eg_buf_slice(&c->in);
    struct eg_err err = { 0 };
    size_t used = 0;
    enum eg_status r = eg_msg_head(c->msg, in.p, in.n, &used, &err);
    if (r == EG_AGAIN || r == EG_OK)
        take(c, r == EG_AGAIN ? in.n : used);
    else
        take(c, in.n);
    if (r == EG_AGAIN)
        return;
    if (r != EG_OK) {
        err.status = r;
        refuse(c, &err);
        return;
    }
    const struct eg_head *h = eg_msg_head_get(c->msg);
    c->phase = READING_BODY;
    if (answered_early(c))
        return;
    if (h->expect_continue && c->in.len == 0)
        c->gone = eg_buf_append(&c->answer.out, "HTTP/1.1 100 Continue\r\n\r\n", 25) != EG_OK;
    if (eg_msg_complete(c->msg))
        answer(c);
}

static void parse_body(struct conn *c)
{
    struct eg_slice in = eg_buf_slice(&c->in);
    struct eg_slice data = EG_SLICE_NONE;
    struct eg_err err = { 0 };
    size_t used = 0;
    enum eg_status r = eg_msg_body(c->msg, in.p, in.n, &used, &data, &err);
    if (data.n && eg_buf_put(&c->body, data) != EG_OK)
        c->gone = true;
    take(c, used);
    if (r == EG_EOF) {
        answer(c);
    } else if (r != EG_OK && r != EG_AGAIN) {
        err.status = r;
        refuse(c, &err);
    }
}

/* One read; false when there is nothing to read now. */
static bool fill(struct conn *c)
{
    char *room;
    size_t done = 0;
    if (c->eof || c->in.len >= AHEAD_MAX || eg_buf_reserve(&c->in, FILL, &room) != EG_OK)
        return false;
    enum eg_status r = eg_stream_recv(c->stream, room, FILL, &done, NULL);
    if (r == EG_AGAIN)
        return false;
    if (r == EG_OK) {
        eg_buf_commit(&c->in, c->phase == LINGERING ? 0 : done);
        return true;
    }
    c->eof = true;
    if (r != EG_EOF || c->phase == READING_HEAD || c->phase == READING_BODY ||
        c->phase == WAITING || c->phase == LINGERING || c->phase == ECHOING)
        c->gone = true; /* nobody is there, or it is what we waited for */
    return false;
}

/* What came goes back. */
static void echo(struct conn *c)
{
    struct eg_slice in = eg_buf_slice(&c->in);
    if (c->phase != ECHOING || in.n == 0)
        return;
    c->gone = eg_buf_put(&c->answer.out, in) != EG_OK;
    eg_buf_consume(&c->in, in.n);
}

/* ---- writing ---- */

static void generate(struct conn *c)
{
    struct origin_answer *a = &c->answer;
    char data[CHUNK_SIZE];
    while (a->generate && a->out.len < FILL && !c->gone) {
        size_t n = a->generate < sizeof data ? (size_t)a->generate : sizeof data;
        for (size_t i = 0; i < n; i++)
            data[i] = (char)('a' + (c->generated + i) % 26);
        c->generated += n;
        a->generate -= n;
        enum eg_status r = a->generate_chunked ? eg_write_chunk(&a->out, eg_slice(data, n))
                                               : eg_buf_append(&a->out, data, n);
        c->gone = r != EG_OK;
    }
    if (a->generate == 0 && a->generate_chunked) {
        a->generate_chunked = false;
        c->gone = c->gone || eg_write_last_chunk(&a->out) != EG_OK;
    }
}

/* Sends what there is; false when it has to wait. */
static bool flush(struct conn *c)
{
    struct eg_buf *out = &c->answer.out;
    while (!c->gone) {
        generate(c);
        if (out->len == 0)
            return true;
        struct eg_slice rest = eg_buf_slice(out);
        size_t done = 0;
        enum eg_status r = eg_stream_send(c->stream, rest.p, rest.n, &done, NULL);
        if (r == EG_AGAIN)
            return false;
        if (r != EG_OK)
            c->gone = true;
        else
            eg_buf_consume(out, done);
    }
    return false;
}

/* ---- the loop's side ---- */

static void rearm(struct conn *c)
{
    struct eg_pollset set = { 0 };
    unsigned intent = 0;
    if (!c->eof && c->in.len < AHEAD_MAX)
        intent |= EG_IN;
    if (c->answer.out.len || (c->phase == LINGERING && !c->stream->was_shut))
        intent |= EG_OUT;
    eg_stream_want(c->stream, intent, &set);
    if (set.now)
        eg_loop_mark(c->origin->loop, &c->task);
    if (eg_watch_set(c->origin->loop, &c->watch, set.count ? set.fds[0].fd : -1,
                     set.count ? set.fds[0].tag : 0, set.count ? set.fds[0].events : 0) != EG_OK)
        c->gone = true;
}

static void step(struct conn *c)
{
    enum phase before;
    do {
        before = c->phase;
        echo(c);
        if (c->phase == RAISING) {
            enum eg_status r = eg_stream_connect(c->stream, NULL);
            if (r != EG_OK) {
                c->gone = r != EG_AGAIN;
                return;
            }
            if (eg_stream_tls_resumed(c->stream))
                c->origin->stats.resumed++;
            c->phase = READING_HEAD;
        }
        if (!flush(c))
            return;
        if (c->phase == ANSWERING)
            answered(c);
        if (c->phase == LINGERING && !c->gone) {
            enum eg_status r = eg_stream_shut(c->stream, NULL);
            c->gone = r != EG_OK && r != EG_AGAIN;
        }
        while (!c->gone && (c->phase == READING_HEAD || c->phase == READING_BODY) && c->in.len)
            c->phase == READING_HEAD ? parse_head(c) : parse_body(c);
    } while (!c->gone && (c->phase != before || c->phase == ANSWERING));
}

static void run(struct eg_task *t)
{
    struct conn *c = t->ctx;
    step(c);
    while (!c->gone && c->stream->connected && fill(c))
        step(c);
    if (!c->gone && c->eof && c->in.len == 0 && (c->phase == READING_HEAD || c->phase == LINGERING))
        c->gone = true;
    if (!c->gone)
        rearm(c);
    if (c->gone)
        conn_free(c);
}

static void on_ready(struct eg_watch *w, unsigned events)
{
    struct conn *c = w->ctx;
    (void)events;
    eg_loop_mark(c->origin->loop, &c->task);
}

static void on_accept(struct eg_listener *l, int fd, const struct eg_sockaddr *peer)
{
    static const struct eg_msg_limits limits = { .head_bytes = 1 << 20,
                                                 .fields = 1000,
                                                 .target_bytes = 1 << 16 };
    struct origin *o = l->ctx;
    struct eg_stream *s = NULL;
    struct conn *c = calloc(1, sizeof *c);
    (void)peer;
    if (!c || eg_stream_tcp(fd, &s) != EG_OK) {
        close(fd);
        free(c);
        return;
    }
    c->origin = o;
    c->stream = s;
    if (o->config.tls && eg_stream_tls_server(s, o->config.tls, &c->stream, NULL) != EG_OK)
        c->gone = true;
    c->watch = (struct eg_watch){ .ready = on_ready, .ctx = c };
    c->task = (struct eg_task){ .run = run, .ctx = c };
    c->timer = (struct eg_timer){ .fire = on_timer, .ctx = c };
    eg_buf_init(&c->in, AHEAD_MAX + 2 * FILL);
    eg_buf_init(&c->raw, KEPT_MAX);
    eg_buf_init(&c->body, KEPT_MAX);
    eg_buf_init(&c->answer.out, KEPT_MAX);
    c->next = o->conns;
    c->link = &o->conns;
    if (c->next)
        c->next->link = &c->next;
    o->conns = c;
    o->stats.connections++;
    o->stats.open++;
    if (c->gone || eg_msg_new(&c->msg, EG_MSG_REQUEST, &limits) != EG_OK) {
        conn_free(c);
        return;
    }
    eg_loop_mark(o->loop, &c->task);
}

static void on_dir(struct eg_watch *w, unsigned events)
{
    struct origin *o = w->ctx;
    char buffer[4096];
    (void)events;
    while (read(o->inotify, buffer, sizeof buffer) > 0)
        continue;
    for (struct conn *c = o->conns; c; c = c->next) {
        if (c->phase == WAITING && c->answer.after == ORIGIN_SSE && sse_may_go(c)) {
            release_streams(o);
            return;
        }
    }
}

struct origin *origin_new(struct eg_loop *loop, const struct origin_config *config)
{
    struct eg_sockaddr at = { .addr = { .family = 4, .b = { 127, 0, 0, 1 } },
                              .port = config->port };
    struct origin *o = calloc(1, sizeof *o);
    struct eg_err err = { 0 };
    int fd = -1;
    if (!o)
        return NULL;
    o->loop = loop;
    o->config = *config;
    o->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    o->listener.fd = -1;
    if (o->inotify < 0 || inotify_add_watch(o->inotify, config->dir, IN_CREATE | IN_MOVED_TO) < 0)
        goto fail;
    o->dir_watch = (struct eg_watch){ .ready = on_dir, .ctx = o };
    if (eg_watch_set(loop, &o->dir_watch, o->inotify, 0, EG_IN) != EG_OK ||
        eg_sock_listen(&at, &fd, &o->at, &err) != EG_OK)
        goto fail;
    o->listener = (struct eg_listener){ .accepted = on_accept, .ctx = o };
    if (eg_listener_start(&o->listener, loop, fd, false, &err) != EG_OK)
        goto fail;
    return o;
fail:
    fprintf(stderr, "origin: %s\n", err.text[0] ? err.text : strerror(errno));
    origin_free(o);
    return NULL;
}

void origin_free(struct origin *o)
{
    if (!o)
        return;
    while (o->conns)
        conn_free(o->conns);
    eg_listener_stop(&o->listener);
    eg_watch_drop(o->loop, &o->dir_watch);
    if (o->listener.fd >= 0)
        close(o->listener.fd);
    if (o->inotify >= 0)
        close(o->inotify);
    free(o);
}

uint16_t origin_port(const struct origin *o)
{
    return o->at.port;
}
