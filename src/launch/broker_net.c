/* broker_net.c - sockets and connections of the child. Alone in the host's network each socket is bound to the loopback device,
 * which takes CAP_NET_RAW to undo, and a connection leads to the proxy or to a server of the child's own; what is refused looks like
 * a machine without a network, or like a port where nobody listens. The connection is made on a fresh socket of ours from the address
 * that was copied and judged, and put in the place of the child's: what epoll was told of that one is lost. */
#include "launch/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

enum { EG_TYPE_MASK = 0xf };

/* -1 with errno. */
static int fresh(const struct eg_broker *b, int domain, int type)
{
    int fd = socket(domain, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || !b->alone || domain == AF_UNIX)
        return fd;
    if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof "lo") == 0)
        return fd;
    int sys = errno;
    close(fd);
    errno = sys;
    return -1;
}

/* One end of a pair: it can't listen, so nobody of the host is ever answered by the child under a name. */
static void make_unix(const struct eg_broker *b, const struct eg_broker_call *c)
{
    int ends[2], flags = (int)c->args[1] & SOCK_NONBLOCK;
    int sys = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0, ends) < 0 ? errno : 0;
    if (sys == 0) {
        close(ends[1]);
        sys = eg_broker_give(b, c->id, ends[0], -1, ((int)c->args[1] & SOCK_CLOEXEC) != 0);
        close(ends[0]);
    }
    if (sys != 0)
        eg_broker_answer(b, c->id, sys);
}

void eg_broker_socket(struct eg_broker *b, const struct eg_broker_call *c)
{
    int domain = (int)c->args[0], type = (int)c->args[1] & EG_TYPE_MASK;
    if (domain == AF_UNIX && type == SOCK_STREAM && b->socket_count > 0) {
        make_unix(b, c);
        return;
    }
    /* the filter hands nothing else over; its word is not taken for it */
    if ((domain != AF_INET && domain != AF_INET6) ||
        (type != SOCK_STREAM && (b->alone || type != SOCK_DGRAM))) {
        eg_broker_answer(b, c->id, EACCES);
        return;
    }
    int protocol = (int)c->args[2];
    if (protocol != 0 && protocol != (type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP)) {
        eg_broker_answer(b, c->id, EPROTONOSUPPORT);
        return;
    }
    int fd = fresh(b, domain, type | ((int)c->args[1] & SOCK_NONBLOCK));
    int sys = fd < 0 ? errno : eg_broker_remember(b, fd, domain, type, false);
    if (sys == 0)
        sys = eg_broker_give(b, c->id, fd, -1, ((int)c->args[1] & SOCK_CLOEXEC) != 0);
    if (sys != 0)
        eg_broker_answer(b, c->id, sys);
    if (fd >= 0)
        close(fd);
}

/* ---- where to ---- */

static bool loopback4(uint32_t address)
{
    return ntohl(address) >> 24 == IN_LOOPBACKNET || address == htonl(INADDR_ANY);
}

/* 0, or why not. The address for any host means this one, as the kernel has it. */
static int judge4(const struct eg_broker *b, struct eg_broker_target *to, uint32_t address)
{
    to->checked = false;
    if (!b->alone)
        return 0;
    if (!loopback4(address))
        return ENETUNREACH;
    if (to->port == b->port && (address == htonl(INADDR_LOOPBACK) || address == htonl(INADDR_ANY)))
        return 0;
    to->checked = true;
    return eg_broker_owns(b, to) ? 0 : ECONNREFUSED;
}

static int judge6(const struct eg_broker *b, struct eg_broker_target *to)
{
    const struct sockaddr_in6 *at = (const struct sockaddr_in6 *)&to->at;
    uint32_t embedded;
    to->checked = false;
    if (!b->alone)
        return 0;
    if (IN6_IS_ADDR_V4MAPPED(&at->sin6_addr)) {
        memcpy(&embedded, at->sin6_addr.s6_addr + 12, sizeof embedded);
        return judge4(b, to, embedded);
    }
    if (!IN6_IS_ADDR_LOOPBACK(&at->sin6_addr) && !IN6_IS_ADDR_UNSPECIFIED(&at->sin6_addr))
        return ENETUNREACH;
    to->checked = true;
    return eg_broker_owns(b, to) ? 0 : ECONNREFUSED;
}

