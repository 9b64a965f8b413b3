/* cmd_ssh_hops.c - what a worker asks of ssh gateways, seen by the supervisor: whatever is not a
 * channel through a gateway of the current policy is refused or gives the worker away. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/ssh_state.h"
#include "cmd/state.h"
#include "net/sock.h"
#include "policy/compile.h"

static struct eg_buf block;
static struct eg_sup_policy policy;
static struct eg_supervisor *s; /* as far as ssh hops need one */
static struct eg_link far_end;
static unsigned answers, ends;
static struct eg_link_message last;
static char last_detail[EG_SSH_DETAIL_MAX + 1], dir[64];

static void compile(const char *proxy)
{
    char text[512];
    snprintf(text, sizeof text,
             "egress: 1\nallow: [a.example]\nupstream: {proxies: [{proxy: \"%s\"}]}\n", proxy);
    const struct eg_policy_file file = { "p.yaml", eg_slice_str(text), EG_LAYER_USER, true };
    struct eg_diags *diags = NULL;
    eg_policy_close(policy.policy);
    policy.policy = NULL;
    eg_buf_done(&block);
    eg_buf_init(&block, 1 << 20);
    cr_assert(eg_diags_new(&diags) == EG_OK &&
              eg_policy_compile(&file, 1, NULL, diags, &block, NULL) == EG_OK);
    eg_diags_free(diags);
    cr_assert_eq(eg_policy_open(block.data + block.off, block.len, &policy.policy, NULL), EG_OK);
}

static void on_message(struct eg_link *l, const struct eg_link_message *m, int *fds,
                       unsigned fd_count)
{
    (void)l;
    (void)fds;
    cr_assert(m->kind == EG_LINK_CHANNEL && fd_count == 0);
    last = *m;
    snprintf(last_detail, sizeof last_detail, "%s", m->a.p);
    answers++;
}

static void on_closed(struct eg_link *l, enum eg_status why)
{
    (void)l;
    (void)why;
    ends++;
}

static void setup(void)
{
    int fds[2];
    cr_assert(sodium_init() >= 0);
    snprintf(dir, sizeof dir, "/tmp/egress-hops-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    s = calloc(1, sizeof *s);
    s->policy = &policy;
    s->worker_count = 1;
    cr_assert_eq(eg_loop_new(&s->loop, NULL), EG_OK);
    cr_assert_eq(egress_ring_create(64, &s->ring, &s->ring_fd), EG_OK);
    s->trail.ring = s->ring;
    s->trail.file = -1;
    s->workers[0] = (struct eg_sup_worker){ .supervisor = s, .number = 1 };
    cr_assert_eq(eg_sock_pair(fds, NULL), EG_OK);
    struct eg_link *ours = &s->workers[0].link;
    ours->message = far_end.message = on_message;
    ours->closed = far_end.closed = on_closed;
    cr_assert_eq(eg_link_open(ours, s->loop, fds[0], EG_LINK_FROM_WORKER_MAX, 0, 1 << 20, NULL),
                 EG_OK);
    cr_assert_eq(eg_link_open(&far_end, s->loop, fds[1], EG_LINK_TO_WORKER_MAX, 2, 1 << 20, NULL),
                 EG_OK);
    s->workers[0].pid = getpid(); /* alive; nothing here kills it */
    compile("ssh://jane@gateway.example");
}

static void teardown(void)
{
    char path[96];
    eg_sup_ssh_free(s->ssh);
    eg_link_close(&s->workers[0].link);
    eg_link_close(&far_end);
    eg_loop_free(s->loop);
    egress_ring_free(s->ring);
    eg_policy_close(policy.policy);
    eg_buf_done(&block);
    free(s);
    snprintf(path, sizeof path, "%s/ssh", dir);
    (void)unlink(path);
    cr_assert(rmdir(dir) == 0, "something was left in %s", dir);
}

static bool ask(uint64_t id, const char *gateway, const char *user, const char *to)
{
    struct eg_link_message m = { .kind = EG_LINK_CHANNEL_ASK,
                                 .id = id,
                                 .a = eg_slice_str(gateway),
                                 .b = eg_slice_str(user),
                                 .c = eg_slice_str(to) };
    return eg_sup_ssh_asked(&s->workers[0], &m);
}

static void turn(void)
{
    int status;
    pid_t pid;
    cr_assert_eq(eg_loop_tick(s->loop, 10, NULL), EG_OK);
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        cr_assert(eg_sup_ssh_reaped(s->ssh, pid, status));
}

/* A supervisor whose masters are this script. */
static void begin(const char *script)
{
    char path[96], variable[128];
    char *own[] = { variable, NULL };
    extern char **environ;
    char **before = environ;
    struct eg_environ *environment = NULL;
    snprintf(path, sizeof path, "%s/ssh", dir);
    FILE *f = fopen(path, "w");
    cr_assert(f && fprintf(f, "#!/bin/sh\n%s\n", script) > 0 && fclose(f) == 0 &&
              chmod(path, 0700) == 0);
    snprintf(variable, sizeof variable, "PATH=%s", dir);
    snprintf(path, sizeof path, "%s/c.sock", dir);
    environ = own;
    cr_assert_eq(eg_environ_take(&environment), EG_OK);
    environ = before;
    s->options.environment = environment;
    s->options.control_path = path;
    eg_sup_ssh_follow(s);
    cr_assert_not_null(s->ssh);
    s->options.environment = NULL;
    s->options.control_path = NULL;
    eg_environ_free(environment);
}

TestSuite(cmd_ssh_hops, .init = setup, .fini = teardown);

Test(cmd_ssh_hops, what_does_not_parse_gives_the_worker_away)
{
    char user[EG_SSH_USER_MAX + 2];
    struct eg_link_message nul = { .kind = EG_LINK_CHANNEL_ASK,
                                   .a = EG_SLICE("gateway.example:22"),
                                   .b = EG_SLICE("ja\0ne"),
                                   .c = EG_SLICE("a.example:443") };
    memset(user, 'u', sizeof user);
    user[sizeof user - 1] = '\0';
    cr_assert(!ask(1, "", "jane", "a.example:443"));
    cr_assert(!ask(1, "gateway.example", "jane", "a.example:443"), "no port");
    cr_assert(!ask(1, "gateway.example:22", "jane", "a.example"), "no port");
    cr_assert(!ask(1, "gateway.example:22", "jane", "a.example:0"));
    cr_assert(!ask(1, "gateway.example:22", "jane", "-oProxyCommand=x:1"));
    cr_assert(!ask(1, "gateway.example:22", "jane", "a b:443"));
    cr_assert(!ask(1, "gateway.example:22", user, "a.example:443"));
    cr_assert(!eg_sup_ssh_asked(&s->workers[0], &nul));
    turn();
    cr_assert(answers == 0);
}

Test(cmd_ssh_hops, gateway_that_the_policy_does_not_name_is_refused)
{
    static const char *const rows[][2] = { { "other.example:22", "jane" },
                                           { "gateway.example:23", "jane" },
                                           { "gateway.example:22", "root" },
                                           { "gateway.example:22", "" } };
    begin("exec /bin/sleep 100");
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_assert(ask(i, rows[i][0], rows[i][1], "a.example:443"));
        turn();
        cr_assert(answers == i + 1 && last.id == i && last.status == EG_SSH_DOWN);
    }
    cr_assert_eq(s->ssh->owners[1].pending, 0);
}

