/* daemon.c - see daemon.h. Waiting is asking egressctl again until a deadline: each question is a round trip to the supervisor, so nothing spins. */
#include "support/daemon.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

int eg_ctl_run(const struct eg_world *w, char **out, ...)
{
    const char *argv[32] = { EG_BUILD_DIR "/egressctl" };
    unsigned n = 1;
    va_list args;
    va_start(args, out);
    for (const char *a; (a = va_arg(args, const char *));) {
        cr_assert(n < 28);
        argv[n++] = a;
    }
    va_end(args);
    argv[n++] = "--control";
    argv[n++] = w->control;
    argv[n] = NULL;
    return eg_proc_run(w, argv, NULL, out);
}

char *eg_daemon_status(const struct eg_world *w)
{
    char *out = NULL;
    int code = eg_ctl_run(w, &out, "status", "--json", NULL);
    cr_assert(code == 0, "egressctl status: %d %s", code, out);
    return out;
}

long eg_json_number(const char *text, const char *after, const char *key)
{
    char quoted[64];
    const char *at = after ? strstr(text, after) : text;
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    cr_assert(at != NULL, "no %s in %s", after, text);
    at = strstr(at, quoted);
    cr_assert(at != NULL, "no %s in %s", key, text);
    return strtol(at + strlen(quoted), NULL, 10);
}

void eg_json_text(const char *text, const char *key, char *out, size_t cap)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":\"", key);
    const char *at = strstr(text, quoted);
    cr_assert(at != NULL, "no %s in %s", key, text);
    at += strlen(quoted);
    snprintf(out, cap, "%.*s", (int)strcspn(at, "\""), at);
}

pid_t eg_daemon_worker(const struct eg_world *w, unsigned number, pid_t not )
{
    uint64_t deadline = eg_clock_ms() + EG_PROC_DEADLINE_MS;
    char which[48];
    snprintf(which, sizeof which, "{\"number\":%u,\"pid\":", number);
    do {
        char *text = eg_daemon_status(w);
        const char *at = strstr(text, which);
        pid_t pid = at ? (pid_t)strtol(at + strlen(which), NULL, 10) : 0;
        const char *state = at ? strstr(at, "\"state\":") : NULL;
        bool ready = state && strncmp(state, "\"state\":\"ready\"", 15) == 0;
        free(text);
        if (ready && pid > 0 && pid != not )
            return pid;
    } while (eg_clock_ms() < deadline);
    cr_assert(false, "worker %u did not become ready", number);
    return 0;
}

long eg_daemon_await_sum(const struct eg_world *w, const char *key, long want)
{
    uint64_t deadline = eg_clock_ms() + EG_PROC_DEADLINE_MS;
    char quoted[64];
    long sum;
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    do {
        char *text = eg_daemon_status(w);
        sum = 0;
        for (const char *at = text; (at = strstr(at, quoted)); at++)
            sum += strtol(at + strlen(quoted), NULL, 10);
        free(text);
    } while (sum != want && eg_clock_ms() < deadline);
    return sum;
}

char *eg_daemon_audit(const struct eg_world *w)
{
    const char *argv[] = { "/bin/sh",
                           "-c",
                           "exec \"$0\" audit --json --control \"$1\" >\"$2\"",
                           EG_BUILD_DIR "/egressctl",
                           w->control,
                           eg_world_path(w, "audit.out"),
                           NULL };
    char *out = NULL;
    cr_assert(eg_proc_run(w, argv, NULL, &out) == 0, "%s", out);
    free(out);
    return eg_world_read(w, "audit.out", NULL);
}

void eg_daemon_start(struct eg_world *w, const char *policy, const char *prefix,
                     const char *const *args, const char *const *environment)
{
    char script[256];
    snprintf(script, sizeof script, "%s; exec \"$0\" \"$@\"", prefix);
    eg_world_policy(w, policy);
    const char *argv[64] = { "/bin/sh",      "-c",
                             script,         EG_BUILD_DIR "/egressd",
                             "--policy",     eg_world_path(w, "egress.yaml"),
                             "--control",    w->control,
                             "--token-file", eg_world_path(w, "token") };
    for (unsigned n = 10; args && *args && n < 63; args++)
        argv[n++] = *args;
    eg_proc_start(&w->egressd, w, "egressd", argv, environment);
    w->proxy_port = (uint16_t)eg_proc_number(&w->egressd, "port");
    char *token = eg_world_read(w, "token", NULL);
    memcpy(w->token, token, 64);
    free(token);
}

int eg_daemon_fail(const struct eg_world *w, const char *const *args, char **out)
{
    const char *argv[64] = { EG_BUILD_DIR "/egressd" };
    for (unsigned n = 1; *args && n < 63; args++)
        argv[n++] = *args;
    return eg_proc_run(w, argv, NULL, out);
}

