/* relay.c - the floor of the benchmark: a bare relay of one hop. relay [connect] PORT... listens once for each target port and prints
 * {"port":N,"ports":[N,...]} in that order; whoever connects is joined to the target; with `connect`,
 * after a head that it does not look at, which it answers with 200: the floor of what a CONNECT costs.
 *
 * It parses nothing, checks nothing and has no deadlines: what it costs is what the kernel costs. Edge-triggered, so that a connection
 * is registered once: small data by recv and send, and by splice through a pipe once a read fills its buffer, until the pipe runs dry. It ends with its parent. */
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#include "bench/wire.h"

enum { CONNECTIONS = 65536, EVENTS = 256, SMALL = 16384, PIPE = 1 << 20, SPARE = 64, TARGETS = 8 };

struct end;

/* One direction: from `in` to the end that holds it. */
struct flow {
    int pipe[2]; /* -1 while it has none */
    size_t held; /* bytes in the pipe */
    bool ended;  /* in has ended, and out was told */
};

struct end {
    int fd;
    struct end *other;
    struct flow to;  /* towards this end */
    uint16_t asking; /* a head is awaited before this port is connected to */
};

static bool heads;
static int epoll_fd, spare[SPARE][2];
static unsigned spares;
static struct {
    int fd;
    uint16_t port;
} listeners[TARGETS];
static struct end *dead[2 * EVENTS];
static unsigned dead_count;

static bool pipe_take(struct flow *f)
{
    if (f->pipe[0] >= 0)
        return true;
    if (spares > 0) {
        spares--;
        f->pipe[0] = spare[spares][0];
        f->pipe[1] = spare[spares][1];
        return true;
    }
    if (pipe2(f->pipe, O_NONBLOCK | O_CLOEXEC) != 0)
        return false;
    (void)fcntl(f->pipe[1], F_SETPIPE_SZ, PIPE);
    return true;
}

/* An empty pipe is kept for the next one; one that holds bytes is closed. */
static void pipe_give(struct flow *f)
{
    if (f->pipe[0] < 0)
        return;
    if (f->held == 0 && spares < SPARE) {
        spare[spares][0] = f->pipe[0];
        spare[spares][1] = f->pipe[1];
        spares++;
    } else {
        close(f->pipe[0]);
        close(f->pipe[1]);
    }
    f->pipe[0] = f->pipe[1] = -1;
    f->held = 0;
}

static bool again(void)
{
    return errno == EAGAIN || errno == EINTR;
}

/* recv and send; what can't be sent now waits in a pipe. 1: there may be more, 0: drained, -1: broken, 2: the end. */
static int copy(struct end *from, struct end *to)
{
    char text[SMALL];
    ssize_t n = recv(from->fd, text, sizeof text, 0);
    if (n <= 0)
        return n == 0 ? 2 : again() ? 0 : -1;
    ssize_t sent = send(to->fd, text, (size_t)n, MSG_NOSIGNAL);
    if (sent < 0 && !again())
        return -1;
    size_t left = (size_t)n - (sent > 0 ? (size_t)sent : 0);
    if (left > 0 || n == SMALL) {
        if (!pipe_take(&to->to) ||
            (left > 0 && write(to->to.pipe[1], text + n - left, left) != (ssize_t)left))
            return -1;
        to->to.held = left;
    }
    return n == SMALL;
}

/* Moves what can be moved from one end to the other; false: broken. `ended`: the kernel said that no more will come after what is there. */
static bool pump(struct end *from, struct end *to, bool readable, bool ended)
{
    struct flow *f = &to->to;
    int more = readable;
    while (!f->ended) {
        if (f->held > 0) {
            ssize_t n =
                splice(f->pipe[0], NULL, to->fd, NULL, f->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
            if (n <= 0)
                return n < 0 && again();
            f->held -= (size_t)n;
            more = 1;
            continue;
        }
        if (!more)
            break;
        if (f->pipe[0] < 0) {
            more = copy(from, to);
            if (more == 0 && ended)
                more = 1;
        } else {
            ssize_t n =
                splice(from->fd, NULL, f->pipe[1], NULL, PIPE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
            more = n > 0 ? 1 : n == 0 ? 2 : again() ? 0 : -1;
            f->held = n > 0 ? (size_t)n : 0;
            if (n <= 0)
                pipe_give(f);
        }
        if (more < 0)
            return false;
        if (more == 2) {
            (void)shutdown(to->fd, SHUT_WR);
            f->ended = true;
        }
    }
    return true;
}

static bool watch(struct end *e)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                 .data.ptr = e };
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, e->fd, &event) == 0;
}

