/* base_buf.c - the byte queue: against a plain model, at its ceiling, and that wiping leaves
 * nothing behind. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"

static void expect_bytes(const struct eg_buf *b, const char *want)
{
    cr_expect(eg_slice_eq(eg_buf_slice(b), eg_slice_str(want)), "%.*s, not %s", (int)b->len,
              eg_buf_slice(b).p ? eg_buf_slice(b).p : "", want);
}

Test(base, buf_queue)
{
    struct eg_buf b;
    eg_buf_init(&b, 100);
    cr_expect_null(eg_buf_slice(&b).p);
    cr_expect_eq(eg_buf_append(&b, "hello ", 6), EG_OK);
    cr_expect_eq(eg_buf_put(&b, EG_SLICE("world")), EG_OK);
    expect_bytes(&b, "hello world");
    eg_buf_consume(&b, 6);
    expect_bytes(&b, "world");
    cr_expect_eq(eg_buf_unread(&b, "new ", 4), EG_OK);
    expect_bytes(&b, "new world");
    eg_buf_consume(&b, 9);
    cr_expect_eq(b.off, 0u);
    eg_buf_consume(&b, 1);
    expect_bytes(&b, "");
    eg_buf_done(&b);
    cr_expect_eq(eg_buf_append(&b, "again", 5), EG_OK);
    expect_bytes(&b, "again");
    eg_buf_done(&b);
    eg_buf_done(&b);
    eg_buf_done(NULL);
}

Test(base, buf_nothing_costs_nothing)
{
    struct eg_buf b;
    struct eg_buf zero = { 0 };
    char *p = (char *)&b;
    eg_buf_init(&b, 10);
    cr_expect_eq(eg_buf_append(&b, NULL, 0), EG_OK);
    cr_expect_eq(eg_buf_put(&b, EG_SLICE_NONE), EG_OK);
    cr_expect_eq(eg_buf_unread(&b, NULL, 0), EG_OK);
    cr_expect_eq(eg_buf_reserve(&b, 0, &p), EG_OK);
    cr_expect_null(p);
    eg_buf_commit(&b, 0);
    eg_buf_consume(&b, 0);
    eg_buf_wipe(&b);
    cr_expect_eq(b.cap, 0u);
    eg_buf_done(&zero);
    cr_expect_eq(eg_buf_append(&zero, "x", 1), EG_TOO_BIG);
}

Test(base, buf_ceiling)
{
    struct eg_buf b;
    char *p = NULL;
    char seven[7] = "1234567";
    eg_buf_init(&b, 10);
    cr_expect_eq(eg_buf_append(&b, seven, 7), EG_OK);
    cr_expect_eq(eg_buf_room(&b), 3u);
    cr_expect_eq(eg_buf_append(&b, seven, 4), EG_TOO_BIG);
    cr_expect_eq(eg_buf_unread(&b, seven, 4), EG_TOO_BIG);
    cr_expect_eq(eg_buf_reserve(&b, 4, &p), EG_TOO_BIG);
    cr_expect_eq(eg_buf_reserve(&b, SIZE_MAX, &p), EG_TOO_BIG);
    cr_expect_eq(eg_buf_append(&b, seven, SIZE_MAX), EG_TOO_BIG);
    cr_expect_eq(eg_buf_unread(&b, seven, SIZE_MAX - 3), EG_TOO_BIG);
    cr_expect_null(p);
    cr_expect_eq(b.len, 7u, "a refusal changes nothing");
    cr_expect_eq(eg_buf_unread(&b, seven, 3), EG_OK);
    cr_expect_eq(eg_buf_append(&b, seven, 1), EG_TOO_BIG);
    expect_bytes(&b, "1231234567");
    cr_expect_leq(b.cap, b.max);
    eg_buf_done(&b);
}

Test(base, buf_commit_is_bounded)
{
    struct eg_buf b;
    char *p;
    eg_buf_init(&b, 8);
    cr_assert_eq(eg_buf_reserve(&b, 8, &p), EG_OK);
    memcpy(p, "abcdefgh", 8);
    eg_buf_commit(&b, 3);
    expect_bytes(&b, "abc");
    eg_buf_commit(&b, 100);
    expect_bytes(&b, "abcdefgh");
    eg_buf_done(&b);
}

Test(base, buf_compacts_before_it_grows)
{
    struct eg_buf b;
    char block[200];
    memset(block, 'x', sizeof block);
    eg_buf_init(&b, 1 << 20);
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(eg_buf_append(&b, block, sizeof block), EG_OK);
        eg_buf_consume(&b, i == 0 ? 150 : 200);
    }
    cr_expect_leq(b.cap, 256u);
    cr_expect_eq(b.len, 50u);
    eg_buf_done(&b);
}

Test(base, buf_printf)
{
    struct eg_buf b;
    char big[2000];
    memset(big, 'y', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    eg_buf_init(&b, 2010);
    cr_expect_eq(eg_buf_printf(&b, "%s-%d", "a", 7), EG_OK);
    expect_bytes(&b, "a-7");
    cr_expect_eq(eg_buf_printf(&b, "%s", big), EG_OK);
    cr_expect_eq(b.len, 2002u);
    cr_expect_eq(eg_buf_printf(&b, "%s", big), EG_TOO_BIG);
    cr_expect_eq(eg_buf_printf(&b, "%s", "12345678"), EG_OK, "to the last byte");
    cr_expect_eq(eg_buf_printf(&b, "%s", ""), EG_OK);
    cr_expect_eq(eg_buf_printf(&b, "z"), EG_TOO_BIG);
    cr_expect_eq(b.len, 2010u);
    eg_buf_reset(&b);
    for (size_t n = 505; n < 520; n++) {
        cr_assert_eq(eg_buf_printf(&b, "%.*s", (int)n, big), EG_OK);
        cr_assert_eq(b.len, n);
        eg_buf_reset(&b);
    }
    eg_buf_done(&b);
}

Test(base, buf_wipe_leaves_nothing)
{
    struct eg_buf b;
    eg_buf_init(&b, 1000);
    cr_expect_eq(eg_buf_append(&b, "secret and more", 15), EG_OK);
    eg_buf_consume(&b, 10);
    eg_buf_wipe(&b);
    cr_expect_eq(b.len, 0u);
    for (size_t i = 0; i < b.cap && i < 15; i++)
        cr_expect_eq(b.data[i], 0);
    eg_buf_done(&b);
}

/* One step of the comparison with a model that is a flat array. */
static void step(struct eg_buf *b, char *model, size_t *n, unsigned r)
{
    char piece[700];
    size_t k = (r >> 8) % sizeof piece;
    for (size_t i = 0; i < k; i++)
        piece[i] = (char)(r + i * 7);
    bool fits = k <= b->max - *n;
    switch (r % 4) {
    case 0:
    case 1:
        cr_assert_eq(eg_buf_append(b, piece, k), fits ? EG_OK : EG_TOO_BIG);
        memcpy(model + *n, piece, fits ? k : 0);
        *n += fits ? k : 0;
        break;
    case 2:
        k = k < *n ? k : *n;
        eg_buf_consume(b, k);
        memmove(model, model + k, *n - k);
        *n -= k;
        break;
    default:
        cr_assert_eq(eg_buf_unread(b, piece, k), fits ? EG_OK : EG_TOO_BIG);
        if (!fits)
            break;
        memmove(model + k, model, *n);
        memcpy(model, piece, k);
        *n += k;
    }
}

Test(base, buf_agrees_with_a_model)
{
    static char model[8192];
    struct eg_buf b;
    size_t n = 0;
    uint32_t r = 12345;
    eg_buf_init(&b, 4000);
    for (int i = 0; i < 20000; i++) {
        r = r * 1664525u + 1013904223u;
        step(&b, model, &n, r >> 4);
        cr_assert(eg_slice_eq(eg_buf_slice(&b), eg_slice(model, n)), "step %d", i);
        cr_assert(b.off + b.len <= b.cap && b.cap <= b.max);
    }
    eg_buf_done(&b);
}
