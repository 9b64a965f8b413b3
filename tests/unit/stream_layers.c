/* Each layer by itself: memory, tcp, the race of dial, and what a proxy may answer to CONNECT. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sodium.h>

#include "base/clock.h"
#include "base/secret.h"
#include "net/sock.h"
#include "stream/stream.h"
#include "support/duo.h"
#include "support/flaky.h"

static unsigned open_fds(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* ---- the wrappers and memory ---- */

Test(stream, unread_bytes_come_first)
{
    struct eg_stream *a = NULL;
    struct eg_stream *b = NULL;
    char text[32];
    size_t n = 0;
    cr_assert_eq(eg_stream_mem(100, &a, &b), EG_OK);
    cr_assert_eq(duo_put(b, "third", 5), EG_OK);
    cr_assert_eq(eg_stream_unread(a, "second", 6), EG_OK);
    cr_assert_eq(eg_stream_unread(a, "first", 5), EG_OK);
    cr_assert(eg_stream_pending(a));
    char all[32] = "";
    size_t total = 0;
    while (total < 16) {
        cr_assert_eq(eg_stream_recv(a, text, 4, &n, NULL), EG_OK);
        memcpy(all + total, text, n);
        total += n;
    }
    cr_assert_str_eq(all, "firstsecondthird");
    cr_assert_not(eg_stream_pending(a));
    static char big[64 * 1024];
    cr_assert_eq(eg_stream_unread(a, big, sizeof big), EG_OK);
    cr_assert_eq(eg_stream_unread(a, "x", 1), EG_TOO_BIG);
    eg_stream_free(a);
    eg_stream_free(b);
}

Test(stream, memory_behaves_like_a_socket)
{
    struct eg_stream *a = NULL;
    struct eg_stream *b = NULL;
    char text[32];
    size_t n = 0;
    cr_assert_eq(eg_stream_mem(4, &a, &b), EG_OK);
    cr_assert_eq(eg_stream_send(a, "abcdef", 6, &n, NULL), EG_OK);
    cr_assert_eq(n, 4);
    cr_assert_eq(eg_stream_send(a, "ef", 2, &n, NULL), EG_AGAIN);
    struct eg_pollset set = { 0 };
    eg_stream_want(a, EG_OUT, &set);
    cr_assert_not(set.now);
    cr_assert_eq(eg_stream_recv(b, text, 3, &n, NULL), EG_OK);
    eg_stream_want(a, EG_OUT, &set);
    cr_assert(set.now);
    cr_assert_eq(duo_copy_both(a, b, 10, 1), EG_INVALID,
                 "one byte of another pattern is in the pipe");
    eg_stream_free(a);
    while (eg_stream_recv(b, text, sizeof text, &n, NULL) == EG_OK)
        continue;
    cr_assert_eq(eg_stream_recv(b, text, sizeof text, &n, NULL), EG_EOF);
    cr_assert_eq(eg_stream_send(b, "x", 1, &n, NULL), EG_CLOSED);
    eg_stream_free(b);
    eg_stream_free(NULL);
}

Test(stream, flaky_over_memory_loses_nothing)
{
    struct eg_stream *a = NULL;
    struct eg_stream *b = NULL;
    cr_assert_eq(eg_stream_mem(1000, &a, &b), EG_OK);
    cr_assert_eq(flaky_stream(a, 1, 50, 300, &a), EG_OK);
    cr_assert_eq(flaky_stream(b, 2, 50, 300, &b), EG_OK);
    struct duo_result r = duo_connect(a, b);
    cr_assert_eq(r.a, EG_OK);
    cr_assert_eq(r.b, EG_OK);
    cr_assert_eq(duo_copy_both(a, b, 200000, 9), EG_OK);
    cr_assert_eq(duo_shut(a, b), EG_EOF);
    eg_stream_free(a);
    eg_stream_free(b);
}

/* ---- tcp ---- */

