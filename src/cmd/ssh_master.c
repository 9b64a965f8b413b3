/* ssh_master.c - the process of one gateway: started, heard on its stderr, started anew with a
 * growing pause when it ends. It opens no channel.
 *
 * Invariants: it is in a session of its own, without a terminal and with BatchMode, so it can ask
 * nobody anything; it dies with us; it gets what OpenSSH needs of the environment and no other
 * descriptor; no text of ours names the user. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/ssh_state.h"

enum { LOOK_MIN_MS = 2, LOOK_MAX_MS = 250, END_MS = 2000, STALE_MS = 2000, ARGUMENTS = 48 };
enum { HEAR_MAX = 32 }; /* reads at once: more than a pipe holds */

static const char *const options[] = {
    "-M",
    "-N",
    "-T",
    "-a",
    "-x",
    "-oBatchMode=yes",
    "-oControlPersist=no",
    "-oExitOnForwardFailure=no",
    "-oClearAllForwardings=yes",
    "-oForkAfterAuthentication=no",
    "-oPermitLocalCommand=no",
    "-oTunnel=no",
    "-oServerAliveInterval=15",
    "-oServerAliveCountMax=3",
    "-oLogLevel=INFO", /* reasons of failed channels are of this level */
};

static void arm(struct eg_ssh_master *m, uint64_t in_ms)
{
    struct eg_loop *loop = m->ssh->config.loop;
    (void)!eg_timer_set(loop, &m->timer, eg_loop_now(loop) + in_ms);
}

static void enter(struct eg_ssh_master *m, int state)
{
    m->state = state;
    m->since_ms = eg_loop_now(m->ssh->config.loop);
}

/* ---- the process ---- */

static _Noreturn void run(const struct eg_ssh_master *m, char *const *argv, int err, pid_t parent)
{
    sigset_t none;
    struct sigaction plain = { .sa_handler = SIG_DFL };
    for (int i = 1; i < NSIG; i++)
        (void)sigaction(i, &plain, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setsid(); /* ^C of a terminal is not for it */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) < 0 || getppid() != parent || null < 0 ||
        dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(err, 2) < 0 || close_range(3, ~0u, 0) < 0)
        _exit(127);
    execve(m->ssh->program, argv, m->ssh->environment);
    _exit(127);
}

static pid_t spawn(const struct eg_ssh_master *m, int err)
{
    const char *argv[ARGUMENTS] = { "ssh" };
    char port[8];
    unsigned n = 1;
    for (unsigned i = 0; i < sizeof options / sizeof *options; i++)
        argv[n++] = options[i];
    argv[n++] = "-S";
    argv[n++] = m->path;
    snprintf(port, sizeof port, "%u", m->at.port);
    if (m->at.port !=
        22) { /* else as OpenSSH's configuration says: the host may be an alias there */
        argv[n++] = "-p";
        argv[n++] = port;
    }
    if (m->user[0]) {
        argv[n++] = "-l";
        argv[n++] = m->user;
    }
    argv[n++] = "--";
    argv[n++] = m->at.host;
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        run(m, (char *const *)(uintptr_t)argv, err, parent);
    return pid;
}

/* ---- what it says ---- */

void eg_ssh_master_hear(struct eg_ssh_master *m)
{
    uint64_t now = eg_loop_now(m->ssh->config.loop);
    char bytes[4096];
    ssize_t n = -1;
    for (int i = 0; i < HEAR_MAX && m->err >= 0; i++) {
        n = read(m->err, bytes, sizeof bytes);
        if (n == 0)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return;
        if (now - m->heard_ms > STALE_MS) /* nobody has claimed those: an answer got lost */
            m->said.failure_count = 0;
        m->heard_ms = now;
        eg_ssh_said_add(&m->said, bytes, (size_t)n);
    }
    if (m->err >= 0 && n == 0) { /* it closed it: the rest is told when it is reaped */
        eg_watch_drop(m->ssh->config.loop, &m->err_watch);
        close(m->err);
        m->err = -1;
    }
}

