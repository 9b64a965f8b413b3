/* proxy_client.c - our own client: it reaches internal services and nothing else, and nobody else reaches those. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/sock.h"
#include "support/bed.h"
#include "support/residue.h"

static const char POLICY[] =
    "egress: 1\n"
    "services:\n"
    "  open: {upstream: \"http://127.0.0.1:%u/base\"}\n"
    "credentials:\n"
    "  tok:\n"
    "    hosts: [\"127.0.0.1\"]\n"
    "    oauth2: {grant: client_credentials, token_url: \"http://127.0.0.1:%u/as/token?x=y\",\n"
    "             client_id: id, client_secret: \"env:SECRET\"}\n"
    "networks: {allow: [127.0.0.1/32]}\n";
/* Of the internal service that the policy makes. */
#define SERVICE "oauth2~tok"
#define TARGET  "/" SERVICE "/as/token?x=y"
static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

struct scene {
    struct eg_bed bed;
    int origin;
    struct eg_sockaddr at;
};

static void setup(struct scene *s)
{
    const struct eg_sockaddr any = { { 4, { 127, 0, 0, 1 } }, 0 };
    char policy[1024];
    memset(s, 0, sizeof *s);
    cr_assert(eg_sock_listen(&any, &s->origin, &s->at, NULL) == EG_OK);
    snprintf(policy, sizeof policy, POLICY, s->at.port, s->at.port);
    eg_bed_new(&s->bed, policy, "");
}

static void finish(struct scene *s)
{
    cr_expect(eg_bed_quiet(&s->bed), "flows stay");
    eg_bed_free(&s->bed);
    close(s->origin);
}

static int own_client(struct scene *s)
{
    int pair[2];
    struct eg_err err = { 0 };
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    cr_assert_eq(eg_engine_client(s->bed.engine, pair[0], &err), EG_OK, "%s", err.text);
    return pair[1];
}

