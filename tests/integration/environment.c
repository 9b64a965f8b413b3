/* environment.c - proxies that the environment or the command line names, sockets that systemd
 * passes, and Unix sockets: what a whole egressd makes of them, and that no login is to be seen. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/daemon.h"
#include "support/peer.h"

/* alice:t0p:s/cret */
#define LOGIN  "alice:t0p%%3As%%2Fcret"
#define BASE64 "YWxpY2U6dDBwOnMvY3JldA=="

static const char POLICY[] = "egress: 1\n"
                             "allow:\n"
                             "  - {host: far.test, scheme: tcp, ports: [@PLAIN@]}\n"
                             "  - {host: near.test, scheme: tcp, ports: [@PLAIN@]}\n"
                             "  - {host: web.test, scheme: http, ports: [@PLAIN@]}\n"
                             "networks: {allow: [127.0.0.1/32]}\n"
                             "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n";

static const char *const NAMES[] = { "near.test=127.0.0.1", "far.test=127.0.0.1",
                                     "web.test=127.0.0.1", NULL };

static int new_world(struct eg_world *w, uint16_t *port)
{
    eg_world_new(w);
    eg_world_plain(w);
    eg_world_dns(w, NAMES);
    return eg_peer_listen(port);
}

static void ask(const struct eg_world *w, struct eg_client *c, const char *host)
{
    eg_client_open(c, w->proxy_port);
    eg_client_text(c, "CONNECT %s:%u HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n", host,
                   w->plain_port, w->token);
}

static int answer(struct eg_client *c)
{
    char head[8192];
    return eg_client_response(c, head, sizeof head, NULL, NULL);
}

/* The request of egressd to the proxy; it is let through. */
static void serve(int peer, struct eg_client *proxy, const char *wanted)
{
    eg_peer_request(peer, proxy);
    cr_assert(strstr(proxy->buf, wanted), "%s", proxy->buf);
    eg_client_text(proxy, "HTTP/1.1 200 fine\r\n\r\n");
}

static void goes_direct(const struct eg_world *w, int peer, const char *host)
{
    struct eg_client c;
    ask(w, &c, host);
    cr_assert_eq(answer(&c), 200);
    cr_assert(eg_daemon_echo(&c));
    cr_assert(eg_peer_unused(peer), "the proxy was asked for %s", host);
    eg_client_close(&c);
}

static void goes_through(const struct eg_world *w, int peer, const char *host, const char *login)
{
    struct eg_client c, proxy;
    char line[128];
    snprintf(line, sizeof line, "CONNECT %s:%u HTTP/1.1\r\n", host, w->plain_port);
    ask(w, &c, host);
    serve(peer, &proxy, line);
    cr_assert_eq(strstr(proxy.buf, "Proxy-Authorization: Basic " BASE64) != NULL, login != NULL,
                 "%s", proxy.buf);
    cr_assert_eq(answer(&c), 200);
    eg_client_close(&c);
    eg_client_close(&proxy);
}

static void has_no_login(const char *text, const char *where)
{
    static const char *const forms[] = { "alice",    "t0p",     "s/cret",
                                         "s%2Fcret", "YWxpY2U", "dDBwOnMvY3JldA" };
    cr_assert_not_null(text, "%s", where);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        cr_assert_null(strstr(text, forms[i]), "%s in %s: %s", forms[i], where, text);
}

/* All that others, or the child, could look at. */
static void login_is_nowhere(const struct eg_world *w)
{
    const pid_t pids[] = { w->egressd.pid, eg_world_worker(w) };
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) {
            char *text = eg_proc_text(pids[i], k ? "environ" : "cmdline");
            if (text)
                has_no_login(text, k ? "environ" : "cmdline");
            free(text);
        }
    char *status = eg_daemon_status(w), *events = eg_world_events(w), *table = NULL;
    char *said = eg_world_read(w, "egressd.err", NULL);
    cr_assert_eq(eg_ctl_run(w, &table, "status", NULL), 0);
    has_no_login(status, "status --json");
    has_no_login(table, "status");
    has_no_login(events, "events");
    has_no_login(said, "stderr");
    has_no_login(w->egressd.ready, "the ready line");
    free(status);
    free(table);
    free(events);
    free(said);
}

/* ---- the environment ---- */

