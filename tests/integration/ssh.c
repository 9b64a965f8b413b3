/* ssh.c - masters and channels of ssh gateways against a real sshd: what opens, what each failure is
 * called, half-close, many at once, masters that die, owners that leave, nothing left behind. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/ssh_state.h"
#include "support/peer.h"
#include "support/sshd.h"

enum { ANSWERS = 128, OWNER = 1 };

struct answer {
    enum eg_status status;
    char detail[EG_SSH_DETAIL_MAX + 1];
    int in, out;
};

static struct eg_world w;
static struct eg_sshd sshd;
static struct eg_loop *loop;
static struct eg_sup_ssh *ssh;
static struct eg_sup_ssh_gateway gateway;
static struct answer answers[ANSWERS + 1]; /* by id */
static unsigned answered;
static unsigned downs, ups;
static char last_why[EG_SSH_DETAIL_MAX + 1];
static unsigned fds_before;

static void on_answer(void *ctx, uint32_t owner, uint64_t id, enum eg_status status,
                      const char *detail, int in, int out)
{
    cr_assert(ctx == &w && owner == OWNER && id <= ANSWERS && answers[id].status == EG_AGAIN);
    answers[id].status = status;
    snprintf(answers[id].detail, sizeof answers[id].detail, "%s", detail);
    answers[id].in = status == EG_OK ? fcntl(in, F_DUPFD_CLOEXEC, 3) : -1;
    answers[id].out = status == EG_OK ? fcntl(out, F_DUPFD_CLOEXEC, 3) : -1;
    answered++;
}

static void on_change(void *ctx, const char *name, enum eg_status status, const char *detail)
{
    char expected[64];
    snprintf(expected, sizeof expected, "ssh://127.0.0.1:%u", sshd.port);
    cr_assert(ctx == &w);
    cr_assert_str_eq(name, expected);
    *(status == EG_OK ? &ups : &downs) += 1;
    snprintf(last_why, sizeof last_why, "%s", detail);
}

static void turn(void)
{
    int status;
    pid_t pid;
    cr_assert_eq(eg_loop_tick(loop, 20, NULL), EG_OK);
    for (struct eg_ssh_master *m = ssh->masters, *next; m; m = next) {
        next = m->next;
        if (m->pid > 0 && (pid = waitpid(m->pid, &status, WNOHANG)) > 0)
            cr_assert(eg_sup_ssh_reaped(ssh, pid, status));
    }
}

#define TURN_UNTIL(condition)                                                                      \
    do {                                                                                           \
        uint64_t limit_ = eg_clock_ms() + EG_PROC_DEADLINE_MS;                                     \
        while (!(condition) && eg_clock_ms() < limit_)                                             \
            turn();                                                                                \
        cr_assert(condition, "not within the deadline; last: %s", last_why);                       \
    } while (0)

static void teardown(void)
{
    eg_sup_ssh_free(ssh);
    eg_loop_free(loop);
    eg_sshd_stop(&sshd);
    eg_world_done(&w);
}

/* False: skipped. */
static bool begin(const char *more)
{
    const char *why = eg_sshd_missing();
    eg_world_new(&w);
    cr_assert_eq(eg_loop_new(&loop, NULL), EG_OK);
    if (why) {
        fprintf(stderr, "skipped: %s\n", why);
        cr_skip_test("%s", why);
        return false;
    }
    eg_sshd_start(&sshd, &w, more);
    for (unsigned i = 0; i <= ANSWERS; i++)
        answers[i] = (struct answer){ .status = EG_AGAIN, .in = -1, .out = -1 };
    fds_before = eg_proc_fds(getpid());
    struct eg_sup_ssh_config config = { .loop = loop,
                                        .environment = sshd.environment,
                                        .folder = w.dir,
                                        .answer = on_answer,
                                        .changed = on_change,
                                        .ctx = &w };
    cr_assert_eq(eg_sup_ssh_new(&config, &ssh, NULL), EG_OK);
    eg_host_parse(EG_SLICE("127.0.0.1"), &gateway.at, NULL) == EG_OK ? (void)0 : abort();
    gateway.at.port = sshd.port;
    cr_assert_eq(eg_sup_ssh_gateways(ssh, &gateway, 1, ANSWERS), EG_OK);
    return true;
}

