/* supervisor.c - the life of the supervisor: what it opens, the signals it hears, when it ends. The
 * parts are in the files that state.h names.
 *
 * Invariants: nothing is started when anything fails; the process is undumpable and leaves no
 * core before the first secret is read; only SIGTERM, SIGINT or the caller end it; whatever it
 * made in the file system (socket, token file) it removes, and nothing else. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/ssh.h"
#include "cmd/state.h"

enum { LAST_TICKS = 16 };

static const int heard[] = { SIGCHLD, SIGHUP,  SIGTERM, SIGINT,  SIGQUIT,
                             SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH, SIGTSTP };

static void set_late(struct eg_supervisor *s, uint64_t ms)
{
    if (eg_timer_set(s->loop, &s->stop_timer, eg_clock_ms() + ms) != EG_OK)
        eg_sup_workers_kill(s);
}

/* ---- ending ---- */

static void stop_now(struct eg_supervisor *s)
{
    struct eg_link_message m = { .kind = EG_LINK_STOP };
    s->phase = EG_SUP_STOPPING;
    eg_sup_reload_cancel(s);
    eg_sup_listeners_close(s, false);
    eg_sup_workers_send(s, &m);
    set_late(s, EG_SUP_STOP_MS);
}

static void stop_late(struct eg_timer *t)
{
    struct eg_supervisor *s = t->ctx;
    if (s->phase == EG_SUP_DRAINING)
        stop_now(s);
    else
        eg_sup_workers_kill(s);
}

void eg_supervisor_quit(struct eg_supervisor *s, bool drain)
{
    struct eg_link_message m = { .kind = EG_LINK_DRAIN };
    if (s->phase == EG_SUP_STOPPING || (s->phase == EG_SUP_DRAINING && drain))
        return;
    if (s->phase == EG_SUP_NEW || s->phase == EG_SUP_STARTING) {
        s->stop_asked = true;
        return;
    }
    if (!drain) {
        stop_now(s);
        return;
    }
    s->phase = EG_SUP_DRAINING;
    eg_sup_reload_cancel(s);
    eg_sup_event(s, EG_SHUTTING_DOWN, 0, "draining");
    eg_sup_listeners_close(s, false);
    eg_sup_workers_send(s, &m);
    /* workers cut at the limit themselves */
    set_late(s, eg_policy_limits(s->policy->policy)->drain_timeout + 500);
}

/* ---- signals ---- */

static void reap(struct eg_supervisor *s)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (!eg_sup_worker_reaped(s, pid, status) && !eg_sup_ssh_reaped(s->ssh, pid, status) &&
            s->options.child_exited)
            /* credential helpers too: their pipe told already */
            s->options.child_exited(s->options.ctx, pid, status);
}

static void hear(struct eg_supervisor *s, int number)
{
    if (number == SIGCHLD) {
        reap(s);
        return;
    }
    if (s->options.signalled && s->options.signalled(s->options.ctx, number))
        return;
    if (number == SIGTSTP)
        raise(SIGSTOP); /* as it would be without us */
    else if (number == SIGHUP)
        eg_sup_reload_ask(s, true);
    else if (number == SIGQUIT)
        eg_supervisor_quit(s, false);
    else if (number == SIGTERM || number == SIGINT)
        eg_supervisor_quit(s, s->phase != EG_SUP_DRAINING);
}

static void signal_ready(struct eg_watch *w, unsigned events)
{
    struct eg_supervisor *s = w->ctx;
    struct signalfd_siginfo info;
    (void)events;
    while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info)
        hear(s, (int)info.ssi_signo);
}

static enum eg_status open_signals(struct eg_supervisor *s, struct eg_err *err)
{
    sigset_t set, old;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof heard / sizeof *heard; i++)
        sigaddset(&set, heard[i]);
    sigprocmask(SIG_BLOCK, &set, &old);
    s->old_mask = old;
    s->signals_set = true;
    s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    s->signal_watch.ready = signal_ready;
    s->signal_watch.ctx = s;
    if (s->signals < 0 || eg_watch_set(s->loop, &s->signal_watch, s->signals, 0, EG_IN) != EG_OK)
        return eg_err_set(err, EG_IO, "supervisor", errno, "signalfd");
    return EG_OK;
}

/* ---- new ---- */

static enum eg_status open_audit(struct eg_supervisor *s, struct eg_err *err)
{
    const struct eg_settings *set = eg_policy_settings(s->policy->policy);
    enum eg_status status = egress_ring_create(set->audit_capacity, &s->ring, &s->ring_fd);
    if (status != EG_OK)
        return eg_err_set(err, status, "audit", errno, "no memory for %u events",
                          set->audit_capacity);
    s->trail = (struct eg_trail){ .ring = s->ring,
                                  .file = -1,
                                  .strict = set->audit_strict,
                                  .destinations = (enum eg_destinations)set->audit_destinations };
    if (set->audit_file.n == 0)
        return EG_OK;
    char path[4096];
    if (set->audit_file.n >= sizeof path)
        return eg_err_set(err, EG_TOO_BIG, "audit", 0, "audit.file is too long");
    memcpy(path, set->audit_file.p, set->audit_file.n);
    path[set->audit_file.n] = 0;
    return eg_trail_open_file(path, &s->trail.file, err);
}

