/* store.h - a store of credentials for each test of a file: CRED(name) { ... }. */
#ifndef EG_TESTS_SUPPORT_STORE_H
#define EG_TESTS_SUPPORT_STORE_H

#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

#include "cred/cred.h"

static struct eg_vault *vault;
static struct eg_creds *creds;

static inline void enter(void)
{
    cr_assert_geq(sodium_init(), 0);
    cr_assert_eq(eg_vault_new(&vault, 65536, false, NULL, NULL), EG_OK);
    cr_assert_eq(eg_creds_new(vault, &creds), EG_OK);
}

static inline void leave(void)
{
    eg_creds_free(creds);
    eg_vault_free(vault);
}

#define CRED(name) Test(cred, name, .init = enter, .fini = leave)

static inline enum eg_status put(const char *name, const char *value)
{
    struct eg_err err = { 0 };
    return eg_creds_put(creds, eg_slice_str(name), value, strlen(value), &err);
}

static inline bool holds(const char *name, const char *value)
{
    const struct eg_secret *s = eg_creds_get(creds, eg_slice_str(name), NULL);
    return s && eg_secret_equal(s, value, strlen(value));
}

#endif
