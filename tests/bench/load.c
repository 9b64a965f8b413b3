/* load.c - the client of the benchmark: one epoll loop on loopback, a bounded count, a deadline. Prints one JSON line.
 *
 *   load bulk|tunnels|echo|idle --target PORT [--proxy PORT [--head FILE | --socks [--login FILE]]] ...     without --proxy: straight to the target
 *
 * A measurement ends after its count (or bytes), or after --ms, whichever is first. FILE holds whole header lines (CRLF) for CONNECT, so that no token stands on a command line. The same code drives every party,
 * so its own cost is the same for each. bulk shares its bytes among --concurrency tunnels. FILE of --login holds user:password. It does no TLS. */
#include <endian.h>
#include <getopt.h>
#include <poll.h>
#include <sys/epoll.h>

#include "bench/sample.h"
#include "bench/way.h"

enum { CONNECTIONS = 4096, EVENTS = 256, CHUNK = 1 << 20, BULK = 64 };

static struct {
    struct bench_way way;
    uint64_t count, bytes;
    uint64_t ends; /* on bench_now's clock; no new work after it */
    unsigned concurrency, size, busy, slow;
} option = { .ends = UINT64_MAX, .count = 1000, .bytes = 1 << 28, .concurrency = 1, .size = 64 };

static bool over(void)
{
    return bench_now() >= option.ends;
}

/* ---- one connection at a time ---- */

/* The next bytes of one of the bulk's tunnels are dropped without a copy (MSG_TRUNC on TCP): the client must not be what is measured. */
static uint64_t drop_some(int fd, char *into, uint64_t got)
{
    ssize_t n = recv(fd, into, CHUNK, MSG_TRUNC);
    if (n <= 0)
        bench_die("the source ended after %llu bytes", (unsigned long long)got);
    return (uint64_t)n;
}

static void run_bulk(void)
{
    uint64_t share = option.bytes / option.concurrency, ask = htobe64(share), got = 0;
    struct epoll_event events[BULK];
    char *into = malloc(CHUNK);
    int fds[BULK], poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!into || poll_fd < 0 || option.concurrency > BULK)
        bench_die("bulk: no memory, or more than %d at once", BULK);
    for (unsigned i = 0; i < option.concurrency; i++) {
        fds[i] = bench_way_open(&option.way);
        struct epoll_event event = { .events = EPOLLIN, .data.fd = fds[i] };
        if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fds[i], &event) != 0)
            bench_die("epoll: %s", strerror(errno));
    }
    uint64_t begun = bench_now();
    for (unsigned i = 0; i < option.concurrency; i++)
        bench_send(fds[i], &ask, sizeof ask);
    while (got < share * option.concurrency && !over()) {
        /* One tunnel needs no epoll: its recv waits. */
        int n = option.concurrency == 1 ? 1 : epoll_wait(poll_fd, events, BULK, -1);
        for (int i = 0; i < n; i++)
            got += drop_some(option.concurrency == 1 ? fds[0] : events[i].data.fd, into, got);
    }
    double seconds = (double)(bench_now() - begun) / 1e9;
    for (unsigned i = 0; i < option.concurrency; i++)
        close(fds[i]);
    close(poll_fd);
    free(into);
    printf("{\"seconds\":%.6f,\"bytes\":%llu,\"rate\":%.1f}\n", seconds, (unsigned long long)got,
           (double)got / seconds);
}

static void ping(int fd, char *text)
{
    bench_send(fd, text, option.size);
    bench_recv_all(fd, text, option.size);
}

static void run_echo(void)
{
    char text[4096] = { 0 };
    int fd = bench_way_open(&option.way);
    for (unsigned i = 0; i < 100; i++)
        ping(fd, text);
    uint64_t begun = bench_now();
    for (uint64_t i = 0; i < option.count && !over(); i++) {
        uint64_t sent = bench_now();
        ping(fd, text);
        sample(sent);
    }
    sample_report(begun);
    close(fd);
}

/* Connections that have begun to speak and never go on. */
static void open_slow(void)
{
    for (unsigned i = 0; i < option.slow; i++)
        bench_send(bench_connect(option.way.port ? option.way.port : option.way.target),
                   option.way.kind == BENCH_SOCKS ? "\5" : "CONNECT 127", option.way.kind == BENCH_SOCKS ? 1 : 11);
}

/* Every busy tunnel has a round trip in each BEAT_MS: a share of them at each turn, so that they don't come all at once. false: stdin has ended. */
static bool beat(const int *busy, char *text)
{
    enum { BEAT_MS = 250, TURNS = 25 };
    struct pollfd in = { .fd = 0, .events = POLLIN };
    for (unsigned turn = 0; turn < TURNS; turn++) {
        for (unsigned i = turn; i < option.busy; i += TURNS)
            ping(busy[i], text);
        if (poll(&in, 1, BEAT_MS / TURNS) > 0)
            return read(0, text, 1) > 0;
    }
    return true;
}