Test(environment, https_proxy_with_a_login_and_no_proxy)
{
    struct eg_world w;
    uint16_t port;
    char variable[128], wanted[128];
    int peer = new_world(&w, &port);
    const char *environment[] = { variable, "NO_PROXY=other.example, near.test", NULL };
    snprintf(variable, sizeof variable, "HTTPS_PROXY=http://" LOGIN "@127.0.0.1:%u/", port);
    eg_world_egressd(&w, POLICY, NULL, environment);
    goes_through(&w, peer, "far.test", BASE64);
    goes_direct(&w, peer, "near.test");
    char *status = eg_daemon_status(&w);
    snprintf(wanted, sizeof wanted, "\"proxy\":\"http://127.0.0.1:%u\",\"why\":\"HTTPS_PROXY\"",
             port);
    cr_assert(strstr(status, wanted) && strstr(status, "\"chosen_by\":\"environment\"") &&
                  strstr(status, "\"bypass\":[\"other.example\",\"near.test\"]"),
              "%s", status);
    free(status);
    login_is_nowhere(&w);
    close(peer);
    eg_world_done(&w);
}

Test(environment, http_proxy_is_for_plain_requests_and_never_of_a_cgi_client)
{
    static const char *const more[] = { NULL, "REQUEST_METHOD=GET" };
    for (int i = 0; i < 2; i++) {
        struct eg_world w;
        struct eg_client c, proxy;
        uint16_t port;
        char variable[64];
        int peer = new_world(&w, &port);
        const char *environment[] = { variable, more[i], NULL };
        snprintf(variable, sizeof variable, "HTTP_PROXY=127.0.0.1:%u", port);
        eg_world_egressd(&w, POLICY, NULL, environment);
        goes_direct(&w, peer, "far.test");
        eg_client_open(&c, w.proxy_port);
        eg_client_text(&c,
                       "GET http://web.test:%u/headers HTTP/1.1\r\nHost: web.test\r\n"
                       "Proxy-Authorization: Bearer %s\r\nConnection: close\r\n\r\n",
                       w.plain_port, w.token);
        if (i == 0) {
            eg_peer_request(peer, &proxy);
            cr_assert(strncmp(proxy.buf, "GET http://web.test:", 20) == 0, "%s", proxy.buf);
            eg_client_text(&proxy, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
        cr_assert_eq(answer(&c), 200);
        cr_assert(eg_peer_unused(peer));
        eg_client_close(&c);
        if (i == 0)
            eg_client_close(&proxy);
        close(peer);
        eg_world_done(&w);
    }
}

Test(environment, policy_with_an_upstream_of_its_own_never_looks_at_it)
{
    static const char *const environment[] = { "HTTPS_PROXY=nonsense://alice:t0p@", "NO_PROXY=*",
                                               NULL };
    struct eg_world w;
    uint16_t port;
    char policy[1024];
    int peer = new_world(&w, &port);
    snprintf(policy, sizeof policy, "%supstream: [{proxy: \"http://127.0.0.1:%u\"}]\n", POLICY,
             port);
    eg_world_egressd(&w, policy, NULL, environment);
    goes_through(&w, peer, "near.test", NULL);
    snprintf(policy, sizeof policy, "%supstream: none\n", POLICY);
    eg_world_policy(&w, policy); /* a reload that changes the way out: for new connections */
    kill(w.egressd.pid, SIGHUP);
    cr_assert(eg_world_await_event(&w, 1, "reloaded", "generation"));
    goes_direct(&w, peer, "near.test");
    eg_world_policy(&w, POLICY); /* leaves it to the environment, which is bad: refused */
    kill(w.egressd.pid, SIGHUP);
    cr_assert(eg_world_await_event(&w, 1, "reload_failed", "HTTPS_PROXY"));
    goes_direct(&w, peer, "near.test");
    login_is_nowhere(&w);
    close(peer);
    eg_world_done(&w);
}

Test(environment, option_beats_policy_and_environment)
{
    struct eg_world w;
    uint16_t port;
    char policy[1024], url[128];
    int peer = new_world(&w, &port);
    const char *args[] = { "--upstream-proxy", url, NULL };
    static const char *const environment[] = { "HTTPS_PROXY=nonsense://", "NO_PROXY=*", NULL };
    snprintf(url, sizeof url, "http://" LOGIN "@127.0.0.1:%u", port);
    snprintf(policy, sizeof policy, "%supstream: none\n", POLICY);
    eg_world_egressd(&w, policy, args, environment);
    goes_through(&w, peer, "near.test", BASE64);
    char *status = eg_daemon_status(&w);
    cr_assert(strstr(status, "\"chosen_by\":\"option\"") &&
                  strstr(status, "\"why\":\"--upstream-proxy\"") && strstr(status, "\"bypass\":[]"),
              "%s", status);
    free(status);
    login_is_nowhere(&w);
    close(peer);
    eg_world_done(&w);
}

/* A port that is taken would be an error of its own: that is not reached. */
Test(environment, bad_value_fails_before_anything_listens)
{
    static const struct {
        const char *variable, *option;
        int code;
        const char *said;
    } rows[] = { { "HTTPS_PROXY=ftp://alice:t0p@x", NULL, 3, "HTTPS_PROXY: " },
                 { "http_proxy=http://alice:t0p@x/y", NULL, 3, "http_proxy: " },
                 { "ALL_PROXY=socks5://alice:t0p@", NULL, 3, "ALL_PROXY: " },
                 { "PATH=/bin", "http://alice:t0p@x:0", 2, "--upstream-proxy: " },
                 { "PATH=/bin", "http://alice:t0p@x?q", 2, "--upstream-proxy: " } };
    struct eg_world w;
    uint16_t port;
    char listen[64];
    int peer = new_world(&w, &port);
    eg_world_policy(&w, POLICY);
    snprintf(listen, sizeof listen, "127.0.0.1:%u", port);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *environment[] = { rows[i].variable, NULL };
        const char *argv[] = { EG_BUILD_DIR "/egressd",
                               "--policy",
                               eg_world_path(&w, "egress.yaml"),
                               "--control",
                               w.control,
                               "--listen",
                               listen,
                               rows[i].option ? "--upstream-proxy" : NULL,
                               rows[i].option,
                               NULL };
        char *out = NULL;
        int code = eg_proc_run(&w, argv, environment, &out);
        cr_assert_eq(code, rows[i].code, "%zu: %d %s", i, code, out);
        cr_assert(strstr(out, rows[i].said), "%zu: %s", i, out);
        has_no_login(out, "stderr");
        cr_assert(access(w.control, F_OK) != 0, "a socket was made");
        free(out);
    }
    close(peer);
    eg_world_done(&w);
}

/* ---- sockets that are passed ---- */

static int unix_listen(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 16) == 0);
    return fd;
}

