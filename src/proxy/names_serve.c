/* names_serve.c - the two sockets of a captured child's resolver: UDP, and TCP with a length before each message
 * (RFC 1035 4.2).
 *
 * The sockets are of the child's network namespace, so whatever is sent by them stays there. Bounded in all ways: so
 * many questions a tick, so many connections, each with a deadline; who does not read its answers is cut. */
#include "proxy/names.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/listen.h"

enum { QUESTIONS = 32, CONNECTIONS = 64, PATIENCE_MS = 10000, PREFIX = 2 };

struct connection {
    struct connection *prev, *next;
    struct eg_names_server *server;
    struct eg_watch watch;
    struct eg_timer timer;
    struct eg_dead dead;
    int fd; /* -1: ended */
    size_t have;
    char in[PREFIX + EG_NAMES_QUESTION_MAX];
};

struct eg_names_server {
    struct eg_loop *loop;
    struct eg_names *names;
    int fd;
    struct eg_watch watch;       /* UDP */
    struct eg_listener listener; /* TCP */
    struct connection *connections;
    unsigned count;
};

static size_t answer(struct eg_names_server *s, const char *p, size_t n,
                     char out[EG_NAMES_ANSWER_MAX])
{
    struct eg_names_question q;
    struct eg_names_answer a = { .rcode = EG_NAMES_NOERROR };
    eg_names_parse(p, n, &q);
    if (q.kind == EG_NAMES_ASKED)
        eg_names_answer_to(s->names, &q, &a);
    return eg_names_write(&q, &a, out);
}

/* ---- UDP ---- */

static void datagrams(struct eg_watch *w, unsigned events)
{
    struct eg_names_server *s = w->ctx;
    char in[EG_NAMES_QUESTION_MAX], out[EG_NAMES_ANSWER_MAX];
    (void)events;
    for (int i = 0; i < QUESTIONS; i++) { /* the rest in the next tick: nobody starves the others */
        struct sockaddr_storage from;
        socklen_t size = sizeof from;
        ssize_t n = recvfrom(s->fd, in, sizeof in, MSG_TRUNC | MSG_DONTWAIT,
                             (struct sockaddr *)&from, &size);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n < 0 || (size_t)n > sizeof in)
            continue;
        size_t reply = answer(s, in, (size_t)n, out);
        if (reply > 0) /* lost like any datagram where it can't be sent */
            (void)!sendto(s->fd, out, reply, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&from,
                          size);
    }
}

/* ---- TCP ---- */

static void free_connection(struct eg_dead *d)
{
    free((char *)d - offsetof(struct connection, dead));
}

static void end(struct connection *c)
{
    struct eg_names_server *s = c->server;
    if (c->fd < 0)
        return;
    eg_watch_drop(s->loop, &c->watch);
    eg_timer_clear(s->loop, &c->timer);
    close(c->fd);
    c->fd = -1;
    *(c->prev ? &c->prev->next : &s->connections) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    s->count--;
    eg_loop_bury(s->loop, &c->dead);
}

static void late(struct eg_timer *t)
{
    end(t->ctx);
}

/* false: the connection is over. */
static bool reply(struct connection *c, size_t n)
{
    char out[PREFIX + EG_NAMES_ANSWER_MAX];
    size_t size = answer(c->server, c->in + PREFIX, n, out + PREFIX);
    if (size == 0)
        return false;
    out[0] = (char)(size >> 8);
    out[1] = (char)size;
    return send(c->fd, out, PREFIX + size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)(PREFIX + size);
}

/* Answers what is whole. */
static bool serve(struct connection *c)
{
    while (c->have >= PREFIX) {
        size_t n = (size_t)(unsigned char)c->in[0] << 8 | (unsigned char)c->in[1];
        if (n < EG_NAMES_HEAD || n > EG_NAMES_QUESTION_MAX)
            return false;
        if (c->have < PREFIX + n)
            return true;
        if (!reply(c, n))
            return false;
        c->have -= PREFIX + n;
        memmove(c->in, c->in + PREFIX + n, c->have);
    }
    return true;
}

static void readable(struct eg_watch *w, unsigned events)
{
    struct connection *c = w->ctx;
    (void)events;
    ssize_t n = recv(c->fd, c->in + c->have, sizeof c->in - c->have, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        c->have += (size_t)n;
    uint64_t at = eg_loop_now(c->server->loop) + PATIENCE_MS;
    if (n <= 0 || !serve(c) || eg_timer_set(c->server->loop, &c->timer, at) != EG_OK)
        end(c);
}

static void accepted(struct eg_listener *l, int fd, const struct eg_sockaddr *peer)
{
    struct eg_names_server *s = l->ctx;
    (void)peer;
    struct connection *c = s->count < CONNECTIONS ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        close(fd);
        return;
    }
    c->server = s;
    c->fd = fd;
    c->watch = (struct eg_watch){ .ready = readable, .ctx = c };
    c->timer = (struct eg_timer){ .fire = late, .ctx = c };
    c->dead.free = free_connection;
    c->next = s->connections;
    if (c->next)
        c->next->prev = c;
    s->connections = c;
    s->count++;
    if (eg_watch_set(s->loop, &c->watch, fd, 0, EG_IN) != EG_OK ||
        eg_timer_set(s->loop, &c->timer, eg_loop_now(s->loop) + PATIENCE_MS) != EG_OK)
        end(c);
}

/* ---- both ---- */

enum eg_status eg_names_serve(struct eg_loop *l, struct eg_names *t, int fd, bool stream,
                              struct eg_names_server **ret, struct eg_err *err)
{
    enum eg_status status = EG_NOMEM;
    struct eg_names_server *s = calloc(1, sizeof *s);
    if (s) {
        s->loop = l;
        s->names = t;
        s->fd = fd;
        s->watch = (struct eg_watch){ .ready = datagrams, .ctx = s };
        s->listener.accepted = accepted;
        s->listener.ctx = s;
        status = stream ? eg_listener_start(&s->listener, l, fd, false, err)
                        : eg_watch_set(l, &s->watch, fd, 0, EG_IN);
    }
    if (status != EG_OK) {
        free(s);
        close(fd);
        return eg_err_set(err, status, "names", 0, "the child's resolver can't be served");
    }
    *ret = s;
    return EG_OK;
}

void eg_names_stop(struct eg_names_server *s)
{
    if (!s)
        return;
    while (s->connections)
        end(s->connections);
    eg_listener_stop(&s->listener);
    eg_watch_drop(s->loop, &s->watch);
    close(s->fd);
    free(s);
}
