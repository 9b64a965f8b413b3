/* Sockets and listeners: statuses, descriptors passed between processes, and accepting when there are none left. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/listen.h"
#include "net/sock.h"

static const struct eg_sockaddr loopback = { .addr = { .family = 4, .b = { 127, 0, 0, 1 } } };

static int listener(struct eg_sockaddr *bound)
{
    int fd = -1;
    struct eg_err err = { 0 };
    cr_assert_eq(eg_sock_listen(&loopback, &fd, bound, &err), EG_OK, "%s", err.text);
    cr_assert_gt(bound->port, 0);
    return fd;
}

static int dial(const struct eg_sockaddr *to)
{
    int fd = -1;
    cr_assert_eq(eg_sock_connect(to, &fd, NULL), EG_OK);
    return fd;
}

Test(net, sockets_connect_and_accept)
{
    struct eg_sockaddr at;
    struct eg_sockaddr peer;
    struct eg_sockaddr mine;
    int l = listener(&at);
    int none = -1;
    cr_assert_eq(eg_sock_accept(l, &none, &peer, NULL), EG_AGAIN);
    int c = dial(&at);
    enum eg_status r = EG_AGAIN;
    for (int i = 0; i < 100000 && r == EG_AGAIN; i++)
        r = eg_sock_connected(c, NULL);
    cr_assert_eq(r, EG_OK);
    int s = -1;
    cr_assert_eq(eg_sock_accept(l, &s, &peer, NULL), EG_OK);
    cr_assert(eg_sock_local(c, &mine));
    cr_assert_eq(mine.port, peer.port);
    cr_assert(eg_sock_peer(c, &mine));
    cr_assert_eq(mine.port, at.port);
    int fds[] = { l, c, s };
    for (int i = 0; i < 3; i++) {
        cr_assert(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        cr_assert(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        close(fds[i]);
    }
}

Test(net, connecting_to_a_closed_port_is_refused)
{
    const struct eg_sockaddr any = { .addr = { .family = 4, .b = { 127, 0, 0, 1 } } };
    struct sockaddr_storage sa;
    struct eg_sockaddr at;
    int held = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* ours, and nobody listens */
    socklen_t size = eg_sockaddr_to(&any, &sa);
    cr_assert(bind(held, (struct sockaddr *)&sa, size) == 0 && eg_sock_local(held, &at));
    struct eg_err err = { 0 };
    int fd = -1;
    enum eg_status r = eg_sock_connect(&at, &fd, &err);
    for (int i = 0; i < 100000 && (r == EG_OK || r == EG_AGAIN); i++)
        r = eg_sock_connected(fd, &err);
    cr_assert_eq(r, EG_CONNECT_REFUSED);
    cr_assert_eq(err.sys, ECONNREFUSED);
    close(fd);
    close(held);
}

Test(net, listening_twice_on_a_port_says_that_it_is_taken)
{
    struct eg_sockaddr at;
    struct eg_sockaddr other;
    int l = listener(&at);
    int fd = -1;
    struct eg_err err = { 0 };
    cr_assert_eq(eg_sock_listen(&at, &fd, &other, &err), EG_EXISTS);
    cr_assert_eq(err.sys, EADDRINUSE);
    cr_assert_eq(fd, -1);
    close(l);
}

Test(net, errnos_have_statuses)
{
    cr_assert_eq(eg_sock_status(ECONNREFUSED), EG_CONNECT_REFUSED);
    cr_assert_eq(eg_sock_status(ENETUNREACH), EG_NET_UNREACHABLE);
    cr_assert_eq(eg_sock_status(EADDRNOTAVAIL), EG_NET_UNREACHABLE);
    cr_assert_eq(eg_sock_status(EAFNOSUPPORT), EG_NET_UNREACHABLE);
    cr_assert_eq(eg_sock_status(EHOSTUNREACH), EG_HOST_UNREACHABLE);
    cr_assert_eq(eg_sock_status(ETIMEDOUT), EG_CONNECT_TIMEOUT);
    cr_assert_eq(eg_sock_status(EMFILE), EG_IO);
}

/* ---- pairs ---- */