static void unix_open(struct eg_client *c, const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    memset(c, 0, sizeof *c);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    cr_assert(c->fd >= 0 && connect(c->fd, (struct sockaddr *)&at, sizeof at) == 0, "%s", path);
}

static void tunnel_by_unix(const struct eg_world *w, const char *path)
{
    struct eg_client c;
    unix_open(&c, path);
    eg_client_text(&c, "CONNECT near.test:%u HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                   w->plain_port, w->token);
    cr_assert_eq(answer(&c), 200);
    cr_assert(eg_daemon_echo(&c));
    eg_client_close(&c);
}

static void read_token(struct eg_world *w)
{
    char *token = eg_world_read(w, "token", NULL);
    memcpy(w->token, token, 64);
    free(token);
}

Test(environment, passed_sockets_take_the_place_of_the_policys_listeners)
{
    struct eg_world w;
    uint16_t port, other;
    char policy[2048];
    int fds[2], peer = new_world(&w, &port);
    char path[512]; /* eg_world_path gives its buffers again */
    snprintf(path, sizeof path, "%s", eg_world_path(&w, "passed.sock"));
    const char *argv[] = { EG_BUILD_DIR "/egressd",
                           "--policy",
                           eg_world_path(&w, "egress.yaml"),
                           "--control",
                           w.control,
                           "--token-file",
                           eg_world_path(&w, "token"),
                           NULL };
    fds[0] = eg_peer_listen(&other);
    fds[1] = unix_listen(path);
    snprintf(policy, sizeof policy,
             "%slisten:\n  - {address: \"127.0.0.1:0\"}\n"
             "  - {address: \"unix:@DIR@/own/in.sock\", protocols: [http]}\n",
             POLICY);
    eg_world_policy(&w, policy);
    eg_proc_start_passed(&w.egressd, &w, "egressd", argv, NULL, fds, 2);
    read_token(&w);
    cr_assert_eq(eg_proc_number(&w.egressd, "port"), other);
    cr_assert(strstr(w.egressd.ready, path) && !strstr(w.egressd.ready, "in.sock"), "%s",
              w.egressd.ready);
    char *said = eg_proc_text(w.egressd.pid, "environ");
    cr_assert(!said || !strstr(said, "LISTEN_"), "%s", said);
    free(said);
    w.proxy_port = other;
    goes_direct(&w, peer, "near.test");
    tunnel_by_unix(&w, path);
    cr_assert_eq(eg_proc_end(&w.egressd, SIGTERM), 0);
    cr_assert_eq(access(path, F_OK), 0, "it is not ours to remove");
    close(fds[0]);
    close(fds[1]);
    close(peer);
    eg_world_done(&w);
}

/* `auth: none` was said of a file that keeps others out: a port keeps nobody out. */
Test(environment, passed_port_in_the_place_of_a_unix_socket_asks_for_the_token)
{
    struct eg_world w;
    struct eg_client c;
    uint16_t port, other;
    char policy[2048];
    int fd, peer = new_world(&w, &port);
    const char *argv[] = { EG_BUILD_DIR "/egressd",
                           "--policy",
                           eg_world_path(&w, "egress.yaml"),
                           "--control",
                           w.control,
                           "--token-file",
                           eg_world_path(&w, "token"),
                           NULL };
    fd = eg_peer_listen(&other);
    snprintf(policy, sizeof policy,
             "%slisten:\n  - {address: \"unix:@DIR@/own/in.sock\", auth: none}\n", POLICY);
    eg_world_policy(&w, policy);
    eg_proc_start_passed(&w.egressd, &w, "egressd", argv, NULL, &fd, 1);
    read_token(&w);
    w.proxy_port = other;
    eg_client_open(&c, other);
    eg_client_text(&c, "CONNECT near.test:%u HTTP/1.1\r\n\r\n", w.plain_port);
    cr_assert_eq(answer(&c), 407);
    eg_client_close(&c);
    goes_direct(&w, peer, "near.test");
    cr_assert_eq(eg_proc_end(&w.egressd, SIGTERM), 0);
    close(fd);
    close(peer);
    eg_world_done(&w);
}

Test(environment, passed_sockets_that_do_not_fit_are_a_clear_error)
{
    struct eg_world w;
    uint16_t port, ports[2];
    int peer = new_world(&w, &port), plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int listening[2] = { eg_peer_listen(&ports[0]), eg_peer_listen(&ports[1]) };
    const struct {
        int fds[2];
        unsigned count;
        int code;
        const char *said;
    } rows[] = { { { listening[0], listening[1] }, 2, 3, "2 sockets were passed" },
                 { { plain }, 1, 3, "not a listening stream socket" } };
    const char *argv[] = { EG_BUILD_DIR "/egressd",
                           "--policy",
                           eg_world_path(&w, "egress.yaml"),
                           "--control",
                           w.control,
                           NULL };
    eg_world_policy(&w, POLICY);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *out = NULL;
        int code = eg_proc_run_passed(&w, argv, NULL, rows[i].fds, rows[i].count, &out);
        cr_assert_eq(code, rows[i].code, "%zu: %d %s", i, code, out);
        cr_assert(strstr(out, rows[i].said), "%zu: %s", i, out);
        free(out);
    }
    close(listening[0]);
    close(listening[1]);
    close(plain);
    close(peer);
    eg_world_done(&w);
}

