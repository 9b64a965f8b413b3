/* What a SOCKS5 proxy may answer, and what it is told: each exchange whole, byte by byte, and cut at every place. */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/secret.h"
#include "stream/stream.h"
#include "support/duo.h"
#include "support/flaky.h"
#include "support/residue.h"

/* The text of a literal and its length: the answers hold NULs. */
#define BYTES(literal) "" literal, sizeof(literal) - 1

struct row {
    const char *said;
    size_t n;
    enum eg_status expected;
    const char *says; /* in err; or what the tunnel's first bytes are */
    bool open;        /* the proxy does not close after it */
};

#define NAME16 "abcdefghijklmnop"
#define NAME255                                                                                    \
    NAME16 NAME16 NAME16 NAME16 NAME16 NAME16 NAME16 NAME16 NAME16 NAME16 NAME16 NAME16 NAME16     \
        NAME16 NAME16 "abcdefghijklmno"
#define V4    "\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38"
#define V6    "\x05\x00\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x01\xbb"
#define ANON  "\x05\x00"
#define LOGIN "\x05\x02\x01\x00"

static const struct row anonymous[] = {
    /* taken */
    { BYTES(ANON V4), EG_OK, "", false },
    { BYTES(ANON V6), EG_OK, "", false },
    { BYTES(ANON "\x05\x00\x00\x03\x04host\x00\x50"), EG_OK, "", false },
    { BYTES(ANON "\x05\x00\x00\x03\x01h\x00\x00"), EG_OK, "", false },
    { BYTES(ANON "\x05\x00\x00\x03\x00\x00\x00"), EG_OK, "", false },
    { BYTES(ANON "\x05\x00\x00\x03\xff" NAME255 "\xff\xff"), EG_OK, "", false },
    { BYTES(ANON "\x05\x00\x00\x03\x03\x00\r\n\x00\x50"), EG_OK, "", false },
    { BYTES(ANON "\x05\x00\x00\x01\0\0\0\0\0\0"), EG_OK, "", false },
    { BYTES(ANON V4 "SSH-2.0-x\r\n"), EG_OK, "SSH-2.0-x\r\n", false },
    { BYTES(ANON V6 "\x16\x03\x01"), EG_OK, "\x16\x03\x01", false },
    { BYTES(ANON "\x05\x00\x00\x03\x01h\x00\x50tail"), EG_OK, "tail", false },
    { BYTES(ANON V4 V4), EG_OK, "\x05", false },
    { BYTES(ANON V4), EG_OK, "", true },
    /* cut short */
    { BYTES(""), EG_UPSTREAM_PROXY_FAILED, "closed", false },
    { BYTES("\x05"), EG_UPSTREAM_PROXY_FAILED, "closed", false },
    { BYTES(ANON), EG_UPSTREAM_PROXY_FAILED, "closed", false },
    { BYTES(ANON "\x05"), EG_UPSTREAM_PROXY_FAILED, "closed", false },
    { BYTES(ANON "\x05\x00"), EG_UPSTREAM_PROXY_FAILED, "closed", false },
    { BYTES(ANON "\x05\x00\x00"), EG_UPSTREAM_PROXY_FAILED, "closed", false },
    { BYTES(ANON "\x05\x00\x00\x01"), EG_UPSTREAM_PROXY_FAILED, "closed", false },
    { BYTES(ANON "\x05\x00\x00\x01\x7f\x00\x00\x01\x04"), EG_UPSTREAM_PROXY_FAILED, "closed",
      false },
    { BYTES(ANON "\x05\x00\x00\x04\x7f\x00\x00\x01\x04\x38"), EG_UPSTREAM_PROXY_FAILED, "closed",
      false },
    { BYTES(ANON "\x05\x00\x00\x03"), EG_UPSTREAM_PROXY_FAILED, "closed", false },
    { BYTES(ANON "\x05\x00\x00\x03\x05host"), EG_UPSTREAM_PROXY_FAILED, "closed", false },
    { BYTES(ANON "\x05\x00\x00\x03\xff" NAME16), EG_UPSTREAM_PROXY_FAILED, "closed", false },
    { BYTES(ANON "\x05\x00\x00\x03\x04host\x00"), EG_UPSTREAM_PROXY_FAILED, "closed", false },
    /* not done yet */
    { BYTES(""), EG_AGAIN, "", true },
    { BYTES("\x05"), EG_AGAIN, "", true },
    { BYTES(ANON), EG_AGAIN, "", true },
    { BYTES(ANON "\x05\x00\x00\x03\x04hos"), EG_AGAIN, "", true },
    /* other protocols and versions */
    { BYTES("\x04\x00"), EG_UPSTREAM_PROXY_FAILED, "SOCKS4", true },
    { BYTES("\x00\x5a\0\0\0\0\0\0"), EG_UPSTREAM_PROXY_FAILED, "SOCKS4", true },
    { BYTES("\x06\x00"), EG_UPSTREAM_PROXY_FAILED, "does not speak SOCKS5", true },
    { BYTES("HTTP/1.1 400 Secret\r\n\r\n"), EG_UPSTREAM_PROXY_FAILED, "speaks HTTP", true },
    { BYTES("\x15\x03\x01\x00\x02\x02\x28"), EG_UPSTREAM_PROXY_FAILED, "speaks TLS", true },
    { BYTES("SSH-2.0-Secret\r\n"), EG_UPSTREAM_PROXY_FAILED, "does not speak SOCKS5", true },
    { BYTES(ANON "\x04\x00\x00\x01\0\0\0\0\0\0"), EG_UPSTREAM_PROXY_FAILED, "SOCKS4", true },
    { BYTES(ANON "\x01\x00"), EG_UPSTREAM_PROXY_FAILED, "does not speak SOCKS5", true },
    /* methods */
    { BYTES("\x05\xff"), EG_UPSTREAM_PROXY_AUTH, "wants a login", true },
    { BYTES("\x05\x02"), EG_UPSTREAM_PROXY_FAILED, "not offered", true },
    { BYTES("\x05\x01"), EG_UPSTREAM_PROXY_FAILED, "not offered", true },
    { BYTES("\x05\x80"), EG_UPSTREAM_PROXY_FAILED, "not offered", true },
    /* malformed replies */
    { BYTES(ANON "\x05\x00\x01\x01\0\0\0\0\0\0"), EG_UPSTREAM_PROXY_FAILED, "malformed", true },
    { BYTES(ANON "\x05\x00\xff\x01"), EG_UPSTREAM_PROXY_FAILED, "malformed", true },
    { BYTES(ANON "\x05\x00\x00\x00\0\0\0\0\0\0"), EG_UPSTREAM_PROXY_FAILED, "address type", true },
    { BYTES(ANON "\x05\x00\x00\x02\0\0\0\0\0\0"), EG_UPSTREAM_PROXY_FAILED, "address type", true },
    { BYTES(ANON "\x05\x00\x00\x05\0\0\0\0\0\0"), EG_UPSTREAM_PROXY_FAILED, "address type", true },
    { BYTES(ANON "\x05\x00\x00\xff"), EG_UPSTREAM_PROXY_FAILED, "address type", true },
    { BYTES(ANON "\x05\x09\x00\x01\0\0\0\0\0\0"), EG_UPSTREAM_PROXY_FAILED, "0x09", true },
    { BYTES(ANON "\x05\xff"), EG_UPSTREAM_PROXY_FAILED, "0xff", true },
    /* refusals: whole, of another form, and of proxies that close after the code */
    { BYTES(ANON "\x05\x01\x00\x01\0\0\0\0\0\0"), EG_UPSTREAM_PROXY_REFUSED, "general", true },
    { BYTES(ANON "\x05\x02\x00\x01\0\0\0\0\0\0"), EG_UPSTREAM_PROXY_REFUSED, "not allowed", true },
    { BYTES(ANON "\x05\x03\x00\x01\0\0\0\0\0\0"), EG_UPSTREAM_PROXY_REFUSED, "network unreach",
      true },
    { BYTES(ANON "\x05\x04\x00\x01\0\0\0\0\0\0"), EG_UPSTREAM_PROXY_REFUSED, "host unreachable",
      true },
    { BYTES(ANON "\x05\x05\x00\x01\0\0\0\0\0\0"), EG_UPSTREAM_PROXY_REFUSED, "connection refused",
      false },
    { BYTES(ANON "\x05\x06\x00\x01\0\0\0\0\0\0"), EG_UPSTREAM_PROXY_REFUSED, "TTL", false },
    { BYTES(ANON "\x05\x07\x00\x01\0\0\0\0\0\0"), EG_UPSTREAM_PROXY_REFUSED, "command", false },
    { BYTES(ANON "\x05\x08\x00\x03\x02hi\0\0"), EG_UPSTREAM_PROXY_REFUSED, "address type", false },
    { BYTES(ANON "\x05\x05"), EG_UPSTREAM_PROXY_REFUSED, "connection refused", false },
    { BYTES(ANON "\x05\x04\xff\xff"), EG_UPSTREAM_PROXY_REFUSED, "host unreachable", false },
};

