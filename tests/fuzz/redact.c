/* redact.c - cred/redact beside a naive search.
 *
 * Input: how the stream is cut (one byte a piece, its length), a zero, then lines: "VALUE PHANTOM" for each of up to three values, an empty line, and the text. A
 * text that begins with "#" is a seed for one that naive_text makes. */
#include <stdint.h>
#include <stdlib.h>

#include "cred/redact.h"
#include "support/redact_naive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VALUES = 3, TEXT_MAX = 4096 };

static struct eg_vault *vault;
static uint32_t seed;

static uint32_t rnd(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

#define MUST(x)                                                                                    \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

/* Up to the next `end`, which is taken. */
static struct eg_slice take(struct eg_slice *in, char end)
{
    long at = eg_slice_index(*in, end);
    struct eg_slice one = eg_slice(in->p, at < 0 ? in->n : (size_t)at);
    *in = eg_slice_from(*in, one.n + 1);
    return one;
}

static unsigned take_values(struct eg_slice *in, struct naive_pair *pairs)
{
    unsigned count = 0;
    while (in->n > 0) {
        struct eg_slice line = take(in, '\n');
        struct eg_slice value = take(&line, ' ');
        if (value.n == 0)
            break;
        if (count < VALUES && value.n <= 200)
            pairs[count++] = (struct naive_pair){ value, line };
    }
    return count;
}

static void check_stream(struct eg_redact_set *set, struct eg_slice cuts, const char *text,
                         size_t n, const char *want, unsigned times)
{
    struct eg_redact r = { .set = NULL };
    struct eg_slice held;
    size_t at = 0, len = 0, ready;
    MUST(eg_redact_begin(&r, set) == EG_OK);
    for (size_t i = 0; at < n; i++) {
        size_t one = cuts.n ? (unsigned char)cuts.p[i % cuts.n] : n;
        one = one > n - at ? n - at : one;
        one += one == 0;
        char *piece = malloc(one);
        MUST(piece);
        memcpy(piece, text + at, one);
        eg_redact_feed(&r, piece, one, &held, &ready);
        MUST(held.n == 0 || memcmp(want + len, held.p, held.n) == 0);
        MUST(ready == 0 || memcmp(want + len + held.n, piece, ready) == 0);
        len += held.n + ready;
        at += one;
        MUST(len <= at);
        free(piece);
    }
    held = eg_redact_end(&r);
    MUST(len + held.n == n && (held.n == 0 || memcmp(want + len, held.p, held.n) == 0));
    MUST(r.found == times);
    eg_redact_done(&r);
}

static void check(const struct naive_pair *values, unsigned count, struct eg_slice cuts,
                  const char *text, size_t n)
{
    struct eg_secret *secret[VALUES];
    struct eg_redact_pair pairs[VALUES];
    struct eg_redact_set *set = NULL;
    char *want = malloc(n + 1), *got = malloc(n + 1);
    MUST(want && got);
    memcpy(want, text, n);
    memcpy(got, text, n);
    for (unsigned i = 0; i < count; i++) {
        MUST(eg_secret_new(vault, values[i].value.p, values[i].value.n, &secret[i], NULL) == EG_OK);
        pairs[i] = (struct eg_redact_pair){ secret[i], values[i].phantom };
    }
    MUST(eg_redact_set_new(vault, pairs, count, &set, NULL) == EG_OK);
    unsigned times = naive_redact(values, count, want, n);
    MUST(eg_redact_text(set, got, n) == times && memcmp(got, want, n) == 0);
    check_stream(set, cuts, text, n, want, times);
    eg_redact_set_unref(set);
    for (unsigned i = 0; i < count; i++)
        eg_secret_free(secret[i]);
    free(got);
    free(want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct naive_pair values[VALUES];
    char made[TEXT_MAX];
    struct eg_slice in = eg_slice(data, size);
    if (!vault)
        MUST(sodium_init() >= 0 && eg_vault_new(&vault, 65536, false, NULL, NULL) == EG_OK);
    struct eg_slice cuts = take(&in, '\0');
    unsigned count = take_values(&in, values);
    if (in.n > 0 && in.p[0] == '#' && count > 0) {
        for (size_t i = 0; i < in.n; i++)
            seed = seed * 31 + (unsigned char)in.p[i];
        in = eg_slice(made, naive_text(values, count, rnd, made, sizeof made / 2));
    }
    if (in.n <= TEXT_MAX)
        check(values, count, cuts, in.p ? in.p : "", in.n);
    return 0;
}
