/* doctor.c - `egressctl doctor` as a program: what the policy needs, what a command would see, that what `run` hides is left out, and that no value is
 * ever shown. What the system has is another machine's business: here it is only said. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/daemon.h"

#define KEY      "sk-doctor-0123456789abcdefghij"
#define FILE_KEY "file-value-0123456789"

static const char POLICY[] =
    "egress: 1\n"
    "services:\n"
    "  a: {upstream: \"https://a.example\", credential: var, env: {key: [A_API_KEY]}}\n"
    "  b: {upstream: \"https://b.example\", credential: none}\n"
    "  c: {upstream: \"https://c.example\", credential: kept}\n"
    "  d: {upstream: \"https://d.example\", credential: open}\n"
    "  e: {upstream: \"https://e.example\", credential: gone}\n"
    "credentials:\n"
    "  var: {from: \"env:A_API_KEY\", hosts: [a.example]}\n"
    "  none: {from: \"env:NOT_SET_ANYWHERE\", hosts: [b.example]}\n"
    "  kept: {from: \"file:@DIR@/keys/kept\", hosts: [c.example]}\n"
    "  open: {from: \"file:@DIR@/open\", hosts: [d.example]}\n"
    "  gone: {from: {cmd: [/no/such/program]}, hosts: [e.example]}\n";

static void folder(const struct eg_world *w, const char *name, mode_t mode)
{
    cr_assert_eq(mkdir(eg_world_path(w, name), mode), 0, "%s", name);
}

static void file(const struct eg_world *w, const char *name, const char *text, mode_t mode)
{
    eg_world_write(w, name, text);
    cr_assert_eq(chmod(eg_world_path(w, name), mode), 0, "%s", name);
}

static void start(struct eg_world *w)
{
    eg_world_new(w);
    folder(w, "home", 0700);
    folder(w, "home/.ssh", 0700);
    folder(w, "home/.aws", 0700);
    folder(w, "keys", 0700);
    folder(w, "work", 0755);
    folder(w, "work/deep", 0755);
    file(w, "keys/kept", FILE_KEY "\n", 0600);
    file(w, "open", FILE_KEY "2\n", 0644);
    eg_world_policy(w, POLICY);
}

static char *doctor(const struct eg_world *w, const char *more, const char *user, int *code)
{
    char home[400], here[400], policy[400];
    char *out = NULL;
    snprintf(home, sizeof home, "HOME=%s", eg_world_path(w, "home"));
    snprintf(here, sizeof here, "%s", eg_world_path(w, "work"));
    snprintf(policy, sizeof policy, "%s", eg_world_path(w, "egress.yaml"));
    const char *const argv[] = { "/usr/bin/env",
                                 "-i",
                                 "-C",
                                 here,
                                 "PATH=/usr/bin:/bin",
                                 home,
                                 "A_API_KEY=" KEY,
                                 "COPY_OF_IT=" KEY,
                                 more,
                                 EG_BUILD_DIR "/egressctl",
                                 "doctor",
                                 "--json",
                                 "--trust",
                                 "-p",
                                 policy,
                                 user ? "--user" : NULL,
                                 user,
                                 NULL };
    *code = eg_proc_run(w, argv, NULL, &out);
    char *to = out; /* long lines come in pieces */
    for (const char *from = out; (*to = *from) != '\0'; from++)
        to += *from != '\n';
    return out;
}

/* "ok", "note" or "bad" of the first finding with that check whose text has these words; "" when there is none. */
static const char *state_of(const char *out, const char *check, const char *words)
{
    static char state[16];
    size_t i;
    const json_t *f;
    json_t *o = json_loads(out, JSON_DISABLE_EOF_CHECK, NULL);
    cr_assert_not_null(o, "%s", out);
    state[0] = '\0';
    json_array_foreach(json_object_get(o, "findings"), i, f)
    {
        if (state[0] || strcmp(json_string_value(json_object_get(f, "check")), check) != 0 ||
            !strstr(json_string_value(json_object_get(f, "text")), words))
            continue;
        snprintf(state, sizeof state, "%s", json_string_value(json_object_get(f, "state")));
        const char *fix = json_string_value(json_object_get(f, "fix"));
        cr_expect(strcmp(state, "bad") != 0 || *fix, "no fix for %s", check);
    }
    json_decref(o);
    return state;
}

#define IS(out, check, words, want)                                                                \
    cr_expect_str_eq(state_of(out, check, words), want, "%s: %s: %s", check, words, out)

static void shows_no_value(const char *out)
{
    cr_expect_null(strstr(out, KEY), "%s", out);
    cr_expect_null(strstr(out, FILE_KEY), "%s", out);
    cr_expect_null(strstr(out, "hunter2"), "%s", out);
}

