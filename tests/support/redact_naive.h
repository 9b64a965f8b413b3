/* redact_naive.h - the search of cred/redact.h once more: slow, of whole texts only, and written another way (base64 by encoding, escapes by strtol). And texts that
 * are full of what is nearly found. Header only, for a fuzzer too. */
#ifndef TESTS_REDACT_NAIVE_H
#define TESTS_REDACT_NAIVE_H

#include <ctype.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"

enum { NAIVE_UNITS = 512, NAIVE_PERCENT = 1, NAIVE_JSON = 2 };

struct naive_pair {
    struct eg_slice value, phantom;
};

struct naive_token {
    unsigned char c;
    size_t at, width;
};

struct naive_needle {
    int align; /* -1: plain */
    unsigned modes;
    struct naive_pair pair;
    size_t units;
    unsigned char want[NAIVE_UNITS], mask[NAIVE_UNITS],
        phantom[NAIVE_UNITS]; /* bytes, or digits of 6 bits */
};

static const char naive_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static inline int naive_digit(unsigned char c)
{
    const char *at = strchr(naive_digits, c == '-' ? '+' : c == '_' ? '/' : c);
    return at && c ? (int)(at - naive_digits) : -1;
}

/* The digits of `align` bytes of fill, the value and two more of fill. */
static inline size_t naive_encode(struct eg_slice value, int align, int fill, unsigned char *digits)
{
    unsigned char raw[NAIVE_UNITS];
    char text[NAIVE_UNITS * 2];
    memset(raw, fill, sizeof raw);
    memcpy(raw + align, value.p, value.n);
    sodium_bin2base64(text, sizeof text, raw, value.n + (size_t)align + 2,
                      sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        digits[i] = (unsigned char)naive_digit((unsigned char)text[i]);
    return n;
}

/* Digits that the fill changes are not the value's; but the first one behind it in part. */
static inline void naive_base64(struct naive_needle *d)
{
    unsigned char zeros[NAIVE_UNITS * 2], ones[NAIVE_UNITS * 2], other[NAIVE_UNITS * 2];
    size_t n = naive_encode(d->pair.value, d->align, 0, zeros);
    naive_encode(d->pair.value, d->align, 255, ones);
    if (d->pair.phantom.n == d->pair.value.n)
        naive_encode(d->pair.phantom, d->align, 0, other);
    d->units = 0;
    bool ended = false;
    for (size_t i = 0; i < n && !ended; i++) {
        unsigned char mask = (unsigned char)(63 & ~(zeros[i] ^ ones[i]));
        bool leads = d->units == 0 && mask != 63;
        ended = d->units > 0 && mask != 63;
        if (leads || mask == 0)
            continue;
        d->want[d->units] = zeros[i];
        d->mask[d->units] = mask;
        d->phantom[d->units++] = d->pair.phantom.n == d->pair.value.n ? other[i] : 0;
    }
}

static inline void naive_needle(struct naive_needle *d, const struct naive_pair *pair, int align,
                                unsigned modes)
{
    d->align = align;
    d->modes = modes;
    d->pair = *pair;
    if (align >= 0) {
        naive_base64(d);
        return;
    }
    d->units = pair->value.n;
    memcpy(d->want, pair->value.p, pair->value.n);
    if (pair->phantom.n == pair->value.n)
        memcpy(d->phantom, pair->phantom.p, pair->value.n);
}

static inline struct naive_token naive_read(const char *text, size_t n, size_t at, unsigned modes)
{
    struct naive_token t = { (unsigned char)text[at], at, 1 };
    const char *p = text + at;
    size_t left = n - at;
    char hex[3] = "";
    if ((modes & NAIVE_PERCENT) && *p == '%' && left >= 3 && isxdigit((unsigned char)p[1]) &&
        isxdigit((unsigned char)p[2])) {
        memcpy(hex, p + 1, 2);
        t.c = (unsigned char)strtol(hex, NULL, 16);
        t.width = 3;
    } else if ((modes & NAIVE_JSON) && *p == '\\' && left >= 6 && memcmp(p, "\\u00", 4) == 0 &&
               isxdigit((unsigned char)p[4]) && isxdigit((unsigned char)p[5])) {
        memcpy(hex, p + 4, 2);
        t.c = (unsigned char)strtol(hex, NULL, 16);
        t.width = 6;
    } else if ((modes & NAIVE_JSON) && *p == '\\' && left >= 2) {
        t.width = 2;
        switch (p[1]) {
        case 'b':
            t.c = 8;
            break;
        case 't':
            t.c = 9;
            break;
        case 'n':
            t.c = 10;
            break;
        case 'f':
            t.c = 12;
            break;
        case 'r':
            t.c = 13;
            break;
        case '"':
        case '/':
        case '\\':
            t.c = (unsigned char)p[1];
            break;
        default:
            t.width = 1;
        }
    }
    return t;
}

static inline bool naive_is(const struct naive_needle *d, size_t k, const struct naive_token *t)
{
    if (d->align >= 0) {
        int digit = naive_digit(t->c);
        return digit >= 0 && ((unsigned)digit & d->mask[k]) == (unsigned)(d->want[k] & d->mask[k]);
    }
    bool form_space =
        t->width == 1 && t->c == '+' && (d->modes & NAIVE_PERCENT) && d->want[k] == ' ';
    return t->c == d->want[k] || form_space;
}

/* The length of the needle at `at`, 0 if it is not there. */
static inline size_t naive_match(const struct naive_needle *d, const char *text, size_t n,
                                 size_t from, struct naive_token *tokens)
{
    size_t at = from;
    for (size_t k = 0; k < d->units; k++) {
        if (d->align >= 0 && k > 0 && at < n) {
            static const char *const breaks[] = { "\r\n", "\n", "\\r\\n", "\\n" };
            for (size_t b = 0; b < 4; b++) {
                size_t w = strlen(breaks[b]);
                if (n - at >= w && memcmp(text + at, breaks[b], w) == 0) {
                    at += w;
                    break;
                }
            }
        }
        if (at >= n)
            return 0;
        tokens[k] = naive_read(text, n, at, d->modes);
        if (!naive_is(d, k, &tokens[k]))
            return 0;
        at += tokens[k].width;
    }
    return at - from;
}

static inline unsigned char naive_phantom(const struct naive_needle *d, size_t k,
                                          const struct naive_token *t, bool url)
{
    if (d->align < 0)
        return d->phantom[k];
    unsigned digit =
        (d->phantom[k] & d->mask[k]) | ((unsigned)naive_digit(t->c) & 63u & ~d->mask[k]);
    return url && digit > 61 ? (unsigned char)"-_"[digit - 62] : (unsigned char)naive_digits[digit];
}

static inline void naive_replace(const struct naive_needle *d, char *text,
                                 const struct naive_token *tokens)
{
    bool url = false, escaped = false, same = d->pair.phantom.n == d->pair.value.n;
    for (size_t k = 0; k < d->units; k++) {
        url |= tokens[k].c == '-' || tokens[k].c == '_';
        escaped |= tokens[k].width > 1;
    }
    for (size_t k = 0; k < d->units && same; k++) {
        unsigned char c = naive_phantom(d, k, &tokens[k], url);
        bool harmless = isalnum(c) || (c && strchr("-._~", c));
        if (tokens[k].width == 2)
            same = c && strchr("\"\\/\b\f\n\r\t", c);
        else if (tokens[k].width == 1)
            same = harmless || (!escaped && isgraph(c) && !strchr("\"\\%", c));
    }
    for (size_t k = 0; k < d->units; k++) {
        char *p = text + tokens[k].at, form[8];
        unsigned char c = naive_phantom(d, k, &tokens[k], url);
        size_t w = tokens[k].width;
        if (!same)
            memset(p, '*', w);
        else if (w == 1)
            *p = (char)c;
        else if (w == 2)
            p[1] = c == 8    ? 'b'
                   : c == 9  ? 't'
                   : c == 10 ? 'n'
                   : c == 12 ? 'f'
                   : c == 13 ? 'r'
                             : (char)c;
        else {
            bool small = islower((unsigned char)p[w - 1]) || islower((unsigned char)p[w - 2]);
            snprintf(form, sizeof form, small ? "%02x" : "%02X", c);
            memcpy(p + w - 2, form, 2);
        }
    }
}

/* How many there were. */
static inline unsigned naive_redact(const struct naive_pair *pairs, unsigned count, char *text,
                                    size_t n)
{
    struct naive_needle *needles = calloc(7 * count + 1, sizeof *needles);
    struct naive_token *block = calloc(2 * NAIVE_UNITS, sizeof *block);
    struct naive_token *tokens = block, *best = block + NAIVE_UNITS;
    unsigned total = 0, found = 0;
    if (!needles || !block)
        abort();
    for (unsigned i = 0; i < count; i++) {
        struct eg_slice value = pairs[i].value;
        if (value.n < 16)
            continue;
        bool percent = memchr(value.p, '%', value.n), slash = memchr(value.p, '\\', value.n);
        naive_needle(&needles[total++], &pairs[i], -1, 3);
        if (percent)
            naive_needle(&needles[total++], &pairs[i], -1, NAIVE_JSON);
        if (slash)
            naive_needle(&needles[total++], &pairs[i], -1, NAIVE_PERCENT);
        if (percent && slash)
            naive_needle(&needles[total++], &pairs[i], -1, 0);
        for (int align = 0; align < 3; align++)
            naive_needle(&needles[total++], &pairs[i], align, 3);
    }
    for (size_t at = 0; at < n; at++) {
        const struct naive_needle *winner = NULL;
        size_t longest = 0;
        for (unsigned i = 0; i < total; i++) {
            size_t len = naive_match(&needles[i], text, n, at, tokens);
            if (len <= longest)
                continue;
            longest = len;
            winner = &needles[i];
            struct naive_token *swap = best;
            best = tokens;
            tokens = swap;
        }
        if (!winner)
            continue;
        naive_replace(winner, text, best);
        found++;
        at += longest - 1;
    }
    free(block);
    free(needles);
    return found;
}

/* ---- texts ---- */

static inline size_t naive_put(char *out, size_t at, size_t max, const char *p, size_t n)
{
    if (n > max - at)
        n = max - at;
    memcpy(out + at, p, n);
    return at + n;
}

/* c in one of its forms */
static inline size_t naive_put_char(char *out, size_t at, size_t max, char c,
                                    uint32_t (*rnd)(uint32_t))
{
    char form[8];
    switch (rnd(8)) {
    case 0:
        snprintf(form, sizeof form, "%%%02X", (unsigned char)c);
        break;
    case 1:
        snprintf(form, sizeof form, "%%%02x", (unsigned char)c);
        break;
    case 2:
        snprintf(form, sizeof form, "\\u%04x", (unsigned char)c);
        break;
    case 3:
        if (c == '"' || c == '\\' || c == '/') {
            snprintf(form, sizeof form, "\\%c", c);
            break;
        } /* fall through */
    default:
        snprintf(form, sizeof form, "%c", c);
    }
    return naive_put(out, at, max, form, strlen(form));
}

/* A text of `max` bytes at most, in which the values stand in all forms: whole, in part, with one character changed. */
static inline size_t naive_text(const struct naive_pair *pairs, unsigned count,
                                uint32_t (*rnd)(uint32_t), char *out, size_t max)
{
    size_t at = 0;
    while (at < max && rnd(40)) {
        struct eg_slice value = pairs[rnd(count)].value;
        char raw[256], text[512];
        size_t lead = rnd(4), n = rnd(5) ? value.n : rnd((uint32_t)value.n + 1);
        memset(raw, "x\xff+"[rnd(3)], sizeof raw);
        memcpy(raw + lead, value.p, n);
        if (rnd(6) == 0)
            raw[lead + rnd((uint32_t)n + 1)] ^= 1;
        switch (rnd(5)) {
        case 0:
            at = naive_put(out, at, max, raw + lead, n);
            break;
        case 1:
            for (size_t i = 0; i < n; i++)
                at = naive_put_char(out, at, max, raw[lead + i], rnd);
            break;
        case 2:
            sodium_bin2base64(text, sizeof text, (unsigned char *)raw, lead + n + rnd(3),
                              rnd(2) ? sodium_base64_VARIANT_ORIGINAL
                                     : sodium_base64_VARIANT_URLSAFE_NO_PADDING);
            for (size_t i = 0, mixed = rnd(2); text[i]; i++) {
                if (rnd(20) == 0)
                    at = naive_put(out, at, max, rnd(2) ? "\r\n" : "\\n", 2);
                at = mixed ? naive_put_char(out, at, max, text[i], rnd)
                           : naive_put(out, at, max, text + i, 1);
            }
            break;
        case 3:
            at = naive_put(out, at, max, "%\\u00\"%4", 1 + rnd(8));
            break;
        default:
            at = naive_put(out, at, max, "{\"data\": \"\\n\\u4e2d\"}\r\n\r\n", rnd(24));
        }
    }
    return at;
}

#endif
