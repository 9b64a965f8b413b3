/* launch_child.c - children that are really cloned, confined and executed: what they can reach
 * and what they can't, and how they end. Each script runs in the sandbox and prints what it
 * found. Where the kernel refuses namespaces the tests are skipped, with its reason. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch/internal.h"
#include "support/launched.h"

TestSuite(launch, .timeout = 60);

#define RUN(script)                                                                                \
    struct eg_ran r;                                                                               \
    eg_launched_script(script, NULL, &r)

Test(launch, command_runs_with_its_environment_and_status)
{
    RUN("echo $GREETING; env | wc -l; exit 7");
    cr_assert_eq(r.status, EG_OK);
    cr_assert_eq(r.code, 7);
    cr_assert(strncmp(r.out, "hello\n", 6) == 0, "%s", r.out);
}

Test(launch, signals_that_nohup_ignores_stay_ignored_and_no_other)
{
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_DFL); /* ignored where the suite runs in a shell's background */
    signal(SIGQUIT, SIG_DFL);
    RUN("grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -s '\\t' ' '");
    cr_assert_str_eq(r.out, "SigBlk: 0000000000000000\nSigIgn: 0000000000000001\n", "%s", r.out);
}

Test(launch, death_by_signal_is_128_and_its_number)
{
    RUN("kill -KILL $$");
    cr_assert_eq(r.code, 137);
}

Test(launch, ids_map_to_themselves_and_none_is_root)
{
    RUN("id -u; grep -c . /proc/self/uid_map; awk '{print ($1 == $2 && $3 == 1) ? \"same\" : "
        "\"other\"}' /proc/self/uid_map");
    cr_assert_eq(r.code, 0);
    cr_assert_neq(atoi(r.out), 0, "%s", r.out);
    cr_assert(strstr(r.out, "\n1\nsame\n"), "%s", r.out);
}

Test(launch, no_capability_in_any_set_and_no_new_privileges)
{
    RUN("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status | tr -s '\\t' ' '");
    cr_assert_str_eq(
        r.out,
        "CapInh: 0000000000000000\nCapPrm: 0000000000000000\nCapEff: 0000000000000000\n"
        "CapBnd: 0000000000000000\nCapAmb: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2\n",
        "%s", r.out);
}

Test(launch, proc_shows_only_the_namespace)
{
    RUN("echo $$; ls /proc | grep -c '^[0-9]*$'; cat /proc/1/environ 2>/dev/null | wc -c; ls -l "
        "/proc/1/fd 2>&1 | grep -c '[>]'");
    cr_assert(strncmp(r.out, "2\n", 2) == 0, "%s", r.out);
    int pid, processes = 99, environ_bytes = -1, descriptors = -1;
    cr_assert_eq(sscanf(r.out, "%d %d %d %d", &pid, &processes, &environ_bytes, &descriptors), 4,
                 "%s", r.out);
    cr_assert_leq(processes, 4, "%s", r.out);
    cr_assert_eq(environ_bytes, 0);
    cr_assert_eq(descriptors, 0);
}

Test(launch, descriptors_of_the_caller_are_closed)
{
    int leak = open("/dev/null", O_RDONLY); /* without O_CLOEXEC, as a shell would */
    cr_assert_geq(leak, 0);
    RUN("ls /proc/self/fd | tr '\\n' ' '"); /* 3 is ls' own */
    cr_assert_str_eq(r.out, "0 1 2 3 ", "%s", r.out);
    close(leak);
}

Test(launch, loopback_is_the_only_interface)
{
    RUN("grep -c : /proc/net/dev; grep -c 'lo:' /proc/net/dev; wc -l < /proc/net/route");
    cr_assert_str_eq(r.out, "1\n1\n1\n", "%s", r.out);
}

Test(launch, orphans_end_with_the_command)
{
    RUN("(setsid /bin/sleep 600 >/dev/null 2>&1 </dev/null &) ; echo done");
    cr_assert_eq(r.code, 0);
    cr_assert_str_eq(r.out, "done\n");
}

Test(launch, kill_zero_does_not_reach_the_launcher)
{
    RUN("trap '' TERM; kill -TERM 0; kill -TERM -- -1 2>/dev/null; echo alive; kill -KILL 0");
    cr_assert_str_eq(r.out, "alive\n");
    cr_assert_eq(r.code, 137);
}

Test(launch, command_not_found_is_127)
{
    char *argv[] = { (char[]){ "egress-no-such-command" }, NULL };
    struct eg_ran r;
    eg_launched_run(argv, NULL, true, &r);
    cr_assert_eq(r.status, EG_NOT_FOUND);
}

Test(launch, command_that_is_no_program_is_126)
{
    char *argv[] = { (char[]){ "/etc/passwd" }, NULL };
    struct eg_ran r;
    eg_launched_run(argv, NULL, true, &r);
    cr_assert_eq(r.status, EG_PERMISSION);
}

/* ---- the listener ---- */

