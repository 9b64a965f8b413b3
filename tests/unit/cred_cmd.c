/* cred_cmd.c - programs as sources: real ones that answer, fail, flood, hang and leave children. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cred/cred.h"
#include "support/residue.h"

enum { LIMIT = EG_CREDENTIAL_MAX, LONG_MS = 60000 };

static char folder[64];
static struct eg_buf out;
static struct eg_err err;

static void enter(void)
{
    cr_assert_geq(sodium_init(), 0);
    snprintf(folder, sizeof folder, "/tmp/eg-cmd-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    eg_buf_init(&out, LIMIT + 2);
    eg_err_reset(&err);
}

static void leave(void)
{
    char command[128];
    snprintf(command, sizeof command, "/bin/rm -rf %s", folder);
    cr_expect_eq(system(command), 0);
    eg_buf_wipe(&out);
    eg_buf_done(&out);
}

#define CMD(name) Test(cred, cmd_##name, .init = enter, .fini = leave)

static enum eg_status run_for(const char *script, uint64_t ms)
{
    const char *const argv[] = { "/bin/sh", "-c", script, NULL };
    const char *const env[] = { "PATH=/usr/bin:/bin", "WORD=own", NULL };
    struct eg_source_command c = {
        .argv = argv, .env = env, .limit = LIMIT, .deadline_ms = eg_clock_ms() + ms
    };
    eg_buf_wipe(&out);
    eg_err_reset(&err);
    enum eg_status s = eg_source_cmd(&c, &out, &err);
    if (s != EG_OK)
        cr_expect_eq(out.len, 0);
    return s;
}

static enum eg_status run(const char *script)
{
    return run_for(script, LONG_MS);
}

static bool got(const char *text)
{
    return eg_slice_eq(eg_buf_slice(&out), eg_slice_str(text));
}

CMD(output_is_the_value)
{
    cr_assert_eq(run("echo sk-live-1"), EG_OK, "%s", err.text);
    cr_expect(got("sk-live-1\n"), "the end of the line is eg_source_check's business");
    cr_assert_eq(run("printf 'a\\0b'"), EG_OK);
    cr_expect_eq(out.len, 3);
    cr_expect_eq(eg_source_check(&out, false, &err), EG_INVALID, "NUL");
    cr_assert_eq(run("printf 'a\\nb\\n'"), EG_OK);
    cr_expect_eq(eg_source_check(&out, false, &err), EG_INVALID, "two lines");
    cr_assert_eq(run("printf 'a\\nb\\n'"), EG_OK);
    cr_expect_eq(eg_source_check(&out, true, &err), EG_OK, "a text may have them");
    cr_expect(got("a\nb"));
}

CMD(environment_is_only_what_is_given)
{
    cr_assert_eq(setenv("EG_TEST_LEAK", "secret", 1), 0);
    const char *const argv[] = { "/usr/bin/env", NULL };
    const char *const env[] = { "WORD=own", NULL };
    struct eg_source_command c = {
        .argv = argv, .env = env, .limit = LIMIT, .deadline_ms = eg_clock_ms() + LONG_MS
    };
    cr_assert_eq(eg_source_cmd(&c, &out, &err), EG_OK, "%s", err.text);
    cr_expect(got("WORD=own\n"));
    unsetenv("EG_TEST_LEAK");
}

CMD(no_shell_reads_the_arguments)
{
    const char *const argv[] = { "/bin/echo", "$HOME", ";", "`id`", NULL };
    const char *const env[] = { NULL };
    struct eg_source_command c = {
        .argv = argv, .env = env, .limit = LIMIT, .deadline_ms = eg_clock_ms() + LONG_MS
    };
    cr_assert_eq(eg_source_cmd(&c, &out, &err), EG_OK);
    cr_expect(got("$HOME ; `id`\n"));
}

CMD(stdin_is_empty_and_stderr_goes_nowhere)
{
    cr_assert_eq(run("cat; echo leaked-text >&2; echo x"), EG_OK);
    cr_expect(got("x\n"));
    cr_assert_eq(run("readlink /proc/self/fd/2; ls /proc/self/fd | wc -l"), EG_OK);
    cr_expect_eq(strncmp(eg_buf_slice(&out).p, "/dev/null\n", 10), 0);
}

CMD(descriptors_of_ours_are_not_passed_on)
{
    int fd = open("/etc/hostname", O_RDONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(run("for f in /proc/self/fd/*; do case ${f##*/} in 0|1|2) ;; *) readlink $f;; "
                     "esac; done"),
                 EG_OK);
    cr_expect_null(memmem(out.data + out.off, out.len, "hostname", 8));
    close(fd);
}

