/* policy_render.c - what people see of a bad policy, to the letter; and that no secret is in it. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/compile.h"

static char *render(const char *text, size_t n, bool trusted, bool color)
{
    struct eg_policy_file file = { "egress.yaml", eg_slice(text, n), EG_LAYER_REPO, trusted };
    struct eg_diags *d = NULL;
    struct eg_buf block, out;
    cr_assert_geq(sodium_init(), 0);
    eg_buf_init(&block, 16 << 20);
    eg_buf_init(&out, 8 << 20);
    cr_assert_eq(eg_diags_new(&d), EG_OK);
    (void)!eg_policy_compile(&file, 1, NULL, d, &block, NULL);
    cr_assert_eq(eg_diags_render(d, color, &out), EG_OK);
    cr_assert_eq(eg_buf_append(&out, "", 1), EG_OK);
    char *copy = strdup(out.data);
    eg_buf_done(&block);
    eg_buf_done(&out);
    eg_diags_free(d);
    return copy;
}

static void expect(const char *text, bool trusted, const char *want)
{
    char *got = render(text, strlen(text), trusted, false);
    cr_assert_str_eq(got, want, "got:\n%swant:\n%s", got, want);
    free(got);
}

Test(policy, rendering_of_an_unknown_key)
{
    expect("egress: 1\nallow:\n  - {host: a.example, port: [443]}\n", true,
           "egress.yaml:3:23: error[unknown-key]: there is no key 'port' here\n"
           "      - {host: a.example, port: [443]}\n"
           "                          ^~~~\n"
           "  fix: did you mean ports?\n");
}

Test(policy, rendering_sorts_and_shows_all)
{
    expect("egress: 1\nvia: yes\nallow: [\"*\"]\nintercept: true\n", true,
           "egress.yaml:2:6: error[bad-type]: via must be true or false, without quotes\n"
           "    via: yes\n"
           "         ^~~\n"
           "egress.yaml:3:9: error[wildcard-tld]: * alone would allow every host\n"
           "    allow: [\"*\"]\n"
           "            ^~~\n"
           "  fix: name the domains\n"
           "egress.yaml:4:1: error[not-available]: intercept is not available in this version\n"
           "    intercept: true\n"
           "    ^~~~~~~~~\n");
}

Test(policy, rendering_of_an_untrusted_key_says_how_to_trust)
{
    expect("egress: 1\nvia: true\n", false,
           "egress.yaml:2:1: error[untrusted-key]: an untrusted file may not contain via\n"
           "    via: true\n"
           "    ^~~\n"
           "  fix: after review, `egressctl trust egress.yaml` trusts this very content; "
           "`--trust` trusts it for one run\n");
}

Test(policy, rendering_shows_the_a_label)
{
    expect("egress: 1\nallow: [b\xc3\xbc"
           "cher.example, \"*.\xe4\xbe\x8b\xe3\x81\x88.example\"]\n",
           true,
           "egress.yaml:2:9: error[idn-host]: a host is written with A-labels (xn--...)\n"
           "    allow: [b\xc3\xbc"
           "cher.example, \"*.\xe4\xbe\x8b\xe3\x81\x88.example\"]\n"
           "            ^~~~~~~~~~~~~~\n"
           "  fix: write xn--bcher-kva.example\n"
           "egress.yaml:2:25: error[idn-host]: a host is written with A-labels (xn--...)\n"
           "    allow: [b\xc3\xbc"
           "cher.example, \"*.\xe4\xbe\x8b\xe3\x81\x88.example\"]\n"
           "                            ^~~~~~~~~~~~~~\n"
           "  fix: write *.xn--r8jz45g.example\n");
}

Test(policy, rendering_names_where_a_bracket_was_opened)
{
    expect("egress: 1\nallow: [a.example,\n  b.example\n", true,
           "egress.yaml:4:1: error[syntax]: flow sequence without a closing bracket ('[' was "
           "opened at 2:8 and is not closed)\n"
           "    \n"
           "    ^\n"
           "  fix: close the [ that was opened at 2:8\n");
}

Test(policy, rendering_of_a_file_as_a_whole)
{
    expect("", true,
           "egress.yaml: error[missing-key]: the key egress is missing\n"
           "  fix: add `egress: 1`\n");
}

Test(policy, rendering_in_color)
{
    static const char text[] = "egress: 1\nvia: 1\n";
    char *got = render(text, sizeof text - 1, true, true);
    cr_assert_str_eq(got, "egress.yaml:2:6: \033[1;31merror[bad-type]\033[0m: via must be true or "
                          "false, without quotes\n"
                          "    via: 1\n"
                          "         \033[1;31m^\033[0m\n");
    free(got);
}

Test(policy, rendering_of_a_long_line_is_a_window)
{
    char text[9000];
    int n = snprintf(text, sizeof text, "egress: 1\nallow: [");
    for (int i = 0; i < 400; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "a%d.example, ", i);
    snprintf(text + n, sizeof text - (size_t)n, "\"*\", z.example]\n");
    char *got = render(text, strlen(text), true, false);
    char *line = strchr(got, '\n') + 1;
    char *caret = strchr(line, '\n') + 1;
    cr_assert_lt(strlen(got), 600, "%zu", strlen(got));
    cr_assert_eq(strncmp(line + (strchr(caret, '^') - caret), "\"*\"", 3), 0, "%s", got);
    free(got);
}

Test(policy, rendering_hides_what_a_terminal_would_obey)
{
    char *got = render("egress: 1\nname: \"\x1b[2J\"\nallow: [\"a\x1b]0;x\xe2\x80\xae.example\"]\n",
                       52, true, false);
    cr_assert_null(strchr(got, 0x1b), "%s", got);
    cr_assert_null(strstr(got, "\xe2\x80\xae"), "%s", got);
    cr_assert_not_null(strstr(got, "bad-byte"));
    free(got);
}

Test(policy, no_secret_is_ever_repeated)
{
    static const char *const secrets[] = { "sk-proj-A1b2C3d4E5f6G7h8I9j0",
                                           "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
                                           "AKIAIOSFODNN7EXAMPLE", "xoxb-123456789012-abcdefABCDEF",
                                           "b7Fq2Lx9Kp4Zt8Wm3Nv6Rc1Yd5Hs0" };
    static const char *const files[] = {
        "egress: 1\ncredentials:\n  k: {from: %s, hosts: [a.example]}\n",
        "egress: 1\ncredentials:\n  k: {from: \"env:%s\", hosts: [a.example]}\n",
        "egress: 1\ncredentials:\n  k: {from: \"token:%s\", hosts: [a.example]}\n",
        "egress: 1\nservices:\n  s: {upstream: \"https://a\", write: [\"header:x-key: %s\"]}\n",
        "egress: 1\nservices:\n  s: {upstream: \"https://a\", credential: %s}\n",
        "egress: 1\nservices:\n  s: {upstream: \"https://u:%s@a\"}\n",
        "egress: 1\nallow:\n  - {host: \"%s@\"}\n",
        "egress: 1\n%s: x\n",
        "egress: 1\nname: [%s]\n",
        "egress: 1\nname: x # %s\nvia: 3 # %s\n",
        "egress: 1\nvia: %s\n",
        "egress: 1\nname: x: %s\n",
        "egress: 1\nupstream: [{proxy: \"http://u:%s@p.example:1\"}]\n",
        "egress: 1\nservices:\n  s: {upstream: \"https://a\", write: [\"%s\"]}\n",
        ("egress: 1\ncredentials:\n  k: {from: {cmd: [/bin/x, \"--token=%s\"]}, hosts: "
         "[a.example]}\n"),
        "egress: 1\nx: TOKEN=%s\n",
    };
    for (size_t f = 0; f < sizeof files / sizeof *files; f++)
        for (size_t s = 0; s < sizeof secrets / sizeof *secrets; s++) {
            char *text = NULL;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            int n = asprintf(&text, files[f], secrets[s], secrets[s]);
#pragma GCC diagnostic pop
            cr_assert_gt(n, 0);
            char *got = render(text, (size_t)n, true, false);
            cr_assert_gt(strlen(got), 0, "no problem in:\n%s", text);
            cr_assert_null(strstr(got, secrets[s]), "%s", got);
            free(got);
            free(text);
        }
}

/* Found by a fuzzer: what stands before the token, without a blank, is a part of its word. */
Test(policy, bug_a_token_that_something_is_glued_to_was_shown)
{
    static const char *const glued[] = { "xghp_abcdefghijklmnopqrstuvwxyz0123456789",
                                         "my-xoxb-123456789012abcdefABCDEFghij",
                                         "a_glpat-abcdefghij0123456789abc" };
    for (size_t i = 0; i < sizeof glued / sizeof *glued; i++) {
        char text[200];
        int n = snprintf(text, sizeof text, "egress: 1\nvia: 1 # %s\n", glued[i]);
        char *got = render(text, (size_t)n, true, false);
        cr_expect_null(strstr(got, glued[i] + 8), "%s", got);
        free(got);
    }
}

