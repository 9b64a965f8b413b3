/* cmd_supervisor.c - the supervisor with real workers, in a process of its own; the test speaks
 * to it as egressctl does. What is waited for is an answer or an event, never a time. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "cmd/files.h"
#include "cmd/supervisor.h"
#include "ctl/client.h"

enum { PATIENCE_MS = 20000 };

static char folder[64], policy[96], control[96], token_file[96], events[96], errors[96];
static pid_t daemon_;
static int origin = -1;
static uint16_t origin_port;
static struct eg_ctl_client *client;
static bool own_hosts;
/* the test's origin never closes: a drain always takes its whole time */
static const char *drain = "200ms";

static void put(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    fchmod(fd, mode);
    close(fd);
}

/* A policy that allows a tunnel to the test's own listener; more: further lines. */
static void put_policy(const char *more)
{
    char text[2048];
    snprintf(text, sizeof text,
             "egress: 1\nlimits: {drain_timeout: %s}\nnetworks: {allow: [127.0.0.0/8]}\nallow:\n"
             "  - {address: 127.0.0.1, scheme: tcp, ports: [%u]}\n%s",
             drain, origin_port, more);
    put(policy, text, 0600);
}

static void setup(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof at;
    cr_assert(sodium_init() >= 0);
    snprintf(folder, sizeof folder, "/tmp/egress-sup-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(policy, sizeof policy, "%s/p.yaml", folder);
    snprintf(control, sizeof control, "%s/c.sock", folder);
    snprintf(token_file, sizeof token_file, "%s/token", folder);
    snprintf(events, sizeof events, "%s/events.jsonl", folder);
    snprintf(errors, sizeof errors, "%s/errors", folder);
    origin = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(origin, (struct sockaddr *)&at, n), 0);
    cr_assert_eq(listen(origin, 8), 0);
    getsockname(origin, (struct sockaddr *)&at, &n);
    origin_port = ntohs(at.sin_port);
}

static void teardown(void)
{
    eg_ctl_client_free(client);
    if (daemon_ > 0) {
        kill(daemon_, SIGKILL);
        waitpid(daemon_, NULL, 0);
    }
    DIR *d = opendir(folder);
    const struct dirent *e;
    while (d && (e = readdir(d))) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        unlink(path);
    }
    closedir(d);
    rmdir(folder);
}

TestSuite(cmd_supervisor, .init = setup, .fini = teardown);

/* Puts folder/hosts in the place of /etc/hosts, for this process and its children. */
static void mount_hosts(void)
{
    char path[96];
    snprintf(path, sizeof path, "%s/hosts", folder);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount(path, "/etc/hosts", NULL, MS_BIND, NULL) < 0)
        _exit(77);
}