CMD(failure_tells_the_status_and_nothing_else)
{
    cr_expect_eq(run("echo sk-live-secret; echo sk-live-secret >&2; exit 3"), EG_IO);
    cr_expect(strstr(err.text, "exit status 3"), "%s", err.text);
    cr_expect_null(strstr(err.text, "secret"));
    cr_expect_eq(run("kill -9 $$"), EG_IO);
    cr_expect(strstr(err.text, "signal 9"), "%s", err.text);
}

CMD(empty_output_is_an_empty_value)
{
    cr_assert_eq(run("exit 0"), EG_OK);
    cr_expect_eq(out.len, 0);
    cr_expect_eq(eg_source_check(&out, false, &err), EG_NOT_FOUND);
}

CMD(flood_is_cut_at_the_limit)
{
    cr_expect_eq(run("exec cat /dev/zero"), EG_TOO_BIG);
    cr_expect(strstr(err.text, "16384"), "%s", err.text);
    char script[64];
    snprintf(script, sizeof script, "head -c %d /dev/zero", LIMIT + 2);
    cr_expect_eq(run(script), EG_OK, "%s", err.text);
    cr_expect_eq(out.len, LIMIT + 2);
    snprintf(script, sizeof script, "head -c %d /dev/zero", LIMIT + 3);
    cr_expect_eq(run(script), EG_TOO_BIG);
}

/* Bounded: it was sent SIGKILL. */
static bool gone(pid_t pid)
{
    for (int i = 0; i < 600000 && kill(pid, 0) == 0; i++) {
        char state = 0, path[64];
        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        FILE *f = fopen(path, "r");
        if (f && fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
            state = 0;
        if (f)
            fclose(f);
        if (state == 'Z' || state == 0)
            return true; /* init reaps it */
        struct timespec t = { .tv_nsec = 100000 };
        nanosleep(&t, NULL);
    }
    return kill(pid, 0) != 0;
}

static pid_t written(const char *name)
{
    char path[128];
    int pid = 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "r");
    if (f) {
        if (fscanf(f, "%d", &pid) != 1)
            pid = 0;
        fclose(f);
    }
    return pid;
}

CMD(late_one_is_killed_with_its_children)
{
    char script[256];
    snprintf(script, sizeof script,
             "sleep 1000 & echo $! > %s/child; echo $$ > %s/leader; echo partial; wait", folder,
             folder);
    /* A busy machine may be late to write the files: longer then. */
    for (uint64_t ms = 500; ms < 60000 && written("leader") == 0; ms *= 4) {
        cr_expect_eq(run_for(script, ms), EG_IO);
        cr_expect(strstr(err.text, "in time"), "%s", err.text);
    }
    cr_assert_gt(written("leader"), 0);
    cr_assert_gt(written("child"), 0);
    cr_expect(gone(written("leader")));
    cr_expect(gone(written("child")));
}

CMD(deadline_that_has_passed_starts_nothing_that_stays)
{
    cr_expect_eq(run_for("sleep 1000", 0), EG_IO);
    cr_expect_eq(waitpid(-1, NULL, WNOHANG), -1);
    cr_expect_eq(errno, ECHILD);
}

CMD(child_that_keeps_stdout_does_not_delay_the_answer)
{
    char script[128];
    snprintf(script, sizeof script, "sleep 1000 & echo $! > %s/child; echo value", folder);
    cr_assert_eq(run(script), EG_OK, "%s", err.text);
    cr_expect(got("value\n"));
    cr_expect(gone(written("child")), "what is left of its group is killed");
}

