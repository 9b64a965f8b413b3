/* ssh_channel.c - one channel of a gateway: a connection to its master's control socket, over which
 * two pipes go to it, and the answer. It starts no process.
 *
 * Invariants: a connection stays until its request was answered, so that the reason on the master's
 * stderr is claimed by the channel that it is about: one that nobody wants any more waits as an
 * orphan; an opened channel lives as long as its connection, which is closed when the owner has
 * closed its ends, when the master closes it, and with the master.
 *
 * A limit of OpenSSH (channels.c: force_drain of a stdio-forward): when the far side ends its half,
 * the other half ends too. Ours may end first, and the far side goes on. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmd/ssh_state.h"
#include "net/sock.h"

enum { FD_SPARE = 256 };
enum { GREETING_MAX = 32, RETRY_MS = 5 }; /* the control socket's queue is 64 long */

static void list_add(struct eg_ssh_list *l, struct eg_ssh_channel *c)
{
    c->list = l;
    c->next = NULL;
    c->prev = l->last;
    *(l->last ? &l->last->next : &l->first) = c;
    l->last = c;
}

static void list_take(struct eg_ssh_channel *c)
{
    struct eg_ssh_list *l = c->list;
    *(c->prev ? &c->prev->next : &l->first) = c->next;
    *(c->next ? &c->next->prev : &l->last) = c->prev;
    c->list = NULL;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void greeted(struct eg_ssh_channel *c)
{
    c->master->greeting -= c->greeting;
    c->greeting = false;
}

static void channel_free(struct eg_dead *d)
{
    free((char *)d - offsetof(struct eg_ssh_channel, dead));
}

void eg_ssh_channel_drop(struct eg_ssh_channel *c)
{
    struct eg_ssh_master *m = c->master;
    bool counts_open = c->orphan || c->list == &m->open;
    greeted(c);
    (*(counts_open ? &m->ssh->owners[c->owner].open : &m->ssh->owners[c->owner].pending))--;
    list_take(c);
    eg_watch_drop(m->ssh->config.loop, &c->watch);
    close_fd(&c->sock);
    close_fd(&c->in);
    close_fd(&c->out);
    close_fd(&c->probe);
    eg_buf_done(&c->answer);
    eg_loop_bury(m->ssh->config.loop, &c->dead);
}

static void fail(struct eg_ssh_channel *c, enum eg_status status, const char *detail)
{
    const struct eg_sup_ssh_config *config = &c->master->ssh->config;
    bool wanted = !c->orphan && c->list != &c->master->open;
    uint32_t owner = c->owner;
    uint64_t id = c->id;
    eg_ssh_channel_drop(c);
    if (wanted)
        config->answer(config->ctx, owner, id, status, detail, -1, -1);
}

/* ---- what the master answers ---- */

/* It wrote why on its stderr before. */
static void refused(struct eg_ssh_channel *c)
{
    eg_ssh_master_hear(c->master);
    enum eg_status status = eg_ssh_said_claim(&c->master->said);
    fail(c, status,
         status == EG_SSH_REFUSED || status == EG_SSH_PROHIBITED ? "" : "at the ssh gateway");
}

static void opened(struct eg_ssh_channel *c)
{
    struct eg_sup_ssh *s = c->master->ssh;
    if (c->orphan) {
        eg_ssh_channel_drop(c);
        return;
    }
    s->owners[c->owner].pending--;
    s->owners[c->owner].open++;
    list_take(c);
    list_add(&c->master->open, c);
    s->config.answer(s->config.ctx, c->owner, c->id, EG_OK, "", c->in, c->out);
    close_fd(&c->in);
    close_fd(&c->out);
}

/* True: c is still there, and there may be more. */
static bool take(struct eg_ssh_channel *c, enum eg_ssh_mux_kind kind)
{
    bool pending = c->list != &c->master->open;
    if (kind == EG_SSH_MUX_HELLO && c->greeting) {
        greeted(c);
        eg_ssh_channels_start(c->master);
        return true;
    }
    if (kind == EG_SSH_MUX_OTHER)
        return true;
    if (kind == EG_SSH_MUX_FAILURE && pending) {
        refused(c);
    } else if (kind == EG_SSH_MUX_DENIED && pending) {
        fail(c, EG_SSH_PROHIBITED, "the ssh client lets nobody open channels");
    } else if (kind == EG_SSH_MUX_OPENED && pending && !c->greeting) {
        bool stays = !c->orphan;
        opened(c);
        return stays;
    } else {
        fail(c, EG_SSH_DOWN, "the ssh client does not speak its protocol");
    }
    return false;
}

static void hear(struct eg_ssh_channel *c)
{
    enum eg_ssh_mux_kind kind;
    for (;;) {
        char bytes[512]; /* an answer is short; EG_SSH_MUX_MAX bounds what is kept */
        ssize_t n = recv(c->sock, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) { /* an opened one has ended, or the master has */
            fail(c, EG_SSH_DOWN, "the session with the ssh gateway ended");
            return;
        }
        enum eg_status status = eg_buf_append(&c->answer, bytes, (size_t)n);
        while (status == EG_OK && (status = eg_ssh_mux_answer(&c->answer, &kind)) == EG_OK)
            if (!take(c, kind))
                return;
        if (status != EG_AGAIN) {
            fail(c, EG_SSH_DOWN, "the ssh client does not speak its protocol");
            return;
        }
    }
}

static void channel_ready(struct eg_watch *w, unsigned events)
{
    struct eg_ssh_channel *c = w->ctx;
    struct eg_ssh_master *m = c->master;
    (void)events;
    hear(c);
    eg_ssh_channels_start(m); /* its end may be another's turn */
}

/* ---- asking ---- */

/* EG_AGAIN: the socket's queue is full. */
static enum eg_status reach(struct eg_ssh_channel *c)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    memcpy(at.sun_path, c->master->path, sizeof at.sun_path);
    c->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->sock < 0)
        return EG_IO;
    if (connect(c->sock, (const struct sockaddr *)&at, sizeof at) == 0)
        return EG_OK;
    enum eg_status status = errno == EAGAIN ? EG_AGAIN : EG_IO;
    close_fd(&c->sock);
    return status;
}

