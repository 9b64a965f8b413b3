/* lifecycle.c - egressd's own life: what it makes at start and removes at its end, what it refuses to start with, signals, limits, what its workers keep. */
#include <criterion/criterion.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/daemon.h"

#define POLICY_OF(drain)                                                                           \
    "egress: 1\n"                                                                                  \
    "allow: [{address: 127.0.0.1, scheme: tcp, ports: [@PLAIN@]}, "                                \
    "{host: web.test, scheme: http, ports: [@PLAIN@]}]\n"                                          \
    "networks: {allow: [127.0.0.0/8]}\n"                                                           \
    "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"                                                      \
    "audit: {file: \"@DIR@/audit.jsonl\"}\n"                                                       \
    "limits: {drain_timeout: " drain "}\n"
static const char POLICY[] = POLICY_OF("1s");
static const char PATIENT[] = POLICY_OF("60s"); /* longer than any wait of a test */
static const char *const NAMES[] = { "web.test=127.0.0.1", NULL };

static void setup_of(struct eg_world *w, const char *policy, const char *const *args)
{
    eg_world_new(w);
    eg_world_plain(w);
    eg_world_dns(w, NAMES);
    eg_world_egressd(w, policy, args, NULL);
}

static void setup_with(struct eg_world *w, const char *const *args)
{
    setup_of(w, POLICY, args);
}

static bool exists(const struct eg_world *w, const char *name)
{
    struct stat st;
    return lstat(eg_world_path(w, name), &st) == 0;
}

static int get(struct eg_client *c, const struct eg_world *w)
{
    char head[8192];
    eg_client_text(c,
                   "GET http://web.test:%u/headers HTTP/1.1\r\nHost: web.test:%u\r\n"
                   "Proxy-Authorization: Bearer %s\r\n\r\n",
                   w->plain_port, w->plain_port, w->token);
    return eg_client_response(c, head, sizeof head, NULL, NULL);
}

static bool served(const struct eg_world *w)
{
    struct eg_client c;
    eg_client_open(&c, w->proxy_port);
    int status = get(&c, w);
    eg_client_close(&c);
    return status == 200;
}

/* ---- start and end ---- */

Test(lifecycle, ready_line_token_file_and_socket, .timeout = 60)
{
    struct eg_world w;
    struct stat st;
    char want[512];
    setup_with(&w, NULL);
    snprintf(want, sizeof want,
             "{\"event\":\"ready\",\"listeners\":[{\"address\":\"127.0.0.1\",\"port\":%u,"
             "\"protocols\":[\"http\",\"socks5\"],\"tls\":false}],\"control\":\"%s\"}",
             w.proxy_port, w.control);
    cr_assert(strcmp(w.egressd.ready, want) == 0, "%s", w.egressd.ready);
    cr_assert(lstat(eg_world_path(&w, "token"), &st) == 0 && S_ISREG(st.st_mode) &&
              (st.st_mode & 07777) == 0600 && st.st_size == 65);
    cr_assert(strspn(w.token, "0123456789abcdef") == 64);
    cr_assert(lstat(w.control, &st) == 0 && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0600);
    char *argv = eg_proc_text(w.egressd.pid, "cmdline"),
         *log = eg_world_read(&w, "egressd.err", NULL);
    cr_assert(argv && strstr(argv, w.token) == NULL && strstr(log, w.token) == NULL);
    free(argv);
    free(log);
    int status = eg_proc_end(&w.egressd, SIGTERM);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert(!exists(&w, "token") && !exists(&w, "control.sock"));
    eg_world_done(&w);
}

Test(lifecycle, remains_of_a_killed_run_are_taken_over, .timeout = 60)
{
    struct eg_world w;
    char old[65];
    setup_with(&w, NULL);
    memcpy(old, w.token, 65);
    eg_proc_end(&w.egressd, SIGKILL);
    cr_assert(exists(&w, "token") && exists(&w, "control.sock"));
    eg_world_egressd(&w, POLICY, NULL, NULL); /* at once */
    cr_assert(strcmp(old, w.token) != 0 && strlen(w.token) == 64);
    cr_assert(served(&w));
    eg_world_done(&w);
}

