/* cmd_load.c - policy files as commands get them: read, not printed, compiled where they are valid; and as they were in a revision of git. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/load.h"
#include "cmd/options.h"
#include "cmd/parts.h"
#include "cmd/trust.h"

static char folder[64];

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    cr_assert(fd >= 0, "%s", path);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/egress-load-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    cr_assert(sodium_init() >= 0);
    setenv("XDG_STATE_HOME", folder, 1);
    setenv("XDG_CONFIG_HOME", folder, 1);
    setenv("HOME", folder, 1);
    unsetenv("GIT_DIR");
    unsetenv("GIT_WORK_TREE");
}

static void teardown(void)
{
    char command[100];
    cr_assert_eq(chdir("/"), 0);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(cmd_load, .init = setup, .fini = teardown, .timeout = 60);

static bool allows(const struct eg_loaded *l, const char *host)
{
    struct eg_authority to;
    struct eg_verdict v;
    cr_assert_not_null(l->policy);
    cr_assert_eq(eg_authority_parse(eg_slice_str(host), 443, &to, NULL), EG_OK);
    eg_policy_judge_tunnel(l->policy, &to, &v);
    return v.status == EG_OK;
}

static struct eg_loaded *load(const struct eg_load_spec *spec)
{
    struct eg_loaded *l = NULL;
    struct eg_err err = { 0 };
    cr_assert_eq(eg_load(spec, &l, &err), EG_OK, "%s", err.text);
    return l;
}

Test(cmd_load, layers_are_read_together_or_the_file_alone)
{
    cr_assert_eq(mkdir("egress", 0700), 0);
    put("egress/user.yaml", "egress: 1\nallow: [user.example.com]\n");
    put("egress.yaml", "egress: 1\nallow: [repo.example.com]\n");
    struct eg_loaded *l = load(&(struct eg_load_spec){ 0 });
    cr_assert(allows(l, "user.example.com"));
    cr_assert(allows(l, "repo.example.com"));
    cr_assert_geq(l->count, 2);
    cr_assert_str_eq(l->files[l->count - 1].path, "egress.yaml");
    cr_assert_eq(eg_loaded_exit(l), EG_EXIT_OK);
    eg_loaded_free(l);
    l = load(&(struct eg_load_spec){ .alone = true });
    cr_assert(!allows(l, "user.example.com"));
    cr_assert_eq(l->count, 1);
    eg_loaded_free(l);
}

Test(cmd_load, what_is_wrong_is_returned_and_tells_the_exit_status)
{
    put("egress.yaml", "egress: 1\nvia: true\n");
    struct eg_loaded *l = load(&(struct eg_load_spec){ .alone = true });
    cr_assert_null(l->policy);
    cr_assert_str_eq(eg_diags_at(l->diags, 0)->code, "untrusted-key");
    cr_assert_eq(eg_loaded_exit(l), EG_EXIT_REFUSED);
    eg_loaded_free(l);
    put("egress.yaml", "egress: 1\nvia: true\nnonsense: 1\n");
    l = load(&(struct eg_load_spec){ .alone = true });
    cr_assert_eq(eg_loaded_exit(l), EG_EXIT_POLICY,
                 "a mistake is mended before trust is asked for");
    eg_loaded_free(l);
    l = load(&(struct eg_load_spec){ .alone = true, .trust = true });
    cr_assert_eq(eg_diags_count(l->diags, EG_DIAG_ERROR), 1);
    eg_loaded_free(l);
}

Test(cmd_load, no_policy_and_an_unreadable_one_are_told_apart)
{
    struct eg_loaded *l = NULL;
    struct eg_err err = { 0 };
    if (access("/etc/egress/org.yaml", F_OK) < 0)
        cr_assert_eq(eg_load(&(struct eg_load_spec){ 0 }, &l, &err), EG_NOT_FOUND);
    cr_assert_eq(eg_load(&(struct eg_load_spec){ .file = "missing.yaml" }, &l, &err), EG_INVALID);
    cr_assert_null(l);
}

Test(cmd_load, texts_need_no_file)
{
    const struct eg_policy_file text = { "x.yaml", EG_SLICE("egress: 1\nallow: [a.example.com]\n"),
                                         EG_LAYER_REPO, true };
    struct eg_loaded *l =
        load(&(struct eg_load_spec){ .texts = &text, .text_count = 1, .portable = true });
    cr_assert(allows(l, "a.example.com"));
    eg_loaded_free(l);
}

/* a full list stops what reads files: then the service was left out, and the error with it */
Test(cmd_load, any_number_of_warnings_hides_no_service_and_no_error)
{
    struct eg_buf text;
    for (int wrong = 0; wrong < 2; wrong++) {
        eg_buf_init(&text, 1 << 20);
        cr_assert_eq(eg_buf_printf(&text, "egress: 1\nallow:\n"), EG_OK);
        for (int i = 1; i <= 1100; i++)
            cr_assert_eq(
                eg_buf_printf(&text, "  - {address: 169.254.169.254, scheme: tcp, ports: [%d]}\n", i),
                EG_OK);
        cr_assert_eq(eg_buf_printf(&text, "services:\n  openai: {}\n%s",
                                   wrong ? "  x: {upstream: https://x.example.com, route: openai}\n" : ""),
                     EG_OK);
        const struct eg_policy_file file = { "x.yaml", eg_buf_slice(&text), EG_LAYER_REPO, true };
        struct eg_loaded *l =
            load(&(struct eg_load_spec){ .texts = &file, .text_count = 1, .portable = true });
        cr_assert_eq(eg_loaded_exit(l), wrong ? EG_EXIT_POLICY : EG_EXIT_OK);
        cr_assert_eq(eg_diags_count(l->diags, EG_DIAG_WARNING), 1100);
        if (!wrong)
            cr_assert_eq(eg_policy_service_count(l->policy), 1);
        unsigned told = 0;
        for (unsigned i = 0; i < eg_diags_total(l->diags); i++)
            told += eg_diags_at(l->diags, i)->severity == EG_DIAG_ERROR;
        cr_assert_eq(told, (unsigned)wrong);
        eg_loaded_free(l);
        eg_buf_done(&text);
    }
}

