/* proxy_hello.c - the first flight: names, records, refusals; each hello is also fed byte by byte. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "proxy/hello.h"

struct bytes {
    unsigned char p[20000];
    size_t n;
};

static void put(struct bytes *b, const void *p, size_t n)
{
    cr_assert(b->n + n <= sizeof b->p);
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

static void put16(struct bytes *b, size_t v)
{
    unsigned char p[2] = { (unsigned char)(v >> 8), (unsigned char)v };
    put(b, p, 2);
}

/* One extension of type server_name with `count` times the name, of that type. */
static void put_sni(struct bytes *b, const char *name, unsigned char type, int count)
{
    size_t n = strlen(name), list = (size_t)count * (n + 3);
    put16(b, 0);
    put16(b, list + 2);
    put16(b, list);
    for (int i = 0; i < count; i++) {
        put(b, &type, 1);
        put16(b, n);
        put(b, name, n);
    }
}

/* A ClientHello as a handshake message with these extensions (NULL: none at all). */
static void client_hello(struct bytes *ret, const struct bytes *extensions)
{
    struct bytes body = { .n = 0 };
    unsigned char fixed[34] = { 3, 3 };
    put(&body, fixed, sizeof fixed);
    put(&body, "\x00\x00\x02\x13\x01\x01\x00", 7);
    if (extensions) {
        put16(&body, extensions->n);
        put(&body, extensions->p, extensions->n);
    }
    unsigned char head[4] = { 1, 0, (unsigned char)(body.n >> 8), (unsigned char)body.n };
    ret->n = 0;
    put(ret, head, 4);
    put(ret, body.p, body.n);
}

static void records(struct bytes *ret, const struct bytes *message, size_t each)
{
    ret->n = 0;
    for (size_t at = 0; at < message->n; at += each) {
        size_t n = message->n - at < each ? message->n - at : each;
        put(ret, "\x16\x03\x01", 3);
        put16(ret, n);
        put(ret, message->p + at, n);
    }
}

/* Parses whole, and checks that every prefix says "more" or the same. */
static struct eg_hello parse(const struct bytes *b)
{
    struct eg_hello whole, part;
    eg_hello_parse((const char *)b->p, b->n, &whole);
    for (size_t n = 0; n < b->n; n++) {
        eg_hello_parse((const char *)b->p, n, &part);
        cr_assert(part.kind == EG_HELLO_MORE || part.kind == whole.kind, "at %zu", n);
    }
    return whole;
}

static struct eg_hello parse_sni(const char *name, unsigned char type, int count, size_t each)
{
    struct bytes extensions = { .n = 0 }, message, wire;
    put(&extensions, "\x00\x2b\x00\x03\x02\x03\x04", 7);
    put_sni(&extensions, name, type, count);
    client_hello(&message, &extensions);
    records(&wire, &message, each);
    return parse(&wire);
}

Test(proxy, hello_names_the_host, .timeout = 60)
{
    for (size_t each = 1; each < 90; each++) { /* over any number of records */
        struct eg_hello h = parse_sni("API.Example.test", 0, 1, each);
        cr_assert(h.kind == EG_HELLO_TLS && h.has_sni && h.sni_valid);
        cr_assert(eg_slice_eq(eg_authority_host(&h.sni), EG_SLICE("api.example.test")));
    }
}

Test(proxy, hello_with_a_bad_name_is_not_valid, .timeout = 60)
{
    const char *bad[] = { "", "a b", "1.2.3.4", "[::1]", "a..b", "a_b\x01", "-a", "evil.test/" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct eg_hello h = parse_sni(bad[i], 0, 1, 500);
        cr_assert(h.kind == EG_HELLO_TLS && h.has_sni && !h.sni_valid, "%s", bad[i]);
    }
}

Test(proxy, hello_with_two_names_or_another_type_is_not_valid, .timeout = 60)
{
    struct eg_hello two = parse_sni("a.test", 0, 2, 500), other = parse_sni("a.test", 1, 1, 500);
    cr_assert(two.has_sni && !two.sni_valid);
    cr_assert(other.has_sni && !other.sni_valid);
}