CMD(program_that_closes_stdout_is_waited_for)
{
    cr_expect_eq(run("echo early; exec >&-; exit 4"), EG_IO);
    cr_expect(strstr(err.text, "exit status 4"), "%s", err.text);
}

CMD(sigterm_ends_it)
{
    char script[128];
    snprintf(script, sizeof script, "echo $$ > %s/leader; kill -TERM %d; sleep 1000", folder,
             (int)getpid());
    cr_expect_eq(run(script), EG_CLOSED);
    cr_expect(gone(written("leader")));
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    cr_expect_not(sigismember(&now, SIGTERM), "the mask is what it was");
}

static const char *program(const char *name, const char *text, mode_t mode)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(fchmod(fd, mode), 0);
    close(fd);
    return path;
}

static enum eg_status run_file(const char *path)
{
    const char *const argv[] = { path, NULL };
    const char *const env[] = { "PATH=/usr/bin:/bin", NULL };
    struct eg_source_command c = {
        .argv = argv, .env = env, .limit = LIMIT, .deadline_ms = eg_clock_ms() + LONG_MS
    };
    eg_buf_wipe(&out);
    eg_err_reset(&err);
    return eg_source_cmd(&c, &out, &err);
}

CMD(program_that_others_could_change_is_refused)
{
    static const char text[] = "#!/bin/sh\necho v\n";
    cr_expect_eq(run_file(program("own", text, 0700)), EG_OK, "%s", err.text);
    cr_expect(got("v\n"));
    cr_expect_eq(run_file(program("own", text, 0755)), EG_OK);
    cr_expect_eq(run_file(program("own", text, 0775)), EG_PERMISSION);
    cr_expect(strstr(err.text, "chmod go-w"), "%s", err.text);
    cr_expect_eq(run_file(program("own", text, 0757)), EG_PERMISSION);
    cr_expect_eq(run_file(program("own", text, 0600)), EG_NOT_FOUND);
    cr_expect_eq(run_file(folder), EG_NOT_FOUND);
    cr_expect_eq(run_file("/nonexistent/program"), EG_NOT_FOUND);
    cr_expect_eq(run_file(program("own", "#!/nonexistent/shell\n", 0700)), EG_IO);
    cr_expect(strstr(err.text, "can't be run"), "%s", err.text);
    if (geteuid() == 0) {
        const char *path = program("own", text, 0755);
        cr_assert_eq(chown(path, 65534, 65534), 0);
        cr_expect_eq(run_file(path), EG_PERMISSION);
    }
}

CMD(bare_names_are_found_in_the_systems_folders_only)
{
    char path[EG_PROGRAM_PATH];
    cr_assert_eq(eg_source_program("env", path, &err), EG_OK, "%s", err.text);
    cr_expect_str_eq(path, "/usr/bin/env");
    cr_assert_eq(setenv("PATH", folder, 1), 0);
    program("eg-no-such-program", "#!/bin/sh\n", 0755);
    cr_expect_eq(eg_source_program("eg-no-such-program", path, &err), EG_NOT_FOUND);
    cr_expect(strstr(err.text, "not installed"), "%s", err.text);
    eg_err_reset(&err);
    cr_expect_eq(eg_source_program("../bin/env", path, &err), EG_INVALID);
    eg_err_reset(&err);
    cr_expect_eq(eg_source_program("", path, &err), EG_INVALID);
}

CMD(failed_output_is_wiped)
{
    struct residue r;
    char text[48], script[192], path[128];
    residue_choose(&r, 40);
    residue_reveal(&r, text);
    snprintf(path, sizeof path, "%s/secret", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    cr_assert_eq(write(fd, text, 40), 40);
    close(fd);
    sodium_memzero(text, sizeof text);
    snprintf(script, sizeof script, "cat %s; exit 1", path);
    cr_expect_eq(run(script), EG_IO);
    cr_expect_eq(residue_count(&r), 0);
    snprintf(script, sizeof script, "cat %s", path);
    cr_expect_eq(run(script), EG_OK);
    cr_expect_eq(residue_count(&r), 1, "only the value itself");
}
