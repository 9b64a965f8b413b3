/* workers.c - workers that are killed: another takes over, what was open gets its end, what other workers hold goes on, no number of the audit is lost. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "support/daemon.h"

static const char POLICY[] = "egress: 1\n"
                             "allow: [{address: 127.0.0.1, scheme: tcp, ports: [@PLAIN@]}]\n"
                             "networks: {allow: [127.0.0.0/8]}\n"
                             "audit: {file: \"@DIR@/audit.jsonl\"}\n";

static void setup(struct eg_world *w, const char *workers)
{
    const char *args[] = { "--workers", workers, NULL };
    static char options[1024]; /* a sanitizer must let SIGSEGV kill */
    const char *old = getenv("ASAN_OPTIONS");
    snprintf(options, sizeof options, "ASAN_OPTIONS=%s%shandle_segv=0", old ? old : "",
             old && *old ? ":" : "");
    const char *environment[] = { options, NULL };
    eg_world_new(w);
    eg_world_plain(w);
    eg_world_egressd(w, POLICY, args, environment);
}

static int tunnel(struct eg_client *c, const struct eg_world *w)
{
    return eg_daemon_tunnel(c, w, w->token, w->plain_port, NULL, 0);
}

/* Numbers 1, 2, 3 ... and each decision that allowed with exactly one end. */
static void assert_whole(const char *lines)
{
    long expected = 1;
    for (const char *at = lines; (at = strstr(at, "{\"v\":1,\"seq\":")); at++, expected++)
        cr_assert(strtol(at + 13, NULL, 10) == expected, "a gap before %ld: %.300s", expected, at);
    cr_assert(expected > 1);
    unsigned decisions =
        eg_events_with(lines, "\"event\":\"decision\"", "\"decision\":\"allow\"", NULL);
    unsigned ends = eg_events_with(lines, "\"event\":\"end\"", NULL);
    cr_assert(decisions == ends, "%u decisions, %u ends: %s", decisions, ends, lines);
}

static void killed_by(int number)
{
    enum { TUNNELS = 5 };
    struct eg_world w;
    struct eg_client held[TUNNELS], c;
    char how[64];
    setup(&w, "1");
    pid_t first = eg_daemon_worker(&w, 1, 0);
    for (int i = 0; i < TUNNELS; i++)
        cr_assert(tunnel(&held[i], &w) == 200 && eg_daemon_echo(&held[i]));
    cr_assert(kill(first, number) == 0);
    cr_assert(tunnel(&c, &w) == 200, "who comes in between waits in the queue and is served");
    cr_assert(eg_daemon_echo(&c));
    pid_t second = eg_daemon_worker(&w, 1, first);
    for (int i = 0; i < TUNNELS; i++) {
        cr_assert(eg_client_wait(&held[i], NULL, 0), "its tunnels are over");
        eg_client_close(&held[i]);
    }
    eg_client_close(&c);
    cr_assert(eg_world_await_event(&w, TUNNELS + 1, "\"event\":\"end\"", "\"v\":1"));
    char *lines = eg_world_events(&w);
    snprintf(how, sizeof how, "worker 1: signal %d", number);
    cr_assert(
        eg_events_with(lines, "\"event\":\"system\"", "\"reason\":\"worker_died\"", how, NULL) == 1,
        "%s", lines);
    cr_assert(eg_events_with(lines, "\"event\":\"end\"", "\"reason\":\"worker_died\"", NULL) ==
                  TUNNELS,
              "%s", lines);
    assert_whole(lines);
    free(lines);
    char *file = eg_world_read(&w, "audit.jsonl", NULL); /* the file tells the same */
    assert_whole(file);
    free(file);
    char *status = eg_daemon_status(&w);
    cr_assert(second != first && eg_json_number(status, "\"number\":1,", "restarts") == 1);
    free(status);
    cr_assert(eg_proc_gone(first));
    eg_world_done(&w);
}

Test(workers, killed_by_sigkill_is_replaced, .timeout = 90)
{
    killed_by(SIGKILL);
}

Test(workers, killed_by_sigsegv_is_replaced, .timeout = 90)
{
    killed_by(SIGSEGV);
}

/* The worker of the only open tunnel. */
static unsigned worker_of(const struct eg_world *w, unsigned decision)
{
    char *lines = eg_world_events(w);
    const char *at = lines;
    for (unsigned i = 0; at && i <= decision; i++)
        at = strstr(i ? at + 1 : at, "\"event\":\"decision\"");
    cr_assert(at != NULL, "%s", lines);
    unsigned number = (unsigned)eg_json_number(at, NULL, "worker");
    free(lines);
    return number;
}

