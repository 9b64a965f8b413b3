/* worker_creds.c - a worker's credentials: those of a reload wait until SWITCH, those of a refresh
 * until all that belongs together is there; and the engine's questions for them.
 *
 * Invariants: no exchange sees a new value under the old policy, or one new field beside an old
 * one; a refusal is asked about at most once in REFUSED_MS for each name. */
#include "cmd/worker_creds.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { REFUSED_MS = 10000, REFUSED_NAMES = 4096 };

struct eg_worker_staged {
    struct eg_worker_staged *next;
    char *name;
    enum eg_link_kind kind;
    struct eg_secret *secret;
    struct eg_err why;
};

struct refusal {
    uint64_t until_ms;
};

enum eg_status eg_worker_creds_init(struct eg_worker_creds *c)
{
    return eg_table_new(&c->refused, REFUSED_NAMES);
}

static void staged_free(struct eg_worker_staged *s)
{
    eg_secret_free(s->secret);
    free(s->name);
    free(s);
}

static void list_free(struct eg_worker_staged **list)
{
    while (*list) {
        struct eg_worker_staged *s = *list;
        *list = s->next;
        staged_free(s);
    }
}

void eg_worker_creds_done(struct eg_worker_creds *c)
{
    list_free(&c->staged);
    list_free(&c->now);
    if (c->refused)
        eg_table_free(c->refused, free);
    c->refused = NULL;
}

enum eg_status eg_worker_creds_take(struct eg_worker_creds *c, const struct eg_link_message *m)
{
    struct eg_worker_staged *s = calloc(1, sizeof *s);
    struct eg_worker_staged **end = m->flag ? &c->now : &c->staged;
    if (!s || !(s->name = eg_slice_dup(m->a))) {
        free(s);
        return EG_NOMEM;
    }
    s->kind = m->kind;
    if (m->kind == EG_LINK_CREDENTIAL &&
        (m->b.n == 0 || eg_secret_new(c->vault, m->b.p, m->b.n, &s->secret, &s->why) != EG_OK)) {
        s->kind = EG_LINK_CREDENTIAL_FAILED;
        eg_err_reset(&s->why);
        (void)!eg_err_set(&s->why, EG_TOO_BIG, "vault", 0, "no room for the credential");
    } else if (m->kind == EG_LINK_CREDENTIAL_FAILED) {
        enum eg_status status = m->status == EG_OK ? EG_CREDENTIAL_UNAVAILABLE : m->status;
        (void)!eg_err_set(&s->why, status, "credential", 0, "%.*s", (int)m->b.n, m->b.p);
    }
    while (*end)
        end = &(*end)->next;
    *end = s;
    return EG_OK;
}

static enum eg_status put_one(void *ctx, const unsigned char *p, size_t n)
{
    void **pair = ctx;
    return eg_creds_put(pair[0], eg_slice_str(pair[1]), p, n, NULL);
}

static enum eg_status apply_one(struct eg_creds *creds, const struct eg_worker_staged *s)
{
    struct eg_slice name = eg_slice_str(s->name);
    if (s->kind == EG_LINK_CREDENTIAL_DROP) {
        eg_creds_drop(creds, name);
        return EG_OK;
    }
    if (s->secret)
        return eg_secret_lend(s->secret, put_one, (void *[]){ creds, s->name });
    return s->why.status == EG_AGAIN ? eg_creds_lazy(creds, name)
                                     : eg_creds_fail(creds, name, &s->why);
}

/* Fields are dropped before they are told anew: one that has the same value again has not changed. */
static bool is_told_again(const struct eg_worker_staged *s)
{
    for (const struct eg_worker_staged *next = s->next; next; next = next->next)
        if (strcmp(next->name, s->name) == 0)
            return true;
    return false;
}

static bool apply(struct eg_worker_creds *c, struct eg_worker_staged **list)
{
    struct eg_creds *creds = eg_engine_creds(c->engine);
    bool whole = true;
    while (*list) {
        struct eg_worker_staged *s = *list;
        *list = s->next;
        if (s->kind == EG_LINK_CREDENTIAL_DROP && is_told_again(s)) {
            staged_free(s);
            continue;
        }
        if (apply_one(creds, s) !=
            EG_OK) { /* an old value must not stay in the place of a new one */
            eg_creds_drop(creds, eg_slice_str(s->name));
            whole = false;
        }
        staged_free(s);
    }
    return whole;
}

bool eg_worker_creds_switch(struct eg_worker_creds *c, bool commit)
{
    if (commit)
        return apply(c, &c->staged);
    list_free(&c->staged);
    return true;
}

bool eg_worker_creds_settled(struct eg_worker_creds *c, struct eg_slice name)
{
    bool whole = apply(c, &c->now);
    eg_engine_credential(c->engine, name);
    return whole;
}

static enum eg_status refuse_once(struct eg_worker_creds *c, struct eg_slice name)
{
    struct refusal *r = eg_table_get(c->refused, name);
    uint64_t now = eg_clock_ms();
    if (r && now < r->until_ms)
        return EG_RATE_LIMITED;
    if (!r) {
        r = calloc(1, sizeof *r);
        enum eg_status s = r ? eg_table_add(c->refused, name, r) : EG_NOMEM;
        if (s != EG_OK) {
            free(r);
            return EG_RATE_LIMITED;
        }
    }
    r->until_ms = now + REFUSED_MS;
    return EG_OK;
}

enum eg_status eg_worker_creds_ask(struct eg_worker_creds *c, struct eg_slice name, bool refused)
{
    struct eg_link_message m = { .kind = EG_LINK_CREDENTIAL_ASK, .flag = refused, .a = name };
    enum eg_status s = refused ? refuse_once(c, name) : EG_OK;
    return s == EG_OK ? eg_link_send(c->link, &m, NULL, 0, NULL) : s;
}
