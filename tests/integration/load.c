/* load.c - many tunnels one after the other, many at once, many requests: afterwards nothing may be left of them.
 *
 * The origin is this process: a tunnel is opened, carries bytes both ways and is closed in lockstep, so that no wait is a guess.
 * EG_LOAD=N in the environment divides the rounds by N, for a slow machine. */
#include <criterion/criterion.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/daemon.h"

enum {
    CYCLES = 10000,
    HELD = 1000,
    REQUESTS = 600,
    SLACK_FDS = 10,
    /* AddressSanitizer keeps freed memory in quarantine, so only its leak reports count there. */
    GROWTH_REQUESTS_KB = EG_TESTS_ASAN ? 65536 : 2048,
    GROWTH_TUNNELS_KB = EG_TESTS_ASAN ? 262144 : 4096,
};

struct origin {
    int fd;
    uint16_t port;
};

static unsigned divided(unsigned n)
{
    const char *text = getenv("EG_LOAD");
    unsigned by = text ? (unsigned)strtoul(text, NULL, 10) : 1;
    return n / (by ? by : 1);
}

static void more_files(void)
{
    struct rlimit files;
    cr_assert(getrlimit(RLIMIT_NOFILE, &files) == 0);
    files.rlim_cur = files.rlim_max;
    cr_assert(setrlimit(RLIMIT_NOFILE, &files) == 0);
    cr_assert(files.rlim_max >= 3 * HELD, "%lu descriptors are too few for this test",
              (unsigned long)files.rlim_max);
}

static void listen_here(struct origin *o)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof at;
    o->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(o->fd >= 0 && bind(o->fd, (struct sockaddr *)&at, sizeof at) == 0 &&
              listen(o->fd, 1024) == 0 && getsockname(o->fd, (struct sockaddr *)&at, &n) == 0);
    o->port = ntohs(at.sin_port);
}

static void setup(struct eg_world *w, struct origin *o, const char *workers)
{
    char policy[512];
    const char *args[] = { "--workers", workers, NULL };
    more_files();
    listen_here(o);
    eg_world_new(w);
    snprintf(policy, sizeof policy,
             "egress: 1\nallow: [{address: 127.0.0.1, scheme: tcp, ports: [%u]}]\n"
             "networks: {allow: [127.0.0.0/8]}\n"
             "limits: {connections: 4096}\naudit: {capacity: 32768}\n",
             o->port);
    eg_world_egressd(w, policy, args, NULL);
}

static void readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    cr_assert(poll(&p, 1, EG_PROC_DEADLINE_MS) == 1, "nothing came");
}

static void get_bytes(int fd, char *out, size_t n)
{
    for (size_t have = 0; have < n;) {
        readable(fd);
        ssize_t got = recv(fd, out + have, n - have, 0);
        cr_assert(got > 0, "the tunnel ended early");
        have += (size_t)got;
    }
}

static void put_bytes(int fd, const char *p, size_t n)
{
    cr_assert(send(fd, p, n, MSG_NOSIGNAL) == (ssize_t)n);
}

/* One message each way; number makes it this tunnel's own. */
static void both_ways(int client, int origin, unsigned number)
{
    char text[64], got[64];
    int n = snprintf(text, sizeof text, "up %u", number);
    put_bytes(client, text, (size_t)n + 1);
    get_bytes(origin, got, (size_t)n + 1);
    cr_assert(strcmp(text, got) == 0, "%s is not %s", got, text);
    n = snprintf(text, sizeof text, "down %u", number);
    put_bytes(origin, text, (size_t)n + 1);
    get_bytes(client, got, (size_t)n + 1);
    cr_assert(strcmp(text, got) == 0, "%s is not %s", got, text);
}

static int taken(const struct origin *o)
{
    readable(o->fd);
    int fd = accept4(o->fd, NULL, NULL, SOCK_CLOEXEC);
    cr_assert(fd >= 0);
    return fd;
}

static void ended(int fd)
{
    char byte;
    readable(fd);
    cr_assert(recv(fd, &byte, 1, 0) <= 0, "bytes where the end should be");
    close(fd);
}

struct before { /* of every process of the daemon */
    pid_t pids[3];
    unsigned fds[3];
    long rss[3];
    unsigned count;
};

