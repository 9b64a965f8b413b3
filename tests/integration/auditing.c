/* auditing.c - what stands in the audit, in memory and in its file, what happens when the file can't be written, and how egressctl shows it. */
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "egress/audit.h"
#include "support/daemon.h"

#define ALLOW                                                                                      \
    "egress: 1\n"                                                                                  \
    "allow: [{address: 127.0.0.1, scheme: tcp, ports: [@PLAIN@]}]\n"                               \
    "networks: {allow: [127.0.0.0/8]}\n"

static const char WITH_FILE[] = ALLOW "audit: {file: \"@DIR@/audit.jsonl\"}\n";
static const char LOOSE_FILE[] = ALLOW "audit: {file: \"@DIR@/audit.jsonl\", strict: false}\n";
static const char SMALL_RING[] = ALLOW "audit: {capacity: 32}\n";

static void setup(struct eg_world *w, const char *policy)
{
    eg_world_new(w);
    eg_world_plain(w);
    eg_world_egressd(w, policy, NULL, NULL);
}

/* To a port that no rule allows: one decision and nothing else. */
static void deny(const struct eg_world *w, unsigned port)
{
    struct eg_client c;
    cr_assert(eg_daemon_tunnel(&c, w, w->token, port, NULL, 0) == 403);
    eg_client_close(&c);
}

static int tunnel(struct eg_client *c, const struct eg_world *w, char *head, size_t cap)
{
    return eg_daemon_tunnel(c, w, w->token, w->plain_port, head, cap);
}

/* Every line is an event, in the schema's order of numbers; how many. */
static unsigned assert_lines(const char *text, bool from_one)
{
    unsigned n = 0;
    uint64_t last = 0;
    for (const char *at = text; *at; n++) {
        struct egress_event e;
        size_t length = strcspn(at, "\n");
        cr_assert(at[length] == '\n', "the last line has no end: %s", at);
        cr_assert(egress_event_parse(at, length, &e) == EG_OK, "no event: %.*s", (int)length, at);
        cr_assert(from_one ? e.seq == n + 1 : e.seq > last, "number %lu after %lu",
                  (unsigned long)e.seq, (unsigned long)last);
        last = e.seq;
        at += length + 1;
    }
    return n;
}

/* ---- the ring ---- */

Test(auditing, a_full_ring_keeps_the_newest_and_counts_the_rest, .timeout = 60)
{
    enum { DENIED = 100, CAPACITY = 32 };
    struct eg_world w;
    char *out = NULL, want[64];
    setup(&w, SMALL_RING);
    for (unsigned i = 1; i <= DENIED; i++)
        deny(&w, i);
    cr_assert(eg_ctl_run(&w, &out, "audit", "--json", NULL) == 0);
    cr_assert(eg_events_with(out, "\"v\":1,", NULL) == CAPACITY, "%s", out);
    cr_assert(strstr(out, "69 older events were overwritten") != NULL,
              "100 and the start, less 32: %s", out);
    for (unsigned i = 1; i <= DENIED; i++) {
        snprintf(want, sizeof want, "\"port\":%u,", i);
        cr_assert(eg_events_with(out, want, NULL) == (i > DENIED - CAPACITY), "port %u: %s", i,
                  out);
    }
    free(out);
    char *status = eg_daemon_status(&w);
    cr_assert(eg_json_number(status, NULL, "capacity") == CAPACITY &&
                  eg_json_number(status, NULL, "newest") == DENIED + 1 &&
                  eg_json_number(status, NULL, "overwritten") == DENIED + 1 - CAPACITY,
              "%s", status);
    free(status);
    eg_world_done(&w);
}

/* ---- the file ---- */