static void err_ready(struct eg_watch *w, unsigned events)
{
    (void)events;
    eg_ssh_master_hear(w->ctx);
}

/* The last line without "USER@". */
static void quote(const struct eg_ssh_master *m, char *out, size_t cap)
{
    size_t n = strlen(m->user), k = 0;
    for (const char *p = m->said.last; *p && k + 1 < cap;) {
        if (n > 0 && strncmp(p, m->user, n) == 0 && p[n] == '@')
            p += n + 1;
        else
            out[k++] = *p++;
    }
    out[k] = '\0';
}

static void describe(struct eg_ssh_master *m, int wait_status, char *out, size_t cap)
{
    char said[EG_SSH_LINE_MAX + 1];
    quote(m, said, sizeof said);
    if (strstr(said, "ost key verification failed"))
        snprintf(out, cap, "known_hosts does not have this host key: run ssh to it once by hand");
    else if (said[0])
        snprintf(out, cap, "%s", said);
    else if (m->state == EG_SSH_STARTING &&
             eg_loop_now(m->ssh->config.loop) - m->since_ms >= EG_SSH_CONNECT_MS)
        snprintf(out, cap, "no session in %d s", EG_SSH_CONNECT_MS / 1000);
    else if (WIFSIGNALED(wait_status))
        snprintf(out, cap, "ssh was ended by signal %d", WTERMSIG(wait_status));
    else
        snprintf(out, cap, "ssh ended with status %d", WEXITSTATUS(wait_status));
}

static void tell(struct eg_ssh_master *m, enum eg_status status)
{
    const struct eg_sup_ssh_config *config = &m->ssh->config;
    if (config->changed)
        config->changed(config->ctx, m->text, status, status == EG_OK ? "" : m->why);
}

static void down(struct eg_ssh_master *m, const char *why)
{
    bool same = m->told && strcmp(m->why, why) == 0;
    uint64_t lived = eg_loop_now(m->ssh->config.loop) - m->since_ms;
    bool stable = m->state == EG_SSH_UP && lived >= EG_SSH_STABLE_MS;
    m->backoff_ms = m->backoff_ms == 0 || stable                ? EG_SSH_BACKOFF_MS
                    : m->backoff_ms * 2 > EG_SSH_BACKOFF_MAX_MS ? EG_SSH_BACKOFF_MAX_MS
                                                                : m->backoff_ms * 2;
    snprintf(m->why, sizeof m->why, "%s", why);
    enter(m, EG_SSH_IDLE);
    eg_ssh_channels_end(m, EG_SSH_DOWN, m->why);
    m->told = true;
    if (!same)
        tell(m, EG_SSH_DOWN);
    arm(m, m->backoff_ms);
}

/* ---- its life ---- */

static void begin(struct eg_ssh_master *m)
{
    struct eg_err err = { 0 };
    struct eg_loop *loop = m->ssh->config.loop;
    int fds[2];
    if (eg_ssh_folder(m->ssh, &err) != EG_OK || pipe2(fds, O_CLOEXEC) < 0) {
        down(m, err.text[0] ? err.text : "no descriptor is left");
        return;
    }
    /* a name of its own: one that ends late removes its own socket */
    snprintf(m->path, sizeof m->path, "%.90s/%u", m->ssh->folder, m->ssh->serial++ % 100000);
    memset(&m->said, 0, sizeof m->said);
    m->pid = spawn(m, fds[1]);
    close(fds[1]);
    m->err = fds[0];
    (void)fcntl(m->err, F_SETFL, O_NONBLOCK);
    m->err_watch.ready = err_ready;
    m->err_watch.ctx = m;
    if (m->pid < 0 || eg_watch_set(loop, &m->err_watch, m->err, 0, EG_IN) != EG_OK) {
        if (m->pid > 0)
            (void)kill(m->pid, SIGKILL);
        close(m->err);
        m->err = -1;
        if (m->pid < 0) { /* else it is heard of when it is reaped */
            m->pid = 0;
            down(m, "ssh could not be started");
            return;
        }
    }
    enter(m, EG_SSH_STARTING);
    arm(m, LOOK_MIN_MS);
}