/* Request and descriptors: a fresh socket has room for them. far: closed here. */
static enum eg_status request(struct eg_ssh_channel *c, const int far[2])
{
    struct eg_buf out;
    eg_buf_init(&out, 512);
    enum eg_status status = eg_ssh_mux_request(&c->to, &out);
    if (status == EG_OK &&
        send(c->sock, out.data + out.off, out.len, MSG_NOSIGNAL) != (ssize_t)out.len)
        status = EG_IO;
    eg_buf_done(&out);
    for (int i = 0; i < 2 && status == EG_OK; i++)
        status = eg_sock_send_fds(c->sock, "", 1, &far[i], 1, NULL);
    return status;
}

/* Two pipes, so that half-close works both ways. The probe refers to the pipe that the owner reads,
 * as no end of it: by it the sweep sees whether the owner is still there. */
static enum eg_status open_pipes(struct eg_ssh_channel *c, int far[2])
{
    int up[2], down[2];
    char path[40];
    if (pipe2(up, O_CLOEXEC | O_NONBLOCK) < 0)
        return EG_IO;
    if (pipe2(down, O_CLOEXEC | O_NONBLOCK) < 0) {
        close(up[0]);
        close(up[1]);
        return EG_IO;
    }
    far[0] = up[0];
    far[1] = down[1];
    c->out = up[1];
    c->in = down[0];
    snprintf(path, sizeof path, "/proc/self/fd/%d", c->in);
    c->probe = open(path, O_PATH | O_CLOEXEC);
    return EG_OK;
}

/* Descriptors are given lowest first. The last of them are for the rest of the supervisor: workers
 * that ask for many channels must not keep anybody from the control socket, nor a reload. */
static bool is_spare(int fd)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return true;
    rlim_t spare = files.rlim_cur / 4 < FD_SPARE ? files.rlim_cur / 4 : FD_SPARE;
    return (rlim_t)fd >= files.rlim_cur - spare;
}