/* Sends the head and reads the first line of the answer into out. */
static void say(struct scene *s, int fd, const char *text, char *out, size_t cap)
{
    bool eof = false;
    size_t n = 0;
    memset(out, 0, cap);
    cr_assert_eq(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
    while (!eof && n + 1 < cap && !strstr(out, "\r\n\r\n"))
        n += eg_bed_read(&s->bed, fd, out + n, 1, &eof);
}

static int accepted(struct scene *s, char *head, size_t cap)
{
    struct eg_sockaddr peer;
    int fd = -1;
    bool eof = false;
    size_t n = 0;
    uint64_t end = eg_clock_ms() + 30000;
    while (eg_sock_accept(s->origin, &fd, &peer, NULL) != EG_OK && eg_clock_ms() < end)
        eg_bed_turn(&s->bed, 1);
    cr_assert_geq(fd, 0, "the origin was not reached");
    memset(head, 0, cap);
    while (!eof && n + 1 < cap && !strstr(head, "\r\n\r\n"))
        n += eg_bed_read(&s->bed, fd, head + n, 1, &eof);
    return fd;
}

Test(proxy, own_client_reaches_an_internal_service)
{
    struct scene s;
    struct egress_event e;
    static const char text[] = "POST " TARGET " HTTP/1.1\r\nHost: localhost\r\n"
                               "Authorization: Basic eDp5\r\nConnection: close\r\n"
                               "Content-Length: 3\r\n\r\na=b";
    char head[2048];
    bool eof;
    setup(&s);
    int fd = own_client(&s);
    cr_assert_eq(send(fd, text, sizeof text - 1, 0), (ssize_t)sizeof text - 1);
    int origin = accepted(&s, head, sizeof head);
    cr_expect_eq(strncmp(head, "POST /as/token?x=y HTTP/1.1\r\n", 29), 0, "%s", head);
    cr_expect(strstr(head, "\r\nAuthorization: Basic eDp5\r\n"), "%s", head);
    cr_expect_null(strstr(head, "localhost"));
    cr_assert_eq(send(origin, ANSWER, sizeof ANSWER - 1, 0), (ssize_t)sizeof ANSWER - 1);
    size_t n = eg_bed_read(&s.bed, fd, head, sizeof head - 1, &eof);
    cr_expect(eof);
    cr_expect(n > 2 && memcmp(head + n - 2, "ok", 2) == 0);
    cr_assert(eg_bed_event(&s.bed, &e));
    cr_expect(e.kind == EGRESS_EVENT_DECISION && e.allowed);
    cr_expect_str_eq(e.session, "egressd");
    cr_expect_str_eq(e.service, SERVICE);
    cr_expect_str_eq(e.path, "/as/token");
    cr_expect_str_eq(e.credential, "");
    close(fd);
    close(origin);
    finish(&s);
}

Test(proxy, own_client_has_no_other_way)
{
    static const struct {
        const char *head, *reason;
    } rows[] = {
        { "GET /open/x HTTP/1.1\r\nHost: localhost\r\n\r\n", "route_unknown" },
        { "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", "route_unknown" },
        { "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "route_unknown" },
        { "GET /open/x HTTP/1.1\r\nHost: example.com\r\n\r\n", "misdirected" },
        { "CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1:443\r\n\r\n", "bad_target" },
        { "GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "bad_target" },
        { "GET http://localhost/open/x HTTP/1.1\r\nHost: localhost\r\n\r\n", "bad_target" },
        { "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", "bad_target" },
    };
    struct scene s;
    char out[4096];
    setup(&s);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int fd = own_client(&s);
        say(&s, fd, rows[i].head, out, sizeof out);
        cr_expect_str_eq(eg_bed_reason(&s.bed), rows[i].reason, "%zu: %s", i, out);
        close(fd);
    }
    int socks = own_client(&s);
    bool eof;
    cr_assert_eq(send(socks, "\x05\x01\x00", 3, 0), 3);
    (void)eg_bed_read(&s.bed, socks, out, sizeof out, &eof);
    cr_expect_str_eq(eg_bed_reason(&s.bed), "not_supported");
    close(socks);
    finish(&s);
}

/* Not by a listener of any kind, with or without a token. */
Test(proxy, nobody_else_reaches_an_internal_service)
{
    struct scene s;
    char text[1024], out[4096];
    setup(&s);
    struct eg_listen_config with = { .auth = EG_AUTH_TOKEN }, without = { .auth = EG_AUTH_NONE },
                            local = { .auth = EG_AUTH_NONE };
    uint16_t ports[] = { eg_bed_listen(&s.bed, &with), eg_bed_listen(&s.bed, &without) };
    eg_bed_listen_unix(&s.bed, 1, &local);
    for (int i = 0; i < 3; i++) {
        int fd = i < 2 ? eg_bed_connect(ports[i]) : eg_bed_connect_unix(1);
        char host[32] = "localhost";
        if (i < 2)
            snprintf(host, sizeof host, "127.0.0.1:%u", ports[i]);
        snprintf(text, sizeof text,
                 "POST " TARGET " HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Bearer %s\r\n"
                 "Content-Length: 0\r\n\r\n",
                 host, EG_BED_TOKEN);
        say(&s, fd, text, out, sizeof out);
        cr_expect_str_eq(eg_bed_reason(&s.bed), "route_unknown", "%d: %s", i, out);
        close(fd);
    }
    finish(&s);
}

Test(proxy, own_client_is_closed_by_an_engine_that_drains)
{
    struct scene s;
    struct eg_err err = { 0 };
    int pair[2];
    char c;
    setup(&s);
    eg_engine_drain(s.bed.engine);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    cr_expect_eq(eg_engine_client(s.bed.engine, pair[0], &err), EG_SHUTTING_DOWN);
    cr_expect_eq(recv(pair[1], &c, 1, 0), 0);
    close(pair[1]);
    finish(&s);
}

enum { SECRET = 48 };

/* Sends the text with the secret behind it, twice where it says so; nothing of it stays here. */
static void send_secret(int fd, const struct residue *r, const char *before, const char *between)
{
    char out[1024];
    size_t n = strlen(before), more = between ? strlen(between) : 0;
    memcpy(out, before, n);
    residue_reveal(r, out + n);
    n += SECRET;
    if (between) {
        memcpy(out + n, between, more);
        residue_reveal(r, out + n + more);
        n += more + SECRET;
    }
    cr_assert_eq(send(fd, out, n, 0), (ssize_t)n);
    sodium_memzero(out, sizeof out);
}

static void read_and_forget(struct scene *s, int fd, size_t least)
{
    char in[4096];
    bool eof;
    size_t n = eg_bed_read(&s->bed, fd, in, least, &eof);
    cr_assert_geq(n, least, "%zu", n);
    sodium_memzero(in, sizeof in);
}

/* A client's secret and its token pass through a worker, and leave nothing there. */
Test(proxy, own_client_leaves_no_secret_behind)
{
    struct scene s;
    struct residue sent, got;
    setup(&s);
    residue_choose(&sent, SECRET);
    residue_choose(&got, SECRET);
    int fd = own_client(&s);
    send_secret(fd, &sent,
                "POST " TARGET " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                "Content-Length: 48\r\nAuthorization: Basic ",
                "\r\n\r\n");
    struct eg_sockaddr peer;
    int origin = -1;
    uint64_t end = eg_clock_ms() + 30000;
    while (eg_sock_accept(s.origin, &origin, &peer, NULL) != EG_OK && eg_clock_ms() < end)
        eg_bed_turn(&s.bed, 1);
    cr_assert_geq(origin, 0);
    read_and_forget(&s, origin, 185); /* but for the last of it at most */
    send_secret(origin, &got, "HTTP/1.1 200 OK\r\nContent-Length: 48\r\nX-Token: ", "\r\n\r\n");
    read_and_forget(&s, fd, 150);
    close(fd);
    cr_expect(eg_bed_quiet(&s.bed));
    eg_bed_turn(&s.bed, 0);
    cr_expect_eq(residue_count(&sent), 0, "%u", residue_count(&sent));
    cr_expect_eq(residue_count(&got), 0, "%u", residue_count(&got));
    close(origin);
    finish(&s);
}
