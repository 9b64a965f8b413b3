/* policy_diff.c - `egressctl policy diff` as a program: its exit status, its formats, a file against its own revision in git. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/daemon.h"

static void start(struct eg_world *w)
{
    eg_world_new(w);
    eg_world_home(w);
    eg_world_write(w, "a.yaml", "egress: 1\nallow: [a.example]\n");
    eg_world_write(w, "same.yaml", "egress: 1\n# other words\nallow:\n  - {host: A.example}\n");
    eg_world_write(w, "more.yaml", "egress: 1\nallow:\n  - a.example\n  - \"*.b.example\"\n");
    eg_world_write(w, "name.yaml", "egress: 1\nname: x\nallow: [a.example]\n");
    eg_world_write(w, "bad.yaml", "egress: 1\nalow: [a.example]\n");
    eg_world_write(w, "via.yaml", "egress: 1\nvia: true\nallow: [a.example]\n");
}

static int diff(const struct eg_world *w, char **out, const char *a, const char *b, const char *c,
                const char *d)
{
    return eg_world_ask_policy(w, "diff", (const char *const[4]){ a, b, c, d }, out);
}

Test(policy_diff, the_exit_status_says_whether_they_differ, .timeout = 60)
{
    static const struct {
        const char *a, *b, *c, *d;
        int code;
        const char *text;
    } rows[] = {
        { "a.yaml", "a.yaml", NULL, NULL, 0, "both mean the same\n" },
        { "a.yaml", "same.yaml", NULL, NULL, 0, "both mean the same\n" },
        { "a.yaml", "name.yaml", NULL, NULL, 0, "neutral  name\n" },
        { "a.yaml", "more.yaml", NULL, NULL, 1, "widens  *.b.example on 443\n" },
        { "more.yaml", "a.yaml", NULL, NULL, 1, "narrows  *.b.example on 443\n" },
        { "more.yaml", "a.yaml", "--fail-on", "widens,credential", 0, "1 narrows" },
        { "a.yaml", "name.yaml", "--fail-on", "neutral", 1, "neutral  name\n" },
        { "a.yaml", "more.yaml", "--fail-on=widens", "--fail-on=narrows", 1,
          "widens" }, /* both count */
        { "a.yaml", "more.yaml", "--fail-on=narrows", "--fail-on=neutral", 0, "widens" },
        { "a.yaml", "more.yaml", "--fail-on", "more", 2, "--fail-on takes labels" },
        { "a.yaml", "bad.yaml", NULL, NULL, 3, "error[unknown-key]" },
        { "a.yaml", "none.yaml", NULL, NULL, 3, "none.yaml" },
        { "a.yaml", "via.yaml", NULL, NULL, 6, "error[untrusted-key]" },
        { "a.yaml", "via.yaml", "--trust", NULL, 0, "neutral  via\n" },
        { "a.yaml", NULL, NULL, NULL, 2, "which two policies?" },
        { "a.yaml", "more.yaml", "--format", "github", 1, "::warning title=policy-widens,file=" },
        { "a.yaml", "more.yaml", "--format", "agent", 1, "more.yaml:4:1 warning policy-widens " },
    };
    struct eg_world w;
    char *out;
    start(&w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int code = diff(&w, &out, rows[i].a, rows[i].b, rows[i].c, rows[i].d);
        cr_expect_eq(code, rows[i].code, "row %zu: %d\n%s", i, code, out);
        cr_expect(strstr(out, rows[i].text), "row %zu:\n%s", i, out);
        free(out);
    }
    eg_world_done(&w);
}

Test(policy_diff, json_has_the_example_and_both_rules, .timeout = 60)
{
    struct eg_world w;
    char *out;
    start(&w);
    cr_assert_eq(diff(&w, &out, "a.yaml", "more.yaml", "--format", "json"), 1, "%s", out);
    json_t *doc = json_loads(out, 0, NULL);
    json_t *c = json_array_get(json_object_get(doc, "changes"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(doc, "verdict")), "differs");
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(doc, "counts"), "widens")), 1);
    cr_assert_str_eq(json_string_value(json_object_get(c, "label")), "widens");
    cr_assert_str_eq(json_string_value(json_object_get(c, "example")), "CONNECT sub.b.example:443");
    cr_assert(strstr(json_string_value(json_object_get(c, "rule_after")), "more.yaml:4"));
    json_decref(doc);
    free(out);
    eg_world_done(&w);
}

static void git(const struct eg_world *w, const char *a, const char *b, const char *c)
{
    const char *argv[] = {
        "git", "-c", "user.name=x", "-c", "user.email=x@a.example", "-C", w->dir, a, b, c, NULL
    };
    char *out;
    cr_assert_eq(eg_proc_run(w, argv, NULL, &out), 0, "git %s: %s", a, out);
    free(out);
}

Test(policy_diff, a_file_against_its_revision, .timeout = 60)
{
    struct eg_world w;
    char *out;
    if (access("/usr/bin/git", X_OK) != 0)
        cr_skip("no git here");
    start(&w);
    git(&w, "init", "-q", NULL);
    git(&w, "add", "a.yaml", NULL);
    git(&w, "commit", "-qm", "first");
    cr_assert_eq(chdir(w.dir), 0);
    const char *argv[] = {
        EG_BUILD_DIR "/egressctl", "policy", "diff", "--git", "HEAD", "a.yaml", NULL
    };
    cr_expect_eq(eg_proc_run(&w, argv, NULL, &out), 0, "%s", out);
    free(out);
    eg_world_write(&w, "a.yaml", "egress: 1\nallow: [a.example, b.example]\n");
    cr_expect_eq(eg_proc_run(&w, argv, NULL, &out), 1, "%s", out);
    cr_expect(strstr(out, "widens  b.example on 443"), "%s", out);
    free(out);
    const char *revision[] = {
        EG_BUILD_DIR "/egressctl", "policy", "diff", "a.yaml", "HEAD:a.yaml", NULL
    };
    cr_expect_eq(eg_proc_run(&w, revision, NULL, &out), 1, "%s", out);
    cr_expect(strstr(out, "narrows  b.example on 443"), "%s", out);
    free(out);
    eg_world_done(&w);
}

/* A place that a policy names was once another one in a revision. */
Test(policy_diff, a_file_that_a_revision_names_is_the_same_file, .timeout = 60)
{
    struct eg_world w;
    char *out;
    if (access("/usr/bin/git", X_OK) != 0)
        cr_skip("no git here");
    start(&w);
    eg_world_write(
        &w, "a.yaml",
        "egress: 1\naudit: {file: log}\ncredentials:\n  k: {from: \"file:sub/k\", hosts: "
        "[a.example]}\n");
    git(&w, "init", "-q", NULL);
    git(&w, "add", "a.yaml", NULL);
    git(&w, "commit", "-qm", "first");
    cr_assert_eq(chdir(w.dir), 0);
    const char *argv[] = {
        EG_BUILD_DIR "/egressctl", "policy", "diff", "--trust", "--git", "HEAD", "./a.yaml", NULL
    };
    cr_expect_eq(eg_proc_run(&w, argv, NULL, &out), 0, "%s", out);
    cr_expect(strstr(out, "both mean the same"), "%s", out);
    free(out);
    eg_world_done(&w);
}
