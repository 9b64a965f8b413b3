/* completion.c - the completions that `egressctl completion` prints, in real shells: each is loaded and asked what fits at the end of a line. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/daemon.h"

static bool has_shell(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/usr/bin/%s", name);
    if (access(path, X_OK) == 0)
        return true;
    snprintf(path, sizeof path, "/bin/%s", name);
    return access(path, X_OK) == 0;
}

/* The script, what asks it, and all lines; the answer is one line each: the candidates with blanks between. */
static char *ask(const struct eg_world *w, const char *shell, const char *body)
{
    char *script, *out = NULL, path[400];
    const char *const print[] = { EG_BUILD_DIR "/egressctl", "completion", shell, NULL };
    cr_assert_eq(eg_proc_run(w, print, NULL, &script), 0, "%s", script);
    char *all = malloc(strlen(script) + strlen(body) + 64);
    cr_assert_not_null(all);
    sprintf(all, "%s%s\n%s", strcmp(shell, "zsh") == 0 ? "compdef() { : }\n" : "", script, body);
    eg_world_write(w, "ask", all);
    snprintf(path, sizeof path, "%s", eg_world_path(w, "ask"));
    const char *const run[] = { shell, path, NULL };
    cr_assert_eq(eg_proc_run(w, run, NULL, &out), 0, "%s", out);
    free(all);
    free(script);
    return out;
}

static void expect_line(const char *out, const char *line)
{
    char wanted[512];
    snprintf(wanted, sizeof wanted, "\n%s\n", line);
    char *framed = malloc(strlen(out) + 3);
    cr_assert_not_null(framed);
    sprintf(framed, "\n%s\n", out);
    cr_expect_not_null(strstr(framed, wanted), "no line \"%s\" in:\n%s", line, out);
    free(framed);
}

/* Each line: its words, the last of them being completed. */
#define ASK_BASH                                                                                   \
    "at() { COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1)); _egressctl; echo \"$#: "                   \
    "${COMPREPLY[*]}\"; }\n"

Test(completion, bash_completes, .timeout = 60)
{
    struct eg_world w;
    if (!has_shell("bash"))
        cr_skip("there is no bash");
    eg_world_new(&w);
    eg_world_write(&w, "one.yaml", "");
    char body[2048];
    snprintf(body, sizeof body,
             ASK_BASH
             "cd %s\nat egressctl pol\nat egressctl policy ch\n"
             "at egressctl policy check --f\nat egressctl policy check --format s\n"
             "at egressctl policy check --format = j\nat egressctl policy check on\n"
             "at egressctl run --enforcement sec\nat egressctl run -p on\n"
             "at egressctl run -- bas\nat egressctl run -p one.yaml cat on\n"
             "at egressctl completion z\nat egressctl help host_not\n"
             "at egressctl help idn\nat egressctl nothing x\nat egressctl policy nothing x\n"
             "at egressctl policy check --\n",
             w.dir);
    char *out = ask(&w, "bash", body);
    expect_line(out, "2: policy");
    expect_line(out, "3: check");
    expect_line(out, "4: --format");
    expect_line(out, "5: sarif");
    expect_line(out, "6: json junit");
    expect_line(out, "4: one.yaml");
    expect_line(out, "4: seccomp");
    cr_expect_not_null(strstr(out, "4: bash"), "%s", out);
    expect_line(out, "6: one.yaml");
    expect_line(out, "3: zsh");
    expect_line(out, "3: host_not_allowed");
    expect_line(out, "3: idn-host");
    expect_line(out, "4: ");
    cr_expect_not_null(strstr(out, "4: --alone --format --strict --trust --help"), "%s", out);
    free(out);
    eg_world_done(&w);
}

Test(completion, fish_completes, .timeout = 60)
{
    struct eg_world w;
    if (!has_shell("fish"))
        cr_skip("there is no fish");
    eg_world_new(&w);
    char home[320];
    snprintf(home, sizeof home, "%s", w.dir);
    setenv("HOME", home, 1);
    unsetenv("XDG_CONFIG_HOME");
    unsetenv("XDG_DATA_HOME");
    eg_world_write(&w, "one.yaml", "");
    char body[2048];
    snprintf(body, sizeof body,
             "cd %s\nfunction at\n  echo (string join -- ' ' (complete -C \"$argv\" | string split "
             "-f1 \\t))\nend\n"
             "at 'egressctl pol'\nat 'egressctl policy ch'\nat 'egressctl policy check --form'\n"
             "at 'egressctl policy check --format s'\nat 'egressctl policy check one'\n"
             "at 'egressctl run --enforcement sec'\nat 'egressctl completion z'\nat 'egressctl "
             "help idn'\n",
             w.dir);
    char *out = ask(&w, "fish", body);
    expect_line(out, "policy");
    expect_line(out, "check");
    expect_line(out, "--format");
    expect_line(out, "sarif");
    expect_line(out, "one.yaml");
    expect_line(out, "seccomp");
    expect_line(out, "zsh");
    expect_line(out, "idn-host");
    free(out);
    eg_world_done(&w);
}

/* zsh completes in its line editor alone: here its functions are asked what they were given. */
Test(completion, zsh_completes, .timeout = 60)
{
    struct eg_world w;
    if (!has_shell("zsh"))
        cr_skip("there is no zsh");
    eg_world_new(&w);
    char *out = ask(&w, "zsh",
                    "_describe() { print -r -- describe ${(P)4%%:*} end }\n"
                    "_arguments() { print -rl -- \"$@\" }\n"
                    "at() { words=(\"$@\") CURRENT=$#; _egressctl }\n"
                    "at egressctl pol\nat egressctl policy ch\nat egressctl policy check x\n"
                    "at egressctl run x\nat egressctl help x\n");
    cr_expect_not_null(strstr(out, "describe run shell "), "%s", out);
    cr_expect(strstr(out, " check ") && strstr(out, " schema "), "%s", out);
    cr_expect_not_null(strstr(out, "*--format=[how problems are printed (default\\: pretty)]:word:("
                                   "pretty json github sarif junit agent)"),
                       "%s", out);
    cr_expect_not_null(strstr(out, "*:operand:{_files}"), "%s", out);
    cr_expect_not_null(strstr(out, "*-p+[the policy of this run"), "%s", out);
    cr_expect_not_null(strstr(out, "(-)1:command: _command_names -e"), "%s", out);
    free(out);
    eg_world_done(&w);
}
