/* cmd_env_format.c - the variables of a session in each format: shells are asked what they make
 * of them, and a value is never more than a value. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/env_format.h"

TestSuite(cmd_env_format, .timeout = 60);

/* What a quoting that is wrong would let out. */
static const char *const hostile[] = {
    "plain",
    "http://run-1:0123@127.0.0.1:4711/a?b=c&d",
    "a b  c ",
    "it's",
    "'; echo OUT; '",
    "$(echo OUT)`echo OUT`$HOME",
    "back\\slash\\",
    "\\' \\\" \\n",
    "\"quoted\" # no comment",
    "two\nlines\n",
    "-Dx=\"a b\" -Dy=localhost|[::1]",
    "\xc3\xa4\xe2\x82\xac*?[a]~",
    "",
    "=starts",
};
enum { HOSTILE = sizeof hostile / sizeof *hostile };

static json_t *reply_of(const char *value)
{
    return json_pack("{s:[s,s],s:{s:s,s:s,s:s}}", "unset", "REAL_KEY", "BAD NAME", "variables",
                     "EG_VALUE", value, "EG_LAST", "last", "npm_config_//h/:_token", "x");
}

static void format(const char *name, const char *value, struct eg_buf *out)
{
    struct eg_err err = { 0 };
    json_t *reply = reply_of(value);
    eg_buf_init(out, 1 << 16);
    cr_assert(eg_env_format_known(name));
    cr_assert_eq(eg_env_format(name, reply, out, &err), EG_OK, "%s: %s", name, err.text);
    cr_assert_eq(eg_buf_append(out, "", 1), EG_OK);
    json_decref(reply);
}

/* The script reads the text from its first argument; what it prints is out. */
static void ask(const char *const *argv, char *out, size_t cap)
{
    int ends[2], wait_status;
    size_t n = 0;
    ssize_t k;
    cr_assert_eq(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        setenv("REAL_KEY", "sk-real", 1);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(99);
    }
    close(ends[1]);
    while ((k = read(ends[0], out + n, cap - 1 - n)) > 0)
        n += (size_t)k;
    out[n] = '\0';
    close(ends[0]);
    cr_assert_eq(waitpid(pid, &wait_status, 0), pid);
    cr_assert_eq(wait_status, 0, "%s: %d", argv[0], wait_status);
}

static bool installed(const char *program)
{
    char command[64];
    snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", program);
    return system(command) == 0;
}

static void shell_makes_of_it_what_it_is(const char *shell, const char *name, const char *script)
{
    for (unsigned i = 0; i < HOSTILE; i++) {
        struct eg_buf text;
        char got[4096], wanted[4096];
        format(name, hostile[i], &text);
        const char *const argv[] = {
            shell, "-c", script, eg_buf_slice(&text).p, eg_buf_slice(&text).p, NULL
        };
        ask(argv, got, sizeof got);
        snprintf(wanted, sizeof wanted, "[%s][last][unset]", hostile[i]);
        cr_expect_str_eq(got, wanted, "%s %u: %s", shell, i, eg_buf_slice(&text).p);
        eg_buf_done(&text);
    }
}

/* printenv: what programs get. Every byte, the last line break too. */
#define SH_SCRIPT "eval \"$1\"; sh -c 'printf %s \"[$EG_VALUE][$EG_LAST][${REAL_KEY-unset}]\"'"

Test(cmd_env_format, sh_is_what_dash_bash_zsh_and_ksh_read)
{
    static const char *const shells[] = { "sh", "dash", "bash", "zsh", "mksh", "ksh" };
    unsigned tried = 0;
    for (unsigned i = 0; i < sizeof shells / sizeof *shells; i++)
        if (installed(shells[i])) {
            shell_makes_of_it_what_it_is(shells[i], "sh", SH_SCRIPT);
            tried++;
        }
    cr_assert_gt(tried, 0);
}

Test(cmd_env_format, fish_is_what_fish_reads)
{
    if (!installed("fish"))
        cr_skip_test("no fish");
    char home[] = "/tmp/egress-home-XXXXXX",
         command[64]; /* no configuration of the user's; fish makes its own */
    cr_assert_not_null(mkdtemp(home));
    setenv("HOME", home, 1);
    unsetenv("XDG_CONFIG_HOME");
    unsetenv("XDG_DATA_HOME");
    shell_makes_of_it_what_it_is("fish", "fish",
                                 "printf %s $argv[1] | source; sh -c 'printf %s "
                                 "\"[$EG_VALUE][$EG_LAST][${REAL_KEY-unset}]\"'");
    snprintf(command, sizeof command, "rm -rf %s", home);
    cr_assert_eq(system(command), 0);
}