static void drop(struct end *e)
{
    pipe_give(&e->to);
    if (e->fd >= 0)
        close(e->fd);
    e->fd = -1;
}

/* The pair's other end. */
static bool reach(struct end *e, uint16_t port)
{
    const struct sockaddr_in at = bench_loopback(port);
    const int on = 1;
    e->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)setsockopt(e->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return e->fd >= 0 &&
           (connect(e->fd, (const struct sockaddr *)&at, sizeof at) == 0 || errno == EINPROGRESS);
}

static void join(int fd, uint16_t port)
{
    const int on = 1;
    struct end *pair = calloc(2, sizeof *pair);
    if (!pair)
        bench_die("no memory");
    for (unsigned i = 0; i < 2; i++) {
        pair[i].other = &pair[1 - i];
        pair[i].to.pipe[0] = pair[i].to.pipe[1] = -1;
    }
    pair[0].fd = fd;
    pair[1].fd = -1;
    pair[0].asking = heads ? port : 0;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!(heads || reach(&pair[1], port)) || !watch(&pair[0]) || !(heads || watch(&pair[1]))) {
        drop(&pair[0]);
        drop(&pair[1]);
        free(pair);
    }
}

/* The head, all of it: the client sends it at once. False: broken. */
static bool answer(struct end *e)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\n\r\n";
    char head[4096];
    ssize_t n = recv(e->fd, head, sizeof head, 0);
    if (n < 0 && again())
        return true;
    uint16_t port = e->asking;
    e->asking = 0;
    return n > 4 && memcmp(head + n - 4, "\r\n\r\n", 4) == 0 && reach(e->other, port) &&
           send(e->fd, ok, sizeof ok - 1, MSG_NOSIGNAL) == sizeof ok - 1 && watch(e->other);
}

/* The first of a pair is what malloc gave. A pair is freed at the end of the tick: an event of its other end may be waiting. */
static void serve(struct end *e, uint32_t events)
{
    struct end *o = e->other;
    if (e->fd < 0)
        return;
    bool ended = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (e->asking && (!(events & EPOLLIN) || answer(e)))
        return;
    if (!e->asking && o->fd >= 0 && pump(e, o, (events & EPOLLIN) != 0 || ended, ended) &&
        pump(o, e, false, false) && !(e->to.ended && o->to.ended))
        return;
    drop(e);
    drop(o);
    dead[dead_count++] = e < o ? e : o;
}

static uint16_t open_listener(unsigned i)
{
    struct sockaddr_in at = bench_loopback(0);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = &listeners[i] };
    socklen_t n = sizeof at;
    int fd = listeners[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &n) != 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        bench_die("listen: %s", strerror(errno));
    return ntohs(at.sin_port);
}

static bool accepted(void *p)
{
    for (unsigned i = 0; i < TARGETS; i++) {
        if (p != &listeners[i])
            continue;
        int fd = accept4(listeners[i].fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            join(fd, listeners[i].port);
        return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS];
    (void)signal(SIGPIPE, SIG_IGN);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    heads = argc > 1 && strcmp(argv[1], "connect") == 0;
    argc -= heads;
    argv += heads;
    if (epoll_fd < 0 || argc < 2 || argc > TARGETS + 1)
        bench_die("usage: relay [connect] PORT...");
    for (unsigned i = 0; i + 1 < (unsigned)argc; i++) {
        listeners[i].port = (uint16_t)bench_number(argv[i + 1], 65535);
        unsigned port = open_listener(i);
        if (i == 0)
            printf("{\"port\":%u,\"ports\":[%u", port, port);
        else
            printf(",%u", port);
    }
    printf("]}\n");
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < n; i++)
            if (!accepted(events[i].data.ptr))
                serve(events[i].data.ptr, events[i].events);
        while (dead_count > 0)
            free(dead[--dead_count]);
    }
}
