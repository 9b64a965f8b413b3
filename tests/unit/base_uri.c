/* base_uri.c - what the tables of tests/vectors can't say: every byte, every length, conversions,
 * untouched outputs. */
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/uri.h"

static struct eg_slice s(const char *text)
{
    return eg_slice_str(text);
}

static struct eg_addr addr_of(const char *text)
{
    struct eg_addr a = { 0 };
    cr_assert(eg_addr_parse(s(text), &a), "%s", text);
    return a;
}

static bool is_host_byte(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

Test(base, host_accepts_every_byte_of_the_grammar_and_no_other)
{
    for (int c = 0; c < 256; c++) {
        char text[] = "ab?cd.example";
        struct eg_authority a;
        text[2] = (char)c;
        enum eg_status st = eg_host_parse(eg_slice(text, sizeof text - 1), &a, NULL);
        cr_assert_eq(st, is_host_byte(c) ? EG_OK : EG_BAD_HOST, "0x%02x", c);
        char ends[] = "ab.example?";
        ends[10] = (char)c;
        st = eg_host_parse(eg_slice(ends, 11), &a, NULL);
        cr_assert_eq(st, is_host_byte(c) && c != '-' ? EG_OK : EG_BAD_HOST, "0x%02x", c);
    }
}

Test(base, host_is_lower_case)
{
    struct eg_authority a;
    cr_assert_eq(
        eg_host_parse(s("ABCDEFGHIJKLMNOPQRSTUVWXYZ-_0123456789.XN--MNCHEN-3YA.De"), &a, NULL),
        EG_OK);
    cr_expect_str_eq(a.host, "abcdefghijklmnopqrstuvwxyz-_0123456789.xn--mnchen-3ya.de");
    cr_expect_eq(a.host_len, strlen(a.host));
    cr_expect_not(a.literal);
    cr_expect_eq(a.addr.family, 0);
}

/* n bytes of labels of at most 63. */
static void long_name(char *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = i % 64 == 63 ? '.' : 'a';
    out[n] = '\0';
}

Test(base, host_lengths)
{
    char text[600];
    struct eg_authority a;
    for (size_t n = 1; n < 256; n++) {
        if (n % 64 == 0)
            continue; /* would end in a dot */
        long_name(text, n);
        enum eg_status want = n <= EG_HOST_MAX ? EG_OK : EG_BAD_HOST;
        cr_assert_eq(eg_host_parse(s(text), &a, NULL), want, "%zu", n);
        text[n] = '.';
        text[n + 1] = '\0';
        cr_assert_eq(eg_host_parse(s(text), &a, NULL), want, "%zu and a dot", n);
        cr_assert(want != EG_OK || a.host_len == n);
    }
    for (size_t n = 1; n < 300; n++) {
        memset(text, 'a', n);
        cr_assert_eq(eg_host_parse(eg_slice(text, n), &a, NULL), n <= 63 ? EG_OK : EG_BAD_HOST);
    }
}

Test(base, authority_longest_text_fits)
{
    char text[EG_AUTHORITY_TEXT];
    char name[EG_HOST_MAX + 1];
    struct eg_authority a;
    long_name(name, EG_HOST_MAX);
    cr_assert_eq(eg_authority_parse(s(name), 65535, &a, NULL), EG_OK);
    eg_authority_format(&a, 0, text, sizeof text);
    cr_expect_eq(strlen(text), EG_HOST_MAX + 6u);
    struct eg_addr v6 = addr_of("1111:2222:3333:4444:5555:6666:7777:8888");
    eg_authority_from_addr(&v6, 65535, &a);
    cr_expect_str_eq(eg_authority_format(&a, 0, text, sizeof text),
                     "[1111:2222:3333:4444:5555:6666:7777:8888]:65535");
    for (size_t cap = 1; cap < 60; cap++)
        cr_assert_lt(strlen(eg_authority_format(&a, 0, text, cap)), cap);
}

Test(base, authority_every_port)
{
    char text[40];
    struct eg_authority a;
    for (unsigned port = 0; port < 70000; port++) {
        snprintf(text, sizeof text, "h:%u", port);
        bool good = port >= 1 && port <= 65535;
        cr_assert_eq(eg_authority_parse(s(text), 0, &a, NULL), good ? EG_OK : EG_BAD_HOST, "%s",
                     text);
        cr_assert(!good || a.port == port);
    }
}

Test(base, authority_default_port)
{
    char text[EG_AUTHORITY_TEXT];
    struct eg_authority a;
    cr_assert_eq(eg_authority_parse(s("h"), 443, &a, NULL), EG_OK);
    cr_expect_eq(a.port, 443);
    cr_expect_not(a.port_given);
    cr_expect_str_eq(eg_authority_format(&a, 443, text, sizeof text), "h");
    cr_expect_str_eq(eg_authority_format(&a, 80, text, sizeof text), "h:443");
    cr_expect_str_eq(eg_authority_format(&a, 0, text, sizeof text), "h:443");
    cr_assert_eq(eg_authority_parse(s("h:443"), 443, &a, NULL), EG_OK);
    cr_expect(a.port_given);
}

Test(base, authority_equality)
{
    struct eg_authority a;
    struct eg_authority b;
    cr_assert_eq(eg_authority_parse(s("Example.COM.:443"), 0, &a, NULL), EG_OK);
    cr_assert_eq(eg_authority_parse(s("example.com"), 443, &b, NULL), EG_OK);
    cr_expect(eg_authority_eq(&a, &b));
    b.port = 444;
    cr_expect_not(eg_authority_eq(&a, &b));
    cr_assert_eq(eg_authority_parse(s("example.org"), 443, &b, NULL), EG_OK);
    cr_expect_not(eg_authority_eq(&a, &b));
    cr_assert_eq(eg_authority_parse(s("[0:0::1]"), 443, &a, NULL), EG_OK);
    struct eg_addr loop = addr_of("::1");
    eg_authority_from_addr(&loop, 443, &b);
    cr_expect(eg_authority_eq(&a, &b));
}

Test(base, uri_outputs_are_untouched_on_failure)
{
    struct eg_authority a;
    struct eg_authority was;
    struct eg_target t;
    struct eg_target t_was;
    struct eg_addr addr = addr_of("9.9.9.9");
    uint8_t bits = 77;
    const char *bad[] = { "", "a:b", "[::1", "1.2.3", "h:0", "h" };
    memset(&a, 0x5a, sizeof a);
    memset(&t, 0x5a, sizeof t);
    was = a;
    memcpy(&t_was, &t, sizeof t);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_expect_eq(eg_authority_parse(s(bad[i]), 0, &a, NULL), EG_BAD_HOST, "%s", bad[i]);
        cr_expect_neq(eg_target_parse(s(bad[i]), true, &t, NULL), EG_OK, "%s", bad[i]);
    }
    cr_expect_eq(eg_target_parse(s("http://h:0/"), false, &t, NULL), EG_BAD_HOST);
    cr_expect_eq(memcmp(&a, &was, sizeof a), 0);
    cr_expect_eq(memcmp(&t, &t_was, sizeof t), 0);
    cr_expect_not(eg_addr_parse(s("1.2.3"), &addr));
    cr_expect_not(eg_cidr_parse(s("10.0.0.1/8"), &addr, &bits));
    cr_expect_eq(addr.b[0], 9);
    cr_expect_eq(bits, 77);
}

