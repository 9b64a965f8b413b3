/* credentials.c - reads the sources of all credentials of a policy: env: from the copy of the
 * environment, file: and keyring: by a forked helper each, with a deadline and a pipe back, so that
 * neither a prompt nor a hanging file system blocks the supervisor.
 *
 * Invariants: a value is in the vault or in a buffer that is wiped before this file's functions
 * return to the loop with it whole; a failure is recorded with its sentence and never with bytes
 * of the value. */
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <fcntl.h>

#include "base/clock.h"
#include "cmd/confine.h"
#include "cmd/state.h"
#include "cmd/upstream.h"

enum { FILE_MS = 10000, KEYRING_MS = 60000 };

struct answer { /* what a helper writes first; the value follows */
    uint32_t status;
    char text[200];
};

struct eg_sup_helper {
    struct eg_sup_creds *creds;
    unsigned slot, index; /* in helpers and in list */
    pid_t pid;
    int fd;
    struct eg_watch watch;
    struct eg_timer deadline;
    struct eg_buf in;
    struct eg_dead dead;
};

static void start_more(struct eg_sup_creds *c);

const struct eg_sup_credential *eg_sup_creds_find(const struct eg_sup_creds *c,
                                                  struct eg_slice name)
{
    for (unsigned i = 0; c && i < c->count; i++)
        if (eg_slice_eq(eg_slice_str(c->list[i].name), name))
            return &c->list[i];
    return NULL;
}

static void settle(struct eg_sup_creds *c, struct eg_sup_credential *e, enum eg_status status,
                   const struct eg_err *err)
{
    e->state = status == EG_OK ? EG_SUP_CRED_LOADED : EG_SUP_CRED_FAILED;
    if (status != EG_OK) {
        e->why = *err;
        if (e->why.status == EG_OK)
            (void)!eg_err_set(&e->why, status, "credential", 0, "%s",
                              egress_status_sentence(status));
    }
    c->open--;
}

/* The value in b becomes a secret; b is wiped. */
static enum eg_status keep(struct eg_sup_creds *c, struct eg_sup_credential *e,
                           struct eg_slice value, struct eg_err *err)
{
    return eg_secret_new(c->supervisor->vault, value.p, value.n, &e->secret, err);
}

static void read_env(struct eg_sup_creds *c, struct eg_sup_credential *e)
{
    struct eg_err err = { 0 };
    struct eg_buf b;
    const char *value = eg_environ_get(c->supervisor->options.environment, e->place);
    eg_buf_init(&b, EG_CREDENTIAL_MAX + 2);
    enum eg_status status = value ? EG_OK
                                  : eg_err_set(&err, EG_NOT_FOUND, "env", 0,
                                               "the variable %.100s is not set", e->place);
    char *room;
    if (status == EG_OK && strlen(value) > EG_CREDENTIAL_MAX + 2)
        status =
            eg_err_set(&err, EG_TOO_BIG, "env", 0, "the value of %.100s is too long", e->place);
    if (status == EG_OK && value[0])
        status = eg_buf_reserve(&b, strlen(value), &room);
    if (status == EG_OK && value[0]) { /* an empty one has no room */
        memcpy(room, value, strlen(value));
        eg_buf_commit(&b, strlen(value));
    }
    if (status == EG_OK)
        status = eg_source_check(&b, false, &err);
    if (status == EG_OK)
        status = keep(c, e, eg_buf_slice(&b), &err);
    eg_buf_wipe(&b);
    eg_buf_done(&b);
    settle(c, e, status, &err);
}

/* Its value is here already. */
static void take_login(struct eg_sup_creds *c, struct eg_sup_credential *e)
{
    struct eg_err err = { 0 };
    enum eg_status status = keep(c, e, e->login->value, &err);
    settle(c, e, status, &err);
}

/* ---- the helper process ---- */

static _Noreturn void helper_run(const struct eg_sup_credential *e, int fd)
{
    struct eg_err err = { 0 };
    struct eg_buf value;
    struct answer a;
    int kept[1] = { fd };
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    memset(&a, 0, sizeof a);
    eg_buf_init(&value, EG_CREDENTIAL_MAX + 2);
    enum eg_status status = eg_confine_descriptors(kept, 1, &err);
    if (status == EG_OK)
        status =
            e->kind == EG_SOURCE_FILE
                ? eg_source_file(e->place, false, &value, &err)
                : eg_source_keyring(e->place, e->account, eg_clock_ms() + KEYRING_MS, false, &value, &err);
    a.status = status;
    if (status != EG_OK) {
        eg_buf_wipe(&value);
        eg_err_format(err.status != EG_OK ? &err : &(struct eg_err){ .status = status }, a.text,
                      sizeof a.text);
    }
    if (write(fd, &a, sizeof a) == (ssize_t)sizeof a && value.len > 0)
        (void)!write(fd, value.data + value.off, value.len); /* both fit into the pipe */
    eg_buf_wipe(&value);
    _exit(0);
}