Test(cmd_ssh_hops, same_id_twice_gives_the_worker_away_and_cancel_frees_it)
{
    struct eg_link_message cancel = { .kind = EG_LINK_CHANNEL_CANCEL, .id = 1 };
    begin("exec /bin/sleep 100");
    cr_assert(ask(1, "gateway.example:22", "jane", "a.example:443"));
    cr_assert(!ask(1, "gateway.example:22", "jane", "a.example:443"));
    cr_assert(eg_sup_ssh_asked(&s->workers[0], &cancel));
    cr_assert(eg_sup_ssh_asked(&s->workers[0], &cancel));
    cr_assert(ask(1, "gateway.example:22", "jane", "a.example:443"));
    turn();
    cr_assert_eq(answers, 0);
}

Test(cmd_ssh_hops, policy_without_gateways_refuses_all)
{
    compile("http://proxy.example:3128");
    eg_sup_ssh_follow(s);
    cr_assert_null(s->ssh);
    cr_assert(ask(1, "gateway.example:22", "jane", "a.example:443"));
    turn();
    cr_assert(answers == 1 && last.status == EG_SSH_DOWN);
}

Test(cmd_ssh_hops, next_policy_ends_its_masters)
{
    begin("exec /bin/sleep 100");
    cr_assert(ask(1, "gateway.example:22", "jane", "a.example:443"));
    compile("http://proxy.example:3128");
    eg_sup_ssh_follow(s);
    for (int i = 0; i < 500 && s->ssh->masters; i++)
        turn();
    cr_assert_null(s->ssh->masters);
    cr_assert(answers == 1 && last.status == EG_SSH_DOWN);
}

Test(cmd_ssh_hops, failure_is_in_the_audit_without_the_user)
{
    struct egress_event e;
    uint64_t skipped;
    begin("echo 'jane@gateway.example: Permission denied (publickey).' >&2; exit 255");
    cr_assert(ask(1, "gateway.example:22", "jane", "a.example:443"));
    for (int i = 0; i < 500 && answers == 0; i++)
        turn();
    cr_assert(answers == 1 && last.status == EG_SSH_DOWN);
    cr_assert_str_eq(last_detail, "gateway.example: Permission denied (publickey).");
    cr_assert_eq(egress_ring_read(s->ring, 0, &e, &skipped), EG_OK);
    cr_assert(e.kind == EGRESS_EVENT_SYSTEM && !memmem(&e, sizeof e, "jane", 4));
    cr_assert(memmem(&e, sizeof e, "ssh://gateway.example:22", 24) != NULL);
}

Test(cmd_ssh_hops, missing_client_fails_the_start)
{
    struct eg_err err = { 0 };
    extern char **environ;
    char *own[] = { (char *)(uintptr_t) "PATH=/nonexistent", NULL };
    char **before = environ;
    struct eg_environ *environment = NULL;
    environ = own;
    cr_assert_eq(eg_environ_take(&environment), EG_OK);
    environ = before;
    s->options.environment = environment;
    cr_assert_eq(eg_sup_ssh_check(s, policy.policy, &err), EG_NOT_FOUND);
    compile("http://proxy.example:3128");
    cr_assert_eq(eg_sup_ssh_check(s, policy.policy, &err), EG_OK);
    s->options.environment = NULL;
    eg_environ_free(environment);
}