static int start(const struct eg_world *w, char **out, const char *listen)
{
    const char *args[] = { "--policy",
                           eg_world_path(w, "egress.yaml"),
                           "--control",
                           eg_world_path(w, "second.sock"),
                           "--token-file",
                           eg_world_path(w, "second.token"),
                           listen ? "--listen" : NULL,
                           listen,
                           NULL };
    return eg_daemon_fail(w, args, out);
}

Test(lifecycle, a_token_file_that_is_not_ours_stays, .timeout = 60)
{
    struct eg_world w;
    char *out = NULL;
    struct stat st;
    eg_world_new(&w);
    eg_world_policy(&w, "egress: 1\n");
    eg_world_write(&w, "second.token", "my diary, of all that I hold dear\n");
    cr_assert(start(&w, &out, NULL) == 1, "%s", out);
    cr_assert(strstr(out, "second.token") != NULL && strstr(out, "\"ready\"") == NULL, "%s", out);
    free(out);
    char *text = eg_world_read(&w, "second.token", NULL);
    cr_assert(strcmp(text, "my diary, of all that I hold dear\n") == 0);
    free(text);
    cr_assert(unlink(eg_world_path(&w, "second.token")) == 0);
    eg_world_write(&w, "target", "");
    cr_assert(symlink(eg_world_path(&w, "target"), eg_world_path(&w, "second.token")) == 0);
    cr_assert(start(&w, &out, NULL) == 1, "a link is not followed: %s", out);
    free(out);
    cr_assert(lstat(eg_world_path(&w, "second.token"), &st) == 0 && S_ISLNK(st.st_mode));
    text = eg_world_read(&w, "target", NULL);
    cr_assert(*text == 0);
    free(text);
    cr_assert(!exists(&w, "second.sock"));
    eg_world_done(&w);
}

Test(lifecycle, a_live_control_socket_is_not_taken, .timeout = 60)
{
    struct eg_world w;
    char *out = NULL;
    setup_with(&w, NULL);
    const char *args[] = { "--policy", eg_world_path(&w, "egress.yaml"), "--control", w.control,
                           NULL };
    cr_assert(eg_daemon_fail(&w, args, &out) == 1, "%s", out);
    cr_assert(strstr(out, "\"ready\"") == NULL, "%s", out);
    free(out);
    free(eg_daemon_status(&w)); /* the first still answers */
    cr_assert(served(&w));
    eg_world_done(&w);
}

Test(lifecycle, a_file_at_the_sockets_path_stays, .timeout = 60)
{
    struct eg_world w;
    char *out = NULL;
    eg_world_new(&w);
    eg_world_policy(&w, "egress: 1\n");
    eg_world_write(&w, "second.sock", "not a socket");
    cr_assert(start(&w, &out, NULL) == 1, "%s", out);
    free(out);
    char *text = eg_world_read(&w, "second.sock", NULL);
    cr_assert(strcmp(text, "not a socket") == 0);
    free(text);
    cr_assert(!exists(&w, "second.token"));
    eg_world_done(&w);
}

Test(lifecycle, a_port_in_use_is_an_error_and_nothing_is_left, .timeout = 60)
{
    struct eg_world w;
    char *out = NULL, at[32];
    setup_with(&w, NULL);
    snprintf(at, sizeof at, "127.0.0.1:%u", w.proxy_port);
    cr_assert(start(&w, &out, at) == 1, "%s", out);
    cr_assert(strstr(out, "in use") != NULL && strstr(out, "\"ready\"") == NULL, "%s", out);
    free(out);
    cr_assert(!exists(&w, "second.sock") && !exists(&w, "second.token"));
    eg_world_done(&w);
}

/* ---- --listen ---- */

static const char TLS_POLICY[] = "egress: 1\n"
                                 "listen: [{address: \"127.0.0.1:0\", tls: {cert: "
                                 "\"@DIR@/cert.pem\", key: \"@DIR@/key.pem\"}}]\n";

Test(lifecycle, listen_beats_the_policy, .timeout = 60)
{
    struct eg_world w;
    static const char *const args[] = { "--listen", "127.0.0.2:0", NULL };
    eg_world_new(&w);
    eg_world_egressd(&w, "egress: 1\nlisten: [{address: \"127.0.0.1:0\"}]\n", args, NULL);
    cr_assert(strstr(w.egressd.ready, "\"address\":\"127.0.0.2\"") &&
                  !strstr(w.egressd.ready, "127.0.0.1"),
              "%s", w.egressd.ready);
    eg_world_done(&w);
}

