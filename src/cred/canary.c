/* canary.c - finds a phantom or token where it does not belong.
 *
 * Linear in the text, since the child chooses both the text and, by knowing it, the worst one
 * for a phantom. Plain and with any characters percent-encoded once; other codings are not
 * looked for. */
#include "cred/cred.h"

#include <sodium.h>

enum { NEEDLE_MIN = 16, WINDOW = 4096 };

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = eg_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes the next character of hay at *at. An invalid escape stands for itself. */
static char decode_next(struct eg_slice hay, size_t *at)
{
    char c = hay.p[(*at)++];
    if (c != '%' || hay.n - *at < 2)
        return c;
    int high = hex_digit(hay.p[*at]), low = hex_digit(hay.p[*at + 1]);
    if (high < 0 || low < 0)
        return c;
    *at += 2;
    return (char)(high * 16 + low);
}

bool eg_canary_in(struct eg_slice hay, struct eg_slice needle)
{
    if (needle.n < NEEDLE_MIN || hay.n < needle.n)
        return false;
    if (memmem(hay.p, hay.n, needle.p, needle.n))
        return true;
    if (needle.n > WINDOW / 2 || !memchr(hay.p, '%', hay.n))
        return false;
    char window[WINDOW];
    size_t n = 0, at = 0;
    bool found = false;
    while (!found && at < hay.n) {
        while (n < sizeof window && at < hay.n)
            window[n++] = decode_next(hay, &at);
        found = memmem(window, n, needle.p, needle.n) != NULL;
        if (n >= needle.n) { /* what may be the beginning of a match that goes on */
            memmove(window, window + n - (needle.n - 1), needle.n - 1);
            n = needle.n - 1;
        }
    }
    sodium_memzero(window, sizeof window);
    return found;
}
