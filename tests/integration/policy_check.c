/* policy_check.c - `egressctl policy check` as a program: its exit status, which files it takes, what each format is made of, and that stderr stays empty. */
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
    eg_world_write(w, "good.yaml", "egress: 1\nallow: [a.example]\n");
    eg_world_write(w, "warn.yaml", "egress: 1\nallow: [a.example]\ndeny: [a.example]\n");
    eg_world_write(w, "bad.yaml", "egress: 1\nalow: [a.example]\n");
    eg_world_write(w, "priv.yaml", "egress: 1\nvia: true\n");
    eg_world_write(w, "both.yaml", "egress: 1\nvia: true\nalow: []\n");
}

/* "policy check" with files of the world (those that end with .yaml) and options; its exit status. */
static int check(const struct eg_world *w, char **out, const char *a, const char *b, const char *c,
                 const char *d)
{
    return eg_world_ask_policy(w, "check", (const char *const[4]){ a, b, c, d }, out);
}

Test(policy_check, the_exit_status_says_what_was_found, .timeout = 60)
{
    static const struct {
        const char *a, *b, *c;
        int code;
        const char *text;
    } rows[] = {
        { "good.yaml", NULL, NULL, 0, "good.yaml: valid\n" },
        { "warn.yaml", NULL, NULL, 0, "warning[shadowed-by-deny]" },
        { "warn.yaml", "--strict", NULL, 1, "warn.yaml: warnings, 0 errors, 1 warning;" },
        { "bad.yaml", NULL, NULL, 3, "fix: did you mean allow?" },
        { "bad.yaml", "--strict", NULL, 3, "bad.yaml: invalid, 1 error," },
        { "priv.yaml", NULL, NULL, 6, "priv.yaml: refused, 1 error," },
        { "priv.yaml", "--trust", NULL, 0, "priv.yaml: valid\n" },
        { "both.yaml", NULL, NULL, 3, "error[untrusted-key]" },
        { "priv.yaml", "good.yaml", "warn.yaml", 6, "3 files: refused, 1 error, 1 warning;" },
        { "priv.yaml", "good.yaml", "bad.yaml", 3, "3 files: invalid, 2 errors," },
        { "none.yaml", "good.yaml", NULL, 3, "error[unreadable-file]" },
        { "--format", "xml", "good.yaml", 2, "--format takes pretty|json|" },
        { "--nothing", NULL, NULL, 2, "there is no option --nothing" },
    };
    struct eg_world w;
    start(&w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *out = NULL;
        int code = check(&w, &out, rows[i].a, rows[i].b, rows[i].c, NULL);
        cr_expect(code == rows[i].code && strstr(out, rows[i].text), "row %zu: %d\n%s", i, code,
                  out);
        free(out);
    }
    eg_world_done(&w);
}

static json_t *report(const struct eg_world *w, const char *a, const char *b)
{
    char *out = NULL;
    check(w, &out, "--format", "json", a, b);
    json_t *o = json_loads(out, 0, NULL);
    cr_assert_not_null(o, "%s", out);
    free(out);
    return o;
}

/* A problem of user.yaml is every FILE's, and told once; --alone leaves it out. */
Test(policy_check, the_layers_below_count_once, .timeout = 60)
{
    struct eg_world w;
    char config[400];
    start(&w);
    snprintf(config, sizeof config, "%s", w.dir);
    setenv("XDG_CONFIG_HOME", config, 1);
    char *out = NULL;
    const char *const make[] = { "mkdir", "-p", eg_world_path(&w, "egress"), NULL };
    cr_assert_eq(eg_proc_run(&w, make, NULL, &out), 0, "%s", out);
    free(out);
    eg_world_write(&w, "egress/user.yaml", "egress: 1\nnope: 1\n");
    json_t *o = report(&w, "good.yaml", "warn.yaml");
    cr_expect_eq(json_integer_value(json_object_get(o, "errors")), 1);
    cr_expect_eq(json_array_size(json_object_get(o, "files")), 3);
    cr_expect_str_eq(json_string_value(json_object_get(o, "verdict")), "invalid");
    json_decref(o);
    o = report(&w, "good.yaml", "--alone");
    cr_expect_eq(json_array_size(json_object_get(o, "files")), 1);
    cr_expect_str_eq(json_string_value(json_object_get(o, "verdict")), "valid");
    json_decref(o);
    unsetenv("XDG_CONFIG_HOME");
    eg_world_done(&w);
}

