/* slice.c - the comparisons and cuts of borrowed bytes that are more than one line.
 *
 * ASCII only: the locale plays no part, bytes above 0x7f are equal to themselves and to nothing
 * else. */
#include "base/slice.h"

#include <limits.h>
#include <stdlib.h>

bool eg_slice_starts(struct eg_slice a, struct eg_slice prefix)
{
    return a.n >= prefix.n && (prefix.n == 0 || memcmp(a.p, prefix.p, prefix.n) == 0);
}

bool eg_slice_casestarts(struct eg_slice a, struct eg_slice prefix)
{
    if (a.n < prefix.n)
        return false;
    for (size_t i = 0; i < prefix.n; i++)
        if (a.p[i] != prefix.p[i] && eg_lower(a.p[i]) != eg_lower(prefix.p[i]))
            return false; /* most letters are alike as they stand */
    return true;
}

char *eg_slice_dup(struct eg_slice a)
{
    char *s = malloc(a.n + 1);
    if (!s)
        return NULL;
    if (a.n)
        memcpy(s, a.p, a.n);
    s[a.n] = '\0';
    return s;
}

long eg_slice_index(struct eg_slice a, char c)
{
    const char *at = a.n ? memchr(a.p, c, a.n) : NULL;
    return at ? (long)(at - a.p) : -1;
}

static bool is_ows(char c)
{
    return c == ' ' || c == '\t';
}

struct eg_slice eg_slice_trim(struct eg_slice a)
{
    while (a.n && is_ows(a.p[0])) {
        a.p++;
        a.n--;
    }
    while (a.n && is_ows(a.p[a.n - 1]))
        a.n--;
    return a;
}

bool eg_slice_u64(struct eg_slice a, unsigned long long *ret)
{
    unsigned long long value = 0;
    if (a.n == 0)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (a.p[i] < '0' || a.p[i] > '9')
            return false;
        unsigned digit = (unsigned)(a.p[i] - '0');
        if (value > (ULLONG_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *ret = value;
    return true;
}

bool eg_slice_list_next(struct eg_slice *rest, struct eg_slice *ret)
{
    while (rest->n) {
        long comma = eg_slice_index(*rest, ',');
        size_t n = comma < 0 ? rest->n : (size_t)comma;
        struct eg_slice element = eg_slice_trim(eg_slice(rest->p, n));
        *rest = eg_slice_from(*rest, n + 1);
        if (element.n) {
            *ret = element;
            return true;
        }
    }
    return false;
}

static int hex_digit(char c)
{
    c = eg_lower(c);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char eg_slice_unescape(struct eg_slice text, size_t *at)
{
    char c = text.p[(*at)++];
    if (c != '%' || text.n - *at < 2)
        return c;
    int high = hex_digit(text.p[*at]), low = hex_digit(text.p[*at + 1]);
    if (high < 0 || low < 0)
        return c;
    *at += 2;
    return (char)(high * 16 + low);
}
