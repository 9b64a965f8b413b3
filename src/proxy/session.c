/* session.c - one keyed-hash table maps a presented token or phantom to its session.
 *
 * What a peer presents is hashed with a random key before it is looked up, so neither the
 * table's timing nor its collisions tell anything of the tokens that it holds. A revoked session
 * stays in the table so that its token is answered with token_revoked and never given out again. */
#include "proxy/session.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/table.h"
#include "proxy/tripwire.h"

struct entry { /* one presented secret */
    struct eg_session *session;
    int phantom; /* index, or -1 for the token */
};

struct eg_sessions {
    unsigned char key[32];
    struct eg_table *secrets; /* hash -> struct entry */
    struct eg_table *ids;     /* id -> struct eg_session */
    struct eg_tripwire *tripwire;
    struct eg_quotas *quotas; /* of requests without a session */
};

enum eg_status eg_sessions_new(struct eg_sessions **ret)
{
    struct eg_sessions *s = calloc(1, sizeof *s);
    if (!s)
        return EG_NOMEM;
    randombytes_buf(s->key, sizeof s->key);
    enum eg_status status = eg_table_new(&s->secrets, (size_t)EG_SESSIONS_MAX * 8);
    if (status == EG_OK)
        status = eg_table_new(&s->ids, EG_SESSIONS_MAX);
    if (status == EG_OK)
        status = eg_tripwire_new(&s->tripwire);
    if (status != EG_OK) {
        eg_sessions_free(s);
        return status;
    }
    *ret = s;
    return EG_OK;
}

static void drop_entry(void *value)
{
    struct entry *e = value;
    eg_session_unref(e->session);
    free(e);
}

static void drop_session(void *value)
{
    eg_session_unref(value);
}

void eg_sessions_free(struct eg_sessions *s)
{
    if (!s)
        return;
    eg_table_free(s->secrets, drop_entry);
    eg_table_free(s->ids, drop_session);
    eg_tripwire_free(s->tripwire);
    eg_quotas_unref(s->quotas);
    sodium_memzero(s, sizeof *s);
    free(s);
}

struct eg_session *eg_session_ref(struct eg_session *s)
{
    if (s)
        s->refs++;
    return s;
}

void eg_session_unref(struct eg_session *s)
{
    if (!s || --s->refs > 0)
        return;
    for (unsigned i = 0; i < s->phantom_count; i++) {
        if (s->phantoms[i].phantom)
            sodium_memzero(s->phantoms[i].phantom, strlen(s->phantoms[i].phantom));
        free(s->phantoms[i].service);
        free(s->phantoms[i].phantom);
    }
    free(s->phantoms);
    eg_quotas_unref(s->quotas);
    sodium_memzero(s, sizeof *s);
    free(s);
}

static struct eg_session *session_make(const struct eg_session_spec *spec)
{
    struct eg_session *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->refs = 1;
    strncpy(s->id, spec->id, sizeof s->id - 1);
    strncpy(s->label, spec->label, sizeof s->label - 1);
    strncpy(s->token, spec->token, sizeof s->token - 1);
    s->expires_wall_us = spec->expires_wall_us;
    s->phantoms = calloc(spec->phantom_count + 1, sizeof *s->phantoms);
    if (!s->phantoms)
        goto fail;
    for (unsigned i = 0; i < spec->phantom_count; i++) {
        s->phantom_count = i + 1;
        s->phantoms[i].service = strdup(spec->phantoms[i].service);
        s->phantoms[i].phantom = strdup(spec->phantoms[i].phantom);
        if (!s->phantoms[i].service || !s->phantoms[i].phantom)
            goto fail;
    }
    return s;
fail:
    eg_session_unref(s);
    return NULL;
}

/* The secret of index -1 is the token, of 0.. a phantom. */
static struct eg_slice session_secret(const struct eg_session *s, int index)
{
    return eg_slice_str(index < 0 ? s->token : s->phantoms[index].phantom);
}