static void remember(const struct eg_world *w, struct before *b, unsigned workers)
{
    b->count = workers + 1;
    for (unsigned i = 0; i < b->count; i++) {
        b->pids[i] = i ? eg_daemon_worker(w, i, 0) : w->egressd.pid;
        b->fds[i] = eg_proc_fds(b->pids[i]);
        b->rss[i] = eg_proc_status(b->pids[i], "RssAnon");
    }
}

static void assert_nothing_left(const struct eg_world *w, const struct before *b, long growth_kb,
                                const char *what)
{
    cr_assert(eg_daemon_await_sum(w, "open_flows", 0) == 0);
    for (unsigned i = 0; i < b->count; i++) {
        unsigned fds = eg_proc_fds(b->pids[i]);
        long rss = eg_proc_status(b->pids[i], "RssAnon");
        fprintf(stderr, "load: %s: %s: descriptors %u, then %u; RssAnon %ld kB, then %ld kB\n",
                what, i ? "worker" : "supervisor", b->fds[i], fds, b->rss[i], rss);
        cr_assert(fds <= b->fds[i] + SLACK_FDS, "%u, then %u", b->fds[i], fds);
        cr_assert(rss - b->rss[i] <= growth_kb, "%ld kB, then %ld kB", b->rss[i], rss);
    }
}

static void assert_each_has_its_end(const struct eg_world *w, unsigned count)
{
    char *lines = eg_daemon_audit(w);
    unsigned decisions =
        eg_events_with(lines, "\"event\":\"decision\"", "\"decision\":\"allow\"", NULL);
    unsigned ends = eg_events_with(lines, "\"event\":\"end\"", "\"reason\":\"ok\"", NULL);
    cr_assert(decisions == count && ends == count, "%u decisions and %u good ends of %u", decisions,
              ends, count);
    free(lines);
}

Test(load, tunnels_opened_and_closed_leave_nothing, .timeout = 600)
{
    struct eg_world w;
    struct origin o;
    struct eg_client c;
    struct before b;
    unsigned cycles = divided(CYCLES), warm = 200;
    setup(&w, &o, "2");
    uint64_t from = 0;
    for (unsigned i = 0; i < warm + cycles; i++) {
        if (i == warm) {
            cr_assert(eg_daemon_await_sum(&w, "open_flows", 0) == 0);
            remember(&w, &b, 2);
            from = eg_clock_ms();
        }
        cr_assert(eg_daemon_tunnel(&c, &w, w.token, o.port, NULL, 0) == 200);
        int fd = taken(&o);
        both_ways(c.fd, fd, i);
        eg_client_close(&c);
        ended(fd);
    }
    uint64_t took = eg_clock_ms() - from;
    fprintf(stderr, "load: %u tunnels one after the other in %lu ms\n", cycles,
            (unsigned long)took);
    assert_nothing_left(&w, &b, GROWTH_TUNNELS_KB, "opened and closed");
    assert_each_has_its_end(&w, warm + cycles);
    close(o.fd);
    eg_world_done(&w);
}

