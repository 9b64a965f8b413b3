/* slice.h - a borrowed run of bytes. It owns nothing; its lifetime is its lender's. */
#ifndef EG_BASE_SLICE_H
#define EG_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct eg_slice {
    const char *p; /* may be NULL when n is 0 */
    size_t n;
};

#define EG_SLICE_NONE ((struct eg_slice){ NULL, 0 })
/* A slice of a string literal. */
#define EG_SLICE(literal) ((struct eg_slice){ "" literal, sizeof(literal) - 1 })

static inline struct eg_slice eg_slice(const void *p, size_t n)
{
    return (struct eg_slice){ p, n };
}

static inline struct eg_slice eg_slice_str(const char *s)
{
    return (struct eg_slice){ s, s ? strlen(s) : 0 };
}

static inline bool eg_slice_eq(struct eg_slice a, struct eg_slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII lower case of one octet; locale plays no part. */
static inline char eg_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Does a begin with prefix / with prefix in any ASCII case? */
bool eg_slice_starts(struct eg_slice a, struct eg_slice prefix);
bool eg_slice_casestarts(struct eg_slice a, struct eg_slice prefix);

/* ASCII case-insensitive equality (RFC 9110 section 5.1 for field names). Most names differ in their length or first letter. */
static inline bool eg_slice_caseeq(struct eg_slice a, struct eg_slice b)
{
    return a.n == b.n &&
           (a.n == 0 || ((a.p[0] | 0x20) == (b.p[0] | 0x20) && eg_slice_casestarts(a, b)));
}

/* a without the first n bytes; n > a.n gives the empty slice. */
static inline struct eg_slice eg_slice_from(struct eg_slice a, size_t n)
{
    if (n == 0)
        return a;
    return n < a.n ? eg_slice(a.p + n, a.n - n) : EG_SLICE_NONE;
}

/* Index of the first c, or -1. */
long eg_slice_index(struct eg_slice a, char c);
/* A string of its own, malloc'd; NULL without memory. strndup(3) may look for a NUL behind the slice, where nothing is. */
char *eg_slice_dup(struct eg_slice a);
/* Without spaces and tabs (OWS of RFC 9110 section 5.6.3) on both sides. */
struct eg_slice eg_slice_trim(struct eg_slice a);
/* Decimal digits only, no sign, no space, no overflow, at least one digit; false otherwise. */
bool eg_slice_u64(struct eg_slice a, unsigned long long *ret);
/* The next character of a percent-encoded text (RFC 3986 section 2.1) at *at, which moves behind it (*at < text.n). An invalid escape
 * stands for itself. */
char eg_slice_unescape(struct eg_slice text, size_t *at);
/* Takes the next element of a comma-separated list (RFC 9110 section 5.6.1), trimmed, empty ones
 * skipped; advances *rest; false at its end. Quoted strings are not understood. */
bool eg_slice_list_next(struct eg_slice *rest, struct eg_slice *ret);

#endif
