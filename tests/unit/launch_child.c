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

TestSuite(launch, .timeout = 60);

struct ran {
    int code;
    enum eg_status status;
    char out[16384];
};

static char *const plain_env[] = { (char[]){ "PATH=/usr/local/bin:/usr/bin:/bin" },
                                   (char[]){ "GREETING=hello" }, NULL };

static struct eg_launch *prepared(char *const *argv, bool enforce)
{
    const enum eg_enforcement mode = enforce ? EG_ENFORCE_NAMESPACES : EG_ENFORCE_NONE;
    struct eg_launch_spec spec = { .argv = argv,
                                   .strongest = mode,
                                   .weakest = mode,
                                   .user = geteuid() == 0 ? "nobody" : NULL };
    struct eg_launch *l = NULL;
    struct eg_err err = { 0 };
    char text[300];
    enum eg_status status = eg_launch_prepare(&spec, &l, &err);
    if (status == EG_PERMISSION)
        cr_skip_test("no namespaces here: %s", eg_err_format(&err, text, sizeof text));
    cr_assert_eq(status, EG_OK, "%s", eg_err_format(&err, text, sizeof text));
    return l;
}

static int listener(const struct eg_launch *l)
{
    unsigned count;
    const struct eg_launch_entry *entries = eg_launch_entries(l, &count);
    cr_assert(count == 1 && entries[0].kind == EG_ENTRY_PROXY);
    return entries[0].fd;
}

/* Its stdout is a pipe of ours, from before the clone. */
static void run_with(char *const *argv, const struct eg_launch_paths *paths, bool enforce,
                     struct ran *ret)
{
    int ends[2], saved = dup(1), wait_status = 0;
    size_t n = 0;
    ssize_t k;
    struct eg_err err = { 0 };
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    dup2(ends[1], 1);
    struct eg_launch *l = prepared(argv, enforce);
    ret->status = eg_launch_go(l, plain_env, paths, &err);
    dup2(saved, 1);
    close(saved);
    close(ends[1]);
    while ((k = read(ends[0], ret->out + n, sizeof ret->out - 1 - n)) > 0)
        n += (size_t)k;
    ret->out[n] = '\0';
    close(ends[0]);
    ret->code = -1;
    if (ret->status == EG_OK) {
        cr_assert_eq(waitpid(eg_launch_pid(l), &wait_status, 0), eg_launch_pid(l));
        eg_launch_ended(l);
        ret->code = eg_launch_exit_code(wait_status);
    }
    close(listener(l));
    eg_launch_free(l);
}

static void run_script(const char *script, const struct eg_launch_paths *paths, struct ran *ret)
{
    char *argv[] = { (char[]){ "/bin/sh" }, (char[]){ "-c" }, (char *)(uintptr_t)script, NULL };
    run_with(argv, paths, true, ret);
}

#define RUN(script)                                                                                \
    struct ran r;                                                                                  \
    run_script(script, NULL, &r)

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
    struct ran r;
    run_with(argv, NULL, true, &r);
    cr_assert_eq(r.status, EG_NOT_FOUND);
}

Test(launch, command_that_is_no_program_is_126)
{
    char *argv[] = { (char[]){ "/etc/passwd" }, NULL };
    struct ran r;
    run_with(argv, NULL, true, &r);
    cr_assert_eq(r.status, EG_PERMISSION);
}

/* ---- the listener ---- */

Test(launch, listener_inside_is_accepted_outside)
{
    char script[] = "read -r p; exec 3<>/dev/tcp/127.0.0.1/$p; echo hi >&3; read -r answer <&3; "
                    "test \"$answer\" = there";
    int in[2];
    struct eg_err err = { 0 };
    struct ran r = { 0 };
    if (access("/bin/bash", X_OK) != 0)
        cr_skip_test("no bash");
    cr_assert_eq(pipe2(in, O_CLOEXEC), 0);
    int saved = dup(0);
    dup2(in[0], 0);
    char *argv[] = { (char[]){ "/bin/bash" }, (char[]){ "-c" }, script, NULL };
    struct eg_launch *l = prepared(argv, true);
    dup2(saved, 0);
    cr_assert_eq(eg_launch_go(l, plain_env, NULL, &err), EG_OK);
    dprintf(in[1], "%u\n", eg_launch_address(l, EG_ENTRY_PROXY)->port);
    struct pollfd p = { .fd = listener(l), .events = POLLIN };
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
    close(listener(l));
    eg_launch_free(l);
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
    struct ran r;
    run_with(argv, NULL, true, &r);
    cr_assert_str_eq(r.out, "refused\n");
    cr_assert_eq(accept4(s, NULL, NULL, SOCK_CLOEXEC), -1);
    cr_assert_eq(errno, EAGAIN);
    close(s);
}