Test(auditing, the_file_holds_each_decision_before_its_bytes, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    struct stat st;
    char want[64];
    setup(&w, WITH_FILE);
    cr_assert(stat(eg_world_path(&w, "audit.jsonl"), &st) == 0 && (st.st_mode & 07777) == 0600);
    for (unsigned i = 1; i <= 20; i++) {
        cr_assert(tunnel(&c, &w, NULL, 0) == 200);
        char *file =
            eg_world_read(&w, "audit.jsonl", NULL); /* no byte of the tunnel has flowed yet */
        cr_assert(eg_events_with(file, "\"event\":\"decision\"", "\"decision\":\"allow\"", NULL) ==
                      i,
                  "%s", file);
        free(file);
        cr_assert(eg_daemon_echo(&c));
        eg_client_close(&c);
        deny(&w, i);
        snprintf(want, sizeof want, "\"port\":%u,", i);
        file = eg_world_read(&w, "audit.jsonl", NULL);
        cr_assert(eg_events_with(file, want, "\"decision\":\"deny\"", NULL) == 1, "%s", file);
        free(file);
    }
    cr_assert(eg_world_await_event(&w, 20, "\"event\":\"end\"", "\"reason\":\"ok\""));
    eg_proc_end(&w.egressd, SIGTERM);
    char *file = eg_world_read(&w, "audit.jsonl", NULL);
    cr_assert(assert_lines(file, true) == 20 + 20 + 20 + 3, "%s",
              file); /* started, draining, stopped */
    cr_assert(eg_events_with(file, "\"event\":\"end\"",
                             "\"bytes_up\":", "\"bytes_down\":", "\"duration_ms\":", NULL) == 20);
    free(file);
    eg_world_done(&w);
}

/* As the user of that process: root without CAP_SYS_RESOURCE may change its own only. */
static void limit_one(pid_t pid, rlim_t size)
{
    struct rlimit limit = { size, RLIM_INFINITY };
    uid_t user = (uid_t)eg_proc_status(pid, "Uid");
    gid_t group = (gid_t)eg_proc_status(pid, "Gid");
    pid_t helper = fork();
    if (helper == 0)
        _exit((user != geteuid() &&
               (setresgid(group, group, group) || setresuid(user, user, user))) ||
              prlimit(pid, RLIMIT_FSIZE, &limit, NULL) != 0);
    int status = 1;
    cr_assert(helper > 0 && waitpid(helper, &status, 0) == helper && status == 0, "prlimit %d",
              (int)pid);
}

static pid_t limit_file(const struct eg_world *w, rlim_t size)
{
    pid_t worker = eg_daemon_worker(w, 1, 0);
    limit_one(worker, size);
    limit_one(w->egressd.pid, size);
    return worker;
}

static rlim_t file_size(const struct eg_world *w)
{
    struct stat st;
    cr_assert(stat(eg_world_path(w, "audit.jsonl"), &st) == 0);
    return (rlim_t)st.st_size;
}

/* room: bytes that still fit; 0 tears no line, a few tear one. */
static void unwritable(rlim_t room)
{
    struct eg_world w;
    struct eg_client c, old;
    char head[8192];
    setup(&w, WITH_FILE);
    cr_assert(tunnel(&old, &w, NULL, 0) == 200 && eg_daemon_echo(&old));
    size_t before, after;
    free(eg_world_read(&w, "plain.rec", &before));
    pid_t worker = limit_file(&w, file_size(&w) + room);
    for (int i = 0; i < 3; i++) {
        int status = tunnel(&c, &w, head, sizeof head);
        cr_assert(status == 503 && eg_head_has(head, "X-Egress-Reason", "audit_unwritable"),
                  "%d %s", status, head);
        eg_client_close(&c);
    }
    free(eg_world_read(&w, "plain.rec", &after));
    cr_assert(before == after, "the origin saw nothing");
    cr_assert(eg_daemon_echo(&old), "what was recorded goes on");
    char *events = eg_world_events(&w); /* the ring never fails, and says it */
    cr_assert(eg_events_with(events, "\"reason\":\"audit_unwritable\"", "\"decision\":\"deny\"",
                             NULL) >= 3,
              "%s", events);
    free(events);
    cr_assert(limit_file(&w, RLIM_INFINITY) == worker, "nobody died of it");
    cr_assert(tunnel(&c, &w, head, sizeof head) == 200 && eg_daemon_echo(&c), "it recovers: %s",
              head);
    eg_client_close(&c);
    eg_client_close(&old);
    eg_proc_end(&w.egressd, SIGTERM);
    char *file = eg_world_read(&w, "audit.jsonl", NULL), *torn = NULL;
    unsigned bad = 0, good = 0;
    for (char *line = strtok_r(file, "\n", &torn); line; line = strtok_r(NULL, "\n", &torn)) {
        struct egress_event e;
        bool fine = egress_event_parse(line, strlen(line), &e) == EG_OK;
        good += fine;
        bad += !fine;
    }
    cr_assert(bad <= (room ? 1 : 0) && good >= 4, "%u lines torn, %u whole", bad, good);
    free(file);
    eg_world_done(&w);
}