Test(load, many_tunnels_held_at_once_keep_their_bytes_apart, .timeout = 600)
{
    static struct eg_client clients[HELD];
    static int origins[HELD];
    struct eg_world w;
    struct origin o;
    struct before b;
    setup(&w, &o, "1");
    for (unsigned i = 0; i < 20; i++) { /* warm */
        cr_assert(eg_daemon_tunnel(&clients[0], &w, w.token, o.port, NULL, 0) == 200);
        int fd = taken(&o);
        both_ways(clients[0].fd, fd, i);
        eg_client_close(&clients[0]);
        ended(fd);
    }
    cr_assert(eg_daemon_await_sum(&w, "open_flows", 0) == 0);
    remember(&w, &b, 1);
    for (unsigned i = 0; i < HELD; i++) {
        cr_assert(eg_daemon_tunnel(&clients[i], &w, w.token, o.port, NULL, 0) == 200);
        origins[i] = taken(&o);
    }
    cr_assert(eg_daemon_await_sum(&w, "open_tunnels", HELD) == HELD);
    long idle = eg_proc_status(b.pids[1], "RssAnon");
    fprintf(stderr, "load: %d tunnels held: %ld kB more, %.1f KiB each\n", HELD, idle - b.rss[1],
            (double)(idle - b.rss[1]) / HELD);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < HELD; i++)
            both_ways(clients[i].fd, origins[i], round * HELD + i);
    for (unsigned i = 0; i < HELD; i++) { /* all under way together: sent first, read later */
        char text[32];
        int n = snprintf(text, sizeof text, "both %06u", i);
        put_bytes(clients[i].fd, text, (size_t)n);
        put_bytes(origins[i], text, (size_t)n);
    }
    for (unsigned i = 0; i < HELD; i++) {
        char text[32], got[32] = "";
        int n = snprintf(text, sizeof text, "both %06u", i);
        get_bytes(clients[i].fd, got, (size_t)n);
        cr_assert(memcmp(text, got, (size_t)n) == 0);
        get_bytes(origins[i], got, (size_t)n);
        cr_assert(memcmp(text, got, (size_t)n) == 0);
    }
    for (unsigned i = 0; i < HELD; i++) {
        if (i % 2) { /* either side ends first */
            eg_client_close(&clients[i]);
            ended(origins[i]);
        } else {
            close(origins[i]);
            cr_assert(eg_client_wait(&clients[i], NULL, 0));
            eg_client_close(&clients[i]);
        }
    }
    assert_nothing_left(&w, &b, EG_TESTS_ASAN ? GROWTH_TUNNELS_KB : 16384, "held at once");
    assert_each_has_its_end(&w, HELD + 20);
    close(o.fd);
    eg_world_done(&w);
}

/* Clients that vanish at every point, RST instead of FIN: descriptors are back within 8 s. */
Test(load, aborted_connections_give_their_descriptors_back, .timeout = 120)
{
    enum { ABORTED = 228 };
    const struct linger now = { 1, 0 };
    struct eg_world w;
    struct origin o;
    struct eg_client c;
    struct before b;
    setup(&w, &o, "1");
    remember(&w, &b, 1);
    for (unsigned i = 0; i < ABORTED; i++) {
        int fd = -1;
        if (i % 4 == 3) {
            cr_assert(eg_daemon_tunnel(&c, &w, w.token, o.port, NULL, 0) == 200);
            fd = taken(&o);
        } else {
            eg_client_open(&c, w.proxy_port);
            if (i % 4 == 1)
                eg_client_text(&c, "CONNECT 127.0.0.1:%u HT", o.port);
            else if (i % 4 == 2)
                eg_client_text(
                    &c, "CONNECT 127.0.0.1:%u HTTP/1.1\r\nProxy-Authorization: Bearer x\r\n\r\n",
                    o.port);
        }
        cr_assert(setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
        eg_client_close(&c);
        if (fd >= 0)
            ended(fd);
    }
    uint64_t from = eg_clock_ms();
    assert_nothing_left(&w, &b, GROWTH_TUNNELS_KB, "aborted");
    cr_assert(eg_clock_ms() - from < EG_PROC_DEADLINE_MS);
    close(o.fd);
    eg_world_done(&w);
}

Test(load, six_hundred_requests_do_not_grow_a_worker, .timeout = 120)
{
    static const char *const names[] = { "web.test=127.0.0.1", NULL };
    struct eg_world w;
    struct eg_client c;
    struct before b;
    char head[8192];
    eg_world_new(&w);
    eg_world_plain(&w);
    eg_world_dns(&w, names);
    eg_world_egressd(&w,
                     "egress: 1\nallow: [{host: web.test, scheme: http, ports: [@PLAIN@]}]\n"
                     "networks: {allow: [127.0.0.0/8]}\ndns: {servers: [\"127.0.0.1:@DNS@\"]}\n",
                     NULL, NULL);
    for (unsigned i = 0; i < 100 + REQUESTS; i++) {
        if (i == 100)
            remember(&w, &b, 1);
        if (i % 60 == 0) {
            if (i)
                eg_client_close(&c);
            eg_client_open(&c, w.proxy_port);
        }
        eg_client_text(&c,
                       "GET http://web.test:%u/headers?n=%u HTTP/1.1\r\nHost: web.test:%u\r\n"
                       "Proxy-Authorization: Bearer %s\r\n\r\n",
                       w.plain_port, i, w.plain_port, w.token);
        cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 200, "%u: %s", i, head);
    }
    eg_client_close(&c);
    assert_nothing_left(&w, &b, GROWTH_REQUESTS_KB, "600 requests");
    eg_world_done(&w);
}