Test(lifecycle, listen_takes_a_loopback_address_only, .timeout = 60)
{
    static const char *const bad[] = { "0.0.0.0:0", "[::]:0",      "10.0.0.1:0",
                                       "127.0.0.1", ":0",          "127.0.0.1:x",
                                       "127.1:0",   "localhost:0", "127.0.0.1:65536" };
    struct eg_world w;
    char *out = NULL;
    eg_world_new(&w);
    eg_world_policy(&w, "egress: 1\n");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert(start(&w, &out, bad[i]) == 2, "%s: %s", bad[i], out);
        cr_assert(strstr(out, "\"ready\"") == NULL && !exists(&w, "second.sock"));
        free(out);
    }
    eg_world_done(&w);
}

Test(lifecycle, listen_never_takes_tls_from_a_listener, .timeout = 60)
{
    static const char *const args[] = { "--listen", "127.0.0.1:0", NULL };
    struct eg_world w;
    struct eg_client c;
    eg_world_new(&w);
    eg_world_origin(&w, NULL); /* it makes cert.pem and key.pem */
    eg_world_egressd(&w, TLS_POLICY, args, NULL);
    char *status = eg_daemon_status(&w);
    cr_assert(strstr(status, "\"tls\":true") != NULL, "%s", status);
    free(status);
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c, "CONNECT 127.0.0.1:1 HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                   w.token);
    cr_assert(eg_client_wait(&c, NULL, 0), "plain bytes on a TLS listener are not answered");
    cr_assert(!c.buf || memmem(c.buf, c.len, "HTTP/1", 6) == NULL, "never downgraded: %s", c.buf);
    eg_client_close(&c);
    eg_world_done(&w);
}

/* ---- policies ---- */

Test(lifecycle, t_checks_and_starts_nothing, .timeout = 60)
{
    struct eg_world w;
    char *out = NULL;
    eg_world_new(&w);
    const char *args[] = { "-t",        "--policy", eg_world_path(&w, "egress.yaml"),
                           "--control", w.control,  NULL };
    eg_world_policy(&w, "egress: 1\nallow: [api.example.com]\n");
    cr_assert(eg_daemon_fail(&w, args, &out) == 0, "%s", out);
    free(out);
    eg_world_policy(&w, "egress: 1\nallow: [\"*\"]\n");
    cr_assert(eg_daemon_fail(&w, args, &out) == 3, "%s", out);
    cr_assert(strstr(out, "egress.yaml:2:") != NULL, "%s", out);
    free(out);
    const char *missing[] = { "-t", "--policy", eg_world_path(&w, "none.yaml"), NULL };
    cr_assert(eg_daemon_fail(&w, missing, &out) != 0, "unreadable fails closed");
    free(out);
    const char *usage[] = { "-t", NULL }, *unknown[] = { "--no-such-option", NULL };
    cr_assert(eg_daemon_fail(&w, usage, &out) == 2, "%s", out);
    free(out);
    cr_assert(eg_daemon_fail(&w, unknown, &out) == 2, "%s", out);
    free(out);
    cr_assert(!exists(&w, "control.sock") && !exists(&w, "token"));
    eg_world_done(&w);
}

Test(lifecycle, a_malformed_policy_lists_all_errors_and_starts_nothing, .timeout = 60)
{
    struct eg_world w;
    char *out = NULL;
    eg_world_new(&w);
    eg_world_write(&w, "egress.yaml",
                   "egress: 1\n"
                   "alow: [a.example]\n"
                   "allow:\n"
                   "  - \"*.com\"\n"
                   "  - {host: b.example, ports: [70000]}\n"
                   "networks: {allow: [10.0.0.0/99]}\n");
    cr_assert(start(&w, &out, NULL) == 3, "%s", out);
    cr_assert(strstr(out, "egress.yaml:2:1: error[unknown-key]") != NULL, "%s", out);
    cr_assert(strstr(out, "egress.yaml:4:5: error[") != NULL, "%s", out);
    cr_assert(strstr(out, "egress.yaml:5:") != NULL && strstr(out, "egress.yaml:6:") != NULL, "%s",
              out);
    cr_assert(strstr(out, "^") != NULL && strstr(out, "\"ready\"") == NULL, "%s", out);
    free(out);
    cr_assert(!exists(&w, "second.sock") && !exists(&w, "second.token"));
    eg_world_done(&w);
}

