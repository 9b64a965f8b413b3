/* base_slice.c - borrowed bytes and the arena. */
#include <criterion/criterion.h>
#include <limits.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/slice.h"

static struct eg_slice s(const char *text)
{
    return eg_slice_str(text);
}

Test(base, slice_equality)
{
    cr_expect(eg_slice_eq(EG_SLICE_NONE, s("")));
    cr_expect(eg_slice_eq(EG_SLICE("a\0b"), eg_slice("a\0b", 3)));
    cr_expect_not(eg_slice_eq(EG_SLICE("a\0b"), EG_SLICE("a\0c")));
    cr_expect_not(eg_slice_eq(s("a"), s("ab")));
    cr_expect(eg_slice_caseeq(s("Content-Length"), s("cONTENT-lENGTH")));
    cr_expect_not(eg_slice_caseeq(s("ab"), s("abc")));
    cr_expect_not(eg_slice_caseeq(s("abc"), s("ab")));
    cr_expect(eg_slice_caseeq(EG_SLICE_NONE, s("")));
    cr_expect_eq(eg_slice_str(NULL).n, 0u);
}

Test(base, slice_case_is_ascii_only)
{
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            char ca = (char)a;
            char cb = (char)b;
            bool letters = a >= 'A' && a <= 'Z' && b == a + 32;
            letters = letters || (b >= 'A' && b <= 'Z' && a == b + 32);
            cr_assert_eq(eg_slice_caseeq(eg_slice(&ca, 1), eg_slice(&cb, 1)), a == b || letters,
                         "%d %d", a, b);
        }
    }
}

Test(base, slice_prefixes)
{
    cr_expect(eg_slice_starts(s("http://x"), s("http://")));
    cr_expect(eg_slice_starts(s("x"), EG_SLICE_NONE));
    cr_expect(eg_slice_starts(EG_SLICE_NONE, EG_SLICE_NONE));
    cr_expect_not(eg_slice_starts(s("http:/"), s("http://")));
    cr_expect_not(eg_slice_starts(s("HTTP://"), s("http://")));
    cr_expect(eg_slice_casestarts(s("HTTP://x"), s("http://")));
    cr_expect_not(eg_slice_casestarts(s("HTTP:"), s("http://")));
}

Test(base, slice_cuts)
{
    cr_expect(eg_slice_eq(eg_slice_from(s("abc"), 0), s("abc")));
    cr_expect(eg_slice_eq(eg_slice_from(s("abc"), 2), s("c")));
    cr_expect_eq(eg_slice_from(s("abc"), 3).n, 0u);
    cr_expect_eq(eg_slice_from(s("abc"), SIZE_MAX).n, 0u);
    cr_expect_eq(eg_slice_from(EG_SLICE_NONE, 1).n, 0u);
    cr_expect_eq(eg_slice_index(s("abcb"), 'b'), 1);
    cr_expect_eq(eg_slice_index(s("abc"), 'x'), -1);
    cr_expect_eq(eg_slice_index(s("abc"), '\0'), -1);
    cr_expect_eq(eg_slice_index(EG_SLICE_NONE, 'x'), -1);
    cr_expect(eg_slice_eq(eg_slice_trim(s(" \t a b\t ")), s("a b")));
    cr_expect(eg_slice_eq(eg_slice_trim(s("\r\n a\v")), s("\r\n a\v")));
    cr_expect_eq(eg_slice_trim(s(" \t ")).n, 0u);
    cr_expect_eq(eg_slice_trim(EG_SLICE_NONE).n, 0u);
}

