/* credentials.c - the credentials of one policy: which there are, and which is read next: env: from
 * the copy of the environment at once, parts before what they are parts of, all else by a few helper
 * processes at a time, so that neither a prompt nor a hanging file system blocks the supervisor.
 *
 * Invariants: a value is in the vault or in a buffer that is wiped before this file's functions
 * return to the loop with it whole; a failure is recorded with its sentence and never with bytes
 * of the value. */
#include <sodium.h>
#include <stdlib.h>

#include "cmd/creds.h"
#include "cmd/upstream.h"

struct eg_sup_credential *eg_sup_creds_find(const struct eg_sup_creds *c, struct eg_slice name)
{
    for (unsigned i = 0; c && i < c->count; i++)
        if (eg_slice_eq(eg_slice_str(c->list[i].name), name))
            return &c->list[i];
    return NULL;
}

bool eg_cred_is_part(const struct eg_sup_credential *e, const struct eg_sup_credential *part)
{
    size_t n = strlen(e->name);
    return strncmp(part->name, e->name, n) == 0 && part->name[n] == '#';
}

/* ---- what is here already ---- */

static void read_env(struct eg_sup_credential *e)
{
    struct eg_err err = { 0 };
    struct eg_buf b;
    size_t n = strlen(e->name);
    bool text = n > 4 && strcmp(e->name + n - 4, "#key") == 0;
    const char *value = eg_environ_get(e->creds->supervisor->options.environment, e->place);
    struct eg_cred_answer a = { 0 };
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
        status = eg_source_check(&b, text, &err);
    a.value = eg_buf_slice(&b);
    eg_cred_settle(e, status, &a, &err);
    eg_buf_wipe(&b);
    eg_buf_done(&b);
}

/* It has no value but its parts. true: they are settled, and so is it. */
static bool read_parts(struct eg_sup_credential *e)
{
    struct eg_sup_creds *c = e->creds;
    const struct eg_sup_credential *bad = NULL;
    struct eg_err err = { 0 };
    char why[160];
    for (unsigned i = 0; i < c->count; i++) {
        const struct eg_sup_credential *part = &c->list[i];
        if (!eg_cred_is_part(e, part))
            continue;
        if (part->wanted || part->busy)
            return false;
        if (part->state != EG_SUP_CRED_LOADED)
            bad = part;
    }
    if (bad) {
        eg_err_format(&bad->why, why, sizeof why);
        (void)eg_err_set(&err, EG_CREDENTIAL_UNAVAILABLE, "credential", 0, "%s: %s",
                         bad->name + strlen(e->name) + 1, why);
    }
    eg_cred_settle(e, bad ? EG_CREDENTIAL_UNAVAILABLE : EG_OK, NULL, &err);
    return true;
}

/* ---- which is next ---- */

static bool parts_settled(const struct eg_sup_credential *e)
{
    for (unsigned i = 0; i < e->creds->count; i++) {
        const struct eg_sup_credential *part = &e->creds->list[i];
        if (eg_cred_is_part(e, part) && (part->wanted || part->busy))
            return false;
    }
    return true;
}

static bool free_slot(const struct eg_sup_creds *c, unsigned *ret)
{
    for (unsigned i = 0; i < EG_SUP_HELPERS; i++)
        if (!c->helpers[i]) {
            *ret = i;
            return true;
        }
    return false;
}

/* true: something has changed. */
static bool try_one(struct eg_sup_credential *e)
{
    struct eg_err err = { 0 };
    unsigned slot;
    enum eg_status status = EG_OK;
    if (e->login) {
        eg_cred_settle(e, EG_OK, &(struct eg_cred_answer){ .value = e->login->value }, NULL);
        return true;
    }
    if (e->kind == EG_SOURCE_ENV) {
        read_env(e);
        return true;
    }
    if (e->kind == EG_SOURCE_SIGV4 && !e->argv)
        return read_parts(e);
    if (e->kind == EG_SOURCE_OAUTH2)
        status = parts_settled(e) ? eg_sup_oauth_ready(e->creds, e, &err) : EG_AGAIN;
    if (status == EG_AGAIN || !free_slot(e->creds, &slot))
        return false;
    if (status == EG_OK)
        status = eg_cred_helper_start(e, slot, &err);
    if (status == EG_OK)
        e->wanted = false;
    else if (status != EG_AGAIN)
        eg_cred_settle(e, status, NULL, &err);
    return status != EG_AGAIN;
}

void eg_sup_creds_more(struct eg_sup_creds *c)
{
    bool changed = true;
    while (changed) { /* each change takes a wish away: it ends */
        changed = false;
        for (unsigned i = 0; i < c->count; i++)
            if (c->list[i].wanted && !c->list[i].busy)
                changed = try_one(&c->list[i]) || changed;
    }
    if (c->open == 0 && c->done) {
        void (*done)(struct eg_supervisor *) = c->done;
        c->done = NULL;
        done(c->supervisor); /* it may free c */
    }
}

