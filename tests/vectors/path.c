/* path.c - runs every row of path.md: a raw path, its canonical form or refusal, and whether
 * rules may be applied to it. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/uri.h"
#include "support/vectors.h"

enum { ROWS_AT_LEAST = 80, TEXT = 1024 };

static void expect_cell(const struct eg_vector_row *row, size_t column, const char *got)
{
    cr_expect(eg_vector_is(row->cell[column], got), "%s:%d: %s: is \"%s\"", row->file, row->line,
              eg_vector_show(row->cell[0]), got);
}

/* The canonical form must be its own, with the same verdict. */
static void run_again(const struct eg_vector_row *row, struct eg_slice canonical, const char *why)
{
    struct eg_buf out;
    struct eg_path_flags flags = { false, NULL };
    eg_buf_init(&out, TEXT);
    enum eg_status st = eg_path_canon(canonical, &out, &flags, NULL);
    cr_expect(st == EG_OK && eg_slice_eq(eg_buf_slice(&out), canonical) && flags.why == why,
              "%s:%d: %s: not stable", row->file, row->line, eg_vector_show(row->cell[0]));
    eg_buf_done(&out);
}

static void run(const struct eg_vector_row *row, void *ctx)
{
    struct eg_buf out;
    struct eg_path_flags flags = { false, NULL };
    struct eg_err err = { 0 };
    char got[TEXT];
    (void)ctx;
    eg_buf_init(&out, TEXT);
    enum eg_status st = eg_path_canon(row->cell[0], &out, &flags, &err);
    struct eg_slice canonical = eg_buf_slice(&out);
    if (st != EG_OK) {
        snprintf(got, sizeof got, "%s: %s", egress_status_name(st), err.text);
        expect_cell(row, 1, got);
        expect_cell(row, 2, "");
    } else {
        snprintf(got, sizeof got, "%.*s", (int)canonical.n, canonical.p);
        expect_cell(row, 1, got);
        expect_cell(row, 2, flags.unsafe ? flags.why : "yes");
        run_again(row, canonical, flags.why);
    }
    eg_buf_done(&out);
}

Test(vectors, path)
{
    long rows = eg_vectors_each("tests/vectors/path.md", 4, run, NULL);
    cr_assert_geq(rows, ROWS_AT_LEAST, "%ld rows", rows);
}