static void tcp_pair(struct eg_stream **a, struct eg_stream **b)
{
    int fds[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    cr_assert_eq(eg_stream_tcp(fds[0], a), EG_OK);
    cr_assert_eq(eg_stream_tcp(fds[1], b), EG_OK);
}

Test(stream, tcp_carries_bytes_and_ends)
{
    unsigned before = open_fds();
    struct eg_stream *a = NULL;
    struct eg_stream *b = NULL;
    tcp_pair(&a, &b);
    cr_assert_geq(eg_stream_raw_fd(a), 0);
    cr_assert_eq(eg_stream_unread(a, "x", 1), EG_OK);
    cr_assert_eq(eg_stream_raw_fd(a), -1, "not while it holds bytes");
    char x;
    size_t n;
    cr_assert_eq(eg_stream_recv(a, &x, 1, &n, NULL), EG_OK);
    cr_assert_geq(eg_stream_raw_fd(a), 0);
    cr_assert_eq(duo_copy_both(a, b, 500000, 4), EG_OK);
    struct eg_pollset set = { 0 };
    eg_stream_want(a, EG_IN, &set);
    eg_stream_want(a, EG_OUT, &set);
    cr_assert_eq(set.count, 1, "one descriptor, both events");
    cr_assert_eq(set.fds[0].events, EG_IN | EG_OUT);
    cr_assert_neq(set.fds[0].tag, 0);
    cr_assert_eq(duo_shut(a, b), EG_EOF);
    cr_assert_eq(duo_copy(b, a, 1000, 5), EG_OK, "half-closed");
    eg_stream_free(a);
    struct eg_err err = { 0 };
    enum eg_status r = EG_OK;
    for (int i = 0; i < 5 && r == EG_OK; i++)
        r = eg_stream_send(b, "x", 1, &n, &err);
    cr_assert_eq(r, EG_CLOSED);
    cr_assert_str_eq(err.layer, "tcp");
    eg_stream_free(b);
    cr_assert_eq(open_fds(), before);
}

/* ---- dial ---- */

static const struct eg_sockaddr loopback = { .addr = { .family = 4, .b = { 127, 0, 0, 1 } } };

/* An address that never answers: a listener whose queue is full drops SYNs, as a firewall would. */
struct hole {
    struct eg_sockaddr at;
    int listener, fillers[8];
};

static void dig(struct hole *h)
{
    struct sockaddr_storage sa;
    h->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t n = eg_sockaddr_to(&loopback, &sa);
    cr_assert_eq(bind(h->listener, (struct sockaddr *)&sa, n), 0);
    cr_assert_eq(listen(h->listener, 0), 0);
    cr_assert(eg_sock_local(h->listener, &h->at));
    for (int i = 0; i < 8; i++)
        cr_assert_eq(eg_sock_connect(&h->at, &h->fillers[i], NULL), EG_OK);
}

static void fill_in(struct hole *h)
{
    close(h->listener);
    for (int i = 0; i < 8; i++)
        close(h->fillers[i]);
}

/* A port that is nobody else's until *held is closed, and where nobody listens. */
static struct eg_sockaddr closed_port(int *held)
{
    struct sockaddr_storage sa;
    struct eg_sockaddr at;
    *held = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t n = eg_sockaddr_to(&loopback, &sa);
    cr_assert_eq(bind(*held, (struct sockaddr *)&sa, n), 0);
    cr_assert(eg_sock_local(*held, &at));
    return at;
}

/* Polls what the stream wants until it is connected, has failed or time is up. */
static enum eg_status raise_stream(struct eg_stream *s, uint64_t most_ms, unsigned *at_once,
                                   struct eg_err *err)
{
    uint64_t end = eg_clock_ms() + most_ms;
    for (;;) {
        enum eg_status r = eg_stream_connect(s, err);
        uint64_t now = eg_clock_ms();
        if (r != EG_AGAIN || now >= end)
            return r;
        struct eg_pollset set = { 0 };
        struct pollfd fds[EG_POLL_MAX];
        eg_stream_want(s, 0, &set);
        cr_assert(set.count || set.now || set.wake_ms, "nothing to wait for");
        for (unsigned i = 0; i < set.count; i++)
            fds[i] =
                (struct pollfd){ .fd = set.fds[i].fd,
                                 .events = (short)(set.fds[i].events & EG_OUT ? POLLOUT : POLLIN) };
        if (at_once && set.count > *at_once)
            *at_once = set.count;
        uint64_t until = set.wake_ms && set.wake_ms < end ? set.wake_ms : end;
        poll(fds, set.count, set.now || until <= now ? 0 : (int)(until - now));
    }
}

static enum eg_status race(const struct eg_sockaddr *addrs, unsigned count, struct eg_stream **s,
                           uint64_t *took, struct eg_err *err)
{
    uint64_t from = eg_clock_ms();
    cr_assert_eq(eg_stream_dial(addrs, count, s), EG_OK);
    enum eg_status r = raise_stream(*s, 20000, NULL, err);
    *took = eg_clock_ms() - from;
    return r;
}

Test(stream, dial_goes_past_an_address_that_never_answers)
{
    struct hole hole;
    struct eg_sockaddr good;
    struct eg_sockaddr peer;
    struct eg_stream *s = NULL;
    int l = -1;
    uint64_t took;
    dig(&hole);
    cr_assert_eq(eg_sock_listen(&loopback, &l, &good, NULL), EG_OK);
    struct eg_sockaddr addrs[] = { hole.at, good };
    unsigned before = open_fds();
    cr_assert_eq(race(addrs, 2, &s, &took, NULL), EG_OK);
    cr_assert(took >= 200 && took < 20000, "%d ms", (int)took);
    cr_assert(eg_stream_dial_peer(s, &peer));
    cr_assert_eq(peer.port, good.port);
    cr_assert_eq(open_fds(), before + 1, "the loser is closed");
    cr_assert_geq(eg_stream_raw_fd(s), 0);
    eg_stream_free(s);
    close(l);
    fill_in(&hole);
}

Test(stream, dial_does_not_wait_after_a_refusal)
{
    struct eg_sockaddr good;
    struct eg_stream *s = NULL;
    int l = -1;
    uint64_t took;
    cr_assert_eq(eg_sock_listen(&loopback, &l, &good, NULL), EG_OK);
    int held[3];
    struct eg_sockaddr addrs[4];
    for (int i = 0; i < 3; i++)
        addrs[i] = closed_port(&held[i]);
    addrs[3] = good;
    unsigned tries = 0;
    do { /* waiting would take 250 ms for each; a busy machine may take as long now and then */
        eg_stream_free(s);
        s = NULL;
        cr_assert_eq(race(addrs, 4, &s, &took, NULL), EG_OK);
    } while (took >= 200 && ++tries < 30);
    cr_assert_lt(took, 200);
    eg_stream_free(s);
    for (int i = 0; i < 3; i++)
        close(held[i]);
    close(l);
}

Test(stream, dial_takes_the_first_that_answers_in_the_given_order)
{
    struct eg_sockaddr one;
    struct eg_sockaddr two;
    struct eg_sockaddr peer;
    struct eg_stream *s = NULL;
    int a = -1;
    int b = -1;
    uint64_t took;
    cr_assert_eq(eg_sock_listen(&loopback, &a, &one, NULL), EG_OK);
    cr_assert_eq(eg_sock_listen(&loopback, &b, &two, NULL), EG_OK);
    struct eg_sockaddr addrs[] = { two, one };
    cr_assert_eq(race(addrs, 2, &s, &took, NULL), EG_OK);
    cr_assert(eg_stream_dial_peer(s, &peer));
    cr_assert_eq(peer.port, two.port);
    eg_stream_free(s);
    close(a);
    close(b);
}

Test(stream, dial_tells_the_most_telling_failure)
{
    struct eg_stream *s = NULL;
    struct eg_err err = { 0 };
    uint64_t took;
    int held;
    struct eg_sockaddr closed = closed_port(&held);
    unsigned before = open_fds();
    struct eg_sockaddr nowhere = { .addr = { .family = 4, .b = { 255, 255, 255, 255 } },
                                   .port = 9 };
    struct eg_sockaddr addrs[] = { nowhere, closed, nowhere };
    cr_assert_eq(race(addrs, 3, &s, &took, &err), EG_CONNECT_REFUSED);
    cr_assert_eq(err.status, EG_CONNECT_REFUSED);
    cr_assert_eq(err.sys, ECONNREFUSED);
    cr_assert(strstr(err.text, "127.0.0.1:") && strstr(err.text, "3 addresses"), "%s", err.text);
    eg_stream_free(s);
    cr_assert_eq(open_fds(), before);
    close(held);
}

Test(stream, dial_races_at_most_four)
{
    struct hole hole;
    struct eg_stream *s = NULL;
    unsigned at_once = 0;
    dig(&hole);
    struct eg_sockaddr addrs[6] = { hole.at, hole.at, hole.at, hole.at, hole.at, hole.at };
    unsigned before = open_fds();
    cr_assert_eq(eg_stream_dial(addrs, 6, &s), EG_OK);
    cr_assert_eq(raise_stream(s, 4000, &at_once, NULL), EG_AGAIN);
    cr_assert_eq(at_once, 4);
    cr_assert_eq(open_fds(), before + 4);
    struct eg_sockaddr peer;
    cr_assert_not(eg_stream_dial_peer(s, &peer));
    eg_stream_free(s);
    cr_assert_eq(open_fds(), before, "given up in mid-race: all are closed");
    fill_in(&hole);
}

Test(stream, dial_needs_addresses)
{
    struct eg_stream *s = NULL;
    cr_assert_eq(eg_stream_dial(&loopback, 0, &s), EG_INVALID);
    cr_assert_eq(eg_stream_dial(&loopback, 65, &s), EG_INVALID);
}

/* ---- http_connect ---- */

struct answer {
    const char *said;
    enum eg_status expected;
    const char *text; /* in err, or what the tunnel's first bytes are */
};

static const struct answer answers[] = {
    { "HTTP/1.1 200 OK\r\n\r\n", EG_OK, "" },
    { "HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n", EG_OK, "" },
    { "HTTP/1.1 200 OK\r\n\r\nSSH-2.0-x\r\n", EG_OK, "SSH-2.0-x\r\n" },
    { "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nhello", EG_OK, "hello" },
    { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", EG_UPSTREAM_PROXY_FAILED, "body" },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
      EG_UPSTREAM_PROXY_FAILED, "body" },
    { "HTTP/1.1 204 No Content\r\n\r\n", EG_OK, "" },
    { "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nabc", EG_OK,
      "abc" },
    { "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
      EG_UPSTREAM_PROXY_AUTH, "407" },
    { "HTTP/1.1 403 Secret reason\r\nContent-Length: 0\r\n\r\n", EG_UPSTREAM_PROXY_REFUSED, "403" },
    { "HTTP/1.1 502 Bad\r\nContent-Length: 3\r\n\r\nabc", EG_UPSTREAM_PROXY_REFUSED, "502" },
    { "HTTP/1.1 302 Found\r\nLocation: http://a/\r\n\r\n", EG_UPSTREAM_PROXY_FAILED, "3xx" },
    { "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
      EG_UPSTREAM_PROXY_FAILED, "" },
    { "", EG_UPSTREAM_PROXY_FAILED, "closed" },
    { "HTTP/1.1 200 OK\r\nVia: x\r\n", EG_UPSTREAM_PROXY_FAILED, "closed" },
    { "SSH-2.0-OpenSSH\r\n\r\n\r\n", EG_UPSTREAM_PROXY_FAILED, "malformed" },
    { "HTTP/1.1 2000 OK\r\n\r\n", EG_UPSTREAM_PROXY_FAILED, "malformed" },
    { "HTTP/2 200\r\n\r\n", EG_UPSTREAM_PROXY_FAILED, "malformed" },
    { "HTTP/1.1 200 OK\r\n", EG_AGAIN, "" },
};

static struct eg_authority origin(void)
{
    struct eg_authority a;
    cr_assert_eq(eg_authority_parse(EG_SLICE("api.example.test:443"), 0, &a, NULL), EG_OK);
    return a;
}

static void ask_proxy(const struct answer *row, uint64_t seed, size_t number)
{
    struct eg_stream *a = NULL;
    struct eg_stream *b = NULL;
    struct eg_err err = { 0 };
    struct eg_authority target = origin();
    cr_assert_eq(eg_stream_mem(2000, &a, &b), EG_OK);
    cr_assert_eq(flaky_stream(a, seed, seed ? 40 : 0, seed ? 3 : 4000, &a), EG_OK);
    cr_assert_eq(eg_stream_http_connect(a, &target, NULL, &a), EG_OK);
    if (*row->said)
        cr_assert_eq(duo_put(b, row->said, strlen(row->said)), EG_OK);
    if (row->expected != EG_AGAIN)
        cr_assert_eq(eg_stream_shut(b, NULL), EG_OK);
    enum eg_status r = EG_AGAIN;
    for (int i = 0; i < 3000 && r == EG_AGAIN; i++)
        r = eg_stream_connect(a, &err);
    cr_expect_eq(r, row->expected, "row %zu: %s (%s)", number, egress_status_name(r), err.text);
    if (r == EG_OK) {
        char got[64] = "";
        size_t total = 0;
        size_t n = 0;
        while (duo_recv(a, got + total, sizeof got - 1 - total, &n, NULL) == EG_OK)
            total += n;
        cr_expect_str_eq(got, row->text, "row %zu", number);
    } else if (r != EG_AGAIN) {
        cr_expect(strstr(err.text, row->text) && !strstr(err.text, "Secret"), "row %zu: %s", number,
                  err.text);
        cr_expect_str_eq(err.layer, "http_connect", "row %zu", number);
        cr_expect_eq(err.status, r, "row %zu", number);
    }
    eg_stream_free(a);
    eg_stream_free(b);
}

Test(stream, http_connect_answers)
{
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        for (uint64_t seed = 0; seed < 5; seed++)
            ask_proxy(&answers[i], seed, i);
}

Test(stream, http_connect_takes_no_endless_interim_answers)
{
    struct answer row = { .expected = EG_UPSTREAM_PROXY_FAILED, .text = "" };
    char said[2000] = "";
    for (int i = 0; i < 20; i++)
        strncat(said, "HTTP/1.1 102 P\r\n\r\n", sizeof said - strlen(said) - 1);
    row.said = said;
    ask_proxy(&row, 0, 0);
}

Test(stream, http_connect_limits_the_head)
{
    struct eg_stream *a = NULL;
    struct eg_stream *b = NULL;
    struct eg_authority target = origin();
    static char line[1000];
    enum eg_status r = EG_AGAIN;
    memset(line, 'x', sizeof line);
    memcpy(line, "X-Long: ", 8);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    cr_assert_eq(eg_stream_mem(2000, &a, &b), EG_OK);
    cr_assert_eq(eg_stream_http_connect(a, &target, NULL, &a), EG_OK);
    cr_assert_eq(duo_put(b, "HTTP/1.1 200 OK\r\n", 17), EG_OK);
    for (int i = 0; i < 40 && r == EG_AGAIN; i++) {
        r = eg_stream_connect(a, NULL);
        if (r == EG_AGAIN)
            cr_assert_eq(duo_put(b, line, sizeof line), EG_OK);
    }
    cr_assert_eq(r, EG_UPSTREAM_PROXY_FAILED);
    eg_stream_free(a);
    eg_stream_free(b);
}

Test(stream, http_connect_writes_what_it_was_given_and_is_transparent)
{
    struct eg_stream *a = NULL;
    struct eg_stream *b = NULL;
    struct eg_vault *vault = NULL;
    struct eg_secret *secret = NULL;
    bool locked = false;
    char got[1000] = "";
    size_t n = 0;
    cr_assert_geq(sodium_init(), 0);
    cr_assert_eq(eg_vault_new(&vault, 4096, false, &locked, NULL), EG_OK);
    cr_assert_eq(eg_secret_new(vault, "Basic dTpw", 10, &secret, NULL), EG_OK);
    struct eg_authority target;
    cr_assert_eq(eg_authority_parse(EG_SLICE("[2001:db8::1]:8443"), 0, &target, NULL), EG_OK);
    tcp_pair(&a, &b);
    cr_assert_eq(eg_stream_http_connect(a, &target, secret, &a), EG_OK);
    cr_assert_eq(eg_stream_raw_fd(a), -1, "not before it is connected");
    struct eg_pollset set = { 0 };
    eg_stream_want(a, EG_IN, &set);
    cr_assert_eq(set.fds[0].events, EG_OUT, "it has to ask first");
    cr_assert_eq(eg_stream_connect(a, NULL), EG_AGAIN);
    cr_assert_eq(eg_stream_recv(b, got, sizeof got - 1, &n, NULL), EG_OK);
    cr_assert_str_eq(got, "CONNECT [2001:db8::1]:8443 HTTP/1.1\r\nHost: "
                          "[2001:db8::1]:8443\r\nProxy-Authorization: Basic dTpw\r\n\r\n");
    memset(&set, 0, sizeof set);
    eg_stream_want(a, EG_OUT, &set);
    cr_assert_eq(set.fds[0].events, EG_IN);
    cr_assert_eq(duo_put(b, "HTTP/1.1 200 OK\r\n\r\n", 19), EG_OK);
    cr_assert_eq(eg_stream_connect(a, NULL), EG_OK);
    cr_assert_geq(eg_stream_raw_fd(a), 0);
    cr_assert_eq(duo_copy_both(a, b, 100000, 3), EG_OK);
    cr_assert_eq(duo_shut(a, b), EG_EOF);
    eg_stream_free(a);
    eg_stream_free(b);
    eg_secret_free(secret);
    eg_vault_free(vault);
}