static enum eg_status open_control(struct eg_supervisor *s, struct eg_err *err)
{
    struct eg_ctl_config config = {
        .loop = s->loop, .path = s->options.control_path, .handlers = eg_sup_handlers, .ctx = s
    };
    return config.path ? eg_ctl_server_new(&config, &s->control, err) : EG_OK;
}

static void credentials_read(struct eg_supervisor *s)
{
    s->creds_read = true;
}

static enum eg_status fork_worker(struct eg_supervisor *s, unsigned i, struct eg_err *err)
{
    s->workers[i].supervisor = s;
    s->workers[i].number = i + 1;
    return eg_sup_worker_fork(&s->workers[i], err);
}

/* This process as it will be, and the workers, before anything of the operator's is read. */
static enum eg_status begin(struct eg_supervisor *s, struct eg_err *err)
{
    bool locked = true;
    enum eg_status status = eg_sup_harden(err);
    if (status == EG_OK)
        status = eg_loop_new(&s->loop, err);
    /* signals first: none may be lost, not even that a worker has ended */
    if (status == EG_OK)
        status = open_signals(s, err);
    for (unsigned i = 0; i < s->worker_count && status == EG_OK; i++)
        status = fork_worker(s, i, err);
    if (status == EG_OK)
        status = eg_vault_new(&s->vault, EG_SUP_VAULT, false, &locked, err);
    if (status == EG_OK && !locked)
        eg_log(EG_LOG_WARN, "credentials can't be locked in memory: raise RLIMIT_MEMLOCK");
    return status;
}

/* What the policy names; the workers are told as soon as there is something to tell. */
static enum eg_status open_parts(struct eg_supervisor *s, struct eg_err *err)
{
    enum eg_status status = eg_sup_policy_load(s, &s->policy, err);
    if (status == EG_OK)
        status = eg_sup_ssh_check(s, s->policy->policy, err);
    if (status == EG_OK)
        status = eg_sup_creds_new(s, s->policy->policy, &s->creds);
    if (status == EG_OK) { /* helpers read while the rest is opened */
        eg_sup_creds_read(s->creds, credentials_read);
        status = open_audit(s, err);
    }
    for (unsigned i = 0; i < s->worker_count && status == EG_OK; i++)
        status = eg_sup_worker_start(&s->workers[i], err);
    /* before the listeners: of two daemons with one socket the second must not take a port */
    if (status == EG_OK)
        status = open_control(s, err);
    return status == EG_OK ? eg_sup_listeners_open(s, err) : status;
}

enum eg_status eg_supervisor_new(const struct eg_supervisor_options *options,
                                 struct eg_supervisor **ret, struct eg_err *err)
{
    struct eg_supervisor *s = calloc(1, sizeof *s);
    if (!s)
        return EG_NOMEM;
    s->signals = s->trail.file = -1;
    s->started_ms = eg_clock_ms();
    s->started_wall_us = eg_clock_wall_us();
    s->worker_count = options->workers;
    s->stop_timer.fire = stop_late;
    s->stop_timer.ctx = s;
    enum eg_status status = options->workers >= 1 && options->workers <= EG_SUP_WORKERS
                                ? eg_sup_options_copy(&s->options, options)
                                : EG_INVALID;
    if (status == EG_OK)
        status = begin(s, err);
    if (status == EG_OK)
        status = open_parts(s, err);
    if (status != EG_OK) {
        eg_supervisor_free(s);
        return status;
    }
    *ret = s;
    return EG_OK;
}

/* ---- start ---- */

static enum eg_status await_credentials(struct eg_supervisor *s, struct eg_err *err)
{
    eg_sup_creds_more(s->creds); /* workers were told their policy since: tokens come by them */
    s->creds_read = s->creds->open == 0;
    while (!s->creds_read && !s->stop_asked) {
        enum eg_status status = eg_loop_tick(s->loop, -1, err);
        if (status != EG_OK)
            return status;
    }
    s->creds->done = NULL;
    if (!s->creds_read)
        return eg_err_set(err, EG_CLOSED, "supervisor", 0, "stopped by a signal");
    for (unsigned i = 0; i < s->creds->count; i++) {
        const struct eg_sup_credential *e = &s->creds->list[i];
        char why[256];
        if (e->state != EG_SUP_CRED_FAILED)
            continue;
        eg_log(EG_LOG_WARN, "credential %s: %s", e->name, eg_err_format(&e->why, why, sizeof why));
        eg_sup_event(s, EG_CREDENTIAL_UNAVAILABLE, 0, "%s: %s", e->name, why);
    }
    return EG_OK;
}