static const struct row with_login[] = {
    { BYTES(LOGIN V4), EG_OK, "", false },
    { BYTES(LOGIN V6 "abc"), EG_OK, "abc", false },
    { BYTES(ANON V4 "abc"), EG_OK, "abc", false }, /* it needs no login */
    { BYTES("\x05\xff"), EG_UPSTREAM_PROXY_AUTH, "takes no user name", true },
    { BYTES("\x05\x01"), EG_UPSTREAM_PROXY_FAILED, "not offered", true },
    { BYTES("\x05\x03"), EG_UPSTREAM_PROXY_FAILED, "not offered", true },
    { BYTES("\x05\x02\x01\x01"), EG_UPSTREAM_PROXY_AUTH, "refused the user name", true },
    { BYTES("\x05\x02\x01\xff"), EG_UPSTREAM_PROXY_AUTH, "refused the user name", false },
    { BYTES("\x05\x02\x05\x00"), EG_UPSTREAM_PROXY_FAILED, "answer to the login", true },
    { BYTES("\x05\x02\x00\x00"), EG_UPSTREAM_PROXY_FAILED, "answer to the login", true },
    { BYTES("\x05\x02"), EG_UPSTREAM_PROXY_FAILED, "closed", false },
    { BYTES("\x05\x02\x01"), EG_UPSTREAM_PROXY_FAILED, "closed", false },
    { BYTES(LOGIN), EG_UPSTREAM_PROXY_FAILED, "closed", false },
    { BYTES("\x05\x02\x01"), EG_AGAIN, "", true },
    { BYTES(LOGIN), EG_AGAIN, "", true },
    { BYTES(LOGIN "\x05\x05\x00\x01\0\0\0\0\0\0"), EG_UPSTREAM_PROXY_REFUSED, "refused", true },
};

