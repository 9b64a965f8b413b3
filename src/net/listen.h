/* listen.h - accepting on a listening socket: fairly, shared among workers, and without spinning when descriptors run out. */
#ifndef EG_NET_LISTEN_H
#define EG_NET_LISTEN_H

#include "net/loop.h"
#include "net/sock.h"

/* embed it; zeroed = not started */
struct eg_listener {
    struct eg_loop *loop;
    int fd;      /* borrowed */
    bool paused; /* descriptors ran out: the timer tries again */
    struct eg_watch watch;
    struct eg_timer retry;
    /* A connection, which the callee owns. */
    void (*accepted)(struct eg_listener *l, int fd, const struct eg_sockaddr *peer);
    /* May be NULL: told once each time that accepting pauses (errno: EMFILE, ENFILE, ENOBUFS, ENOMEM). */
    void (*starved)(struct eg_listener *l, int error);
    void *ctx;
};

/* How long accepting pauses when no descriptor is left; what waits stays in the kernel's queue. */
enum { EG_LISTEN_PAUSE_MS = 100 };

/* Begins to accept on fd. shared: other processes accept on the same socket, so only one of them is woken
 * (EPOLLEXCLUSIVE). l->accepted must be set. EG_IO. */
enum eg_status eg_listener_start(struct eg_listener *l, struct eg_loop *loop, int fd, bool shared,
                                 struct eg_err *err) EG_MUST_USE;
/* Stops; fd stays open. Idempotent. May be called from accepted(). */
void eg_listener_stop(struct eg_listener *l);

#endif
