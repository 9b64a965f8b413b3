/* secret.h - secrets live in one locked, guarded arena (the vault) and are only ever lent.
 *
 * There is no formatter and no accessor that returns the bytes: a secret is seen inside a callback,
 * and whoever copies it there wipes the copy. One vault a process: 2,000 separate sodium_malloc
 * would lock 8 MB. */
#ifndef EG_BASE_SECRET_H
#define EG_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct eg_vault;
struct eg_secret;

/* capacity in bytes of secrets. Guard pages around, locked in memory, MADV_DONTFORK and
 * MADV_DONTDUMP. A lock that the system refuses is EG_PERMISSION with a text that names
 * RLIMIT_MEMLOCK: callers decide to warn or stop; with `lock_required` false the vault is made all
 * the same and *locked tells. libsodium must be initialised. */
enum eg_status eg_vault_new(struct eg_vault **ret, size_t capacity, bool lock_required,
                            bool *locked, struct eg_err *err) EG_MUST_USE;
/* Wipes and frees, the handles of its secrets too: they must not be used or freed afterwards. NULL
 * is fine. A forked child does not have the pages: it must neither lend, compare nor free. */
void eg_vault_free(struct eg_vault *v);

/* Copies n bytes (n >= 1) into the vault. The caller wipes its own copy. EG_TOO_BIG when the vault
 * is full. */
enum eg_status eg_secret_new(struct eg_vault *v, const void *bytes, size_t n,
                             struct eg_secret **ret, struct eg_err *err) EG_MUST_USE;
/* n random bytes, made inside the vault. */
enum eg_status eg_secret_random(struct eg_vault *v, size_t n, struct eg_secret **ret,
                                struct eg_err *err) EG_MUST_USE;
/* Wipes and returns the room to the vault. NULL is fine. */
void eg_secret_free(struct eg_secret *s);
size_t eg_secret_len(const struct eg_secret *s);
/* Lends the bytes to use() for the time of the call; returns what use() returns. */
enum eg_status eg_secret_lend(const struct eg_secret *s,
                              enum eg_status (*use)(void *ctx, const unsigned char *p, size_t n),
                              void *ctx) EG_MUST_USE;
/* Constant time in the content; lengths are compared openly. */
bool eg_secret_equal(const struct eg_secret *s, const void *p, size_t n);

#endif