/* made: NULL where it is none of the sockets that were made for the child. */
static int judge(const struct eg_broker *b, const struct eg_broker_made *made,
                 struct eg_broker_target *to)
{
    const struct sockaddr_in *at4 = (const struct sockaddr_in *)&to->at;
    const struct sockaddr_in6 *at6 = (const struct sockaddr_in6 *)&to->at;
    if (!made || (to->at.ss_family != AF_INET && to->at.ss_family != AF_INET6))
        return made ? EAFNOSUPPORT : EISCONN;
    if (made->connected && made->type == SOCK_STREAM)
        return EISCONN;
    if (made->domain != to->at.ss_family)
        return EAFNOSUPPORT;
    if (to->n < (to->at.ss_family == AF_INET ? sizeof *at4 : offsetof(struct sockaddr_in6, sin6_scope_id)))
        return EINVAL;
    to->port = ntohs(to->at.ss_family == AF_INET ? at4->sin_port : at6->sin6_port);
    return to->at.ss_family == AF_INET ? judge4(b, to, at4->sin_addr.s_addr) : judge6(b, to);
}

/* ---- the connection ---- */

/* Into the child, in the place of its own socket. */
static int hand_over(struct eg_broker *b, const struct eg_broker_pending *p)
{
    struct stat st;
    int type = 0;
    socklen_t n = sizeof type;
    if (p->to.checked && !eg_broker_owns(b, &p->to)) /* its port changed hands meanwhile */
        return ECONNREFUSED;
    if (p->blocking && fcntl(p->fd, F_SETFL, 0) < 0)
        return errno;
    if (p->to.at.ss_family != AF_UNIX &&
        (getsockopt(p->fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 ||
         eg_broker_remember(b, p->fd, p->to.at.ss_family, type, true) != 0))
        return ENOBUFS;
    int sys = eg_broker_give(b, p->id, p->fd, p->number, p->cloexec);
    if (sys == 0)
        eg_broker_forget(b, p->inode);
    else if (fstat(p->fd, &st) == 0)
        eg_broker_forget(b, st.st_ino);
    return sys;
}

static void finish(struct eg_broker *b, const struct eg_broker_pending *p, int sys)
{
    if (sys == 0 || sys == EINPROGRESS) {
        int given = hand_over(b, p);
        sys = given != 0 ? given : sys;
    }
    eg_broker_answer(b, p->id, sys);
    if (p->fd >= 0)
        close(p->fd);
}

/* EINPROGRESS: not yet. */
static int outcome(int fd)
{
    struct pollfd ready = { .fd = fd, .events = POLLOUT };
    int sys = 0;
    socklen_t n = sizeof sys;
    if (poll(&ready, 1, 0) == 0)
        return EINPROGRESS;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &sys, &n) < 0 ? errno : sys;
}

static void wait_for(struct eg_broker *b, const struct eg_broker_pending *p)
{
    uint64_t now = eg_clock_ms();
    for (unsigned i = 0; i < EG_BROKER_PENDING; i++) {
        struct eg_broker_pending *slot = &b->pending[i];
        struct epoll_event ready = { .events = EPOLLOUT, .data.ptr = slot };
        if (slot->used)
            continue;
        if (p->fd >= 0 && epoll_ctl(b->epoll, EPOLL_CTL_ADD, p->fd, &ready) < 0)
            break;
        *slot = *p;
        slot->used = true;
        if (slot->until_ms == 0)
            slot->until_ms = now + (p->blocking ? EG_BROKER_WAIT_MS : EG_BROKER_HOLD_MS);
        slot->again_ms = p->fd >= 0 ? slot->until_ms : now + EG_BROKER_AGAIN_MS;
        return;
    }
    finish(b, p, ECONNREFUSED);
}

/* A full backlog. The proxy's own may be waited for by the child itself. A server of the child's may
 * have gone when there is room, and its port be another's: the socket is the child's only once it is connected and looked at
 * again, so nothing is left under way; who does not block is told that nobody listens, before its loop stands still. */
