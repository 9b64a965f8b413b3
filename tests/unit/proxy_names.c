/* proxy_names.c - the captured child's resolver: questions as bytes, what is answered, what is remembered, and both sockets. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/sock.h"
#include "proxy/names.h"

/* ---- questions ---- */

#define HEAD(flags, counts) "\x12\x34" flags counts
#define ONE         "\0\1\0\0\0\0\0\0"
#define ASK         HEAD("\1\0", ONE)
#define A_IN        "\0\1\0\1"
#define NAME        "\3api\7example\0"
#define L63         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define L61         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define BYTES(text) text, sizeof(text) - 1

struct row {
    const char *what, *p;
    size_t n;
    enum eg_names_kind kind;
    int rcode;        /* of ERROR; of ASKED: of the answer */
    const char *name; /* NULL: no host's name */
};

static const struct row rows[] = {
    { "a name", BYTES(ASK NAME A_IN), EG_NAMES_ASKED, 0, "api.example" },
    { "upper case", BYTES(ASK "\3aPI\7EXAMPLE\0" A_IN), EG_NAMES_ASKED, 0, "api.example" },
    { "one label", BYTES(ASK "\2db\0" A_IN), EG_NAMES_ASKED, 0, "db" },
    { "an underscore", BYTES(ASK "\5_http\4_tcp\1a\0" "\0\x21\0\1"), EG_NAMES_ASKED, 0, "_http._tcp.a" },
    { "any class", BYTES(ASK NAME "\0\1\0\xff"), EG_NAMES_ASKED, 0, "api.example" },
    { "EDNS behind it", BYTES(HEAD("\1\0", "\0\1\0\0\0\0\0\1") NAME A_IN "\0\0\x29\4\xd0\0\0\0\0\0\0"), EG_NAMES_ASKED, 0, "api.example" },
    { "AD and CD", BYTES(HEAD("\1\x30", ONE) NAME A_IN), EG_NAMES_ASKED, 0, "api.example" },
    { "the longest name", BYTES(ASK "\x3f" L63 "\x3f" L63 "\x3f" L63 "\x3d" L61 "\0" A_IN), EG_NAMES_ASKED, 0, L63 "." L63 "." L63 "." L61 },
    { "the root", BYTES(ASK "\0" "\0\2\0\1"), EG_NAMES_ASKED, 3, NULL },
    { "a dot inside a label", BYTES(ASK "\x0b" "api.example\0" A_IN), EG_NAMES_ASKED, 3, NULL },
    { "a NUL inside a label", BYTES(ASK "\x0b" "api\0example\0" A_IN), EG_NAMES_ASKED, 3, NULL },
    { "a space", BYTES(ASK "\3a b\0" A_IN), EG_NAMES_ASKED, 3, NULL },
    { "a slash", BYTES(ASK "\3a/b\0" A_IN), EG_NAMES_ASKED, 3, NULL },
    { "a star", BYTES(ASK "\1*\7example\0" A_IN), EG_NAMES_ASKED, 3, NULL },
    { "octets above ASCII", BYTES(ASK "\3\xc3\xa4x\0" A_IN), EG_NAMES_ASKED, 3, NULL },
    { "a hyphen first", BYTES(ASK "\2-a\0" A_IN), EG_NAMES_ASKED, 3, NULL },
    { "an address", BYTES(ASK "\3""127\1""0\1""0\1""1\0" A_IN), EG_NAMES_ASKED, 3, NULL },
    { "a number last", BYTES(ASK "\1a\1""7\0" A_IN), EG_NAMES_ASKED, 3, NULL },
    { "hexadecimal last", BYTES(ASK "\4""0x7f\0" A_IN), EG_NAMES_ASKED, 3, NULL },
    { "invalid", BYTES(ASK "\1x\7invalid\0" A_IN), EG_NAMES_ASKED, 3, "x.invalid" },
    { "onion", BYTES(ASK "\1x\5onion\0" A_IN), EG_NAMES_ASKED, 3, "x.onion" },
    { "another class", BYTES(ASK NAME "\0\1\0\3"), EG_NAMES_ERROR, EG_NAMES_REFUSED, NULL },
    { "an update", BYTES(HEAD("\x28\0", ONE) NAME A_IN), EG_NAMES_ERROR, EG_NAMES_NOTIMP, NULL },
    { "a status", BYTES(HEAD("\x10\0", ONE) NAME A_IN), EG_NAMES_ERROR, EG_NAMES_NOTIMP, NULL },
    { "cut short, it says", BYTES(HEAD("\3\0", ONE) NAME A_IN), EG_NAMES_ERROR, EG_NAMES_FORMERR, NULL },
    { "no question", BYTES(HEAD("\1\0", "\0\0\0\0\0\0\0\0")), EG_NAMES_ERROR, EG_NAMES_FORMERR, NULL },
    { "two questions", BYTES(HEAD("\1\0", "\0\2\0\0\0\0\0\0") NAME A_IN NAME A_IN), EG_NAMES_ERROR, EG_NAMES_FORMERR, NULL },
    { "an answer in it", BYTES(HEAD("\1\0", "\0\1\0\1\0\0\0\0") NAME A_IN), EG_NAMES_ERROR, EG_NAMES_FORMERR, NULL },
    { "authority in it", BYTES(HEAD("\1\0", "\0\1\0\0\0\1\0\0") NAME A_IN), EG_NAMES_ERROR, EG_NAMES_FORMERR, NULL },
    { "bytes behind it", BYTES(ASK NAME A_IN "x"), EG_NAMES_ERROR, EG_NAMES_FORMERR, NULL },
    { "compression", BYTES(ASK "\xc0\x0c" A_IN), EG_NAMES_ERROR, EG_NAMES_FORMERR, NULL },
    { "compression later", BYTES(ASK "\3api\xc0\x0c" A_IN), EG_NAMES_ERROR, EG_NAMES_FORMERR, NULL },
    { "a label of 64", BYTES(ASK "\x40" L63 "a\0" A_IN), EG_NAMES_ERROR, EG_NAMES_FORMERR, NULL },
    { "a name of 256", BYTES(ASK "\x3f" L63 "\x3f" L63 "\x3f" L63 "\x3e" L61 "a\0" A_IN), EG_NAMES_ERROR, EG_NAMES_FORMERR, NULL },
    { "a label without its end", BYTES(ASK "\x3f" "api"), EG_NAMES_ERROR, EG_NAMES_FORMERR, NULL },
    { "a name without its end", BYTES(ASK "\3api"), EG_NAMES_ERROR, EG_NAMES_FORMERR, NULL },
    { "no type", BYTES(ASK NAME), EG_NAMES_ERROR, EG_NAMES_FORMERR, NULL },
    { "half a class", BYTES(ASK NAME "\0\1\0"), EG_NAMES_ERROR, EG_NAMES_FORMERR, NULL },
    { "an answer", BYTES(HEAD("\x81\0", ONE) NAME A_IN), EG_NAMES_DROP, 0, NULL },
    { "half a head", BYTES("\x12\x34\1\0\0\1\0\0\0\0\0"), EG_NAMES_DROP, 0, NULL },
    { "nothing", BYTES(""), EG_NAMES_DROP, 0, NULL },
};