Test(proxy, hello_with_two_server_name_extensions_is_refused, .timeout = 60)
{
    struct bytes extensions = { .n = 0 }, message, wire;
    put_sni(&extensions, "a.test", 0, 1);
    put_sni(&extensions, "b.test", 0, 1);
    client_hello(&message, &extensions);
    records(&wire, &message, 500);
    cr_assert(parse(&wire).kind == EG_HELLO_OTHER);
}

Test(proxy, hello_without_a_name, .timeout = 60)
{
    struct bytes message, wire, none = { .n = 0 };
    client_hello(&message, NULL);
    records(&wire, &message, 500);
    struct eg_hello h = parse(&wire);
    cr_assert(h.kind == EG_HELLO_TLS && !h.has_sni);
    client_hello(&message, &none);
    records(&wire, &message, 500);
    h = parse(&wire);
    cr_assert(h.kind == EG_HELLO_TLS && !h.has_sni);
}

Test(proxy, hello_lengths_that_lie_are_refused, .timeout = 60)
{
    struct bytes extensions = { .n = 0 }, message, wire;
    put_sni(&extensions, "api.example.test", 0, 1);
    client_hello(&message, &extensions);
    for (size_t at = 4; at < message.n; at++) { /* every byte of the message, in turn, as 0xff */
        struct bytes lie = message;
        struct eg_hello h;
        lie.p[at] = 0xff;
        records(&wire, &lie, 700);
        eg_hello_parse((const char *)wire.p, wire.n, &h);
        cr_assert(h.kind == EG_HELLO_TLS || h.kind == EG_HELLO_OTHER);
        cr_assert(!h.sni_valid || h.kind != EG_HELLO_TLS ||
                  h.sni.host_len == strlen("api.example.test"));
    }
}

Test(proxy, hello_that_is_no_handshake_is_refused, .timeout = 60)
{
    static const struct {
        const char *p;
        size_t n;
        enum eg_hello_kind kind;
    } rows[] = {
        { "", 0, EG_HELLO_MORE },
        { "\x16", 1, EG_HELLO_MORE },
        { "\x16\x02", 2, EG_HELLO_OTHER },
        { "\x16\x03\x05", 3, EG_HELLO_OTHER },
        { "\x16\x03\x01\x00\x00", 5, EG_HELLO_OTHER },
        { "\x16\x03\x01\x40\x01", 5, EG_HELLO_OTHER },
        { "\x16\x03\x01\x00\x01\x02", 6, EG_HELLO_OTHER },
        { "\x16\x03\x01\x00\x04\x01\xff\xff\xff", 9, EG_HELLO_OTHER },
        { "\x17\x03\x03\x00\x01\x00", 6, EG_HELLO_OTHER },
        { "GET", 3, EG_HELLO_MORE },
        { "GET /", 5, EG_HELLO_HTTP },
        { "M-SEARCH *", 10, EG_HELLO_HTTP },
        { " GET", 4, EG_HELLO_OTHER },
        { "get /", 5, EG_HELLO_OTHER },
        { "SSH-2.0-x", 9, EG_HELLO_OTHER },
        { "ABCDEFGHIJKLMNOPQRSTUV", 22, EG_HELLO_OTHER },
        { "\x05\x01\x00", 3, EG_HELLO_OTHER },
        { "\x80\x2e\x01", 3, EG_HELLO_OTHER },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct eg_hello h;
        eg_hello_parse(rows[i].p, rows[i].n, &h);
        cr_assert(h.kind == rows[i].kind, "row %zu: %d", i, h.kind);
    }
}

Test(proxy, hello_longer_than_the_ceiling_is_refused, .timeout = 60)
{
    struct bytes wire = { .n = 0 };
    struct eg_hello h;
    put(&wire, "\x16\x03\x01\x40\x00\x01\x00\x3f\xfd", 9); /* 4 + 16381 bytes: one too many */
    eg_hello_parse((const char *)wire.p, wire.n, &h);
    cr_assert(h.kind == EG_HELLO_OTHER);
}
