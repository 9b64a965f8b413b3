/* launch_alone.c - whole commands in the fallback without namespaces: how they run, what of the machine they reach and how they
 * and all that they leave behind end, whoever is killed. With Landlock's scope and without it, which is another way for signals. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch/broker.h"
#include "support/launched.h"

TestSuite(launch_alone, .timeout = 120);

enum { WITHOUT_SCOPE = 5, DEBIAN_12 = 2 };

#define RUN(script, abi)                                                                           \
    struct eg_ran r;                                                                               \
    eg_launched_script_alone(script, abi, NULL, &r)

Test(launch_alone, command_runs_with_its_environment_and_status)
{
    RUN("echo $GREETING; exit 7", 0);
    cr_assert_eq(r.code, 7);
    cr_assert_str_eq(r.out, "hello\n");
}

Test(launch_alone, command_runs_with_debian_12s_landlock)
{
    RUN("echo $GREETING | cat; (exit 3); echo $?; exit 7", DEBIAN_12);
    cr_assert_eq(r.code, 7);
    cr_assert_str_eq(r.out, "hello\n3\n");
}

Test(launch_alone, nothing_can_be_had_back)
{
    RUN("grep -E '^(CapInh|CapPrm|CapEff|CapAmb|NoNewPrivs|Seccomp:)' /proc/self/status | tr -s '\\t' ' '; id -u", 0);
    cr_assert(strstr(r.out, "CapInh: 0000000000000000\nCapPrm: 0000000000000000\n"
                            "CapEff: 0000000000000000\nCapAmb: 0000000000000000\n"
                            "NoNewPrivs: 1\nSeccomp: 2\n"),
              "%s", r.out);
    cr_assert_null(strstr(r.out, "\n0\n"), "%s", r.out);
}

Test(launch_alone, descriptors_of_the_caller_are_closed)
{
    int leak = open("/dev/null", O_RDONLY); /* without O_CLOEXEC, as a shell would */
    cr_assert_geq(leak, 0);
    RUN("ls /proc/self/fd | tr '\\n' ' '", 0); /* 3 is ls' own */
    cr_assert_str_eq(r.out, "0 1 2 3 ", "%s", r.out);
    close(leak);
}

/* Its supervisor, the guard above it and us are processes of the same user but for root's. */
static void signals_stay_inside(unsigned abi)
{
    char script[1024];
    snprintf(script, sizeof script,
             "kill -0 %d 2>/dev/null && echo launcher; kill -0 $PPID 2>/dev/null && echo supervisor; "
             "kill -KILL $PPID 2>/dev/null; kill -KILL 1 2>/dev/null; "
             "cat /proc/%d/environ /proc/$PPID/environ 2>/dev/null | wc -c; "
             "sleep 60 & kill $! && wait $!; echo $?; kill -TERM -1; echo alive",
             (int)getpid(), (int)getpid());
    RUN(script, abi);
    cr_assert_eq(r.code, 0);
    cr_assert_str_eq(r.out, "0\n143\nalive\n", "%s", r.out);
}

Test(launch_alone, signals_stay_inside_by_landlock)
{
    if (eg_landlock_abi() < EG_LANDLOCK_SCOPE)
        cr_skip_test("Landlock has no scope here");
    signals_stay_inside(0);
}

Test(launch_alone, signals_stay_inside_without_landlocks_scope)
{
    signals_stay_inside(WITHOUT_SCOPE);
}

Test(launch_alone, command_not_found_is_127_and_no_program_126)
{
    char *missing[] = { (char[]){ "egress-no-such-command" }, NULL };
    char *passwd[] = { (char[]){ "/etc/passwd" }, NULL };
    struct eg_err err = { 0 };
    struct eg_launch *l = eg_launched_alone(missing, 0);
    cr_assert_eq(eg_launch_go(l, eg_launched_env, &err), EG_NOT_FOUND);
    eg_launched_free(l);
    l = eg_launched_alone(passwd, 0);
    eg_err_reset(&err);
    cr_assert_eq(eg_launch_go(l, eg_launched_env, &err), EG_PERMISSION);
    eg_launched_free(l);
}

/* ---- ends ---- */

Test(launch_alone, orphans_end_with_the_command)
{
    /* the output ends when the last that holds it has: run() would wait for 600 s else */
    RUN("(setsid sleep 600 &); sleep 600 & echo done; exit 4", 0);
    cr_assert_eq(r.code, 4);
    cr_assert_str_eq(r.out, "done\n");
}

