/* policy_extends.c - policies in several files: what is extended counts less than what extends it, is no more trusted, and can't be named from everywhere. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/policies.h"

#define E "egress: 1\n"

struct text {
    const char *path, *text;
};
struct world {
    const struct text *files;
    const char *link;    /* this path is reached by a symbolic link */
    const char *trusted; /* "PATH PATH ...", what the recorded hash covers */
    bool recorded;       /* the file was trusted once */
    unsigned reads;
    char asked[400]; /* the parts that trust was asked for last */
    char below[100]; /* what was to be opened without a link last */
};

static enum eg_status extend(void *ctx, const char *path, const char *below, struct eg_slice *text,
                             struct eg_err *err)
{
    struct world *w = ctx;
    w->reads++;
    snprintf(w->below, sizeof w->below, "%s", below ? below : "");
    if (below && w->link && strcmp(path, w->link) == 0)
        return eg_err_set(err, EG_PERMISSION, "file", 0, "a link");
    for (const struct text *f = w->files; f && f->path; f++)
        if (strcmp(f->path, path) == 0) {
            *text = eg_slice_str(f->text);
            return EG_OK;
        }
    return eg_err_set(err, EG_NOT_FOUND, "file", 0, "there is no %s", path);
}

static bool recorded(void *ctx, const struct eg_policy_file *file)
{
    (void)file;
    return ((struct world *)ctx)->recorded;
}

static bool trust(void *ctx, const struct eg_policy_file *file, const struct eg_policy_file *parts,
                  unsigned count)
{
    struct world *w = ctx;
    size_t n = 0;
    (void)file;
    w->asked[0] = '\0';
    for (unsigned i = 0; i < count; i++)
        n += (size_t)snprintf(w->asked + n, sizeof w->asked - n, "%s%s", i ? " " : "",
                              parts[i].path);
    return w->trusted && strcmp(w->trusted, w->asked) == 0;
}

static void compile_one(struct world *w, const char *path, const char *text, bool trusted,
                        struct eg_policies_result *r)
{
    const struct eg_policy_file file = { path, eg_slice_str(text), EG_LAYER_REPO, trusted };
    const struct eg_policy_reader reader = {
        .ctx = w, .extend = extend, .recorded = recorded, .trust = trust
    };
    eg_policies_compile(&file, 1, &reader, r);
}

/* "file:line" of the rule that decides, or the refusal's name. */
static const char *decides(const struct eg_policies_result *r, const char *host)
{
    static char text[200];
    struct eg_authority to;
    struct eg_verdict v;
    cr_assert_not_null(r->policy, "%s", r->texts);
    cr_assert_eq(eg_authority_parse(eg_slice_str(host), 443, &to, NULL), EG_OK);
    eg_policy_judge_tunnel(r->policy, &to, &v);
    snprintf(text, sizeof text, "%s%s%.*s", v.status == EG_OK ? "" : egress_status_name(v.status),
             v.status == EG_OK ? "" : " ", (int)v.rule.n, v.rule.n ? v.rule.p : "");
    return text;
}

/* ---- meaning ---- */

Test(extends, lists_unite_and_places_name_the_files)
{
    const struct text files[] = { { "dir/team.yaml", E "allow: [team.example.com]\n"
                                                       "deny: [no.example.com]\n" },
                                  { NULL, NULL } };
    struct world w = { .files = files };
    struct eg_policies_result r;
    compile_one(&w, "dir/egress.yaml",
                E "extends: ./team.yaml\nallow:\n- own.example.com\n- no.example.com\n", false, &r);
    cr_assert_str_eq(decides(&r, "team.example.com"), "dir/team.yaml:2");
    cr_assert_str_eq(decides(&r, "own.example.com"), "dir/egress.yaml:4");
    cr_assert_str_eq(decides(&r, "no.example.com"), "host_denied dir/team.yaml:3");
    eg_policies_result_done(&r);
}

