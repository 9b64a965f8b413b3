/* policies.c - compiles policies for tests. */
#include "support/policies.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>

#include "policy/codes.h"

enum { TEXT_MAX = 4096 };

static enum eg_status read_pem(void *ctx, const char *path, struct eg_buf *out, struct eg_err *err)
{
    (void)ctx;
    if (strstr(path, "missing"))
        return eg_err_set(err, EG_NOT_FOUND, "file", 0, "there is no such file");
    const char *label = strstr(path, "key")    ? "PRIVATE KEY"
                        : strstr(path, "text") ? "NOTHING"
                                               : "CERTIFICATE";
    return eg_buf_printf(out, "%s\n-----BEGIN %s-----\nMAA=\n-----END %s-----\n", path, label,
                         label);
}

static const struct eg_addr own[] = { { 4, { 198, 200, 1, 1 } } };
const struct eg_policy_reader eg_policies_reader = { .read = read_pem,
                                                     .own_addresses = own,
                                                     .own_count = 1 };

static void list(const struct eg_diags *d, char *out, size_t cap)
{
    size_t n = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < eg_diags_total(d) && n < cap; i++) {
        const struct eg_diag *one = eg_diags_at(d, i);
        cr_expect_not_null(eg_code_find(one->code), "%s has no row in codes.c", one->code);
        n += (size_t)snprintf(out + n, cap - n, "%s%u:%u %s%s", i ? ", " : "", one->line,
                              one->column, one->severity == EG_DIAG_WARNING ? "W " : "", one->code);
    }
    if (n == 0)
        snprintf(out, cap, "-");
}

static unsigned check(const struct eg_policies_row *b, const char *where)
{
    struct eg_policy_file file = { "egress.yaml", eg_slice_str(b->text),
                                   b->layer ? b->layer : EG_LAYER_REPO, !b->untrusted };
    struct eg_diags *d = NULL;
    struct eg_buf block, text;
    struct eg_err err = { 0 };
    char got[TEXT_MAX];
    eg_buf_init(&block, 16 << 20);
    eg_buf_init(&text, 1 << 20);
    cr_assert_eq(eg_diags_new(&d), EG_OK);
    enum eg_status st = eg_policy_compile(&file, 1, &eg_policies_reader, d, &block, &err);
    list(d, got, sizeof got);
    bool error = eg_diags_count(d, EG_DIAG_ERROR) > 0;
    bool fine = strcmp(got, b->expect) == 0 && st == (error ? EG_INVALID : EG_OK) &&
                (error ? block.len == 0 : block.len > 0);
    cr_assert_eq(eg_diags_render(d, false, &text), EG_OK);
    if (!fine)
        fprintf(stderr, "%s: got %s, want %s\n%s%.*s\n", where, got, b->expect, b->text,
                (int)text.len, text.len ? text.data : "");
    eg_buf_done(&block);
    eg_buf_done(&text);
    eg_diags_free(d);
    return !fine;
}

void eg_policies_check(const struct eg_policies_row *rows, size_t count)
{
    unsigned failed = 0;
    cr_assert_geq(sodium_init(), 0);
    for (size_t i = 0; i < count; i++) {
        char where[32];
        snprintf(where, sizeof where, "row %zu", i);
        failed += check(&rows[i], where);
    }
    cr_assert_eq(failed, 0, "%u rows differ", failed);
}

struct eg_policy *eg_policies_build_files(const struct eg_policy_file *files, unsigned count,
                                          struct eg_buf *block)
{
    struct eg_diags *d = NULL;
    struct eg_policy *p = NULL;
    struct eg_buf text;
    struct eg_err err = { 0 };
    cr_assert_geq(sodium_init(), 0);
    eg_buf_init(block, 16 << 20);
    eg_buf_init(&text, 1 << 20);
    cr_assert_eq(eg_diags_new(&d), EG_OK);
    enum eg_status st = eg_policy_compile(files, count, &eg_policies_reader, d, block, &err);
    cr_assert_eq(eg_diags_render(d, false, &text), EG_OK);
    cr_assert_eq(st, EG_OK, "%.*s", (int)text.len, text.len ? text.data : "");
    cr_assert_eq(eg_policy_open(block->data, block->len, &p, &err), EG_OK, "%s", err.text);
    eg_buf_done(&text);
    eg_diags_free(d);
    return p;
}

struct eg_policy *eg_policies_build(const char *path, const char *text, struct eg_buf *block)
{
    const struct eg_policy_file file = { path, eg_slice_str(text), EG_LAYER_REPO, true };
    return eg_policies_build_files(&file, 1, block);
}

void eg_policies_compile(const struct eg_policy_file *files, unsigned count,
                         const struct eg_policy_reader *reader, struct eg_policies_result *r)
{
    struct eg_diags *d = NULL;
    size_t n = 0;
    struct eg_buf text;
    memset(r, 0, sizeof *r);
    cr_assert_geq(sodium_init(), 0);
    eg_buf_init(&r->block, 16 << 20);
    eg_buf_init(&text, 1 << 20);
    cr_assert_eq(eg_diags_new(&d), EG_OK);
    r->status = eg_policy_compile(files, count, reader, d, &r->block, NULL);
    for (unsigned i = 0; i < eg_diags_total(d) && n < sizeof r->codes; i++) {
        const struct eg_diag *one = eg_diags_at(d, i);
        n += (size_t)snprintf(r->codes + n, sizeof r->codes - n, "%s%s:%u %s%s", i ? ", " : "",
                              one->file, one->line, one->severity ? "W " : "", one->code);
    }
    cr_assert_eq(eg_diags_render(d, false, &text), EG_OK);
    snprintf(r->texts, sizeof r->texts, "%.*s", (int)text.len, text.len ? text.data : "");
    if (r->status == EG_OK)
        cr_assert_eq(eg_policy_open(r->block.data, r->block.len, &r->policy, NULL), EG_OK);
    eg_buf_done(&text);
    eg_diags_free(d);
}

void eg_policies_result_done(struct eg_policies_result *r)
{
    eg_policy_close(r->policy);
    eg_buf_done(&r->block);
}