static void git(const char *arguments)
{
    char command[400];
    snprintf(command, sizeof command,
             "git -c user.name=n -c user.email=n@mail.example -c init.defaultBranch=main %s "
             ">/dev/null 2>&1",
             arguments);
    cr_assert_eq(system(command), 0, "%s", arguments);
}

static void two_revisions(void)
{
    if (access("/usr/bin/git", X_OK) < 0)
        cr_skip_test("git is not installed");
    git("init .");
    cr_assert_eq(mkdir("sub", 0700), 0);
    put("sub/egress.yaml", "egress: 1\nallow: [old.example.com]\n");
    git("add sub");
    git("commit -m one");
    put("sub/egress.yaml", "egress: 1\nallow: [new.example.com]\n");
}

Test(cmd_load, a_revision_is_what_the_file_was_then)
{
    two_revisions();
    cr_assert(eg_load_is_revision("HEAD:sub/egress.yaml"));
    cr_assert(!eg_load_is_revision("sub/egress.yaml"));
    struct eg_loaded *l =
        load(&(struct eg_load_spec){ .file = "HEAD:sub/egress.yaml", .revision = true });
    cr_assert(allows(l, "old.example.com"));
    cr_assert(!allows(l, "new.example.com"));
    cr_assert_str_eq(l->files[0].path, "HEAD:sub/egress.yaml");
    eg_loaded_free(l);
    cr_assert_eq(chdir("sub"), 0);
    l = load(&(struct eg_load_spec){ .file = "HEAD:./egress.yaml", .revision = true });
    cr_assert(allows(l, "old.example.com"));
    eg_loaded_free(l);
    cr_assert_eq(chdir(".."), 0);
}

/* whoever proposes a change could add such a file, and have it compared in the place of what was there before */
Test(cmd_load, a_file_named_like_a_revision_does_not_take_its_place)
{
    put("HEAD:egress.yaml", "egress: 1\n");
    cr_assert(eg_load_is_revision("HEAD:egress.yaml"));
    cr_assert(!eg_load_is_revision("./HEAD:egress.yaml"));
    cr_assert(!eg_load_is_revision("../HEAD:egress.yaml"));
    cr_assert(!eg_load_is_revision("/tmp/HEAD:egress.yaml"));
}

Test(cmd_load, what_names_no_file_of_a_revision_is_refused)
{
    static const char *const names[] = { "HEAD:missing.yaml", "HEAD:", "--batch:x",
                                         ":sub/egress.yaml",  "x:y",   "HEAD:../../etc/passwd",
                                         "HEAD:sub" };
    two_revisions();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct eg_loaded *l = NULL;
        struct eg_err err = { 0 };
        const struct eg_load_spec spec = { .file = names[i], .revision = true };
        cr_assert_eq(eg_load(&spec, &l, &err), EG_INVALID, "%s", names[i]);
        cr_assert(*err.text, "%s", names[i]);
    }
}

Test(cmd_load, a_revision_runs_no_filter_of_the_repository)
{
    char ran[100], command[200];
    two_revisions();
    snprintf(ran, sizeof ran, "%s/ran", folder);
    put(".gitattributes", "* diff=x filter=x\n");
    snprintf(command, sizeof command, "config diff.x.textconv 'touch %s; cat'", ran);
    git(command);
    snprintf(command, sizeof command, "config filter.x.smudge 'touch %s; cat'", ran);
    git(command);
    struct eg_loaded *l =
        load(&(struct eg_load_spec){ .file = "HEAD:sub/egress.yaml", .revision = true });
    cr_assert(allows(l, "old.example.com"));
    eg_loaded_free(l);
    cr_assert(access(ran, F_OK) < 0);
}

/* ---- extends, on a disk ---- */

static const char *first_code(const struct eg_loaded *l)
{
    return eg_diags_total(l->diags) ? eg_diags_at(l->diags, 0)->code : "-";
}