Test(cmd_env_format, dotenv_is_what_node_reads)
{
    if (!installed("node") || system("node --env-file=/dev/null -e 0 2>/dev/null") != 0)
        cr_skip_test("no node with --env-file");
    char path[] = "/tmp/egress-env-XXXXXX", option[64], got[4096], wanted[4096];
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    snprintf(option, sizeof option, "--env-file=%s", path);
    for (unsigned i = 0; i < HOSTILE; i++) {
        struct eg_buf text;
        if (strchr(hostile[i], '\'') && strpbrk(hostile[i], "\\\"$`"))
            continue; /* node knows no escape of a quote */
        format("dotenv", hostile[i], &text);
        cr_assert_eq(ftruncate(fd, 0), 0);
        cr_assert_eq(pwrite(fd, eg_buf_slice(&text).p, text.len - 1, 0), (ssize_t)text.len - 1);
        const char *const argv[] = {
            "node", option, "-e",
            "process.stdout.write(`[${process.env.EG_VALUE}][${process.env.EG_LAST}]`)", NULL
        };
        ask(argv, got, sizeof got);
        snprintf(wanted, sizeof wanted, "[%s][last]", hostile[i]);
        cr_expect_str_eq(got, wanted, "%u: %s", i, eg_buf_slice(&text).p);
        eg_buf_done(&text);
    }
    close(fd);
    unlink(path);
}

static void expect(const char *name, const char *value, const char *wanted)
{
    struct eg_buf text;
    format(name, value, &text);
    cr_expect_str_eq(eg_buf_slice(&text).p, wanted);
    eg_buf_done(&text);
}

Test(cmd_env_format, each_format_as_it_is_written)
{
    expect("sh", "it's", "unset REAL_KEY\nexport EG_VALUE='it'\\''s'\nexport EG_LAST='last'\n");
    expect("fish", "it's\\",
           "set -gu REAL_KEY\nset -gx EG_VALUE 'it\\'s\\\\'\nset -gx EG_LAST 'last'\n");
    expect("dotenv", "a b", "REAL_KEY=\nEG_VALUE='a b'\nEG_LAST=last\n");
    expect("dotenv", "it's $1\n", "REAL_KEY=\nEG_VALUE=\"it's \\$1\\n\"\nEG_LAST=last\n");
    expect("docker", "a 'b' \"c\"", "EG_VALUE=a 'b' \"c\"\nEG_LAST=last\n");
    expect("github", "a<<b", "REAL_KEY=\nEG_VALUE=a<<b\nEG_LAST=last\n");
    expect("json", "x",
           "{\"unset\":[\"REAL_KEY\",\"BAD "
           "NAME\"],\"variables\":{\"EG_VALUE\":\"x\",\"EG_LAST\":\"last\","
           "\"npm_config_//h/:_token\":\"x\"}}\n");
}

/* As the runner reads it: a name, two angle brackets, the delimiter; lines up to that. */
Test(cmd_env_format, github_line_breaks_stay_inside_the_value)
{
    struct eg_buf text;
    char delimiter[64] = "", name[64] = "", wanted[256];
    format("github", "one\nEG_LAST=out\n\nEOF\n", &text);
    const char *p = eg_buf_slice(&text).p;
    cr_assert_eq(sscanf(p, "REAL_KEY= %63[A-Z_]<<%63s", name, delimiter), 2, "%s", p);
    cr_assert_gt(strlen(delimiter), 32);
    snprintf(wanted, sizeof wanted,
             "REAL_KEY=\nEG_VALUE<<%s\none\nEG_LAST=out\n\nEOF\n\n%s\nEG_LAST=last\n", delimiter,
             delimiter);
    cr_expect_str_eq(p, wanted);
    eg_buf_done(&text);
}

Test(cmd_env_format, docker_refuses_what_it_can_not_say)
{
    struct eg_buf text;
    struct eg_err err = { 0 };
    json_t *reply = reply_of("one\nEG_LAST=out");
    eg_buf_init(&text, 1 << 16);
    cr_expect_eq(eg_env_format("docker", reply, &text, &err), EG_INVALID);
    cr_expect(strstr(err.text, "EG_VALUE"), "%s", err.text);
    eg_buf_done(&text);
    json_decref(reply);
}

Test(cmd_env_format, other_names_are_no_format)
{
    cr_expect_not(eg_env_format_known("bash"));
    cr_expect_not(eg_env_format_known(""));
}
