/* ssh.c - the set of gateways: which masters there are, what an owner may ask for, the private folder
 * of the control sockets, the end of all. Processes are in ssh_master.c, channels in ssh_channel.c.
 *
 * Invariants: a channel is only opened through a gateway of the list; what one owner has is bounded;
 * the folder is ours alone (0700) and goes with us. */
#include "cmd/ssh.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/ssh_state.h"

enum {
    SWEEP_MS = 1000,
    SWEEP_MAX = 512,
    FOLDER_MAX = 70, /* OpenSSH adds 17 bytes to a socket's name while it makes it */
    LAST_MS = 300,
};

/* What OpenSSH, its agents and a ProxyCommand look for; nothing else of the caller's is for them. */
static const char *const kept[] = {
    "HOME=",
    "PATH=",
    "USER=",
    "LOGNAME=",
    "SHELL=",
    "TZ=",
    "TMPDIR=",
    "SSH_AUTH_SOCK=",
    "SSH_AGENT_PID=",
    "SSH_SK_HELPER=",
    "KRB5CCNAME=",
    "KRB5_CONFIG=",
    "GNUPGHOME=",
    "XDG_CONFIG_HOME=",
    "XDG_RUNTIME_DIR=",
    "SSH_SK_PROVIDER=",
};
enum { KEPT = sizeof kept / sizeof *kept };

static void sweep(struct eg_timer *t);

enum eg_status eg_ssh_program(char *const *environment, char *out, size_t cap, struct eg_err *err)
{
    const char *path = "/usr/local/bin:/usr/bin:/bin";
    for (char *const *e = environment; e && *e; e++)
        if (strncmp(*e, "PATH=", 5) == 0)
            path = *e + 5;
    for (;;) {
        size_t n = strcspn(path, ":");
        int made = snprintf(out, cap, "%.*s/ssh", (int)n, path);
        struct stat st;
        if (*path == '/' && made > 0 && (size_t)made < cap && stat(out, &st) == 0 &&
            S_ISREG(st.st_mode) && access(out, X_OK) == 0)
            return EG_OK;
        if (!path[n])
            return eg_err_set(
                err, EG_NOT_FOUND, "ssh", 0,
                "an ssh:// proxy needs the OpenSSH client, and there is no `ssh` in PATH");
        path += n + 1;
    }
}

void eg_ssh_folder_remove(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 ? fdopendir(fd) : NULL;
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.')
            (void)unlinkat(dirfd(d), e->d_name, 0);
    if (d) {
        (void)rmdir(path);
        closedir(d);
    } else if (fd >= 0) {
        close(fd);
    }
}

