/* workers.c - starts workers, tells each everything it must know, hears what it answers, and starts
 * one anew when it dies.
 *
 * Invariants: what a worker sends is hostile: it is bounded, checked against what was asked, and
 * never more than a text for the log; a worker whose link breaks is killed; every death is in
 * the audit, with the `end` of what it left open. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "cmd/ssh.h"
#include "cmd/state.h"
#include "cmd/worker.h"
#include "net/sock.h"

enum { QUEUE_MAX = 8 << 20, WARN_LINES = 10 };

static void give_up(struct eg_sup_worker *w)
{
    eg_link_close(&w->link);
    if (w->pid > 0)
        (void)kill(w->pid, SIGKILL); /* the rest is done when it is reaped */
}

void eg_sup_worker_send(struct eg_sup_worker *w, const struct eg_link_message *m, const int *fds,
                        unsigned fd_count)
{
    struct eg_err err = { 0 };
    enum eg_status status = w->link.open ? eg_link_send(&w->link, m, fds, fd_count, &err) : EG_OK;
    if (status == EG_OK)
        return;
    if (status != EG_CLOSED) /* a worker that has ended is heard of when it is reaped */
        eg_log(EG_LOG_ERROR, "worker %u does not take messages: %s", w->number, err.text);
    give_up(w);
}

void eg_sup_workers_send(struct eg_supervisor *s, const struct eg_link_message *m)
{
    for (unsigned i = 0; i < s->worker_count; i++)
        if (s->workers[i].pid > 0)
            eg_sup_worker_send(&s->workers[i], m, NULL, 0);
}

/* ---- what it must know ---- */

void eg_sup_worker_policy(struct eg_sup_worker *w, const struct eg_sup_policy *p)
{
    int fds[2] = { p->block_fd, p->facts_fd };
    struct eg_link_message m = { .kind = EG_LINK_POLICY, .generation = p->generation };
    w->asked = p->generation;
    eg_sup_worker_send(w, &m, fds, 2);
}

void eg_sup_worker_session(struct eg_sup_worker *w, const struct eg_sup_session *e)
{
    struct eg_link_message m = { .kind = EG_LINK_SESSION_PUT,
                                 .a = eg_slice_str(e->id),
                                 .b = eg_slice_str(e->label),
                                 .c = eg_slice_str(e->token),
                                 .when_us = e->expires_wall_us,
                                 .pair_count = e->count };
    if (e->count)
        memcpy(m.pairs, e->phantoms, e->count * sizeof *e->phantoms);
    eg_sup_worker_send(w, &m, NULL, 0);
    m = (struct eg_link_message){ .kind = EG_LINK_SESSION_REVOKE, .a = eg_slice_str(e->id) };
    if (e->revoked) /* put all the same: its token must answer token_revoked */
        eg_sup_worker_send(w, &m, NULL, 0);
}

static void send_listener(struct eg_sup_worker *w, const struct eg_sup_listener *l)
{
    const char *label = w->supervisor->options.entry_session;
    if (l->kind >= EG_INGRESS_CAPTURE && w->number != 1)
        return; /* what stands for which name is one worker's to know */
    struct eg_link_message m = { .kind = EG_LINK_LISTENER,
                                 .at = l->at,
                                 .ingress = l->kind,
                                 .protocols = l->protocols,
                                 .auth = l->auth,
                                 .flag = l->require_client,
                                 .a = eg_slice_str(l->cert),
                                 .b = eg_slice_str(l->key),
                                 .c = eg_slice_str(l->client_ca) };
    for (; m.pair_count < l->session_count && m.pair_count < EG_LINK_PAIRS; m.pair_count++)
        m.pairs[m.pair_count] = (struct eg_session_phantom){ l->sessions[m.pair_count].san,
                                                             l->sessions[m.pair_count].label };
    if (l->kind != EG_INGRESS_PROXY && label)
        m.pairs[m.pair_count++] = (struct eg_session_phantom){ "", label };
    eg_sup_worker_send(w, &m, &l->fd, 1);
}

/* Listeners last, so that it accepts nobody before it can judge. It ends itself when it can't take
 * its first policy: what follows that in its link is then never read. */
void eg_sup_worker_furnish(struct eg_sup_worker *w)
{
    struct eg_supervisor *s = w->supervisor;
    struct eg_link_message m = { .kind = EG_LINK_SWITCH };
    w->furnished = true;
    eg_sup_worker_credentials(w);
    eg_sup_worker_send(w, &m, NULL, 0);
    for (unsigned i = 0; i < s->session_count; i++)
        eg_sup_worker_session(w, s->sessions[i]);
    for (unsigned i = 0; i < s->listener_count; i++)
        if (s->listeners[i].fd >= 0)
            send_listener(w, &s->listeners[i]);
    m = (struct eg_link_message){ .kind = EG_LINK_GO };
    eg_sup_worker_send(w, &m, NULL, 0);
}

/* ---- what it says ---- */

