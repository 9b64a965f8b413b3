/* cmd_ssh.c - masters and channels of ssh gateways, with an `ssh` that is a script and a master that the
 * test plays: what can't be started, what is bounded, answers that are hostile or end too soon. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/ssh_state.h"
#include "net/sock.h"

#define BYTES(text) text, sizeof(text) - 1

static char dir[64], path_variable[128];
static char *environment[2];
static struct eg_loop *loop;
static struct eg_sup_ssh *ssh;
static struct eg_sup_ssh_gateway gateway = { .user = { "jane", 4 } };
static struct eg_authority target;
static unsigned answers, downs;
static enum eg_status last;
static char last_detail[EG_SSH_DETAIL_MAX + 1], why[EG_SSH_DETAIL_MAX + 1];

static void on_answer(void *ctx, uint32_t owner, uint64_t id, enum eg_status status,
                      const char *detail, int to_read, int to_write)
{
    (void)ctx;
    (void)id;
    cr_assert(owner == 1 && (status == EG_OK) == (to_read >= 0 && to_write >= 0));
    answers++;
    last = status;
    snprintf(last_detail, sizeof last_detail, "%s", detail);
}

static void on_change(void *ctx, const char *name, enum eg_status status, const char *detail)
{
    (void)ctx;
    cr_assert_str_eq(name, "ssh://gateway.example:22");
    downs += status != EG_OK;
    snprintf(why, sizeof why, "%s", detail);
}

static void turn(void)
{
    int status;
    pid_t pid;
    cr_assert_eq(eg_loop_tick(loop, 10, NULL), EG_OK);
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        cr_assert(eg_sup_ssh_reaped(ssh, pid, status));
}

#define TURN_UNTIL(condition)                                                                      \
    do {                                                                                           \
        uint64_t limit_ = eg_clock_ms() + 30000;                                                   \
        while (!(condition) && eg_clock_ms() < limit_)                                             \
            turn();                                                                                \
        cr_assert(condition, "not within the deadline: %s", why);                                  \
    } while (0)

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/egress-ssh-XXXXXX");
    cr_assert(mkdtemp(dir) && eg_loop_new(&loop, NULL) == EG_OK);
    snprintf(path_variable, sizeof path_variable, "PATH=relative:%s", dir);
    environment[0] = path_variable;
    cr_assert(eg_authority_parse(EG_SLICE("gateway.example:22"), 0, &gateway.at, NULL) == EG_OK);
    cr_assert(eg_authority_parse(EG_SLICE("a.example:1"), 0, &target, NULL) == EG_OK);
}

static void teardown(void)
{
    char name[96];
    eg_sup_ssh_free(ssh);
    eg_loop_free(loop);
    snprintf(name, sizeof name, "%s/ssh", dir);
    (void)unlink(name);
    cr_assert(rmdir(dir) == 0, "something was left in %s", dir);
}

static enum eg_status make(struct eg_err *err)
{
    struct eg_sup_ssh_config config = { .loop = loop,
                                        .environment = environment,
                                        .folder = dir,
                                        .answer = on_answer,
                                        .changed = on_change };
    return eg_sup_ssh_new(&config, &ssh, err);
}

/* An `ssh` that does this. */
static void begin(const char *script)
{
    char name[96];
    snprintf(name, sizeof name, "%s/ssh", dir);
    FILE *f = fopen(name, "w");
    cr_assert(f && fprintf(f, "#!/bin/sh\n%s\n", script) > 0 && fclose(f) == 0);
    cr_assert(chmod(name, 0700) == 0 && make(NULL) == EG_OK);
    cr_assert_eq(eg_sup_ssh_gateways(ssh, &gateway, 1, 1000), EG_OK);
}

static enum eg_status ask(uint64_t id)
{
    return eg_sup_ssh_open(ssh, 1, id, &gateway, &target, NULL);
}

/* The control socket of a master that the test plays: "exec sleep" is its process. */
static int play(void)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    begin("exec /bin/sleep 100");
    memcpy(at.sun_path, ssh->masters->path, sizeof at.sun_path);
    cr_assert(bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 64) == 0);
    TURN_UNTIL(ssh->masters->state == EG_SSH_UP);
    return fd;
}

/* Takes the next channel's connection with its request and descriptors. */
static int take(int listener)
{
    struct pollfd p = { .fd = listener, .events = POLLIN };
    for (int i = 0; i < 500 && poll(&p, 1, 0) == 0; i++)
        turn();
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    cr_assert(fd >= 0, "nobody connected");
    char bytes[128];
    size_t n = 0, want = 12 + 24 + target.host_len;
    while (n < want) {
        ssize_t got = read(fd, bytes + n, want - n);
        cr_assert(got > 0);
        n += (size_t)got;
    }
    for (int i = 0; i < 2; i++) {
        int fds[1];
        unsigned count = 0;
        size_t one = 0;
        cr_assert_eq(eg_sock_recv_fds(fd, bytes, 1, &one, fds, 1, &count, NULL), EG_OK);
        cr_assert(one == 1 && count == 1);
        close(fds[0]);
    }
    return fd;
}