static struct eg_vault *vault;

static void enter(void)
{
    cr_assert_geq(sodium_init(), 0);
    cr_assert_eq(eg_vault_new(&vault, 8192, false, NULL, NULL), EG_OK);
}

static void leave(void)
{
    eg_vault_free(vault);
}

#define SOCKS(name) Test(stream, name, .init = enter, .fini = leave)

static struct eg_secret *secret(const void *p, size_t n)
{
    struct eg_secret *s = NULL;
    cr_assert_eq(eg_secret_new(vault, p, n, &s, NULL), EG_OK);
    return s;
}

static struct eg_authority target(const char *text)
{
    struct eg_authority a;
    cr_assert_eq(eg_authority_parse(eg_slice_str(text), 0, &a, NULL), EG_OK, "%s", text);
    return a;
}

static enum eg_status step(struct eg_stream *s, enum eg_status r, unsigned times,
                           struct eg_err *err)
{
    for (unsigned i = 0; i < times && r == EG_AGAIN; i++)
        r = eg_stream_connect(s, err);
    return r;
}

/* Feeds the first `cut` bytes, then one by one or the rest at once. */
static void ask(const struct row *row, const struct eg_secret *login, size_t cut, bool single,
                uint64_t seed, const char *where)
{
    struct eg_stream *a = NULL;
    struct eg_stream *b = NULL;
    struct eg_err err = { 0 };
    struct eg_authority to = target("api.example.test:443");
    unsigned times = seed ? 400 : 4;
    cr_assert_eq(eg_stream_mem(2000, &a, &b), EG_OK);
    if (seed)
        cr_assert_eq(flaky_stream(a, seed, 40, 7, &a), EG_OK);
    cr_assert_eq(eg_stream_socks5(a, &to, login, &a), EG_OK);
    enum eg_status r = step(a, EG_AGAIN, times, &err);
    for (size_t at = 0; at < row->n;) {
        size_t n = at == 0 && cut ? cut : single ? 1 : row->n - at;
        cr_assert_eq(duo_put(b, row->said + at, n), EG_OK);
        at += n;
        r = step(a, r, times, &err);
    }
    if (!row->open)
        cr_assert_eq(eg_stream_shut(b, NULL), EG_OK);
    r = step(a, r, times, &err);
    cr_expect_eq(r, row->expected, "%s: %s (%s)", where, egress_status_name(r), err.text);
    if (r == EG_OK) {
        char got[64] = "";
        size_t total = 0;
        size_t n = 0;
        while (total < sizeof got - 1 &&
               duo_recv(a, got + total, sizeof got - 1 - total, &n, NULL) == EG_OK)
            total += n;
        cr_expect_str_eq(got, row->says, "%s", where);
    } else if (r != EG_AGAIN) {
        cr_expect(strstr(err.text, row->says) && !strstr(err.text, "Secret"), "%s: %s", where,
                  err.text);
        cr_expect(err.layer && strcmp(err.layer, "socks5") == 0 && err.status == r, "%s", where);
        if (!seed)
            cr_expect_eq(eg_stream_connect(a, NULL), r, "%s: and stays so", where);
    }
    eg_stream_free(a);
    eg_stream_free(b);
}

