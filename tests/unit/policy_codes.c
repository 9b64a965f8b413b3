/* policy_codes.c - the table of codes beside the compiler: every code has its page, every page an example that has this problem, and the sources name no
 * code that is not in the table. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <glob.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/codes.h"
#include "support/policies.h"

/* The codes of a text's problems, ", " between. */
static void codes_of(const struct eg_code *c, const char *text, char *out, size_t cap)
{
    const struct eg_policy_file file = { "egress.yaml", eg_slice_str(text),
                                         c->layer ? c->layer : EG_LAYER_REPO, !c->untrusted };
    struct eg_diags *d = NULL;
    struct eg_buf block;
    size_t n = 0;
    eg_buf_init(&block, 16 << 20);
    cr_assert_eq(eg_diags_new(&d), EG_OK);
    (void)!eg_policy_compile(&file, 1, &eg_policies_reader, d, &block, NULL);
    out[0] = '\0';
    for (unsigned i = 0; i < eg_diags_total(d) && n < cap; i++)
        n += (size_t)snprintf(out + n, cap - n, "%s%s%s", i ? ", " : "",
                              eg_diags_at(d, i)->severity == EG_DIAG_WARNING ? "W " : "",
                              eg_diags_at(d, i)->code);
    eg_diags_free(d);
    eg_buf_done(&block);
}

Test(codes, every_example_has_its_problem_and_what_is_written_instead_has_none)
{
    const struct eg_code *c;
    char got[1024], want[64];
    cr_assert_geq(sodium_init(), 0);
    for (unsigned i = 0; (c = eg_code_each(i)) != NULL; i++) {
        snprintf(want, sizeof want, "%s%s", c->severity == EG_DIAG_WARNING ? "W " : "", c->name);
        if (c->example) {
            codes_of(c, c->example, got, sizeof got);
            cr_expect_str_eq(got, want, "the example of %s gives: %s", c->name, got);
        }
        if (c->instead) {
            codes_of(c, c->instead, got, sizeof got);
            cr_expect_str_eq(got, "", "what is written instead of %s gives: %s", c->name, got);
        }
    }
}

Test(codes, the_table_is_sorted_and_complete)
{
    const struct eg_code *c, *before = NULL;
    static const char *const promised[] = { "unknown-key",
                                            "duplicate-key",
                                            "bad-type",
                                            "bad-host",
                                            "idn-host",
                                            "wildcard-tld",
                                            "inline-secret",
                                            "unreachable-rule",
                                            "shadowed-by-deny",
                                            "unenforceable-rule",
                                            "untrusted-key",
                                            "credential-host",
                                            "service-host-tunnel",
                                            "plaintext-credential",
                                            "remote-resolution",
                                            "anchor",
                                            "tag",
                                            "multi-doc",
                                            "too-large",
                                            "bad-cidr",
                                            "bad-path" };
    for (unsigned i = 0; (c = eg_code_each(i)) != NULL; before = c, i++) {
        if (before)
            cr_expect_lt(strcmp(before->name, c->name), 0, "%s", c->name);
        cr_expect(eg_code_find(c->name) == c, "%s", c->name);
        cr_expect(strlen(c->about) > 10 && c->about[strlen(c->about) - 1] != '.', "%s", c->name);
        cr_expect(strlen(c->page) > 40 && c->page[strlen(c->page) - 1] != '\n', "%s", c->name);
    }
    for (size_t i = 0; i < sizeof promised / sizeof *promised; i++)
        cr_expect_not_null(eg_code_find(promised[i]), "%s", promised[i]);
    cr_assert_null(eg_code_find(""));
    cr_assert_null(eg_code_find("zzz"));
    cr_assert_null(eg_code_find("bad-"));
}

static char *read_source(const char *path)
{
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    char *text = calloc(1, 1 << 18);
    cr_assert_not_null(text);
    size_t n = fread(text, 1, (1 << 18) - 1, f);
    fclose(f);
    cr_assert_lt(n, (1 << 18) - 1, "%s", path);
    return text;
}

/* The text between quotes behind the call's first argument; false where that is no literal. */
static bool literal_code(const char *call, char *out, size_t cap)
{
    const char *p = strchr(call, ',');
    if (!p)
        return false;
    for (p++; isspace((unsigned char)*p); p++)
        ;
    if (*p != '"')
        return false;
    snprintf(out, cap, "%.*s", (int)strcspn(p + 1, "\""), p + 1);
    return true;
}

static unsigned check_calls(const char *file, const char *text, const char *name)
{
    unsigned seen = 0;
    char code[64];
    for (const char *at = text; (at = strstr(at, name)) != NULL; at += strlen(name))
        if (literal_code(at, code, sizeof code)) {
            cr_expect_not_null(eg_code_find(code), "%s: %s has no row in codes.c", file, code);
            seen++;
        }
    return seen;
}

Test(codes, the_sources_name_every_code_and_no_other)
{
    glob_t found;
    char *used = calloc(1, 4 << 20);
    size_t n = 0;
    unsigned seen = 0;
    const struct eg_code *c;
    cr_assert_not_null(used);
    cr_assert_eq(glob(EG_SOURCE_DIR "/src/policy/*.c", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        if (strstr(found.gl_pathv[i], "/codes.c"))
            continue;
        char *text = read_source(found.gl_pathv[i]);
        seen += check_calls(found.gl_pathv[i], text, "eg_diag_error(");
        seen += check_calls(found.gl_pathv[i], text, "eg_diag_warning(");
        n += (size_t)snprintf(used + n, (4 << 20) - n, "%s", text);
        free(text);
    }
    globfree(&found);
    cr_assert_gt(seen, 100);
    for (unsigned i = 0; (c = eg_code_each(i)) != NULL; i++) {
        char quoted[80];
        snprintf(quoted, sizeof quoted, "\"%s\"", c->name);
        cr_expect_not_null(strstr(used, quoted), "nothing says %s", c->name);
    }
    free(used);
}