Test(auditing, a_strict_file_that_cannot_grow_refuses, .timeout = 60)
{
    unwritable(0);
}

Test(auditing, a_torn_line_ruins_no_other, .timeout = 60)
{
    unwritable(37);
}

Test(auditing, a_file_that_is_not_strict_lets_through, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    setup(&w, LOOSE_FILE);
    limit_file(&w, file_size(&w));
    cr_assert(tunnel(&c, &w, NULL, 0) == 200 && eg_daemon_echo(&c));
    eg_client_close(&c);
    char *events = eg_world_events(&w);
    cr_assert(eg_events_with(events, "\"event\":\"decision\"", "\"decision\":\"allow\"", NULL) == 1,
              "%s", events);
    free(events);
    limit_file(&w, RLIM_INFINITY);
    eg_world_done(&w);
}

static void starts_not(const struct eg_world *w)
{
    char *out = NULL;
    const char *args[] = { "--policy", eg_world_path(w, "egress.yaml"), "--control", w->control,
                           NULL };
    cr_assert(eg_daemon_fail(w, args, &out) == 1 && strstr(out, "audit.file") &&
                  !strstr(out, "\"ready\""),
              "%s", out);
    free(out);
}

Test(auditing, a_file_that_cannot_be_trusted_is_not_used, .timeout = 60)
{
    struct eg_world w;
    eg_world_new(&w);
    eg_world_policy(&w, "egress: 1\naudit: {file: \"@DIR@/audit.jsonl\"}\n");
    cr_assert(symlink("/dev/null", eg_world_path(&w, "audit.jsonl")) == 0);
    starts_not(&w);
    cr_assert(unlink(eg_world_path(&w, "audit.jsonl")) == 0);
    eg_world_write(&w, "audit.jsonl", "");
    cr_assert(chmod(eg_world_path(&w, "audit.jsonl"), 0666) == 0);
    starts_not(&w);
    cr_assert(unlink(eg_world_path(&w, "audit.jsonl")) == 0 &&
              mkfifo(eg_world_path(&w, "audit.jsonl"), 0600) == 0);
    starts_not(&w);
    eg_world_policy(&w, "egress: 1\naudit: {file: \"/dev/full\"}\n");
    starts_not(&w);
    eg_world_done(&w);
}

