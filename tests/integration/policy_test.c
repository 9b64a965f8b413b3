/* policy_test.c - `egressctl policy test` as a program: its exit status, and what each format says of tests that pass and fail. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/daemon.h"

static const char POLICY[] =
    "egress: 1\n"
    "%s"
    "allow:\n"
    "  - docs.example\n"
    "deny:\n"
    "  - {host: \"*.bad.example\", why: \"no <bad> & \\\"worse\\\"\"}\n"
    "services:\n"
    "  api: {upstream: \"https://api.example\", deny: [\"POST /pulls\"]}\n"
    "tests:\n"
    "  - {connect: \"docs.example:443\", expect: allow}\n"
    "  - {request: \"POST https://api.example/pulls\", expect: deny, rule: api}\n"
    "%s";

static const char FAILING[] = "  - {connect: \"x.bad.example:443\", expect: allow}\n";

static void start(struct eg_world *w, const char *more, const char *tests)
{
    char policy[2048];
    snprintf(policy, sizeof policy, POLICY, more, tests);
    eg_world_new(w);
    eg_world_write(w, "egress.yaml", policy);
    eg_world_home(w);
}

/* "policy test --alone DIR/egress.yaml" and these words. */
static char *run(const struct eg_world *w, int want, const char *a, const char *b)
{
    char *out = NULL;
    const char *const argv[] = { EG_BUILD_DIR "/egressctl",       "policy", "test", "--alone",
                                 eg_world_path(w, "egress.yaml"), a,        b,      NULL };
    int got = eg_proc_run(w, argv, NULL, &out);
    cr_assert_eq(got, want, "%d, want %d:\n%s", got, want, out);
    return out;
}

static void says(const struct eg_world *w, int want, const char *text, const char *a, const char *b)
{
    char *out = run(w, want, a, b);
    cr_expect_not_null(strstr(out, text), "no \"%s\" in:\n%s", text, out);
    free(out);
}

Test(policy_test, all_that_is_expected_is_so, .timeout = 60)
{
    struct eg_world w;
    start(&w, "", "");
    says(&w, 0, "2 tests: 2 passed, 0 failed\n", NULL, NULL);
    says(&w, 0, "\"failed\":0", "--format", "json");
    says(&w, 0, "failures=\"0\"", "--format", "junit");
    char *quiet = run(&w, 0, "--format", "agent");
    cr_expect_str_empty(quiet);
    free(quiet);
    eg_world_done(&w);
}

Test(policy_test, names_the_rule_that_decides, .timeout = 60)
{
    struct eg_world w;
    start(&w, "", FAILING);
    says(&w, 1, "egress.yaml:11:15: failed: connect x.bad.example:443\n", NULL, NULL);
    says(&w, 1, "got deny, host_denied by ", NULL, NULL);
    says(&w, 1, "egress.yaml:5 - no <bad> & \"worse\": a tunnel to x.bad.example:443", NULL, NULL);
    says(&w, 1, "3 tests: 2 passed, 1 failed\n", NULL, NULL);
    says(&w, 1, "line=11", "--format", "github");
    says(&w, 1, ":11:15 error test-failed connect x.bad.example:443: expected allow", "--format",
         "agent");
    says(&w, 1, "no &lt;bad&gt; &amp; ", "--format", "junit");
    eg_world_done(&w);
}

Test(policy_test, json_has_every_result, .timeout = 60)
{
    struct eg_world w;
    start(&w, "", FAILING);
    char *out = run(&w, 1, "--format", "json");
    json_t *o = json_loads(out, 0, NULL);
    json_t *results = json_object_get(o, "results");
    cr_assert_not_null(o, "%s", out);
    cr_expect_eq(json_integer_value(json_object_get(o, "v")), 1);
    cr_expect_eq(json_integer_value(json_object_get(o, "tests")), 3);
    cr_expect_eq(json_integer_value(json_object_get(o, "passed")), 2);
    cr_assert_eq(json_array_size(results), 3);
    json_t *last = json_array_get(results, 2);
    cr_expect(json_is_false(json_object_get(last, "passed")));
    cr_expect_str_eq(json_string_value(json_object_get(last, "expect")), "allow");
    cr_expect_str_eq(json_string_value(json_object_get(last, "got")), "deny");
    cr_expect_str_eq(json_string_value(json_object_get(last, "reason")), "host_denied");
    cr_expect(json_is_true(json_object_get(json_array_get(results, 1), "passed")));
    json_decref(o);
    free(out);
    eg_world_done(&w);
}

Test(policy_test, what_is_no_policy_is_not_tested, .timeout = 60)
{
    struct eg_world w;
    start(&w, "", "  - {connect: docs.example, expect: allow}\n");
    says(&w, 3, "error[bad-test]", NULL, NULL);
    says(&w, 2, "one FILE", "another.yaml", NULL);
    says(&w, 2, "--format", "--format", "toml");
    eg_world_done(&w);
    start(&w, "via: true\n", "");
    says(&w, 6, "error[untrusted-key]", NULL, NULL);
    says(&w, 0, "2 passed", "--trust", NULL);
    eg_world_done(&w);
}

/* What an extended file tests is tested too. */
Test(policy_test, tests_of_extended_files_run_as_well, .timeout = 60)
{
    struct eg_world w;
    start(&w, "extends: [./team.yaml]\n", "");
    eg_world_write(&w, "team.yaml",
                   "egress: 1\ntests: [{connect: \"docs.example:443\", expect: deny}]\n");
    says(&w, 1, "team.yaml:2:19: failed: connect docs.example:443", NULL, NULL);
    says(&w, 1, "3 tests: 2 passed, 1 failed", NULL, NULL);
    eg_world_done(&w);
}
