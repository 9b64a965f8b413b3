/* cred_helper.c - a helper process seen from the supervisor: what it is given, its deadline, its
 * answer.
 *
 * Invariants: what a helper must not inherit it does not have (vault, environment); what it does
 * is copied before the fork and wiped after it; its answer is checked, put into the vault and
 * wiped before anything else happens. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/creds.h"

struct eg_sup_helper {
    struct eg_sup_credential *credential;
    unsigned slot;
    pid_t pid;
    int fd;
    struct eg_watch watch;
    struct eg_timer deadline;
    struct eg_buf in;
    struct eg_dead dead;
};

static void helper_free(struct eg_dead *d)
{
    free((char *)d - offsetof(struct eg_sup_helper, dead));
}

static void helper_end(struct eg_sup_helper *h)
{
    struct eg_sup_creds *c = h->credential->creds;
    struct eg_loop *loop = c->supervisor->loop;
    eg_watch_drop(loop, &h->watch);
    eg_timer_clear(loop, &h->deadline);
    close(h->fd);
    eg_buf_wipe(&h->in);
    eg_buf_done(&h->in);
    h->credential->busy = false;
    c->helpers[h->slot] = NULL;
    eg_loop_bury(loop, &h->dead);
}

/* A program's helper is asked, so that it ends the program and what that has started. */
static void stop(const struct eg_sup_helper *h)
{
    if (h->pid > 0)
        (void)kill(h->pid, h->credential->argv ? SIGTERM : SIGKILL);
}

/* One that uses up a refresh token is left to keep the next one: its own deadlines end it. */
static void let_go(const struct eg_sup_helper *h)
{
    if (!eg_sup_oauth_rotates(h->credential->creds, h->credential))
        stop(h);
}

void eg_cred_helper_kill(struct eg_sup_helper *h)
{
    let_go(h);
    helper_end(h);
}

/* answer borrows from h->in: helper_end comes after it is settled. */
static void finish(struct eg_sup_helper *h, enum eg_status status,
                   const struct eg_cred_answer *answer, const struct eg_err *err)
{
    struct eg_sup_credential *e = h->credential;
    struct eg_sup_creds *c = e->creds;
    struct eg_supervisor *s = c->supervisor;
    e->busy = false;
    eg_cred_settle(e, status, answer, err);
    helper_end(h);
    eg_sup_creds_more(c); /* it may free c */
    eg_sup_reload_resume(s);
}

/* The token is opaque to this file. */
static enum eg_status take_token(struct eg_sup_credential *e, struct eg_cred_answer *a,
                                 struct eg_err *err)
{
    struct eg_sup_oauth_token t;
    if (a->count > 0)
        return eg_err_set(err, EG_INTERNAL, "credential", 0, "its helper's answer makes no sense");
    enum eg_status s = eg_sup_oauth_take(e->creds, e, a->value, &t, err);
    if (s != EG_OK)
        return s;
    a->value = t.token;
    a->refresh_ms = t.refresh_ms;
    a->expires_ms = t.expires_ms;
    return EG_OK;
}

static void helper_answer(struct eg_sup_helper *h)
{
    struct eg_err err = { 0 };
    struct eg_cred_answer a;
    enum eg_status status = EG_INTERNAL;
    char why[200];
    if (h->in.len == 0)
        status = eg_err_set(&err, EG_IO, "credential", 0, "its helper ended without an answer");
    else if (eg_cred_answer_decode(eg_buf_slice(&h->in), &status, why, sizeof why, &a) != EG_OK)
        status =
            eg_err_set(&err, EG_INTERNAL, "credential", 0, "its helper's answer makes no sense");
    else if (status != EG_OK)
        (void)!eg_err_set(&err, status, NULL, 0, "%s", why);
    else if (h->credential->kind == EG_SOURCE_OAUTH2)
        status = take_token(h->credential, &a, &err);
    finish(h, status, &a, &err);
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
                              EG_CRED_ANSWER_MAX);
            stop(h);
            finish(h, EG_TOO_BIG, NULL, &err);
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
    stop(h);
    (void)!eg_err_set(&err, EG_IO, "credential", 0, "its source did not answer in %llu s",
                      (unsigned long long)(eg_cred_limit_ms(h->credential) + 999) / 1000);
    finish(h, EG_IO, NULL, &err);
}

/* ---- start ---- */

