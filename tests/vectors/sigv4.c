/* sigv4.c - runs every row of sigv4.md: the signature is made, its Authorization field is parsed and
 * verified, and nothing else verifies. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>

#include "cred/sigv4.h"
#include "support/vectors.h"

enum { NAME, REQUEST, FIELDS, BODY, SCOPE, SIGNED, CANONICAL, SIGNATURE, COLUMNS };
enum { ROWS_AT_LEAST = 55, FIELDS_MAX = 16, TEXT = 2048 };

#define SUITE "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define DOCS  "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

struct one {
    struct eg_sigv4_request request;
    struct eg_sigv4_auth auth;
    struct eg_sigv4_field fields[FIELDS_MAX];
    struct eg_slice secret, other;
    char hash[EG_SIGV4_HEX + 1], authorization[TEXT];
};

/* What stands before the first c; *rest goes behind it. */
static struct eg_slice cut(struct eg_slice *rest, char c)
{
    long end = eg_slice_index(*rest, c);
    struct eg_slice part = end < 0 ? *rest : eg_slice(rest->p, (size_t)end);
    *rest = end < 0 ? EG_SLICE_NONE : eg_slice_from(*rest, (size_t)end + 1);
    return part;
}

static void read_fields(const struct eg_vector_row *row, struct one *o)
{
    struct eg_slice rest = row->cell[FIELDS];
    while (rest.n > 0) {
        struct eg_slice line = cut(&rest, '\n');
        struct eg_sigv4_field *f = &o->fields[o->request.field_count++];
        cr_assert_leq(o->request.field_count, FIELDS_MAX);
        f->name = cut(&line, ':');
        f->value = eg_slice_trim(line);
        if (eg_slice_caseeq(f->name, EG_SLICE("x-amz-date")))
            o->auth.time = f->value;
    }
    o->request.fields = o->fields;
}

static void set_payload(struct one *o, struct eg_slice body)
{
    if (eg_slice_starts(body, EG_SLICE("="))) {
        o->request.payload = eg_slice_from(body, 1);
        return;
    }
    eg_sigv4_hash(body, o->hash);
    o->request.payload = eg_slice_str(o->hash);
}

/* Where a target has a raw space, the method ends at the first one. */
static void read_row(const struct eg_vector_row *row, struct one *o)
{
    struct eg_slice rest = row->cell[REQUEST], scope = row->cell[SCOPE];
    struct eg_slice key = cut(&scope, ' '), time;
    struct eg_err err = { 0 };
    o->request.method = cut(&rest, ' ');
    o->request.path = cut(&rest, '?');
    o->request.query = rest;
    set_payload(o, row->cell[BODY]);
    read_fields(row, o);
    o->secret = eg_vector_is(key, "suite") ? EG_SLICE(SUITE) : EG_SLICE(DOCS);
    o->other = eg_vector_is(key, "suite") ? EG_SLICE(DOCS) : EG_SLICE(SUITE);
    snprintf(o->authorization, sizeof o->authorization,
             "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/%.*s/aws4_request, SignedHeaders=%.*s, "
             "Signature=%.*s",
             (int)scope.n, scope.p, (int)row->cell[SIGNED].n, row->cell[SIGNED].p,
             (int)row->cell[SIGNATURE].n, row->cell[SIGNATURE].p);
    time = o->auth.time;
    cr_assert(eg_sigv4_parse(eg_slice_str(o->authorization), &o->auth, &err) == EG_OK, "%s:%d: %s",
              row->file, row->line, err.text);
    o->auth.time = time;
}

static void check_canonical(const struct eg_vector_row *row, const struct one *o)
{
    struct eg_buf out;
    char hash[EG_SIGV4_HEX + 1];
    eg_buf_init(&out, 1 << 16);
    cr_expect(eg_sigv4_canonical(&o->request, &o->auth, &out) == EG_OK, "%s:%d", row->file,
              row->line);
    eg_sigv4_hash(eg_buf_slice(&out), hash);
    if (row->cell[CANONICAL].n > 0)
        cr_expect(eg_vector_is(row->cell[CANONICAL], hash), "%s:%d: canonical request is\n%.*s",
                  row->file, row->line, (int)out.len, eg_buf_slice(&out).p);
    eg_buf_done(&out);
}

static void expect_not(const struct eg_vector_row *row, const struct one *o, const char *what)
{
    cr_expect(eg_sigv4_verify(&o->request, &o->auth, o->secret) == EG_PHANTOM_INVALID,
              "%s:%d: another %s passes", row->file, row->line, what);
}

static void check_others(const struct eg_vector_row *row, const struct one *o)
{
    char flipped[EG_SIGV4_HEX + 1], body[TEXT];
    struct one c = *o;
    c.secret = o->other;
    expect_not(row, &c, "secret");
    c = *o;
    memcpy(flipped, o->auth.signature.p, EG_SIGV4_HEX);
    flipped[EG_SIGV4_HEX - 1] = flipped[EG_SIGV4_HEX - 1] == '0' ? '1' : '0';
    c.auth.signature = eg_slice(flipped, EG_SIGV4_HEX);
    expect_not(row, &c, "signature");
    c = *o;
    c.request.method = EG_SLICE("PATCH");
    expect_not(row, &c, "method");
    c = *o;
    c.request.query = EG_SLICE("zz=1");
    expect_not(row, &c, "query");
    c = *o;
    snprintf(body, sizeof body, "%.*s+", (int)row->cell[BODY].n, row->cell[BODY].p);
    set_payload(&c, eg_slice_str(body));
    expect_not(row, &c, "body");
    c = *o;
    c.auth.region = EG_SLICE("mars-1");
    expect_not(row, &c, "region");
}

static void run(const struct eg_vector_row *row, void *ctx)
{
    struct one o = { 0 };
    char made[EG_SIGV4_HEX + 1] = "";
    (void)ctx;
    read_row(row, &o);
    check_canonical(row, &o);
    cr_expect(eg_sigv4_make(&o.request, &o.auth, o.secret, made) == EG_OK &&
                  eg_vector_is(row->cell[SIGNATURE], made),
              "%s:%d: %s: signature is %s", row->file, row->line, eg_vector_show(row->cell[NAME]),
              made);
    cr_expect(eg_sigv4_verify(&o.request, &o.auth, o.secret) == EG_OK, "%s:%d", row->file,
              row->line);
    check_others(row, &o);
}

Test(vectors, sigv4)
{
    cr_assert(sodium_init() >= 0);
    long rows = eg_vectors_each("tests/vectors/sigv4.md", COLUMNS, run, NULL);
    cr_assert_geq(rows, ROWS_AT_LEAST, "%ld rows", rows);
}
