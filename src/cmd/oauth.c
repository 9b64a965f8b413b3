/* oauth.c - the supervisor's side of an oauth2 credential: when it can be fetched, what its helper is given, and what becomes of the answer.
 *
 * Invariants: parts go to the helper only, never to a worker; the supervisor parses nothing that an endpoint sent: it checks lengths and that a token is
 * visible ASCII. */
#include "cmd/oauth.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "cred/oauth.h"

enum { EXPIRES_MAX_S = 400 * 24 * 3600 };

struct eg_sup_credential *eg_sup_oauth_part(const struct eg_sup_creds *c,
                                            const struct eg_sup_credential *e, unsigned part)
{
    static const char *const names[EG_OAUTH_PARTS] = { "client_secret", "refresh_token", "key" };
    char name[300];
    int n = snprintf(name, sizeof name, "%s#%s", e->name, names[part]);
    for (unsigned i = 0; n < (int)sizeof name && i < c->count; i++)
        if (strcmp(c->list[i].name, name) == 0)
            return &c->list[i];
    return NULL;
}

bool eg_sup_oauth_rotates(const struct eg_sup_creds *c, const struct eg_sup_credential *e)
{
    return e->kind == EG_SOURCE_OAUTH2 && eg_sup_oauth_part(c, e, EG_OAUTH_REFRESH);
}

bool eg_sup_oauth_rotating(const struct eg_sup_creds *c)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->list[i].busy && eg_sup_oauth_rotates(c, &c->list[i]))
            return true;
    return false;
}

/* ---- before ---- */

static bool settled(const struct eg_sup_credential *e)
{
    return e->state != EG_SUP_CRED_WAITING && e->state != EG_SUP_CRED_READING;
}

static enum eg_status check_parts(const struct eg_sup_creds *c, const struct eg_sup_credential *e,
                                  struct eg_err *err)
{
    char why[160];
    for (unsigned i = 0; i < EG_OAUTH_PARTS; i++) {
        const struct eg_sup_credential *part = eg_sup_oauth_part(c, e, i);
        if (!part || part->secret)
            continue;
        if (part->state != EG_SUP_CRED_FAILED)
            return EG_AGAIN;
        eg_err_format(&part->why, why, sizeof why);
        return eg_err_set(err, EG_CREDENTIAL_UNAVAILABLE, "oauth2", 0, "%s: %s",
                          part->name + strlen(e->name) + 1, why);
    }
    return EG_OK;
}

/* While the supervisor starts, what a proxy hop or a client certificate needs must be there first: the exchange may go that way. */
static bool others_settled(const struct eg_sup_creds *c)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->list[i].kind != EG_SOURCE_OAUTH2 && !settled(&c->list[i]))
            return false;
    return true;
}

static struct eg_sup_worker *find_worker(const struct eg_sup_creds *c)
{
    struct eg_supervisor *s = c->supervisor;
    if (c != s->creds)
        return NULL; /* of a reload that is under way: its internal services are nobody's yet */
    for (unsigned i = 0; i < s->worker_count; i++) {
        struct eg_sup_worker *w = &s->workers[i];
        if (w->pid <= 0 || !w->link.open || w->failed)
            continue;
        if (w->state == EG_SUP_WORKER_READY)
            return w;
        if (!s->provided && w->asked != 0 && others_settled(c))
            return w;
    }
    return NULL;
}

enum eg_status eg_sup_oauth_ready(const struct eg_sup_creds *c, const struct eg_sup_credential *e,
                                  struct eg_err *err)
{
    const struct eg_sup_reload *r = &c->supervisor->reload;
    enum eg_status s = check_parts(c, e, err);
    if (s != EG_OK)
        return s;
    if (c->supervisor->phase == EG_SUP_RUNNING && (r->again || r->step != EG_SUP_RELOAD_NONE) &&
        eg_sup_oauth_rotates(c, e))
        return EG_AGAIN;
    return find_worker(c) ? EG_OK : EG_AGAIN;
}

static enum eg_status append(void *ctx, const unsigned char *p, size_t n)
{
    uint32_t len = (uint32_t)n;
    enum eg_status s = eg_buf_append(ctx, &len, sizeof len);
    return s == EG_OK ? eg_buf_append(ctx, p, n) : s;
}

static enum eg_status gather(const struct eg_sup_creds *c, const struct eg_sup_credential *e,
                             struct eg_buf *out)
{
    char *room;
    eg_buf_init(out, EG_OAUTH_PARTS * (EG_CREDENTIAL_MAX + sizeof(uint32_t)));
    enum eg_status s = eg_buf_reserve(out, out->max, &room);
    for (unsigned i = 0; i < EG_OAUTH_PARTS && s == EG_OK; i++) {
        const struct eg_sup_credential *part = eg_sup_oauth_part(c, e, i);
        s = part && part->secret ? eg_secret_lend(part->secret, append, out)
                                 : append(out, (const unsigned char *)"", 0);
    }
    return s;
}