Test(launch, listener_inside_is_accepted_outside)
{
    char script[] = "read -r p; exec 3<>/dev/tcp/127.0.0.1/$p; echo hi >&3; read -r answer <&3; "
                    "test \"$answer\" = there";
    int in[2];
    struct eg_err err = { 0 };
    struct eg_ran r = { 0 };
    if (access("/bin/bash", X_OK) != 0)
        cr_skip_test("no bash");
    cr_assert_eq(pipe2(in, O_CLOEXEC), 0);
    int saved = dup(0);
    dup2(in[0], 0);
    char *argv[] = { (char[]){ "/bin/bash" }, (char[]){ "-c" }, script, NULL };
    struct eg_launch *l = eg_launched_prepare(argv, true);
    dup2(saved, 0);
    cr_assert_eq(eg_launch_go(l, eg_launched_env, &err), EG_OK);
    dprintf(in[1], "%u\n", eg_launch_address(l, EG_ENTRY_PROXY)->port);
    struct pollfd p = { .fd = eg_launched_listener(l), .events = POLLIN };
    cr_assert_eq(poll(&p, 1, 10000), 1);
    int c = accept4(p.fd, NULL, NULL, SOCK_CLOEXEC);
    cr_assert_geq(c, 0);
    cr_assert_eq(recv(c, r.out, 3, MSG_WAITALL), 3);
    cr_assert_str_eq(r.out, "hi\n");
    cr_assert_eq(send(c, "there\n", 6, MSG_NOSIGNAL), 6);
    int wait_status;
    cr_assert_eq(waitpid(eg_launch_pid(l), &wait_status, 0), eg_launch_pid(l));
    eg_launch_ended(l);
    cr_assert_eq(eg_launch_exit_code(wait_status), 0);
    close(c);
    eg_launched_free(l);
}

Test(launch, hosts_loopback_is_not_the_childs)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof at;
    char script[128];
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (access("/bin/bash", X_OK) != 0)
        cr_skip_test("no bash");
    cr_assert_eq(bind(s, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(listen(s, 4), 0);
    cr_assert_eq(getsockname(s, (struct sockaddr *)&at, &n), 0);
    snprintf(script, sizeof script,
             "(exec 3<>/dev/tcp/127.0.0.1/%u) 2>/dev/null && echo reached || echo refused",
             ntohs(at.sin_port));
    char *argv[] = { (char[]){ "/bin/bash" }, (char[]){ "-c" }, script, NULL };
    struct eg_ran r;
    eg_launched_run(argv, NULL, true, &r);
    cr_assert_str_eq(r.out, "refused\n");
    cr_assert_eq(accept4(s, NULL, NULL, SOCK_CLOEXEC), -1);
    cr_assert_eq(errno, EAGAIN);
    close(s);
}

/* ---- ends ---- */

Test(launch, signals_reach_the_command)
{
    char *argv[] = {
        (char[]){ "/bin/sh" }, (char[]){ "-c" },
        (char[]){ "trap 'exit 42' TERM; echo ready; while :; do read -r x || exit 9; done" }, NULL
    };
    int out[2], in[2], saved = dup(1), saved_in = dup(0), wait_status;
    struct eg_err err = { 0 };
    char word[8] = "";
    cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(in, O_CLOEXEC), 0);
    dup2(out[1], 1);
    dup2(in[0], 0);
    struct eg_launch *l = eg_launched_prepare(argv, true);
    cr_assert_eq(eg_launch_go(l, eg_launched_env, &err), EG_OK);
    dup2(saved, 1);
    dup2(saved_in, 0);
    cr_assert_eq(read(out[0], word, 6), 6);
    eg_launch_signal(l, SIGTERM);
    cr_assert_eq(waitpid(eg_launch_pid(l), &wait_status, 0), eg_launch_pid(l));
    eg_launch_ended(l);
    cr_assert_eq(eg_launch_exit_code(wait_status), 42);
    eg_launch_free(l);
}

/* The launcher is killed; the command's end of the pipe closes because the command is gone too. */
static void launcher_dies(bool go)
{
    int out[2], wait_status;
    struct pollfd p;
    char byte;
    if (geteuid() == 0 && access("/proc/self/ns/user", F_OK) != 0)
        cr_skip_test("no user namespaces");
    cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char *argv[] = { (char[]){ "/bin/sh" }, (char[]){ "-c" },
                         (char[]){ "echo up; exec sleep 600" }, NULL };
        struct eg_launch_spec spec = { .argv = argv,
                                       .strongest = EG_ENFORCE_NAMESPACES,
                                       .weakest = EG_ENFORCE_NAMESPACES,
                                       .user = geteuid() == 0 ? "nobody" : NULL };
        struct eg_launch *l;
        struct eg_err err = { 0 };
        dup2(out[1], 1);
        if (eg_launch_prepare(&spec, &l, &err) != EG_OK)
            _exit(3);
        if (!go && write(1, "up\n", 3) != 3)
            _exit(4);
        if (go && eg_launch_go(l, eg_launched_env, &err) != EG_OK)
            _exit(4);
        for (;;)
            pause();
    }
    close(out[1]);
    p = (struct pollfd){ .fd = out[0], .events = POLLIN };
    cr_assert_eq(poll(&p, 1, 20000), 1);
    ssize_t n = read(out[0], &byte, 1);
    if (n == 1) {
        kill(pid, SIGKILL);
        while ((n = read(out[0], &byte, 1)) > 0)
            ;
    }
    cr_assert_eq(n, 0);
    cr_assert_eq(waitpid(pid, &wait_status, 0), pid);
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 3)
        cr_skip_test("no namespaces here");
    cr_assert(WIFSIGNALED(wait_status));
}

