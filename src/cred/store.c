/* store.c - the named credentials of one process.
 *
 * Keeps for every name either a secret in the vault, or the reason why its source failed, or that
 * nobody asked for it yet; never two of them. It fetches nothing and shows nothing: sources are
 * source*.c and keyring.c, use is by eg_secret_lend. A put that fails leaves what was there. */
#include "cred/cred.h"

#include <stdlib.h>
#include <string.h>

#include "base/table.h"

enum { CREDS_MAX = 4096, NAME_MAX_BYTES = 255 };

struct eg_creds {
    struct eg_vault *vault;
    struct eg_table *table; /* name -> struct entry */
    unsigned loaded;
    uint32_t changes; /* of all names: a name that was dropped meanwhile must not have an old version again */
};

struct entry {
    struct eg_secret *secret; /* NULL: failed or not read yet, and why tells */
    struct eg_err why;
    uint32_t version; /* c->changes after its last change by put */
};

static void entry_drop(void *value)
{
    struct entry *e = value;
    eg_secret_free(e->secret);
    free(e);
}

enum eg_status eg_creds_new(struct eg_vault *vault, struct eg_creds **ret)
{
    struct eg_creds *c = calloc(1, sizeof *c);
    if (!c)
        return EG_NOMEM;
    c->vault = vault;
    enum eg_status s = eg_table_new(&c->table, CREDS_MAX);
    if (s != EG_OK)
        goto fail;
    *ret = c;
    return EG_OK;
fail:
    eg_creds_free(c);
    return s;
}

void eg_creds_free(struct eg_creds *c)
{
    if (!c)
        return;
    if (c->table)
        eg_table_free(c->table, entry_drop);
    free(c);
}

/* Finds the entry of a name or adds one that holds nothing yet. */
static enum eg_status entry_of(struct eg_creds *c, struct eg_slice name, struct entry **ret)
{
    struct entry *e = eg_table_get(c->table, name);
    if (e) {
        *ret = e;
        return EG_OK;
    }
    if (name.n == 0 || name.n > NAME_MAX_BYTES)
        return EG_INVALID;
    e = calloc(1, sizeof *e);
    if (!e)
        return EG_NOMEM;
    enum eg_status s = eg_table_add(c->table, name, e);
    if (s != EG_OK) {
        free(e);
        return s;
    }
    *ret = e;
    return EG_OK;
}

enum eg_status eg_creds_put(struct eg_creds *c, struct eg_slice name, const void *bytes, size_t n,
                            struct eg_err *err)
{
    struct eg_secret *secret = NULL;
    enum eg_status s = eg_secret_new(c->vault, bytes, n, &secret, err);
    if (s != EG_OK)
        return s;
    struct entry *e = NULL;
    s = entry_of(c, name, &e);
    if (s != EG_OK) {
        eg_secret_free(secret);
        return eg_err_set(err, s, "credential", 0, "the credential can't be kept");
    }
    if (!e->secret)
        c->loaded++;
    /* the same value again is no change: who was refused with it would be refused again */
    if (!e->secret || !eg_secret_equal(e->secret, bytes, n))
        e->version = c->changes += c->changes < UINT32_MAX;
    eg_secret_free(e->secret);
    e->secret = secret;
    eg_err_reset(&e->why);
    return EG_OK;
}

enum eg_status eg_creds_fail(struct eg_creds *c, struct eg_slice name, const struct eg_err *why)
{
    struct entry *e = NULL;
    enum eg_status s = entry_of(c, name, &e);
    if (s != EG_OK)
        return s;
    if (e->secret)
        c->loaded--;
    /* Fail closed: a value that its source no longer gives is not used. */
    eg_secret_free(e->secret);
    e->secret = NULL;
    e->why = *why;
    return EG_OK;
}

enum eg_status eg_creds_lazy(struct eg_creds *c, struct eg_slice name)
{
    struct eg_err why = { 0 };
    (void)eg_err_set(&why, EG_AGAIN, "credential", 0, "it was not read yet");
    return eg_creds_fail(c, name, &why);
}

const struct eg_secret *eg_creds_get(const struct eg_creds *c, struct eg_slice name,
                                     struct eg_err *why)
{
    const struct entry *e = eg_table_get(c->table, name);
    if (e && e->secret)
        return e->secret;
    if (!why)
        return NULL;
    eg_err_reset(why);
    if (e)
        *why = e->why;
    if (why->status == EG_OK)
        eg_err_set(why, EG_CREDENTIAL_UNAVAILABLE, "credential", 0, "it was not loaded");
    return NULL;
}

/* What a field lacks is what its credential lacks: one that was not read yet or failed has no
 * fields to know of. */
const struct eg_secret *eg_creds_field(const struct eg_creds *c, struct eg_slice name,
                                       struct eg_slice f, struct eg_err *why)
{
    char full[NAME_MAX_BYTES + 1];
    const struct entry *e = NULL;
    if (f.n == 0)
        return eg_creds_get(c, name, why);
    if (name.n + 1 + f.n <= NAME_MAX_BYTES) {
        memcpy(full, name.p, name.n);
        full[name.n] = '#';
        memcpy(full + name.n + 1, f.p, f.n);
        e = eg_table_get(c->table, eg_slice(full, name.n + 1 + f.n));
    }
    if (e && e->secret)
        return e->secret;
    if (!why)
        return NULL;
    const struct entry *whole = eg_table_get(c->table, name);
    eg_err_reset(why);
    if (whole && !whole->secret)
        *why = whole->why;
    else if (e)
        *why = e->why;
    if (why->status == EG_OK)
        eg_err_set(why, EG_CREDENTIAL_UNAVAILABLE, "credential", 0, "it has no such field");
    return NULL;
}

uint32_t eg_creds_version(const struct eg_creds *c, struct eg_slice name)
{
    const struct entry *e = eg_table_get(c->table, name);
    return e ? e->version : 0;
}

uint32_t eg_creds_changes(const struct eg_creds *c)
{
    return c->changes;
}

void eg_creds_drop(struct eg_creds *c, struct eg_slice name)
{
    struct entry *e = eg_table_take(c->table, name);
    if (!e)
        return;
    if (e->secret)
        c->loaded--;
    entry_drop(e);
}

unsigned eg_creds_count(const struct eg_creds *c)
{
    return c->loaded;
}