static unsigned u16(const char *p)
{
    return (unsigned)(unsigned char)p[0] << 8 | (unsigned char)p[1];
}

/* The bytes without one to spare, so that a read behind them is seen. */
static void parse(const char *p, size_t n, struct eg_names_question *q, char **copy)
{
    *copy = malloc(n ? n : 1);
    cr_assert(*copy);
    memcpy(*copy, p, n);
    eg_names_parse(*copy, n, q);
}

Test(names, questions)
{
    char out[EG_NAMES_ANSWER_MAX];
    struct eg_names *t;
    cr_assert(eg_names_new(&t) == EG_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        struct eg_names_question q;
        struct eg_names_answer a = { .rcode = EG_NAMES_NOERROR };
        char *copy;
        parse(r->p, r->n, &q, &copy);
        cr_expect(q.kind == r->kind, "%s: kind %d", r->what, (int)q.kind);
        if (q.kind == EG_NAMES_ASKED) {
            eg_names_answer_to(t, &q, &a);
            cr_expect(q.host == (r->name != NULL), "%s", r->what);
            if (r->name)
                cr_expect_str_eq(q.name.host, r->name, "%s", r->what);
            cr_expect((int)a.rcode == r->rcode, "%s: rcode %d", r->what, (int)a.rcode);
        }
        size_t n = eg_names_write(&q, &a, out);
        cr_expect((n == 0) == (r->kind == EG_NAMES_DROP), "%s", r->what);
        if (n > 0) {
            cr_expect(n >= EG_NAMES_HEAD && u16(out) == 0x1234 && (out[2] & 0x80) && (out[3] & 0x80), "%s", r->what);
            cr_expect((out[3] & 15) == r->rcode && u16(out + 4) == (r->kind == EG_NAMES_ASKED), "%s", r->what);
        }
        free(copy);
    }
    eg_names_free(t);
}