Test(auditing, a_kill_of_everything_leaves_a_file_that_can_be_read, .timeout = 60)
{
    struct eg_world w;
    struct eg_client held[5];
    char *out = NULL;
    setup(&w, WITH_FILE);
    pid_t worker = eg_daemon_worker(&w, 1, 0);
    for (int i = 0; i < 5; i++)
        cr_assert(tunnel(&held[i], &w, NULL, 0) == 200 && eg_daemon_echo(&held[i]));
    kill(worker, SIGKILL);
    eg_proc_end(&w.egressd, SIGKILL);
    for (int i = 0; i < 5; i++) {
        cr_assert(eg_client_wait(&held[i], NULL, 0));
        eg_client_close(&held[i]);
    }
    char path[400];
    snprintf(path, sizeof path, "%s/audit.jsonl", w.dir);
    const char *argv[] = { EG_BUILD_DIR "/egressctl", "audit", "--json", "--file", path, NULL };
    cr_assert(eg_proc_run(&w, argv, NULL, &out) == 0, "%s", out);
    cr_assert(eg_events_with(out, "\"event\":\"decision\"", "\"decision\":\"allow\"", NULL) == 5,
              "%s", out);
    free(out);
    FILE *f = fopen(eg_world_path(&w, "audit.jsonl"), "a"); /* a torn last line */
    cr_assert(f && fputs("{\"v\":1,\"seq\":99,\"id", f) >= 0 && fclose(f) == 0);
    cr_assert(eg_proc_run(&w, argv, NULL, &out) == 0, "%s", out);
    cr_assert(strstr(out, "1 lines are no events") &&
                  eg_events_with(out, "\"event\":\"decision\"", NULL) == 5,
              "%s", out);
    free(out);
    eg_world_egressd(&w, WITH_FILE, NULL, NULL); /* appends, on a line of its own */
    eg_proc_end(&w.egressd, SIGTERM);
    cr_assert(eg_proc_run(&w, argv, NULL, &out) == 0, "%s", out);
    cr_assert(strstr(out, "1 lines are no events") &&
                  eg_events_with(out, "\"detail\":\"started: 1 workers\"", NULL) == 2,
              "%s", out);
    free(out);
    eg_world_done(&w);
}

/* ---- egressctl audit ---- */

Test(auditing, is_shown_as_a_table_and_filtered, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char *out = NULL, token[80];
    setup(&w, ALLOW);
    cr_assert(eg_ctl_run(&w, &out, "session", "create", "--label", "ci", "--json", NULL) == 0);
    eg_json_text(out, "token", token, sizeof token);
    free(out);
    cr_assert(eg_daemon_tunnel(&c, &w, token, w.plain_port, NULL, 0) == 200);
    eg_client_close(&c);
    cr_assert(eg_daemon_tunnel(&c, &w, token, 7, NULL, 0) == 403);
    eg_client_close(&c);
    deny(&w, 9);
    cr_assert(eg_world_await_event(&w, 1, "\"event\":\"end\"", "\"session\":\"ci\""));
    cr_assert(eg_ctl_run(&w, &out, "audit", NULL) == 0);
    cr_assert(strstr(out, "TIME (UTC)") == out && strchr(out, '\033') == NULL,
              "no colour where there is no terminal: %s", out);
    cr_assert(eg_events_with(out, " allow ", "CONNECT 127.0.0.1:", " ci ", NULL) == 1 &&
                  eg_events_with(out, " deny ", "port_not_allowed", NULL) == 2,
              "%s", out);
    free(out);
    cr_assert(eg_ctl_run(&w, &out, "audit", "--json", "--denied", NULL) == 0);
    cr_assert(eg_events_with(out, "\"decision\":\"deny\"", NULL) == 2 &&
                  eg_events_with(out, "\"decision\":\"allow\"", NULL) == 0,
              "%s", out);
    free(out);
    cr_assert(eg_ctl_run(&w, &out, "audit", "--json", "--session", "ci", NULL) == 0);
    cr_assert(eg_events_with(out, "\"v\":1", NULL) == 3 &&
                  eg_events_with(out, "\"session\":\"ci\"", NULL) == 3,
              "%s", out);
    free(out);
    cr_assert(eg_ctl_run(&w, &out, "audit", "--denied", "--session", "ci", NULL) == 0);
    cr_assert(eg_events_with(out, "port_not_allowed", NULL) == 1, "%s", out);
    free(out);
    cr_assert(eg_ctl_run(&w, &out, "audit", "--json", NULL) == 0);
    cr_assert(assert_lines(out, true) == 6, "start, session, three decisions, one end: %s", out);
    free(out);
    eg_world_done(&w);
}