Test(policy_check, json_has_the_place_of_each_problem, .timeout = 60)
{
    struct eg_world w;
    start(&w);
    json_t *o = report(&w, "bad.yaml", NULL),
           *f = json_array_get(json_object_get(o, "findings"), 0);
    cr_expect_eq(json_integer_value(json_object_get(o, "v")), 1);
    cr_expect_eq(json_integer_value(json_object_get(f, "line")), 2);
    cr_expect_eq(json_integer_value(json_object_get(f, "column")), 1);
    cr_expect_eq(json_integer_value(json_object_get(f, "width")), 4);
    cr_expect_str_eq(json_string_value(json_object_get(f, "code")), "unknown-key");
    cr_expect_str_eq(json_string_value(json_object_get(f, "severity")), "error");
    cr_expect_str_eq(json_string_value(json_object_get(f, "fix")), "did you mean allow?");
    cr_expect_str_eq(json_string_value(json_object_get(f, "source")), "alow: [a.example]");
    json_decref(o);
    eg_world_done(&w);
}

/* Without FILE it is ./egress.yaml, which has to be there. */
Test(policy_check, the_default_is_the_folders_policy, .timeout = 60)
{
    struct eg_world w;
    char *out = NULL;
    start(&w);
    cr_assert_eq(chdir(w.dir), 0);
    cr_expect_eq(check(&w, &out, NULL, NULL, NULL, NULL), 3);
    cr_expect_not_null(strstr(out, "there is no ./egress.yaml"), "%s", out);
    free(out);
    eg_world_write(&w, "egress.yaml", "egress: 1\n");
    cr_expect_eq(check(&w, &out, NULL, NULL, NULL, NULL), 0);
    cr_expect_str_eq(out, "egress.yaml: valid\n");
    free(out);
    cr_assert_eq(chdir("/"), 0);
    eg_world_done(&w);
}

/* `egressd -t` finds the same. */
Test(policy_check, the_daemons_test_says_the_same, .timeout = 60)
{
    struct eg_world w;
    char *ours = NULL, *daemons = NULL, file[400];
    start(&w);
    snprintf(file, sizeof file, "%s", eg_world_path(&w, "bad.yaml"));
    const char *const argv[] = { EG_BUILD_DIR "/egressd", "-t", "--policy", file, NULL };
    cr_expect_eq(eg_proc_run(&w, argv, NULL, &daemons), 3);
    cr_expect_eq(check(&w, &ours, "bad.yaml", NULL, NULL, NULL), 3);
    size_t n =
        strstr(ours, "bad.yaml: invalid") ? strlen(ours) - strlen(strstr(ours, "  fix:")) : 0;
    cr_expect(n > 0 && strncmp(ours, daemons, n) == 0, "%s\n%s", ours, daemons);
    free(ours);
    free(daemons);
    eg_world_done(&w);
}

/* These printed to a full disk, said nothing and ended with 0. */
Test(policy_check, what_a_full_disk_loses_is_no_success, .timeout = 60)
{
    static const char *const rows[] = { "--version", "help codes", "preset list", "preset show openai", "preset list --json",
                                        "policy show --json good.yaml", "policy init -", "completion fish" };
    struct eg_world w;
    start(&w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char line[600], *out = NULL;
        snprintf(line, sizeof line, "cd '%s' && exec %s/egressctl %s >/dev/full", w.dir, EG_BUILD_DIR, rows[i]);
        const char *argv[] = { "/bin/sh", "-c", line, NULL };
        int code = eg_proc_run(&w, argv, NULL, &out);
        cr_expect(code == 1 && strncmp(out, "egressctl", 9) == 0 && !strstr(out, "memory"), "%s: %d\n%s", rows[i], code, out);
        free(out);
    }
    eg_world_done(&w);
}