static void ask(uint64_t id, const char *host, uint16_t port)
{
    struct eg_authority to;
    cr_assert_eq(eg_host_parse(eg_slice_str(host), &to, NULL), EG_OK);
    to.port = port;
    cr_assert_eq(eg_sup_ssh_open(ssh, OWNER, id, &gateway, &to, NULL), EG_OK);
}

static void close_answer(uint64_t id)
{
    close(answers[id].in);
    close(answers[id].out);
}

/* A channel of that id to the test's listener. */
static void tunnel(uint64_t id, int listener, uint16_t port, struct eg_client *peer)
{
    ask(id, "127.0.0.1", port);
    TURN_UNTIL(answers[id].status != EG_AGAIN);
    cr_assert_eq(answers[id].status, EG_OK, "%s", answers[id].detail);
    eg_peer_accept(listener, peer);
}

static void read_exactly(int fd, const char *expected)
{
    char text[64] = "";
    size_t n = strlen(expected);
    for (size_t have = 0; have < n;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        cr_assert(poll(&p, 1, EG_PROC_DEADLINE_MS) == 1, "nothing came");
        ssize_t got = read(fd, text + have, n - have);
        cr_assert(got > 0, "the end came too soon");
        have += (size_t)got;
    }
    cr_assert(memcmp(text, expected, n) == 0);
}

static bool at_end(int fd)
{
    char byte;
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, EG_PROC_DEADLINE_MS) == 1 && read(fd, &byte, 1) == 0;
}

static void fails_with(const char *host, uint16_t port, enum eg_status expected)
{
    ask(1, host, port);
    TURN_UNTIL(answered == 1);
    cr_assert_eq(answers[1].status, expected, "%s: %s", egress_status_name(answers[1].status),
                 answers[1].detail);
    cr_assert(!ssh->masters->asked.first && !ssh->masters->open.first);
}

TestSuite(ssh, .fini = teardown);

Test(ssh, bytes_and_half_close_go_through)
{
    uint16_t port;
    struct eg_client peer;
    if (!begin(NULL))
        return;
    int listener = eg_peer_listen(&port);
    tunnel(1, listener, port, &peer);
    cr_assert(write(answers[1].out, "question", 8) == 8);
    close(answers[1].out); /* our half ends first */
    cr_assert(eg_client_wait(&peer, NULL, 0) && peer.eof && peer.len == 8);
    eg_client_text(&peer, "answer");
    read_exactly(answers[1].in, "answer");
    eg_client_close(&peer);
    cr_assert(at_end(answers[1].in));
    close(answers[1].in);
    tunnel(2, listener, port, &peer);
    eg_client_text(&peer, "hello"); /* the far half ends first */
    cr_assert(shutdown(peer.fd, SHUT_WR) == 0);
    read_exactly(answers[2].in, "hello");
    cr_assert(at_end(answers[2].in));
    cr_assert(eg_client_wait(&peer, NULL, 0) && peer.eof, "OpenSSH then ends the other half");
    close_answer(2);
    eg_client_close(&peer);
    close(listener);
    TURN_UNTIL(!ssh->masters->open.first);
}

Test(ssh, refused_target)
{
    if (begin(NULL))
        fails_with("127.0.0.1", eg_peer_refusing(), EG_SSH_REFUSED);
}

Test(ssh, unknown_name)
{
    if (begin(NULL))
        fails_with("no-such-name.invalid", 80, EG_DNS_NOT_FOUND);
}