Test(names, every_cut_of_a_question_is_refused_or_dropped)
{
    static const char whole[] = ASK NAME A_IN;
    for (size_t n = 0; n < sizeof whole - 1; n++) {
        struct eg_names_question q;
        char *copy;
        parse(whole, n, &q, &copy);
        cr_expect(q.kind == (n < EG_NAMES_HEAD ? EG_NAMES_DROP : EG_NAMES_ERROR), "%zu", n);
        free(copy);
    }
}

/* ---- answers ---- */

static size_t ask(struct eg_names *t, const char *host, unsigned type, char out[EG_NAMES_ANSWER_MAX])
{
    char text[300] = ASK;
    size_t n = EG_NAMES_HEAD;
    for (const char *p = host; *p; p += strcspn(p, ".") + (p[strcspn(p, ".")] == '.')) {
        size_t label = strcspn(p, ".");
        text[n++] = (char)label;
        memcpy(text + n, p, label);
        n += label;
    }
    text[n++] = 0;
    const char tail[] = { (char)(type >> 8), (char)type, 0, 1 };
    memcpy(text + n, tail, 4);
    struct eg_names_question q;
    struct eg_names_answer a;
    eg_names_parse(text, n + 4, &q);
    cr_assert(q.kind == EG_NAMES_ASKED);
    eg_names_answer_to(t, &q, &a);
    return eg_names_write(&q, &a, out);
}

static const char *tail_of(const char *out, size_t n, size_t tail)
{
    cr_assert(n > EG_NAMES_HEAD + tail);
    return out + n - tail;
}

Test(names, types)
{
    char out[EG_NAMES_ANSWER_MAX];
    struct eg_names *t;
    struct eg_authority name;
    cr_assert(eg_names_new(&t) == EG_OK);
    size_t n = ask(t, "api.example", EG_NAMES_A, out);
    cr_expect(u16(out + 6) == 1 && memcmp(tail_of(out, n, 16), "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc6\x12\1\1", 16) == 0);
    n = ask(t, "API.example", EG_NAMES_ANY, out);
    cr_expect(u16(out + 6) == 1 && memcmp(tail_of(out, n, 4), "\xc6\x12\1\1", 4) == 0, "the same one");
    static const unsigned others[] = { 2, 5, 6, 15, 16, EG_NAMES_AAAA, 33, 64, 65, 257 };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        n = ask(t, "new.example", others[i], out);
        cr_expect((out[3] & 15) == 0 && u16(out + 6) == 0 && n > 0, "type %u: no record, and no error", others[i]);
    }
    cr_expect_eq(eg_names_count(t), 1, "who asks for another type asks for no address");
    n = ask(t, "localhost", EG_NAMES_A, out);
    cr_expect(memcmp(tail_of(out, n, 4), "\x7f\0\0\1", 4) == 0);
    n = ask(t, "a.localhost", EG_NAMES_AAAA, out);
    cr_expect(memcmp(tail_of(out, n, 16), "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16) == 0);
    n = ask(t, "1.1.18.198.in-addr.arpa", EG_NAMES_PTR, out);
    cr_expect(u16(out + 6) == 1 && memcmp(tail_of(out, n, 13), "\3api\7example\0", 13) == 0);
    n = ask(t, "1.0.0.127.in-addr.arpa", EG_NAMES_PTR, out);
    cr_expect(memcmp(tail_of(out, n, 11), "\x09localhost\0", 11) == 0);
    static const char *const unknown[] = { "2.1.18.198.in-addr.arpa", "1.1.1.10.in-addr.arpa", "01.1.18.198.in-addr.arpa",
                                           "1.18.198.in-addr.arpa", "b.a.9.8.ip6.arpa", "ipv4only.arpa" };
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        (void)ask(t, unknown[i], EG_NAMES_PTR, out);
        cr_expect((out[3] & 15) == EG_NAMES_NXDOMAIN && u16(out + 6) == 0, "%s", unknown[i]);
    }
    cr_expect(eg_names_name(t, &(struct eg_addr){ 4, { 198, 18, 1, 1 } }, &name) && strcmp(name.host, "api.example") == 0 && !name.literal);
    cr_expect(!eg_names_name(t, &(struct eg_addr){ 4, { 198, 18, 1, 2 } }, &name));
    cr_expect(!eg_names_name(t, &(struct eg_addr){ 4, { 10, 18, 1, 1 } }, &name));
    cr_expect(!eg_names_name(t, &(struct eg_addr){ 6, { 198, 18, 1, 1 } }, &name));
    eg_names_free(t);
}