Test(base, uri_errors_hold_no_peer_bytes)
{
    const char *bad[] = {
        "QQQQ:QQQQ", "QQQQ@QQQQ", "[QQQQ]:1", "QQQQ%51:80", "-QQQQ:80", "QQQQ.1"
    };
    struct eg_authority a;
    struct eg_target t;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct eg_err err = { 0 };
        cr_expect_eq(eg_authority_parse(s(bad[i]), 0, &a, &err), EG_BAD_HOST);
        cr_expect(err.text[0] && !strchr(err.text, 'Q'), "%s", err.text);
        eg_err_reset(&err);
        cr_expect_neq(eg_target_parse(s(bad[i]), false, &t, &err), EG_OK);
        cr_expect(err.text[0] && !strchr(err.text, 'Q'), "%s", err.text);
    }
}

Test(base, addr_every_octet)
{
    char text[40];
    char back[EG_ADDR_TEXT];
    for (int i = 0; i < 256; i++) {
        snprintf(text, sizeof text, "%d.%d.%d.%d", i, 255 - i, i ^ 0x55, i);
        struct eg_addr a = addr_of(text);
        cr_assert_eq(a.family, 4);
        cr_assert_eq(a.b[0], i);
        cr_assert_eq(a.b[1], 255 - i);
        cr_assert_str_eq(eg_addr_format(&a, back, sizeof back), text);
    }
}