static void try(struct eg_broker *b, struct eg_broker_pending *p)
{
    const int one = 1;
    int family = p->to.at.ss_family;
    p->fd = fresh(b, family, p->type | SOCK_NONBLOCK);
    int sys = p->fd < 0 ? errno : 0;
    if (sys == 0 && family != AF_UNIX && p->type == SOCK_STREAM)
        setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* it was set, or will be */
    if (sys == 0)
        eg_broker_options_set(p->fd, &p->options);
    if (sys == 0 && connect(p->fd, (const struct sockaddr *)&p->to.at, p->to.n) < 0)
        sys = errno;
    if (sys == EINPROGRESS)
        sys = outcome(p->fd);
    bool again = (sys == EINPROGRESS && p->to.checked) || (sys == EAGAIN && family == AF_UNIX && p->blocking);
    if (again) {
        close(p->fd);
        p->fd = -1;
    }
    if (again || (sys == EINPROGRESS && p->blocking))
        wait_for(b, p);
    else
        finish(b, p, sys);
}

void eg_broker_settle(struct eg_broker *b, struct eg_broker_pending *p)
{
    struct eg_broker_pending now = *p;
    bool late = eg_clock_ms() >= p->until_ms;
    int sys = p->fd >= 0 ? outcome(p->fd) : EINPROGRESS;
    if (p->fd >= 0 && sys == EINPROGRESS && !late)
        return;
    if (p->fd >= 0)
        epoll_ctl(b->epoll, EPOLL_CTL_DEL, p->fd, NULL);
    p->used = false;
    p->fd = -1;
    if (now.fd < 0 && !late && eg_broker_valid(b, now.id))
        try(b, &now);
    else
        finish(b, &now, sys != EINPROGRESS ? sys : now.blocking ? ETIMEDOUT : ECONNREFUSED);
}

/* ---- Unix sockets by name ---- */

/* /proc/self/fd leads to the very file that was opened by that name at the start, whatever the child has made of
 * the path since, and also where the path is covered. */
static int judge_unix(const struct eg_broker *b, struct eg_broker_target *to)
{
    struct sockaddr_un *at = (struct sockaddr_un *)&to->at;
    size_t n = to->n > offsetof(struct sockaddr_un, sun_path)
                   ? strnlen(at->sun_path, to->n - offsetof(struct sockaddr_un, sun_path))
                   : 0;
    to->checked = false;
    for (unsigned i = 0; n > 0 && i < b->socket_count; i++) {
        if (strlen(b->paths[i]) != n || memcmp(b->paths[i], at->sun_path, n) != 0)
            continue;
        int k = snprintf(at->sun_path, sizeof at->sun_path, "/proc/self/fd/%d", b->sockets[i]);
        to->n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)k + 1);
        return 0;
    }
    return EACCES;
}

void eg_broker_connect(struct eg_broker *b, const struct eg_broker_call *c)
{
    struct eg_broker_pending p = {
        .id = c->id, .number = (int)c->args[0], .fd = -1, .type = SOCK_STREAM
    };
    int flags = 0;
    int sys = eg_broker_address(b, c, &p.to.at, &p.to.n);
    if (sys == 0)
        sys = eg_broker_descriptor(b, c, p.number, &flags, &p.inode);
    if (sys == 0 && p.to.at.ss_family == AF_UNIX) {
        sys = judge_unix(b, &p.to);
    } else if (sys == 0) {
        const struct eg_broker_made *made = eg_broker_find(b, p.inode);
        sys = judge(b, made, &p.to);
        p.type = made ? made->type : p.type;
    }
    if (sys != 0) {
        eg_broker_answer(b, c->id, sys);
        return;
    }
    if (p.to.at.ss_family != AF_UNIX)
        eg_broker_options_read(b, c, p.number, p.inode, &p.options);
    p.cloexec = (flags & O_CLOEXEC) != 0;
    p.blocking = (flags & O_NONBLOCK) == 0;
    try(b, &p);
}