/* The socket is linked to its name once it listens, which is once the gateway let us in. */
static void look(struct eg_ssh_master *m)
{
    struct stat st;
    uint64_t waited = eg_loop_now(m->ssh->config.loop) - m->since_ms;
    if (lstat(m->path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        bool was_told = m->told;
        enter(m, EG_SSH_UP);
        m->told = false;
        m->why[0] = '\0';
        m->said.last[0] = '\0'; /* a greeting of the gateway is no reason of a later end */
        if (was_told)
            tell(m, EG_OK);
        eg_ssh_channels_start(m);
    } else if (waited >= EG_SSH_CONNECT_MS) {
        (void)kill(m->pid, SIGKILL);
    } else {
        uint64_t pause = waited / 8;
        arm(m, pause < LOOK_MIN_MS ? LOOK_MIN_MS : pause > LOOK_MAX_MS ? LOOK_MAX_MS : pause);
    }
}

static void fire(struct eg_timer *t)
{
    struct eg_ssh_master *m = t->ctx;
    if (m->state == EG_SSH_IDLE)
        begin(m);
    else if (m->state == EG_SSH_STARTING)
        look(m);
    else if (m->state == EG_SSH_ENDING)
        (void)kill(m->pid, SIGKILL);
}

struct eg_ssh_master *eg_ssh_master_new(struct eg_sup_ssh *s,
                                        const struct eg_sup_ssh_gateway *gateway)
{
    char at[EG_AUTHORITY_TEXT];
    struct eg_ssh_master *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->ssh = s;
    m->at = gateway->at;
    m->err = -1;
    m->timer.fire = fire;
    m->timer.ctx = m;
    memcpy(m->user, gateway->user.p ? gateway->user.p : "", gateway->user.n);
    snprintf(m->text, sizeof m->text, "ssh://%s", eg_authority_format(&m->at, 0, at, sizeof at));
    m->next = s->masters;
    s->masters = m;
    enter(m, EG_SSH_IDLE);
    begin(m);
    return m;
}

void eg_ssh_master_reaped(struct eg_ssh_master *m, int wait_status)
{
    char why[sizeof m->why];
    eg_ssh_master_hear(m);
    if (m->err >= 0) { /* a helper of it may hold the other end for longer */
        eg_watch_drop(m->ssh->config.loop, &m->err_watch);
        close(m->err);
        m->err = -1;
    }
    m->pid = 0;
    (void)unlink(m->path);
    if (m->state == EG_SSH_ENDING) {
        eg_ssh_master_free(m);
        return;
    }
    describe(m, wait_status, why, sizeof why);
    down(m, why);
}

void eg_ssh_master_end(struct eg_ssh_master *m)
{
    eg_ssh_channels_end(m, EG_SSH_DOWN, "the policy names this gateway no more");
    if (m->pid == 0) {
        eg_ssh_master_free(m);
        return;
    }
    enter(m, EG_SSH_ENDING);
    (void)kill(m->pid, SIGTERM);
    arm(m, END_MS);
}

static void master_free(struct eg_dead *d)
{
    free((char *)d - offsetof(struct eg_ssh_master, dead));
}

void eg_ssh_master_free(struct eg_ssh_master *m)
{
    struct eg_loop *loop = m->ssh->config.loop;
    struct eg_ssh_master **at = &m->ssh->masters;
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    eg_ssh_channels_end(m, EG_SSH_DOWN, "");
    eg_timer_clear(loop, &m->timer);
    eg_timer_clear(loop, &m->retry);
    eg_watch_drop(loop, &m->err_watch);
    if (m->err >= 0)
        close(m->err);
    m->dead.free = master_free;
    eg_loop_bury(loop, &m->dead);
}