/* The system may give one worker all connections: then the other is the one that dies. */
Test(workers, that_live_keep_their_tunnels_when_one_dies, .timeout = 90)
{
    enum { TRIES = 24 };
    struct eg_world w;
    struct eg_client held[TRIES];
    unsigned of[TRIES], n = 0, seen[3] = { 0 };
    setup(&w, "2");
    while (n < 4 || (n < TRIES && (seen[1] == 0 || seen[2] == 0))) {
        cr_assert(tunnel(&held[n], &w) == 200 && eg_daemon_echo(&held[n]));
        of[n] = worker_of(&w, n);
        cr_assert(of[n] == 1 || of[n] == 2);
        seen[of[n]]++;
        n++;
    }
    unsigned victim = seen[1] <= seen[2] ? 1 : 2, other = 3 - victim;
    pid_t first = eg_daemon_worker(&w, victim, 0), second = eg_daemon_worker(&w, other, 0);
    cr_assert(kill(first, SIGKILL) == 0);
    eg_daemon_worker(&w, victim, first);
    for (unsigned i = 0; i < n; i++) {
        if (of[i] == victim)
            cr_assert(eg_client_wait(&held[i], NULL, 0));
        else
            cr_assert(eg_daemon_echo(&held[i]), "a tunnel of the other worker goes on");
        eg_client_close(&held[i]);
    }
    cr_assert(eg_daemon_worker(&w, other, 0) == second, "the other was not restarted");
    cr_assert(eg_world_await_event(&w, n, "\"event\":\"end\"", "\"v\":1"));
    char *lines = eg_world_events(&w);
    cr_assert(eg_events_with(lines, "\"event\":\"end\"", "\"reason\":\"worker_died\"", NULL) ==
                  seen[victim],
              "%s", lines);
    assert_whole(lines);
    free(lines);
    eg_world_done(&w);
}

Test(workers, killed_five_times_in_a_row_come_back, .timeout = 120)
{
    struct eg_world w;
    struct eg_client c;
    setup(&w, "1");
    pid_t pid = eg_daemon_worker(&w, 1, 0);
    unsigned before = eg_proc_fds(w.egressd.pid);
    uint64_t from = eg_clock_ms();
    for (unsigned i = 1; i <= 5; i++) {
        cr_assert(tunnel(&c, &w) == 200 && eg_daemon_echo(&c));
        cr_assert(kill(pid, i % 2 ? SIGKILL : SIGSEGV) == 0);
        pid = eg_daemon_worker(&w, 1, pid);
        eg_client_close(&c);
    }
    uint64_t took = eg_clock_ms() - from;
    cr_assert(took >= 100 + 200 + 400 + 800 + 1600, "each waits twice as long: %lu ms",
              (unsigned long)took);
    cr_assert(tunnel(&c, &w) == 200 && eg_daemon_echo(&c));
    eg_client_close(&c);
    cr_assert(eg_world_await_event(&w, 6, "\"event\":\"end\"", "\"v\":1"));
    char *lines = eg_world_events(&w);
    cr_assert(eg_events_with(lines, "\"event\":\"system\"", "\"reason\":\"worker_died\"", NULL) ==
                  5,
              "%s", lines);
    cr_assert(eg_events_with(lines, "\"event\":\"end\"", "\"reason\":\"worker_died\"", NULL) == 5,
              "%s", lines);
    assert_whole(lines);
    free(lines);
    pid_t children[8];
    cr_assert(eg_proc_children(w.egressd.pid, children, 8) == 1, "no zombie is left");
    cr_assert(eg_proc_fds(w.egressd.pid) <= before, "%u, then %u", before,
              eg_proc_fds(w.egressd.pid));
    eg_world_done(&w);
}

/* A worker in its backoff is not started once the drain has begun. */
Test(workers, that_died_before_a_drain_do_not_delay_it, .timeout = 90)
{
    struct eg_world w;
    struct eg_client c;
    setup(&w, "2");
    cr_assert(tunnel(&c, &w) == 200 && eg_daemon_echo(&c));
    unsigned busy = worker_of(&w, 0), idle = 3 - busy;
    pid_t pid = eg_daemon_worker(&w, idle, 0);
    for (int i = 0; i < 3; i++) { /* the fourth start waits 800 ms */
        cr_assert(kill(pid, SIGKILL) == 0);
        pid = eg_daemon_worker(&w, idle, pid);
    }
    cr_assert(kill(pid, SIGKILL) == 0);
    cr_assert(eg_world_await_event(&w, 4, "\"reason\":\"worker_died\"", "\"event\":\"system\""));
    uint64_t from = eg_clock_ms();
    kill(w.egressd.pid, SIGTERM);
    cr_assert(eg_world_await_event(&w, 1, "\"reason\":\"shutting_down\"", "\"event\":\"system\""));
    while (eg_clock_ms() - from < 1000) /* past its timer */
        cr_assert(eg_daemon_echo(&c));
    eg_client_close(&c);
    int status = eg_proc_end(&w.egressd, SIGCONT);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert(eg_clock_ms() - from < EG_PROC_DEADLINE_MS, "%lu ms", (unsigned long)(eg_clock_ms() - from));
    eg_world_done(&w);
}

/* kill -9 of the supervisor takes the workers with it. */
Test(workers, do_not_outlive_their_supervisor, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    setup(&w, "2");
    pid_t pids[2] = { eg_daemon_worker(&w, 1, 0), eg_daemon_worker(&w, 2, 0) };
    cr_assert(tunnel(&c, &w) == 200);
    eg_proc_end(&w.egressd, SIGKILL);
    cr_assert(eg_client_wait(&c, NULL, 0));
    uint64_t deadline = eg_clock_ms() + EG_PROC_DEADLINE_MS;
    for (int i = 0; i < 2; i++)
        while (!eg_proc_gone(pids[i]) && eg_clock_ms() < deadline) {
            char *stat = eg_proc_text(pids[i], "stat");
            bool zombie = stat && strstr(stat, ") Z ") !=
                                      NULL; /* nobody reaps it in a container without an init */
            free(stat);
            if (zombie)
                break;
        }
    cr_assert(eg_clock_ms() < deadline);
    eg_client_close(&c);
    eg_world_done(&w);
}
