/* redact_pairs.c - where a needle may begin: the two bytes that its first two units, in any form, may begin with.
 *
 * Most of a text is passed over here, so this is what searching costs: two tables of 256 bytes and, where the processor shuffles
 * bytes (SSSE3), 16 places at once with the same tables by halves of a byte. What those halves let
 * through too much the tables stop. */
#include "cred/redact_set.h"

#if defined(__x86_64__) || defined(__i386__)
#include <tmmintrin.h>
#define HAVE_SSSE3 1
#endif

enum { GROUPS = 6, PERCENT_GROUP = 1 << 6, JSON_GROUP = 1 << 7 };

static uint8_t group_of(unsigned i)
{
    return (uint8_t)(1u << i % GROUPS);
}

static void add_first_escapes(struct eg_redact_pairs *t, const struct eg_needle *d, unsigned char c)
{
    if (d->modes & EG_NEEDLE_PERCENT) {
        t->first['%'] |= PERCENT_GROUP;
        t->second[(unsigned char)"0123456789abcdef"[c >> 4]] |= PERCENT_GROUP;
        t->second[(unsigned char)"0123456789ABCDEF"[c >> 4]] |= PERCENT_GROUP;
    }
    if (d->modes & EG_NEEDLE_JSON) {
        unsigned char letter = (unsigned char)eg_needle_short((char)c);
        t->first['\\'] |= JSON_GROUP;
        t->second['u'] |= JSON_GROUP;
        if (letter)
            t->second[letter] |= JSON_GROUP;
    }
}

void eg_redact_pairs_add(struct eg_redact_set *s, unsigned i, const unsigned char *block)
{
    const struct eg_needle *d = &s->needle[i];
    struct eg_redact_pairs *t = &s->pairs;
    const uint8_t group = group_of(i);
    for (unsigned c = 0; c < 256; c++) {
        bool plus = c == '+' && (d->modes & EG_NEEDLE_PERCENT);
        if (eg_needle_accepts(d, block, 0, (unsigned char)c)) {
            t->first[c] |= group;
            add_first_escapes(t, d, (unsigned char)c);
        }
        if (plus && eg_needle_accepts(d, block, 0, ' '))
            t->first[c] |= group;
        if (eg_needle_accepts(d, block, 1, (unsigned char)c) ||
            (plus && eg_needle_accepts(d, block, 1, ' ')))
            t->second[c] |= group;
    }
    if (d->modes & EG_NEEDLE_PERCENT)
        t->second['%'] |= group;
    if (d->modes & EG_NEEDLE_JSON)
        t->second['\\'] |= group;
    if (d->align != EG_NEEDLE_PLAIN) { /* a line ends there */
        t->second['\r'] |= group;
        t->second['\n'] |= group;
    }
}

void eg_redact_pairs_done(struct eg_redact_set *s)
{
    struct eg_redact_pairs *t = &s->pairs;
    for (unsigned c = 0; c < 256; c++) {
        t->nibble[0][0][c & 15] |= t->first[c];
        t->nibble[0][1][c >> 4] |= t->first[c];
        t->nibble[1][0][c & 15] |= t->second[c];
        t->nibble[1][1][c >> 4] |= t->second[c];
    }
#ifdef HAVE_SSSE3
    s->ssse3 = __builtin_cpu_supports("ssse3") != 0;
#endif
}

static uint8_t bits_at(const struct eg_redact_set *s, const struct eg_redact_view *v, size_t at)
{
    const struct eg_redact_pairs *t = &s->pairs;
    uint8_t bits = t->first[(unsigned char)*eg_view_at(v, at)];
    if (bits && at + 1 < eg_view_len(v))
        bits &= t->second[(unsigned char)*eg_view_at(v, at + 1)];
    return bits;
}

bool eg_redact_pairs_may(const struct eg_redact_set *s, unsigned i, const struct eg_redact_view *v,
                         size_t at)
{
    return (bits_at(s, v, at) & (group_of(i) | PERCENT_GROUP | JSON_GROUP)) != 0;
}

/* Most of the escapes in a text of other letters than Latin ones are above \u00ff. */
static bool begins(const struct eg_redact_set *s, const struct eg_redact_view *v, size_t at)
{
    uint8_t bits = bits_at(s, v, at);
    if (bits != JSON_GROUP || at + 2 >= eg_view_len(v) || *eg_view_at(v, at + 1) != 'u')
        return bits != 0;
    return *eg_view_at(v, at + 2) == '0';
}

#ifdef HAVE_SSSE3
__attribute__((target("ssse3"))) static __m128i looked_up(const uint8_t table[2][16], __m128i bytes)
{
    const __m128i half = _mm_set1_epi8(15);
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)table[0]);
    __m128i high = _mm_loadu_si128((const __m128i *)(const void *)table[1]);
    low = _mm_shuffle_epi8(low, _mm_and_si128(bytes, half));
    high = _mm_shuffle_epi8(high, _mm_and_si128(_mm_srli_epi16(bytes, 4), half));
    return _mm_and_si128(low, high);
}

/* From p[at] on: a place where the tables agree too, or one with fewer than 17 bytes behind it. */
__attribute__((target("ssse3"))) static size_t
skip(const struct eg_redact_pairs *t, const unsigned char *p, size_t n, size_t at)
{
    for (; n - at > 16; at += 16) {
        __m128i first = _mm_loadu_si128((const __m128i *)(const void *)(p + at));
        __m128i second = _mm_loadu_si128((const __m128i *)(const void *)(p + at + 1));
        __m128i both = _mm_and_si128(looked_up(t->nibble[0], first), looked_up(t->nibble[1], second));
        unsigned none = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(both, _mm_setzero_si128()));
        for (unsigned hits = ~none & 0xffff; hits; hits &= hits - 1) {
            size_t i = at + (unsigned)__builtin_ctz(hits);
            if (t->first[p[i]] & t->second[p[i + 1]])
                return i;
        }
    }
    return at;
}
#else
static size_t skip(const struct eg_redact_pairs *t, const unsigned char *p, size_t n, size_t at)
{
    (void)t, (void)p, (void)n;
    return at;
}
#endif

size_t eg_redact_pairs_next(const struct eg_redact_set *s, const struct eg_redact_view *v, size_t at)
{
    const size_t len = eg_view_len(v), edge = v->n[0];
    while (at < len) {
        if (s->ssse3 && at >= edge && len - at > 16)
            at = edge + skip(&s->pairs, (const unsigned char *)v->p[1], v->n[1], at - edge);
        if (begins(s, v, at))
            break;
        at++;
    }
    return at;
}