void eg_cred_want(struct eg_sup_credential *e)
{
    struct eg_sup_creds *c = e->creds;
    bool whole = e->kind == EG_SOURCE_SIGV4 || e->failures > 0;
    e->wanted = true;
    for (unsigned i = 0; i < c->count; i++) {
        struct eg_sup_credential *part = &c->list[i];
        if (eg_cred_is_part(e, part) && !part->newer && !part->busy &&
            (whole || part->state == EG_SUP_CRED_LAZY || part->state == EG_SUP_CRED_FAILED))
            part->wanted = true;
    }
}

void eg_sup_creds_read(struct eg_sup_creds *c, void (*done)(struct eg_supervisor *s))
{
    bool reload = c != c->supervisor->creds;
    for (unsigned i = 0; i < c->count; i++) {
        struct eg_sup_credential *e = &c->list[i];
        /* tokens come by services that are not in force yet */
        bool later = e->lazy || (reload && e->kind == EG_SOURCE_OAUTH2);
        e->state = later ? EG_SUP_CRED_LAZY : EG_SUP_CRED_WAITING;
        e->wanted = !later;
        c->open += !later;
    }
    eg_sup_creds_more(c);
    c->done = done;
}

/* ---- the list ---- */

static char *text_of(struct eg_slice s)
{
    return eg_slice_dup(s);
}

static bool copy_args(struct eg_sup_credential *e, const struct eg_policy *policy, unsigned i,
                      unsigned count)
{
    if (count == 0)
        return true;
    e->argv = calloc(count + 1, sizeof *e->argv);
    for (unsigned k = 0; e->argv && k < count; k++)
        if (!(e->argv[k] = text_of(eg_policy_credential_arg(policy, i, k))))
            return false;
    return e->argv != NULL;
}

static bool fill(struct eg_sup_credential *e, const struct eg_policy *policy, unsigned i)
{
    struct eg_credential from;
    eg_policy_credential(policy, i, &from);
    e->kind = from.kind;
    e->json = from.json;
    e->lazy = from.lazy;
    e->kept = from.kept;
    e->timeout_ms = from.timeout_ms;
    e->ttl_ms = from.ttl_ms;
    e->name = text_of(from.name);
    e->place = text_of(from.place);
    e->account = text_of(from.account);
    return e->name && e->place && e->account && copy_args(e, policy, i, from.arg_count);
}

static void adopt(struct eg_sup_creds *c, struct eg_sup_credential *e)
{
    e->creds = c;
    e->timer.fire = eg_cred_timer_fired;
    e->timer.ctx = e;
    c->count++;
}

/* A part is read when what it is a part of is. */
static void part_follow(struct eg_sup_creds *c)
{
    for (unsigned i = 0; i < c->count; i++)
        for (unsigned k = 0; strchr(c->list[i].name, '#') && k < c->count; k++)
            if (eg_cred_is_part(&c->list[k], &c->list[i]))
                c->list[i].lazy = c->list[k].lazy;
}

/* Nobody waits for the credential of a proxy on the way out: it is read at start. */
static void hops_follow(struct eg_sup_creds *c, const struct eg_policy *policy)
{
    struct eg_hop hops[EG_HOPS_MAX];
    for (int chain = EG_CHAIN_SECURE; chain <= EG_CHAIN_PLAIN; chain++) {
        unsigned n = eg_policy_hops(policy, (enum eg_chain)chain, hops);
        for (unsigned i = 0; i < n; i++) {
            struct eg_sup_credential *e = eg_sup_creds_find(c, hops[i].credential);
            if (e)
                e->lazy = false;
        }
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
        adopt(c, &c->list[i]);
        whole = fill(&c->list[i], policy, i);
    }
    for (unsigned i = 0; whole && i < logins; i++) {
        struct eg_sup_credential *e = &c->list[n + i];
        adopt(c, e);
        e->login = eg_sup_upstream_login(s->options.upstream, i);
        e->name = strdup(e->login->name);
        whole = e->name != NULL;
    }
    if (!whole) {
        eg_sup_creds_free(c);
        return EG_NOMEM;
    }
    hops_follow(c, policy);
    part_follow(c);
    *ret = c;
    return EG_OK;
}

static void credential_done(struct eg_sup_credential *e)
{
    eg_timer_clear(e->creds->supervisor->loop, &e->timer);
    eg_secret_free(e->secret);
    eg_cred_fields_free(e);
    for (char **a = e->argv; a && *a; a++)
        free(*a);
    free(e->argv);
    free(e->name);
    free(e->place);
    free(e->account);
}

void eg_sup_creds_free(struct eg_sup_creds *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < EG_SUP_HELPERS; i++)
        if (c->helpers[i])
            eg_cred_helper_kill(c->helpers[i]);
    for (unsigned i = 0; i < c->count; i++)
        credential_done(&c->list[i]);
    free(c->list);
    free(c);
}
