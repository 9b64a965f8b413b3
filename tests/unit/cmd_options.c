/* cmd_options.c - command lines, durations, places and listen addresses. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/commands.h"
#include "cmd/daemon.h"

static int parse(const struct eg_cmd_options *o, int argc, const char *const *argv,
                 struct eg_cmd_given *g, unsigned *n, int *at)
{
    char *copy[16];
    for (int i = 0; i < argc; i++)
        copy[i] = (char *)(uintptr_t)argv[i]; /* getopt moves pointers and writes no text */
    copy[argc] = NULL;
    return eg_cmd_parse(o, argc, copy, g, 8, n, at);
}

Test(cmd_options, values_are_found_by_their_long_name, .init = cr_redirect_stderr)
{
    static const char *const argv[] = { "egressd", "-p",     "a.yaml",     "--workers=3",
                                        "-p",      "b.yaml", "--no-splice" };
    struct eg_cmd_given g[8];
    unsigned n;
    int at;
    cr_assert_eq(parse(&eg_egressd_options, 7, argv, g, &n, &at), -1);
    cr_assert_str_eq(eg_cmd_value(&eg_egressd_options, g, n, "policy"), "b.yaml");
    cr_assert_str_eq(eg_cmd_value(&eg_egressd_options, g, n, "workers"), "3");
    cr_assert_str_eq(eg_cmd_value(&eg_egressd_options, g, n, "no-splice"), "");
    cr_assert_null(eg_cmd_value(&eg_egressd_options, g, n, "listen"));
    cr_assert_eq(at, 7);
}

Test(cmd_options, usage_errors_are_2, .init = cr_redirect_stderr)
{
    static const char *const bad[][3] = { { "egressd", "--nothing", NULL },
                                          { "egressd", "-z", NULL },
                                          { "egressd", "--policy", NULL },
                                          { "egressd", "-p", NULL },
                                          { "egressd", "--no-splice=1", NULL } };
    struct eg_cmd_given g[8];
    unsigned n;
    int at;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(parse(&eg_egressd_options, 2, bad[i], g, &n, &at), EG_EXIT_USAGE, "%s",
                     bad[i][1]);
}

/* A misspelt --upstream-proxy may hold a password. */
Test(cmd_options, value_of_an_unknown_option_is_not_repeated, .init = cr_redirect_stderr)
{
    static const char *const argv[] = { "egressd", "--upstreamproxy=http://jane:secret@h:1" };
    struct eg_cmd_given g[8];
    unsigned n;
    int at;
    cr_assert_eq(parse(&eg_egressd_options, 2, argv, g, &n, &at), EG_EXIT_USAGE);
    fflush(stderr);
    char text[1024] = { 0 };
    cr_assert(fread(text, 1, sizeof text - 1, cr_get_redirected_stderr()) > 0);
    cr_assert(strstr(text, "no option --upstreamproxy\n"), "%s", text);
    cr_assert(!strstr(text, "secret") && !strstr(text, "jane"), "%s", text);
}

/* It said "there is no option --all", which is untrue. */
Test(cmd_options, a_value_for_an_option_without_one_is_told, .init = cr_redirect_stderr)
{
    static const struct eg_cmd_option list[] = { { 'a', "all", NULL, "x" }, { 0, NULL, NULL, NULL } };
    static const struct eg_cmd_options o = { "t", "", "x", false, list };
    static const char *const argv[] = { "t", "--all=secret" };
    struct eg_cmd_given g[8];
    unsigned n;
    int at;
    cr_assert_eq(parse(&o, 2, argv, g, &n, &at), EG_EXIT_USAGE);
    fflush(stderr);
    char text[1024] = { 0 };
    cr_assert(fread(text, 1, sizeof text - 1, cr_get_redirected_stderr()) > 0);
    cr_assert(strstr(text, "--all takes no value\n") && !strstr(text, "secret"), "%s", text);
}

Test(cmd_options, what_follows_the_first_operand_is_left_alone)
{
    static const struct eg_cmd_option list[] = { { 'a', "all", NULL, "x" },
                                                 { 0, NULL, NULL, NULL } };
    static const struct eg_cmd_options o = { "t", "CMD", "x", true, list };
    static const char *const argv[] = { "run", "-a", "ls", "-a", "--help" };
    struct eg_cmd_given g[8];
    unsigned n;
    int at;
    cr_assert_eq(parse(&o, 5, argv, g, &n, &at), -1);
    cr_assert(n == 1 && at == 2);
}

Test(cmd_options, help_names_every_option, .init = cr_redirect_stdout)
{
    static const char *const argv[] = { "egressd", "--help" };
    struct eg_cmd_given g[8];
    unsigned n;
    int at;
    cr_assert_eq(parse(&eg_egressd_options, 2, argv, g, &n, &at), EG_EXIT_OK);
    fflush(stdout);
    char text[8192] = { 0 };
    FILE *f = cr_get_redirected_stdout();
    cr_assert(fread(text, 1, sizeof text - 1, f) > 0);
    for (const struct eg_cmd_option *p = eg_egressd_options.list; p->letter || p->name; p++)
        if (p->name)
            cr_assert(strstr(text, p->name), "%s", p->name);
}

