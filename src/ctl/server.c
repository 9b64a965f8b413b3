/* server.c - clients of the control socket on the loop: read a request, dispatch it, write the
 * answer or a stream of them.
 *
 * It does not know what a request means. Invariants: only our own user and root are served
 * (SO_PEERCRED); a client holds at most one message in and 256 KiB out; one that is slow, silent
 * or does not read is cut; requests of a client are answered in order. */
#include "ctl/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

enum { OUT_MAX = 4 * (EG_CTL_MESSAGE_MAX + EG_CTL_PREFIX), BATCH = 64, POLL_MS = 100 };

enum waiting { WAIT_NONE, WAIT_REQUEST, WAIT_IDLE, WAIT_STREAM, WAIT_READER };

struct client {
    struct eg_ctl_server *server;
    struct client *next;
    int fd;
    bool greeted; /* its first request was taken */
    bool ending;  /* close once all is written */
    enum waiting waiting;
    struct eg_watch watch;
    struct eg_timer deadline;
    struct eg_task task;
    struct eg_dead dead;
    struct eg_buf in, out;
    struct eg_ctl_answer answer; /* the stream that runs: next is not NULL */
};

struct eg_ctl_server {
    struct eg_loop *loop;
    char *path;
    int fd;
    struct stat made; /* of the socket file */
    struct eg_watch watch;
    struct eg_timer poll; /* asks streams that had nothing */
    const struct eg_ctl_handler *handlers;
    void *ctx;
    uint32_t request_ms, idle_ms;
    struct client *clients;
    unsigned count;
};

static void client_free(struct eg_dead *d)
{
    struct client *c = (struct client *)((char *)d - offsetof(struct client, dead));
    eg_buf_wipe(&c->in); /* tokens go through here */
    eg_buf_wipe(&c->out);
    eg_buf_done(&c->in);
    eg_buf_done(&c->out);
    free(c);
}

static void stream_end(struct client *c)
{
    if (c->answer.next && c->answer.done)
        c->answer.done(c->answer.stream);
    memset(&c->answer, 0, sizeof c->answer);
}