Test(extends, of_single_values_the_extending_file_wins)
{
    const struct text files[] = { { "team.yaml",
                                    E "name: team\nlimits: {connections: 5, headers: 50}\n" },
                                  { "more.yaml", E "name: more\nlimits: {headers: 60}\n" },
                                  { NULL, NULL } };
    struct world w = { .files = files };
    struct eg_policies_result r;
    for (int trusted = 0; trusted < 2; trusted++) {
        compile_one(&w, "egress.yaml",
                    E "extends: [team.yaml, more.yaml]\nlimits: {connections: 7}\n", trusted, &r);
        cr_assert_eq(r.status, EG_OK, "%s", r.texts);
        cr_assert_eq(eg_policy_limits(r.policy)->connections, 7);
        cr_assert_eq(eg_policy_limits(r.policy)->headers, 60, "the later one of the list");
        cr_assert(eg_slice_eq(eg_policy_name(r.policy), EG_SLICE("more")));
        eg_policies_result_done(&r);
    }
}

Test(extends, the_meaning_is_that_of_one_file)
{
    const struct text files[] = { { "team.yaml", E "allow: [a.example.com]\n" }, { NULL, NULL } };
    struct world w = { .files = files };
    struct eg_policies_result one, two;
    compile_one(&w, "egress.yaml", E "allow: [b.example.com, a.example.com]\n", true, &one);
    compile_one(&w, "egress.yaml", E "extends: team.yaml\nallow: [b.example.com]\n", true, &two);
    cr_assert_eq(memcmp(eg_policy_id(one.policy), eg_policy_id(two.policy), 32), 0);
    eg_policies_result_done(&one);
    eg_policies_result_done(&two);
}

Test(extends, a_file_is_read_once_whoever_names_it)
{
    const struct text files[] = { { "a.yaml", E "extends: c.yaml\n" },
                                  { "b.yaml", E "extends: [./c.yaml, .//c.yaml]\n" },
                                  { "c.yaml", E "allow: [c.example.com]\n" },
                                  { NULL, NULL } };
    struct world w = { .files = files };
    struct eg_policies_result r;
    compile_one(&w, "egress.yaml", E "extends: [a.yaml, b.yaml]\n", false, &r);
    cr_assert_str_eq(decides(&r, "c.example.com"), "c.yaml:2");
    cr_assert_eq(w.reads, 3);
    eg_policies_result_done(&r);
}

Test(extends, an_untrusted_file_overrides_its_own_base_and_no_trusted_one)
{
    static const char service[] =
        E "services:\n  s: {upstream: \"https://a.example\", rules: [\"GET /**\"]}\n";
    const struct text files[] = { { "team.yaml", service }, { NULL, NULL } };
    struct world w = { .files = files };
    struct eg_policies_result r;
    compile_one(&w, "egress.yaml",
                E "extends: team.yaml\nservices:\n  s: {upstream: \"https://b.example\"}\n", false,
                &r);
    cr_assert_eq(r.status, EG_OK, "%s", r.texts);
    struct eg_service s;
    eg_policy_service(r.policy, 0, &s);
    cr_assert(eg_slice_eq(eg_authority_host(&s.upstream), EG_SLICE("b.example")));
    eg_policies_result_done(&r);
    const struct eg_policy_file two[] = {
        { "user.yaml", eg_slice_str(service), EG_LAYER_USER, true },
        { "egress.yaml", EG_SLICE(E "extends: team.yaml\n"), EG_LAYER_REPO, false },
    };
    const struct eg_policy_reader reader = { .ctx = &w, .extend = extend };
    eg_policies_compile(two, 2, &reader, &r);
    cr_assert_str_eq(r.codes, "team.yaml:3 untrusted-key", "%s", r.texts);
    eg_policies_result_done(&r);
}

/* ---- what can be named ---- */

struct row {
    const char *text, *expect;
};

static const struct text errors_files[] = {
    { "self.yaml", E "extends: self.yaml\n" },
    { "one.yaml", E "extends: two.yaml\n" },
    { "two.yaml", E "extends: sub/../one.yaml\n" },
    { "sub/../one.yaml", E "extends: one.yaml\n" },
    { "bad.yaml", E "via: yes\n" },
    { "broken.yaml", "egress: [\n" },
    { "back.yaml", E "extends: egress.yaml\n" },
    { "privileged.yaml", E "via: true\n" },
    { "key.yaml", E "credentials: {k: {from: \"env:K\", hosts: [a.example]}}\n" },
    { "up/x.yaml", E "extends: ../egress.yaml\n" },
    { "../out.yaml", E },
    { "/etc/out.yaml", E },
    { "sub/fine.yaml", E "extends: ./deep.yaml\n" },
    { "sub/deep.yaml", E "allow: [deep.example.com]\n" },
    { NULL, NULL },
};

