/* redact_set.h - needles, and where in a text they may begin. Internal to cred/redact*.c. */
#ifndef EG_CRED_REDACT_SET_H
#define EG_CRED_REDACT_SET_H

#include <stdint.h>

#include "cred/redact.h"

enum {
    EG_NEEDLE_PERCENT = 1, /* '%' in the text begins an escape where two hex digits follow */
    EG_NEEDLE_JSON = 2,    /* '\' does */
    EG_NEEDLE_PLAIN = 3,   /* align: not base64 */
    EG_NEEDLE_SPAN = 10    /* bytes that one unit may take: a line break as \r\n, and \uXXXX */
};

/* A value as a run of units: bytes or, in base64, the digits that stand for its bits alone (of the last one, its leading bits). Each unit stands in the
 * text as itself or as an escape. */
struct eg_needle {
    size_t off, n;                 /* of the value in the vault's block */
    size_t phantom_off, phantom_n; /* of what takes its place */
    size_t units;
    uint8_t align; /* base64 with so many bytes before the value (mod 3), or EG_NEEDLE_PLAIN */
    uint8_t modes; /* EG_NEEDLE_PERCENT, _JSON: the escapes that are understood */
    uint8_t tail;  /* base64: the bits of the last digit that are the value's */
};

/* Which three bytes may begin a needle: those for which byte[0][a] & byte[1][b] & byte[2][c] is not zero. The bits are groups of needles; the last two are
 * those that begin with an escape. */
struct eg_redact_start {
    uint8_t byte[3][256];
    uint8_t half[3][2]
                [16]; /* the same, coarser, for 16 places at once: by low and high half of each */
};

struct eg_redact_set {
    unsigned refs;
    unsigned count;
    bool ssse3;
    size_t span;             /* bytes that a needle may take in a text, at most */
    struct eg_secret *block; /* values and phantoms; NULL in an empty set */
    struct eg_redact_start
        start; /* tells the first three bytes of a value at most, often the vendor's prefix; wiped */
    struct eg_needle needle[];
};

/* A text in two runs. */
struct eg_redact_view {
    char *p[2];
    size_t n[2];
    bool last; /* nothing follows: an escape that is not whole is none */
};
static inline size_t eg_view_len(const struct eg_redact_view *v)
{
    return v->n[0] + v->n[1];
}
static inline char *eg_view_at(const struct eg_redact_view *v, size_t at)
{
    return at < v->n[0] ? v->p[0] + at : v->p[1] + (at - v->n[0]);
}

enum eg_needle_result { EG_NEEDLE_NO, EG_NEEDLE_YES, EG_NEEDLE_OPEN /* the text ends too early */ };
/* Does the needle stand at `at`? *len is then what it takes. block: the vault's. */
enum eg_needle_result eg_needle_match(const struct eg_needle *d, const unsigned char *block,
                                      const struct eg_redact_view *v, size_t at, size_t *len);
/* Overwrites it there, where it was found. */
void eg_needle_replace(const struct eg_needle *d, const unsigned char *block,
                       const struct eg_redact_view *v, size_t at);
/* Is c unit k, as it stands? */
bool eg_needle_accepts(const struct eg_needle *d, const unsigned char *block, size_t k,
                       unsigned char c);
/* The letter behind the backslash that stands for c in JSON, or 0. */
char eg_needle_short(char c);
/* How many units there are, and which bits of the last one count. */
void eg_needle_measure(struct eg_needle *d);

void eg_redact_start_add(struct eg_redact_set *s, unsigned i, const unsigned char *block);
void eg_redact_start_done(struct eg_redact_set *s);
/* The first place from `at` on where a needle may begin, or the text's length. */
size_t eg_redact_start_next(const struct eg_redact_set *s, const struct eg_redact_view *v,
                            size_t at);
/* The groups of needles that may begin there, as far as three bytes tell; is needle i one of them? */
uint8_t eg_redact_start_groups(const struct eg_redact_set *s, const struct eg_redact_view *v,
                               size_t at);
bool eg_redact_start_may(unsigned i, uint8_t groups);

#endif