/* ---- what is remembered ---- */

static struct eg_addr address(struct eg_names *t, const char *name_of, unsigned i)
{
    char text[64];
    struct eg_authority name;
    struct eg_addr a;
    snprintf(text, sizeof text, "%s%u.example", name_of, i);
    cr_assert(eg_host_parse(eg_slice_str(text), &name, NULL) == EG_OK && eg_names_address(t, &name, &a) == EG_OK);
    return a;
}

Test(names, the_least_recently_used_makes_room)
{
    struct eg_names *t;
    struct eg_authority name;
    cr_assert(eg_names_new(&t) == EG_OK);
    struct eg_addr kept = address(t, "kept", 0), old = address(t, "old", 0);
    for (unsigned i = 0; i < 3 * EG_NAMES_MAX; i++) {
        struct eg_addr a = address(t, "n", i);
        cr_assert(eg_names_covers(&a) && a.b[3] != 0 && a.b[3] != 255 && !eg_addr_eq(&a, &kept));
        cr_assert(eg_names_name(t, &kept, &name), "whoever is used stays");
    }
    cr_expect_eq(eg_names_count(t), EG_NAMES_MAX);
    cr_expect_str_eq(name.host, "kept0.example");
    cr_expect(!eg_names_name(t, &old, &name), "and the other one is gone");
    eg_names_free(t);
}

/* The range is used up several times; an address is never two names'. */
Test(names, addresses_are_given_out_in_turn)
{
    struct eg_names *t;
    struct eg_authority name;
    char want[64];
    cr_assert(eg_names_new(&t) == EG_OK);
    struct eg_addr first = address(t, "n", 0);
    unsigned again = 0;
    for (unsigned i = 1; i < 280000; i++) {
        struct eg_addr a = address(t, "n", i);
        if (eg_addr_eq(&a, &first) && again == 0)
            again = i;
        snprintf(want, sizeof want, "n%u.example", i);
        if (i % 97 == 0)
            cr_assert(eg_names_name(t, &a, &name) && strcmp(name.host, want) == 0);
    }
    cr_expect_gt(again, 120000, "an address that fell out is not another name's soon: %u", again);
    eg_names_free(t);
}

/* ---- the sockets ---- */

struct scene {
    struct eg_loop *loop;
    struct eg_names *names;
    struct eg_names_server *server;
    struct eg_sockaddr at;
};

static void serve(struct scene *s, bool stream)
{
    struct eg_sockaddr any = { { 4, { 127, 0, 0, 1 } }, 0 };
    struct eg_err err = { 0 };
    struct sockaddr_storage to;
    int fd = -1;
    cr_assert(eg_loop_new(&s->loop, &err) == EG_OK && eg_names_new(&s->names) == EG_OK);
    if (stream) {
        cr_assert(eg_sock_listen(&any, &fd, &s->at, &err) == EG_OK);
    } else {
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&to, eg_sockaddr_to(&any, &to)) == 0 && eg_sock_local(fd, &s->at));
    }
    cr_assert(eg_names_serve(s->loop, s->names, fd, stream, &s->server, &err) == EG_OK, "%s", err.text);
}

static void done(struct scene *s)
{
    eg_names_stop(s->server);
    cr_assert(eg_loop_tick(s->loop, 0, NULL) == EG_OK); /* what was buried */
    eg_names_free(s->names);
    eg_loop_free(s->loop);
}

static int call(const struct scene *s, int type)
{
    struct sockaddr_storage to;
    socklen_t n = eg_sockaddr_to(&s->at, &to);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0 && connect(fd, (struct sockaddr *)&to, n) == 0);
    return fd;
}