Test(ssh, forwarding_that_the_gateway_prohibits)
{
    if (begin("AllowTcpForwarding no"))
        fails_with("127.0.0.1", eg_peer_refusing(), EG_SSH_PROHIBITED);
}

Test(ssh, target_that_the_gateway_does_not_permit)
{
    if (begin("PermitOpen 192.0.2.1:80"))
        fails_with("127.0.0.1", eg_peer_refusing(), EG_SSH_PROHIBITED);
}

Test(ssh, unknown_host_key_is_refused_and_the_user_is_in_no_message)
{
    if (!begin(NULL))
        return;
    eg_world_write(&w, "known_hosts", "");
    TURN_UNTIL(downs == 1 || ssh->masters->state == EG_SSH_UP);
    if (downs == 0) { /* it was faster: the next session reads the file */
        cr_assert(kill(ssh->masters->pid, SIGKILL) == 0);
        TURN_UNTIL(strstr(last_why, "known_hosts"));
    }
    cr_assert(strstr(last_why, "known_hosts") && !strchr(last_why, '@'), "%s", last_why);
    struct eg_authority to = gateway.at;
    struct eg_err err = { 0 };
    TURN_UNTIL(ssh->masters->state == EG_SSH_IDLE);
    cr_assert_eq(eg_sup_ssh_open(ssh, OWNER, 1, &gateway, &to, &err), EG_SSH_DOWN);
    cr_assert(strstr(err.text, "known_hosts"), "%s", err.text);
}

Test(ssh, master_that_dies_takes_its_channels_and_comes_back)
{
    uint16_t port;
    struct eg_client peer;
    if (!begin(NULL))
        return;
    int listener = eg_peer_listen(&port);
    tunnel(1, listener, port, &peer);
    pid_t first = ssh->masters->pid;
    cr_assert(kill(first, SIGKILL) == 0);
    cr_assert(at_end(answers[1].in));
    TURN_UNTIL(downs == 1);
    cr_assert(strstr(last_why, "signal 9"), "%s", last_why);
    struct eg_err err = { 0 };
    cr_assert_eq(eg_sup_ssh_open(ssh, OWNER, 2, &gateway, &gateway.at, &err), EG_SSH_DOWN);
    cr_assert(strstr(err.text, "signal 9"));
    close_answer(1);
    eg_client_close(&peer);
    TURN_UNTIL(ups == 1);
    cr_assert(ssh->masters->pid != first);
    tunnel(3, listener, port, &peer);
    close_answer(3);
    eg_client_close(&peer);
    close(listener);
}

Test(ssh, a_hundred_channels_at_once_and_no_descriptor_left)
{
    enum { COUNT = 100 };
    uint16_t port;
    struct eg_client peers[COUNT];
    if (!begin(NULL))
        return;
    TURN_UNTIL(ssh->masters->state == EG_SSH_UP);
    unsigned quiet = eg_proc_fds(getpid());
    int listener = eg_peer_listen(&port);
    for (unsigned i = 0; i < COUNT; i++)
        ask(i + 1, "127.0.0.1", port);
    TURN_UNTIL(answered == COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        cr_assert_eq(answers[i + 1].status, EG_OK);
        eg_peer_accept(listener, &peers[i]);
        cr_assert(write(answers[i + 1].out, "x", 1) == 1);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        cr_assert(eg_client_wait(&peers[i], NULL, 1) && peers[i].len == 1);
        eg_client_text(&peers[i], "y");
        read_exactly(answers[i + 1].in, "y");
    }
    for (unsigned i = 0; i < COUNT; i++) {
        eg_client_close(&peers[i]);
        close_answer(i + 1);
    }
    close(listener);
    TURN_UNTIL(!ssh->masters->open.first);
    cr_assert_eq(eg_proc_fds(getpid()), quiet);
    cr_assert(ssh->owners[OWNER].open == 0 && ssh->owners[OWNER].pending == 0);
    eg_sup_ssh_free(ssh);
    ssh = NULL;
    cr_assert_leq(eg_proc_fds(getpid()), fds_before);
    char text[300]; /* the folder of the control sockets is gone */
    snprintf(text, sizeof text, "ls -d %s/ssh-* >/dev/null 2>&1", w.dir);
    cr_assert(system(text) != 0);
}