/* Every pattern of zero and non-zero groups: the text parses back, and is RFC 5952's. */
Test(base, addr_every_zero_pattern)
{
    for (unsigned pattern = 0; pattern < 256; pattern++) {
        struct eg_addr a = { .family = 6 };
        struct eg_addr b;
        char text[EG_ADDR_TEXT];
        char small[EG_ADDR_TEXT];
        for (int i = 0; i < 8; i++)
            a.b[2 * i + 1] = pattern >> i & 1 ? (uint8_t)(i + 1) : 0;
        eg_addr_format(&a, text, sizeof text);
        cr_assert(eg_addr_parse(s(text), &b), "%s", text);
        cr_assert(eg_addr_eq(&a, &b), "%s", text);
        cr_assert_null(strstr(text, ":::"), "%s", text);
        for (size_t cap = 1; cap < sizeof small; cap++)
            cr_assert_lt(strlen(eg_addr_format(&a, small, cap)), cap);
    }
}

Test(base, addr_of_no_family)
{
    struct eg_addr none = { 0 };
    struct eg_sockaddr from = { 0 };
    struct sockaddr_storage to;
    char text[EG_ADDR_TEXT] = "x";
    cr_expect_str_eq(eg_addr_format(&none, text, sizeof text), "");
    cr_expect_not(eg_addr_in(&none, &none, 0));
    cr_expect(eg_addr_eq(&none, &none));
    cr_expect_eq(eg_sockaddr_to(&from, &to), 0u);
}

Test(base, addr_in_every_prefix_length)
{
    struct eg_addr v4 = addr_of("255.255.255.255");
    struct eg_addr v6 = addr_of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    for (int bits = 0; bits <= 128; bits++) {
        for (int flip = 0; flip < 128; flip++) {
            struct eg_addr other = v6;
            other.b[flip / 8] ^= (uint8_t)(0x80 >> flip % 8);
            cr_assert_eq(eg_addr_in(&other, &v6, (uint8_t)bits), flip >= bits, "%d %d", bits, flip);
            if (bits > 32 || flip >= 32)
                continue;
            other = v4;
            other.b[flip / 8] ^= (uint8_t)(0x80 >> flip % 8);
            cr_assert_eq(eg_addr_in(&other, &v4, (uint8_t)bits), flip >= bits, "%d %d", bits, flip);
        }
    }
    cr_expect_not(eg_addr_in(&v4, &v4, 33));
    cr_expect_not(eg_addr_in(&v6, &v6, 129));
    cr_expect_not(eg_addr_in(&v4, &v6, 0), "families are never mixed");
    cr_expect_not(eg_addr_eq(&v4, &v6));
}

Test(base, sockaddr_there_and_back)
{
    const char *texts[] = { "127.0.0.1", "255.1.2.3", "::", "2001:db8::1", "::ffff:1.2.3.4" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct eg_sockaddr from = { addr_of(texts[i]), 40000 };
        struct eg_sockaddr back;
        struct sockaddr_storage to;
        socklen_t n = eg_sockaddr_to(&from, &to);
        cr_assert(eg_sockaddr_from((struct sockaddr *)&to, n, &back), "%s", texts[i]);
        cr_expect(eg_addr_eq(&from.addr, &back.addr) && back.port == 40000);
        for (socklen_t cut = 0; cut < n; cut++)
            cr_expect_not(eg_sockaddr_from((struct sockaddr *)&to, cut, &back), "%s", texts[i]);
    }
}

Test(base, sockaddr_of_another_family)
{
    struct sockaddr_storage to = { .ss_family = AF_UNIX };
    struct eg_sockaddr back = { .port = 7 };
    cr_expect_not(eg_sockaddr_from((struct sockaddr *)&to, sizeof to, &back));
    cr_expect_eq(back.port, 7);
}

Test(base, target_every_byte_in_path_and_query)
{
    for (int c = 0; c < 256; c++) {
        struct eg_target t;
        char path[] = "/a?b";
        bool visible = c > 0x20 && c < 0x7f;
        path[2] = (char)c;
        bool good = visible && c != '#' && c != '%';
        cr_assert_eq(eg_target_parse(eg_slice(path, 4), false, &t, NULL),
                     good ? EG_OK : EG_BAD_TARGET, "0x%02x", c);
        char query[] = "/?a?b";
        query[3] = (char)c;
        cr_assert_eq(eg_target_parse(eg_slice(query, 5), false, &t, NULL),
                     good ? EG_OK : EG_BAD_TARGET, "0x%02x", c);
    }
}