Test(cmd_load, an_untrusted_file_follows_no_link_wherever_it_stands)
{
    static const struct {
        const char *name, *code;
    } rows[] = {
        { "sub/team.yaml", "-" },
        { "sub/link.yaml", "untrusted-key" },
        { "linked/team.yaml", "untrusted-key" },
        { "sub/deep/../team.yaml", "untrusted-key" },
        { "sub", "unreadable-file" },
        { "sub/pipe", "unreadable-file" },
        { "sub/missing.yaml", "unreadable-file" },
        { "sub/team.yaml/x", "unreadable-file" },
    };
    cr_assert_eq(mkdir("sub", 0700) | mkdir("sub/deep", 0700), 0);
    put("sub/team.yaml", "egress: 1\nallow: [team.example.com]\n");
    cr_assert_eq(symlink("team.yaml", "sub/link.yaml"), 0);
    cr_assert_eq(symlink("sub", "linked"), 0);
    cr_assert_eq(mkfifo("sub/pipe", 0600), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[200];
        snprintf(text, sizeof text, "egress: 1\nextends: %s\n", rows[i].name);
        put("egress.yaml", text);
        struct eg_loaded *l = load(&(struct eg_load_spec){ .alone = true });
        cr_expect_str_eq(first_code(l), rows[i].code, "%s", rows[i].name);
        if (l->policy)
            cr_expect(allows(l, "team.example.com"));
        eg_loaded_free(l);
        bool link = strcmp(rows[i].code, "untrusted-key") == 0;
        l = load(&(struct eg_load_spec){ .alone = true, .trust = true });
        cr_expect_str_eq(first_code(l), link ? "-" : rows[i].code, "trusted: %s", rows[i].name);
        eg_loaded_free(l);
    }
}

Test(cmd_load, trust_by_the_record_lasts_until_anything_of_it_changes)
{
    put("egress.yaml", "egress: 1\nextends: team.yaml\nvia: true\n");
    put("team.yaml", "egress: 1\nlimits: {connections: 5000}\n");
    struct eg_loaded *l = load(&(struct eg_load_spec){ .alone = true });
    cr_assert_eq(eg_loaded_exit(l), EG_EXIT_REFUSED);
    cr_assert(!l->files[0].trusted);
    eg_loaded_free(l);
    cr_assert_eq(eg_trust_add("egress.yaml", NULL, NULL), EG_OK);
    l = load(&(struct eg_load_spec){ .alone = true });
    cr_assert_not_null(l->policy);
    cr_assert(l->files[0].trusted);
    cr_assert_eq(l->part_count, 1);
    cr_assert_str_eq(l->parts[0].path, "team.yaml");
    eg_loaded_free(l);
    put("team.yaml", "egress: 1\nlimits: {connections: 5001}\n");
    l = load(&(struct eg_load_spec){ .alone = true });
    cr_assert_eq(eg_loaded_exit(l), EG_EXIT_REFUSED);
    eg_loaded_free(l);
}

Test(cmd_load, a_revision_extends_files_of_that_revision)
{
    two_revisions();
    put("sub/team.yaml", "egress: 1\nallow: [team1.example.com]\n");
    put("top.yaml", "egress: 1\nallow: [top1.example.com]\n");
    put("sub/egress.yaml", "egress: 1\nextends: [./team.yaml, ../top.yaml]\n");
    git("add sub top.yaml");
    git("commit -m two");
    put("sub/team.yaml", "egress: 1\nallow: [team2.example.com]\n");
    struct eg_loaded *l = load(
        &(struct eg_load_spec){ .file = "HEAD:sub/egress.yaml", .revision = true, .trust = true });
    cr_assert(allows(l, "team1.example.com"));
    cr_assert(allows(l, "top1.example.com"));
    cr_assert(!allows(l, "team2.example.com"));
    eg_loaded_free(l);
}

/* else a change of the certificate alone would compare as none */
Test(cmd_load, a_revision_reads_certificates_of_that_revision)
{
    static const char *const names[] = { "HEAD:egress.yaml", "HEAD:./egress.yaml" };
    two_revisions();
    put("egress.yaml", "egress: 1\nservices: {x: {upstream: https://x.example.com, tls: {ca: ca.pem}}}\n");
    git("add egress.yaml");
    git("commit -m two");
    put("ca.pem", "what is there now");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct eg_loaded *l =
            load(&(struct eg_load_spec){ .file = names[i], .revision = true, .trust = true });
        cr_expect_str_eq(first_code(l), "unreadable-file", "%s", names[i]);
        eg_loaded_free(l);
    }
}

Test(cmd_load, files_of_the_user_and_of_a_command_are_trusted)
{
    cr_assert_eq(mkdir("egress", 0700), 0);
    put("egress/user.yaml", "egress: 1\nvia: true\n");
    put("egress.yaml", "egress: 1\nname: x\n");
    struct eg_loaded *l = load(&(struct eg_load_spec){ 0 });
    cr_assert_not_null(l->policy);
    cr_assert(eg_policy_settings(l->policy)->via);
    cr_assert(l->files[l->count - 2].trusted);
    cr_assert(!l->files[l->count - 1].trusted);
    eg_loaded_free(l);
}