static void ask_each(const struct row *rows, size_t count, const struct eg_secret *login)
{
    char where[64];
    for (size_t i = 0; i < count; i++) {
        snprintf(where, sizeof where, "row %zu, byte by byte", i);
        ask(&rows[i], login, 0, true, 0, where);
        for (size_t cut = 0; cut < rows[i].n && cut < 40; cut++) {
            snprintf(where, sizeof where, "row %zu, cut at %zu", i, cut);
            ask(&rows[i], login, cut, false, 0, where);
        }
        if (rows[i].n == 0)
            ask(&rows[i], login, 0, false, 0, where);
        for (uint64_t seed = 1; seed < 4; seed++) {
            snprintf(where, sizeof where, "row %zu, flaky %d", i, (int)seed);
            ask(&rows[i], login, 0, seed == 3, seed, where);
        }
    }
}

SOCKS(socks5_answers_without_a_login)
{
    ask_each(anonymous, sizeof anonymous / sizeof *anonymous, NULL);
}

SOCKS(socks5_answers_to_a_login)
{
    struct eg_secret *login = secret("user:Secret", 11);
    ask_each(with_login, sizeof with_login / sizeof *with_login, login);
    eg_secret_free(login);
}

/* ---- what the proxy is told ---- */

static void told(const char *to, const struct eg_secret *login, const char *answers,
                 size_t answers_n, const char *want, size_t want_n)
{
    struct eg_stream *a = NULL;
    struct eg_stream *b = NULL;
    char got[1200];
    size_t total = 0;
    size_t n = 0;
    struct eg_authority authority = target(to);
    cr_assert_eq(eg_stream_mem(2000, &a, &b), EG_OK);
    cr_assert_eq(eg_stream_socks5(a, &authority, login, &a), EG_OK);
    cr_assert_eq(eg_stream_connect(a, NULL), EG_AGAIN);
    cr_assert_eq(duo_put(b, answers, answers_n), EG_OK);
    cr_assert_eq(eg_stream_connect(a, NULL), EG_OK);
    while (eg_stream_recv(b, got + total, sizeof got - total, &n, NULL) == EG_OK)
        total += n;
    cr_expect(total == want_n && memcmp(got, want, want_n) == 0, "%s: %zu bytes, not %zu", to,
              total, want_n);
    eg_stream_free(a);
    eg_stream_free(b);
}

