/* proc.c - starts, reads and ends the programs of a test. Every wait is a poll with a deadline; every end is by the id that fork returned. */
#include "support/proc.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

/* ---- the folder ---- */

const char *eg_world_path(const struct eg_world *w, const char *name)
{
    static char ring[8][512];
    static unsigned next;
    char *path = ring[next++ % 8];
    snprintf(path, sizeof ring[0], "%s/%s", w->dir, name);
    return path;
}

void eg_world_new(struct eg_world *w)
{
    memset(w, 0, sizeof *w);
    unsetenv("SSL_CERT_FILE"); /* of the machine's; a test may set its own from here on */
    unsetenv("SSL_CERT_DIR");
    const char *base = getenv("TMPDIR");
    snprintf(w->dir, sizeof w->dir, "%s/egress-test-XXXXXX", base && base[0] ? base : "/tmp");
    cr_assert(mkdtemp(w->dir) != NULL, "mkdtemp %s: %s", w->dir, strerror(errno));
    snprintf(w->control, sizeof w->control, "%s/control.sock", w->dir);
}

static void remove_tree(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char child[1024];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(child, sizeof child, "%s/%s", path, e->d_name);
        if (lstat(child, &st) == 0 && S_ISDIR(st.st_mode))
            remove_tree(child);
        else
            (void)unlink(child);
    }
    if (d)
        closedir(d);
    (void)rmdir(path);
}

void eg_world_write(const struct eg_world *w, const char *name, const char *text)
{
    FILE *f = fopen(eg_world_path(w, name), "w");
    cr_assert(f != NULL);
    fputs(text, f);
    cr_assert(fclose(f) == 0);
}

char *eg_world_read(const struct eg_world *w, const char *name, size_t *n)
{
    FILE *f = fopen(eg_world_path(w, name), "r");
    size_t have = 0, cap = 65536;
    char *text = malloc(cap + 1);
    cr_assert(text != NULL);
    while (f) {
        size_t got = fread(text + have, 1, cap - have, f);
        if (got == 0)
            break;
        have += got;
        if (have == cap) {
            cap *= 2;
            text = realloc(text, cap + 1);
            cr_assert(text != NULL);
        }
    }
    if (f)
        fclose(f);
    text[have] = 0;
    if (n)
        *n = have;
    return text;
}

void eg_world_saw_nothing(const struct eg_world *w)
{
    char *tls = eg_world_read(w, "origin.rec", NULL), *plain = eg_world_read(w, "plain.rec", NULL);
    cr_assert(tls[0] == 0 && plain[0] == 0, "%s%s", tls, plain);
    free(tls);
    free(plain);
}

/* ---- programs ---- */

