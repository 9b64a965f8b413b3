/* sessions.c - the supervisor's sessions: id, token, key in the vault, and a phantom for each
 * service whose credential loaded, or will be read when it is wanted.
 *
 * Invariants: a phantom that was given out stays while its service keeps its prefix, also when
 * the real key gets another length: a child holds it in its environment. Workers get what is
 * here, always whole. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cmd/state.h"
#include "cred/sigv4.h"

enum { UNREAD_LENGTH = 40 }; /* of a phantom whose credential nobody has seen yet */

static void phantoms_free(struct eg_session_phantom *list, unsigned count)
{
    for (unsigned i = 0; list && i < count; i++) {
        if (list[i].phantom)
            sodium_memzero((char *)(uintptr_t)list[i].phantom, strlen(list[i].phantom));
        free((char *)(uintptr_t)list[i].phantom);
        free((char *)(uintptr_t)list[i].service);
    }
    free(list);
}

static void session_free(struct eg_sup_session *e)
{
    if (!e)
        return;
    phantoms_free(e->phantoms, e->count);
    eg_secret_free(e->key);
    sodium_memzero(e, sizeof *e);
    free(e);
}

void eg_sup_sessions_free(struct eg_supervisor *s)
{
    for (unsigned i = 0; i < s->session_count; i++)
        session_free(s->sessions[i]);
    free(s->sessions);
    s->sessions = NULL;
    s->session_count = 0;
}

struct eg_sup_session *eg_sup_session_find(struct eg_supervisor *s, const char *id)
{
    for (unsigned i = 0; i < s->session_count; i++)
        if (strcmp(s->sessions[i]->id, id) == 0)
            return s->sessions[i];
    return NULL;
}

static const char *phantom_of(const struct eg_sup_session *e, struct eg_slice service)
{
    for (unsigned i = 0; i < e->count; i++)
        if (eg_slice_eq(eg_slice_str(e->phantoms[i].service), service))
            return e->phantoms[i].phantom;
    return NULL;
}

/* NAME and text of one more; the list's. */
static enum eg_status take(struct eg_slice name, const char *text, struct eg_session_phantom *out)
{
    out->service = eg_slice_dup(name);
    out->phantom = strdup(text);
    return out->service && out->phantom ? EG_OK : EG_NOMEM;
}

static enum eg_status add_phantom(const struct eg_sup_session *e, const struct eg_service *service,
                                  const struct eg_sup_credential *real,
                                  struct eg_session_phantom *out)
{
    char text[EG_PHANTOM_MAX + 1];
    const char *old = phantom_of(e, service->name);
    enum eg_status status = EG_OK;
    if (old && eg_slice_starts(eg_slice_str(old), service->shape_prefix)) {
        snprintf(text, sizeof text, "%s", old);
    } else {
        size_t real_n = real->secret ? eg_secret_len(real->secret) : UNREAD_LENGTH;
        size_t n = service->shape_length ? service->shape_length : real_n;
        status = eg_phantom_make(e->key, service->name, service->shape_prefix, n, text);
    }
    if (status == EG_OK)
        status = take(service->name, text, out);
    sodium_memzero(text, sizeof text);
    return status;
}

/* Who signs has two: the id under the service's name, the secret under "NAME#secret_key". Both are the key's and the name's alone, so they stay. */
static enum eg_status add_keys(const struct eg_sup_session *e, const struct eg_service *service,
                               struct eg_session_phantom out[2])
{
    char text[EG_PHANTOM_MAX + 1];
    struct eg_buf name;
    eg_buf_init(&name, 512);
    enum eg_status status = eg_sigv4_phantom(e->key, service->name, text);
    if (status == EG_OK)
        status = take(service->name, text, &out[0]);
    if (status == EG_OK)
        status = eg_buf_printf(&name, "%.*s#secret_key", (int)service->name.n, service->name.p);
    if (status == EG_OK)
        status = eg_phantom_make(e->key, eg_buf_slice(&name), EG_SLICE_NONE, EG_SIGV4_SECRET, text);
    if (status == EG_OK)
        status = take(eg_buf_slice(&name), text, &out[1]);
    sodium_memzero(text, sizeof text);
    eg_buf_done(&name);
    return status;
}

/* Its one phantom or its two, where there is room for them. */
static enum eg_status add_service(const struct eg_sup_session *e, const struct eg_service *service,
                                  const struct eg_sup_credential *real,
                                  struct eg_session_phantom *list, unsigned *count)
{
    unsigned need = real->kind == EG_SOURCE_SIGV4 ? 2 : 1, at = *count;
    if (at + need > EG_SESSION_PHANTOMS)
        return EG_OK;
    *count += need;
    return need == 2 ? add_keys(e, service, &list[at])
                     : add_phantom(e, service, real, &list[at]);
}

static enum eg_status derive(struct eg_supervisor *s, struct eg_sup_session *e)
{
    unsigned n = eg_policy_service_count(s->policy->policy), count = 0;
    enum eg_status status = EG_OK;
    struct eg_session_phantom *list = calloc(EG_SESSION_PHANTOMS, sizeof *list);
    if (!list)
        return EG_NOMEM;
    for (unsigned i = 0; i < n && status == EG_OK && count < EG_SESSION_PHANTOMS; i++) {
        struct eg_service service;
        eg_policy_service(s->policy->policy, i, &service);
        const struct eg_sup_credential *real = eg_sup_creds_find(s->creds, service.credential);
        if (service.credential.n == 0 || !real ||
            !(eg_sup_cred_usable(real) || phantom_of(e, service.name)))
            continue; /* one that was given out stays: it answers why its credential is not there */
        status = add_service(e, &service, real, list, &count);
    }
    if (status != EG_OK) {
        phantoms_free(list, count);
        return status;
    }
    phantoms_free(e->phantoms, e->count);
    e->phantoms = list;
    e->count = count;
    return EG_OK;
}