static enum eg_status try_folder(struct eg_sup_ssh *s, const char *in)
{
    /* OpenSSH would expand % and $ */
    if (*in != '/' || strpbrk(in, "%$") || strlen(in) > FOLDER_MAX - sizeof "/ssh-4194304-XXXXXX")
        return EG_TOO_BIG;
    /* the number tells whose it was, once we were killed */
    snprintf(s->folder, sizeof s->folder, "%.*s/ssh-%d-XXXXXX", FOLDER_MAX, in, (int)getpid());
    if (mkdtemp(s->folder)) {
        s->lock = open(s->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (s->lock >= 0 && flock(s->lock, LOCK_EX | LOCK_NB) == 0)
            return EG_OK;
        eg_ssh_folder_remove(s->folder);
    }
    s->folder[0] = '\0';
    return EG_IO;
}

enum eg_status eg_ssh_folder(struct eg_sup_ssh *s, struct eg_err *err)
{
    if (s->folder[0] || try_folder(s, s->base) == EG_OK ||
        (!s->config.only_there && try_folder(s, "/tmp") == EG_OK))
        return EG_OK;
    return eg_err_set(err, EG_IO, "ssh", errno, "no folder for the control sockets could be made");
}

enum eg_status eg_sup_ssh_new(const struct eg_sup_ssh_config *config, struct eg_sup_ssh **ret,
                              struct eg_err *err)
{
    struct eg_sup_ssh *s = calloc(1, sizeof *s);
    if (!s)
        return EG_NOMEM;
    s->config = *config;
    s->lock = -1;
    snprintf(s->base, sizeof s->base, "%s", config->folder ? config->folder : "");
    s->environment = calloc(KEPT + 1, sizeof *s->environment);
    enum eg_status status = s->environment ? EG_OK : EG_NOMEM;
    unsigned n = 0;
    for (char *const *e = config->environment; status == EG_OK && e && *e; e++)
        for (unsigned i = 0; i < KEPT && n < KEPT; i++)
            if (strncmp(*e, kept[i], strlen(kept[i])) == 0 && !(s->environment[n] = strdup(*e)))
                status = EG_NOMEM;
            else if (s->environment[n])
                n++;
    if (status == EG_OK)
        status = eg_ssh_program(config->environment, s->program, sizeof s->program, err);
    if (status != EG_OK) {
        eg_sup_ssh_free(s);
        return status;
    }
    s->sweep.fire = sweep;
    s->sweep.ctx = s;
    *ret = s;
    return EG_OK;
}

/* ---- channels ---- */

static struct eg_ssh_master *find(struct eg_sup_ssh *s, const struct eg_sup_ssh_gateway *g)
{
    for (struct eg_ssh_master *m = s->masters; m; m = m->next)
        if (m->state != EG_SSH_ENDING && eg_slice_eq(eg_slice_str(m->user), g->user) &&
            eg_authority_eq(&m->at, &g->at))
            return m;
    return NULL;
}

static struct eg_ssh_channel *pending(struct eg_sup_ssh *s, uint32_t owner, uint64_t id)
{
    for (struct eg_ssh_master *m = s->masters; m; m = m->next)
        for (int i = 0; i < 2; i++)
            for (struct eg_ssh_channel *c = i ? m->asked.first : m->waiting.first; c; c = c->next)
                if (!c->orphan && c->owner == owner && c->id == id)
                    return c;
    return NULL;
}

static void sweep(struct eg_timer *t)
{
    struct eg_sup_ssh *s = t->ctx;
    bool any = false;
    for (struct eg_ssh_master *m = s->masters; m; m = m->next) {
        eg_ssh_channels_sweep(m, SWEEP_MAX);
        any = any || m->open.first || m->asked.first;
    }
    if (any)
        (void)!eg_timer_set(s->config.loop, t, eg_loop_now(s->config.loop) + SWEEP_MS);
}

enum eg_status eg_sup_ssh_open(struct eg_sup_ssh *s, uint32_t owner, uint64_t id,
                               const struct eg_sup_ssh_gateway *gateway,
                               const struct eg_authority *to, struct eg_err *err)
{
    struct eg_ssh_master *m = find(s, gateway);
    if (!m)
        return eg_err_set(err, EG_SSH_DOWN, "ssh", 0, "the policy names this gateway no more");
    if (owner >= EG_SSH_OWNERS || pending(s, owner, id))
        return EG_EXISTS;
    if (s->owners[owner].pending >= EG_SSH_PENDING_MAX ||
        s->owners[owner].pending + s->owners[owner].open >= s->open_max)
        return eg_err_set(err, EG_TOO_MANY_CONNECTIONS, "ssh", 0, "too many ssh channels");
    if (m->state == EG_SSH_IDLE)
        return eg_err_set(err, EG_SSH_DOWN, "ssh", 0, "%s", m->why);
    enum eg_status status = eg_ssh_channel_new(m, owner, id, to);
    if (status != EG_OK)
        return status;
    eg_ssh_channels_start(m);
    if (s->sweep.slot == 0) /* without it an end is noticed by the gateway's own */
        (void)!eg_timer_set(s->config.loop, &s->sweep, eg_loop_now(s->config.loop) + SWEEP_MS);
    return EG_OK;
}

void eg_sup_ssh_cancel(struct eg_sup_ssh *s, uint32_t owner, uint64_t id)
{
    struct eg_ssh_channel *c = pending(s, owner, id);
    if (c)
        eg_ssh_channel_cancel(c);
}

void eg_sup_ssh_drop(struct eg_sup_ssh *s, uint32_t owner)
{
    for (struct eg_ssh_master *m = s ? s->masters : NULL; m; m = m->next) {
        struct eg_ssh_list *const lists[] = { &m->waiting, &m->asked, &m->open };
        for (int i = 0; i < 3; i++)
            for (struct eg_ssh_channel *c = lists[i]->first, *next; c; c = next) {
                next = c->next;
                if (c->owner == owner && lists[i] == &m->open)
                    eg_ssh_channel_drop(c);
                else if (c->owner == owner)
                    eg_ssh_channel_cancel(c);
            }
    }
}

/* ---- gateways ---- */

enum eg_status eg_sup_ssh_gateways(struct eg_sup_ssh *s, const struct eg_sup_ssh_gateway *list,
                                   unsigned count, unsigned open_max)
{
    s->open_max = open_max;
    for (struct eg_ssh_master *m = s->masters; m; m = m->next)
        m->wanted = false;
    for (unsigned i = 0; i < count; i++) {
        struct eg_ssh_master *m = find(s, &list[i]);
        if (!m)
            m = list[i].user.n <= EG_SSH_USER_MAX ? eg_ssh_master_new(s, &list[i]) : NULL;
        if (!m)
            return EG_NOMEM;
        m->wanted = true;
    }
    for (struct eg_ssh_master *m = s->masters, *next; m; m = next) {
        next = m->next;
        if (!m->wanted && m->state != EG_SSH_ENDING)
            eg_ssh_master_end(m);
    }
    return EG_OK;
}

bool eg_sup_ssh_reaped(struct eg_sup_ssh *s, pid_t pid, int wait_status)
{
    for (struct eg_ssh_master *m = s ? s->masters : NULL; m; m = m->next)
        if (m->pid == pid) {
            eg_ssh_master_reaped(m, wait_status);
            return true;
        }
    return false;
}

/* SIGTERM lets ssh end a ProxyCommand too; what has not ended then is killed, it and what it started:
 * until it is reaped its id is no other's. */
static void wait_for(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    if (fd < 0 || poll(&p, 1, LAST_MS) != 1)
        (void)kill(pid, SIGKILL);
    (void)kill(-pid, SIGKILL);
    if (fd >= 0)
        close(fd);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

void eg_sup_ssh_free(struct eg_sup_ssh *s)
{
    if (!s)
        return;
    eg_timer_clear(s->config.loop, &s->sweep);
    for (struct eg_ssh_master *m = s->masters; m; m = m->next)
        if (m->pid > 0)
            (void)kill(m->pid, SIGTERM);
    while (s->masters) {
        if (s->masters->pid > 0)
            wait_for(s->masters->pid);
        eg_ssh_master_free(s->masters);
    }
    if (s->lock >= 0)
        close(s->lock);
    if (s->folder[0])
        eg_ssh_folder_remove(s->folder);
    for (unsigned i = 0; s->environment && s->environment[i]; i++)
        free(s->environment[i]);
    free(s->environment);
    free(s);
}
