/* way.h - how the programs of the benchmark get a tunnel: straight, by CONNECT, or by SOCKS5 (RFC 1928, with RFC 1929 where there is a login). One
 * message a step, as clients do it; nothing is sent ahead of an answer. Included by load and start. */
#ifndef EG_TESTS_BENCH_WAY_H
#define EG_TESTS_BENCH_WAY_H

#include "bench/wire.h"

enum bench_kind { BENCH_STRAIGHT, BENCH_CONNECT, BENCH_SOCKS };

struct bench_way {
    enum bench_kind kind;
    uint16_t port, target;         /* port: of the proxy; straight goes to target */
    char head[BENCH_HEAD_MAX / 2]; /* whole header lines of CONNECT */
    char login[512];               /* "user:password"; empty: none */
};

enum bench_stage { BENCH_OPEN, BENCH_HEAD, BENCH_METHOD, BENCH_LOGIN, BENCH_REPLY };

static inline int bench_way_dial(const struct bench_way *w)
{
    return bench_connect(w->kind == BENCH_STRAIGHT ? w->target : w->port);
}

/* Sends the first message; the stage that waits for its answer. */
static inline enum bench_stage bench_way_begin(const struct bench_way *w, int fd)
{
    if (w->kind == BENCH_CONNECT) {
        bench_ask_tunnel(fd, w->target, w->head);
        return BENCH_HEAD;
    }
    if (w->kind == BENCH_SOCKS) {
        bench_send(fd, w->login[0] ? "\5\1\2" : "\5\1\0", 3);
        return BENCH_METHOD;
    }
    return BENCH_OPEN;
}

static inline enum bench_stage bench_way_login(const struct bench_way *w, int fd)
{
    char text[513 + 3];
    const char *colon = strchr(w->login, ':');
    size_t user = colon ? (size_t)(colon - w->login) : 0, password = colon ? strlen(colon + 1) : 0;
    if (user == 0 || user > 255 || password > 255)
        bench_die("the login is not user:password");
    text[0] = 1;
    text[1] = (char)user;
    memcpy(text + 2, w->login, user);
    text[2 + user] = (char)password;
    memcpy(text + 3 + user, colon + 1, password);
    bench_send(fd, text, 3 + user + password);
    return BENCH_LOGIN;
}

static inline enum bench_stage bench_way_request(const struct bench_way *w, int fd)
{
    const unsigned char text[] = {
        5, 1, 0, 1, 127, 0, 0, 1, (unsigned char)(w->target >> 8), (unsigned char)w->target
    };
    bench_send(fd, text, sizeof text);
    return BENCH_REPLY;
}

/* The length of a SOCKS5 reply, 0 while it is not whole. */
static inline size_t bench_way_reply(const char *in, size_t n)
{
    if (n < 5)
        return 0;
    size_t address = in[3] == 1 ? 4 : in[3] == 4 ? 16 : 1 + (size_t)(unsigned char)in[4];
    return n >= 6 + address ? 6 + address : 0;
}

/* The n bytes of `in` came: takes what belongs to the handshake off their front and sends what is next. Dies when it is refused. */
static inline enum bench_stage bench_way_step(const struct bench_way *w, enum bench_stage stage,
                                              int fd, char *in, size_t *n)
{
    size_t used = 0;
    if (stage == BENCH_HEAD) {
        if ((used = bench_head_length(in, *n)) == 0)
            return stage;
        bench_expect_ok(in, *n);
        stage = BENCH_OPEN;
    } else if (stage == BENCH_METHOD || stage == BENCH_LOGIN) {
        if (*n < 2)
            return stage;
        used = 2;
        if (in[1] != (stage == BENCH_METHOD && w->login[0] ? 2 : 0))
            bench_die("SOCKS5: refused with %d", in[1]);
        stage = stage == BENCH_METHOD && w->login[0] ? bench_way_login(w, fd)
                                                     : bench_way_request(w, fd);
    } else if (stage == BENCH_REPLY) {
        if ((used = bench_way_reply(in, *n)) == 0)
            return stage;
        if (in[0] != 5 || in[1] != 0)
            bench_die("SOCKS5: refused with %d", in[1]);
        stage = BENCH_OPEN;
    }
    *n -= used;
    memmove(in, in + used, *n);
    return stage;
}

/* A blocking connection with its tunnel open; no byte may follow the last answer. */
static inline int bench_way_open(const struct bench_way *w)
{
    char in[BENCH_HEAD_MAX];
    size_t n = 0;
    int fd = bench_way_dial(w);
    for (enum bench_stage stage = bench_way_begin(w, fd); stage != BENCH_OPEN;) {
        n += bench_recv(fd, in + n, sizeof in - n);
        stage = bench_way_step(w, stage, fd, in, &n);
    }
    if (n > 0)
        bench_die("bytes behind the proxy's answer");
    return fd;
}

/* "user:password" of a file, without its line's end. */
static inline void bench_way_read_login(struct bench_way *w, const char *path)
{
    bench_read_file(path, w->login, sizeof w->login);
    w->login[strcspn(w->login, "\r\n")] = 0;
}

#endif
