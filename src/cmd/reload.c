/* reload.c - a new policy while the old one works: compile, read credentials, have every worker
 * prepare it, and only when all accept, switch.
 *
 * A changed resolv.conf or hosts file goes the same way, with the policy and the credentials as
 * they are: nobody asked for those to be read again.
 *
 * Invariants: a failed reload changes nothing but the audit; SIGHUPs that come meanwhile become
 * one more reload; at most one is under way, and none while a refresh token is being used: the new
 * one would be lost with the old credentials. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "cmd/oauth.h"
#include "cmd/ssh.h"
#include "cmd/state.h"

enum { LOOK_MS = 5000 };

static void begin(struct eg_supervisor *s);

/* What is left of an attempt; begins the next one when it was asked for. */
static void clear(struct eg_supervisor *s)
{
    struct eg_sup_reload *r = &s->reload;
    eg_timer_clear(s->loop, &r->late);
    eg_sup_policy_free(r->policy);
    eg_sup_creds_free(r->creds);
    r->policy = NULL;
    r->creds = NULL;
    r->step = EG_SUP_RELOAD_NONE;
}

static void next(struct eg_supervisor *s)
{
    struct eg_sup_reload *r = &s->reload;
    if (r->again && s->phase == EG_SUP_RUNNING && !eg_sup_oauth_rotating(s->creds)) {
        r->whole = r->again_whole;
        r->again = r->again_whole = false;
        begin(s);
    }
    if (r->step == EG_SUP_RELOAD_NONE && s->phase == EG_SUP_RUNNING)
        eg_sup_creds_more(s->creds); /* refresh tokens have waited */
}

void eg_sup_reload_resume(struct eg_supervisor *s)
{
    if (s->reload.again && s->reload.step == EG_SUP_RELOAD_NONE)
        next(s);
}

static void fail(struct eg_supervisor *s, const char *why)
{
    eg_log(EG_LOG_ERROR, "reload failed, the old policy stays: %s", why);
    eg_sup_event(s, EG_RELOAD_FAILED, 0, "%s", why);
    if (s->reload.step == EG_SUP_RELOAD_PREPARE) {
        uint32_t generation = s->reload.policy->generation;
        struct eg_link_message m = { .kind = EG_LINK_ABANDON, .generation = generation };
        for (unsigned i = 0; i < s->worker_count; i++)
            if (s->workers[i].asked == generation)
                eg_sup_worker_send(&s->workers[i], &m, NULL, 0);
    }
    clear(s);
    next(s);
}

static void too_late(struct eg_timer *t)
{
    fail(t->ctx, "a worker did not answer in time");
}

static void warn_of(const struct eg_supervisor *s)
{
    for (unsigned i = 0; i < s->creds->count; i++) {
        const struct eg_sup_credential *e = &s->creds->list[i];
        char why[256];
        if (e->state == EG_SUP_CRED_FAILED)
            eg_log(EG_LOG_WARN, "credential %s: %s", e->name,
                   eg_err_format(&e->why, why, sizeof why));
    }
}

static void switch_over(struct eg_supervisor *s)
{
    struct eg_sup_reload *r = &s->reload;
    struct eg_sup_creds *old = r->creds ? s->creds : NULL;
    uint32_t generation = r->policy->generation;
    struct eg_link_message m = { .kind = EG_LINK_SWITCH, .generation = generation };
    eg_sup_policy_free(s->policy);
    s->policy = r->policy;
    s->creds = r->creds ? r->creds : s->creds;
    r->policy = NULL;
    r->creds = NULL;
    if (old)
        eg_sup_creds_inherit(s->creds, old);
    if (old && eg_sup_sessions_derive(s) != EG_OK)
        eg_log(EG_LOG_ERROR, "reload: out of memory for the phantoms of new services");
    for (unsigned i = 0; i < s->worker_count; i++) {
        struct eg_sup_worker *w = &s->workers[i];
        if (w->state != EG_SUP_WORKER_READY || w->accepted != generation)
            continue; /* one that begins gets it all when it has prepared */
        if (old) {
            eg_sup_worker_forget(w, old, s->creds);
            eg_sup_worker_credentials(w);
        }
        eg_sup_worker_send(w, &m, NULL, 0);
        for (unsigned k = 0; old && k < s->session_count; k++)
            if (!s->sessions[k]->revoked)
                eg_sup_worker_session(w, s->sessions[k]);
    }
    if (old) {
        warn_of(s);
        eg_sup_creds_follow(s, old);
    }
    eg_sup_creds_free(old);
    eg_sup_ssh_follow(s);
    clear(s);
    eg_log(EG_LOG_INFO, "%s in force", old ? "a new policy is" : "new name servers and hosts are");
    eg_sup_event(s, EG_RELOADED, 0, "%sgeneration %u", old ? "" : "name servers and hosts, ",
                 generation);
    next(s);
}