static void check_rows(const struct row *rows, size_t count, bool trusted)
{
    unsigned failed = 0;
    for (size_t i = 0; i < count; i++) {
        struct world w = { .files = errors_files, .link = "linked.yaml" };
        struct eg_policies_result r;
        char text[300];
        snprintf(text, sizeof text, E "%s", rows[i].text);
        compile_one(&w, "egress.yaml", text, trusted, &r);
        if (strcmp(r.codes, rows[i].expect) != 0) {
            fprintf(stderr, "row %zu: got %s, want %s\n%s", i, r.codes, rows[i].expect, r.texts);
            failed++;
        }
        cr_expect_eq(r.status, strchr(rows[i].expect, ' ') ? EG_INVALID : EG_OK);
        eg_policies_result_done(&r);
    }
    cr_assert_eq(failed, 0);
}

Test(extends, problems_have_places)
{
    static const struct row rows[] = {
        { "extends: missing.yaml\n", "egress.yaml:2 unreadable-file" },
        { "extends: [self.yaml]\n", "self.yaml:2 extends-cycle" },
        { "extends: [egress.yaml]\n", "egress.yaml:2 extends-cycle" },
        { "extends: back.yaml\n", "back.yaml:2 extends-cycle" },
        { "extends: one.yaml\n", "sub/../one.yaml:2 extends-cycle" },
        { "extends: bad.yaml\n", "bad.yaml:2 bad-type" },
        { "extends: broken.yaml\n", "broken.yaml:2 syntax" },
        { "extends: http://a.example/x.yaml\n", "egress.yaml:2 bad-extends" },
        { "extends: HTTPS://a.example/x.yaml\n", "egress.yaml:2 bad-extends" },
        { "extends: \"\"\n", "egress.yaml:2 bad-extends" },
        { "extends: dir/\n", "egress.yaml:2 bad-extends" },
        { "extends: .\n", "egress.yaml:2 bad-extends" },
        { "extends: \"./\\u009b31mx.yaml\"\n", "egress.yaml:2 bad-byte" },
        { "extends: \"./\\u202ex.yaml\"\n", "egress.yaml:2 bad-byte" },
        { "extends: ./preset:x.yaml\n", "egress.yaml:2 bad-extends" },
        { "extends: ././/preset:agent-baseline\n", "egress.yaml:2 bad-extends" },
        { "extends: preset:nonsense\n", "egress.yaml:2 unknown-preset" },
        { "extends: {preset: nonsense}\n", "egress.yaml:2 unknown-preset" },
        { "extends: [preset:openai]\n", "egress.yaml:2 bad-extends" },
        { "extends: {file: x}\n", "egress.yaml:2 unknown-key" },
        { "extends: [[x]]\n", "egress.yaml:2 bad-type" },
        { "extends:\n", "egress.yaml:2 bad-type" },
        { "extends: []\n", "" },
        { "extends: sub/fine.yaml\n", "" },
        { "extends: ../out.yaml\n", "" },
        { "extends: /etc/out.yaml\n", "" },
        { "extends: [preset:agent-baseline, preset:agent-baseline]\n", "" },
        { "extends: {preset: agent-baseline}\n", "" },
    };
    check_rows(rows, sizeof rows / sizeof *rows, true);
}

Test(extends, an_untrusted_file_reaches_nothing_outside_of_its_folder)
{
    static const struct row rows[] = {
        { "extends: ../out.yaml\n", "egress.yaml:2 untrusted-key" },
        { "extends: sub/../../out.yaml\n", "egress.yaml:2 untrusted-key" },
        { "extends: /etc/out.yaml\n", "egress.yaml:2 untrusted-key" },
        { "extends: linked.yaml\n", "egress.yaml:2 untrusted-key" },
        { "extends: up/x.yaml\n", "up/x.yaml:2 untrusted-key" },
        { "extends: privileged.yaml\n", "privileged.yaml:2 untrusted-key" },
        { "extends: key.yaml\n", "key.yaml:2 untrusted-key" },
        { "extends: sub/fine.yaml\n", "" },
        { "extends: preset:agent-baseline\n", "" },
    };
    check_rows(rows, sizeof rows / sizeof *rows, false);
}