Test(base, slice_numbers)
{
    unsigned long long n = 99;
    char text[40];
    const char *bad[] = { "",
                          "+1",
                          "-1",
                          " 1",
                          "1 ",
                          "0x1",
                          "1e3",
                          "1_0",
                          "18446744073709551616",
                          "99999999999999999999",
                          "184467440737095516150",
                          "\xd9\xa1",
                          "1\n" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_not(eg_slice_u64(s(bad[i]), &n), "%s", bad[i]);
    cr_expect_not(eg_slice_u64(EG_SLICE("1\0"), &n));
    cr_expect_not(eg_slice_u64(EG_SLICE_NONE, &n));
    cr_expect_eq(n, 99u, "ret is untouched on failure");
    cr_expect(eg_slice_u64(s("0"), &n) && n == 0);
    cr_expect(eg_slice_u64(s("000000000000000000000000000012"), &n) && n == 12);
    snprintf(text, sizeof text, "%llu", ULLONG_MAX);
    cr_expect(eg_slice_u64(s(text), &n) && n == ULLONG_MAX);
    snprintf(text, sizeof text, "%llu", ULLONG_MAX - 5);
    cr_expect(eg_slice_u64(s(text), &n) && n == ULLONG_MAX - 5);
}

static void expect_list(const char *text, const char *joined)
{
    struct eg_slice rest = s(text);
    struct eg_slice element;
    char got[200];
    size_t n = 0;
    got[0] = '\0';
    while (eg_slice_list_next(&rest, &element))
        n += (size_t)snprintf(got + n, sizeof got - n, "[%.*s]", (int)element.n, element.p);
    cr_expect_str_eq(got, joined);
    cr_expect_eq(rest.n, 0u);
    cr_expect_not(eg_slice_list_next(&rest, &element));
}

Test(base, slice_lists)
{
    expect_list("", "");
    expect_list(" , ,\t,", "");
    expect_list("a", "[a]");
    expect_list("a,b , c\t", "[a][b][c]");
    expect_list(",a b,,c,", "[a b][c]");
}

Test(base, arena_memory_is_zeroed_and_aligned)
{
    struct eg_arena a;
    eg_arena_init(&a, 1 << 20);
    for (int round = 0; round < 3; round++) {
        for (size_t n = 0; n < 300; n++) {
            char *p = eg_arena_alloc(&a, n);
            cr_assert_not_null(p);
            cr_assert_eq((uintptr_t)p % alignof(max_align_t), 0u);
            for (size_t i = 0; i < n; i++)
                cr_assert_eq(p[i], 0);
            memset(p, 0xa5, n);
        }
        eg_arena_reset(&a);
        cr_expect_eq(a.used, 0u);
    }
    eg_arena_done(&a);
    eg_arena_done(&a);
    eg_arena_done(NULL);
}

Test(base, arena_ceiling)
{
    struct eg_arena a;
    eg_arena_init(&a, 1024);
    cr_expect_null(eg_arena_alloc(&a, 1025));
    cr_expect_null(eg_arena_alloc(&a, SIZE_MAX));
    cr_expect_null(eg_arena_alloc(&a, SIZE_MAX - 15));
    cr_expect_null(eg_arena_alloc(&a, SIZE_MAX / 2));
    cr_expect_not_null(eg_arena_alloc(&a, 1000));
    cr_expect_not_null(eg_arena_alloc(&a, 16));
    cr_expect_null(eg_arena_alloc(&a, 1));
    cr_expect_leq(a.used, a.max);
    eg_arena_reset(&a);
    cr_expect_not_null(eg_arena_alloc(&a, 1024));
    eg_arena_done(&a);
    eg_arena_init(&a, 0);
    cr_expect_null(eg_arena_alloc(&a, 0));
    cr_expect_null(eg_arena_dup(&a, s("")));
}

Test(base, arena_dup)
{
    struct eg_arena a;
    eg_arena_init(&a, SIZE_MAX);
    cr_expect_str_eq(eg_arena_dup(&a, s("hello")), "hello");
    cr_expect_str_eq(eg_arena_dup(&a, EG_SLICE_NONE), "");
    cr_expect_null(eg_arena_dup(&a, eg_slice("x", SIZE_MAX)));
    char *big = eg_arena_alloc(&a, 1 << 20);
    cr_assert_not_null(big);
    big[(1 << 20) - 1] = 1;
    cr_expect_str_eq(eg_arena_dup(&a, s("after a big one")), "after a big one");
    eg_arena_done(&a);
}

/* The slice ends where its memory does: nothing behind it is looked at (a sanitizer says so). */
Test(base, slice_dup)
{
    char *exact = malloc(3);
    cr_assert_not_null(exact);
    memcpy(exact, "abc", 3);
    char *whole = eg_slice_dup(eg_slice(exact, 3)), *none = eg_slice_dup(EG_SLICE_NONE);
    cr_expect_str_eq(whole, "abc");
    cr_expect_str_eq(none, "");
    free(exact);
    free(whole);
    free(none);
}