/* ---- SIGTERM ---- */

static uint64_t end_ms(struct eg_world *w, int signal)
{
    uint64_t from = eg_clock_ms();
    int status = eg_proc_end(&w->egressd, signal);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
    return eg_clock_ms() - from;
}

static void assert_clean_log(const struct eg_world *w)
{
    char *log = eg_world_read(w, "egressd.err", NULL),
         *audit = eg_world_read(w, "audit.jsonl", NULL);
    cr_assert(strstr(audit, "worker_died") == NULL && strstr(log, "ended: ") == NULL, "%s\n%s", log,
              audit);
    free(log);
    free(audit);
}

Test(lifecycle, sigterm_idle_ends_at_once, .timeout = 60)
{
    static const char *const args[] = { "--workers", "3", NULL };
    struct eg_world w;
    pid_t workers[8];
    setup_of(&w, PATIENT, args);
    cr_assert(eg_proc_children(w.egressd.pid, workers, 8) == 3);
    uint64_t ms = end_ms(&w, SIGTERM);
    cr_assert(ms < EG_PROC_DEADLINE_MS, "%lu ms", (unsigned long)ms);
    for (int i = 0; i < 3; i++)
        cr_assert(eg_proc_gone(workers[i]));
    assert_clean_log(&w); /* a worker that ends as told has not died */
    eg_world_done(&w);
}

Test(lifecycle, sigterm_with_a_tunnel_open_waits_for_drain_timeout, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, late;
    setup_with(&w, NULL);
    cr_assert(eg_daemon_tunnel(&c, &w, w.token, w.plain_port, NULL, 0) == 200 &&
              eg_daemon_echo(&c));
    uint64_t from = eg_clock_ms();
    kill(w.egressd.pid, SIGTERM);
    cr_assert(eg_world_await_event(&w, 1, "\"reason\":\"shutting_down\"", "\"event\":\"system\""));
    cr_assert(eg_clock_ms() - from > 900 || eg_daemon_echo(&c), "it goes on while draining");
    late.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(w.proxy_port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    cr_assert(connect(late.fd, (struct sockaddr *)&to, sizeof to) < 0 && errno == ECONNREFUSED,
              "the listeners are closed");
    close(late.fd);
    cr_assert(eg_client_wait(&c, NULL, 0), "cut at the limit");
    int status = eg_proc_end(&w.egressd, SIGCONT);
    uint64_t ms = eg_clock_ms() - from;
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert(ms >= 1000 && ms < EG_PROC_DEADLINE_MS, "%lu ms", (unsigned long)ms);
    char *audit = eg_world_read(&w, "audit.jsonl", NULL);
    cr_assert(eg_events_with(audit, "\"event\":\"end\"", "\"reason\":\"shutting_down\"", NULL) == 1,
              "%s", audit);
    free(audit);
    assert_clean_log(&w);
    eg_client_close(&c);
    eg_world_done(&w);
}

Test(lifecycle, sigterm_ends_as_soon_as_the_last_tunnel_does, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    setup_of(&w, PATIENT, NULL);
    eg_world_policy(&w, "egress: 1\n");
    cr_assert(eg_daemon_tunnel(&c, &w, w.token, w.plain_port, NULL, 0) == 200 &&
              eg_daemon_echo(&c));
    uint64_t from = eg_clock_ms();
    kill(w.egressd.pid, SIGTERM);
    eg_client_close(&c);
    int status = eg_proc_end(&w.egressd, SIGCONT);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0 && eg_clock_ms() - from < EG_PROC_DEADLINE_MS);
    assert_clean_log(&w);
    eg_world_done(&w);
}