/* A line of the follower's stdout, within the deadline. */
static bool next_line(int fd, char *line, size_t cap)
{
    size_t n = 0;
    struct pollfd p = { .fd = fd, .events = POLLIN };
    while (n + 1 < cap && poll(&p, 1, EG_PROC_DEADLINE_MS) == 1 && read(fd, line + n, 1) == 1) {
        if (line[n] == '\n') {
            line[n] = 0;
            return true;
        }
        n++;
    }
    return false;
}

Test(auditing, is_followed_as_it_happens, .timeout = 60)
{
    struct eg_world w;
    struct eg_proc follower = { 0 };
    char line[8192], want[64];
    setup(&w, ALLOW);
    const char *argv[] = {
        EG_BUILD_DIR "/egressctl", "audit", "--json", "--follow", "--control", w.control, NULL
    };
    eg_proc_start(&follower, &w, "follower", argv, NULL);
    cr_assert(strstr(follower.ready, "started") != NULL, "%s", follower.ready);
    for (unsigned i = 1; i <= 5; i++) {
        deny(&w, i);
        snprintf(want, sizeof want, "\"port\":%u,", i);
        cr_assert(next_line(follower.out, line, sizeof line) && strstr(line, want), "%s", line);
    }
    uint64_t from = eg_clock_ms();
    deny(&w, 6);
    cr_assert(next_line(follower.out, line, sizeof line) && strstr(line, "\"port\":6,"));
    cr_assert(eg_clock_ms() - from < EG_PROC_DEADLINE_MS, "%lu ms", (unsigned long)(eg_clock_ms() - from));
    eg_proc_end(&w.egressd, SIGTERM); /* the end of the proxy ends it */
    bool stopped = false;
    while (next_line(follower.out, line, sizeof line))
        stopped = stopped || strstr(line, "\"stopped\"") != NULL;
    int status = eg_proc_end(&follower, SIGCONT);
    cr_assert(WIFEXITED(status), "status %d", status);
    cr_assert(stopped, "the last line was %s", line);
    eg_world_done(&w);
}

/* Now and then the server's output was full and then went out whole, and nothing woke the stream again. */
Test(auditing, a_long_answer_never_stalls, .timeout = 300)
{
    enum { DENIED = 5000, READS = 10 };
    struct eg_world w;
    struct eg_client c;
    char head[8192];
    setup(&w, ALLOW);
    eg_client_open(&c, w.proxy_port);
    for (unsigned i = 0; i < DENIED; i++) {
        eg_client_text(&c, "CONNECT 127.0.0.1:7 HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                       w.token);
        cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 403, "%u: %s", i, head);
    }
    eg_client_close(&c);
    for (unsigned i = 0; i < READS; i++) {
        char *lines = eg_daemon_audit(&w);
        cr_assert(eg_events_with(lines, "\"v\":1,", NULL) == DENIED + 1);
        free(lines);
    }
    eg_world_done(&w);
}

Test(auditing, without_a_proxy_says_so_with_exit_status_4, .timeout = 60)
{
    static const char *const commands[][3] = { { "audit", "--json", NULL },
                                               { "status", NULL },
                                               { "session", "list", NULL },
                                               { "env", NULL } };
    struct eg_world w;
    char *out = NULL;
    eg_world_new(&w);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        int code = eg_ctl_run(&w, &out, commands[i][0], commands[i][1], commands[i][2], NULL);
        cr_expect(code == 4 && strstr(out, "no proxy is reachable"), "%s: %d %s", commands[i][0],
                  code, out);
        free(out);
    }
    const char *none = eg_world_path(&w, "");
    char runtime[400], state[400];
    snprintf(runtime, sizeof runtime, "XDG_RUNTIME_DIR=%s", none);
    snprintf(state, sizeof state, "XDG_STATE_HOME=%s", none);
    const char *argv[] = { EG_BUILD_DIR "/egressctl", "audit", NULL },
               *environment[] = { runtime, state, NULL };
    cr_assert(eg_proc_run(&w, argv, environment, &out) == 4, "%s", out);
    free(out);
    eg_world_done(&w);
}