TestSuite(cmd_ssh, .init = setup, .fini = teardown);

Test(cmd_ssh, missing_client_is_told)
{
    struct eg_err err = { 0 };
    cr_assert_eq(make(&err), EG_NOT_FOUND);
    cr_assert(strstr(err.text, "PATH"), "%s", err.text);
}

Test(cmd_ssh, last_line_is_the_reason_and_the_user_is_not_in_it)
{
    begin("echo 'jane@gateway.example: Permission denied (publickey).' >&2; exit 255");
    cr_assert_eq(ask(1), EG_OK);
    TURN_UNTIL(downs == 1);
    cr_assert_str_eq(why, "gateway.example: Permission denied (publickey).");
    cr_assert(answers == 1 && last == EG_SSH_DOWN);
    cr_assert_str_eq(last_detail, why);
    cr_assert_eq(ask(2), EG_SSH_DOWN, "while it waits to begin again it says no at once");
}

Test(cmd_ssh, pause_doubles_and_the_same_reason_is_told_once)
{
    begin("exit 3");
    TURN_UNTIL(ssh->masters->backoff_ms >= 4 * EG_SSH_BACKOFF_MS);
    cr_assert_eq(downs, 1);
    cr_assert_str_eq(why, "ssh ended with status 3");
    ssh->masters->backoff_ms = EG_SSH_BACKOFF_MAX_MS - 1;
    TURN_UNTIL(ssh->masters->backoff_ms == EG_SSH_BACKOFF_MAX_MS);
}

Test(cmd_ssh, session_that_does_not_come_is_given_up)
{
    begin("exec /bin/sleep 100");
    cr_assert_eq(ask(1), EG_OK);
    TURN_UNTIL(eg_loop_now(loop) > 0);
    ssh->masters->since_ms -= EG_SSH_CONNECT_MS;
    TURN_UNTIL(downs == 1);
    cr_assert_str_eq(why, "no session in 60 s");
    cr_assert(answers == 1 && last == EG_SSH_DOWN);
}

Test(cmd_ssh, long_session_is_followed_by_the_least_pause)
{
    int listener = play();
    ssh->masters->backoff_ms = EG_SSH_BACKOFF_MAX_MS;
    ssh->masters->since_ms -= EG_SSH_STABLE_MS;
    cr_assert(kill(ssh->masters->pid, SIGTERM) == 0);
    TURN_UNTIL(downs == 1);
    cr_assert_str_eq(why, "ssh was ended by signal 15");
    cr_assert_eq(ssh->masters->backoff_ms, EG_SSH_BACKOFF_MS);
    close(listener);
}

Test(cmd_ssh, process_gets_what_openssh_needs_and_no_secret)
{
    char text[1024] = "", name[96], script[160];
    char *more[] = { path_variable, (char *)(uintptr_t) "API_KEY=secret",
                     (char *)(uintptr_t) "HOME=/nowhere", NULL };
    snprintf(name, sizeof name, "%s/ssh", dir);
    snprintf(script, sizeof script,
             "#!/bin/sh\n/usr/bin/env >&2; echo \"$@\" >&2; ls /proc/self/fd >&2; exit 1\n");
    FILE *f = fopen(name, "w");
    cr_assert(f && fputs(script, f) >= 0 && fclose(f) == 0 && chmod(name, 0700) == 0);
    struct eg_sup_ssh_config config = {
        .loop = loop, .environment = more, .folder = dir, .answer = on_answer
    };
    cr_assert_eq(eg_sup_ssh_new(&config, &ssh, NULL), EG_OK);
    cr_assert_eq(eg_sup_ssh_gateways(ssh, &gateway, 1, 1000), EG_OK);
    struct pollfd p = { .fd = ssh->masters->err, .events = POLLIN };
    size_t n = 0;
    for (ssize_t got = 1; got > 0 && n + 1 < sizeof text; n += got > 0 ? (size_t)got : 0) {
        cr_assert(poll(&p, 1, 10000) == 1);
        got = read(p.fd, text + n, sizeof text - 1 - n);
    }
    cr_assert(strstr(text, "HOME=/nowhere") && !strstr(text, "API_KEY"), "%s", text);
    cr_assert(strstr(text, "BatchMode=yes") && strstr(text, "-l jane -- gateway.example"), "%s",
              text);
    cr_assert(!strstr(text, "\n4\n"), "descriptors: %s", text);
}

