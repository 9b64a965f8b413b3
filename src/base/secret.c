/* secret.c - the vault: one guarded, locked block, cut first-fit into secrets.
 *
 * Handles are ordinary memory and hold no secret byte; the block holds nothing else. The list is
 * ordered by offset, so a gap is the space between neighbours. A forked child does not have the
 * block (MADV_DONTFORK): it must neither use nor free a vault that it inherited. */
#include "base/secret.h"

#include <errno.h>
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GRAIN = 16, CAPACITY_MAX = 1 << 30 };

static const char layer[] = "vault";

struct eg_secret {
    struct eg_vault *vault;
    struct eg_secret *next;
    struct eg_secret *prev;
    size_t off;
    size_t len;
};

struct eg_vault {
    unsigned char *map;
    size_t map_n;
    unsigned char *block; /* in it */
    size_t capacity;
    struct eg_secret *first;
};

static size_t grains(size_t n)
{
    return (n + GRAIN - 1) / GRAIN * GRAIN;
}

/* Guard page, pages, guard page; the block ends where the last guard page begins. Pages are locked
 * as they are first used: a vault that holds little costs a start no more than that. (libsodium's
 * sodium_malloc fills all of it, and again when it is freed.) */
static enum eg_status map_block(struct eg_vault *v, bool *locked, struct eg_err *err)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inside = (v->capacity + page - 1) / page * page;
    void *at = mmap(NULL, inside + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return eg_err_set(err, EG_NOMEM, layer, errno, "no memory for the vault");
    v->map = at;
    v->map_n = inside + 2 * page;
    unsigned char *first = v->map + page;
    v->block = first + inside - v->capacity;
    if (mprotect(first, inside, PROT_READ | PROT_WRITE) != 0)
        return eg_err_set(err, EG_NOMEM, layer, errno, "no memory for the vault");
    if (madvise(first, inside, MADV_DONTFORK) != 0 || madvise(first, inside, MADV_DONTDUMP) != 0)
        return eg_err_set(err, EG_IO, layer, errno,
                          "the memory of secrets can't be kept out of children and core files");
    *locked = mlock2(first, inside, MLOCK_ONFAULT) == 0;
    return EG_OK;
}

enum eg_status eg_vault_new(struct eg_vault **ret, size_t capacity, bool lock_required,
                            bool *locked, struct eg_err *err)
{
    enum eg_status st;
    bool is_locked = false;
    if (capacity == 0 || capacity > CAPACITY_MAX)
        return eg_err_set(err, EG_INVALID, layer, 0, "the capacity is out of range");
    struct eg_vault *v = calloc(1, sizeof *v);
    if (!v)
        return eg_err_set(err, EG_NOMEM, layer, 0, "no memory for the vault");
    v->capacity = grains(capacity);
    st = map_block(v, &is_locked, err);
    if (st != EG_OK)
        goto fail;
    if (!is_locked && lock_required) {
        st = eg_err_set(
            err, EG_PERMISSION, layer, errno,
            "the memory of secrets can't be locked: RLIMIT_MEMLOCK is too low for %zu bytes",
            v->capacity);
        goto fail;
    }
    if (locked)
        *locked = is_locked;
    *ret = v;
    return EG_OK;
fail:
    eg_vault_free(v);
    return st;
}

void eg_vault_free(struct eg_vault *v)
{
    if (!v)
        return;
    while (v->first) {
        struct eg_secret *s = v->first;
        v->first = s->next;
        sodium_memzero(v->block + s->off, s->len); /* what is free was wiped when it was freed */
        free(s);
    }
    if (v->map)
        (void)munmap(v->map, v->map_n);
    free(v);
}

/* Finds the first gap of n bytes and links s into the list there. */
static bool place(struct eg_vault *v, struct eg_secret *s, size_t n)
{
    struct eg_secret *prev = NULL;
    struct eg_secret *next = v->first;
    size_t at = 0;
    while (next && next->off - at < n) {
        at = next->off + grains(next->len);
        prev = next;
        next = next->next;
    }
    if (!next && v->capacity - at < n)
        return false;
    s->off = at;
    s->prev = prev;
    s->next = next;
    if (next)
        next->prev = s;
    if (prev)
        prev->next = s;
    else
        v->first = s;
    return true;
}

static enum eg_status make(struct eg_vault *v, size_t n, struct eg_secret **ret, struct eg_err *err)
{
    if (n == 0)
        return eg_err_set(err, EG_INVALID, layer, 0, "a secret can't be empty");
    if (n > v->capacity)
        return eg_err_set(err, EG_TOO_BIG, layer, 0, "the vault has no room for this secret");
    struct eg_secret *s = calloc(1, sizeof *s);
    if (!s)
        return eg_err_set(err, EG_NOMEM, layer, 0, "no memory for a secret's handle");
    s->vault = v;
    s->len = n;
    if (!place(v, s, grains(n))) {
        free(s);
        return eg_err_set(err, EG_TOO_BIG, layer, 0, "the vault has no room for this secret");
    }
    *ret = s;
    return EG_OK;
}

static unsigned char *bytes_of(const struct eg_secret *s)
{
    return s->vault->block + s->off;
}

enum eg_status eg_secret_new(struct eg_vault *v, const void *bytes, size_t n,
                             struct eg_secret **ret, struct eg_err *err)
{
    struct eg_secret *s;
    enum eg_status st = make(v, n, &s, err);
    if (st != EG_OK)
        return st;
    memcpy(bytes_of(s), bytes, n);
    *ret = s;
    return EG_OK;
}

enum eg_status eg_secret_random(struct eg_vault *v, size_t n, struct eg_secret **ret,
                                struct eg_err *err)
{
    struct eg_secret *s;
    enum eg_status st = make(v, n, &s, err);
    if (st != EG_OK)
        return st;
    randombytes_buf(bytes_of(s), n);
    *ret = s;
    return EG_OK;
}

void eg_secret_free(struct eg_secret *s)
{
    if (!s)
        return;
    sodium_memzero(bytes_of(s), s->len);
    if (s->next)
        s->next->prev = s->prev;
    if (s->prev)
        s->prev->next = s->next;
    else
        s->vault->first = s->next;
    free(s);
}

size_t eg_secret_len(const struct eg_secret *s)
{
    return s->len;
}

enum eg_status eg_secret_lend(const struct eg_secret *s,
                              enum eg_status (*use)(void *ctx, const unsigned char *p, size_t n),
                              void *ctx)
{
    return use(ctx, bytes_of(s), s->len);
}

bool eg_secret_equal(const struct eg_secret *s, const void *p, size_t n)
{
    return n == s->len && sodium_memcmp(bytes_of(s), p, n) == 0;
}
