/* link.c - packets over a SOCK_SEQPACKET pair: queueing when the other side is slow, receiving with
 * ceilings. It gives no meaning to a message.
 *
 * Invariants: order is kept; every byte that was sent or received here is wiped (credentials go
 * this way); a packet or a descriptor beyond what was agreed ends the link. */
#include "cmd/link.h"

#include <sodium.h>
#include <stdlib.h>
#include <fcntl.h>
#include <unistd.h>

#include "net/sock.h"

enum { BATCH = 64 };

struct eg_link_item {
    struct eg_link_item *next;
    int fds[EG_LINK_FDS];
    unsigned fd_count;
    size_t n;
    char bytes[];
};

static void item_free(struct eg_link_item *i)
{
    for (unsigned k = 0; k < i->fd_count; k++)
        close(i->fds[k]);
    sodium_memzero(i->bytes, i->n);
    free(i);
}

static void finish(struct eg_link *l, enum eg_status why)
{
    if (!l->open)
        return;
    eg_link_close(l);
    l->closed(l, why);
}

static unsigned interest(const struct eg_link *l)
{
    return EG_IN | (l->head ? EG_OUT : 0);
}

/* Sends what is queued. EG_AGAIN: the socket is full. */
static enum eg_status flush(struct eg_link *l)
{
    while (l->head) {
        struct eg_link_item *i = l->head;
        enum eg_status status = eg_sock_send_fds(l->fd, i->bytes, i->n, i->fds, i->fd_count, NULL);
        if (status != EG_OK)
            return status;
        l->head = i->next;
        if (!l->head)
            l->tail = NULL;
        l->queued -= i->n;
        item_free(i);
    }
    return EG_OK;
}

static enum eg_status receive(struct eg_link *l)
{
    int fds[EG_LINK_FDS];
    unsigned fd_count = 0;
    size_t n = 0;
    enum eg_status status =
        eg_sock_recv_fds(l->fd, l->in, l->in_max, &n, fds, l->fd_max, &fd_count, NULL);
    if (status != EG_AGAIN)
        l->in_used = status == EG_OK ? n : l->in_max;
    if (status != EG_OK)
        return status;
    struct eg_link_message m;
    status = eg_link_decode(eg_slice(l->in, n), &m);
    if (status == EG_OK)
        l->message(l, &m, fds, fd_count);
    for (unsigned i = 0; i < fd_count; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (l->open) {
        sodium_memzero(l->in, n);
        l->in_used = 0;
    }
    sodium_memzero(&m.stats, sizeof m.stats);
    return status;
}

static void ready(struct eg_watch *w, unsigned events)
{
    struct eg_link *l = w->ctx;
    enum eg_status status = EG_OK;
    for (int i = 0; i < BATCH && l->open && status == EG_OK && (events & EG_IN); i++)
        status = receive(l);
    if (!l->open)
        return;
    if (status == EG_OK || status == EG_AGAIN)
        status = flush(l);
    if (status == EG_OK || status == EG_AGAIN)
        status = eg_watch_set(l->loop, &l->watch, l->fd, 0, interest(l));
    if (status != EG_OK)
        finish(l, status == EG_CLOSED ? EG_EOF : status);
}

enum eg_status eg_link_open(struct eg_link *l, struct eg_loop *loop, int fd, size_t in_max,
                            unsigned fd_max, size_t queue_max, struct eg_err *err)
{
    l->loop = loop;
    l->fd = fd;
    l->in_max = in_max;
    l->in_used = 0;
    l->fd_max = fd_max;
    l->queue_max = queue_max;
    l->head = l->tail = NULL;
    l->queued = 0;
    l->watch.ready = ready;
    l->watch.ctx = l;
    int size = 2 * EG_LINK_TO_WORKER_MAX; /* a packet must fit; the system may give less */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    l->in = malloc(in_max);
    l->open = true;
    if (!l->in || eg_watch_set(loop, &l->watch, fd, 0, EG_IN) != EG_OK) {
        eg_link_close(l);
        return eg_err_set(err, EG_NOMEM, "link", 0, "the link could not be made");
    }
    return EG_OK;
}

static enum eg_status enqueue(struct eg_link *l, const struct eg_buf *packet, const int *fds,
                              unsigned fd_count, struct eg_err *err)
{
    if (packet->len > l->queue_max - l->queued)
        return eg_err_set(err, EG_TOO_BIG, "link", 0, "the other process does not read");
    struct eg_link_item *i = malloc(sizeof *i + packet->len);
    if (!i)
        return EG_NOMEM;
    i->next = NULL;
    i->fd_count = 0;
    i->n = packet->len;
    memcpy(i->bytes, packet->data + packet->off, packet->len);
    for (; i->fd_count < fd_count; i->fd_count++) {
        i->fds[i->fd_count] = fcntl(fds[i->fd_count], F_DUPFD_CLOEXEC, 3);
        if (i->fds[i->fd_count] < 0) {
            item_free(i);
            return eg_err_set(err, EG_IO, "link", 0, "no descriptor is left");
        }
    }
    if (l->tail)
        l->tail->next = i;
    else
        l->head = i;
    l->tail = i;
    l->queued += i->n;
    return eg_watch_set(l->loop, &l->watch, l->fd, 0, interest(l));
}

enum eg_status eg_link_send(struct eg_link *l, const struct eg_link_message *m, const int *fds,
                            unsigned fd_count, struct eg_err *err)
{
    if (!l->open)
        return EG_CLOSED;
    if (fd_count > EG_LINK_FDS)
        return EG_INVALID;
    struct eg_buf packet;
    eg_buf_init(&packet, EG_LINK_TO_WORKER_MAX);
    char *room; /* at once, so that growing leaves no copy of a secret behind */
    size_t size = 512 + m->a.n + m->b.n + m->c.n;
    enum eg_status status = EG_OK;
    if (m->pair_count == 0)
        status = eg_buf_reserve(&packet, size, &room);
    if (status == EG_OK)
        status = eg_link_encode(m, &packet);
    if (status == EG_TOO_BIG)
        (void)!eg_err_set(err, status, "link", 0, "more than %d bytes in one message",
                          EG_LINK_TO_WORKER_MAX);
    if (status == EG_OK)
        status = l->head ? EG_AGAIN
                         : eg_sock_send_fds(l->fd, packet.data + packet.off, packet.len, fds,
                                            fd_count, err);
    if (status == EG_AGAIN)
        status = enqueue(l, &packet, fds, fd_count, err);
    eg_buf_wipe(&packet);
    eg_buf_done(&packet);
    return status;
}

void eg_link_close(struct eg_link *l)
{
    if (!l->open)
        return;
    l->open = false;
    eg_watch_drop(l->loop, &l->watch);
    close(l->fd);
    while (l->head) {
        struct eg_link_item *i = l->head;
        l->head = i->next;
        item_free(i);
    }
    l->tail = NULL;
    l->queued = 0;
    if (l->in)
        sodium_memzero(l->in, l->in_used); /* the rest was never touched, and shall not be now */
    free(l->in);
    l->in = NULL;
}