/* At most WARN_LINES a second; the text is escaped by the log. */
static void said(struct eg_sup_worker *w, struct eg_slice text)
{
    uint64_t now = eg_loop_now(w->supervisor->loop);
    if (now - w->warned_ms >= 1000) {
        w->warned_ms = now;
        w->warned = 0;
    }
    if (w->warned++ < WARN_LINES)
        eg_log(EG_LOG_WARN, "worker %u: %.*s", w->number, (int)(text.n > 240 ? 240 : text.n),
               text.p);
}

static void accepted(struct eg_sup_worker *w, const struct eg_link_message *m)
{
    struct eg_supervisor *s = w->supervisor;
    if (m->generation != w->asked || w->accepted == w->asked)
        return;
    w->accepted = m->generation;
    if (w->state == EG_SUP_WORKER_READY)
        eg_sup_reload_check(s);
}

static void unable(struct eg_sup_worker *w, const struct eg_link_message *m)
{
    enum eg_status status = m->status == EG_OK ? EG_INTERNAL : m->status;
    said(w, m->a);
    if (w->state == EG_SUP_WORKER_STARTING && !w->failed) {
        w->failed = true;
        (void)!eg_err_set(&w->err, status, "worker", 0, "%.*s", (int)(m->a.n > 180 ? 180 : m->a.n),
                          m->a.p);
    }
    give_up(w);
}

static void message(struct eg_link *l, const struct eg_link_message *m, int *fds, unsigned fd_count)
{
    struct eg_sup_worker *w = l->ctx;
    struct eg_supervisor *s = w->supervisor;
    (void)fds;
    (void)fd_count;
    if (m->kind == EG_LINK_ACCEPTED) {
        accepted(w, m);
    } else if (m->kind == EG_LINK_REFUSED && w->state == EG_SUP_WORKER_READY) {
        char why[128];
        snprintf(why, sizeof why, "%.*s", (int)(m->a.n > 120 ? 120 : m->a.n), m->a.p);
        if (m->generation == w->asked)
            eg_sup_reload_refused(s, m->generation, why);
    } else if (m->kind == EG_LINK_REFUSED || m->kind == EG_LINK_FAILED) {
        unable(w, m);
    } else if (m->kind == EG_LINK_READY && w->state == EG_SUP_WORKER_STARTING && w->furnished) {
        w->state = EG_SUP_WORKER_READY;
        w->since_ms = eg_loop_now(s->loop);
        eg_timer_clear(s->loop, &w->timer);
        eg_sup_reload_check(s);
        eg_sup_creds_more(s->creds); /* tokens come through a worker */
    } else if (m->kind == EG_LINK_STATS && w->stats_asked) {
        w->stats = m->stats;
        w->stats_known = true;
        w->stats_asked = false;
        if (s->control)
            eg_ctl_server_poke(s->control);
    } else if (m->kind == EG_LINK_WARN) {
        said(w, m->a);
    } else if (m->kind == EG_LINK_CREDENTIAL_ASK) {
        if (!eg_sup_creds_asked(w, m)) {
            eg_log(EG_LOG_ERROR, "worker %u asked for credentials without end", w->number);
            give_up(w);
        }
    } else if (m->kind != EG_LINK_CHANNEL_ASK && m->kind != EG_LINK_CHANNEL_CANCEL) {
        eg_log(EG_LOG_ERROR, "worker %u sent what it was not asked for", w->number);
        give_up(w);
    } else if (!eg_sup_ssh_asked(w, m)) {
        eg_log(EG_LOG_ERROR, "worker %u asked for an impossible channel", w->number);
        give_up(w);
    }
}

static void link_closed(struct eg_link *l, enum eg_status why)
{
    struct eg_sup_worker *w = l->ctx;
    enum eg_sup_phase phase = w->supervisor->phase;
    if (why == EG_EOF && (phase == EG_SUP_DRAINING || phase == EG_SUP_STOPPING))
        return; /* told to end, it closes and exits: the stop timer ends one that does not */
    if (why != EG_EOF)
        eg_log(EG_LOG_ERROR, "worker %u sent what is no message", w->number);
    give_up(w);
}

/* ---- life and death ---- */

static void late(struct eg_timer *t)
{
    struct eg_sup_worker *w = t->ctx;
    struct eg_err err = { 0 };
    uint64_t now = eg_loop_now(w->supervisor->loop);
    if (w->pid > 0 && !w->supervisor->provided &&
        eg_timer_set(w->supervisor->loop, t, now + EG_SUP_READY_MS) == EG_OK)
        return; /* it waits for us: a credential may take its time */
    if (w->pid > 0) {
        eg_log(EG_LOG_ERROR, "worker %u did not begin in time", w->number);
        give_up(w);
    } else if (w->supervisor->phase != EG_SUP_RUNNING) {
        return; /* it died before the drain: one that began now would hear of none */
    } else if (eg_sup_worker_start(w, &err) != EG_OK) {
        eg_log(EG_LOG_ERROR, "worker %u: %s", w->number, err.text);
        w->backoff_ms = EG_SUP_BACKOFF_MAX_MS;
        if (eg_timer_set(w->supervisor->loop, t, now + w->backoff_ms) != EG_OK)
            eg_supervisor_quit(w->supervisor, true);
    }
}

