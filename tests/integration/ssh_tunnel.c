/* ssh_tunnel.c - tunnels of a whole egressd through a real sshd: what the child is told of each failure,
 * sessions that die and come back, policies that drop the gateway, workers that die, nothing left. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/daemon.h"
#include "support/peer.h"
#include "support/sshd.h"

static struct eg_world w;
static struct eg_sshd sshd;

static void teardown(void)
{
    eg_sshd_stop(&sshd);
    eg_world_done(&w);
}

static void policy_text(char *out, size_t cap, bool through)
{
    char upstream[160] = "none";
    if (through)
        snprintf(upstream, sizeof upstream, "{proxies: [{proxy: \"ssh://127.0.0.1:%u\"}]}",
                 sshd.port);
    snprintf(out, cap,
             "egress: 1\nallow:\n  - {host: localhost, scheme: tcp, ports: [@PLAIN@, 9]}\n"
             "  - {host: no-such-name.invalid, scheme: tcp, ports: [80]}\n"
             "  - {address: 127.0.0.1, scheme: tcp, ports: [@PLAIN@]}\n"
             "networks: {allow: [127.0.0.1/32]}\nupstream: %s\n",
             upstream);
}

/* False: skipped. */
static bool begin(const char *more)
{
    const char *why = eg_sshd_missing();
    char policy[1024];
    eg_world_new(&w);
    if (why) {
        fprintf(stderr, "skipped: %s\n", why);
        cr_skip_test("%s", why);
        return false;
    }
    eg_sshd_start(&sshd, &w, more);
    eg_world_plain(&w);
    policy_text(policy, sizeof policy, true);
    const char *environment[] = { sshd.path, sshd.home, NULL };
    eg_world_egressd(&w, policy, NULL, environment);
    return true;
}

/* CONNECT to localhost:port, the port of the origin when it is 0. Closes it again. */
static int connect_to(const char *host, unsigned port, char head[2048])
{
    struct eg_client c;
    char authority[300], own[2048];
    snprintf(authority, sizeof authority, "%s:%u", host, port ? port : w.plain_port);
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                   authority, authority, w.token);
    int status = eg_client_response(&c, head ? head : own, sizeof own, NULL, NULL);
    eg_client_close(&c);
    return status;
}

static void open_tunnel(struct eg_client *c)
{
    char authority[64];
    snprintf(authority, sizeof authority, "localhost:%u", w.plain_port);
    eg_client_open(c, w.proxy_port);
    cr_assert_eq(eg_client_connect(c, &w, authority), 200);
}

static void refused_as(const char *host, unsigned port, const char *reason)
{
    char head[2048];
    cr_assert_eq(connect_to(host, port, head), 502);
    cr_assert(eg_head_has(head, "X-Egress-Reason", reason), "%s", head);
    cr_assert(eg_world_await_event(&w, 1, reason, host));
}

/* The process of the session; 0: none. */
static pid_t session(void)
{
    pid_t list[16];
    unsigned n = eg_proc_children(w.egressd.pid, list, 16);
    for (unsigned i = 0; i < n; i++) {
        char *name = eg_proc_text(list[i], "comm");
        bool found = name && strcmp(name, "ssh\n") == 0;
        free(name);
        if (found)
            return list[i];
    }
    return 0;
}

TestSuite(ssh_tunnel, .fini = teardown);

Test(ssh_tunnel, names_are_resolved_at_the_gateway_and_bytes_go_through)
{
    struct eg_client c;
    if (!begin(NULL))
        return;
    open_tunnel(&c);
    cr_assert(eg_daemon_echo(&c));
    eg_client_close(&c);
    cr_assert_eq(connect_to("127.0.0.1", 0, NULL), 200);
    char *events = eg_world_events(&w);
    cr_assert(eg_events_with(events, "\"decision\"", "localhost", NULL) >= 1);
    free(events);
}

Test(ssh_tunnel, each_failure_is_told_apart)
{
    if (!begin(NULL))
        return;
    refused_as("localhost", 9, "ssh_refused");
    refused_as("no-such-name.invalid", 80, "dns_not_found");
    char *seen = eg_world_read(&w, "plain.rec", NULL);
    cr_assert_str_eq(seen, "");
    free(seen);
}

Test(ssh_tunnel, prohibited_by_the_gateway)
{
    if (begin("AllowTcpForwarding no"))
        refused_as("localhost", w.plain_port, "ssh_prohibited");
}

