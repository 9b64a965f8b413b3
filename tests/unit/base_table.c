/* base_table.c - the keyed hash table: against a model under churn, and at its ceiling. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>

#include "base/table.h"

static int values[4096];

static struct eg_slice key_of(int i, char text[16])
{
    int n = snprintf(text, 16, "key-%d", i);
    return eg_slice(text, (size_t)n);
}

static void count_drop(void *value)
{
    (*(int *)value)++;
}

Test(base, table_basics)
{
    struct eg_table *t;
    int a = 0;
    int b = 0;
    cr_assert_geq(sodium_init(), 0);
    cr_expect_eq(eg_table_new(&t, 0), EG_INVALID);
    cr_assert_eq(eg_table_new(&t, 2), EG_OK);
    cr_expect_null(eg_table_get(t, EG_SLICE("x")));
    cr_expect_null(eg_table_take(t, EG_SLICE("x")));
    cr_expect_eq(eg_table_add(t, EG_SLICE("x"), NULL), EG_INVALID);
    cr_expect_eq(eg_table_add(t, EG_SLICE("x"), &a), EG_OK);
    cr_expect_eq(eg_table_add(t, EG_SLICE("x"), &b), EG_EXISTS);
    cr_expect_eq(eg_table_get(t, EG_SLICE("x")), &a);
    cr_expect_eq(eg_table_add(t, EG_SLICE("x\0"), &b), EG_OK, "a NUL is a byte like others");
    cr_expect_eq(eg_table_add(t, EG_SLICE_NONE, &b), EG_TOO_BIG);
    cr_expect_eq(eg_table_add(t, EG_SLICE("x"), &b), EG_EXISTS, "also at the ceiling");
    cr_expect_eq(eg_table_take(t, EG_SLICE("x")), &a);
    cr_expect_null(eg_table_get(t, EG_SLICE("x")));
    cr_expect_eq(eg_table_add(t, EG_SLICE_NONE, &a), EG_OK);
    cr_expect_eq(eg_table_get(t, EG_SLICE("")), &a);
    cr_expect_eq(eg_table_count(t), 2u);
    eg_table_free(t, count_drop);
    cr_expect_eq(a, 1);
    cr_expect_eq(b, 1);
    eg_table_free(NULL, count_drop);
}

Test(base, table_keys_are_copied)
{
    struct eg_table *t;
    char key[] = "abc";
    int a = 0;
    cr_assert_geq(sodium_init(), 0);
    cr_assert_eq(eg_table_new(&t, 10), EG_OK);
    cr_expect_eq(eg_table_add(t, eg_slice_str(key), &a), EG_OK);
    memset(key, 'z', 3);
    cr_expect_eq(eg_table_get(t, EG_SLICE("abc")), &a);
    cr_expect_null(eg_table_get(t, eg_slice_str(key)));
    eg_table_free(t, NULL);
}

Test(base, table_agrees_with_a_model_under_churn)
{
    struct eg_table *t;
    bool present[500] = { false };
    size_t count = 0;
    uint32_t r = 99;
    char text[16];
    cr_assert_geq(sodium_init(), 0);
    cr_assert_eq(eg_table_new(&t, 400), EG_OK);
    for (int i = 0; i < 50000; i++) {
        r = r * 1664525u + 1013904223u;
        int k = (int)(r >> 8) % 500;
        struct eg_slice key = key_of(k, text);
        if (r >> 31) {
            enum eg_status want = present[k] ? EG_EXISTS : count == 400 ? EG_TOO_BIG : EG_OK;
            cr_assert_eq(eg_table_add(t, key, &values[k]), want);
            count += want == EG_OK;
            present[k] = present[k] || want == EG_OK;
        } else {
            cr_assert_eq(eg_table_take(t, key), present[k] ? &values[k] : NULL);
            count -= present[k];
            present[k] = false;
        }
        cr_assert_eq(eg_table_count(t), count);
        k = (int)(r >> 3) % 500;
        cr_assert_eq(eg_table_get(t, key_of(k, text)), present[k] ? &values[k] : NULL);
    }
    eg_table_free(t, NULL);
}

Test(base, table_walk_sees_each_entry_once)
{
    struct eg_table *t;
    struct eg_slice key;
    void *value;
    size_t cursor = 0;
    char text[16];
    cr_assert_geq(sodium_init(), 0);
    cr_assert_eq(eg_table_new(&t, SIZE_MAX), EG_OK);
    cr_expect_not(eg_table_next(t, &cursor, &key, &value));
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(eg_table_add(t, key_of(i, text), &values[i]), EG_OK);
    for (cursor = 0; eg_table_next(t, &cursor, &key, &value);) {
        int i = (int)((int *)value - values);
        cr_assert(eg_slice_eq(key, key_of(i, text)));
        values[i]++;
    }
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(values[i], 1);
    cr_expect_not(eg_table_next(t, &cursor, &key, &value));
    eg_table_free(t, NULL);
}

/* The order of a walk follows the hash: two tables with the same keys must not share it. */
Test(base, table_hash_is_keyed_per_table)
{
    struct eg_table *t[2];
    struct eg_slice key;
    size_t cursor[2] = { 0, 0 };
    void *value[2];
    char text[16];
    bool differs = false;
    cr_assert_geq(sodium_init(), 0);
    for (int k = 0; k < 2; k++) {
        cr_assert_eq(eg_table_new(&t[k], 1000), EG_OK);
        for (int i = 0; i < 1000; i++)
            cr_assert_eq(eg_table_add(t[k], key_of(i, text), &values[i]), EG_OK);
    }
    while (eg_table_next(t[0], &cursor[0], &key, &value[0])) {
        cr_assert(eg_table_next(t[1], &cursor[1], &key, &value[1]));
        differs = differs || value[0] != value[1];
    }
    cr_expect(differs);
    eg_table_free(t[0], NULL);
    eg_table_free(t[1], NULL);
}