SOCKS(socks5_sends_names_as_names_and_addresses_as_addresses)
{
    static const char name[] = "\x05\x01\x00\x05\x01\x00\x03\x10"
                               "api.example.test\x01\xbb";
    static const char v4[] = "\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x20\xfb";
    static const char v6[] =
        "\x05\x01\x00\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50";
    told("api.example.test:443", NULL, BYTES(ANON V4), name, sizeof name - 1);
    told("192.0.2.1:8443", NULL, BYTES(ANON V4), v4, sizeof v4 - 1);
    told("[2001:db8::1]:80", NULL, BYTES(ANON V4), v6, sizeof v6 - 1);
    char longest[260] = "";
    char want[300] = "\x05\x01\x00\x05\x01\x00\x03\xfd";
    for (int i = 0; i < 127; i++)
        memcpy(longest + (size_t)i * 2, i < 126 ? "a." : "a", 2);
    memcpy(want + 2, "\x00\x05\x01\x00\x03\xfd", 6);
    memcpy(want + 8, longest, 253);
    memcpy(want + 261, "\x00\x07", 2);
    memcpy(longest + 253, ":7", 3);
    told(longest, NULL, BYTES(ANON V4), want, 263);
}

SOCKS(socks5_offers_a_login_only_when_there_is_one_and_tells_it_only_when_asked)
{
    struct eg_secret *login = secret("u:p:q", 5);
    told("192.0.2.1:80", login, BYTES(LOGIN V4),
         BYTES("\x05\x02\x00\x02\x01\x01u\x03p:q\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50"));
    told("192.0.2.1:80", login, BYTES(ANON V4),
         BYTES("\x05\x02\x00\x02\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50"));
    eg_secret_free(login);
}

static void login_of(size_t user, size_t password, enum eg_status expected, const char *says)
{
    char text[600];
    struct eg_stream *a = NULL;
    struct eg_stream *b = NULL;
    struct eg_err err = { 0 };
    struct eg_authority to = target("a.test:1");
    char first;
    size_t done;
    memset(text, 'S', sizeof text);
    text[user] = ':';
    struct eg_secret *login = secret(text, user + 1 + password);
    cr_assert_eq(eg_stream_mem(2000, &a, &b), EG_OK);
    cr_assert_eq(eg_stream_socks5(a, &to, login, &a), EG_OK);
    eg_secret_free(login);
    enum eg_status r = eg_stream_connect(a, &err);
    cr_expect_eq(r, expected, "%zu:%zu: %s", user, password, egress_status_name(r));
    if (expected == EG_AGAIN) {
        cr_assert_eq(duo_put(b, LOGIN V4, 14), EG_OK);
        cr_expect_eq(eg_stream_connect(a, NULL), EG_OK);
    } else {
        cr_expect(strstr(err.text, says) && !strstr(err.text, "SS"), "%s", err.text);
        cr_expect_eq(eg_stream_recv(b, &first, 1, &done, NULL), EG_AGAIN, "nothing was sent");
    }
    eg_stream_free(a);
    eg_stream_free(b);
}

SOCKS(socks5_names_the_field_of_a_login_that_does_not_fit)
{
    login_of(255, 255, EG_AGAIN, "");
    login_of(1, 1, EG_AGAIN, "");
    login_of(256, 1, EG_UPSTREAM_PROXY_AUTH,
             "the user name for the SOCKS proxy is longer than 255 bytes");
    login_of(1, 256, EG_UPSTREAM_PROXY_AUTH,
             "the password for the SOCKS proxy is longer than 255 bytes");
    login_of(0, 5, EG_UPSTREAM_PROXY_AUTH, "the user name for the SOCKS proxy is empty");
    login_of(5, 0, EG_UPSTREAM_PROXY_AUTH, "the password for the SOCKS proxy is empty");
}