Test(ssh_tunnel, session_that_dies_cuts_its_tunnels_and_comes_back)
{
    struct eg_client c;
    if (!begin(NULL))
        return;
    open_tunnel(&c);
    cr_assert(eg_daemon_echo(&c));
    pid_t first = session();
    cr_assert(first > 0);
    eg_sshd_stop(&sshd); /* nobody answers: each attempt is refused */
    cr_assert(kill(first, SIGKILL) == 0);
    cr_assert(eg_client_wait(&c, NULL, 0) && (c.eof || c.reset));
    eg_client_close(&c);
    refused_as("localhost", w.plain_port, "ssh_down");
    cr_assert(eg_world_await_event(&w, 1, "ssh_down", "ssh://127.0.0.1"));
}

Test(ssh_tunnel, killed_session_is_replaced)
{
    if (!begin(NULL))
        return;
    cr_assert_eq(connect_to("localhost", 0, NULL), 200);
    pid_t first = session();
    cr_assert(kill(first, SIGKILL) == 0);
    uint64_t limit = eg_clock_ms() + EG_PROC_DEADLINE_MS;
    while (connect_to("localhost", 0, NULL) != 200)
        cr_assert(eg_clock_ms() < limit, "it did not come back");
    cr_assert(session() != first && session() > 0);
}

Test(ssh_tunnel, reload_without_the_gateway_ends_the_session)
{
    char policy[1024];
    struct eg_client c;
    if (!begin(NULL))
        return;
    open_tunnel(&c);
    cr_assert(session() > 0);
    policy_text(policy, sizeof policy, false);
    eg_world_policy(&w, policy);
    cr_assert(kill(w.egressd.pid, SIGHUP) == 0);
    cr_assert(eg_world_await_event(&w, 1, "reloaded", "generation"));
    cr_assert(eg_client_wait(&c, NULL, 0) && (c.eof || c.reset));
    eg_client_close(&c);
    cr_assert_eq(connect_to("127.0.0.1", 0, NULL), 200, "it is direct now");
    uint64_t limit = eg_clock_ms() + EG_PROC_DEADLINE_MS;
    while (session() > 0)
        cr_assert(eg_clock_ms() < limit, "the session is still there");
}

Test(ssh_tunnel, no_descriptor_is_left_by_tunnels_nor_by_a_dead_worker)
{
    enum { COUNT = 40 };
    struct eg_client c[COUNT];
    if (geteuid() != 0) {
        eg_world_new(&w);
        cr_skip_test("only root sees the descriptors of an undumpable process");
        return;
    }
    if (!begin(NULL))
        return;
    cr_assert_eq(connect_to("localhost", 0, NULL), 200);
    pid_t worker = eg_daemon_worker(&w, 1, 0);
    uint64_t limit = eg_clock_ms() + EG_PROC_DEADLINE_MS;
    unsigned quiet;
    do /* what the first tunnel took is given back */
        quiet = eg_proc_fds(w.egressd.pid);
    while (quiet != eg_proc_fds(w.egressd.pid) && eg_clock_ms() < limit);
    for (int i = 0; i < COUNT; i++) {
        open_tunnel(&c[i]);
        cr_assert(eg_daemon_echo(&c[i]));
    }
    cr_assert_geq(eg_proc_fds(w.egressd.pid), quiet + COUNT);
    cr_assert(kill(worker, SIGKILL) == 0);
    for (int i = 0; i < COUNT; i++) {
        cr_assert(eg_client_wait(&c[i], NULL, 0) && (c[i].eof || c[i].reset));
        eg_client_close(&c[i]);
    }
    worker = eg_daemon_worker(&w, 1, worker);
    for (int i = 0; i < COUNT; i++)
        cr_assert_eq(connect_to("localhost", 0, NULL), 200);
    limit = eg_clock_ms() + EG_PROC_DEADLINE_MS;
    while (eg_proc_fds(w.egressd.pid) > quiet)
        cr_assert(eg_clock_ms() < limit, "%u descriptors, %u before", eg_proc_fds(w.egressd.pid),
                  quiet);
}

Test(ssh_tunnel, missing_client_is_an_error_at_start)
{
    char *out = NULL, policy[1024], path[300];
    eg_world_new(&w);
    sshd.port = 22;
    w.plain_port = 80;
    policy_text(policy, sizeof policy, true);
    eg_world_policy(&w, policy);
    snprintf(path, sizeof path, "PATH=%s", w.dir);
    const char *argv[] = { EG_BUILD_DIR "/egressd",
                           "--policy",
                           eg_world_path(&w, "egress.yaml"),
                           "--control",
                           w.control,
                           NULL };
    const char *environment[] = { path, NULL };
    cr_assert_neq(eg_proc_run(&w, argv, environment, &out), 0);
    cr_assert(strstr(out, "no `ssh` in PATH") && !strstr(out, "\"ready\""), "%s", out);
    free(out);
}