Test(lifecycle, sigterm_twice_does_not_wait, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    eg_world_new(&w);
    eg_world_plain(&w);
    eg_world_egressd(&w,
                     "egress: 1\nallow: [{address: 127.0.0.1, scheme: tcp, ports: [@PLAIN@]}]\n"
                     "networks: {allow: [127.0.0.0/8]}\nlimits: {drain_timeout: 30s}\n"
                     "audit: {file: \"@DIR@/audit.jsonl\"}\n",
                     NULL, NULL);
    cr_assert(eg_daemon_tunnel(&c, &w, w.token, w.plain_port, NULL, 0) == 200 &&
              eg_daemon_echo(&c));
    kill(w.egressd.pid, SIGTERM);
    cr_assert(eg_world_await_event(&w, 1, "\"reason\":\"shutting_down\"", "\"event\":\"system\""));
    uint64_t ms = end_ms(&w, SIGTERM);
    cr_assert(ms < EG_PROC_DEADLINE_MS, "%lu ms", (unsigned long)ms);
    char *audit = eg_world_read(&w, "audit.jsonl", NULL);
    cr_assert(eg_events_with(audit, "\"event\":\"end\"", "\"host\":\"127.0.0.1\"", NULL) == 1, "%s",
              audit);
    free(audit);
    eg_client_close(&c);
    eg_world_done(&w);
}

/* ---- SIGHUP ---- */

static const char WIDER[] = "egress: 1\n"
                            "allow: [{address: 127.0.0.1, scheme: tcp, ports: any}, "
                            "{host: web.test, scheme: http, ports: [@PLAIN@]}]\n"
                            "networks: {allow: [127.0.0.0/8]}\n"
                            "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"
                            "audit: {file: \"@DIR@/audit.jsonl\"}\n";
static const char NARROWER[] = "egress: 1\n"
                               "allow: [{host: web.test, scheme: http, ports: [@PLAIN@]}]\n"
                               "networks: {allow: [127.0.0.0/8]}\n"
                               "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"
                               "audit: {file: \"@DIR@/audit.jsonl\"}\n";

static int refusal(const struct eg_world *w, unsigned port, const char *reason)
{
    struct eg_client c;
    char head[8192];
    int status = eg_daemon_tunnel(&c, w, w->token, port, head, sizeof head);
    cr_assert(status == 200 || eg_head_has(head, "X-Egress-Reason", reason), "%s", head);
    eg_client_close(&c);
    return status;
}

Test(lifecycle, sighup_puts_a_new_policy_in_force, .timeout = 60)
{
    static const char *const args[] = { "--workers", "2", NULL };
    struct eg_world w;
    struct eg_client c;
    setup_with(&w, args);
    cr_assert(refusal(&w, 1, "port_not_allowed") == 403);
    cr_assert(eg_daemon_tunnel(&c, &w, w.token, w.plain_port, NULL, 0) == 200);
    eg_world_policy(&w, WIDER);
    kill(w.egressd.pid, SIGHUP);
    cr_assert(eg_world_await_event(&w, 1, "\"reason\":\"reloaded\"", "generation 2"));
    for (int i = 0; i < 8; i++) /* in both workers */
        cr_assert(refusal(&w, 1, "connect_refused") == 502);
    cr_assert(eg_daemon_echo(&c), "an old tunnel that is still allowed goes on");
    eg_world_policy(&w, NARROWER);
    kill(w.egressd.pid, SIGHUP);
    cr_assert(eg_world_await_event(&w, 1, "\"reason\":\"reloaded\"", "generation 3"));
    cr_assert(eg_client_wait(&c, NULL, 0), "what the new policy denies is cut");
    cr_assert(eg_world_await_event(&w, 1, "\"event\":\"end\"", "\"reason\":\"policy_cut\""));
    cr_assert(refusal(&w, w.plain_port, "host_not_allowed") == 403 && served(&w));
    eg_client_close(&c);
    eg_world_done(&w);
}

Test(lifecycle, sighup_with_a_broken_policy_changes_nothing, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    setup_with(&w, NULL);
    cr_assert(eg_daemon_tunnel(&c, &w, w.token, w.plain_port, NULL, 0) == 200);
    pid_t worker = eg_daemon_worker(&w, 1, 0);
    unsigned before = eg_proc_fds(w.egressd.pid), in_worker = eg_proc_fds(worker);
    for (unsigned i = 1; i <= 5; i++) {
        eg_world_policy(&w, i % 2 ? "egress: 1\nallow: [\"*\"]\n" : "egress: [1\n");
        kill(w.egressd.pid, SIGHUP);
        cr_assert(
            eg_world_await_event(&w, i, "\"reason\":\"reload_failed\"", "\"event\":\"system\""));
    }
    cr_assert(unlink(eg_world_path(&w, "egress.yaml")) == 0);
    kill(w.egressd.pid, SIGHUP);
    cr_assert(eg_world_await_event(&w, 6, "\"reason\":\"reload_failed\"", "\"event\":\"system\""));
    cr_assert(eg_daemon_echo(&c) && served(&w));
    cr_assert(eg_proc_fds(w.egressd.pid) <= before && eg_proc_fds(worker) <= in_worker + 2,
              "no descriptor of a failed reload stays: %u of %u, %u of %u",
              eg_proc_fds(w.egressd.pid), before, eg_proc_fds(worker), in_worker);
    eg_client_close(&c);
    eg_world_done(&w);
}

