/* cred_tell.c - tells workers what a credential is now: values, fields, failures. Parts that are not
 * for them stay here. */
#include "cmd/creds.h"

struct lending {
    struct eg_sup_worker *worker;
    const char *name;
    bool now;
};

static enum eg_status send_value(void *ctx, const unsigned char *p, size_t n)
{
    struct lending *l = ctx;
    struct eg_link_message m = {
        .kind = EG_LINK_CREDENTIAL, .flag = l->now, .a = eg_slice_str(l->name), .b = eg_slice(p, n)
    };
    eg_sup_worker_send(l->worker, &m, NULL, 0);
    return EG_OK;
}

static void send_drop(struct eg_sup_worker *w, const char *name, bool now)
{
    struct eg_link_message m = { .kind = EG_LINK_CREDENTIAL_DROP,
                                 .flag = now,
                                 .a = eg_slice_str(name) };
    eg_sup_worker_send(w, &m, NULL, 0);
}

static void send_failed(struct eg_sup_worker *w, const struct eg_sup_credential *e, bool now)
{
    char why[256];
    bool lazy = e->state != EG_SUP_CRED_FAILED;
    eg_err_format(&e->why, why, sizeof why);
    struct eg_link_message m = { .kind = EG_LINK_CREDENTIAL_FAILED,
                                 .flag = now,
                                 .status = lazy ? EG_AGAIN : e->why.status,
                                 .a = eg_slice_str(e->name),
                                 .b = eg_slice_str(lazy ? "" : why) };
    eg_sup_worker_send(w, &m, NULL, 0);
}

static void send_one(struct eg_sup_worker *w, const struct eg_sup_credential *e, bool now)
{
    struct lending l = { w, e->name, now };
    if (e->kept)
        return;
    if (e->state != EG_SUP_CRED_LOADED) {
        send_failed(w, e, now);
        return;
    }
    for (unsigned i = 0; i < e->field_count; i++) {
        l.name = e->fields[i].name;
        (void)!eg_secret_lend(e->fields[i].secret, send_value, &l);
    }
    l.name = e->name;
    if (e->secret)
        (void)!eg_secret_lend(e->secret, send_value, &l);
    else
        send_drop(w, e->name, now);
}

void eg_sup_worker_credentials(struct eg_sup_worker *w)
{
    const struct eg_sup_creds *c = w->supervisor->creds;
    for (unsigned i = 0; i < c->count; i++)
        send_one(w, &c->list[i], false);
}

void eg_sup_workers_credential(struct eg_supervisor *s, const struct eg_sup_credential *e)
{
    struct eg_link_message m = { .kind = EG_LINK_CREDENTIAL_SETTLED, .a = eg_slice_str(e->name) };
    for (unsigned i = 0; i < s->worker_count; i++) {
        struct eg_sup_worker *w = &s->workers[i];
        if (w->pid <= 0 || w->asked == 0) /* it has no policy yet: it gets all with that */
            continue;
        send_one(w, e, true);
        eg_sup_worker_send(w, &m, NULL, 0);
    }
}

void eg_sup_workers_forget_fields(struct eg_supervisor *s, const struct eg_sup_credential *e)
{
    for (unsigned i = 0; i < s->worker_count; i++)
        for (unsigned k = 0; s->workers[i].asked != 0 && !e->kept && k < e->field_count; k++)
            send_drop(&s->workers[i], e->fields[k].name, true);
}

static bool known(const struct eg_sup_creds *c, const char *name)
{
    for (unsigned i = 0; i < c->count; i++) {
        const struct eg_sup_credential *e = &c->list[i];
        if (strcmp(e->name, name) == 0)
            return true;
        for (unsigned k = 0; k < e->field_count; k++)
            if (strcmp(e->fields[k].name, name) == 0)
                return true;
    }
    return false;
}

void eg_sup_worker_forget(struct eg_sup_worker *w, const struct eg_sup_creds *old,
                          const struct eg_sup_creds *now)
{
    for (unsigned i = 0; i < old->count; i++) {
        const struct eg_sup_credential *e = &old->list[i];
        if (e->kept)
            continue;
        if (!known(now, e->name))
            send_drop(w, e->name, false);
        for (unsigned k = 0; k < e->field_count; k++)
            if (!known(now, e->fields[k].name))
                send_drop(w, e->fields[k].name, false);
    }
}