SOCKS(socks5_login_is_wiped_when_sent_and_when_given_up)
{
    for (int given_up = 0; given_up < 2; given_up++) {
        struct residue r;
        struct eg_stream *a = NULL;
        struct eg_stream *b = NULL;
        struct eg_authority to = target("a.test:1");
        char text[RESIDUE_MAX + 2] = "u:";
        char sink[200];
        size_t n = 0;
        residue_choose(&r, 40);
        residue_reveal(&r, text + 2);
        struct eg_secret *login = secret(text, 42);
        sodium_memzero(text, sizeof text);
        cr_assert_eq(eg_stream_mem(2000, &a, &b), EG_OK);
        cr_assert_eq(eg_stream_socks5(a, &to, login, &a), EG_OK);
        cr_assert_eq(residue_count(&r), 2, "the vault's and the one to send");
        if (given_up) {
            eg_stream_free(a);
            a = NULL;
        } else {
            cr_assert_eq(eg_stream_connect(a, NULL), EG_AGAIN);
            cr_assert_eq(duo_put(b, "\x05\x02", 2), EG_OK);
            cr_assert_eq(eg_stream_connect(a, NULL), EG_AGAIN);
            cr_assert_eq(eg_stream_recv(b, sink, sizeof sink, &n, NULL), EG_OK);
            sodium_memzero(sink, sizeof sink);
            cr_expect_leq(residue_count(&r), 2, "the vault's, and the test's pipe");
        }
        eg_stream_free(a);
        eg_stream_free(b);
        if (given_up)
            cr_expect_eq(residue_count(&r), 1);
        eg_secret_free(login);
    }
}

