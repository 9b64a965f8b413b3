/* broker.c - takes the calls that the filter hands over from the listener, in their order, has each answered, and keeps the
 * connections that wait. What a call may do is decided in broker_net.c and broker_signal.c.
 *
 * Invariants: every call is answered once or its caller is gone; nothing here blocks; a call is let go on by itself only where the
 * registers alone decide (limits of a process), never where a pointer does. */
#include "launch/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* The kernel may know longer forms than the headers do. */
static enum eg_status make_messages(struct eg_broker *b)
{
    struct seccomp_notif_sizes sizes;
    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
        return EG_IO;
    b->note_n = larger(sizes.seccomp_notif, sizeof *b->note);
    b->reply_n = larger(sizes.seccomp_notif_resp, sizeof *b->reply);
    b->note = calloc(1, b->note_n);
    b->reply = calloc(1, b->reply_n);
    b->made = malloc(EG_BROKER_MADE * sizeof *b->made); /* touched as it fills */
    return b->note && b->reply && b->made ? EG_OK : EG_NOMEM;
}

static int number_of_loopback(void)
{
    struct ifreq request = { .ifr_name = "lo" };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = fd >= 0 ? ioctl(fd, SIOCGIFINDEX, &request) : -1;
    if (fd >= 0)
        close(fd);
    return rc == 0 ? request.ifr_ifindex : 0;
}

enum eg_status eg_broker_new(const struct eg_broker_spec *spec, struct eg_broker **ret,
                             struct eg_err *err)
{
    struct epoll_event ready = { .events = EPOLLIN };
    struct eg_broker *b = calloc(1, sizeof *b);
    if (!b) {
        close(spec->notify);
        return EG_NOMEM;
    }
    b->notify = spec->notify;
    b->alone = spec->alone;
    b->port = spec->port;
    b->sockets = spec->sockets;
    b->paths = spec->paths;
    b->socket_count = spec->socket_count;
    for (unsigned i = 0; i < EG_BROKER_PENDING; i++)
        b->pending[i].fd = -1;
    b->lo = number_of_loopback();
    b->diag = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    b->epoll = epoll_create1(EPOLL_CLOEXEC);
    enum eg_status status = b->epoll < 0 ? EG_IO : make_messages(b);
    if (status == EG_OK && (fcntl(b->notify, F_SETFL, O_NONBLOCK) < 0 ||
                            epoll_ctl(b->epoll, EPOLL_CTL_ADD, b->notify, &ready) < 0))
        status = EG_IO;
    if (status != EG_OK) {
        eg_err_set(err, status, "launch", errno, "no supervisor for the child's calls");
        eg_broker_free(b);
        return status;
    }
    *ret = b;
    return EG_OK;
}

void eg_broker_free(struct eg_broker *b)
{
    if (!b)
        return;
    for (unsigned i = 0; i < EG_BROKER_PENDING; i++)
        if (b->pending[i].fd >= 0)
            close(b->pending[i].fd);
    close(b->notify);
    if (b->diag >= 0)
        close(b->diag);
    if (b->epoll >= 0)
        close(b->epoll);
    free(b->note);
    free(b->reply);
    free(b->made);
    free(b);
}

int eg_broker_fd(const struct eg_broker *b)
{
    return b->epoll;
}

int eg_broker_timeout(const struct eg_broker *b)
{
    uint64_t now = eg_clock_ms(), first = UINT64_MAX;
    for (unsigned i = 0; i < EG_BROKER_PENDING; i++)
        if (b->pending[i].used && b->pending[i].again_ms < first)
            first = b->pending[i].again_ms;
    if (first == UINT64_MAX)
        return -1;
    return first > now ? (int)(first - now) : 0;
}

/* ---- answers ---- */

static void send_reply(const struct eg_broker *b, uint64_t id, int sys, uint32_t flags)
{
    memset(b->reply, 0, b->reply_n);
    b->reply->id = id;
    b->reply->error = -sys;
    b->reply->flags = flags;
    /* ENOENT: the caller is gone, and nobody waits for it */
    (void)ioctl(b->notify, SECCOMP_IOCTL_NOTIF_SEND, b->reply);
}

void eg_broker_answer(const struct eg_broker *b, uint64_t id, int sys)
{
    send_reply(b, id, sys, 0);
}

void eg_broker_go_on(const struct eg_broker *b, uint64_t id)
{
    send_reply(b, id, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

bool eg_broker_valid(const struct eg_broker *b, uint64_t id)
{
    return ioctl(b->notify, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

int eg_broker_give(const struct eg_broker *b, uint64_t id, int fd, int number, bool cloexec)
{
    struct seccomp_notif_addfd add = { .id = id,
                                       .srcfd = (uint32_t)fd,
                                       .newfd_flags = cloexec ? O_CLOEXEC : 0 };
    if (number >= 0) {
        add.flags = SECCOMP_ADDFD_FLAG_SETFD;
        add.newfd = (uint32_t)number;
    } else {
        add.flags = SECCOMP_ADDFD_FLAG_SEND;
    }
    return ioctl(b->notify, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0 ? errno : 0;
}

/* ---- calls ---- */

static void serve(struct eg_broker *b, const struct eg_broker_call *c)
{
    switch (c->nr) {
    case SYS_socket:
        eg_broker_socket(b, c);
        return;
    case SYS_connect:
        eg_broker_connect(b, c);
        return;
    case SYS_prlimit64:
    case SYS_sched_setscheduler:
    case SYS_sched_setparam:
    case SYS_sched_setattr:
    case SYS_sched_setaffinity:
    case SYS_setpriority:
    case SYS_ioprio_set:
        eg_broker_change(b, c);
        return;
    case SYS_kill:
    case SYS_tkill:
    case SYS_tgkill:
        eg_broker_kill(b, c);
        return;
    default:
        eg_broker_answer(b, c->id, ENOSYS);
    }
}

/* False: there was none. */
static bool take_call(struct eg_broker *b)
{
    memset(b->note, 0, b->note_n);
    if (ioctl(b->notify, SECCOMP_IOCTL_NOTIF_RECV, b->note) < 0)
        return errno == EINTR; /* ENOENT: it went while we asked */
    struct eg_broker_call c = { .id = b->note->id,
                                .task = (pid_t)b->note->pid,
                                .nr = b->note->data.nr };
    for (unsigned i = 0; i < 6; i++)
        c.args[i] = b->note->data.args[i];
    serve(b, &c);
    return true;
}

static void settle_late(struct eg_broker *b)
{
    uint64_t now = eg_clock_ms();
    for (unsigned i = 0; i < EG_BROKER_PENDING; i++)
        if (b->pending[i].used && b->pending[i].again_ms <= now)
            eg_broker_settle(b, &b->pending[i]);
}

bool eg_broker_turn(struct eg_broker *b)
{
    struct epoll_event ready[16];
    bool there = true;
    int n = epoll_wait(b->epoll, ready, 16, 0);
    for (int i = 0; i < n; i++) {
        struct eg_broker_pending *p = ready[i].data.ptr;
        if (p)
            eg_broker_settle(b, p);
        else if (ready[i].events & EPOLLIN)
            (void)take_call(b);
        else if (ready[i].events & (EPOLLHUP | EPOLLERR))
            there = false;
    }
    settle_late(b);
    return there;
}