/* Found by a fuzzer: the A-label of a name repeats the ASCII part of it. */
Test(policy, bug_the_fix_of_a_host_with_other_letters_showed_a_token)
{
    static const char text[] = "egress: 1\nallow: [\"b\xc3\xbc"
                               "cherVVghp_abcdefghijklmnopqrstuvwxyz0123450egrple\"]\n";
    char *got = render(text, sizeof text - 1, true, false);
    cr_expect(strstr(got, "idn-host") && !strstr(got, "abcdefghijklm"), "%s", got);
    free(got);
}

/* Found by a fuzzer: what is wrong with a binding was told with the host as it stands, and a token may lie in a host. */
Test(policy, bug_a_token_in_the_host_of_an_upstream_was_shown)
{
    static const char text[] =
        "egress: 1\nservices:\n"
        "  s: {upstream: \"https://s3.exghp_abcdefghijklmnopqrstuvwxyz0930552390ample.com\", credential: c}\n"
        "credentials:\n  c: {from: \"env:C\", hosts: [a.example]}\n";
    char *got = render(text, sizeof text - 1, true, false);
    cr_expect(strstr(got, "credential-host") && !strstr(got, "abcdefghijklm"), "%s", got);
    free(got);
}

Test(policy, a_password_in_a_url_is_not_repeated)
{
    char *got = render("egress: 1\nservices:\n  s: {upstream: \"https://u:hunter2@a.example\"}\n",
                       66, true, false);
    cr_assert_null(strstr(got, "hunter2"), "%s", got);
    free(got);
    got = render("egress: 1\ncredentials:\n  s: {from: hunter2, hosts: [a.example]}\n", 65, true,
                 false);
    cr_assert_null(strstr(got, "hunter2"), "%s", got);
    free(got);
}

Test(policy, ordinary_names_are_not_taken_for_secrets)
{
    static const char *const names[] = { "api.github.com",
                                         "a-very-long-host-name-with-many-words.example.com",
                                         "OPENAI_API_KEY",
                                         "/home/user/projects/agent/secrets/openai-key-2026.txt",
                                         "keyring:internal/api-key",
                                         "d3l1b3r4t3ly.cloudfront.net",
                                         "application/vnd.github.v3+json",
                                         "AWS_SECRET_ACCESS_KEY",
                                         "npm_config_registry_of_the_company",
                                         "laughs_at_a_very_long_name_of_a_thing",
                                         "disk-controller-of-the-storage" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[400];
        snprintf(text, sizeof text, "egress: 1\nvia: 1 # %s\n", names[i]);
        char *got = render(text, strlen(text), true, false);
        cr_assert_not_null(strstr(got, names[i]), "%s", got);
        free(got);
    }
}