Test(ssh, cancelled_while_it_opens_is_taken_back_without_harm)
{
    enum { FILL = 8 };
    uint16_t port;
    int fill[FILL];
    struct eg_client peer;
    if (!begin(NULL))
        return;
    int listener = eg_peer_listen(&port);
    cr_assert(listen(listener, 0) == 0);
    struct eg_sockaddr at = { { 4, { 127, 0, 0, 1 } }, port };
    struct sockaddr_storage to;
    socklen_t n = eg_sockaddr_to(&at, &to);
    for (int i = 0; i < FILL; i++) { /* from some point on a connection to it hangs */
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(fill[i], (struct sockaddr *)&to, n);
    }
    ask(1, "127.0.0.1", port);
    TURN_UNTIL(ssh->masters->asked.first && !ssh->masters->asked.first->greeting);
    ask(2, "127.0.0.1",
        eg_peer_refusing()); /* answered behind it: the gateway has the first by then */
    TURN_UNTIL(answers[2].status != EG_AGAIN);
    cr_assert(answers[1].status == EG_AGAIN && answers[2].status == EG_SSH_REFUSED);
    eg_sup_ssh_cancel(ssh, OWNER, 1);
    pid_t first = ssh->masters->pid;
    for (int i = 0; i < FILL; i++)
        close(fill[i]);
    TURN_UNTIL(({
        struct pollfd p = { .fd = listener, .events = POLLIN };
        while (poll(&p, 1, 0) == 1)
            close(accept(listener, NULL, NULL));
        !ssh->masters->asked.first;
    }));
    int other = eg_peer_listen(&port);
    tunnel(3, other, port, &peer);
    cr_assert(answers[1].status == EG_AGAIN && ssh->masters->pid == first && downs == 0);
    close_answer(3);
    eg_client_close(&peer);
    close(other);
    close(listener);
}

Test(ssh, channel_ends_with_its_owner_though_the_target_stays)
{
    uint16_t port;
    struct eg_client peer, second;
    if (!begin(NULL))
        return;
    int listener = eg_peer_listen(&port);
    tunnel(1, listener, port, &peer);
    tunnel(2, listener, port, &second);
    close_answer(1); /* the target says and closes nothing: the sweep sees it */
    TURN_UNTIL(ssh->owners[OWNER].open == 1);
    close(answers[2].out); /* half-closed is no end */
    for (int i = 0; i < 75; i++)
        turn();
    cr_assert_eq(ssh->owners[OWNER].open, 1);
    eg_client_text(&second, "late");
    read_exactly(answers[2].in, "late");
    eg_sup_ssh_drop(ssh, OWNER);
    cr_assert_eq(ssh->owners[OWNER].open, 0);
    close(answers[2].in);
    eg_client_close(&peer);
    eg_client_close(&second);
    close(listener);
}

Test(ssh, gateway_that_the_policy_drops_is_left)
{
    uint16_t port;
    struct eg_client peer;
    if (!begin(NULL))
        return;
    int listener = eg_peer_listen(&port);
    tunnel(1, listener, port, &peer);
    cr_assert_eq(eg_sup_ssh_gateways(ssh, NULL, 0, ANSWERS), EG_OK);
    cr_assert_eq(eg_sup_ssh_open(ssh, OWNER, 2, &gateway, &gateway.at, NULL), EG_SSH_DOWN);
    cr_assert(at_end(answers[1].in));
    TURN_UNTIL(!ssh->masters);
    cr_assert_eq(downs, 0, "an end that was asked for is no failure");
    close_answer(1);
    eg_client_close(&peer);
    close(listener);
}