void eg_sup_reload_check(struct eg_supervisor *s)
{
    struct eg_sup_reload *r = &s->reload;
    unsigned ready = 0, accepted = 0;
    if (r->step != EG_SUP_RELOAD_PREPARE || s->phase != EG_SUP_RUNNING)
        return;
    for (unsigned i = 0; i < s->worker_count; i++) {
        struct eg_sup_worker *w = &s->workers[i];
        if (w->state == EG_SUP_WORKER_STARTING)
            return; /* it prepares the old policy: it is asked for the new one once it is ready */
        if (w->state != EG_SUP_WORKER_READY)
            continue;
        ready++;
        if (w->asked != r->policy->generation)
            eg_sup_worker_policy(w, r->policy);
        accepted += w->accepted == r->policy->generation;
    }
    if (ready > 0 && accepted == ready)
        switch_over(s);
}

void eg_sup_reload_refused(struct eg_supervisor *s, uint32_t generation, const char *why)
{
    const struct eg_sup_reload *r = &s->reload;
    if (r->step == EG_SUP_RELOAD_PREPARE && r->policy->generation == generation)
        fail(s, why);
}

static void credentials_read(struct eg_supervisor *s)
{
    s->reload.step = EG_SUP_RELOAD_PREPARE;
    s->reload.late.fire = too_late;
    s->reload.late.ctx = s;
    if (eg_timer_set(s->loop, &s->reload.late, eg_loop_now(s->loop) + EG_SUP_READY_MS) != EG_OK)
        fail(s, "out of memory");
    else
        eg_sup_reload_check(s);
}

static void begin(struct eg_supervisor *s)
{
    struct eg_sup_reload *r = &s->reload;
    struct eg_err err = { 0 };
    char why[256];
    enum eg_status status = r->whole ? eg_sup_policy_load(s, &r->policy, &err)
                                     : eg_sup_policy_refresh(s, &r->policy, &err);
    if (status == EG_OK && r->whole) {
        eg_sup_listeners_compare(s, r->policy->policy);
        status = eg_sup_ssh_check(s, r->policy->policy, &err);
        if (status == EG_OK)
            status = eg_sup_creds_new(s, r->policy->policy, &r->creds);
    }
    if (status != EG_OK) {
        fail(s, eg_err_format(err.status != EG_OK ? &err : &(struct eg_err){ .status = status },
                              why, sizeof why));
        return;
    }
    r->step = EG_SUP_RELOAD_CREDENTIALS;
    if (!r->whole) {
        credentials_read(s);
        return;
    }
    eg_sup_creds_read(r->creds, credentials_read);
    if (r->creds->open == 0) {
        r->creds->done = NULL;
        credentials_read(s);
    }
}

void eg_sup_reload_ask(struct eg_supervisor *s, bool whole)
{
    s->reload.again = true;
    s->reload.again_whole = s->reload.again_whole || whole;
    if (s->reload.step == EG_SUP_RELOAD_NONE)
        next(s);
}

/* ---- the system's files ---- */

/* Times of the last change; links are followed, since resolv.conf often is one. */
static bool changed(struct eg_sup_reload *r)
{
    static const char *const files[] = { "/etc/resolv.conf", "/etc/hosts" };
    bool any = false;
    for (int i = 0; i < 2; i++) {
        struct stat st = { 0 };
        if (stat(files[i], &st) < 0)
            memset(&st, 0, sizeof st);
        any = any || st.st_ctim.tv_sec != r->seen[i].tv_sec ||
              st.st_ctim.tv_nsec != r->seen[i].tv_nsec;
        r->seen[i] = st.st_ctim;
    }
    return any;
}

static void look(struct eg_timer *t)
{
    struct eg_supervisor *s = t->ctx;
    if (s->phase != EG_SUP_RUNNING)
        return;
    if (changed(&s->reload))
        eg_sup_reload_ask(s, false);
    if (eg_timer_set(s->loop, t, eg_loop_now(s->loop) + LOOK_MS) != EG_OK)
        eg_log(EG_LOG_WARN, "changes of name servers go unseen from now on");
}

enum eg_status eg_sup_reload_watch(struct eg_supervisor *s)
{
    (void)changed(&s->reload);
    s->reload.look.fire = look;
    s->reload.look.ctx = s;
    return eg_timer_set(s->loop, &s->reload.look, eg_loop_now(s->loop) + LOOK_MS);
}

void eg_sup_reload_cancel(struct eg_supervisor *s)
{
    s->reload.again = s->reload.again_whole = false;
    eg_timer_clear(s->loop, &s->reload.look);
    clear(s);
}