/* Holds count tunnels, each used once, beside busy ones and slow handshakes, until stdin ends. */
static void run_idle(void)
{
    char text[4096] = { 0 };
    int *busy = calloc(option.busy + 1, sizeof *busy);
    if (!busy)
        bench_die("no memory");
    for (uint64_t i = 0; i < option.count; i++)
        ping(bench_way_open(&option.way), text);
    for (unsigned i = 0; i < option.busy; i++)
        busy[i] = bench_way_open(&option.way);
    open_slow();
    printf("{\"open\":%llu}\n", (unsigned long long)option.count);
    fflush(stdout);
    while (beat(busy, text))
        ;
    free(busy);
}

/* ---- many at once ---- */

struct conn {
    int fd;
    enum bench_stage stage;
    size_t n;
    uint64_t begun;
    char in[BENCH_HEAD_MAX];
};

static int epoll_fd;
static uint64_t started;
static unsigned open_count; /* connections that have something under way */
static char payload[4096];

static void watch(struct conn *c)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
        bench_die("epoll: %s", strerror(errno));
}

static void tunnel_begin(struct conn *c)
{
    started++;
    c->begun = bench_now();
    c->n = 0;
    c->fd = bench_way_dial(&option.way);
    watch(c);
    c->stage = bench_way_begin(&option.way, c->fd);
    if (c->stage == BENCH_OPEN)
        bench_send(c->fd, payload, option.size);
}

/* More bytes came: an answer of the handshake, then the echo of the first bytes, then the close and the next tunnel. */
static void tunnel_step(struct conn *c)
{
    if (c->stage != BENCH_OPEN) {
        c->stage = bench_way_step(&option.way, c->stage, c->fd, c->in, &c->n);
        if (c->stage == BENCH_OPEN)
            bench_send(c->fd, payload, option.size);
    }
    if (c->n < option.size)
        return;
    sample(c->begun);
    close(c->fd);
    c->fd = -1;
    if (started < option.count && !over())
        tunnel_begin(c);
    else
        open_count--;
}

static void drive(void (*begin)(struct conn *c), void (*step)(struct conn *c))
{
    struct epoll_event events[EVENTS];
    struct conn *conns = calloc(option.concurrency, sizeof *conns);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!conns || epoll_fd < 0)
        bench_die("start: %s", strerror(errno));
    uint64_t begun = bench_now();
    for (open_count = 0; open_count < option.concurrency; open_count++)
        begin(&conns[open_count]);
    while (open_count > 0) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            c->n += bench_recv(c->fd, c->in + c->n, sizeof c->in - c->n);
            step(c);
        }
    }
    sample_report(begun);
    free(conns);
}

static void run_tunnels(void)
{
    drive(tunnel_begin, tunnel_step);
}

/* ---- command line ---- */

static void parse(int argc, char **argv)
{
    static const struct option list[] = {
        { "proxy", 1, NULL, 'x' },       { "target", 1, NULL, 't' }, { "head", 1, NULL, 'h' },
        { "count", 1, NULL, 'n' },  { "bytes", 1, NULL, 'b' },
        { "concurrency", 1, NULL, 'c' }, { "size", 1, NULL, 's' },   { "deadline", 1, NULL, 'd' },
        { "ms", 1, NULL, 'm' },          { "socks", 0, NULL, 'k' },  { "login", 1, NULL, 'l' },
        { "busy", 1, NULL, 'u' },        { "slow", 1, NULL, 'w' },
        { NULL, 0, NULL, 0 }
    };
    unsigned deadline = 60;
    for (int o; (o = getopt_long(argc, argv, "", list, NULL)) != -1;) {
        switch (o) {
        case 'x':
            option.way.port = (uint16_t)bench_number(optarg, 65535);
            if (option.way.kind == BENCH_STRAIGHT)
                option.way.kind = BENCH_CONNECT;
            break;
        case 'u': option.busy = (unsigned)bench_number(optarg, 65535); break;
        case 'w': option.slow = (unsigned)bench_number(optarg, 65535); break;
        case 'k': option.way.kind = BENCH_SOCKS; break;
        case 'l': bench_way_read_login(&option.way, optarg); break;
        case 't': option.way.target = (uint16_t)bench_number(optarg, 65535); break;
        case 'h': bench_read_file(optarg, option.way.head, sizeof option.way.head); break;
        case 'n': option.count = bench_number(optarg, 10000000); break;
        case 'b': option.bytes = bench_number(optarg, 1ull << 40); break;
        case 'c': option.concurrency = (unsigned)bench_number(optarg, CONNECTIONS); break;
        case 's': option.size = (unsigned)bench_number(optarg, sizeof payload); break;
        case 'm': option.ends = bench_now() + bench_number(optarg, 600000) * 1000000; break;
        case 'd': deadline = (unsigned)bench_number(optarg, 600); break;
        default: exit(2);
        }
    }
    bench_deadline(deadline);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } modes[] = { { "bulk", run_bulk },
                  { "tunnels", run_tunnels },
                  { "echo", run_echo },
                  { "idle", run_idle } };
    parse(argc, argv);
    const char *mode = optind < argc ? argv[optind] : "";
    sample_begin(option.count);
    for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(modes[i].name, mode) == 0) {
            modes[i].run();
            return 0;
        }
    }
    bench_die("no such mode: %s", mode);
}