Test(lifecycle, twenty_five_sighups_under_load_drop_no_request, .timeout = 120)
{
    enum { CLIENTS = 8, ROUNDS = 25 };
    static const char *const args[] = { "--workers", "2", NULL };
    struct eg_world w;
    struct eg_client tunnel, kept[CLIENTS], fresh[CLIENTS];
    char head[8192];
    setup_with(&w, args);
    cr_assert(eg_daemon_tunnel(&tunnel, &w, w.token, w.plain_port, NULL, 0) == 200);
    unsigned before = eg_proc_fds(w.egressd.pid);
    for (int i = 0; i < CLIENTS; i++)
        eg_client_open(&kept[i], w.proxy_port);
    for (int round = 0; round < ROUNDS; round++) {
        eg_world_policy(&w, round % 2 ? POLICY : WIDER);
        for (int i = 0; i < CLIENTS; i++) {
            struct eg_client *both[] = { &kept[i], &fresh[i] };
            eg_client_open(&fresh[i], w.proxy_port);
            for (int k = 0; k < 2; k++)
                eg_client_text(both[k],
                               "GET http://web.test:%u/headers HTTP/1.1\r\nHost: web.test:%u\r\n"
                               "Proxy-Authorization: Bearer %s\r\n\r\n",
                               w.plain_port, w.plain_port, w.token);
            if (i == CLIENTS / 2)
                kill(w.egressd.pid, SIGHUP); /* with requests before and behind it */
        }
        for (int i = 0; i < CLIENTS; i++) {
            int a = eg_client_response(&kept[i], head, sizeof head, NULL, NULL);
            cr_assert(a == 200, "round %d, kept: %d %s", round, a, head);
            int b = eg_client_response(&fresh[i], head, sizeof head, NULL, NULL);
            cr_assert(b == 200, "round %d, fresh: %d %s", round, b, head);
            eg_client_close(&fresh[i]);
        }
        cr_assert(eg_daemon_echo(&tunnel), "round %d", round);
    }
    for (int i = 0; i < ROUNDS; i++)
        kill(w.egressd.pid, SIGHUP); /* these become one or few */
    for (int i = 0; i < CLIENTS; i++) {
        cr_assert(get(&kept[i], &w) == 200);
        eg_client_close(&kept[i]);
    }
    char *status = eg_daemon_status(&w);
    long generation = eg_json_number(status, NULL, "generation");
    free(status);
    cr_assert(generation >= 2 && generation <= 1 + 2 * ROUNDS, "%ld", generation);
    cr_assert(eg_daemon_echo(&tunnel));
    eg_client_close(&tunnel);
    cr_assert(eg_daemon_await_sum(&w, "open_flows", 0) == 0);
    unsigned after = eg_proc_fds(w.egressd.pid);
    cr_assert(after <= before + 4, "descriptors: %u before, %u after", before, after);
    eg_world_done(&w);
}

/* ---- stopped and starved ---- */

