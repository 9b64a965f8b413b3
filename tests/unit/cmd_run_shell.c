/* cmd_run_shell.c - the shell of `egressctl shell`: which one it is, and that each puts "(egress)"
 * before the prompt of its user's own configuration, which it has read. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/run_shell.h"

static char home[64];
static struct eg_run_files files;
static struct eg_run_shell shell;

static void begin(void)
{
    struct eg_err err = { 0 };
    snprintf(home, sizeof home, "/tmp/egress-home-XXXXXX");
    cr_assert_not_null(mkdtemp(home));
    setenv("HOME", home, 1);
    unsetenv("TMPDIR");
    unsetenv("SUDO_UID");
    unsetenv("XDG_CONFIG_HOME");
    unsetenv("XDG_DATA_HOME");
    cr_assert_eq(eg_run_files_make(&files, &err), EG_OK, "%s", err.text);
}

static void end(void)
{
    struct eg_err err = { 0 };
    char command[96];
    cr_assert_eq(eg_run_files_remove(&files, &err), EG_OK, "%s", err.text);
    snprintf(command, sizeof command, "rm -rf %s", home);
    cr_assert_eq(system(command), 0);
}

TestSuite(cmd_run_shell, .timeout = 60, .init = begin, .fini = end);

static void put(const char *name, const char *text)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", home, name);
    for (char *slash = strchr(path + strlen(home) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0, "%s", path);
}

static const char *path_of(const char *name)
{
    static const char *const folders[] = { "/bin", "/usr/bin", "/usr/local/bin" };
    static char path[64];
    for (unsigned i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(path, sizeof path, "%s/%s", folders[i], name);
        if (access(path, X_OK) == 0)
            return path;
    }
    end(); /* a test that is skipped comes to no end of its own */
    cr_skip_test("no %s", name);
    return NULL;
}

/* The shell as it would be started, but for a script; what that prints. */
static void run(const char *name, char *const *environment, const char *script, char *out,
                size_t cap)
{
    struct eg_err err = { 0 };
    const struct eg_run_user user = { .uid = geteuid(),
                                      .environment = (char **)(uintptr_t)environment };
    int ends[2], wait_status;
    size_t n = 0;
    ssize_t k;
    setenv("SHELL", path_of(name), 1);
    cr_assert_eq(eg_run_shell_choose(&shell, NULL, files.path, &err), EG_OK, "%s", err.text);
    cr_assert_eq(eg_run_shell_write(&shell, files.path, &user, &err), EG_OK, "%s", err.text);
    cr_assert_eq(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char *argv[8];
        int i = 0;
        for (char **a = shell.argv; *a; a++)
            argv[i++] = *a;
        argv[i++] = (char *)(uintptr_t) "-i";
        argv[i++] = (char *)(uintptr_t) "-c";
        argv[i++] = (char *)(uintptr_t)script;
        argv[i] = NULL;
        for (char **v = shell.variables; *v; v++)
            putenv(*v);
        setsid(); /* an interactive shell takes the terminal, where there is one */
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        execv(argv[0], argv);
        _exit(99);
    }
    close(ends[1]);
    while ((k = read(ends[0], out + n, cap - 1 - n)) > 0)
        n += (size_t)k;
    out[n] = '\0';
    close(ends[0]);
    cr_assert_eq(waitpid(pid, &wait_status, 0), pid);
    cr_assert(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) != 99);
}

static char *const nothing[] = { NULL };

Test(cmd_run_shell, bash_has_the_users_prompt_behind_ours)
{
    char out[4096];
    put(".bashrc", "PS1='mine> '\nMINE=yes\n");
    run("bash", nothing, "printf '[%s][%s]' \"$PS1\" \"$MINE\"", out, sizeof out);
    cr_assert(strstr(out, "[(egress) mine> ][yes]"), "%s", out);
}

Test(cmd_run_shell, bash_without_a_configuration)
{
    char out[4096];
    run("bash", nothing, "printf '[%s]' \"$PS1\"", out, sizeof out);
    cr_assert(strstr(out, "[(egress) "), "%s", out);
}

static const char ZSH[] = "for f in $precmd_functions; do $f; done; "
                          "printf '[%s][%s][%s][%s]' \"$PROMPT\" \"$MINE\" \"${ZDOTDIR-unset}\" "
                          "\"${EGRESS_ZDOTDIR-unset}$precmd_functions\"";

Test(cmd_run_shell, zsh_has_the_users_prompt_behind_ours)
{
    char out[4096];
    put(".zshenv", "MINE=env\n");
    put(".zshrc", "PROMPT='mine> '\nMINE=$MINE-rc\n");
    run("zsh", nothing, ZSH, out, sizeof out);
    cr_assert(strstr(out, "[(egress) mine> ][env-rc][unset][unset]"), "%s", out);
}

Test(cmd_run_shell, zsh_with_a_folder_of_its_own_keeps_it)
{
    char out[4096], variable[96], wanted[160];
    put("z/.zshenv", "MINE=env\n");
    put("z/.zshrc", "PROMPT='mine> '\nMINE=$MINE-rc\n");
    snprintf(variable, sizeof variable, "ZDOTDIR=%s/z", home);
    char *const environment[] = { variable, NULL };
    run("zsh", environment, ZSH, out, sizeof out);
    snprintf(wanted, sizeof wanted, "[(egress) mine> ][env-rc][%s/z][unset]", home);
    cr_assert(strstr(out, wanted), "%s", out);
}

Test(cmd_run_shell, fish_has_the_users_prompt_behind_ours)
{
    char out[8192];
    put(".config/fish/config.fish", "function fish_prompt\n    echo -n 'mine> '\nend\n");
    run("fish", nothing, "printf '[%s]' (fish_prompt | string collect)", out, sizeof out);
    cr_assert(strstr(out, "[(egress) mine> ]"), "%s", out);
}

Test(cmd_run_shell, another_shell_gets_a_plain_prompt)
{
    struct eg_err err = { 0 };
    const struct eg_run_user user = { .uid = geteuid(),
                                      .environment = (char **)(uintptr_t)nothing };
    setenv("SHELL", "/bin/sh", 1);
    cr_assert_eq(eg_run_shell_choose(&shell, NULL, files.path, &err), EG_OK);
    cr_assert_eq(eg_run_shell_write(&shell, files.path, &user, &err), EG_OK);
    cr_assert_str_eq(shell.argv[0], "/bin/sh");
    cr_assert_null(shell.argv[1]);
    cr_assert_str_eq(shell.variables[0], "PS1=(egress) $ ");
    cr_assert_null(shell.variables[1]);
}

/* A shell that lets nobody in is not started; nor is one that is not there. */
Test(cmd_run_shell, shell_that_is_none_is_passed_over)
{
    static const char *const none[] = { "/usr/sbin/nologin", "/bin/false", "/no/such/shell", "sh",
                                        "" };
    struct eg_err err = { 0 };
    for (unsigned i = 0; i < sizeof none / sizeof *none; i++) {
        setenv("SHELL", none[i], 1);
        cr_assert_eq(eg_run_shell_choose(&shell, NULL, files.path, &err), EG_OK, "%s", err.text);
        cr_assert_str_neq(shell.path, none[i]);
        cr_assert_eq(access(shell.path, X_OK), 0, "%s", shell.path);
    }
    if (geteuid() != 0)
        return;
    setenv("SHELL", "/bin/sh", 1); /* nobody's own is nologin */
    cr_assert_eq(eg_run_shell_choose(&shell, "nobody", files.path, &err), EG_OK, "%s", err.text);
    cr_assert_str_eq(shell.path, "/bin/sh");
}