static void helper_free(struct eg_dead *d)
{
    free((char *)d - offsetof(struct eg_sup_helper, dead));
}

static void helper_end(struct eg_sup_helper *h)
{
    struct eg_loop *loop = h->creds->supervisor->loop;
    eg_watch_drop(loop, &h->watch);
    eg_timer_clear(loop, &h->deadline);
    close(h->fd);
    eg_buf_wipe(&h->in);
    eg_buf_done(&h->in);
    h->creds->helpers[h->slot] = NULL;
    eg_loop_bury(loop, &h->dead);
}

static void finish(struct eg_sup_helper *h, enum eg_status status, const struct eg_err *err)
{
    struct eg_sup_creds *c = h->creds;
    struct eg_sup_credential *e = &c->list[h->index];
    helper_end(h);
    settle(c, e, status, err);
    start_more(c);
    if (c->open == 0 && c->done) {
        void (*done)(struct eg_supervisor *) = c->done;
        c->done = NULL;
        done(c->supervisor);
    }
}

static void helper_answer(struct eg_sup_helper *h)
{
    struct eg_err err = { 0 };
    struct answer a;
    enum eg_status status;
    struct eg_sup_credential *e = &h->creds->list[h->index];
    if (h->in.len < sizeof a) {
        status = eg_err_set(&err, EG_IO, "credential", 0, "its helper ended without an answer");
    } else {
        memcpy(&a, h->in.data + h->in.off, sizeof a);
        a.text[sizeof a.text - 1] = 0;
        status = a.status < EG_STATUS_COUNT ? (enum eg_status)a.status : EG_INTERNAL;
        struct eg_slice value = eg_slice_from(eg_buf_slice(&h->in), sizeof a);
        if (status != EG_OK)
            (void)!eg_err_set(&err, status, NULL, 0, "%s", a.text);
        else if (value.n == 0)
            status = eg_err_set(&err, EG_NOT_FOUND, "credential", 0, "it is empty");
        else
            status = keep(h->creds, e, value, &err);
    }
    finish(h, status, &err);
}

static void helper_ready(struct eg_watch *w, unsigned events)
{
    (void)events;
    struct eg_sup_helper *h = w->ctx;
    char *p;
    struct eg_err err = { 0 };
    for (;;) {
        size_t n = eg_buf_room(&h->in);
        if (n == 0 || eg_buf_reserve(&h->in, n, &p) != EG_OK) {
            (void)!eg_err_set(&err, EG_TOO_BIG, "credential", 0, "it is longer than %d bytes",
                              EG_CREDENTIAL_MAX);
            (void)kill(h->pid, SIGKILL);
            finish(h, EG_TOO_BIG, &err);
            return;
        }
        ssize_t got = read(h->fd, p, n);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0) {
            helper_answer(h);
            return;
        }
        eg_buf_commit(&h->in, (size_t)got);
    }
}

static void helper_late(struct eg_timer *t)
{
    struct eg_sup_helper *h = t->ctx;
    struct eg_err err = { 0 };
    bool keyring = h->creds->list[h->index].kind == EG_SOURCE_KEYRING;
    (void)kill(h->pid, SIGKILL);
    (void)!eg_err_set(&err, EG_IO, "credential", 0, "its source did not answer in %d s",
                      (keyring ? KEYRING_MS : FILE_MS) / 1000);
    finish(h, EG_IO, &err);
}