/* A call that is handed over ends with EINTR when a signal comes: a shell that waits for children said "Cannot fork" in every sixth of these. */
Test(launch_alone, fork_is_not_interrupted_by_the_end_of_a_child)
{
    RUN("i=0; while [ $i -lt 100 ]; do i=$((i+1)); sh -c 'echo a | cat | cat >/dev/null; (exit 3); true' 2>&1; done; exit 8", 0);
    cr_assert_eq(r.code, 8);
    cr_assert_str_eq(r.out, "");
}

/* Each forks and ends at once: no list of processes is ever true for it. */
Test(launch_alone, processes_that_only_fork_and_end_are_ended)
{
    RUN("c() { (c) & }; (c) & (c) & (c) & sleep 0.2; echo done; exit 5", 0);
    cr_assert_eq(r.code, 5);
    cr_assert_str_eq(r.out, "done\n");
}

Test(launch_alone, death_by_signal_is_128_and_its_number)
{
    RUN("kill -KILL $$", 0);
    cr_assert_eq(r.code, 137);
}

Test(launch_alone, its_own_signals_are_what_they_are_without_scope)
{
    RUN("trap 'echo caught' USR1; kill -USR1 $$; trap 'exit 42' TERM; kill -TERM 0", WITHOUT_SCOPE);
    cr_assert_str_eq(r.out, "caught\n");
    cr_assert_eq(r.code, 42);
}

Test(launch_alone, signals_of_the_launcher_reach_the_command)
{
    char *argv[] = { (char[]){ "/bin/sh" }, (char[]){ "-c" },
                     (char[]){ "trap 'exit 42' TERM; echo ready; while :; do read -r x || exit 9; done" },
                     NULL };
    int out[2], in[2], saved = dup(1), saved_in = dup(0), wait_status;
    struct eg_err err = { 0 };
    char word[8] = "";
    cr_assert(pipe2(out, O_CLOEXEC) == 0 && pipe2(in, O_CLOEXEC) == 0);
    dup2(out[1], 1);
    dup2(in[0], 0);
    struct eg_launch *l = eg_launched_alone(argv, 0);
    cr_assert_eq(eg_launch_go(l, eg_launched_env, &err), EG_OK);
    dup2(saved, 1);
    dup2(saved_in, 0);
    cr_assert_eq(read(out[0], word, 6), 6);
    eg_launch_signal(l, SIGTERM);
    cr_assert_eq(waitpid(eg_launch_pid(l), &wait_status, 0), eg_launch_pid(l));
    eg_launch_ended(l);
    cr_assert_eq(eg_launch_exit_code(wait_status), 42);
    eg_launched_free(l);
}

/* Whoever is named by victim is killed; the command's end of the pipe closes because all are gone. */
enum victim { LAUNCHER, GUARD, SUPERVISOR };

static pid_t only_child_of(pid_t pid)
{
    char path[64];
    int child = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *f = fopen(path, "re");
    if (f) {
        if (fscanf(f, "%d", &child) != 1)
            child = 0;
        fclose(f);
    }
    return child;
}

static _Noreturn void launcher(int out)
{
    char *argv[] = { (char[]){ "/bin/sh" }, (char[]){ "-c" },
                     (char[]){ "(setsid sleep 600 &); echo up; exec sleep 600" }, NULL };
    struct eg_launch_spec spec = { .argv = argv,
                                   .strongest = EG_ENFORCE_SECCOMP,
                                   .weakest = EG_ENFORCE_SECCOMP,
                                   .user = geteuid() == 0 ? "nobody" : NULL };
    struct eg_launch *l;
    struct eg_err err = { 0 };
    int status;
    dup2(out, 1);
    if (eg_launch_prepare(&spec, &l, &err) != EG_OK || eg_launch_go(l, eg_launched_env, &err) != EG_OK)
        _exit(3);
    dup2(2, 1); /* the pipe is the command's alone */
    close(out);
    if (waitpid(eg_launch_pid(l), &status, 0) != eg_launch_pid(l))
        _exit(4);
    eg_launch_ended(l);
    eg_launch_free(l);
    _exit(0);
}

