/* response.c - runs response.md: every row whole, byte by byte and at every split, on one object
 * that is reused for all. */
#include <criterion/criterion.h>

#include "support/http_feed.h"
#include "support/vectors.h"

enum { ASKED, BYTES, OUTCOME, HEAD, FIELDS, BODY, REST, NOTE, COLUMNS };

static char text[3 * EG_FED_TEXT];

static struct eg_slice expand(struct eg_slice cell, char *to)
{
    return eg_slice(to, eg_fed_expand(cell, to, EG_FED_TEXT));
}

static bool is(const char *got, size_t n, struct eg_slice cell)
{
    char *to = text + 2 * EG_FED_TEXT;
    return eg_slice_eq(eg_slice(got, n), expand(cell, to));
}

static bool as_told(const struct eg_fed *fed, const struct eg_vector_row *row)
{
    return eg_vector_is(row->cell[OUTCOME], fed->outcome) &&
           is(fed->head, fed->head_n, row->cell[HEAD]) &&
           is(fed->fields, fed->fields_n, row->cell[FIELDS]) &&
           is(fed->body, fed->body_n, row->cell[BODY]) &&
           is(fed->rest, fed->rest_n, row->cell[REST]);
}

static void check(struct eg_msg *m, const struct eg_vector_row *row)
{
    static struct eg_fed whole, cut;
    struct eg_slice bytes = expand(row->cell[BYTES], text);
    eg_fed_run(m, row->cell[ASKED], bytes, SIZE_MAX / 2, 0, &whole);
    cr_expect(as_told(&whole, row), "%s:%d: %s | %s | %s | %s | %s", row->file, row->line,
              whole.outcome, whole.head, whole.fields,
              eg_vector_show(eg_slice(whole.body, whole.body_n)),
              eg_vector_show(eg_slice(whole.rest, whole.rest_n)));
    eg_fed_run(m, row->cell[ASKED], bytes, 1, 0, &cut);
    cr_expect(eg_fed_same(&whole, &cut), "%s:%d: byte by byte: %s | %s", row->file, row->line,
              cut.outcome, cut.body);
    for (size_t at = 1; at < bytes.n; at++) {
        eg_fed_run(m, row->cell[ASKED], bytes, SIZE_MAX / 2, at, &cut);
        cr_expect(eg_fed_same(&whole, &cut), "%s:%d: cut at %zu: %s | %s", row->file, row->line, at,
                  cut.outcome, cut.body);
    }
}

static void each(const struct eg_vector_row *row, void *ctx)
{
    check(ctx, row);
}

Test(http, response_table)
{
    const struct eg_msg_limits limits = { .head_bytes = 512, .fields = 8, .target_bytes = 1 };
    struct eg_msg *m = NULL;
    cr_assert_eq(eg_msg_new(&m, EG_MSG_RESPONSE, &limits), EG_OK);
    cr_expect_geq(eg_vectors_each("tests/vectors/response.md", COLUMNS, each, m), 130);
    eg_msg_free(m);
}