enum eg_status eg_sup_sessions_derive(struct eg_supervisor *s)
{
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < s->session_count && status == EG_OK; i++)
        if (!s->sessions[i]->revoked)
            status = derive(s, s->sessions[i]);
    return status;
}

bool eg_sup_phantom_usable(const struct eg_supervisor *s, const char *service)
{
    struct eg_slice name = eg_slice(service, strcspn(service, "#"));
    for (unsigned i = 0; i < eg_policy_service_count(s->policy->policy); i++) {
        struct eg_service v;
        eg_policy_service(s->policy->policy, i, &v);
        const struct eg_sup_credential *real = eg_sup_creds_find(s->creds, v.credential);
        if (eg_slice_eq(v.name, name))
            return real && eg_sup_cred_usable(real);
    }
    return false;
}

/* Printable ASCII, 1 to 47: it stands in the audit and in tables. */
static bool label_valid(const char *label)
{
    size_t n = strlen(label);
    for (size_t i = 0; i < n; i++)
        if (label[i] < 0x21 || label[i] > 0x7e)
            return false;
    return n > 0 && n < 48;
}

static void make_id(struct eg_supervisor *s, bool is_default, char id[48])
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    snprintf(id, 48, "default");
    while (!is_default || eg_sup_session_find(s, id)) {
        memcpy(id, "s-", 2);
        for (int i = 2; i < 12; i++)
            id[i] = digits[randombytes_uniform(36)];
        id[12] = 0;
        if (!eg_sup_session_find(s, id))
            return;
    }
}

/* As the workers do it (proxy/session.c): when there is no room, those that are over go. */
static void forget_dead(struct eg_supervisor *s)
{
    unsigned kept = 0;
    uint64_t now = eg_clock_wall_us();
    for (unsigned i = 0; i < s->session_count; i++) {
        struct eg_sup_session *e = s->sessions[i];
        if (e->revoked || (e->expires_wall_us != 0 && now >= e->expires_wall_us))
            session_free(e);
        else
            s->sessions[kept++] = e;
    }
    s->session_count = kept;
}

static enum eg_status store(struct eg_supervisor *s, struct eg_sup_session *e, struct eg_err *err)
{
    if (s->session_count == EG_SESSIONS_MAX)
        forget_dead(s);
    if (s->session_count == EG_SESSIONS_MAX)
        return eg_err_set(err, EG_TOO_BIG, "session", 0, "there are %d sessions already",
                          EG_SESSIONS_MAX);
    struct eg_sup_session **grown = realloc(s->sessions, (s->session_count + 1) * sizeof(*grown));
    if (!grown)
        return EG_NOMEM;
    s->sessions = grown;
    s->sessions[s->session_count++] = e;
    return EG_OK;
}

enum eg_status eg_supervisor_session_create(struct eg_supervisor *s, const char *label,
                                            uint64_t ttl_s, struct eg_session_info *ret,
                                            struct eg_err *err)
{
    if (label && !label_valid(label))
        return eg_err_set(err, EG_INVALID, "session", 0,
                          "a label has 1 to 47 printable characters without spaces");
    if (!s->creds_read)
        return eg_err_set(err, EG_INVALID, "session", 0, "the credentials were not read yet");
    struct eg_sup_session *e = calloc(1, sizeof *e);
    if (!e)
        return EG_NOMEM;
    make_id(s, label && strcmp(label, "default") == 0, e->id);
    snprintf(e->label, sizeof e->label, "%s", label ? label : e->id);
    eg_token_make(e->token);
    e->created_wall_us = eg_clock_wall_us();
    e->expires_wall_us = ttl_s ? e->created_wall_us + ttl_s * 1000000 : 0;
    enum eg_status status = eg_secret_random(s->vault, 32, &e->key, err);
    if (status == EG_OK)
        status = derive(s, e);
    if (status == EG_OK)
        status = store(s, e, err);
    if (status != EG_OK) {
        session_free(e);
        return status;
    }
    for (unsigned i = 0; i < s->worker_count; i++)
        if (s->workers[i].furnished)
            eg_sup_worker_session(&s->workers[i], e);
    *ret = (struct eg_session_info){ e->id, e->label, e->token, e->count, e->phantoms };
    return EG_OK;
}

enum eg_status eg_supervisor_session_revoke(struct eg_supervisor *s, const char *id,
                                            struct eg_err *err)
{
    struct eg_sup_session *e = eg_sup_session_find(s, id);
    if (!e || e->revoked)
        return eg_err_set(err, EG_NOT_FOUND, "session", 0, "no session has this id: egressctl session list");
    e->revoked = true;
    struct eg_link_message m = { .kind = EG_LINK_SESSION_REVOKE, .a = eg_slice_str(e->id) };
    eg_sup_workers_send(s, &m);
    return EG_OK;
}
