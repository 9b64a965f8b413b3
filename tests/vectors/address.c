/* address.c - feeds tests/vectors/address.md to the tables of special ranges. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "policy/ranges.h"
#include "support/vectors.h"

#define TABLE EG_SOURCE_DIR "/tests/vectors/address.md"
enum { ROWS_LEAST = 120, COLUMNS = 3 };

static void carried(const struct eg_addr *a, char *out, size_t cap)
{
    struct eg_addr inside[EG_EMBEDDED_MAX];
    char text[EG_ADDR_TEXT];
    size_t n = 0;
    unsigned count = eg_range_embedded(a, inside);
    out[0] = '\0';
    for (unsigned i = 0; i < count; i++)
        n += (size_t)snprintf(out + n, cap - n, "%s%s", i ? " " : "",
                              eg_addr_format(&inside[i], text, sizeof text));
}

static void check_row(const struct eg_vector_row *row, void *ctx)
{
    unsigned *failed = ctx;
    struct eg_addr a;
    char inside[200];
    cr_assert(eg_addr_parse(row->cell[0], &a), "%s:%d", row->file, row->line);
    const struct eg_range *range = eg_range_of(&a);
    const char *is = eg_metadata_addr(&a) ? "metadata" : range ? range->text : "public";
    carried(&a, inside, sizeof inside);
    if (eg_vector_is(row->cell[1], is) && eg_vector_is(row->cell[2], inside))
        return;
    fprintf(stderr, "%s:%d: %s is %s, carries '%s'\n", row->file, row->line, row->cell[0].p, is,
            inside);
    ++*failed;
}

Test(policy, special_addresses)
{
    unsigned failed = 0;
    long rows = eg_vectors_each(TABLE, COLUMNS, check_row, &failed);
    cr_assert_geq(rows, ROWS_LEAST, "%ld rows", rows);
    cr_assert_eq(failed, 0, "%u rows differ", failed);
}
