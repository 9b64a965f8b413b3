/* cmd_findings.c - problems as documents: what is not listed is counted in every format, a place of the file as a whole is none, and SARIF's results name
 * their rules. tests/interop has the documents read by other programs. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/findings.h"
#include "policy/codes.h"

static struct eg_diags *problems(const char *text, size_t n)
{
    const struct eg_policy_file file = { "a b.yaml", eg_slice(text, n), EG_LAYER_REPO, true };
    struct eg_diags *d = NULL;
    struct eg_buf block;
    cr_assert_geq(sodium_init(), 0);
    eg_buf_init(&block, 16 << 20);
    cr_assert_eq(eg_diags_new(&d), EG_OK);
    (void)!eg_policy_compile(&file, 1, NULL, d, &block, NULL);
    eg_buf_done(&block);
    return d;
}

/* malloc'd. */
static char *document(const struct eg_diags *d, const char *verdict, enum eg_findings_format format)
{
    static const char *const names[] = { "a b.yaml" };
    unsigned n = eg_diags_total(d);
    const struct eg_diag **list = calloc(n + 1, sizeof *list);
    struct eg_buf out;
    cr_assert_not_null(list);
    for (unsigned i = 0; i < n; i++)
        list[i] = eg_diags_at(d, i);
    const struct eg_findings f = { .list = list,
                                   .count = n,
                                   .errors = eg_diags_count(d, EG_DIAG_ERROR),
                                   .warnings = eg_diags_count(d, EG_DIAG_WARNING),
                                   .files = names,
                                   .file_count = 1,
                                   .verdict = verdict };
    eg_buf_init(&out, 64 << 20);
    cr_assert_eq(eg_findings_write(&f, format, false, &out), EG_OK);
    cr_assert_eq(eg_buf_append(&out, "", 1), EG_OK);
    char *text = strdup(eg_buf_slice(&out).p);
    eg_buf_done(&out);
    free(list);
    return text;
}

static void expect(const struct eg_diags *d, const char *verdict, enum eg_findings_format format,
                   const char *text)
{
    char *got = document(d, verdict, format);
    size_t n = strlen(got);
    cr_expect_not_null(strstr(got, text), "format %d has no %s:\n%s", (int)format, text,
                       got + (n > 600 ? n - 600 : 0));
    free(got);
}

Test(findings, what_is_not_listed_is_counted)
{
    enum { COUNT = 1500 };
    char *text = calloc(COUNT, 16);
    size_t n = (size_t)sprintf(text, "egress: 1\nallow:\n");
    for (int i = 0; i < COUNT; i++)
        n += (size_t)sprintf(text + n, "- a..b\n");
    struct eg_diags *d = problems(text, n);
    unsigned more = eg_diags_count(d, EG_DIAG_ERROR) - eg_diags_total(d);
    char wanted[64];
    cr_assert_gt(more, 0);
    snprintf(wanted, sizeof wanted, "and %u more", more);
    expect(d, "invalid", EG_FINDINGS_PRETTY, wanted);
    expect(d, "invalid", EG_FINDINGS_GITHUB, wanted);
    expect(d, "invalid", EG_FINDINGS_AGENT, wanted);
    expect(d, "invalid", EG_FINDINGS_SARIF, wanted);
    snprintf(wanted, sizeof wanted, "\"more\":%u,", more);
    expect(d, "invalid", EG_FINDINGS_JSON, wanted);
    eg_diags_free(d);
    free(text);
}

Test(findings, a_file_as_a_whole_has_no_place)
{
    struct eg_diags *d = problems("", 0);
    expect(d, "invalid", EG_FINDINGS_AGENT,
           "a b.yaml error missing-key the key egress is missing; fix: add `egress: 1`\n");
    expect(d, "invalid", EG_FINDINGS_GITHUB, "::error title=missing-key,file=a b.yaml::the key");
    char *sarif = document(d, "invalid", EG_FINDINGS_SARIF),
         *json = document(d, "invalid", EG_FINDINGS_JSON);
    cr_expect_null(strstr(sarif, "region"), "%s", sarif);
    cr_expect_not_null(strstr(sarif, "a%20b.yaml"));
    cr_expect_null(strstr(json, "\"line\""), "%s", json);
    free(sarif);
    free(json);
    eg_diags_free(d);
}

Test(findings, warnings_fail_a_suite_under_strict_alone)
{
    static const char text[] = "egress: 1\nallow: [a.example]\ndeny: [a.example]\n";
    struct eg_diags *d = problems(text, sizeof text - 1);
    expect(d, "valid", EG_FINDINGS_JUNIT, "tests=\"1\" failures=\"0\"");
    expect(d, "warnings", EG_FINDINGS_JUNIT, "tests=\"1\" failures=\"1\"");
    expect(d, "valid", EG_FINDINGS_PRETTY, "a b.yaml: valid, 0 errors, 1 warning;");
    eg_diags_free(d);
    d = problems("egress: 1\n", 10);
    expect(d, "valid", EG_FINDINGS_JUNIT, "<testcase classname=\"a b.yaml\" name=\"valid\"/>");
    expect(d, "valid", EG_FINDINGS_PRETTY, "a b.yaml: valid\n");
    eg_diags_free(d);
}

Test(findings, sarif_has_every_code_as_a_rule)
{
    struct eg_diags *d = problems("egress: 1\nalow: []\nvia: 1\n", 26);
    char *text = document(d, "invalid", EG_FINDINGS_SARIF);
    json_t *o = json_loads(text, 0, NULL), *run = json_array_get(json_object_get(o, "runs"), 0);
    const json_t *rules =
        json_object_get(json_object_get(json_object_get(run, "tool"), "driver"), "rules");
    const json_t *results = json_object_get(run, "results");
    unsigned count = 0;
    while (eg_code_each(count))
        count++;
    cr_assert_eq(json_array_size(rules), count);
    cr_assert_eq(json_array_size(results), 2);
    for (size_t i = 0; i < 2; i++) {
        const json_t *r = json_array_get(results, i);
        size_t index = (size_t)json_integer_value(json_object_get(r, "ruleIndex"));
        cr_expect_str_eq(json_string_value(json_object_get(json_array_get(rules, index), "id")),
                         json_string_value(json_object_get(r, "ruleId")));
    }
    json_decref(o);
    free(text);
    eg_diags_free(d);
}