Test(lifecycle, a_stop_and_a_continue_lose_nothing, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, tunnel;
    setup_with(&w, NULL);
    pid_t worker = eg_daemon_worker(&w, 1, 0);
    cr_assert(eg_daemon_tunnel(&tunnel, &w, w.token, w.plain_port, NULL, 0) == 200);
    eg_client_open(&c, w.proxy_port);
    cr_assert(get(&c, &w) == 200);
    cr_assert(kill(w.egressd.pid, SIGSTOP) == 0 && kill(worker, SIGSTOP) == 0);
    eg_client_text(&tunnel, "GET /headers HTTP/1.1\r\nHost: origin\r\n\r\n");
    eg_client_text(&c,
                   "GET http://web.test:%u/headers HTTP/1.1\r\nHost: web.test:%u\r\n"
                   "Proxy-Authorization: Bearer %s\r\n\r\n",
                   w.plain_port, w.plain_port, w.token);
    kill(w.egressd.pid, SIGHUP); /* waits until it goes on */
    struct pollfd quiet = { .fd = c.fd, .events = POLLIN };
    cr_assert(poll(&quiet, 1, 0) == 0);
    cr_assert(kill(worker, SIGCONT) == 0 && kill(w.egressd.pid, SIGCONT) == 0);
    char head[8192];
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 200, "%s", head);
    cr_assert(eg_client_response(&tunnel, head, sizeof head, NULL, NULL) == 200, "%s", head);
    cr_assert(eg_world_await_event(&w, 1, "\"reason\":\"reloaded\"", "generation 2"));
    cr_assert(eg_daemon_worker(&w, 1, 0) == worker, "the same worker");
    eg_client_close(&c);
    eg_client_close(&tunnel);
    eg_world_done(&w);
}

/* A descriptor limit of 64: more clients than that, then none. */
Test(lifecycle, a_limit_of_64_descriptors_makes_nothing_spin, .timeout = 120)
{
    enum { CLIENTS = 100 };
    struct eg_world w;
    struct eg_client held[CLIENTS], c;
    eg_world_new(&w);
    eg_world_plain(&w);
    eg_world_dns(&w, NAMES);
    eg_daemon_start(&w, POLICY, "ulimit -n 64", NULL, NULL);
    pid_t worker = eg_daemon_worker(&w, 1, 0);
    unsigned before = eg_proc_fds(worker);
    cr_assert(served(&w));
    for (int i = 0; i < CLIENTS; i++)
        eg_client_open(&held[i], w.proxy_port);
    eg_client_open(&c, w.proxy_port); /* behind all these: it is not accepted */
    eg_client_text(&c, "GET / HTTP/1.1\r\n");
    cr_assert(eg_world_await_event(&w, 1, "\"event\":\"system\"", "started"));
    long cpu = eg_proc_cpu_ms(worker), own = eg_proc_cpu_ms(w.egressd.pid);
    struct pollfd quiet = { .fd = c.fd, .events = POLLIN };
    cr_assert(poll(&quiet, 1, 1500) == 0, "nobody answers it while no descriptor is left");
    cpu = eg_proc_cpu_ms(worker) - cpu;
    own = eg_proc_cpu_ms(w.egressd.pid) - own;
    fprintf(stderr, "starved for 1500 ms: %ld ms of CPU in the worker, %ld in the supervisor\n",
            cpu, own);
    cr_assert(cpu <= 150 && own <= 150, "%ld ms and %ld ms in 1500", cpu, own);
    eg_client_close(&c);
    for (int i = 0; i < CLIENTS; i++)
        eg_client_close(&held[i]);
    uint64_t from = eg_clock_ms();
    cr_assert(served(&w));
    cr_assert(eg_clock_ms() - from < EG_PROC_DEADLINE_MS, "it recovers");
    cr_assert(eg_daemon_await_sum(&w, "open_flows", 0) == 0);
    cr_assert(eg_proc_fds(worker) <= before + 10);
    char *log = eg_world_read(&w, "egressd.err", NULL);
    cr_assert(strstr(log, "no descriptor is left") != NULL, "%s", log);
    free(log);
    eg_world_done(&w);
}

/* ---- what a worker is left with ---- */

static void assert_locked_up(pid_t pid)
{
    static const char *const none[] = { "CapInh", "CapPrm", "CapEff", "CapAmb" };
    char *status = eg_proc_text(pid, "status"), *limits = eg_proc_text(pid, "limits");
    char line[64];
    cr_assert(status != NULL && limits != NULL);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        snprintf(line, sizeof line, "\n%s:\t0000000000000000\n", none[i]);
        cr_assert(strstr(status, line) != NULL, "%s in %s", none[i], status);
    }
    cr_assert(strstr(status, "\nNoNewPrivs:\t1\n") && strstr(status, "\nSeccomp:\t2\n"), "%s",
              status);
    cr_assert(geteuid() != 0 || strstr(status, "\nUid:\t65534\t65534\t65534\t65534\n"), "%s",
              status);
    cr_assert(strstr(limits, "Max core file size        0                    0 ") != NULL, "%s",
              limits);
    free(status);
    free(limits);
}