static _Noreturn void serve(unsigned workers, int ready)
{
    if (own_hosts)
        mount_hosts();
    struct eg_environ *environment = NULL;
    struct eg_supervisor *s = NULL;
    struct eg_err err = { 0 };
    int fd = open(errors, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(fd, 2);
    signal(SIGSEGV, SIG_DFL); /* a worker that dies of it is the test's, not the sanitizer's */
    struct eg_policy_source source = { policy, EG_LAYER_COMMAND, true };
    struct eg_supervisor_options o = { .policies = &source,
                                       .policy_count = 1,
                                       .workers = workers,
                                       .control_path = control,
                                       .token_file = token_file,
                                       .splice = true,
                                       .default_session = true,
                                       .events_file = events };
    enum eg_status status = eg_environ_take(&environment);
    eg_environ_wipe_own();
    o.environment = environment;
    if (status == EG_OK)
        status = eg_supervisor_new(&o, &s, &err);
    if (status == EG_OK)
        status = eg_supervisor_start(s, &err);
    (void)!write(ready, &status, sizeof status);
    close(ready);
    if (status == EG_OK)
        status = eg_supervisor_run(s, &err);
    eg_supervisor_free(s);
    eg_environ_free(environment);
    _exit(status == EG_OK ? 0 : 1);
}

static enum eg_status start(unsigned workers)
{
    int fds[2];
    enum eg_status status = EG_INTERNAL;
    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    fflush(NULL);
    daemon_ = fork();
    if (daemon_ == 0)
        serve(workers, fds[1]);
    close(fds[1]);
    cr_assert_eq(read(fds[0], &status, sizeof status), (ssize_t)sizeof status);
    close(fds[0]);
    if (status == EG_OK)
        cr_assert_eq(eg_ctl_client_open(control, &client, NULL), EG_OK);
    return status;
}

/* Ends it; the exit status. */
static int end(int number)
{
    int status;
    eg_ctl_client_free(client);
    client = NULL;
    kill(daemon_, number);
    waitpid(daemon_, &status, 0);
    daemon_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static json_t *ask(json_t *request)
{
    json_t *reply = NULL;
    cr_assert_eq(eg_ctl_client_send(client, request, NULL), EG_OK);
    cr_assert_eq(eg_ctl_client_receive(client, PATIENCE_MS, &reply, NULL), EG_OK);
    json_decref(request);
    return reply;
}

/* Follows the audit until an event with that reason and, if given, kind; false when it does not
 * come. *after: from there on, moved behind it. */
static bool await(const char *reason, const char *kind, uint64_t *after)
{
    struct eg_ctl_client *c = NULL;
    bool found = false;
    json_t *request =
               json_pack("{s:s,s:b,s:I}", "op", "audit", "follow", 1, "after", (json_int_t)*after),
           *reply = NULL;
    cr_assert_eq(eg_ctl_client_open(control, &c, NULL), EG_OK);
    cr_assert_eq(eg_ctl_client_send(c, request, NULL), EG_OK);
    json_decref(request);
    while (!found && eg_ctl_client_receive(c, PATIENCE_MS, &reply, NULL) == EG_OK) {
        const json_t *e = json_object_get(reply, "event");
        const char *r = eg_ctl_text(e, "reason"), *k = eg_ctl_text(e, "event");
        found = r && strcmp(r, reason) == 0 && (!kind || (k && strcmp(k, kind) == 0));
        if (e)
            *after = (uint64_t)json_integer_value(json_object_get(e, "seq"));
        json_decref(reply);
    }
    eg_ctl_client_free(c);
    return found;
}

/* Member of worker number i (from 0) in the status. */
static long long worker_number(unsigned i, const char *key)
{
    json_t *reply = ask(json_pack("{s:s}", "op", "status"));
    const json_t *w =
        json_array_get(json_object_get(json_object_get(reply, "status"), "workers"), i);
    long long n = (long long)json_integer_value(json_object_get(w, key));
    json_decref(reply);
    return n;
}

static bool worker_ready(unsigned i)
{
    json_t *reply = ask(json_pack("{s:s}", "op", "status"));
    const json_t *w =
        json_array_get(json_object_get(json_object_get(reply, "status"), "workers"), i);
    bool ready = strcmp(eg_ctl_text(w, "state"), "ready") == 0;
    json_decref(reply);
    return ready;
}

/* A tunnel to the origin with that token; the client's descriptor, or -1; answer holds the
 * status line. */
static int tunnel(const char *token, char answer[256])
{
    char request[512], plain[80], basic[160];
    json_t *reply = ask(json_pack("{s:s}", "op", "status"));
    const json_t *l =
        json_array_get(json_object_get(json_object_get(reply, "status"), "listeners"), 0);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    at.sin_port = htons((uint16_t)json_integer_value(json_object_get(l, "port")));
    json_decref(reply);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    cr_assert_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    snprintf(plain, sizeof plain, "u:%s", token);
    sodium_bin2base64(basic, sizeof basic, (const unsigned char *)plain, strlen(plain),
                      sodium_base64_VARIANT_ORIGINAL);
    int n = snprintf(request, sizeof request,
                     "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nProxy-Authorization: "
                     "Basic %s\r\n\r\n",
                     origin_port, origin_port, basic);
    cr_assert_eq(send(fd, request, (size_t)n, MSG_NOSIGNAL), n);
    ssize_t got = recv(fd, answer, 255, 0);
    answer[got > 0 ? got : 0] = 0;
    return fd;
}

static char *default_token(void)
{
    static char token[80];
    int fd = open(token_file, O_RDONLY);
    ssize_t n = read(fd, token, sizeof token - 1);
    close(fd);
    cr_assert_eq(n, 65);
    token[64] = 0;
    return token;
}

Test(cmd_supervisor, starts_serves_and_leaves_nothing)
{
    char answer[256];
    struct stat st;
    put_policy("");
    cr_assert_eq(start(2), EG_OK);
    cr_assert_eq(stat(token_file, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600);
    int fd = tunnel(default_token(), answer);
    cr_assert(strstr(answer, " 200 "), "%s", answer);
    close(fd);
    fd = tunnel("0000000000000000000000000000000000000000000000000000000000000000", answer);
    cr_assert(strstr(answer, " 407 "), "%s", answer);
    close(fd);
    cr_assert_eq(end(SIGTERM), 0);
    cr_assert_eq(access(control, F_OK), -1);
    cr_assert_eq(access(token_file, F_OK), -1);
    cr_assert_eq(stat(events, &st), 0);
    cr_assert(st.st_size > 0 && (st.st_mode & 07777) == 0600);
}

Test(cmd_supervisor, invalid_policy_starts_nothing)
{
    put_policy("bogus: 1\n");
    cr_assert_eq(start(1), EG_INVALID);
    int status;
    waitpid(daemon_, &status, 0);
    daemon_ = 0;
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    cr_assert_eq(access(control, F_OK), -1);
    cr_assert_eq(access(token_file, F_OK), -1);
}

Test(cmd_supervisor, session_lives_until_it_is_revoked)
{
    char answer[256];
    put_policy("");
    cr_assert_eq(start(1), EG_OK);
    json_t *reply = ask(json_pack("{s:s,s:s}", "op", "session.create", "label", "ci"));
    const json_t *s = json_object_get(reply, "session");
    cr_assert_not_null(s);
    char *token = strdup(eg_ctl_text(s, "token")), *id = strdup(eg_ctl_text(s, "id"));
    json_decref(reply);
    int fd = tunnel(token, answer);
    cr_assert(strstr(answer, " 200 "), "%s", answer);
    reply = ask(json_pack("{s:s,s:s}", "op", "session.revoke", "id", id));
    cr_assert(json_is_true(json_object_get(reply, "ok")));
    json_decref(reply);
    cr_assert_eq(recv(fd, answer, 1, 0) > 0, false, "its tunnel is cut");
    close(fd);
    fd = tunnel(token, answer);
    cr_assert(strstr(answer, " 407 "), "%s", answer);
    close(fd);
    reply = ask(json_pack("{s:s,s:s}", "op", "session.revoke", "id", id));
    cr_assert(json_object_get(reply, "error"), "there is nothing left to revoke");
    json_decref(reply);
    reply = ask(json_pack("{s:s,s:s}", "op", "session.create", "label", "two words"));
    cr_assert(json_object_get(reply, "error"));
    json_decref(reply);
    free(token);
    free(id);
    cr_assert_eq(end(SIGTERM), 0);
}

static void die_and_come_back(int number, const char *how)
{
    char answer[256];
    uint64_t after = 0;
    put_policy("");
    cr_assert_eq(start(1), EG_OK);
    int fd = tunnel(default_token(), answer);
    cr_assert(strstr(answer, " 200 "), "%s", answer);
    long long pid = worker_number(0, "pid");
    kill((pid_t)pid, number);
    cr_assert(await("worker_died", "system", &after), "%s", how);
    cr_assert(await("worker_died", "end", &after), "the open tunnel has its end (%s)", how);
    for (int i = 0; i < 2000 && !worker_ready(0); i++)
        continue; /* each question is answered by the supervisor: it is not in its way */
    cr_assert(worker_number(0, "pid") != pid && worker_number(0, "restarts") == 1);
    close(fd);
    fd = tunnel(default_token(), answer);
    cr_assert(strstr(answer, " 200 "), "the new worker knows session and listener: %s", answer);
    close(fd);
    cr_assert_eq(end(SIGTERM), 0);
}

Test(cmd_supervisor, killed_worker_is_started_anew)
{
    die_and_come_back(SIGKILL, "SIGKILL");
}

Test(cmd_supervisor, crashed_worker_is_started_anew)
{
    die_and_come_back(SIGSEGV, "SIGSEGV");
}

Test(cmd_supervisor, reload_takes_the_new_policy_or_keeps_the_old)
{
    char answer[256];
    uint64_t after = 0;
    put_policy("");
    cr_assert_eq(start(2), EG_OK);
    int fd = tunnel(default_token(), answer);
    cr_assert(strstr(answer, " 200 "), "%s", answer);
    put_policy("bogus: 1\n");
    kill(daemon_, SIGHUP);
    cr_assert(await("reload_failed", "system", &after));
    close(tunnel(default_token(), answer));
    cr_assert(strstr(answer, " 200 "), "a broken policy changes nothing: %s", answer);
    put(policy, "egress: 1\n", 0600);
    kill(daemon_, SIGHUP);
    cr_assert(await("reloaded", "system", &after));
    close(tunnel(default_token(), answer));
    cr_assert(strstr(answer, " 403 "), "%s", answer);
    cr_assert_leq(recv(fd, answer, 1, 0), 0, "what it denies is cut");
    close(fd);
    cr_assert_eq(end(SIGTERM), 0);
}

Test(cmd_supervisor, reload_reads_anew_what_the_policy_extends)
{
    char answer[256], team[128], text[300];
    uint64_t after = 0;
    snprintf(team, sizeof team, "%s/team.yaml", folder);
    snprintf(text, sizeof text,
             "egress: 1\nnetworks: {allow: [127.0.0.0/8]}\nallow:\n"
             "  - {address: 127.0.0.1, scheme: tcp, ports: [%u]}\n",
             origin_port);
    put(team, text, 0600);
    put(policy, "egress: 1\nextends: ./team.yaml\n", 0600);
    cr_assert_eq(start(1), EG_OK);
    close(tunnel(default_token(), answer));
    cr_assert(strstr(answer, " 200 "), "%s", answer);
    put(team, "egress: 1\nextends: [p.yaml]\n", 0600);
    kill(daemon_, SIGHUP);
    cr_assert(await("reload_failed", "system", &after));
    close(tunnel(default_token(), answer));
    cr_assert(strstr(answer, " 200 "), "%s", answer);
    put(team, "egress: 1\n", 0600);
    kill(daemon_, SIGHUP);
    cr_assert(await("reloaded", "system", &after));
    close(tunnel(default_token(), answer));
    cr_assert(strstr(answer, " 403 "), "%s", answer);
    cr_assert_eq(end(SIGTERM), 0);
    unlink(team);
}

Test(cmd_supervisor, many_reloads_at_once_end_with_the_last_policy)
{
    char answer[256];
    uint64_t after = 0;
    put_policy("");
    cr_assert_eq(start(1), EG_OK);
    for (int i = 0; i < 50; i++)
        kill(daemon_, SIGHUP);
    cr_assert(await("reloaded", "system", &after));
    put(policy, "egress: 1\n", 0600);
    kill(daemon_, SIGHUP);
    for (int i = 0; i < 100; i++) {
        cr_assert(await("reloaded", "system", &after));
        close(tunnel(default_token(), answer));
        if (strstr(answer, " 403 "))
            break;
    }
    cr_assert(strstr(answer, " 403 "), "%s", answer);
    cr_assert_eq(end(SIGTERM), 0);
}

Test(cmd_supervisor, changed_hosts_file_is_a_reload_that_reads_no_policy)
{
    char answer[256], path[96];
    uint64_t after = 0;
    if (geteuid() != 0 || access("/etc/hosts", F_OK) < 0)
        cr_skip("only root can mount over /etc/hosts");
    own_hosts = true;
    snprintf(path, sizeof path, "%s/hosts", folder);
    put(path, "127.0.0.1 localhost\n", 0644);
    put_policy("");
    cr_assert_eq(start(1), EG_OK);
    /* a client that has asked once may be silent for longer than this takes */
    cr_assert(worker_ready(0));
    put(policy, "egress: 1\nbogus: 1\n", 0600);
    put(path, "127.0.0.1 localhost other\n", 0644);
    cr_assert(await("reloaded", "system", &after));
    close(tunnel(default_token(), answer));
    cr_assert(strstr(answer, " 200 "), "%s", answer);
    cr_assert_eq(end(SIGTERM), 0);
}

/* A service whose key stands in a file of that mode. */
static void put_key(const char *text, mode_t mode)
{
    char path[96];
    snprintf(path, sizeof path, "%s/key", folder);
    put(path, text, mode);
}

static void put_service(void)
{
    char more[512];
    snprintf(more, sizeof more,
             "services:\n  api: {upstream: \"https://api.example\", credential: api, shape: "
             "{prefix: \"sk-\"}}\n"
             "credentials:\n  api: {from: \"file:%s/key\", hosts: [api.example]}\n",
             folder);
    put_policy(more);
}

static char *phantom(void)
{
    json_t *reply = ask(json_pack("{s:s,s:s}", "op", "env", "id", "default"));
    const char *text = eg_ctl_text(json_object_get(reply, "variables"), "API_API_KEY");
    char *copy = text ? strdup(text) : NULL;
    json_decref(reply);
    return copy;
}

Test(cmd_supervisor, phantom_stays_when_the_key_changes)
{
    uint64_t after = 0;
    put_key("sk-0123456789012345678901234567890123456789\n", 0600);
    put_service();
    cr_assert_eq(start(1), EG_OK);
    char *first = phantom();
    cr_assert_not_null(first);
    cr_assert_eq(strncmp(first, "sk-", 3), 0);
    cr_assert_eq(strlen(first), 43, "as long as the real one");
    cr_assert_null(strstr(first, "0123456789012345678"));
    put_key("sk-another-length-another-key\n", 0600);
    kill(daemon_, SIGHUP);
    cr_assert(await("reloaded", "system", &after));
    char *second = phantom();
    cr_assert_str_eq(first, second);
    free(first);
    free(second);
    cr_assert_eq(end(SIGTERM), 0);
}

Test(cmd_supervisor, credential_that_fails_is_told_and_has_no_phantom)
{
    uint64_t after = 0;
    put_key("sk-world-readable-key-0000\n", 0644);
    put_service();
    cr_assert_eq(start(1), EG_OK);
    cr_assert(await("credential_unavailable", "system", &after));
    cr_assert_null(phantom());
    cr_assert_eq(end(SIGTERM), 0);
    struct eg_buf told;
    eg_buf_init(&told, 1 << 20);
    cr_assert_eq(eg_file_read(events, &told, NULL, NULL), EG_OK);
    cr_assert_eq(eg_file_read(errors, &told, NULL, NULL), EG_OK);
    cr_assert(memmem(told.data, told.len, "credential_unavailable", 22));
    cr_assert_null(memmem(told.data, told.len, "world-readable-key", 18), "no byte of it is told");
    eg_buf_done(&told);
}

Test(cmd_supervisor, second_signal_ends_a_drain)
{
    char answer[256];
    drain = "30s";
    put_policy("");
    cr_assert_eq(start(1), EG_OK);
    int fd = tunnel(default_token(), answer), peer = accept(origin, NULL, NULL);
    cr_assert(peer >= 0);
    uint64_t after = 0;
    kill(daemon_, SIGTERM);
    cr_assert(await("shutting_down", "system", &after));
    cr_assert_eq(waitpid(daemon_, NULL, WNOHANG), 0, "the tunnel holds it");
    cr_assert_eq(end(SIGTERM), 0);
    close(fd);
    close(peer);
}

Test(cmd_supervisor, worker_that_hangs_does_not_hold_up_the_end)
{
    put_policy("");
    cr_assert_eq(start(1), EG_OK);
    kill((pid_t)worker_number(0, "pid"), SIGSTOP);
    eg_ctl_client_free(client);
    client = NULL;
    kill(daemon_, SIGQUIT);
    cr_assert_eq(end(SIGQUIT), 0);
}

Test(cmd_supervisor, second_daemon_leaves_the_first_alone)
{
    char answer[256];
    put_policy("");
    cr_assert_eq(start(1), EG_OK);
    pid_t first = daemon_;
    cr_assert_eq(start(1), EG_EXISTS);
    waitpid(daemon_, NULL, 0);
    daemon_ = first;
    close(tunnel(default_token(), answer));
    cr_assert(strstr(answer, " 200 "), "%s", answer);
    cr_assert_eq(end(SIGTERM), 0);
}

Test(cmd_supervisor, killed_daemon_leaves_no_worker_and_its_place_is_taken)
{
    char answer[256];
    put_policy("");
    cr_assert_eq(start(1), EG_OK);
    int fd = tunnel(default_token(), answer);
    cr_assert_eq(end(SIGKILL), 1000 + SIGKILL);
    cr_assert_eq(access(control, F_OK), 0, "it had no time to tidy up");
    cr_assert_leq(recv(fd, answer, 1, 0), 0, "the worker died with it");
    close(fd);
    cr_assert_eq(start(1), EG_OK);
    close(tunnel(default_token(), answer));
    cr_assert(strstr(answer, " 200 "), "%s", answer);
    cr_assert_eq(end(SIGTERM), 0);
}