/* ---- the file system ---- */

struct place {
    char dir[64], secret[96], open[96];
};

static void make_place(struct place *p)
{
    snprintf(p->dir, sizeof p->dir, "/tmp/egress-launch-XXXXXX");
    cr_assert_not_null(mkdtemp(p->dir));
    snprintf(p->secret, sizeof p->secret, "%s/secret", p->dir);
    snprintf(p->open, sizeof p->open, "%s/state", p->dir);
    int fd = open(p->secret, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    cr_assert_eq(write(fd, "real key\n", 9), 9);
    close(fd);
    cr_assert_eq(mkdir(p->open, 0777), 0);
    cr_assert_eq(chmod(p->dir, 0777), 0);
    cr_assert_eq(chmod(p->open, 0777), 0);
}

static void remove_place(struct place *p)
{
    unlink(p->secret);
    rmdir(p->open);
    rmdir(p->dir);
}

Test(launch, covered_file_is_not_readable_and_can_not_be_uncovered)
{
    struct place p;
    char script[1024];
    struct ran r;
    make_place(&p);
    const char *covered[] = { p.secret, "/no/such/path" };
    struct eg_launch_paths paths = { .covered = covered, .covered_count = 2 };
    snprintf(script, sizeof script,
             "cat %s 2>/dev/null && echo read; chmod 644 %s 2>/dev/null && echo changed; umount %s "
             "2>/dev/null && echo uncovered;"
             "mv %s %s.2 2>/dev/null && echo moved; ln %s %s.3 2>/dev/null && echo linked; true",
             p.secret, p.secret, p.secret, p.secret, p.secret, p.secret, p.secret);
    run_script(script, &paths, &r);
    cr_assert_eq(r.code, 0);
    cr_assert_str_eq(r.out, "", "%s", r.out);
    remove_place(&p);
}

/* A new refresh token is written to the path of the old one: it must lead there still. */
Test(launch, folder_above_a_covered_file_can_not_be_moved_away)
{
    struct place p;
    char script[1024];
    struct ran r;
    make_place(&p);
    const char *covered[] = { p.secret, p.open };
    struct eg_launch_paths paths = { .covered = covered, .covered_count = 2 };
    cr_assert_eq(geteuid() == 0 ? chown(p.dir, 65534, 65534) : 0, 0);
    snprintf(script, sizeof script,
             "mv -T %s %s.2 2>/dev/null && mkdir %s && echo mine > %s && echo moved; cat %s "
             "2>/dev/null; touch %s/beside && rm %s/beside && echo rest is free",
             p.dir, p.dir, p.dir, p.secret, p.secret, p.dir, p.dir);
    run_script(script, &paths, &r);
    cr_assert_str_eq(r.out, "rest is free\n", "%s", r.out);
    remove_place(&p);
}

/* It runs outside the sandbox when the credential is read again. */
Test(launch, program_of_a_credential_can_not_be_changed_nor_its_folder_moved_away)
{
    struct place p;
    char script[1024];
    struct ran r;
    make_place(&p);
    const char *programs[] = { p.secret, p.open, "/no/such/path" };
    struct eg_launch_paths paths = { .programs = programs, .program_count = 3 };
    cr_assert_eq(geteuid() == 0 ? chown(p.dir, 65534, 65534) | chown(p.secret, 65534, 65534) : 0, 0);
    snprintf(script, sizeof script,
             "echo mine 2>/dev/null > %s && echo wrote; mv %s %s.2 2>/dev/null && echo renamed; mv -T "
             "%s %s.2 2>/dev/null && echo moved; cat %s; touch %s/x && rm %s/x && echo folders are "
             "free",
             p.secret, p.secret, p.secret, p.dir, p.dir, p.secret, p.open, p.open);
    run_script(script, &paths, &r);
    cr_assert_str_eq(r.out, "real key\nfolders are free\n", "%s", r.out);
    remove_place(&p);
}

Test(launch, covered_folder_is_an_empty_one_of_the_childs_own)
{
    struct place p;
    char script[512];
    struct ran r;
    make_place(&p);
    const char *covered[] = { p.dir };
    struct eg_launch_paths paths = { .covered = covered, .covered_count = 1 };
    snprintf(script, sizeof script, "ls -A %s | wc -l; touch %s/mine && echo wrote", p.dir, p.dir);
    run_script(script, &paths, &r);
    cr_assert_str_eq(r.out, "0\nwrote\n", "%s", r.out);
    snprintf(script, sizeof script, "%s/mine", p.dir);
    cr_assert_neq(access(script, F_OK), 0, "the child's file must not be on the host");
    remove_place(&p);
}

/* A child that can move a parent of the trust store away puts its own in its place, and is
 * trusted at the next start. */
Test(launch, read_only_folder_and_its_parents_stay)
{
    struct place p;
    char script[1024];
    struct ran r;
    make_place(&p);
    const char *fixed[] = { p.open };
    struct eg_launch_paths paths = { .read_only = fixed, .read_only_count = 1 };
    snprintf(script, sizeof script,
             "cd %s && touch x 2>/dev/null && echo wrote; mv %s %s.2 2>/dev/null && echo moved; mv "
             "%s %s.2 2>/dev/null && echo moved parent;"
             "rmdir %s 2>/dev/null && echo removed; touch %s/beside && rm %s/beside && echo rest "
             "is free",
             p.open, p.open, p.open, p.dir, p.dir, p.open, p.dir, p.dir);
    run_script(script, &paths, &r);
    cr_assert_str_eq(r.out, "rest is free\n", "%s", r.out);
    remove_place(&p);
}

Test(launch, working_folder_is_entered_again_below_the_covers)
{
    struct place p;
    struct ran r;
    make_place(&p);
    const char *covered[] = { p.secret };
    struct eg_launch_paths paths = { .covered = covered, .covered_count = 1 };
    cr_assert_eq(chdir(p.dir), 0);
    run_script("pwd; cat secret 2>/dev/null", &paths, &r);
    cr_assert_eq(strncmp(r.out, p.dir, strlen(p.dir)), 0, "%s", r.out);
    cr_assert_null(strstr(r.out, "real"), "%s", r.out);
    cr_assert_eq(chdir("/"), 0);
    remove_place(&p);
}

Test(launch, working_folder_that_is_read_only_is_read_only_by_its_dot_too)
{
    struct place p;
    struct ran r;
    make_place(&p);
    const char *fixed[] = { p.open };
    struct eg_launch_paths paths = { .read_only = fixed, .read_only_count = 1 };
    cr_assert_eq(chdir(p.open), 0);
    run_script("(touch x) 2>/dev/null && echo wrote; true", &paths, &r);
    cr_assert_str_eq(r.out, "", "%s", r.out);
    cr_assert_eq(chdir("/"), 0);
    remove_place(&p);
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
    struct eg_launch *l = prepared(argv, true);
    cr_assert_eq(eg_launch_go(l, plain_env, NULL, &err), EG_OK);
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
        if (go && eg_launch_go(l, plain_env, NULL, &err) != EG_OK)
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
    struct eg_launch *l = prepared(argv, true);
    pid_t pid = eg_launch_pid(l);
    close(listener(l));
    eg_launch_free(l);
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
    struct eg_launch *l = prepared(argv, true);
    snprintf(path, sizeof path, "/proc/%d/environ", (int)eg_launch_pid(l));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    while (n < sizeof text && (k = read(fd, text + n, sizeof text - n)) > 0)
        n += (size_t)k;
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(text[i], '\0', "byte %zu", i);
    close(fd);
    close(listener(l));
    eg_launch_free(l);
}

Test(launch, without_enforcement_the_command_still_runs)
{
    char *argv[] = { (char[]){ "/bin/sh" }, (char[]){ "-c" }, (char[]){ "echo $GREETING; exit 5" },
                     NULL };
    struct ran r;
    run_with(argv, NULL, false, &r);
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
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || eg_seccomp_install(&err) != EG_OK)
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