static void client_close(struct client *c)
{
    struct eg_ctl_server *s = c->server;
    if (c->fd < 0)
        return;
    stream_end(c);
    eg_watch_drop(s->loop, &c->watch);
    eg_timer_clear(s->loop, &c->deadline);
    eg_loop_unmark(s->loop, &c->task);
    close(c->fd);
    c->fd = -1;
    for (struct client **at = &s->clients; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    s->count--;
    eg_loop_bury(s->loop, &c->dead);
}

static const struct eg_ctl_handler *handler_of(const struct eg_ctl_handler *handlers,
                                               const char *op)
{
    for (; handlers->op; handlers++)
        if (op && strcmp(handlers->op, op) == 0)
            return handlers;
    return NULL;
}

json_t *eg_ctl_dispatch(const struct eg_ctl_handler *handlers, void *ctx, const json_t *request,
                        bool first, struct eg_ctl_answer *answer)
{
    struct eg_err err = { 0 };
    memset(answer, 0, sizeof *answer);
    enum eg_status status;
    const struct eg_ctl_handler *h = handler_of(handlers, eg_ctl_text(request, "op"));
    const json_t *version = json_object_get(request, "v");
    if ((first || version) && json_integer_value(version) != EG_CTL_VERSION)
        status = eg_err_set(&err, EG_INVALID, "control", 0, "this egressd speaks version %d",
                            EG_CTL_VERSION);
    else if (!h)
        status = eg_err_set(&err, EG_NOT_FOUND, "control", 0, "there is no such request");
    else
        status = h->handle(ctx, request, answer, &err);
    if (status != EG_OK)
        return eg_ctl_error(status, &err);
    json_t *reply = answer->reply;
    answer->reply = NULL;
    return reply;
}

static enum eg_status client_answer(struct client *c, json_t *reply)
{
    enum eg_status status = eg_ctl_wire_put(&c->out, reply);
    json_decref(reply);
    if (status != EG_TOO_BIG || c->out.len > 0)
        return status;
    struct eg_err err = { 0 };
    eg_err_set(&err, EG_TOO_BIG, "control", 0, "the answer is larger than a message");
    json_t *error = eg_ctl_error(EG_TOO_BIG, &err);
    status = error ? eg_ctl_wire_put(&c->out, error) : EG_NOMEM;
    json_decref(error);
    return status;
}

/* Takes messages of the running stream while there is room for a whole one. EG_AGAIN: it has
 * nothing now. */
static enum eg_status stream_pump(struct client *c)
{
    for (unsigned i = 0; i < BATCH && c->answer.next; i++) {
        if (eg_buf_room(&c->out) < EG_CTL_IN_MAX)
            return EG_OK;
        json_t *message = NULL;
        enum eg_status status = c->answer.next(c->answer.stream, &message);
        if (status == EG_EOF)
            stream_end(c);
        if (status == EG_OK)
            status = client_answer(c, message);
        else if (status == EG_EOF)
            return EG_OK;
        if (status != EG_OK)
            return status;
    }
    if (c->answer.next)
        eg_loop_mark(c->server->loop, &c->task); /* its share of this tick is used up */
    return EG_OK;
}

static enum eg_status requests_take(struct client *c)
{
    struct eg_ctl_server *s = c->server;
    while (!c->answer.next && eg_buf_room(&c->out) >= EG_CTL_IN_MAX) {
        struct eg_err err = { 0 };
        json_t *request = NULL;
        enum eg_status status = eg_ctl_wire_take(&c->in, &request, &err);
        if (status == EG_AGAIN)
            return EG_OK;
        json_t *reply;
        if (status == EG_OK) {
            reply = eg_ctl_dispatch(s->handlers, s->ctx, request, !c->greeted, &c->answer);
            c->greeted = true;
        } else { /* nothing after it can be understood */
            reply = eg_ctl_error(status, &err);
            c->ending = true;
        }
        json_decref(request);
        if (!reply && !c->answer.next)
            return EG_NOMEM;
        if (reply && client_answer(c, reply) != EG_OK)
            return EG_NOMEM;
        if (c->ending)
            return EG_OK;
    }
    return EG_OK;
}

static enum eg_status client_read(struct client *c)
{
    while (eg_buf_room(&c->in) > 0) {
        char *p;
        size_t n = eg_buf_room(&c->in) < 4096 ? eg_buf_room(&c->in) : 4096;
        enum eg_status status = eg_buf_reserve(&c->in, n, &p);
        if (status != EG_OK)
            return status;
        ssize_t got = recv(c->fd, p, n, 0);
        if (got < 0)
            return errno == EAGAIN || errno == EINTR ? EG_OK : EG_CLOSED;
        if (got == 0) {
            c->ending = true;
            return EG_OK;
        }
        eg_buf_commit(&c->in, (size_t)got);
    }
    /* nobody has reason to pipeline that much behind a stream */
    return c->answer.next ? EG_TOO_BIG : EG_OK;
}

static enum eg_status client_write(struct client *c)
{
    while (c->out.len > 0) {
        ssize_t n = send(c->fd, c->out.data + c->out.off, c->out.len, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? EG_OK : EG_CLOSED;
        eg_buf_consume(&c->out, (size_t)n);
    }
    return EG_OK;
}

/* What a client waits for decides how long it may: a request that has begun (or the first one)
 * must be whole in request_ms; output must move within idle_ms; between requests it may be idle;
 * a follower with nothing to say may wait for ever. */
static bool client_deadline(struct client *c, bool starved, bool moved)
{
    struct eg_ctl_server *s = c->server;
    enum waiting w = c->out.len > 0                 ? WAIT_READER
                     : c->answer.next               ? WAIT_STREAM
                     : c->greeted && c->in.len == 0 ? WAIT_IDLE
                                                    : WAIT_REQUEST;
    if (starved && s->poll.slot == 0 &&
        eg_timer_set(s->loop, &s->poll, eg_loop_now(s->loop) + POLL_MS) != EG_OK)
        return false;
    if (w == c->waiting && !(w == WAIT_READER && moved))
        return true;
    c->waiting = w;
    if (w == WAIT_STREAM) {
        eg_timer_clear(s->loop, &c->deadline);
        return true;
    }
    uint64_t limit = w == WAIT_REQUEST ? s->request_ms : s->idle_ms;
    return eg_timer_set(s->loop, &c->deadline, eg_loop_now(s->loop) + limit) == EG_OK;
}

/* Reads, answers, writes. EG_AGAIN: all is done but the stream, which has nothing now. */
static enum eg_status client_work(struct client *c, unsigned events)
{
    enum eg_status status = events & EG_IN && !c->ending ? client_read(c) : EG_OK;
    if (status == EG_OK)
        status = requests_take(c);
    bool starved = false;
    if (status == EG_OK && c->answer.next) {
        status = stream_pump(c);
        starved = status == EG_AGAIN;
    }
    if (status == EG_OK || starved)
        status = client_write(c);
    return status == EG_OK && starved ? EG_AGAIN : status;
}

static void client_step(struct client *c, unsigned events)
{
    struct eg_ctl_server *s = c->server;
    size_t before = c->out.len;
    enum eg_status status = client_work(c, events);
    bool starved = status == EG_AGAIN;
    if ((status != EG_OK && !starved) || (c->ending && (c->answer.next || c->out.len == 0))) {
        client_close(c);
        return;
    }
    if (!c->answer.next && c->in.len >= EG_CTL_PREFIX && eg_ctl_wire_missing(&c->in) == 0 &&
        c->out.len == 0)
        /* a pipelined request waited for room or for a stream's end */
        eg_loop_mark(s->loop, &c->task);
    if (c->answer.next && !starved && c->out.len == 0)
        /* the output was full and then went out whole: nothing else would wake the stream */
        eg_loop_mark(s->loop, &c->task);
    unsigned interest = c->out.len ? EG_OUT : 0;
    if (!c->ending)
        interest |= EG_IN;
    if (eg_watch_set(s->loop, &c->watch, c->fd, 0, interest) != EG_OK ||
        !client_deadline(c, starved, c->out.len != before))
        client_close(c);
}

static void client_ready(struct eg_watch *w, unsigned events)
{
    client_step(w->ctx, events);
}

static void client_run(struct eg_task *t)
{
    client_step(t->ctx, 0);
}

static void client_late(struct eg_timer *t)
{
    client_close(t->ctx);
}

void eg_ctl_server_poke(struct eg_ctl_server *s)
{
    for (struct client *c = s->clients; c; c = c->next)
        if (c->answer.next)
            eg_loop_mark(s->loop, &c->task);
}

static void server_poll(struct eg_timer *t)
{
    eg_ctl_server_poke(t->ctx);
}

static bool peer_may(int fd)
{
    struct ucred who;
    socklen_t n = sizeof who;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 && n == sizeof who &&
           (who.uid == geteuid() || who.uid == 0);
}

static void server_accept(struct eg_watch *w, unsigned events)
{
    (void)events;
    struct eg_ctl_server *s = w->ctx;
    for (unsigned i = 0; i < EG_CTL_CLIENTS; i++) {
        int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        struct client *c = s->count < EG_CTL_CLIENTS && peer_may(fd) ? calloc(1, sizeof *c) : NULL;
        if (!c) {
            close(fd);
            continue;
        }
        c->server = s;
        c->fd = fd;
        eg_buf_init(&c->in, EG_CTL_IN_MAX);
        eg_buf_init(&c->out, OUT_MAX);
        c->watch.ready = client_ready;
        c->deadline.fire = client_late;
        c->task.run = client_run;
        c->dead.free = client_free;
        c->watch.ctx = c->deadline.ctx = c->task.ctx = c;
        c->next = s->clients;
        s->clients = c;
        s->count++;
        client_step(c, EG_IN);
    }
}

enum eg_status eg_ctl_server_new(const struct eg_ctl_config *config, struct eg_ctl_server **ret,
                                 struct eg_err *err)
{
    enum eg_status status = EG_NOMEM;
    struct eg_ctl_server *s = calloc(1, sizeof *s);
    if (!s)
        return status;
    s->fd = -1;
    s->loop = config->loop;
    s->handlers = config->handlers;
    s->ctx = config->ctx;
    s->request_ms = config->request_ms ? config->request_ms : 5000;
    s->idle_ms = config->idle_ms ? config->idle_ms : 60000;
    s->watch.ready = server_accept;
    s->poll.fire = server_poll;
    s->watch.ctx = s->poll.ctx = s;
    s->path = strdup(config->path);
    if (!s->path)
        goto fail;
    const struct eg_unix_place at = { .path = s->path,
                                      .layer = "control",
                                      .backlog = EG_CTL_CLIENTS };
    status = eg_unix_listen(&at, &s->fd, &s->made, err);
    if (status != EG_OK)
        goto fail;
    status = eg_watch_set(s->loop, &s->watch, s->fd, 0, EG_IN);
    if (status != EG_OK)
        goto fail;
    *ret = s;
    return EG_OK;
fail:
    eg_ctl_server_free(s);
    return status;
}

void eg_ctl_server_free(struct eg_ctl_server *s)
{
    if (!s)
        return;
    while (s->clients)
        client_close(s->clients);
    eg_timer_clear(s->loop, &s->poll);
    if (s->fd >= 0) {
        eg_watch_drop(s->loop, &s->watch);
        eg_unix_remove(s->path, &s->made);
        close(s->fd);
    }
    free(s->path);
    free(s);
}

unsigned eg_ctl_server_clients(const struct eg_ctl_server *s)
{
    return s->count;
}
