/* redact_start.c - where a needle may begin: the three bytes that its first units, in any form, may begin with.
 *
 * Most of a text is passed over here, so this is what searching costs: three tables of 256 bytes and, where the processor shuffles
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

static void add(struct eg_redact_start *t, unsigned at, const char *bytes, uint8_t group)
{
    for (; *bytes; bytes++)
        t->byte[at][(unsigned char)*bytes] |= group;
}

static void add_hex(struct eg_redact_start *t, unsigned at, unsigned digit, uint8_t group)
{
    const char both[] = { "0123456789abcdef"[digit], "0123456789ABCDEF"[digit], '\0' };
    add(t, at, both, group);
}

static bool is_unit(const struct eg_needle *d, const unsigned char *block, size_t k, unsigned c)
{
    return eg_needle_accepts(d, block, k, (unsigned char)c) ||
           (c == '+' && (d->modes & EG_NEEDLE_PERCENT) && eg_needle_accepts(d, block, k, ' '));
}

/* What stands at byte `at` where a unit, or a line break, begins there. */
static void add_unit(struct eg_redact_start *t, const struct eg_needle *d,
                     const unsigned char *block, size_t k, unsigned at, uint8_t group)
{
    for (unsigned c = 0; c < 256; c++)
        if (is_unit(d, block, k, c))
            t->byte[at][c] |= group;
    if (at > 0 && (d->modes & EG_NEEDLE_PERCENT))
        add(t, at, "%", group);
    if (at > 0 && (d->modes & EG_NEEDLE_JSON))
        add(t, at, "\\", group);
    if (at > 0 && d->align != EG_NEEDLE_PLAIN)
        add(t, at, "\r\n", group);
}

/* Its first unit as an escape, c being one way to write that unit. */
static void add_first_escapes(struct eg_redact_start *t, const struct eg_needle *d,
                              const unsigned char *block, unsigned char c)
{
    const char letter[] = { eg_needle_short((char)c), '\0' };
    if (d->modes & EG_NEEDLE_PERCENT) {
        add(t, 0, "%", PERCENT_GROUP);
        add_hex(t, 1, c >> 4, PERCENT_GROUP);
        add_hex(t, 2, c & 15, PERCENT_GROUP);
    }
    if (d->modes & EG_NEEDLE_JSON) {
        add(t, 0, "\\", JSON_GROUP);
        add(t, 1, "u", JSON_GROUP);
        add(t, 2, "0", JSON_GROUP);
        add(t, 1, letter, JSON_GROUP);
        if (*letter)
            add_unit(t, d, block, 1, 2, JSON_GROUP);
    }
}

/* Its second unit, or a line break before it, in more than one byte. */
static void add_second_escapes(struct eg_redact_start *t, const struct eg_needle *d,
                               const unsigned char *block, uint8_t group)
{
    for (unsigned c = 0; c < 256; c++) {
        if (!eg_needle_accepts(d, block, 1, (unsigned char)c))
            continue;
        const char letter[] = { eg_needle_short((char)c), 'u', '\0' };
        if (d->modes & EG_NEEDLE_PERCENT)
            add_hex(t, 2, c >> 4, group);
        if (d->modes & EG_NEEDLE_JSON)
            add(t, 2, *letter ? letter : letter + 1, group);
    }
    if (d->align != EG_NEEDLE_PLAIN) {
        add(t, 2, "nr", group);
        add_unit(t, d, block, 1, 2, group);
    }
}

void eg_redact_start_add(struct eg_redact_set *s, unsigned i, const unsigned char *block)
{
    const struct eg_needle *d = &s->needle[i];
    struct eg_redact_start *t = &s->start;
    const uint8_t group = group_of(i);
    for (unsigned k = 0; k < 3; k++)
        add_unit(t, d, block, k, k, group);
    for (unsigned c = 0; c < 256; c++)
        if (eg_needle_accepts(d, block, 0, (unsigned char)c))
            add_first_escapes(t, d, block, (unsigned char)c);
    add_second_escapes(t, d, block, group);
}

void eg_redact_start_done(struct eg_redact_set *s)
{
    struct eg_redact_start *t = &s->start;
    for (unsigned at = 0; at < 3; at++)
        for (unsigned c = 0; c < 256; c++) {
            t->half[at][0][c & 15] |= t->byte[at][c];
            t->half[at][1][c >> 4] |= t->byte[at][c];
        }
#ifdef HAVE_SSSE3
    s->ssse3 = __builtin_cpu_supports("ssse3") != 0;
#endif
}

uint8_t eg_redact_start_groups(const struct eg_redact_set *s, const struct eg_redact_view *v,
                               size_t at)
{
    uint8_t groups = 255;
    const size_t len = eg_view_len(v);
    for (unsigned k = 0; k < 3 && groups && at + k < len; k++)
        groups &= s->start.byte[k][(unsigned char)*eg_view_at(v, at + k)];
    return groups;
}

bool eg_redact_start_may(unsigned i, uint8_t groups)
{
    return (groups & (group_of(i) | PERCENT_GROUP | JSON_GROUP)) != 0;
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

/* From p[at] on: a place where the tables agree too, or one with fewer than 18 bytes behind it. */
__attribute__((target("ssse3"))) static size_t skip(const struct eg_redact_start *t,
                                                    const unsigned char *p, size_t n, size_t at)
{
    for (; n - at > 17; at += 16) {
        const __m128i *from = (const void *)(p + at);
        __m128i hit = looked_up(t->half[0], _mm_loadu_si128(from));
        from = (const void *)(p + at + 1);
        hit = _mm_and_si128(hit, looked_up(t->half[1], _mm_loadu_si128(from)));
        from = (const void *)(p + at + 2);
        hit = _mm_and_si128(hit, looked_up(t->half[2], _mm_loadu_si128(from)));
        unsigned none = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(hit, _mm_setzero_si128()));
        for (unsigned hits = ~none & 0xffff; hits; hits &= hits - 1) {
            size_t i = at + (unsigned)__builtin_ctz(hits);
            if (t->byte[0][p[i]] & t->byte[1][p[i + 1]] & t->byte[2][p[i + 2]])
                return i;
        }
    }
    return at;
}
#else
static size_t skip(const struct eg_redact_start *t, const unsigned char *p, size_t n, size_t at)
{
    (void)t, (void)p, (void)n;
    return at;
}
#endif

size_t eg_redact_start_next(const struct eg_redact_set *s, const struct eg_redact_view *v,
                            size_t at)
{
    const size_t len = eg_view_len(v), edge = v->n[0];
    while (at < len) {
        if (s->ssse3 && at >= edge && len - at > 17)
            at = edge + skip(&s->start, (const unsigned char *)v->p[1], v->n[1], at - edge);
        if (eg_redact_start_groups(s, v, at))
            break;
        at++;
    }
    return at;
}
