/* origin.c - the far end of the tunnels: a source of bytes and an echo, on ports of the kernel's choice, and a stream of events in plain
 * HTTP. Prints {"source":PORT,"echo":PORT,"events":PORT} and serves until it is ended.
 *
 * The source takes a count of 8 bytes (network order) and answers with that many bytes by sendfile, so that it costs little beside what is
 * measured. The echo sends back what comes. A stream is its head and its first event in one write, and its last one a millisecond later. One epoll loop; a connection is its descriptor's entry in a table. It ends with its parent. */
#include <endian.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>

#include "bench/wire.h"

enum { BLOCK = 1 << 20, CONNECTIONS = 65536, EVENTS = 256 };

enum role { NONE, LISTEN_SOURCE, LISTEN_ECHO, LISTEN_EVENTS, SOURCE, ECHO, EVENT_STREAM };

static struct {
    enum role role;
    uint64_t left;
} table[CONNECTIONS];

static int epoll_fd, block_fd;

enum { STREAMS = 64 };
static int streams[STREAMS]; /* that wait for their last event */
static unsigned stream_count;

static void watch(int fd, enum role role, uint32_t events, int op)
{
    struct epoll_event event = { .events = events, .data.fd = fd };
    if (fd >= CONNECTIONS || epoll_ctl(epoll_fd, op, fd, &event) != 0)
        bench_die("epoll: %s", strerror(errno));
    table[fd].role = role;
}

static uint16_t open_listener(enum role role)
{
    struct sockaddr_in at = bench_loopback(0);
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &n) != 0)
        bench_die("listen: %s", strerror(errno));
    watch(fd, role, EPOLLIN, EPOLL_CTL_ADD);
    return ntohs(at.sin_port);
}

static void accept_all(int listener)
{
    const int on = 1;
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(fd, table[listener].role - LISTEN_SOURCE + SOURCE, EPOLLIN, EPOLL_CTL_ADD);
        table[fd].left = 0;
    }
}

static void drop(int fd)
{
    table[fd].role = NONE;
    close(fd);
}

static void serve_echo(int fd)
{
    char text[16384];
    ssize_t n = recv(fd, text, sizeof text, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || send(fd, text, (size_t)n, MSG_NOSIGNAL) != n)
        drop(fd);
}

static void give(int fd)
{
    while (table[fd].left > 0) {
        off_t from = 0;
        size_t want = table[fd].left < BLOCK ? (size_t)table[fd].left : BLOCK;
        ssize_t n = sendfile(fd, block_fd, &from, want);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            watch(fd, SOURCE, EPOLLOUT, EPOLL_CTL_MOD);
            return;
        }
        if (n <= 0) {
            drop(fd);
            return;
        }
        table[fd].left -= (uint64_t)n;
    }
    watch(fd, SOURCE, EPOLLIN, EPOLL_CTL_MOD);
}

static void serve_source(int fd)
{
    if (table[fd].left == 0) {
        uint64_t count;
        ssize_t n = recv(fd, &count, sizeof count, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n != (ssize_t)sizeof count) {
            drop(fd);
            return;
        }
        table[fd].left = be64toh(count);
    }
    give(fd);
}

static void serve_events(int fd)
{
    static const char first[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                                "23\r\ndata: {\"delta\":\"the first event\"}\n\n\r\n";
    char text[4096];
    ssize_t n = recv(fd, text, sizeof text, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || stream_count == STREAMS || send(fd, first, sizeof first - 1, MSG_NOSIGNAL) < 0)
        drop(fd);
    else
        streams[stream_count++] = fd;
}

static void end_streams(void)
{
    static const char last[] = "0e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
    for (; stream_count > 0; stream_count--)
        if (table[streams[stream_count - 1]].role == EVENT_STREAM)
            (void)!send(streams[stream_count - 1], last, sizeof last - 1, MSG_NOSIGNAL);
}

static void serve(int fd)
{
    if (table[fd].role == SOURCE)
        serve_source(fd);
    else if (table[fd].role == EVENT_STREAM)
        serve_events(fd);
    else if (table[fd].role == ECHO)
        serve_echo(fd);
    else if (table[fd].role != NONE)
        accept_all(fd);
}

int main(void)
{
    struct epoll_event events[EVENTS];
    (void)signal(SIGPIPE, SIG_IGN);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    block_fd = memfd_create("block", MFD_CLOEXEC);
    if (epoll_fd < 0 || block_fd < 0 || ftruncate(block_fd, BLOCK) != 0)
        bench_die("start: %s", strerror(errno));
    unsigned source = open_listener(LISTEN_SOURCE), echo = open_listener(LISTEN_ECHO);
    printf("{\"source\":%u,\"echo\":%u,\"events\":%u}\n", source, echo, open_listener(LISTEN_EVENTS));
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, stream_count > 0 ? 1 : -1);
        if (n == 0)
            end_streams();
        for (int i = 0; i < n; i++)
            serve(events[i].data.fd);
    }
}