Test(launch, command_dies_with_the_launcher)
{
    launcher_dies(true);
}

Test(launch, waiting_child_dies_with_the_launcher)
{
    launcher_dies(false);
}

Test(launch, free_ends_a_child_that_never_went)
{
    char *argv[] = { (char[]){ "/bin/true" }, NULL };
    struct eg_launch *l = eg_launched_prepare(argv, true);
    pid_t pid = eg_launch_pid(l);
    eg_launched_free(l);
    cr_assert_eq(kill(pid, 0), -1);
    cr_assert_eq(errno, ESRCH);
}

/* The launcher was started with the key in its environment: no process of the child's namespace
 * may show it. */
Test(launch, init_holds_no_environment_of_the_launcher)
{
    char *argv[] = { (char[]){ "/bin/true" }, NULL };
    char path[64], text[65536];
    size_t n = 0;
    ssize_t k;
    if (geteuid() != 0)
        cr_skip_test("only root may look");
    struct eg_launch *l = eg_launched_prepare(argv, true);
    snprintf(path, sizeof path, "/proc/%d/environ", (int)eg_launch_pid(l));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    while (n < sizeof text && (k = read(fd, text + n, sizeof text - n)) > 0)
        n += (size_t)k;
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(text[i], '\0', "byte %zu", i);
    close(fd);
    eg_launched_free(l);
}

Test(launch, without_enforcement_the_command_still_runs)
{
    char *argv[] = { (char[]){ "/bin/sh" }, (char[]){ "-c" }, (char[]){ "echo $GREETING; exit 5" },
                     NULL };
    struct eg_ran r;
    eg_launched_run(argv, NULL, false, &r);
    cr_assert_eq(r.code, 5);
    cr_assert_str_eq(r.out, "hello\n");
}

Test(launch, root_needs_a_user_that_is_not_root)
{
    char *argv[] = { (char[]){ "/bin/true" }, NULL };
    struct eg_launch_spec spec = { .argv = argv,
                                   .strongest = EG_ENFORCE_NAMESPACES,
                                   .weakest = EG_ENFORCE_NAMESPACES };
    struct eg_launch *l = NULL;
    struct eg_err err = { 0 };
    if (geteuid() != 0)
        cr_skip_test("for root");
    cr_assert_eq(eg_launch_prepare(&spec, &l, &err), EG_PERMISSION);
    cr_assert(strstr(err.text, "--user"), "%s", err.text);
    spec.sudo_uid = "0";
    spec.sudo_gid = "0";
    eg_err_reset(&err);
    cr_assert_eq(eg_launch_prepare(&spec, &l, &err), EG_PERMISSION);
    spec.user = "root";
    eg_err_reset(&err);
    cr_assert_eq(eg_launch_prepare(&spec, &l, &err), EG_PERMISSION);
    spec.user = "egress-nobody-of-that-name";
    eg_err_reset(&err);
    cr_assert_eq(eg_launch_prepare(&spec, &l, &err), EG_PERMISSION);
    cr_assert_null(l);
}

/* As inside a container, or inside another `egressctl run`. */
Test(launch, refused_namespaces_say_what_to_change)
{
    int status;
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        char *argv[] = { (char[]){ "/bin/true" }, NULL };
        struct eg_launch_spec spec = { .argv = argv,
                                       .strongest = EG_ENFORCE_NAMESPACES,
                                       .weakest = EG_ENFORCE_NAMESPACES,
                                       .user = geteuid() == 0 ? "nobody" : NULL };
        struct eg_launch *l = NULL;
        struct eg_err err = { 0 };
        const struct eg_seccomp_rules rules = { .alone = false };
        int none;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            eg_seccomp_install(&rules, &none, &err) != EG_OK)
            _exit(1);
        if (eg_launch_prepare(&spec, &l, &err) != EG_PERMISSION)
            _exit(2);
        _exit(l == NULL && (strstr(err.text, "seccomp") || strstr(err.text, "sysctl")) ? 0 : 3);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0, "%d", status >> 8);
}

Test(launch, exit_codes_as_docker_has_them)
{
    cr_assert_eq(eg_launch_exit_code(0), 0);
    cr_assert_eq(eg_launch_exit_code(7 << 8), 7);
    cr_assert_eq(eg_launch_exit_code(SIGTERM), 143);
    cr_assert_eq(eg_launch_exit_code(SIGKILL), 137);
}
