/* listen.c - the accept side of the loop. It decides nothing about connections and counts none of them: a limit is the
 * caller's, who stops the listener.
 * Invariant: a listener that cannot accept (no descriptors, no memory) leaves epoll until its timer fires; a level-triggered
 * wake-up that cannot be served would otherwise spin. */
#include "net/listen.h"

#include <errno.h>
#include <string.h>

static void pause_accepting(struct eg_listener *l, int error)
{
    if (eg_timer_set(l->loop, &l->retry, eg_loop_now(l->loop) + EG_LISTEN_PAUSE_MS) != EG_OK)
        return; /* no room for a timer: stay in epoll, which is loud but alive */
    eg_watch_drop(l->loop, &l->watch);
    if (!l->paused && l->starved)
        l->starved(l, error);
    l->paused = true;
}

/* One connection a wake: the loop comes back as long as others wait, and a second accept would mostly learn that none does. */
static void on_ready(struct eg_watch *w, unsigned events)
{
    struct eg_listener *l = w->ctx;
    int fd = -1;
    struct eg_sockaddr peer;
    struct eg_err err = { 0 };
    (void)events;
    enum eg_status r = eg_sock_accept(l->fd, &fd, &peer, &err);
    if (r == EG_AGAIN || r == EG_CLOSED)
        return;
    if (r != EG_OK) {
        pause_accepting(l, err.sys);
        return;
    }
    l->paused = false;
    l->accepted(l, fd, &peer);
}

static void on_retry(struct eg_timer *t)
{
    struct eg_listener *l = t->ctx;
    if (eg_watch_set(l->loop, &l->watch, l->fd, 0, EG_IN) != EG_OK)
        pause_accepting(l, errno);
}

enum eg_status eg_listener_start(struct eg_listener *l, struct eg_loop *loop, int fd, bool shared,
                                 struct eg_err *err)
{
    l->loop = loop;
    l->fd = fd;
    l->paused = false;
    eg_sock_no_delay(fd); /* accepted sockets inherit it */
    l->watch = (struct eg_watch){ .ready = on_ready, .ctx = l, .exclusive = shared };
    l->retry = (struct eg_timer){ .fire = on_retry, .ctx = l };
    if (eg_watch_set(loop, &l->watch, fd, 0, EG_IN) != EG_OK)
        return eg_err_set(err, EG_IO, "listen", errno, "epoll refuses the listener: %s",
                          strerror(errno));
    return EG_OK;
}

void eg_listener_stop(struct eg_listener *l)
{
    if (!l->loop)
        return;
    eg_watch_drop(l->loop, &l->watch);
    eg_timer_clear(l->loop, &l->retry);
}