/* Ticks until n bytes are there or the end is: how many; -1 when neither comes. */
static ssize_t hear(struct scene *s, int fd, char *out, size_t n)
{
    uint64_t until = eg_clock_ms() + 20000;
    size_t have = 0;
    while (have < n && eg_clock_ms() < until) {
        ssize_t got = recv(fd, out + have, n - have, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return (ssize_t)have;
        have += got > 0 ? (size_t)got : 0;
        cr_assert(eg_loop_tick(s->loop, 1, NULL) == EG_OK);
    }
    return have == n ? (ssize_t)have : -1;
}

enum { QUESTION = EG_NAMES_HEAD + 13 + 4, ANSWER = QUESTION + 16 };

Test(names, datagrams)
{
    struct scene s;
    char out[EG_NAMES_ANSWER_MAX], big[EG_NAMES_QUESTION_MAX + 1] = ASK NAME A_IN;
    serve(&s, false);
    int fd = call(&s, SOCK_DGRAM);
    cr_assert(send(fd, "x", 1, 0) == 1 && send(fd, "", 0, 0) == 0 && send(fd, big, sizeof big, 0) == sizeof big);
    for (int i = 0; i < 100; i++) /* more than one tick's */
        cr_assert(send(fd, ASK NAME A_IN, QUESTION, 0) == QUESTION);
    for (int i = 0; i < 100; i++)
        cr_assert(hear(&s, fd, out, ANSWER) == ANSWER && memcmp(out + ANSWER - 4, "\xc6\x12\1\1", 4) == 0, "answer %d", i);
    cr_assert(recv(fd, out, sizeof out, MSG_DONTWAIT) < 0, "what is no question has no answer");
    close(fd);
    done(&s);
}

Test(names, stream_of_questions_however_it_is_cut)
{
    static const char two[] = "\0\x1d" ASK NAME A_IN "\0\x1d" ASK NAME A_IN;
    struct scene s;
    char out[2 * (2 + ANSWER)];
    serve(&s, true);
    for (size_t cut = 1; cut < sizeof two - 1; cut++) {
        int fd = call(&s, SOCK_STREAM);
        cr_assert(send(fd, two, cut, 0) == (ssize_t)cut);
        for (int i = 0; i < 3; i++)
            cr_assert(eg_loop_tick(s.loop, 1, NULL) == EG_OK);
        cr_assert(send(fd, two + cut, sizeof two - 1 - cut, MSG_NOSIGNAL) == (ssize_t)(sizeof two - 1 - cut));
        cr_assert(hear(&s, fd, out, sizeof out) == sizeof out, "cut at %zu", cut);
        cr_assert(u16(out) == ANSWER && memcmp(out, out + 2 + ANSWER, 2 + ANSWER) == 0);
        close(fd);
    }
    done(&s);
}

Test(names, stream_that_breaks_the_protocol_ends)
{
    static const struct {
        const char *p;
        size_t n;
    } bad[] = { { BYTES("\0\0") }, { BYTES("\0\x0b") }, { BYTES("\xff\xff") }, { BYTES("\0\x1d" HEAD("\x81\0", ONE) NAME A_IN) } };
    struct scene s;
    char out[8];
    serve(&s, true);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int fd = call(&s, SOCK_STREAM);
        cr_assert(send(fd, bad[i].p, bad[i].n, 0) == (ssize_t)bad[i].n);
        cr_expect_eq(hear(&s, fd, out, sizeof out), 0, "row %zu", i);
        close(fd);
    }
    done(&s);
}

Test(names, streams_have_a_ceiling)
{
    enum { MANY = 80, KEPT = 64 };
    struct scene s;
    char out[2 + ANSWER];
    int fds[MANY], served = 0, ended = 0;
    serve(&s, true);
    for (int i = 0; i < MANY; i++)
        fds[i] = call(&s, SOCK_STREAM);
    for (int i = 0; i < 4 * MANY; i++)
        cr_assert(eg_loop_tick(s.loop, 0, NULL) == EG_OK);
    for (int i = 0; i < MANY; i++) {
        (void)!send(fds[i], "\0\x1d" ASK NAME A_IN, 2 + QUESTION, MSG_NOSIGNAL);
        ssize_t n = hear(&s, fds[i], out, sizeof out);
        served += n == sizeof out;
        ended += n == 0;
    }
    cr_expect(served == KEPT && ended == MANY - KEPT, "%d served, %d ended", served, ended);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    done(&s);
}
