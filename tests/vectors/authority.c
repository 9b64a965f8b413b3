/* authority.c - runs every row of authority.md: one spelling, its canonical form or the
 * whole refusal.
 *
 * What is accepted is parsed once more: the canonical form is its own canonical form. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/uri.h"
#include "support/vectors.h"

enum { ROWS_AT_LEAST = 400, TEXT = 2048 };

static void refusal(enum eg_status st, const struct eg_err *err, char *out)
{
    snprintf(out, TEXT, "%s: %s", egress_status_name(st), err->text);
    if (err->status != st)
        snprintf(out, TEXT, "status and detail differ");
}

static void run_host(struct eg_slice text, char *out)
{
    struct eg_authority a;
    struct eg_err err = { 0 };
    enum eg_status st = eg_host_parse(text, &a, &err);
    if (st != EG_OK) {
        refusal(st, &err, out);
        return;
    }
    const char *family = a.addr.family == 4 ? " (v4)" : a.addr.family == 6 ? " (v6)" : "";
    if (a.literal != (a.addr.family != 0) || strlen(a.host) != a.host_len)
        family = " (inconsistent)";
    snprintf(out, TEXT, "%s%s", a.host, family);
}

static void run_authority(struct eg_slice text, uint16_t port, char *out)
{
    struct eg_authority a;
    struct eg_authority b;
    struct eg_err err = { 0 };
    char canonical[EG_AUTHORITY_TEXT];
    enum eg_status st = eg_authority_parse(text, port, &a, &err);
    if (st != EG_OK) {
        refusal(st, &err, out);
        return;
    }
    eg_authority_format(&a, 0, canonical, sizeof canonical);
    st = eg_authority_parse(eg_slice_str(canonical), 0, &b, NULL);
    snprintf(out, TEXT, "%s%s", canonical,
             st == EG_OK && eg_authority_eq(&a, &b) ? "" : " (not stable)");
}

static void run_addr(struct eg_slice text, char *out)
{
    struct eg_addr a;
    snprintf(out, TEXT, "refused");
    if (eg_addr_parse(text, &a))
        eg_addr_format(&a, out, TEXT);
}

static void run_cidr(struct eg_slice text, char *out)
{
    struct eg_addr a;
    uint8_t bits;
    char base[EG_ADDR_TEXT];
    snprintf(out, TEXT, "refused");
    if (eg_cidr_parse(text, &a, &bits))
        snprintf(out, TEXT, "%s/%u", eg_addr_format(&a, base, sizeof base), bits);
}

static void run_target(struct eg_slice text, bool connect, char *out)
{
    static const char *const forms[] = { [EG_TARGET_ORIGIN] = "origin",
                                         [EG_TARGET_ABSOLUTE] = "absolute ",
                                         [EG_TARGET_AUTHORITY] = "connect ",
                                         [EG_TARGET_ASTERISK] = "asterisk" };
    struct eg_target t;
    struct eg_err err = { 0 };
    char authority[EG_AUTHORITY_TEXT] = "";
    enum eg_status st = eg_target_parse(text, connect, &t, &err);
    if (st != EG_OK) {
        refusal(st, &err, out);
        return;
    }
    if (t.authority.port)
        eg_authority_format(&t.authority, 0, authority, sizeof authority);
    snprintf(out, TEXT, "%s%s%s%.*s%s%.*s", forms[t.form], authority, t.path.n ? " " : "",
             (int)t.path.n, t.path.n ? t.path.p : "", t.has_query ? " ?" : "", (int)t.query.n,
             t.query.n ? t.query.p : "");
}

static void run(const struct eg_vector_row *row, void *ctx)
{
    struct eg_slice parser = row->cell[0];
    struct eg_slice input = row->cell[1];
    char got[TEXT] = "no such parser";
    (void)ctx;
    if (eg_vector_is(parser, "host"))
        run_host(input, got);
    else if (eg_vector_is(parser, "authority"))
        run_authority(input, 0, got);
    else if (eg_vector_is(parser, "authority 443"))
        run_authority(input, 443, got);
    else if (eg_vector_is(parser, "addr"))
        run_addr(input, got);
    else if (eg_vector_is(parser, "cidr"))
        run_cidr(input, got);
    else if (eg_vector_is(parser, "target") || eg_vector_is(parser, "connect"))
        run_target(input, parser.n == 7, got);
    cr_expect(eg_vector_is(row->cell[2], got), "%s:%d: %.*s %s: is \"%s\"", row->file, row->line,
              (int)parser.n, parser.p, eg_vector_show(input), got);
}

Test(vectors, authority)
{
    long rows = eg_vectors_each("tests/vectors/authority.md", 4, run, NULL);
    cr_assert_geq(rows, ROWS_AT_LEAST, "%ld rows", rows);
}