/* ---- /proc ---- */

char *eg_proc_text(pid_t pid, const char *name)
{
    char path[64], *text = malloc(1 << 20);
    cr_assert(text != NULL);
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t have = 0;
    ssize_t n = -1;
    while (fd >= 0 && have < (1 << 20) - 1 && (n = read(fd, text + have, (1 << 20) - 1 - have)) > 0)
        have += (size_t)n;
    if (fd >= 0)
        close(fd);
    if (n < 0) {
        free(text);
        return NULL;
    }
    for (size_t i = 0; i < have; i++)
        text[i] = text[i] ? text[i] : '\n';
    text[have] = 0;
    return text;
}

long eg_proc_status(pid_t pid, const char *key)
{
    char *text = eg_proc_text(pid, "status"), line[64];
    cr_assert(text != NULL, "no process %d", (int)pid);
    snprintf(line, sizeof line, "\n%s:", key);
    const char *at = strstr(text, line);
    cr_assert(at != NULL, "no %s in %s", key, text);
    long n = strtol(at + strlen(line), NULL, 10);
    free(text);
    return n;
}

long eg_proc_cpu_ms(pid_t pid)
{
    char *text = eg_proc_text(pid, "stat");
    unsigned long user = 0, system = 0;
    cr_assert(text != NULL);
    const char *at = strrchr(text, ')'); /* the name may hold anything */
    cr_assert(at != NULL && sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                                   &user, &system) == 2);
    free(text);
    return (long)((user + system) * 1000 / (unsigned long)sysconf(_SC_CLK_TCK));
}

bool eg_proc_gone(pid_t pid)
{
    return kill(pid, 0) < 0 && errno == ESRCH;
}

/* ---- clients ---- */

int eg_daemon_tunnel(struct eg_client *c, const struct eg_world *w, const char *token,
                     unsigned port, char *head, size_t cap)
{
    char own[8192];
    eg_client_open(c, w->proxy_port);
    eg_client_text(c,
                   "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                   "Proxy-Authorization: Bearer %s\r\n\r\n",
                   port, port, token);
    return eg_client_response(c, head ? head : own, head ? cap : sizeof own, NULL, NULL);
}

bool eg_daemon_echo(struct eg_client *c)
{
    char head[8192];
    eg_client_text(c, "GET /headers HTTP/1.1\r\nHost: origin\r\n\r\n");
    return eg_client_response(c, head, sizeof head, NULL, NULL) == 200;
}

size_t eg_daemon_client_hello(unsigned char *out, const char *name)
{
    size_t n = strlen(name), ext = n + 9, body = 34 + 1 + 4 + 2 + 2 + ext, i = 0;
    unsigned char head[] = { 22, 3, 1, 0, (unsigned char)(body + 4), 1, 0, 0, (unsigned char)body,
                             3,  3 };
    memcpy(out, head, sizeof head);
    i = sizeof head;
    memset(out + i, 7, 32);
    i += 32;
    unsigned char rest[] = { 0,
                             0,
                             2,
                             0x13,
                             1,
                             1,
                             0,
                             0,
                             (unsigned char)ext,
                             0,
                             0,
                             0,
                             (unsigned char)(n + 5),
                             0,
                             (unsigned char)(n + 3),
                             0,
                             0,
                             (unsigned char)n };
    memcpy(out + i, rest, sizeof rest);
    memcpy(out + i + sizeof rest, name, n);
    return i + sizeof rest + n;
}

char *eg_daemon_environment(const struct eg_world *w)
{
    char *text = NULL;
    const char *argv[] = { EG_BUILD_DIR "/egressctl",
                           "env",
                           "--control",
                           w->control,
                           "--session",
                           "default",
                           "--format",
                           "json",
                           NULL };
    cr_assert(eg_proc_run(w, argv, NULL, &text) == 0, "%s", text);
    return text;
}

void eg_world_home(const struct eg_world *w)
{
    setenv("HOME", w->dir, 1);
    unsetenv("XDG_CONFIG_HOME");
    unsetenv("XDG_STATE_HOME");
}

int eg_world_ask_policy(const struct eg_world *w, const char *sub, const char *const words[4], char **out)
{
    const char *argv[8] = { EG_BUILD_DIR "/egressctl", "policy", sub };
    char paths[4][400];
    unsigned n = 3;
    for (unsigned i = 0; i < 4 && words[i]; i++) {
        snprintf(paths[i], sizeof paths[i], "%s",
                 strstr(words[i], ".yaml") ? eg_world_path(w, words[i]) : words[i]);
        argv[n++] = paths[i];
    }
    return eg_proc_run(w, argv, NULL, out);
}