static enum eg_status helper_start(struct eg_sup_creds *c, unsigned slot, unsigned index,
                                   struct eg_err *err)
{
    struct eg_loop *loop = c->supervisor->loop;
    struct eg_sup_credential *e = &c->list[index];
    int fds[2];
    char *room;
    struct eg_sup_helper *h = calloc(1, sizeof *h);
    if (!h)
        return EG_NOMEM;
    eg_buf_init(&h->in, sizeof(struct answer) + EG_CREDENTIAL_MAX + 1);
    if (eg_buf_reserve(&h->in, h->in.max, &room) != EG_OK || pipe2(fds, O_CLOEXEC) < 0) {
        eg_buf_done(&h->in);
        free(h);
        return eg_err_set(err, EG_IO, "credential", errno, "no helper could be started");
    }
    h->creds = c;
    h->slot = slot;
    h->index = index;
    h->fd = fds[0];
    h->watch.ready = helper_ready;
    h->deadline.fire = helper_late;
    h->watch.ctx = h->deadline.ctx = h;
    h->dead.free = helper_free;
    c->helpers[slot] = h;
    h->pid = fork();
    if (h->pid == 0)
        helper_run(e, fds[1]);
    close(fds[1]);
    uint64_t limit = e->kind == EG_SOURCE_KEYRING ? KEYRING_MS + 1000 : FILE_MS;
    (void)fcntl(h->fd, F_SETFL, O_NONBLOCK);
    if (h->pid < 0 || eg_watch_set(loop, &h->watch, h->fd, 0, EG_IN) != EG_OK ||
        eg_timer_set(loop, &h->deadline, eg_clock_ms() + limit) != EG_OK) {
        if (h->pid > 0)
            (void)kill(h->pid, SIGKILL);
        helper_end(h);
        return eg_err_set(err, EG_IO, "credential", errno, "no helper could be started");
    }
    e->state = EG_SUP_CRED_READING;
    return EG_OK;
}

static void start_more(struct eg_sup_creds *c)
{
    unsigned next = 0;
    for (unsigned slot = 0; slot < EG_SUP_HELPERS; slot++) {
        if (c->helpers[slot])
            continue;
        while (next < c->count && c->list[next].state != EG_SUP_CRED_WAITING)
            next++;
        if (next == c->count)
            return;
        struct eg_err err = { 0 };
        enum eg_status status = helper_start(c, slot, next, &err);
        if (status != EG_OK)
            settle(c, &c->list[next], status, &err);
    }
}

enum eg_status eg_sup_creds_new(struct eg_supervisor *s, const struct eg_policy *policy,
                                struct eg_sup_creds **ret)
{
    struct eg_sup_creds *c = calloc(1, sizeof *c);
    if (!c)
        return EG_NOMEM;
    c->supervisor = s;
    unsigned n = eg_policy_credential_count(policy);
    unsigned logins = eg_sup_upstream_in_force(s->options.upstream, policy)
                          ? eg_sup_upstream_login_count(s->options.upstream)
                          : 0;
    c->list = calloc(n + logins + 1, sizeof *c->list);
    bool whole = c->list != NULL;
    for (unsigned i = 0; whole && i < n; i++) {
        struct eg_credential from;
        struct eg_sup_credential *e = &c->list[i];
        eg_policy_credential(policy, i, &from);
        e->kind = from.kind;
        e->name = strndup(from.name.p, from.name.n);
        e->place = strndup(from.place.n ? from.place.p : "", from.place.n);
        e->account = strndup(from.account.n ? from.account.p : "", from.account.n);
        c->count = i + 1;
        whole = e->name && e->place && e->account;
    }
    for (unsigned i = 0; whole && i < logins; i++) {
        struct eg_sup_credential *e = &c->list[n + i];
        e->login = eg_sup_upstream_login(s->options.upstream, i);
        e->name = strdup(e->login->name);
        c->count = n + i + 1;
        whole = e->name != NULL;
    }
    if (!whole) {
        eg_sup_creds_free(c);
        return EG_NOMEM;
    }
    *ret = c;
    return EG_OK;
}

void eg_sup_creds_read(struct eg_sup_creds *c, void (*done)(struct eg_supervisor *s))
{
    c->open = c->count;
    for (unsigned i = 0; i < c->count; i++)
        if (c->list[i].login)
            take_login(c, &c->list[i]);
        else if (c->list[i].kind == EG_SOURCE_ENV)
            read_env(c, &c->list[i]);
    start_more(c);
    c->done = done;
}

void eg_sup_creds_free(struct eg_sup_creds *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < EG_SUP_HELPERS; i++)
        if (c->helpers[i]) {
            (void)kill(c->helpers[i]->pid, SIGKILL);
            helper_end(c->helpers[i]);
        }
    for (unsigned i = 0; i < c->count; i++) {
        eg_secret_free(c->list[i].secret);
        free(c->list[i].name);
        free(c->list[i].place);
        free(c->list[i].account);
    }
    free(c->list);
    free(c);
}