/* As a process of the same user, without root's rights: may it be read? */
static bool readable_by_its_user(pid_t pid, const char *name)
{
    uid_t user = geteuid() == 0 ? (uid_t)eg_proc_status(pid, "Uid") : geteuid();
    pid_t reader = fork();
    if (reader == 0) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
        if (user != 0 && geteuid() == 0 && setresuid(user, user, user) != 0)
            _exit(3);
        int fd = open(path, O_RDONLY);
        char byte;
        _exit(fd >= 0 && read(fd, &byte, 1) >= 0 ? 1 : 0);
    }
    int status = 0;
    cr_assert(reader > 0 && waitpid(reader, &status, 0) == reader && WIFEXITED(status) &&
              WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status) == 1;
}

Test(lifecycle, a_worker_has_no_rights_and_is_not_dumpable, .timeout = 60)
{
    static const char *const args[] = { "--workers", "2", NULL };
    static const char *const private[] = { "environ", "mem", "maps", "auxv" };
    struct eg_world w;
    struct stat st;
    char path[64];
    setup_with(&w, args);
    for (unsigned n = 1; n <= 2; n++) {
        pid_t pid = eg_daemon_worker(&w, n, 0);
        assert_locked_up(pid);
        snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
        cr_assert(stat(path, &st) == 0 && st.st_uid == 0,
                  "files of an undumpable process are root's");
        for (size_t i = 0; i < sizeof private / sizeof *private; i++)
            cr_assert(!readable_by_its_user(pid, private[i]), "%s", private[i]);
    }
    char *limits = eg_proc_text(w.egressd.pid, "limits");
    cr_assert(strstr(limits, "Max core file size        0                    0 ") != NULL);
    free(limits);
    snprintf(path, sizeof path, "/proc/%d/environ", (int)w.egressd.pid);
    cr_assert(stat(path, &st) == 0 && st.st_uid == 0);
    if (geteuid() != 0)
        cr_assert(!readable_by_its_user(w.egressd.pid, "environ"));
    eg_world_done(&w);
}

static unsigned long control_inode(const struct eg_world *w)
{
    unsigned long inode = 0;
    char line[1024];
    FILE *f = fopen("/proc/net/unix", "r");
    cr_assert(f != NULL);
    while (fgets(line, sizeof line, f))
        if (strstr(line, w->control))
            sscanf(line, "%*s %*s %*s %*s %*s %*s %lu", &inode);
    fclose(f);
    return inode;
}

/* What a descriptor of a worker may be. */
static bool may_keep(const struct eg_world *w, const char *target, const char *control)
{
    static const char *const prefixes[] = { "socket:[",  "anon_inode:[eventpoll]", "pipe:[",
                                            "/dev/null", "/dev/urandom",           "/memfd:" };
    if (strcmp(target, control) == 0)
        return false;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(target, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return strcmp(target, eg_world_path(w, "egressd.err")) == 0 ||
           strcmp(target, eg_world_path(w, "audit.jsonl")) == 0 || strstr(target, "/san.") != NULL;
}

Test(lifecycle, a_worker_holds_no_descriptor_that_is_not_its_own, .timeout = 60)
{
    struct eg_world w;
    char path[64], at[400], target[512], control[64];
    if (geteuid() != 0)
        cr_skip_test("only root sees the descriptors of an undumpable process");
    setup_with(&w, NULL);
    cr_assert(served(&w));
    pid_t pid = eg_daemon_worker(&w, 1, 0);
    kill(pid, SIGKILL); /* a second one: the supervisor holds more by now */
    pid = eg_daemon_worker(&w, 1, pid);
    snprintf(control, sizeof control, "socket:[%lu]", control_inode(&w));
    cr_assert(strcmp(control, "socket:[0]") != 0);
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *d = opendir(path);
    const struct dirent *e;
    unsigned n = 0;
    cr_assert(d != NULL);
    while ((e = readdir(d))) {
        snprintf(at, sizeof at, "%s/%s", path, e->d_name);
        ssize_t length = readlink(at, target, sizeof target - 1);
        if (length < 0)
            continue;
        target[length] = 0;
        n++;
        cr_expect(may_keep(&w, target, control), "%s is %s", e->d_name, target);
    }
    closedir(d);
    cr_assert(n >= 5 && n < 24, "%u descriptors", n);
    eg_world_done(&w);
}