/* ---- Unix sockets ---- */

Test(environment, unix_socket_is_0600_and_what_a_killed_run_left_is_taken_over)
{
    struct eg_world w;
    struct stat st;
    uint16_t port;
    char policy[2048];
    int peer = new_world(&w, &port), status = 0;
    char path[512]; /* eg_world_path gives its buffers again */
    snprintf(path, sizeof path, "%s", eg_world_path(&w, "own/in.sock"));
    snprintf(policy, sizeof policy,
             "%slisten:\n  - {address: \"unix:@DIR@/own/in.sock\"}\n"
             "  - {address: \"127.0.0.1:0\"}\n",
             POLICY);
    for (int i = 0; i < 2; i++) {
        eg_world_egressd(&w, policy, NULL, NULL);
        cr_assert_eq(lstat(path, &st), 0);
        cr_assert(S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0600);
        tunnel_by_unix(&w, path);
        status = eg_proc_end(&w.egressd, i == 0 ? SIGKILL : SIGTERM);
        cr_assert_eq(access(path, F_OK), i == 0 ? 0 : -1);
    }
    cr_assert_eq(status, 0);
    close(peer);
    eg_world_done(&w);
}

Test(environment, unix_socket_somebody_answers_at_and_other_files_are_left_alone)
{
    struct eg_world w;
    uint16_t port;
    char policy[2048], *out = NULL;
    int peer = new_world(&w, &port);
    const char *const args[] = { "--policy", eg_world_path(&w, "egress.yaml"), "--control",
                                 w.control, NULL };
    snprintf(policy, sizeof policy, "%slisten: [{address: \"unix:@DIR@/in.sock\"}]\n", POLICY);
    eg_world_policy(&w, policy);
    int live = unix_listen(eg_world_path(&w, "in.sock"));
    cr_assert_eq(eg_daemon_fail(&w, args, &out), 1, "%s", out);
    cr_assert(strstr(out, "another egressd answers"), "%s", out);
    free(out);
    cr_assert_eq(access(eg_world_path(&w, "in.sock"), F_OK), 0);
    close(live);
    unlink(eg_world_path(&w, "in.sock"));
    eg_world_write(&w, "in.sock", "somebody's");
    cr_assert_eq(eg_daemon_fail(&w, args, &out), 1, "%s", out);
    cr_assert(strstr(out, "not a socket of ours"), "%s", out);
    free(out);
    cr_assert_eq(access(eg_world_path(&w, "in.sock"), F_OK), 0);
    close(peer);
    eg_world_done(&w);
}