Test(cmd_ssh, end_leaves_nothing_that_ssh_has_started)
{
    int status = 0;
    char line[EG_SSH_LINE_MAX + 1] = "";
    cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    begin("trap '' TERM; /bin/sleep 100 & echo begun >&2; wait");
    pid_t pid = ssh->masters->pid;
    TURN_UNTIL(ssh->masters->said.last[0]);
    snprintf(line, sizeof line, "%s", ssh->masters->said.last);
    cr_assert_str_eq(line, "begun");
    eg_sup_ssh_free(ssh);
    ssh = NULL;
    alarm(10); /* else it is waited for */
    cr_assert(waitpid(-pid, &status, 0) > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    alarm(0);
}

Test(cmd_ssh, pending_channels_are_bounded_and_unique)
{
    begin("exec /bin/sleep 100");
    for (unsigned i = 0; i < EG_SSH_PENDING_MAX; i++)
        cr_assert_eq(ask(i), EG_OK);
    cr_assert_eq(ask(EG_SSH_PENDING_MAX), EG_TOO_MANY_CONNECTIONS);
    cr_assert_eq(ask(7), EG_EXISTS);
    eg_sup_ssh_cancel(ssh, 1, 7);
    eg_sup_ssh_cancel(ssh, 1, 7);
    eg_sup_ssh_cancel(ssh, 1, 100000);
    cr_assert_eq(ask(7), EG_OK);
    cr_assert_eq(eg_sup_ssh_open(ssh, EG_SSH_OWNERS, 1, &gateway, &target, NULL), EG_EXISTS);
    eg_sup_ssh_drop(ssh, 1);
    cr_assert(ssh->owners[1].pending == 0 && answers == 0);
    ssh->open_max = 3;
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(ask(i), EG_OK);
    cr_assert_eq(ask(3), EG_TOO_MANY_CONNECTIONS);
}

/* The rest of the supervisor needs some: control, reloads. */
Test(cmd_ssh, channels_leave_descriptors_for_others)
{
    struct rlimit files = { 64, 64 };
    int listener = play(), taken[64], n = 0;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
    for (; n < 64 && last != EG_TOO_MANY_CONNECTIONS; n++)
        cr_assert_eq(ask((uint64_t)n), EG_OK);
    cr_assert_eq(last, EG_TOO_MANY_CONNECTIONS);
    cr_assert_eq(answers, 1);
    cr_assert_str_eq(last_detail, "too many ssh channels");
    for (n = 0; n < 8; n++)
        cr_assert((taken[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0, "%d", n);
    while (n > 0)
        close(taken[--n]);
    eg_sup_ssh_drop(ssh, 1);
    close(listener);
}

/* 32 at once are taken by the master: those that wait then get their turn when these end badly. */
Test(cmd_ssh, channels_that_end_before_the_greeting_make_room)
{
    int listener = play();
    for (uint64_t i = 0; i < 33; i++)
        cr_assert_eq(ask(i), EG_OK);
    cr_assert(ssh->masters->greeting == 32 && ssh->masters->waiting.first);
    for (int i = 0; i < 32; i++)
        close(take(listener));
    TURN_UNTIL(answers == 32);
    cr_assert_null(ssh->masters->waiting.first);
    int fd = take(listener);
    cr_assert(send(fd, BYTES("\0\0\0\10\0\0\0\1\0\0\0\4\0\0\0\14\200\0\0\6\0\0\0\1\0\0\0\2"), 0) >
              0);
    TURN_UNTIL(answers == 33);
    cr_assert_eq(last, EG_OK);
    close(fd);
    close(listener);
}

/* Of temporary files: a child of `run` has the user id of the sockets' owner and reaches them. */
Test(cmd_ssh, sockets_stand_in_no_place_that_a_child_reaches)
{
    char longer[160];
    struct eg_err err = { 0 };
    snprintf(longer, sizeof longer, "%.63s/%064d", dir, 0);
    begin("exec /bin/sleep 100");
    eg_sup_ssh_free(ssh);
    cr_assert_eq(mkdir(longer, 0700), 0);
    struct eg_sup_ssh_config config = {
        .loop = loop, .environment = environment, .folder = longer, .answer = on_answer
    };
    cr_assert_eq(eg_sup_ssh_new(&config, &ssh, NULL), EG_OK);
    cr_assert_eq(eg_ssh_folder(ssh, NULL), EG_OK);
    cr_assert(strncmp(ssh->folder, "/tmp/ssh-", 9) == 0, "%s", ssh->folder);
    eg_sup_ssh_free(ssh);
    config.only_there = true;
    cr_assert_eq(eg_sup_ssh_new(&config, &ssh, NULL), EG_OK);
    cr_assert_eq(eg_ssh_folder(ssh, &err), EG_IO);
    cr_assert_eq(ssh->folder[0], 0);
    cr_assert_eq(rmdir(longer), 0);
}

Test(cmd_ssh, gateway_that_is_not_on_the_list_is_refused)
{
    struct eg_sup_ssh_gateway other = gateway;
    begin("exec /bin/sleep 100");
    other.user = EG_SLICE("root");
    cr_assert_eq(eg_sup_ssh_open(ssh, 1, 1, &other, &target, NULL), EG_SSH_DOWN);
    other = gateway;
    other.at.port = 23;
    cr_assert_eq(eg_sup_ssh_open(ssh, 1, 1, &other, &target, NULL), EG_SSH_DOWN);
}

static void answered_with(const char *p, size_t n, enum eg_status expected)
{
    int listener = play();
    cr_assert_eq(ask(1), EG_OK);
    int fd = take(listener);
    cr_assert(send(fd, p, n, 0) == (ssize_t)n);
    if (expected == EG_CLOSED) /* at its end only */
        shutdown(fd, SHUT_WR);
    TURN_UNTIL(answers == 1);
    cr_assert_eq(last, expected == EG_CLOSED ? EG_SSH_DOWN : expected);
    cr_assert(!ssh->masters->asked.first && ssh->masters->greeting == 0);
    close(fd);
    TURN_UNTIL(!ssh->masters->open.first);
    cr_assert(ssh->owners[1].open == 0 && ssh->owners[1].pending == 0 && answers == 1);
    close(listener);
}

#define WITH(a, b) "\0\0\0\10\0\0\0\1\0\0\0\4" a b
Test(cmd_ssh, master_that_opens)
{
    answered_with(BYTES(WITH("", "\0\0\0\14\200\0\0\6\0\0\0\1\0\0\0\2")), EG_OK);
}

Test(cmd_ssh, master_that_fails_without_a_reason)
{
    answered_with(BYTES(WITH("", "\0\0\0\17\200\0\0\3\0\0\0\1\0\0\0\3why")), EG_SSH_REFUSED);
}

Test(cmd_ssh, master_that_denies)
{
    answered_with(BYTES(WITH("", "\0\0\0\17\200\0\0\2\0\0\0\1\0\0\0\3why")), EG_SSH_PROHIBITED);
}

Test(cmd_ssh, master_that_opens_before_it_greets)
{
    answered_with(BYTES("\0\0\0\14\200\0\0\6\0\0\0\1\0\0\0\2"), EG_SSH_DOWN);
}

Test(cmd_ssh, master_that_greets_twice)
{
    answered_with(BYTES(WITH("", "\0\0\0\10\0\0\0\1\0\0\0\4")), EG_SSH_DOWN);
}

Test(cmd_ssh, master_that_talks_nonsense)
{
    answered_with(BYTES("SSH-2.0-OpenSSH_9.2p1\r\n"), EG_SSH_DOWN);
}

Test(cmd_ssh, master_that_ends_in_the_middle)
{
    answered_with(BYTES(WITH("", "\0\0\0\14\200\0")), EG_CLOSED);
}

Test(cmd_ssh, master_that_opens_and_then_fails_is_left)
{
    answered_with(BYTES(WITH("\0\0\0\14\200\0\0\6\0\0\0\1\0\0\0\2",
                             "\0\0\0\17\200\0\0\3\0\0\0\1\0\0\0\3why")),
                  EG_OK);
}

Test(cmd_ssh, cancelled_channel_is_answered_to_nobody)
{
    int listener = play();
    cr_assert_eq(ask(1), EG_OK);
    int fd = take(listener);
    eg_sup_ssh_cancel(ssh, 1, 1);
    cr_assert(ssh->masters->asked.first && ssh->owners[1].pending == 0);
    cr_assert(send(fd, BYTES(WITH("", "\0\0\0\14\200\0\0\6\0\0\0\1\0\0\0\2")), 0) > 0);
    TURN_UNTIL(!ssh->masters->asked.first);
    cr_assert(answers == 0 && ssh->owners[1].open == 0);
    close(fd);
    close(listener);
}

Test(cmd_ssh, more_than_the_socket_takes_wait_their_turn)
{
    enum { COUNT = 200 };
    static int fds[COUNT];
    int listener = play();
    for (unsigned i = 0; i < COUNT; i++)
        cr_assert_eq(ask(i), EG_OK);
    cr_assert(ssh->masters->waiting.first && ssh->masters->greeting < 64);
    for (unsigned i = 0; i < COUNT; i++) {
        fds[i] = take(listener);
        cr_assert(send(fds[i], BYTES(WITH("", "\0\0\0\14\200\0\0\6\0\0\0\1\0\0\0\2")), 0) > 0);
    }
    TURN_UNTIL(answers == COUNT);
    cr_assert_eq(ssh->owners[1].open, COUNT);
    for (unsigned i = 0; i < COUNT; i++)
        close(fds[i]);
    TURN_UNTIL(ssh->owners[1].open == 0);
    close(listener);
}
