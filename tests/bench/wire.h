/* wire.h - what the programs of the benchmark share: loopback connections, CONNECT, samples, time. Included by each, linked by none.
 *
 * Everything is bounded: bench_deadline ends the process by SIGALRM, and a failure says why on stderr and exits with 1. */
#ifndef EG_TESTS_BENCH_WIRE_H
#define EG_TESTS_BENCH_WIRE_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BENCH_HEAD_MAX = 8192 };

__attribute__((format(printf, 1, 2), noreturn)) static inline void bench_die(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    exit(1);
}

/* The default action of SIGALRM ends the process. */
static inline void bench_deadline(unsigned seconds)
{
    alarm(seconds);
}

static inline uint64_t bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline struct sockaddr_in bench_loopback(uint16_t port)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    return at;
}

/* A blocking connection to 127.0.0.1, or -1. On loopback the handshake is over before connect sleeps. */
static inline int bench_try_connect(uint16_t port)
{
    const struct sockaddr_in at = bench_loopback(port);
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        bench_die("socket: %s", strerror(errno));
    if (connect(fd, (const struct sockaddr *)&at, sizeof at) != 0) {
        int kept = errno;
        close(fd);
        errno = kept;
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static inline int bench_connect(uint16_t port)
{
    int fd = bench_try_connect(port);
    if (fd < 0)
        bench_die("connect to port %u: %s", port, strerror(errno));
    return fd;
}

static inline void bench_send(int fd, const void *p, size_t n)
{
    for (const char *at = p; n > 0;) {
        ssize_t k = send(fd, at, n, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            bench_die("send: %s", strerror(errno));
        at += k;
        n -= (size_t)k;
    }
}

static inline size_t bench_recv(int fd, void *p, size_t n)
{
    ssize_t k = recv(fd, p, n, 0);
    if (k < 0)
        bench_die("receive: %s", strerror(errno));
    if (k == 0)
        bench_die("the connection ended early");
    return (size_t)k;
}

static inline void bench_recv_all(int fd, void *p, size_t n)
{
    for (size_t got = 0; got < n;)
        got += bench_recv(fd, (char *)p + got, n - got);
}

/* The length of the head in p, with its empty line; 0 when it is not whole yet. */
static inline size_t bench_head_length(const char *p, size_t n)
{
    const char *end = memmem(p, n, "\r\n\r\n", 4);
    return end ? (size_t)(end - p) + 4 : 0;
}

/* Dies unless the head's status is 200. */
static inline void bench_expect_ok(const char *p, size_t n)
{
    if (n < 12 || memcmp(p, "HTTP/1.", 7) != 0 || memcmp(p + 8, " 200", 4) != 0)
        bench_die("not a 200: %.*s", (int)(n < 300 ? n : 300), p);
}

/* Reads one whole file of at most cap - 1 bytes as text; returns its length. */
static inline size_t bench_read_file(const char *path, char *out, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        bench_die("%s: %s", path, strerror(errno));
    ssize_t n = read(fd, out, cap - 1);
    close(fd);
    if (n < 0 || (size_t)n == cap - 1)
        bench_die("%s can't be read or is too long", path);
    out[n] = 0;
    return (size_t)n;
}

/* Sends CONNECT to 127.0.0.1:target; extra is whole header lines. */
static inline void bench_ask_tunnel(int fd, uint16_t target, const char *extra)
{
    char text[BENCH_HEAD_MAX];
    int n = snprintf(text, sizeof text, "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s\r\n",
                     target, target, extra);
    if (n < 0 || (size_t)n >= sizeof text)
        bench_die("the header lines are too long");
    bench_send(fd, text, (size_t)n);
}

/* A number option of a program; dies for anything else than 0..max. */
static inline unsigned long long bench_number(const char *text, unsigned long long max)
{
    char *end = NULL;
    errno = 0;
    unsigned long long v = strtoull(text ? text : "", &end, 10);
    if (!text || errno || end == text || *end || v > max)
        bench_die("not a number: %s", text ? text : "");
    return v;
}

#endif