static void dies(enum victim victim)
{
    int out[2], status;
    char byte;
    ssize_t n;
    cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0)
        launcher(out[1]);
    close(out[1]);
    n = read(out[0], &byte, 1);
    if (n != 1 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3)
        cr_skip_test("no fallback here");
    cr_assert_eq(n, 1);
    pid_t guard = only_child_of(pid), supervisor = only_child_of(guard);
    if (!guard || !supervisor)
        cr_skip_test("the kernel lists no children");
    kill(victim == LAUNCHER ? pid : victim == GUARD ? guard : supervisor, SIGKILL);
    while ((n = read(out[0], &byte, 1)) > 0)
        ;
    cr_assert_eq(n, 0);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(victim == LAUNCHER ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (unsigned i = 0; i < 2000 && (kill(guard, 0) == 0 || kill(supervisor, 0) == 0); i++)
        usleep(10000); /* the last of them has let go of the pipe before it has gone */
    cr_assert(kill(guard, 0) < 0 && kill(supervisor, 0) < 0);
}

Test(launch_alone, all_end_when_the_launcher_is_killed)
{
    dies(LAUNCHER);
}

Test(launch_alone, all_end_when_the_guard_is_killed)
{
    dies(GUARD);
}

Test(launch_alone, all_end_when_the_supervisor_is_killed)
{
    dies(SUPERVISOR);
}

Test(launch_alone, free_ends_a_child_that_never_went)
{
    char *argv[] = { (char[]){ "/bin/true" }, NULL };
    struct eg_launch *l = eg_launched_alone(argv, 0);
    pid_t pid = eg_launch_pid(l);
    eg_launched_free(l);
    cr_assert_eq(kill(pid, 0), -1);
    cr_assert_eq(errno, ESRCH);
}

/* ---- which it is ---- */

/* In a process that may make no namespaces, as inside another run: chosen by trying, and said. */
static int fall_back(bool again)
{
    char *argv[] = { (char[]){ "/bin/true" }, NULL };
    struct eg_launch_spec spec = { .argv = argv,
                                   .strongest = EG_ENFORCE_NAMESPACES,
                                   .weakest = EG_ENFORCE_SECCOMP,
                                   .user = geteuid() == 0 ? "nobody" : NULL };
    const struct eg_seccomp_rules rules = { .alone = false };
    struct eg_launch *l = NULL;
    struct eg_err err = { 0 };
    int none, status;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || eg_seccomp_install(&rules, &none, &err) != EG_OK)
        return 1;
    if (!again)
        spec.weakest = EG_ENFORCE_NAMESPACES;
    enum eg_status got = eg_launch_prepare(&spec, &l, &err);
    if (!again)
        return got == EG_PERMISSION && !l ? 0 : 2;
    if (got == EG_PERMISSION)
        return 77;
    if (got != EG_OK || eg_launch_enforcement(l) != EG_ENFORCE_SECCOMP)
        return 3;
    const char *why = eg_launch_weaker_because(l);
    if (!strstr(why, "seccomp") && !strstr(why, "user.max_user_namespaces")) /* where all are refused them */
        return 3;
    if (eg_launch_go(l, eg_launched_env, &err) != EG_OK || waitpid(eg_launch_pid(l), &status, 0) < 0)
        return 4;
    return status;
}

static void falls_back(bool again)
{
    int status;
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0)
        _exit(fall_back(again));
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        cr_skip_test("no fallback here");
    cr_assert_eq(status, 0, "%d", status >> 8);
}

Test(launch_alone, where_namespaces_are_refused_it_falls_back_and_says_why)
{
    falls_back(true);
}

Test(launch_alone, it_does_not_fall_back_below_what_was_asked_for)
{
    falls_back(false);
}

/* What holds the outer one answers the calls of the inner one already (one listener a process). */
Test(launch_alone, inside_itself_it_is_refused_with_what_to_do)
{
    int status;
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        char *argv[] = { (char[]){ "/bin/true" }, NULL };
        struct eg_launch_spec spec = { .argv = argv,
                                       .strongest = EG_ENFORCE_SECCOMP,
                                       .weakest = EG_ENFORCE_SECCOMP,
                                       .user = geteuid() == 0 ? "nobody" : NULL };
        const struct eg_seccomp_rules rules = { .sockets = true };
        struct eg_launch *l = NULL;
        struct eg_err err = { 0 };
        int listener;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || eg_seccomp_install(&rules, &listener, &err) != EG_OK)
            _exit(1);
        /* it makes a socket for its listener first, which nobody answers */
        close(listener);
        enum eg_status got = eg_launch_prepare(&spec, &l, &err);
        _exit(got != EG_OK && !l ? 0 : 2);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0, "%d", status >> 8);
}