enum eg_status eg_sup_worker_fork(struct eg_sup_worker *w, struct eg_err *err)
{
    struct eg_supervisor *s = w->supervisor;
    int fds[2];
    enum eg_status status = eg_sock_pair(fds, err);
    if (status != EG_OK)
        return status;
    struct eg_worker_config config = { .number = w->number,
                                       .link = fds[1],
                                       .splice = s->options.splice };
    w->pid = fork();
    if (w->pid == 0)
        eg_worker_run(&config);
    close(fds[1]);
    if (w->pid < 0) {
        w->pid = 0;
        close(fds[0]);
        return eg_err_set(err, EG_IO, "worker", 0, "fork failed");
    }
    w->state = EG_SUP_WORKER_STARTING;
    w->accepted = w->asked = 0;
    w->failed = w->stats_asked = w->furnished = false;
    eg_err_reset(&w->err);
    w->link.message = message;
    w->link.closed = link_closed;
    w->link.ctx = w;
    w->timer.fire = late;
    w->timer.ctx = w;
    status = eg_link_open(&w->link, s->loop, fds[0], EG_LINK_FROM_WORKER_MAX, 0, QUEUE_MAX, err);
    if (status != EG_OK)
        (void)kill(w->pid, SIGKILL);
    return EG_OK; /* from here on its end is noticed when it is reaped */
}

enum eg_status eg_sup_worker_start(struct eg_sup_worker *w, struct eg_err *err)
{
    struct eg_supervisor *s = w->supervisor;
    enum eg_status status = w->pid == 0 ? eg_sup_worker_fork(w, err) : EG_OK;
    if (status != EG_OK)
        return status;
    w->since_ms = eg_loop_now(s->loop);
    if (eg_timer_set(s->loop, &w->timer, w->since_ms + EG_SUP_READY_MS) != EG_OK) {
        give_up(w);
        return EG_OK;
    }
    int fds[2] = { s->ring_fd, s->trail.file };
    struct eg_link_message m = { .kind = EG_LINK_AUDIT,
                                 .flag = s->trail.strict,
                                 .when_us = s->trail.destinations };
    eg_sup_worker_send(w, &m, fds, s->trail.file >= 0 ? 2 : 1);
    eg_sup_worker_policy(w, s->policy);
    if (s->provided)
        eg_sup_worker_furnish(w);
    return EG_OK;
}

static void describe(int status, char *out, size_t cap)
{
    if (WIFSIGNALED(status))
        snprintf(out, cap, "signal %d", WTERMSIG(status));
    else
        snprintf(out, cap, "exit status %d", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

static void restart_later(struct eg_sup_worker *w)
{
    struct eg_supervisor *s = w->supervisor;
    uint64_t now = eg_loop_now(s->loop);
    bool stable = w->state == EG_SUP_WORKER_READY && now - w->since_ms >= EG_SUP_STABLE_MS;
    w->backoff_ms = w->backoff_ms == 0 || stable                ? EG_SUP_BACKOFF_MS
                    : w->backoff_ms * 2 > EG_SUP_BACKOFF_MAX_MS ? EG_SUP_BACKOFF_MAX_MS
                                                                : w->backoff_ms * 2;
    w->restarts++;
    if (eg_timer_set(s->loop, &w->timer, now + w->backoff_ms) != EG_OK)
        eg_supervisor_quit(s, true);
}

bool eg_sup_worker_reaped(struct eg_supervisor *s, pid_t pid, int wait_status)
{
    struct eg_sup_worker *w = NULL;
    for (unsigned i = 0; i < s->worker_count; i++)
        if (s->workers[i].pid == pid)
            w = &s->workers[i];
    if (!w)
        return false;
    bool ending = s->phase == EG_SUP_DRAINING || s->phase == EG_SUP_STOPPING;
    bool fine = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
    w->pid = 0;
    w->furnished = false;
    eg_timer_clear(s->loop, &w->timer);
    eg_link_close(&w->link);
    eg_sup_ssh_drop(s->ssh, w->number);
    if (!(ending && fine)) {
        char how[48];
        describe(wait_status, how, sizeof how);
        eg_log(EG_LOG_ERROR, "worker %u ended: %s", w->number, how);
        eg_sup_event(s, EG_WORKER_DIED, 0, "worker %u: %s", w->number, how);
        eg_sup_events_close(s, w->number);
    }
    if (s->phase == EG_SUP_STARTING && !w->failed) {
        w->failed = true;
        (void)!eg_err_set(&w->err, EG_INTERNAL, "worker", 0, "worker %u ended before it was ready",
                          w->number);
    }
    if (s->phase == EG_SUP_RUNNING)
        restart_later(w);
    w->state = EG_SUP_WORKER_DOWN;
    eg_sup_reload_check(s);
    return true;
}

unsigned eg_sup_workers_alive(const struct eg_supervisor *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->worker_count; i++)
        n += s->workers[i].pid > 0;
    return n;
}

void eg_sup_workers_kill(struct eg_supervisor *s)
{
    for (unsigned i = 0; i < s->worker_count; i++)
        if (s->workers[i].pid > 0)
            (void)kill(s->workers[i].pid, SIGKILL);
}