Test(cmd_options, durations)
{
    static const struct {
        const char *text;
        uint64_t seconds; /* 0: refused */
    } rows[] = { { "1", 1 },          { "90s", 90 },    { "15m", 900 },
                 { "8h", 28800 },     { "7d", 604800 }, { "365d", 31536000 },
                 { "0", 0 },          { "0s", 0 },      { "366d", 0 },
                 { "", 0 },           { "s", 0 },       { "-1", 0 },
                 { "1.5h", 0 },       { "1h30m", 0 },   { "1 h", 0 },
                 { " 1h", 0 },        { "1w", 0 },      { "9999999999s", 0 },
                 { "999999999d", 0 }, { "0x10", 0 },    { "1sx", 0 } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t s = 0;
        cr_assert_eq(eg_cmd_duration(rows[i].text, &s), rows[i].seconds != 0, "%s", rows[i].text);
        cr_assert_eq(s, rows[i].seconds, "%s", rows[i].text);
    }
}

Test(cmd_options, only_loopback_is_listened_on)
{
    static const struct {
        const char *text;
        int port; /* -1: refused */
    } rows[] = { { "127.0.0.1:0", 0 },
                 { "127.0.0.1:3128", 3128 },
                 { "127.1.2.3:80", 80 },
                 { "[::1]:65535", 65535 },
                 { "0.0.0.0:80", -1 },
                 { "10.0.0.1:80", -1 },
                 { "[::]:80", -1 },
                 { "[2001:db8::1]:80", -1 },
                 { "[::ffff:127.0.0.1]:80", -1 },
                 { "localhost:80", -1 },
                 { "127.1:80", -1 },
                 { "127.0.0.1", -1 },
                 { "127.0.0.1:", -1 },
                 { "127.0.0.1:65536", -1 },
                 { "127.0.0.1:-1", -1 },
                 { "127.0.0.1:80x", -1 },
                 { "::1:80", -1 },
                 { "[127.0.0.1]:80", -1 },
                 { ":80", -1 },
                 { "", -1 },
                 { "80", -1 } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct eg_sockaddr at = { 0 };
        cr_assert_eq(eg_daemon_listen(rows[i].text, false, &at), rows[i].port >= 0, "%s", rows[i].text);
        if (rows[i].port >= 0)
            cr_assert_eq(at.port, rows[i].port, "%s", rows[i].text);
    }
}

Test(cmd_options, places_follow_the_environment)
{
    char path[256], wanted[64];
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    cr_assert_eq(eg_cmd_control_path(path, sizeof path), EG_OK);
    cr_assert_str_eq(path, "/run/user/7/egress/default.sock");
    cr_assert_eq(eg_cmd_control_path(path, 8), EG_TOO_BIG);
    setenv("XDG_RUNTIME_DIR", "relative", 1);
    cr_assert_eq(eg_cmd_control_path(path, sizeof path), EG_OK);
    if (geteuid() == 0)
        snprintf(wanted, sizeof wanted, "/run/egress/default.sock");
    else
        snprintf(wanted, sizeof wanted, "/tmp/egress-%u/default.sock", (unsigned)geteuid());
    cr_assert_str_eq(path, wanted);
    setenv("XDG_STATE_HOME", "/s", 1);
    cr_assert_eq(eg_cmd_state_dir(path, sizeof path), EG_OK);
    cr_assert_str_eq(path, "/s/egress");
    unsetenv("XDG_STATE_HOME");
    setenv("HOME", "/h", 1);
    cr_assert_eq(eg_cmd_state_dir(path, sizeof path), EG_OK);
    cr_assert_str_eq(path, "/h/.local/state/egress");
    unsetenv("HOME");
    cr_assert_eq(eg_cmd_state_dir(path, sizeof path), EG_NOT_FOUND);
}

Test(cmd_options, state_folder_that_others_may_write_to_is_refused)
{
    char folder[] = "/tmp/egress-state-XXXXXX", path[128];
    struct stat st;
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a/b", folder);
    cr_assert_eq(eg_cmd_state_make(path, NULL), EG_OK);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0700);
    cr_assert_eq(chmod(path, 0770), 0);
    cr_assert_eq(eg_cmd_state_make(path, NULL), EG_PERMISSION);
    rmdir(path);
    snprintf(path, sizeof path, "%s/a", folder);
    rmdir(path);
    rmdir(folder);
}

Test(cmd_options, default_socket_folder_must_be_ours_alone)
{
    char folder[] = "/tmp/egress-run-XXXXXX", path[128];
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/default.sock", folder);
    cr_assert_eq(eg_daemon_default_folder(path, NULL), EG_OK);
    cr_assert_eq(chmod(folder, 0750), 0);
    cr_assert_eq(eg_daemon_default_folder(path, NULL), EG_PERMISSION);
    rmdir(folder);
    cr_assert_eq(eg_daemon_default_folder(path, NULL), EG_OK);
    rmdir(folder);
    cr_assert_eq(symlink("/tmp", folder), 0);
    cr_assert_eq(eg_daemon_default_folder(path, NULL), EG_PERMISSION);
    unlink(folder);
}