/* What is in the environment's copy must be looked up before the fork. */
static enum eg_status prepare(struct eg_sup_credential *e, struct eg_cred_job *job, char ***env,
                              struct eg_err *err)
{
    const struct eg_environ *from = e->creds->supervisor->options.environment;
    job->credential = e;
    if (e->kind == EG_SOURCE_SYSTEMD) {
        const char *folder = eg_environ_get(from, "CREDENTIALS_DIRECTORY");
        char *copy = folder ? strdup(folder) : NULL;
        *env = calloc(2, sizeof **env);
        if (!*env || (folder && !copy)) {
            free(copy);
            return EG_NOMEM;
        }
        (*env)[0] = copy;
        job->folder = copy;
    }
    if (!e->argv)
        return EG_OK;
    bool bare = strchr(e->argv[0], '/') == NULL;
    enum eg_status s = bare ? eg_source_program(e->argv[0], job->path, err) : EG_OK;
    if (s == EG_OK)
        s = eg_cred_env_make(from, bare ? e->argv[0] : NULL, env);
    job->env = *env;
    return s;
}

static enum eg_status listen_to(struct eg_sup_helper *h)
{
    struct eg_loop *loop = h->credential->creds->supervisor->loop;
    uint64_t until = eg_clock_ms() + eg_cred_patience_ms(h->credential);
    (void)fcntl(h->fd, F_SETFL, O_NONBLOCK);
    enum eg_status s = eg_watch_set(loop, &h->watch, h->fd, 0, EG_IN);
    return s == EG_OK ? eg_timer_set(loop, &h->deadline, until) : s;
}

static enum eg_status helper_new(struct eg_sup_credential *e, unsigned slot, int *other,
                                 struct eg_sup_helper **ret, struct eg_err *err)
{
    int fds[2];
    char *room;
    struct eg_sup_helper *h = calloc(1, sizeof *h);
    if (!h)
        return EG_NOMEM;
    /* at once, so that growing leaves no copy; one byte more only tells that it is longer */
    eg_buf_init(&h->in, 1024 + EG_CRED_ANSWER_MAX + 1);
    if (eg_buf_reserve(&h->in, h->in.max, &room) != EG_OK || pipe2(fds, O_CLOEXEC) < 0) {
        int sys = errno;
        eg_buf_done(&h->in);
        free(h);
        return eg_err_set(err, EG_IO, "credential", sys, "no helper could be started");
    }
    h->credential = e;
    h->slot = slot;
    h->fd = fds[0];
    h->watch.ready = helper_ready;
    h->deadline.fire = helper_late;
    h->watch.ctx = h->deadline.ctx = h;
    h->dead.free = helper_free;
    e->creds->helpers[slot] = h;
    *other = fds[1];
    *ret = h;
    return EG_OK;
}

/* Forks; the child never returns. */
static enum eg_status helper_fork(struct eg_sup_helper *h, struct eg_cred_job *job,
                                  struct eg_err *err)
{
    h->pid = fork();
    if (h->pid == 0)
        eg_cred_read_run(job);
    if (h->pid > 0 && listen_to(h) == EG_OK)
        return EG_OK;
    return eg_err_set(err, EG_IO, "credential", errno, "no helper could be started");
}

enum eg_status eg_cred_helper_start(struct eg_sup_credential *e, unsigned slot, struct eg_err *err)
{
    struct eg_cred_job job = { .fd = -1 };
    struct eg_sup_oauth oauth = { .client = -1 };
    struct eg_sup_helper *h = NULL;
    char **env = NULL;
    enum eg_status s = prepare(e, &job, &env, err);
    if (s == EG_OK && e->kind == EG_SOURCE_OAUTH2) {
        job.oauth = &oauth;
        s = eg_sup_oauth_begin(e->creds, e, &oauth, err);
    }
    if (s == EG_OK)
        s = helper_new(e, slot, &job.fd, &h, err);
    if (s == EG_OK)
        s = helper_fork(h, &job, err);
    if (job.fd >= 0)
        close(job.fd);
    if (s != EG_OK && h)
        eg_cred_helper_kill(h);
    eg_sup_oauth_forked(&oauth);
    eg_cred_env_free(env);
    if (s != EG_OK)
        return s;
    e->busy = true;
    if (e->state == EG_SUP_CRED_WAITING)
        e->state = EG_SUP_CRED_READING;
    return EG_OK;
}