/* A developer's own proxies are no part of a test: one that wants some names them. */
static void forget_proxies(void)
{
    static const char *const names[] = { "http_proxy", "HTTP_PROXY", "https_proxy",
                                         "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
                                         "no_proxy", "NO_PROXY", "REQUEST_METHOD" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

struct passed {
    const int *fds;
    unsigned count;
};

/* To 3 and what follows; by way of high numbers, so that none is overwritten before its turn. */
static void pass(const struct passed *p)
{
    char text[32];
    int high[16];
    cr_assert(p->count <= 16);
    for (unsigned i = 0; i < p->count; i++)
        high[i] = fcntl(p->fds[i], F_DUPFD, 100);
    for (unsigned i = 0; i < p->count; i++)
        dup2(high[i], 3 + (int)i);
    snprintf(text, sizeof text, "%d", (int)getpid());
    setenv("LISTEN_PID", text, 1);
    snprintf(text, sizeof text, "%u", p->count);
    setenv("LISTEN_FDS", text, 1);
}

static void child_exec(const struct eg_world *w, const char *name, const char *const *argv,
                       const char *const *environment, int out, const struct passed *passed)
{
    char log[600];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(log, sizeof log, "%s/%s.err", w->dir, name);
    int err = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int in = open("/dev/null", O_RDONLY);
    dup2(in, 0);
    dup2(out, 1);
    dup2(err, 2);
    forget_proxies();
    if (passed)
        pass(passed);
    syscall(SYS_close_range, 3U + (passed ? passed->count : 0), ~0U, 0U);
    for (; environment && *environment; environment++)
        putenv((char *)*environment);
    execvp(argv[0], (char *const *)argv);
    dprintf(2, "exec %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static pid_t spawn(const struct eg_world *w, const char *name, const char *const *argv,
                   const char *const *environment, int *out, const struct passed *passed)
{
    int fds[2];
    cr_assert(pipe2(fds, O_CLOEXEC) == 0);
    pid_t pid = fork();
    cr_assert(pid >= 0);
    if (pid == 0)
        child_exec(w, name, argv, environment, fds[1], passed);
    close(fds[1]);
    *out = fds[0];
    return pid;
}

/* EOF gives false. */
static bool read_line(int fd, char *line, size_t cap, uint64_t deadline)
{
    size_t n = 0;
    while (n + 1 < cap) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        uint64_t now = eg_clock_ms();
        if (now >= deadline || poll(&p, 1, (int)(deadline - now)) <= 0 ||
            read(fd, line + n, 1) != 1)
            return false;
        if (line[n] == '\n')
            break;
        n++;
    }
    line[n] = 0;
    return true;
}

static void start(struct eg_proc *p, const struct eg_world *w, const char *name,
                  const char *const *argv, const char *const *environment,
                  const struct passed *passed)
{
    p->pid = spawn(w, name, argv, environment, &p->out, passed);
    if (!read_line(p->out, p->ready, sizeof p->ready, eg_clock_ms() + EG_PROC_DEADLINE_MS)) {
        char log[64];
        snprintf(log, sizeof log, "%s.err", name);
        cr_assert(false, "%s did not become ready: %s", name, eg_world_read(w, log, NULL));
    }
}

void eg_proc_start(struct eg_proc *p, const struct eg_world *w, const char *name,
                   const char *const *argv, const char *const *environment)
{
    start(p, w, name, argv, environment, NULL);
}

void eg_proc_start_passed(struct eg_proc *p, const struct eg_world *w, const char *name,
                          const char *const *argv, const char *const *environment, const int *fds,
                          unsigned fd_count)
{
    const struct passed passed = { fds, fd_count };
    start(p, w, name, argv, environment, &passed);
}

/* Waits for the end of pid until the deadline; false: it still runs. */
static bool await_end(pid_t pid, int *status, uint64_t deadline)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    uint64_t now = eg_clock_ms();
    bool ended = fd >= 0 && now < deadline && poll(&p, 1, (int)(deadline - now)) > 0;
    if (fd >= 0)
        close(fd);
    return ended && waitpid(pid, status, 0) == pid;
}

int eg_proc_end(struct eg_proc *p, int signal)
{
    int status = 0;
    if (p->pid <= 0)
        return 0;
    kill(p->pid, signal);
    if (!await_end(p->pid, &status, eg_clock_ms() + EG_PROC_DEADLINE_MS)) {
        kill(p->pid, SIGKILL);
        waitpid(p->pid, &status, 0);
    }
    close(p->out);
    p->pid = 0;
    return status;
}

static int run(const struct eg_world *w, const char *const *argv, const char *const *environment,
               const struct passed *passed, char **out)
{
    static unsigned serial;
    char name[64], log[80], line[4096];
    int fd, status = 0;
    uint64_t deadline = eg_clock_ms() + EG_PROC_DEADLINE_MS;
    snprintf(name, sizeof name, "run-%u", serial++);
    snprintf(log, sizeof log, "%s.err", name);
    pid_t pid = spawn(w, name, argv, environment, &fd, passed);
    FILE *copy = fopen(eg_world_path(w, log), "a");
    cr_assert(copy != NULL);
    while (read_line(fd, line, sizeof line, deadline))
        fprintf(copy, "%s\n", line);
    fclose(copy);
    close(fd);
    if (!await_end(pid, &status, deadline)) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
    if (out)
        *out = eg_world_read(w, log, NULL);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int eg_proc_run(const struct eg_world *w, const char *const *argv, const char *const *environment,
                char **out)
{
    return run(w, argv, environment, NULL, out);
}

int eg_proc_run_passed(const struct eg_world *w, const char *const *argv,
                       const char *const *environment, const int *fds, unsigned fd_count,
                       char **out)
{
    const struct passed passed = { fds, fd_count };
    return run(w, argv, environment, &passed, out);
}

long eg_proc_number(const struct eg_proc *p, const char *key)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    const char *at = strstr(p->ready, quoted);
    cr_assert(at != NULL, "no %s in %s", key, p->ready);
    at = strchr(at + strlen(quoted), ':');
    cr_assert(at != NULL);
    return strtol(at + 1, NULL, 10);
}

unsigned eg_proc_fds(pid_t pid)
{
    char path[64];
    unsigned n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *d = opendir(path);
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n > 2 ? n - 2 : 0;
}

void eg_proc_settled(pid_t pid, unsigned fds)
{
    uint64_t deadline = eg_clock_ms() + EG_PROC_DEADLINE_MS;
    while (eg_proc_fds(pid) > fds && eg_clock_ms() < deadline)
        ;
    unsigned have = eg_proc_fds(pid);
    cr_expect(have <= fds, "%u descriptors, may have %u", have, fds);
}

unsigned eg_proc_children(pid_t pid, pid_t *ret, unsigned cap)
{
    char path[96], text[4096] = "";
    unsigned n = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return 0;
    char *save = NULL;
    if (fgets(text, sizeof text, f))
        for (char *t = strtok_r(text, " \n", &save); t && n < cap; t = strtok_r(NULL, " \n", &save))
            ret[n++] = (pid_t)strtol(t, NULL, 10);
    fclose(f);
    return n;
}

/* ---- the world ---- */

static void join(const char **argv, unsigned at, const char *const *more)
{
    for (; more && *more; more++) {
        cr_assert(at < 62);
        argv[at++] = *more;
    }
    argv[at] = NULL;
}

void eg_world_origin(struct eg_world *w, const char *const *args)
{
    const char *argv[64] = { EG_BUILD_DIR "/tests/bin/tlsorigin", "--dir", w->dir, "--record",
                             eg_world_path(w, "origin.rec") };
    join(argv, 5, args);
    eg_proc_start(&w->origin, w, "origin", argv, NULL);
    w->origin_port = (uint16_t)eg_proc_number(&w->origin, "port");
}

void eg_world_plain(struct eg_world *w)
{
    const char *argv[] = {
        EG_BUILD_DIR "/tests/bin/tlsorigin", "--plain", "--dir", w->dir, "--record",
        eg_world_path(w, "plain.rec"),       NULL
    };
    eg_proc_start(&w->plain, w, "plain", argv, NULL);
    w->plain_port = (uint16_t)eg_proc_number(&w->plain, "port");
}

void eg_world_dns(struct eg_world *w, const char *const *names)
{
    const char *argv[64] = { EG_BUILD_DIR "/tests/bin/dnsstub", "--log",
                             eg_world_path(w, "dns.log") };
    join(argv, 3, names);
    eg_proc_start(&w->dns, w, "dns", argv, NULL);
    w->dns_port = (uint16_t)eg_proc_number(&w->dns, "port");
}

void eg_world_policy(const struct eg_world *w, const char *policy)
{
    FILE *f = fopen(eg_world_path(w, "egress.yaml"), "w");
    cr_assert(f != NULL);
    for (const char *p = policy; *p;) {
        if (strncmp(p, "@ORIGIN@", 8) == 0)
            p += 8, fprintf(f, "%u", w->origin_port);
        else if (strncmp(p, "@PLAIN@", 7) == 0)
            p += 7, fprintf(f, "%u", w->plain_port);
        else if (strncmp(p, "@DNS@", 5) == 0)
            p += 5, fprintf(f, "%u", w->dns_port);
        else if (strncmp(p, "@DIR@", 5) == 0)
            p += 5, fputs(w->dir, f);
        else
            fputc(*p++, f);
    }
    cr_assert(fclose(f) == 0);
}

void eg_world_egressd(struct eg_world *w, const char *policy, const char *const *args,
                      const char *const *environment)
{
    eg_world_policy(w, policy);
    const char *argv[64] = { EG_BUILD_DIR "/egressd",
                             "--policy",
                             eg_world_path(w, "egress.yaml"),
                             "--control",
                             w->control,
                             "--token-file",
                             eg_world_path(w, "token") };
    join(argv, 7, args);
    eg_proc_start(&w->egressd, w, "egressd", argv, environment);
    w->proxy_port = (uint16_t)eg_proc_number(&w->egressd, "port");
    char *token = eg_world_read(w, "token", NULL);
    memcpy(w->token, token, 64);
    free(token);
}

void eg_world_done(struct eg_world *w)
{
    if (w->egressd.pid > 0) {
        int status = eg_proc_end(&w->egressd, SIGTERM);
        bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        char *said = eg_world_read(w, "egressd.err", NULL);
        cr_expect(well, "egressd ended with %d: %s", status, said);
        free(said);
    }
    eg_proc_end(&w->origin, SIGTERM);
    eg_proc_end(&w->plain, SIGTERM);
    eg_proc_end(&w->dns, SIGTERM);
    remove_tree(w->dir);
}

/* ---- events ---- */

char *eg_world_events(const struct eg_world *w)
{
    char *out = NULL;
    const char *argv[] = {
        EG_BUILD_DIR "/egressctl", "audit", "--json", "--control", w->control, NULL
    };
    int code = eg_proc_run(w, argv, NULL, &out);
    cr_assert(code == 0, "egressctl audit: %d %s", code, out);
    return out;
}

static bool line_has(const char *line, size_t n, const char *text)
{
    return memmem(line, n, text, strlen(text)) != NULL;
}

unsigned eg_events_with(const char *lines, ...)
{
    unsigned count = 0;
    while (*lines) {
        size_t n = strcspn(lines, "\n");
        bool all = n > 0;
        va_list args;
        va_start(args, lines);
        for (const char *text; all && (text = va_arg(args, const char *));)
            all = line_has(lines, n, text);
        va_end(args);
        count += all;
        lines += n + (lines[n] == '\n');
    }
    return count;
}

bool eg_world_await_event(const struct eg_world *w, unsigned count, const char *a, const char *b)
{
    uint64_t deadline = eg_clock_ms() + EG_PROC_DEADLINE_MS;
    do {
        char *lines = eg_world_events(w);
        unsigned n = eg_events_with(lines, a, b, NULL);
        free(lines);
        if (n >= count)
            return true;
    } while (eg_clock_ms() < deadline);
    return false;
}