static enum eg_status canon(const char *path, size_t n, size_t max, bool *unsafe)
{
    struct eg_buf b;
    struct eg_path_flags flags = { false, NULL };
    eg_buf_init(&b, max);
    enum eg_status st = eg_path_canon(eg_slice(path, n), &b, &flags, NULL);
    cr_assert(st == EG_OK || b.len == 0, "nothing is appended on failure");
    cr_assert_eq(flags.unsafe, flags.why != NULL);
    *unsafe = flags.unsafe;
    eg_buf_done(&b);
    return st;
}

Test(base, path_every_byte)
{
    for (int c = 0; c < 256; c++) {
        bool unsafe;
        char path[] = "/a?b";
        bool pchar = c && strchr("-._~!$&'()*+,;=:@/", c);
        pchar = pchar || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        path[2] = (char)c;
        cr_assert_eq(canon(path, 4, 100, &unsafe), pchar ? EG_OK : EG_BAD_TARGET, "0x%02x", c);
        cr_assert_not(unsafe, "0x%02x", c);
    }
}

Test(base, path_every_escape)
{
    for (int c = 0; c < 256; c++) {
        for (int lower = 0; lower < 2; lower++) {
            char path[32];
            char want[8];
            struct eg_buf b;
            struct eg_path_flags flags;
            bool unreserved = c && strchr("-._~", c);
            unreserved = unreserved || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                         (c >= 'A' && c <= 'Z');
            snprintf(path, sizeof path, lower ? "/a%%%02xb" : "/a%%%02Xb", (unsigned)c);
            if (unreserved)
                snprintf(want, sizeof want, "/a%cb", c);
            else
                snprintf(want, sizeof want, "/a%%%02Xb", (unsigned)c);
            eg_buf_init(&b, 6);
            cr_assert_eq(eg_path_canon(s(path), &b, &flags, NULL), EG_OK, "%s", path);
            cr_assert(eg_slice_eq(eg_buf_slice(&b), s(want)), "%s", path);
            cr_assert_eq(flags.unsafe, c < 0x20 || c == 0x7f || c == '\\', "%s", path);
            eg_buf_done(&b);
        }
    }
}

Test(base, path_ceiling)
{
    bool unsafe;
    cr_expect_eq(canon("/abc", 4, 4, &unsafe), EG_OK);
    cr_expect_eq(canon("/abc", 4, 3, &unsafe), EG_TOO_BIG);
    cr_expect_eq(canon("", 0, 3, &unsafe), EG_BAD_TARGET);
    cr_expect_eq(canon("abc", 3, 3, &unsafe), EG_BAD_TARGET);
    cr_expect_eq(canon("*", 1, 3, &unsafe), EG_BAD_TARGET);
}

Test(base, path_is_appended)
{
    struct eg_buf b;
    struct eg_path_flags flags;
    eg_buf_init(&b, 100);
    cr_assert_eq(eg_buf_append(&b, "GET ", 4), EG_OK);
    cr_assert_eq(eg_path_canon(s("/%41"), &b, &flags, NULL), EG_OK);
    cr_expect_eq(eg_path_canon(s("/%"), &b, &flags, NULL), EG_BAD_TARGET);
    cr_expect(eg_slice_eq(eg_buf_slice(&b), s("GET /A")));
    eg_buf_done(&b);
}

/* Escapes nested thousands deep are decoded in one pass, not in thousands. */
Test(base, path_nested_escapes_take_linear_time, .timeout = 60)
{
    static char path[1 << 20];
    size_t n = 0;
    bool unsafe;
    path[n++] = '/';
    path[n++] = '%';
    while (n < sizeof path - 5) {
        path[n++] = '2';
        path[n++] = '5';
    }
    memcpy(path + n, "2e", 2);
    cr_expect_eq(canon(path, n + 2, sizeof path, &unsafe), EG_OK);
    cr_expect(unsafe, "it ends as a dot");
    memcpy(path + n, "2g", 2);
    cr_expect_eq(canon(path, n + 2, sizeof path, &unsafe), EG_OK);
    cr_expect_not(unsafe);
}
