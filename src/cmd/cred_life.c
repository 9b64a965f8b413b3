/* cred_life.c - what becomes of a credential after it was read: how long it is good, when it is read
 * again, who is told, and who asks for it.
 *
 * Invariants: an old value stays until a new one is there or it has expired; what a worker asks
 * for costs one read, whoever else waits for it, and a refusal one read in EG_CRED_REFUSED_MS. */
#include <sodium.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/creds.h"
#include "cred/redact.h"

enum {
    ASKS = 1000, /* of one worker in a second: ours never asks so often (worker_creds.c) */
    RETRY_MS = 5000,
    RETRY_PROMPT_MS = 60000, /* a source that may ask a person */
    RETRY_MAX_MS = 300000
};

/* ---- when ---- */

/* The earlier of expiry and the next read. */
static void arm(struct eg_sup_credential *e)
{
    struct eg_loop *loop = e->creds->supervisor->loop;
    uint64_t at = e->wanted || e->busy ? 0 : e->again_ms;
    if (e->state == EG_SUP_CRED_LOADED && e->expires_ms && (at == 0 || e->expires_ms < at))
        at = e->expires_ms;
    if (at == 0)
        eg_timer_clear(loop, &e->timer);
    else if (eg_timer_set(loop, &e->timer, at) != EG_OK)
        eg_log(EG_LOG_ERROR, "credential %s is not read again: out of memory", e->name);
}

/* Does reading it again bring anything else? */
static bool changes(const struct eg_sup_credential *e)
{
    return !e->login && e->kind != EG_SOURCE_ENV && !e->newer;
}