/* a folder on the way may become a link after the first file in it was read */
Test(extends, of_nested_files_no_part_of_the_way_may_be_a_link)
{
    static const struct text files[] = {
        { "a/repo/sub/fine.yaml", E "extends: ./deep.yaml\n" },
        { "a/repo/sub/deep.yaml", E },
        { NULL, NULL },
    };
    struct world w = { .files = files };
    struct eg_policies_result r;
    compile_one(&w, "a/repo/egress.yaml", E "extends: sub/fine.yaml\n", false, &r);
    cr_assert_eq(r.status, EG_OK, "%s", r.texts);
    cr_assert_str_eq(w.below, "sub/deep.yaml");
    eg_policies_result_done(&r);
}

Test(extends, there_are_ceilings)
{
    char chain[40][80], wide[1200] = E "extends: [", names[40][20];
    struct text files[42] = { { NULL, NULL } };
    struct world w = { .files = files };
    struct eg_policies_result r;
    for (int i = 0; i < 40; i++) {
        snprintf(names[i], sizeof names[i], "%d.yaml", i);
        snprintf(chain[i], sizeof chain[i], i < 9 ? E "extends: %d.yaml\n" : E, i + 1);
        files[i] = (struct text){ names[i], chain[i] };
    }
    compile_one(&w, "egress.yaml", E "extends: 1.yaml\n", false, &r);
    cr_assert_str_eq(r.codes, "8.yaml:2 too-large", "%s", r.texts);
    eg_policies_result_done(&r);
    compile_one(&w, "egress.yaml", E "extends: 2.yaml\n", false, &r);
    cr_assert_str_eq(r.codes, "");
    eg_policies_result_done(&r);
    for (int i = 8; i < 40; i++)
        snprintf(wide + strlen(wide), sizeof wide - strlen(wide), "%d.yaml,", i);
    snprintf(wide + strlen(wide), sizeof wide - strlen(wide), "7.yaml]\n");
    compile_one(&w, "egress.yaml", wide, false, &r);
    cr_assert_str_eq(r.codes, "egress.yaml:2 too-large", "%s", r.texts);
    eg_policies_result_done(&r);
}

Test(extends, a_reader_is_needed)
{
    const struct eg_policy_file file = { "egress.yaml", EG_SLICE(E "extends: a.yaml\n"),
                                         EG_LAYER_REPO, true };
    struct eg_policies_result r;
    eg_policies_compile(&file, 1, NULL, &r);
    cr_assert_str_eq(r.codes, "egress.yaml:2 unreadable-file");
    eg_policies_result_done(&r);
}

/* ---- trust ---- */

static const struct text trust_files[] = {
    { "../out.yaml", E "via: true\nextends: ./../deep/a.yaml\n" },
    { "../../deep/a.yaml", E },
    { ".././../deep/a.yaml", E },
    { "../../deep/a.yaml", E },
    { "team.yaml", E "via: true\n" },
    { NULL, NULL },
};

Test(extends, a_file_is_trusted_with_all_that_it_extends)
{
    struct world w = { .files = trust_files, .recorded = true, .trusted = "team.yaml" };
    struct eg_policies_result r;
    compile_one(&w, "egress.yaml", E "extends: team.yaml\nvia: true\n", false, &r);
    cr_assert_str_eq(r.codes, "", "%s", r.texts);
    cr_assert_eq(w.reads, 1, "what was hashed is what is compiled");
    cr_assert(eg_policy_settings(r.policy)->via);
    eg_policies_result_done(&r);
    w.trusted = "other.yaml";
    compile_one(&w, "egress.yaml", E "extends: team.yaml\nvia: true\n", false, &r);
    cr_assert_str_eq(
        r.codes,
        "egress.yaml:0 W trust-changed, egress.yaml:3 untrusted-key, team.yaml:2 untrusted-key");
    eg_policies_result_done(&r);
}