static enum eg_status wait_for_workers(struct eg_supervisor *s, struct eg_err *err)
{
    for (;;) {
        unsigned ready = 0;
        for (unsigned i = 0; i < s->worker_count; i++) {
            if (s->workers[i].failed) {
                *err = s->workers[i].err;
                return err->status;
            }
            ready += s->workers[i].state == EG_SUP_WORKER_READY;
        }
        if (ready == s->worker_count)
            return EG_OK;
        if (s->stop_asked)
            return eg_err_set(err, EG_CLOSED, "supervisor", 0, "stopped by a signal");
        enum eg_status status = eg_loop_tick(s->loop, -1, err);
        if (status != EG_OK)
            return status;
    }
}

enum eg_status eg_supervisor_start(struct eg_supervisor *s, struct eg_err *err)
{
    struct eg_err own = { 0 };
    struct eg_session_info session;
    err = err ? err : &own;
    s->phase = EG_SUP_STARTING;
    enum eg_status status = await_credentials(s, err);
    if (status == EG_OK && s->options.default_session) {
        status = eg_supervisor_session_create(s, "default", 0, &session, err);
        if (status == EG_OK)
            status = eg_sup_token_write(s, session.token, err);
    }
    if (status == EG_OK)
        status = eg_sup_listeners_sessions(s, err);
    s->provided = status == EG_OK;
    for (unsigned i = 0; i < s->worker_count && status == EG_OK; i++)
        eg_sup_worker_furnish(&s->workers[i]);
    if (status == EG_OK)
        eg_sup_ssh_follow(s);
    if (status == EG_OK)
        status = wait_for_workers(s, err);
    if (status != EG_OK)
        return status;
    s->phase = EG_SUP_RUNNING;
    eg_sup_event(s, EG_OK, 0, "started: %u workers", s->worker_count);
    if (s->options.enforcement)
        eg_sup_event(s, EG_OK, 0, "enforcement: %s%s%s", s->options.enforcement,
                     s->options.weaker && *s->options.weaker ? ": " : "",
                     s->options.weaker ? s->options.weaker : "");
    status = eg_sup_reload_watch(s);
    if (status != EG_OK)
        return status;
    if (s->reload.again)
        eg_sup_reload_ask(s, true);
    if (s->stop_asked)
        eg_supervisor_quit(s, true);
    return EG_OK;
}

/* ---- run ---- */

static enum eg_status finish(struct eg_supervisor *s, struct eg_err *err)
{
    egress_ring_settle(s->ring); /* no writer is left */
    eg_sup_event(s, EG_OK, 0, "stopped");
    for (int i = 0; i < LAST_TICKS; i++) /* who follows the audit gets the last of it */
        if (eg_loop_tick(s->loop, 0, NULL) != EG_OK)
            break;
    return eg_sup_events_keep(s, err);
}

enum eg_status eg_supervisor_run(struct eg_supervisor *s, struct eg_err *err)
{
    enum eg_status status = EG_OK;
    while (status == EG_OK && !((s->phase == EG_SUP_DRAINING || s->phase == EG_SUP_STOPPING) &&
                                eg_sup_workers_alive(s) == 0))
        status = eg_loop_tick(s->loop, -1, err);
    enum eg_status kept = finish(s, status == EG_OK ? err : NULL);
    return status == EG_OK ? kept : status;
}

/* Workers that are left (a start that failed): no supervisor leaves a process behind. */
static void end_workers(struct eg_supervisor *s)
{
    eg_sup_workers_kill(s);
    for (unsigned i = 0; i < s->worker_count; i++) {
        struct eg_sup_worker *w = &s->workers[i];
        if (w->pid > 0)
            while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR) {
            }
        w->pid = 0;
        if (s->loop)
            eg_timer_clear(s->loop, &w->timer);
        eg_link_close(&w->link);
    }
}

void eg_supervisor_free(struct eg_supervisor *s)
{
    if (!s)
        return;
    end_workers(s);
    eg_sup_ssh_free(s->ssh);
    if (s->loop) {
        eg_sup_reload_cancel(s);
        eg_timer_clear(s->loop, &s->stop_timer);
        eg_ctl_server_free(s->control);
        eg_watch_drop(s->loop, &s->signal_watch);
    }
    if (s->signals >= 0)
        close(s->signals);
    if (s->signals_set)
        sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
    eg_sup_token_remove(s);
    eg_sup_sessions_free(s);
    eg_sup_creds_free(s->creds);
    eg_sup_listeners_close(s, true);
    eg_sup_policy_free(s->policy);
    if (s->trail.file >= 0)
        close(s->trail.file);
    egress_ring_free(s->ring);
    eg_loop_free(s->loop);
    eg_vault_free(s->vault);
    eg_sup_options_free(&s->options);
    free(s);
}

const struct eg_policy *eg_supervisor_policy(const struct eg_supervisor *s)
{
    return s->policy->policy;
}

const char *const *eg_supervisor_policy_parts(const struct eg_supervisor *s, unsigned *count)
{
    *count = s->policy->part_count;
    return (const char *const *)s->policy->parts;
}

struct egress_ring *eg_supervisor_ring(const struct eg_supervisor *s)
{
    return s->ring;
}

struct eg_loop *eg_supervisor_loop(const struct eg_supervisor *s)
{
    return s->loop;
}