static enum eg_status index_secret(struct eg_sessions *t, struct eg_session *s, int index)
{
    unsigned char hash[32];
    eg_token_hash(t->key, session_secret(s, index), hash);
    struct entry *e = calloc(1, sizeof *e);
    if (!e)
        return EG_NOMEM;
    e->session = eg_session_ref(s);
    e->phantom = index;
    enum eg_status status = eg_table_add(t->secrets, eg_slice(hash, sizeof hash), e);
    if (status != EG_OK) {
        drop_entry(e);
        return status;
    }
    return eg_tripwire_add(t->tripwire, session_secret(s, index), s, index);
}

static void unindex(struct eg_sessions *t, const struct eg_session *s)
{
    for (int i = -1; i < (int)s->phantom_count; i++) {
        unsigned char hash[32];
        eg_token_hash(t->key, session_secret(s, i), hash);
        struct entry *e = eg_table_get(t->secrets, eg_slice(hash, sizeof hash));
        if (e && e->session == s) {
            eg_tripwire_drop(t->tripwire, session_secret(s, i), s, i);
            (void)eg_table_take(t->secrets, eg_slice(hash, sizeof hash));
            drop_entry(e);
        }
    }
}

static bool spec_valid(const struct eg_session_spec *spec)
{
    size_t id = strlen(spec->id);
    return id > 0 && id < 48 && strlen(spec->label) < 48 && strlen(spec->token) == EG_TOKEN_HEX &&
           spec->phantom_count <= EG_SESSION_PHANTOMS;
}

/* Revoked and expired sessions are kept so that their tokens get an exact answer; when the table is full they make room and
 * their tokens are unknown. */
static void forget_dead(struct eg_sessions *t)
{
    size_t cursor = 0;
    void *value;
    while (eg_table_next(t->ids, &cursor, NULL, &value)) {
        struct eg_session *s = value;
        if (eg_session_usable(s) == EG_OK)
            continue;
        unindex(t, s);
        (void)eg_table_take(t->ids, eg_slice_str(s->id));
        eg_session_unref(s);
        cursor = 0; /* the table changed */
    }
}

enum eg_status eg_sessions_put(struct eg_sessions *t, const struct eg_session_spec *spec,
                               struct eg_err *err)
{
    if (!spec_valid(spec))
        return eg_err_set(err, EG_INVALID, "session", 0, "malformed session");
    struct eg_session *s = session_make(spec);
    if (!s)
        return EG_NOMEM;
    struct eg_slice id = eg_slice_str(s->id);
    struct eg_session *old = eg_table_take(t->ids, id);
    if (old) {
        s->quotas = eg_quotas_ref(old->quotas);
        unindex(t, old);
        eg_session_unref(old);
    }
    if (eg_table_count(t->ids) >= EG_SESSIONS_MAX)
        forget_dead(t);
    enum eg_status status = eg_table_add(t->ids, id, s);
    if (status != EG_OK) {
        eg_session_unref(s);
        return eg_err_set(err, status, "session", 0, "too many sessions (at most %d)",
                          EG_SESSIONS_MAX);
    }
    for (int i = -1; i < (int)s->phantom_count && status == EG_OK; i++)
        status = index_secret(t, s, i);
    if (status != EG_OK) {
        unindex(t, s);
        (void)eg_table_take(t->ids, id);
        eg_session_unref(s);
        return eg_err_set(err, status, "session", 0,
                          "its token or a phantom belongs to another session");
    }
    return EG_OK;
}

struct eg_session *eg_sessions_revoke(struct eg_sessions *t, const char *id)
{
    struct eg_session *s = eg_table_get(t->ids, eg_slice_str(id));
    if (s)
        s->revoked = true;
    return s;
}

struct eg_quotas **eg_sessions_quotas(struct eg_sessions *t, struct eg_session *session)
{
    return session ? &session->quotas : &t->quotas;
}