Test(net, a_pair_carries_messages_and_descriptors)
{
    int pair[2];
    int pipe_fds[2];
    int got[8];
    unsigned count = 9;
    char text[32];
    size_t n = 0;
    cr_assert_eq(eg_sock_pair(pair, NULL), EG_OK);
    cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
    cr_assert_eq(eg_sock_recv_fds(pair[1], text, sizeof text, &n, got, 8, &count, NULL), EG_AGAIN);
    cr_assert_eq(eg_sock_send_fds(pair[0], "hello", 5, pipe_fds, 2, NULL), EG_OK);
    cr_assert_eq(eg_sock_send_fds(pair[0], "plain", 5, NULL, 0, NULL), EG_OK);
    cr_assert_eq(eg_sock_recv_fds(pair[1], text, sizeof text, &n, got, 8, &count, NULL), EG_OK);
    cr_assert_eq(n, 5);
    cr_assert_eq(count, 2);
    cr_assert_eq(write(got[1], "z", 1), 1);
    char z = 0;
    cr_assert_eq(read(pipe_fds[0], &z, 1), 1);
    cr_assert_eq(z, 'z');
    cr_assert(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
    cr_assert_eq(eg_sock_recv_fds(pair[1], text, sizeof text, &n, got + 2, 6, &count, NULL), EG_OK);
    cr_assert_eq(count, 0);
    close(pair[0]);
    cr_assert_eq(eg_sock_recv_fds(pair[1], text, sizeof text, &n, got + 2, 6, &count, NULL),
                 EG_EOF);
    cr_assert_eq(eg_sock_send_fds(pair[1], "x", 1, NULL, 0, NULL), EG_CLOSED);
    close(pair[1]);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    close(got[0]);
    close(got[1]);
}

static unsigned open_fds(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

Test(net, a_message_that_does_not_fit_is_cut_visibly_and_leaks_nothing)
{
    int pair[2];
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int three[3] = { null, null, null };
    int got[8];
    unsigned count = 9;
    char small[3];
    size_t n = 0;
    cr_assert_eq(eg_sock_pair(pair, NULL), EG_OK);
    unsigned before = open_fds();
    cr_assert_eq(eg_sock_send_fds(pair[0], "too long", 8, three, 1, NULL), EG_OK);
    cr_assert_eq(eg_sock_recv_fds(pair[1], small, sizeof small, &n, got, 8, &count, NULL),
                 EG_TOO_BIG);
    cr_assert_eq(count, 0);
    cr_assert_eq(eg_sock_send_fds(pair[0], "ok", 2, three, 3, NULL), EG_OK);
    cr_assert_eq(eg_sock_recv_fds(pair[1], small, sizeof small, &n, got, 2, &count, NULL),
                 EG_TOO_BIG, "more descriptors than room");
    cr_assert_eq(open_fds(), before);
    cr_assert_eq(eg_sock_send_fds(pair[0], "", 0, NULL, 0, NULL), EG_INVALID,
                 "it would read as the end");
    int nine[9] = { null, null, null, null, null, null, null, null, null };
    cr_assert_eq(eg_sock_send_fds(pair[0], "x", 1, nine, 9, NULL), EG_INVALID);
    close(pair[0]);
    close(pair[1]);
    close(null);
}

Test(net, a_full_pair_says_again)
{
    int pair[2];
    char block[1024] = { 0 };
    cr_assert_eq(eg_sock_pair(pair, NULL), EG_OK);
    enum eg_status r = EG_OK;
    for (int i = 0; i < 100000 && r == EG_OK; i++)
        r = eg_sock_send_fds(pair[0], block, sizeof block, NULL, 0, NULL);
    cr_assert_eq(r, EG_AGAIN);
    close(pair[0]);
    close(pair[1]);
}

/* ---- listeners ---- */

struct accepting {
    struct eg_listener listener;
    int fds[64];
    unsigned count, starved;
    int error;
    bool stop;
};

static void on_accepted(struct eg_listener *l, int fd, const struct eg_sockaddr *peer)
{
    struct accepting *a = l->ctx;
    cr_assert_eq(peer->addr.family, 4);
    a->fds[a->count++] = fd;
    if (a->stop)
        eg_listener_stop(l);
}

static void on_starved(struct eg_listener *l, int error)
{
    struct accepting *a = l->ctx;
    a->starved++;
    a->error = error;
}

static void limit_fds(rlim_t n)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = n;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

Test(net, accepting_without_descriptors_pauses_and_recovers)
{
    struct eg_loop *loop = NULL;
    struct eg_sockaddr at;
    struct accepting a = { .listener = { .accepted = on_accepted, .starved = on_starved } };
    int clients[5];
    cr_assert_eq(eg_loop_new(&loop, NULL), EG_OK);
    int l = listener(&at);
    a.listener.ctx = &a;
    cr_assert_eq(eg_listener_start(&a.listener, loop, l, false, NULL), EG_OK);
    for (int i = 0; i < 5; i++)
        clients[i] = dial(&at);
    int next = dup(l);
    close(next);
    limit_fds((rlim_t)next + 2); /* room for two */
    uint64_t end = eg_clock_ms() + 350;
    unsigned ticks = 0;
    uint64_t most = end + 20000;
    while (eg_clock_ms() < end || (!a.starved && eg_clock_ms() < most)) {
        cr_assert_eq(eg_loop_tick(loop, 50, NULL), EG_OK);
        ticks++;
    }
    cr_assert_eq(a.count, 2);
    cr_assert_eq(a.starved, 1, "told once");
    cr_assert_eq(a.error, EMFILE);
    cr_assert_lt(ticks, 40, "no spinning");
    limit_fds(256);
    end = eg_clock_ms() + 20000;
    while (a.count < 5 && eg_clock_ms() < end)
        cr_assert_eq(eg_loop_tick(loop, 50, NULL), EG_OK);
    cr_assert_eq(a.count, 5, "what waited in the kernel's queue is served");
    eg_listener_stop(&a.listener);
    for (int i = 0; i < 5; i++) {
        close(clients[i]);
        close(a.fds[i]);
    }
    close(l);
    eg_loop_free(loop);
}

Test(net, a_listener_may_be_stopped_from_its_callback)
{
    struct eg_loop *loop = NULL;
    struct eg_sockaddr at;
    struct accepting a = { .listener = { .accepted = on_accepted }, .stop = true };
    cr_assert_eq(eg_loop_new(&loop, NULL), EG_OK);
    int l = listener(&at);
    a.listener.ctx = &a;
    cr_assert_eq(eg_listener_start(&a.listener, loop, l, true, NULL), EG_OK);
    int one = dial(&at);
    int two = dial(&at);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(eg_loop_tick(loop, 20, NULL), EG_OK);
    cr_assert_eq(a.count, 1);
    close(a.fds[0]);
    close(one);
    close(two);
    close(l);
    eg_loop_free(loop);
}

/* Two loops on one descriptor, as workers have it: every connection is accepted exactly once. */
Test(net, shared_listeners_accept_each_connection_once)
{
    struct eg_loop *loops[2] = { NULL };
    struct eg_sockaddr at;
    struct accepting a[2] = { 0 };
    int clients[20];
    int l = listener(&at);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(eg_loop_new(&loops[i], NULL), EG_OK);
        a[i].listener = (struct eg_listener){ .accepted = on_accepted, .ctx = &a[i] };
        cr_assert_eq(eg_listener_start(&a[i].listener, loops[i], l, true, NULL), EG_OK);
    }
    for (int i = 0; i < 20; i++)
        clients[i] = dial(&at);
    for (int i = 0; i < 100 && a[0].count + a[1].count < 20; i++)
        cr_assert_eq(eg_loop_tick(loops[i % 2], 10, NULL), EG_OK);
    cr_assert_eq(a[0].count + a[1].count, 20);
    for (int i = 0; i < 2; i++) {
        for (unsigned k = 0; k < a[i].count; k++)
            close(a[i].fds[k]);
        eg_listener_stop(&a[i].listener);
        eg_listener_stop(&a[i].listener);
        eg_loop_free(loops[i]);
    }
    for (int i = 0; i < 20; i++)
        close(clients[i]);
    close(l);
}
