/* table.c - open addressing with linear probing over SipHash-2-4, keyed per table.
 *
 * Invariants: at most 3/4 of the slots are taken, so that a probe always ends; removal shifts back
 * instead of leaving tombstones, so that churn costs nothing. Entries are one allocation each and
 * never move. */
#include "base/table.h"

#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>

enum { FIRST_SLOTS = 16 };

struct entry {
    uint64_t hash;
    void *value;
    size_t key_len;
    char key[];
};

struct eg_table {
    unsigned char seed[crypto_shorthash_KEYBYTES];
    struct entry **slots;
    size_t slot_count; /* a power of two, or 0 before the first entry */
    size_t count;
    size_t max;
};

enum eg_status eg_table_new(struct eg_table **ret, size_t max_entries)
{
    if (max_entries == 0)
        return EG_INVALID;
    struct eg_table *t = calloc(1, sizeof *t);
    if (!t)
        return EG_NOMEM;
    t->max = max_entries;
    crypto_shorthash_keygen(t->seed);
    *ret = t;
    return EG_OK;
}

void eg_table_free(struct eg_table *t, void (*drop)(void *value))
{
    if (!t)
        return;
    for (size_t i = 0; i < t->slot_count; i++) {
        if (t->slots[i] && drop)
            drop(t->slots[i]->value);
        free(t->slots[i]);
    }
    free(t->slots);
    free(t);
}

static uint64_t hash_of(const struct eg_table *t, struct eg_slice key)
{
    union {
        unsigned char bytes[crypto_shorthash_BYTES];
        uint64_t number;
    } out;
    crypto_shorthash(out.bytes, (const unsigned char *)(key.n ? key.p : ""), key.n, t->seed);
    return out.number;
}

/* The slot that holds the key, or the free one where it would go. There must be slots. */
static size_t find(const struct eg_table *t, struct eg_slice key, uint64_t hash)
{
    size_t mask = t->slot_count - 1;
    size_t i = hash & mask;
    for (; t->slots[i]; i = (i + 1) & mask) {
        const struct entry *e = t->slots[i];
        if (e->hash == hash && eg_slice_eq(eg_slice(e->key, e->key_len), key))
            break;
    }
    return i;
}

static enum eg_status grow(struct eg_table *t)
{
    size_t count = t->slot_count ? t->slot_count * 2 : FIRST_SLOTS;
    if (count < t->slot_count)
        return EG_NOMEM;
    struct entry **slots = calloc(count, sizeof *slots);
    if (!slots)
        return EG_NOMEM;
    for (size_t i = 0; i < t->slot_count; i++) {
        if (!t->slots[i])
            continue;
        size_t at = t->slots[i]->hash & (count - 1);
        while (slots[at])
            at = (at + 1) & (count - 1);
        slots[at] = t->slots[i];
    }
    free(t->slots);
    t->slots = slots;
    t->slot_count = count;
    return EG_OK;
}

void *eg_table_get(const struct eg_table *t, struct eg_slice key)
{
    if (t->count == 0)
        return NULL;
    const struct entry *e = t->slots[find(t, key, hash_of(t, key))];
    return e ? e->value : NULL;
}

enum eg_status eg_table_add(struct eg_table *t, struct eg_slice key, void *value)
{
    if (!value || key.n > SIZE_MAX / 2)
        return EG_INVALID;
    uint64_t hash = hash_of(t, key);
    if (t->count && t->slots[find(t, key, hash)])
        return EG_EXISTS;
    if (t->count == t->max)
        return EG_TOO_BIG;
    if (t->count >= t->slot_count / 4 * 3) {
        enum eg_status st = grow(t);
        if (st != EG_OK)
            return st;
    }
    struct entry *e = malloc(sizeof *e + key.n);
    if (!e)
        return EG_NOMEM;
    e->hash = hash;
    e->value = value;
    e->key_len = key.n;
    if (key.n)
        memcpy(e->key, key.p, key.n);
    t->slots[find(t, key, hash)] = e;
    t->count++;
    return EG_OK;
}

/* Closes the gap at i: each entry of the run behind it whose home is not after the gap moves into
 * it. */
static void shift_back(struct eg_table *t, size_t gap)
{
    size_t mask = t->slot_count - 1;
    for (size_t i = (gap + 1) & mask; t->slots[i]; i = (i + 1) & mask) {
        size_t home = t->slots[i]->hash & mask;
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            t->slots[gap] = t->slots[i];
            t->slots[i] = NULL;
            gap = i;
        }
    }
}

void *eg_table_take(struct eg_table *t, struct eg_slice key)
{
    if (t->count == 0)
        return NULL;
    size_t i = find(t, key, hash_of(t, key));
    struct entry *e = t->slots[i];
    if (!e)
        return NULL;
    void *value = e->value;
    free(e);
    t->slots[i] = NULL;
    t->count--;
    shift_back(t, i);
    return value;
}

size_t eg_table_count(const struct eg_table *t)
{
    return t->count;
}

bool eg_table_next(const struct eg_table *t, size_t *cursor, struct eg_slice *key, void **value)
{
    while (*cursor < t->slot_count) {
        const struct entry *e = t->slots[(*cursor)++];
        if (!e)
            continue;
        if (key)
            *key = eg_slice(e->key, e->key_len);
        *value = e->value;
        return true;
    }
    return false;
}
