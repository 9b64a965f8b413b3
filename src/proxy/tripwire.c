/* tripwire.c - a search for many secrets at once: runs of eight bytes in a table, behind a filter of bits.
 *
 * A secret of n >= 16 bytes is known by the runs at n-15 ... n-8: its end, since phantoms share their beginnings. Only a run that is in the filter
 * and in the table makes it compare whole secrets. It keeps no copy of any. */
#include "proxy/tripwire.h"

#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/table.h"

enum { RUN = 8, FILTER_BITS = 65536, RUNS_MAX = 1 << 20, WINDOW = 4096 };

struct known { /* one run of one secret; a chain of all that have the same run */
    struct known *next;
    struct eg_slice secret;
    void *owner;
    int index;
    unsigned at; /* where in the secret the run begins */
};

struct eg_tripwire {
    struct eg_table *runs; /* RUN bytes -> struct known */
    uint64_t factor;       /* odd and random */
    uint64_t filter[FILTER_BITS / 64];
};

static void drop_chain(void *value)
{
    struct known *k = value;
    while (k) {
        struct known *next = k->next;
        free(k);
        k = next;
    }
}

enum eg_status eg_tripwire_new(struct eg_tripwire **ret)
{
    struct eg_tripwire *t = calloc(1, sizeof *t);
    if (!t)
        return EG_NOMEM;
    randombytes_buf(&t->factor, sizeof t->factor);
    t->factor |= 1;
    enum eg_status status = eg_table_new(&t->runs, RUNS_MAX);
    if (status != EG_OK) {
        eg_tripwire_free(t);
        return status;
    }
    *ret = t;
    return EG_OK;
}

void eg_tripwire_free(struct eg_tripwire *t)
{
    if (!t)
        return;
    if (t->runs)
        eg_table_free(t->runs, drop_chain);
    free(t);
}

static unsigned filter_bit(const struct eg_tripwire *t, const char *run)
{
    uint64_t word;
    memcpy(&word, run, sizeof word);
    return (unsigned)((word * t->factor) >> 48);
}

static bool is_watched(struct eg_slice secret)
{
    return secret.n >= EG_TRIPWIRE_MIN && secret.n <= EG_TRIPWIRE_MAX;
}

static enum eg_status add_run(struct eg_tripwire *t, const struct known *known)
{
    struct eg_slice run = eg_slice(known->secret.p + known->at, RUN);
    struct known *k = malloc(sizeof *k), *first = eg_table_get(t->runs, run);
    if (!k)
        return EG_NOMEM;
    *k = *known;
    if (first) {
        k->next = first->next;
        first->next = k;
        return EG_OK;
    }
    enum eg_status status = eg_table_add(t->runs, run, k);
    if (status != EG_OK)
        free(k);
    else {
        unsigned bit = filter_bit(t, run.p);
        t->filter[bit / 64] |= UINT64_C(1) << bit % 64;
    }
    return status;
}

enum eg_status eg_tripwire_add(struct eg_tripwire *t, struct eg_slice secret, void *owner,
                               int index)
{
    enum eg_status status = EG_OK;
    for (unsigned i = 0; is_watched(secret) && i < RUN && status == EG_OK; i++) {
        struct known known = { NULL, secret, owner, index, (unsigned)secret.n - (2 * RUN - 1) + i };
        status = add_run(t, &known);
    }
    return status;
}

/* A bit of the filter may stay behind: it costs one look-up in the table. */
static void drop_run(struct eg_tripwire *t, struct eg_slice run, const void *owner, int index)
{
    struct known *first = eg_table_take(t->runs, run);
    for (struct known **at = &first; *at;) {
        struct known *k = *at;
        if (k->owner != owner || k->index != index) {
            at = &k->next;
            continue;
        }
        *at = k->next;
        free(k);
    }
    if (first && eg_table_add(t->runs, run, first) != EG_OK)
        drop_chain(first); /* no memory for a moment: these are not watched for any more */
}

void eg_tripwire_drop(struct eg_tripwire *t, struct eg_slice secret, const void *owner, int index)
{
    for (unsigned i = 0; is_watched(secret) && i < RUN; i++)
        drop_run(t, eg_slice(secret.p + secret.n - (2 * RUN - 1) + i, RUN), owner, index);
}

/* ---- the search ---- */

static bool check_place(const struct eg_tripwire *t, struct eg_slice text, size_t at,
                        eg_tripwire_hit *hit, void *ctx)
{
    for (const struct known *k = eg_table_get(t->runs, eg_slice(text.p + at, RUN)); k; k = k->next)
        if (k->at <= at && text.n - (at - k->at) >= k->secret.n &&
            memcmp(text.p + at - k->at, k->secret.p, k->secret.n) == 0 &&
            hit(ctx, k->owner, k->index))
            return true;
    return false;
}

static bool scan_plain(const struct eg_tripwire *t, struct eg_slice text, eg_tripwire_hit *hit,
                       void *ctx)
{
    for (size_t at = 0; at + RUN <= text.n; at += RUN) {
        unsigned bit = filter_bit(t, text.p + at);
        if ((t->filter[bit / 64] >> bit % 64 & 1) && check_place(t, text, at, hit, ctx))
            return true;
    }
    return false;
}

/* Decodes the escape that the window's end may have become. */
static size_t settle(char *window, size_t n)
{
    for (size_t used = 3; n >= 3 && used == 3;) {
        used = 0;
        char c = eg_slice_unescape(eg_slice(window + n - 3, 3), &used);
        if (used == 3) {
            n -= 2;
            window[n - 1] = c;
        }
    }
    return n;
}

/* The text decoded once or, with `again`, until no escape is left. */
static bool scan_decoded(const struct eg_tripwire *t, struct eg_slice text, bool again,
                         eg_tripwire_hit *hit, void *ctx)
{
    char window[WINDOW];
    size_t n = 0, at = 0;
    bool found = false;
    while (!found && at < text.n) {
        while (n < sizeof window && at < text.n) {
            window[n++] = eg_slice_unescape(text, &at);
            n = again ? settle(window, n) : n;
        }
        found = scan_plain(t, eg_slice(window, n), hit, ctx);
        if (n >= EG_TRIPWIRE_MAX) { /* what may be the beginning of one that goes on */
            memmove(window, window + n - (EG_TRIPWIRE_MAX - 1), EG_TRIPWIRE_MAX - 1);
            n = EG_TRIPWIRE_MAX - 1;
        }
    }
    sodium_memzero(window, sizeof window);
    return found;
}

bool eg_tripwire_scan(const struct eg_tripwire *t, struct eg_slice text, eg_tripwire_hit *hit,
                      void *ctx)
{
    if (text.n < EG_TRIPWIRE_MIN)
        return false;
    if (scan_plain(t, text, hit, ctx))
        return true;
    if (!memchr(text.p, '%', text.n))
        return false;
    return scan_decoded(t, text, false, hit, ctx) ||
           (memmem(text.p, text.n, "%25", 3) && scan_decoded(t, text, true, hit, ctx));
}