static enum eg_status start(struct eg_ssh_channel *c)
{
    struct eg_ssh_master *m = c->master;
    int far[2] = { -1, -1 };
    enum eg_status status = reach(c);
    if (status != EG_OK)
        return status;
    if (is_spare(c->sock))
        return EG_TOO_MANY_CONNECTIONS;
    status = open_pipes(c, far);
    if (status == EG_OK)
        status = request(c, far);
    close_fd(&far[0]);
    close_fd(&far[1]);
    if (status == EG_OK)
        status = eg_watch_set(m->ssh->config.loop, &c->watch, c->sock, 0, EG_IN);
    if (status != EG_OK)
        return EG_IO;
    list_take(c);
    list_add(&m->asked, c);
    c->greeting = true;
    m->greeting++;
    return EG_OK;
}

static void retry(struct eg_timer *t)
{
    eg_ssh_channels_start(t->ctx);
}

void eg_ssh_channels_start(struct eg_ssh_master *m)
{
    struct eg_loop *loop = m->ssh->config.loop;
    while (m->state == EG_SSH_UP && m->waiting.first && m->greeting < GREETING_MAX) {
        struct eg_ssh_channel *c = m->waiting.first;
        enum eg_status status = start(c);
        m->retry.fire = retry;
        m->retry.ctx = m;
        if (status == EG_AGAIN &&
            eg_timer_set(loop, &m->retry, eg_loop_now(loop) + RETRY_MS) == EG_OK)
            return;
        if (status == EG_TOO_MANY_CONNECTIONS)
            fail(c, status, "too many ssh channels");
        else if (status != EG_OK)
            fail(c, EG_SSH_DOWN, "the ssh client takes no channel");
    }
}

enum eg_status eg_ssh_channel_new(struct eg_ssh_master *m, uint32_t owner, uint64_t id,
                                  const struct eg_authority *to)
{
    struct eg_ssh_channel *c = calloc(1, sizeof *c);
    if (!c)
        return EG_NOMEM;
    c->master = m;
    c->owner = owner;
    c->id = id;
    c->to = *to;
    c->sock = c->in = c->out = c->probe = -1;
    c->watch.ready = channel_ready;
    c->watch.ctx = c;
    c->dead.free = channel_free;
    eg_buf_init(&c->answer, EG_SSH_MUX_MAX + 512);
    list_add(&m->waiting, c);
    m->ssh->owners[owner].pending++;
    return EG_OK;
}

/* ---- the end ---- */

void eg_ssh_channels_end(struct eg_ssh_master *m, enum eg_status status, const char *detail)
{
    struct eg_ssh_list *const lists[] = { &m->waiting, &m->asked, &m->open };
    for (int i = 0; i < 3; i++)
        while (lists[i]->first)
            fail(lists[i]->first, status, detail);
}

void eg_ssh_channel_cancel(struct eg_ssh_channel *c)
{
    struct eg_sup_ssh *s = c->master->ssh;
    if (c->list == &c->master->waiting) {
        eg_ssh_channel_drop(c);
        return;
    }
    if (c->orphan)
        return;
    c->orphan = true;
    s->owners[c->owner].pending--;
    s->owners[c->owner].open++;
    close_fd(&c->in);
    close_fd(&c->out);
}

/* Has the owner closed the end that it reads from? A writer of the pipe is opened for the moment,
 * since only a writer is told. */
static bool left(const struct eg_ssh_channel *c)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", c->probe);
    int fd = c->probe >= 0 ? open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC) : -1;
    if (fd < 0)
        return false;
    struct pollfd p = { .fd = fd };
    bool gone = poll(&p, 1, 0) == 1 && (p.revents & POLLERR);
    close(fd);
    return gone;
}

void eg_ssh_channels_sweep(struct eg_ssh_master *m, unsigned max)
{
    struct eg_ssh_channel *last = m->open.last;
    for (bool more = last != NULL; more && max > 0; max--) {
        struct eg_ssh_channel *c = m->open.first;
        more = c != last;
        if (left(c)) {
            eg_ssh_channel_drop(c);
        } else {
            list_take(c);
            list_add(&m->open, c);
        }
    }
}