const struct eg_session *eg_sessions_next(const struct eg_sessions *t, size_t *cursor)
{
    void *value = NULL;
    return eg_table_next(t->ids, cursor, NULL, &value) ? value : NULL;
}

unsigned eg_sessions_count(const struct eg_sessions *t)
{
    return (unsigned)eg_table_count(t->ids);
}

enum eg_status eg_session_usable(const struct eg_session *s)
{
    if (s->revoked)
        return EG_TOKEN_REVOKED;
    if (s->expires_wall_us != 0 && eg_clock_wall_us() >= s->expires_wall_us)
        return EG_TOKEN_EXPIRED;
    return EG_OK;
}

/* The table compares hashes; the presented text is compared with the stored one in constant time
 * once more. */
static const struct entry *lookup(const struct eg_sessions *t, struct eg_slice secret)
{
    unsigned char hash[32];
    eg_token_hash(t->key, secret, hash);
    const struct entry *e = eg_table_get(t->secrets, eg_slice(hash, sizeof hash));
    if (!e)
        return NULL;
    struct eg_slice known = session_secret(e->session, e->phantom);
    return known.n == secret.n && sodium_memcmp(known.p, secret.p, known.n) == 0 ? e : NULL;
}

enum eg_status eg_sessions_by_token(const struct eg_sessions *t, struct eg_slice token,
                                    struct eg_session **ret)
{
    const struct entry *e = token.n == EG_TOKEN_HEX ? lookup(t, token) : NULL;
    if (!e || e->phantom >= 0)
        return EG_TOKEN_INVALID;
    *ret = e->session;
    return eg_session_usable(e->session);
}

/* Labels are the operator's, and while one session takes over from another both have it: one that may be used goes first, then
 * the order of ids, which the table has none of. */
static bool goes_first(const struct eg_session *a, const struct eg_session *b)
{
    bool usable_a = eg_session_usable(a) == EG_OK, usable_b = eg_session_usable(b) == EG_OK;
    return usable_a != usable_b ? usable_a : strcmp(a->id, b->id) < 0;
}

struct eg_session *eg_sessions_by_label(const struct eg_sessions *t, struct eg_slice label)
{
    struct eg_session *found = NULL;
    size_t cursor = 0;
    void *value = NULL;
    while (eg_table_next(t->ids, &cursor, NULL, &value)) {
        struct eg_session *s = value;
        if (eg_slice_eq(eg_slice_str(s->label), label) && (!found || goes_first(s, found)))
            found = s;
    }
    return found;
}

enum eg_status eg_sessions_by_authorization(const struct eg_sessions *t, struct eg_slice value,
                                            struct eg_session **ret)
{
    char scratch[512];
    struct eg_slice token;
    enum eg_status status = eg_token_parse(value, scratch, sizeof scratch, NULL, &token);
    if (status == EG_OK)
        status = eg_sessions_by_token(t, token, ret);
    sodium_memzero(scratch, sizeof scratch);
    return status;
}

enum eg_status eg_sessions_by_phantom(const struct eg_sessions *t, struct eg_slice phantom,
                                      struct eg_slice service, struct eg_session **ret)
{
    if (phantom.n == 0 || phantom.n > EG_PHANTOM_MAX)
        return EG_PHANTOM_INVALID;
    const struct entry *e = lookup(t, phantom);
    if (!e || e->phantom < 0 ||
        !eg_slice_eq(eg_slice_str(e->session->phantoms[e->phantom].service), service))
        return EG_PHANTOM_INVALID;
    *ret = e->session;
    return eg_session_usable(e->session);
}

struct search {
    eg_session_hit *hit;
    void *ctx;
};

static bool pass_hit(void *ctx, void *owner, int index)
{
    const struct search *search = ctx;
    return search->hit(search->ctx, owner, index);
}

bool eg_sessions_scan(const struct eg_sessions *t, struct eg_slice text, eg_session_hit *hit,
                      void *ctx)
{
    struct search search = { hit, ctx };
    return eg_tripwire_scan(t->tripwire, text, pass_hit, &search);
}