Test(extends, a_trusted_file_reaches_further_and_covers_what_it_reaches)
{
    struct world w = { .files = trust_files,
                       .recorded = true,
                       .trusted = "../out.yaml ../../deep/a.yaml" };
    struct eg_policies_result r;
    compile_one(&w, "egress.yaml", E "extends: ../out.yaml\n", false, &r);
    cr_assert_str_eq(w.asked, "../out.yaml ../../deep/a.yaml");
    cr_assert_str_eq(r.codes, "", "%s", r.texts);
    eg_policies_result_done(&r);
}

Test(extends, what_was_never_trusted_reads_nothing_outside)
{
    struct world w = { .files = trust_files, .trusted = "../out.yaml" };
    struct eg_policies_result r;
    compile_one(&w, "egress.yaml", E "extends: ../out.yaml\n", false, &r);
    cr_assert_eq(w.reads, 0);
    cr_assert_str_eq(r.codes, "egress.yaml:2 untrusted-key");
    eg_policies_result_done(&r);
}

/* The record of a text does not stand for what that text names. */
Test(extends, trust_of_the_text_alone_is_none_for_what_it_extends)
{
    struct world w = { .files = trust_files, .recorded = true, .trusted = "" };
    struct eg_policies_result r;
    compile_one(&w, "egress.yaml", E "via: true\n", false, &r);
    cr_assert_str_eq(r.codes, "");
    eg_policies_result_done(&r);
    compile_one(&w, "egress.yaml", E "via: true\nextends: team.yaml\n", false, &r);
    cr_assert_eq(r.status, EG_INVALID);
    eg_policies_result_done(&r);
    compile_one(&w, "egress.yaml", E "via: true\n\"\\x65xtends\": team.yaml\n", false, &r);
    cr_assert_str_eq(r.codes, "egress.yaml:3 unreadable-file", "%s", r.texts);
    eg_policies_result_done(&r);
}

Test(extends, what_can_not_be_read_can_not_be_recorded)
{
    struct world w = { .files = trust_files };
    const struct eg_policy_reader reader = { .ctx = &w, .extend = extend };
    const struct eg_policy_file file = { "egress.yaml", EG_SLICE(E "extends: [missing.yaml]\n"),
                                         EG_LAYER_REPO, true };
    struct eg_err err = { 0 };
    cr_assert_eq(eg_policy_parts(&file, &reader, NULL, NULL, &err), EG_INVALID);
    cr_assert_not_null(strstr(err.text, "egress.yaml:2: the file can't be read"), "%s", err.text);
}

/* Whoever trusted team.yaml alone would wonder. */
Test(extends, what_is_to_be_trusted_is_the_file_that_extends)
{
    struct world w = { .files = trust_files };
    struct eg_policies_result r;
    compile_one(&w, "dir/egress.yaml", E "extends: team.yaml\n", false, &r);
    cr_assert_str_eq(r.codes, "dir/egress.yaml:2 unreadable-file");
    eg_policies_result_done(&r);
    compile_one(&w, "egress.yaml", E "extends: team.yaml\n", false, &r);
    cr_assert_not_null(strstr(r.texts, "team.yaml:2:1: error[untrusted-key]"), "%s", r.texts);
    cr_assert_not_null(strstr(r.texts, "`egressctl trust egress.yaml`"), "%s", r.texts);
    eg_policies_result_done(&r);
    compile_one(&w, "a b; rm x.yaml", E "via: true\n", false, &r);
    cr_assert_not_null(strstr(r.texts, "`egressctl trust FILE`"), "%s", r.texts);
    eg_policies_result_done(&r);
}

/* ---- presets ---- */

Test(extends, a_preset_takes_parameters_and_its_rules_name_where_they_stand)
{
    struct world w = { 0 };
    struct eg_policies_result r;
    compile_one(&w, "egress.yaml",
                E "extends:\n- {preset: npm, with: {host: registry.example}}\n- {preset: npm, "
                  "with: {host: mirror.example}}\n",
                false, &r);
    cr_assert_str_eq(decides(&r, "registry.example"), "egress.yaml:3");
    cr_assert_str_eq(decides(&r, "mirror.example"), "egress.yaml:4");
    eg_policies_result_done(&r);
}