/* It has its policy prepared and waits for the credentials of all; the first SWITCH comes early. */
static void provide(struct eg_sup_worker *w)
{
    struct eg_link_message m = { .kind = EG_LINK_SWITCH };
    eg_sup_worker_credentials(w);
    eg_sup_worker_send(w, &m, NULL, 0);
}

enum eg_status eg_sup_oauth_begin(struct eg_sup_creds *c, const struct eg_sup_credential *e,
                                  struct eg_sup_oauth *ret, struct eg_err *err)
{
    struct eg_link_message m = { .kind = EG_LINK_CLIENT };
    int pair[2];
    struct eg_sup_worker *w = find_worker(c);
    ret->client = -1;
    if (!w)
        return EG_AGAIN;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return eg_err_set(err, EG_IO, "oauth2", errno, "no connection to a worker");
    ret->client = pair[1];
    enum eg_status s = gather(c, e, &ret->parts);
    if (s == EG_OK) {
        if (w->state != EG_SUP_WORKER_READY)
            provide(w);
        eg_sup_worker_send(w, &m, &pair[0], 1);
    }
    close(pair[0]);
    if (s != EG_OK)
        eg_sup_oauth_forked(ret);
    return s == EG_OK ? EG_OK : eg_err_set(err, s, "oauth2", 0, "no memory for its parts");
}

void eg_sup_oauth_forked(struct eg_sup_oauth *o)
{
    if (o->client >= 0)
        close(o->client);
    o->client = -1;
    eg_buf_wipe(&o->parts);
    eg_buf_done(&o->parts);
}

/* ---- after ---- */

static bool visible(struct eg_slice text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] <= 0x20 || text.p[i] >= 0x7f)
            return false;
    return true;
}

/* The old one is no longer good: the new one is kept whatever happens, and used next time. */
static enum eg_status renew(struct eg_sup_creds *c, const struct eg_sup_credential *e,
                            struct eg_slice token, struct eg_sup_oauth_result *r,
                            struct eg_err *err)
{
    struct eg_sup_credential *part = eg_sup_oauth_part(c, e, EG_OAUTH_REFRESH);
    struct eg_secret *secret = NULL;
    if (token.n == 0 || !part)
        return EG_OK;
    enum eg_status s = eg_secret_new(c->supervisor->vault, token.p, token.n, &secret, err);
    if (s != EG_OK)
        return s;
    eg_secret_free(part->secret);
    part->secret = secret;
    part->state = EG_SUP_CRED_LOADED;
    part->newer = r->unsaved;
    if (!r->unsaved)
        return EG_OK;
    r->why[sizeof r->why - 1] = 0;
    eg_log(
        EG_LOG_ERROR,
        "credential %s: the new refresh token could not be written back and is only in memory: %s",
        e->name, r->why);
    eg_sup_event(c->supervisor, EG_IO, 0, "%s: the new refresh token is not written back: %s",
                 e->name, r->why);
    return EG_OK;
}

enum eg_status eg_sup_oauth_take(struct eg_sup_creds *c, const struct eg_sup_credential *e,
                                 struct eg_slice value, struct eg_sup_oauth_token *ret,
                                 struct eg_err *err)
{
    struct eg_sup_oauth_result r;
    if (value.n < sizeof r)
        return eg_err_set(err, EG_INTERNAL, "oauth2", 0, "its helper's answer makes no sense");
    memcpy(&r, value.p, sizeof r);
    struct eg_slice token = eg_slice_from(value, sizeof r), refresh;
    if (r.token_n == 0 || r.token_n > token.n || r.refresh_n != token.n - r.token_n ||
        !visible(token))
        return eg_err_set(err, EG_INTERNAL, "oauth2", 0, "its helper's answer makes no sense");
    refresh = eg_slice_from(token, r.token_n);
    enum eg_status s = renew(c, e, refresh, &r, err);
    if (s != EG_OK)
        return s;
    ret->token = eg_slice(token.p, r.token_n);
    ret->refresh_ms = r.expires_in ? eg_oauth_refresh_ms(r.expires_in) : 0;
    /* an endpoint may say anything: a time that far away is none */
    ret->expires_ms = r.expires_in < EXPIRES_MAX_S ? r.expires_in * 1000 : 0;
    return EG_OK;
}