Test(doctor, says_what_the_policy_needs, .timeout = 120)
{
    struct eg_world w;
    int code;
    start(&w);
    char *out = doctor(&w, "MORE=1", NULL, &code);
    cr_expect_eq(code, 1, "%s", out);
    IS(out, "var", "A_API_KEY is set", "ok");
    IS(out, "none", "NOT_SET_ANYWHERE is not set", "bad");
    IS(out, "kept", "by us alone", "ok");
    IS(out, "open", "open to other users", "bad");
    IS(out, "gone", "is not there", "bad");
    IS(out, "kernel", "Linux", strstr(state_of(out, "kernel", "Linux"), "ok") ? "ok" : "note");
    shows_no_value(out);
    free(out);
    eg_world_done(&w);
}

Test(doctor, finds_what_the_command_would_see_and_nothing_that_is_hidden, .timeout = 120)
{
    struct eg_world w;
    int code;
    start(&w);
    file(&w, "home/.aws/credentials", "aws_secret_access_key = hunter2\n", 0600);
    file(&w, "home/.npmrc", "registry=x\n", 0600); /* without a token it is no finding */
    file(&w, "home/.ssh/id_rsa", "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n", 0600);
    file(&w, "home/.ssh/locked",
         "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nhunter2\n", 0600);
    file(&w, "home/.bash_history", "export X=" KEY "\n", 0600);
    file(&w, "work/.env", "# x\nexport STRIPE_API_KEY=hunter2\n", 0644);
    file(&w, "work/.env.example", "STRIPE_API_KEY=hunter2\n", 0644);
    file(&w, "work/deep/notes", "the key is " FILE_KEY "!\n", 0644);
    char *out = doctor(&w, "DB_PASSWORD=hunter2", NULL, &code);
    cr_expect_eq(code, 1);
    IS(out, "DB_PASSWORD", "its name says", "bad");
    IS(out, "A_API_KEY", "", "");  /* run takes it out */
    IS(out, "COPY_OF_IT", "", ""); /* and its copies */
    IS(out, "file", "/.aws/credentials", "bad");
    IS(out, "file", "/.npmrc", "");
    IS(out, "ssh key", "/.ssh/id_rsa", "bad");
    IS(out, "ssh key", "/.ssh/locked", "note");
    IS(out, "copy", "/.bash_history", "bad");
    IS(out, "variables", "/work/.env,", "bad");
    IS(out, "variables", "/work/.env.example", "");
    IS(out, "copy", "/work/deep/notes", "bad");
    IS(out, "copy", "/keys/kept", "");
    IS(out, "hidden", "/keys", "ok");
    shows_no_value(out);
    free(out);
    eg_world_done(&w);
}

Test(doctor, says_once_what_is_kept_for_two_reasons, .timeout = 120)
{
    struct eg_world w;
    char folder[400], twice[900];
    int code;
    start(&w);
    snprintf(folder, sizeof folder, "%s", eg_world_path(&w, "keys"));
    snprintf(twice, sizeof twice, "%s/other, %s", folder, folder); /* after the first credential's */
    file(&w, "keys/other", FILE_KEY "3\n", 0600);
    eg_world_policy(&w, "egress: 1\nservices:\n  a: {upstream: \"https://a.example\", credential: one}\n"
                        "  b: {upstream: \"https://b.example\", credential: two}\ncredentials:\n"
                        "  one: {from: \"file:@DIR@/keys/kept\", hosts: [a.example]}\n"
                        "  two: {from: \"file:@DIR@/keys/other\", hosts: [b.example]}\n");
    char *out = doctor(&w, "MORE=1", NULL, &code);
    IS(out, "hidden", folder, "ok");
    IS(out, "hidden", twice, "");
    free(out);
    eg_world_done(&w);
}

Test(doctor, of_root_reads_files_as_the_command_would, .timeout = 120)
{
    struct eg_world w;
    int code;
    if (geteuid() != 0)
        cr_skip_test("only root has commands of other users");
    start(&w);
    cr_assert_eq(chmod(w.dir, 0755), 0);
    file(&w, "work/notes", KEY "\n", 0644);
    file(&w, "work/private", KEY "\n", 0600);
    char *out = doctor(&w, "MORE=1", "nobody", &code);
    IS(out, "copy", "/work/notes", "bad");
    IS(out, "copy", "/work/private", "");
    shows_no_value(out);
    free(out);
    eg_world_done(&w);
}

Test(doctor, without_a_policy_or_with_a_broken_one_still_looks, .timeout = 120)
{
    struct eg_world w;
    int code;
    start(&w);
    eg_world_write(&w, "egress.yaml", "egress: 1\nalow: []\n");
    char *out = doctor(&w, "X_TOKEN=hunter2", NULL, &code);
    char *json = strstr(out, "{\"ok\"");
    cr_assert_not_null(json, "%s", out);
    cr_expect_eq(code, 1);
    IS(json, "file", "it is not valid", "bad");
    IS(json, "X_TOKEN", "its name says", "bad");
    shows_no_value(out);
    free(out);
    eg_world_done(&w);
}