/* At 80 to 90 %, so that many of the same age are not all read at once. */
static uint64_t early(uint64_t ms)
{
    return ms / 10 * 8 + randombytes_uniform((uint32_t)(ms / 10 < UINT32_MAX ? ms / 10 : 0) + 1);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static void plan_loaded(struct eg_sup_credential *e, const struct eg_cred_answer *a, uint64_t now)
{
    uint64_t good = least(e->ttl_ms, a->expires_ms);
    uint64_t again = a->refresh_ms ? least(a->refresh_ms, e->ttl_ms ? early(e->ttl_ms) : 0)
                     : good        ? early(good)
                                   : 0;
    e->expires_ms = good && changes(e) ? now + good : 0;
    if (again && again < EG_CRED_TTL_MIN_MS)
        again = EG_CRED_TTL_MIN_MS;
    e->again_ms = again && changes(e) ? now + again : 0;
}

static bool prompts(const struct eg_sup_credential *e)
{
    return e->kind == EG_SOURCE_KEYRING || e->argv;
}

static uint64_t pause_ms(const struct eg_sup_credential *e)
{
    uint64_t ms = prompts(e) ? RETRY_PROMPT_MS : RETRY_MS;
    for (unsigned i = 1; i < e->failures && ms < RETRY_MAX_MS; i++)
        ms *= 2;
    if (e->state == EG_SUP_CRED_LOADED && e->expires_ms > e->read_ms)
        ms = least(ms, (e->expires_ms - e->read_ms) / 4 + EG_CRED_TTL_MIN_MS);
    return ms > RETRY_MAX_MS ? RETRY_MAX_MS : ms;
}

/* One that nobody said can change is left until a reload, or until somebody tests it. */
static void plan_failed(struct eg_sup_credential *e, uint64_t now)
{
    bool renewed = e->ttl_ms || e->expires_ms || e->kind == EG_SOURCE_OAUTH2;
    e->again_ms = 0;
    if (e->state == EG_SUP_CRED_FAILED && e->lazy)
        e->again_ms = now + EG_CRED_REFUSED_MS;
    else if (renewed && changes(e))
        e->again_ms = now + pause_ms(e);
}

/* ---- what ---- */

void eg_cred_fields_free(struct eg_sup_credential *e)
{
    for (unsigned i = 0; i < e->field_count; i++) {
        eg_secret_free(e->fields[i].secret);
        free(e->fields[i].name);
    }
    free(e->fields);
    e->fields = NULL;
    e->field_count = 0;
}

static void drop_value(struct eg_sup_credential *e)
{
    if (e->creds && e->creds == e->creds->supervisor->creds)
        eg_sup_workers_forget_fields(e->creds->supervisor, e);
    eg_secret_free(e->secret);
    e->secret = NULL;
    eg_cred_fields_free(e);
}

/* All of it, or what was there stays. */
static enum eg_status keep(struct eg_sup_credential *e, const struct eg_cred_answer *a,
                           struct eg_err *err)
{
    struct eg_vault *vault = e->creds->supervisor->vault;
    struct eg_sup_credential fresh = { .fields =
                                           a->count ? calloc(a->count, sizeof *e->fields) : NULL };
    enum eg_status s = a->count && !fresh.fields ? EG_NOMEM : EG_OK;
    if (s == EG_OK && a->value.n > 0)
        s = eg_secret_new(vault, a->value.p, a->value.n, &fresh.secret, err);
    for (unsigned i = 0; i < a->count && s == EG_OK; i++) {
        struct eg_sup_field *f = &fresh.fields[fresh.field_count++];
        if (asprintf(&f->name, "%s#%.*s", e->name, (int)a->fields[i].name.n, a->fields[i].name.p) <
            0) {
            f->name = NULL;
            s = EG_NOMEM;
        } else {
            s = eg_secret_new(vault, a->fields[i].value.p, a->fields[i].value.n, &f->secret, err);
        }
    }
    if (s != EG_OK) {
        drop_value(&fresh);
        return s;
    }
    drop_value(e);
    e->secret = fresh.secret;
    e->fields = fresh.fields;
    e->field_count = fresh.field_count;
    return EG_OK;
}

/* ---- who is told ---- */

/* Sessions have phantoms for what can be used; a new one must be told to workers. */
static void tell_sessions(struct eg_supervisor *s)
{
    if (eg_sup_sessions_derive(s) != EG_OK)
        eg_log(EG_LOG_ERROR, "out of memory for the phantoms of a credential");
    for (unsigned i = 0; i < s->worker_count; i++)
        for (unsigned k = 0; s->workers[i].furnished && k < s->session_count; k++)
            if (!s->sessions[k]->revoked)
                eg_sup_worker_session(&s->workers[i], s->sessions[k]);
}

/* Workers of the policy that it belongs to. */
static void tell(struct eg_sup_credential *e, bool was_usable)
{
    struct eg_supervisor *s = e->creds->supervisor;
    if (e->creds != s->creds || e->state == EG_SUP_CRED_WAITING || e->state == EG_SUP_CRED_READING)
        return;
    eg_sup_workers_credential(s, e);
    if (eg_sup_cred_usable(e) && !was_usable)
        tell_sessions(s);
}

/* In the log and the audit, once for each change. */
static void report(const struct eg_sup_credential *e, bool first)
{
    struct eg_supervisor *s = e->creds->supervisor;
    char why[256];
    if (e->creds != s->creds || s->phase == EG_SUP_NEW || s->phase == EG_SUP_STARTING)
        return; /* whoever waits for all of them tells */
    if (e->failures == 0) {
        eg_log(EG_LOG_INFO, "credential %s is there", e->name);
        eg_sup_event(s, EG_OK, 0, "credential %s is there", e->name);
    } else if (first || e->state == EG_SUP_CRED_FAILED) {
        eg_err_format(&e->why, why, sizeof why);
        eg_log(EG_LOG_WARN, "credential %s: %s", e->name, why);
        eg_sup_event(s, EG_CREDENTIAL_UNAVAILABLE, 0, "%s: %s", e->name, why);
    }
}

/* ---- after a read ---- */

/* Does a service search its answers for it? */
static bool searched_for(const struct eg_sup_credential *e)
{
    const struct eg_supervisor *s = e->creds->supervisor;
    const struct eg_sup_policy *p = s->reload.policy ? s->reload.policy : s->policy;
    for (unsigned i = 0; p && i < eg_policy_service_count(p->policy); i++) {
        struct eg_service service;
        eg_policy_service(p->policy, i, &service);
        if (service.redact && eg_slice_eq(service.credential, eg_slice_str(e->name)))
            return true;
    }
    return false;
}

/* `check` can't know how long it will be. */
static void warn_if_short(const struct eg_sup_credential *e)
{
    size_t n = e->secret ? eg_secret_len(e->secret) : EG_REDACT_MIN;
    if (n < EG_REDACT_MIN && searched_for(e))
        eg_log(EG_LOG_WARN,
               "credential %s: %zu bytes are too few to be looked for in answers (%d are needed): "
               "an origin that gives it back gives it to the child",
               e->name, n, EG_REDACT_MIN);
}

static void failed(struct eg_sup_credential *e, enum eg_status status, const struct eg_err *err,
                   uint64_t now)
{
    eg_err_reset(&e->why);
    if (err && err->status != EG_OK)
        e->why = *err;
    else
        (void)!eg_err_set(&e->why, status, "credential", 0, "%s", egress_status_sentence(status));
    e->failures += e->failures < UINT32_MAX;
    bool good = e->state == EG_SUP_CRED_LOADED && (e->expires_ms == 0 || now < e->expires_ms);
    if (!good) {
        drop_value(e);
        e->state = EG_SUP_CRED_FAILED;
    }
    plan_failed(e, now);
}

void eg_cred_settle(struct eg_sup_credential *e, enum eg_status status,
                    const struct eg_cred_answer *answer, const struct eg_err *err)
{
    struct eg_err own = { 0 };
    uint64_t now = eg_clock_ms();
    bool open = e->state == EG_SUP_CRED_WAITING || e->state == EG_SUP_CRED_READING;
    bool was_usable = eg_sup_cred_usable(e), had_failed = e->failures > 0;
    e->wanted = false;
    e->read_ms = now;
    if (status == EG_OK && answer) {
        status = keep(e, answer, &own);
        err = &own;
    }
    if (status == EG_OK) {
        if (e->loaded_ms == 0)
            warn_if_short(e);
        e->state = EG_SUP_CRED_LOADED;
        e->failures = 0;
        e->loaded_ms = now;
        eg_err_reset(&e->why);
        plan_loaded(e, answer ? answer : &(struct eg_cred_answer){ 0 }, now);
    } else {
        failed(e, status, err, now);
    }
    if (open)
        e->creds->open--;
    arm(e);
    if ((e->failures > 0) != had_failed)
        report(e, true);
    else if (was_usable != eg_sup_cred_usable(e) && e->failures > 0)
        report(e, false);
    tell(e, was_usable);
    if (e->creds->supervisor->control)
        eg_ctl_server_poke(e->creds->supervisor->control);
}

static void expire(struct eg_sup_credential *e)
{
    bool was_usable = eg_sup_cred_usable(e);
    drop_value(e);
    e->state = EG_SUP_CRED_FAILED;
    if (e->why.status == EG_OK)
        (void)!eg_err_set(&e->why, EG_CREDENTIAL_UNAVAILABLE, "credential", 0,
                          "it has expired and its source did not answer yet");
    e->failures += e->failures == 0;
    report(e, false);
    tell(e, was_usable);
}

void eg_cred_timer_fired(struct eg_timer *t)
{
    struct eg_sup_credential *e = t->ctx;
    uint64_t now = eg_clock_ms();
    if (e->state == EG_SUP_CRED_LOADED && e->expires_ms && now >= e->expires_ms)
        expire(e);
    if (e->again_ms && now >= e->again_ms && !e->wanted && !e->busy) {
        e->again_ms = 0;
        if (e->state == EG_SUP_CRED_FAILED && e->lazy) {
            e->state = EG_SUP_CRED_LAZY;
            tell(e, true);
        } else {
            eg_cred_want(e);
            eg_sup_creds_more(e->creds);
            return; /* what was read at once is armed already; c may be another by now */
        }
    }
    arm(e);
}

/* ---- who asks ---- */

static void answer(struct eg_sup_worker *w, struct eg_slice name)
{
    struct eg_link_message m = { .kind = EG_LINK_CREDENTIAL_SETTLED, .a = name };
    eg_sup_worker_send(w, &m, NULL, 0);
}

bool eg_sup_creds_asked(struct eg_sup_worker *w, const struct eg_link_message *m)
{
    struct eg_supervisor *s = w->supervisor;
    uint64_t now = eg_clock_ms();
    if (now - w->asks_ms >= 1000) {
        w->asks_ms = now;
        w->asks = 0;
    }
    if (++w->asks > ASKS)
        return false;
    struct eg_sup_credential *e = eg_sup_creds_find(s->creds, m->a);
    if (e && (e->wanted || e->busy))
        return true; /* all workers are told when it is settled */
    bool read =
        e && !e->kept &&
        (m->flag ? changes(e) && (!e->refused_ms || now - e->refused_ms >= EG_CRED_REFUSED_MS)
                 : e->state == EG_SUP_CRED_LAZY);
    if (!read) {
        answer(w, m->a);
        return true;
    }
    e->refused_ms = m->flag ? now : e->refused_ms;
    eg_cred_want(e);
    eg_sup_creds_more(s->creds);
    return true;
}

void eg_sup_creds_inherit(struct eg_sup_creds *now, struct eg_sup_creds *old)
{
    for (unsigned i = 0; i < old->count; i++) {
        struct eg_sup_credential *was = &old->list[i];
        struct eg_sup_credential *e = eg_sup_creds_find(now, eg_slice_str(was->name));
        if (!was->newer || !was->secret || !e || e->kind != was->kind ||
            strcmp(e->place, was->place) != 0 || strcmp(e->account, was->account) != 0)
            continue;
        eg_secret_free(e->secret);
        e->secret = was->secret;
        e->state = EG_SUP_CRED_LOADED;
        e->newer = true;
        was->secret = NULL;
    }
}

void eg_sup_creds_follow(struct eg_supervisor *s, const struct eg_sup_creds *old)
{
    for (unsigned i = 0; i < s->creds->count; i++) {
        struct eg_sup_credential *e = &s->creds->list[i];
        if (e->kind == EG_SOURCE_OAUTH2 && !e->lazy && e->state == EG_SUP_CRED_LAZY)
            eg_cred_want(e);
    }
    for (unsigned i = 0; i < old->count; i++) {
        const struct eg_sup_credential *was = &old->list[i];
        struct eg_sup_credential *e = eg_sup_creds_find(s->creds, eg_slice_str(was->name));
        if (!was->wanted && !was->busy)
            continue;
        if (e && e->state == EG_SUP_CRED_LAZY)
            eg_cred_want(e);
        for (unsigned k = 0; k < s->worker_count && !(e && e->wanted); k++)
            if (s->workers[k].furnished)
                answer(&s->workers[k], eg_slice_str(was->name));
    }
    eg_sup_creds_more(s->creds);
}