SOCKS(socks5_is_transparent_once_connected)
{
    struct eg_stream *a = NULL;
    struct eg_stream *b = NULL;
    struct eg_authority to = target("a.test:1");
    struct eg_pollset set = { 0 };
    char byte;
    size_t n;
    int fds[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    cr_assert_eq(eg_stream_tcp(fds[0], &a), EG_OK);
    cr_assert_eq(eg_stream_tcp(fds[1], &b), EG_OK);
    cr_assert_eq(eg_stream_socks5(a, &to, NULL, &a), EG_OK);
    cr_assert_eq(eg_stream_raw_fd(a), -1, "not before it is connected");
    eg_stream_want(a, EG_IN, &set);
    cr_assert_eq(set.fds[0].events, EG_OUT, "it has to ask first");
    cr_assert_eq(eg_stream_connect(a, NULL), EG_AGAIN);
    memset(&set, 0, sizeof set);
    eg_stream_want(a, EG_OUT, &set);
    cr_assert_eq(set.fds[0].events, EG_IN);
    cr_assert_eq(duo_put(b, ANON V4 "x", 13), EG_OK);
    cr_assert_eq(eg_stream_connect(a, NULL), EG_OK);
    cr_assert_eq(eg_stream_raw_fd(a), fds[0], "splice may begin: it holds no byte back");
    cr_assert_eq(eg_stream_recv(a, &byte, 1, &n, NULL), EG_OK);
    cr_assert_eq(byte, 'x');
    cr_assert_eq(duo_recv(b, (char[16]){ 0 }, 16, &n, NULL), EG_OK);
    cr_assert_eq(duo_copy_both(a, b, 100000, 3), EG_OK);
    cr_assert_eq(duo_shut(a, b), EG_EOF);
    cr_assert_eq(duo_copy(b, a, 1000, 5), EG_OK, "half-closed");
    eg_stream_free(a);
    eg_stream_free(b);
}

/* ---- pipes ---- */

Test(stream, pipes_carry_bytes_and_half_close)
{
    int up[2];
    int down[2];
    struct eg_stream *a = NULL;
    struct eg_stream *b = NULL;
    struct eg_pollset set = { 0 };
    cr_assert_eq(pipe2(up, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(down, O_CLOEXEC), 0);
    cr_assert_eq(eg_stream_pipes(down[0], up[1], &a), EG_OK);
    cr_assert_eq(eg_stream_pipes(up[0], down[1], &b), EG_OK);
    cr_assert(fcntl(up[1], F_GETFL) & O_NONBLOCK);
    cr_assert_str_eq(a->ops->name, "ssh");
    cr_assert_eq(eg_stream_raw_fd(a), -1);
    eg_stream_want(a, EG_IN, &set);
    cr_assert(set.count == 1 && set.fds[0].fd == down[0] && set.fds[0].events == EG_IN);
    eg_stream_want(a, EG_OUT, &set);
    cr_assert(set.count == 2 && set.fds[1].fd == up[1] && set.fds[1].events == EG_OUT);
    cr_assert_neq(set.fds[0].tag, set.fds[1].tag);
    cr_assert_eq(duo_copy_both(a, b, 500000, 4), EG_OK, "more than a pipe holds");
    cr_assert_eq(duo_shut(a, b), EG_EOF);
    cr_assert_lt(fcntl(up[1], F_GETFD), 0, "closed");
    cr_assert_eq(eg_stream_shut(a, NULL), EG_OK, "once");
    memset(&set, 0, sizeof set);
    eg_stream_want(a, EG_IN | EG_OUT, &set);
    cr_assert_eq(set.count, 1);
    cr_assert_eq(duo_copy(b, a, 200000, 5), EG_OK, "the other direction is open");
    eg_stream_free(a);
    eg_stream_free(b);
    for (int i = 0; i < 2; i++)
        cr_assert(fcntl(up[i], F_GETFD) < 0 && fcntl(down[i], F_GETFD) < 0);
}

Test(stream, pipes_tell_that_the_reader_is_gone)
{
    int up[2];
    int down[2];
    struct eg_stream *a = NULL;
    struct eg_err err = { 0 };
    char byte;
    size_t n;
    signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(pipe2(up, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(down, O_CLOEXEC), 0);
    cr_assert_eq(eg_stream_pipes(down[0], up[1], &a), EG_OK);
    close(up[0]);
    cr_assert_eq(eg_stream_send(a, "x", 1, &n, &err), EG_CLOSED);
    cr_assert_str_eq(err.layer, "ssh");
    cr_assert_eq(eg_stream_recv(a, &byte, 1, &n, NULL), EG_AGAIN);
    close(down[1]);
    cr_assert_eq(eg_stream_recv(a, &byte, 1, &n, NULL), EG_EOF);
    eg_stream_free(a);
    cr_assert_eq(eg_stream_pipes(-1, -1, &a), EG_INVALID);
}

Test(stream, pipes_over_one_socket_are_closed_once)
{
    int fds[2];
    struct eg_stream *a = NULL;
    struct eg_stream *b = NULL;
    struct eg_pollset set = { 0 };
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    cr_assert_eq(eg_stream_pipes(fds[0], fds[0], &a), EG_OK);
    cr_assert_eq(eg_stream_pipes(fds[1], fds[1], &b), EG_OK);
    cr_assert_eq(eg_stream_raw_fd(a), fds[0]);
    eg_stream_want(a, EG_IN | EG_OUT, &set);
    cr_assert(set.count == 1 && set.fds[0].events == (EG_IN | EG_OUT));
    cr_assert_eq(duo_copy_both(a, b, 300000, 4), EG_OK);
    cr_assert_eq(duo_shut(a, b), EG_EOF);
    cr_assert_eq(duo_copy(b, a, 1000, 5), EG_OK);
    eg_stream_free(a);
    cr_assert_lt(fcntl(fds[0], F_GETFD), 0);
    cr_assert_geq(fcntl(fds[1], F_GETFD), 0);
    eg_stream_free(b);
}
