/* buf.c - an owned byte queue with a ceiling.
 *
 * Invariants: off + len <= cap <= max, and data is NULL exactly when cap is 0. It compacts before
 * it grows. A block that is left behind by growing is wiped, so that eg_buf_wipe keeps its promise.
 * Bytes given to append and unread must not lie in this buffer's unread part. */
#include "base/buf.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_BLOCK = 256, PRINTF_STACK = 512 };

void eg_buf_init(struct eg_buf *b, size_t max)
{
    *b = (struct eg_buf){ .max = max };
}

void eg_buf_done(struct eg_buf *b)
{
    if (!b)
        return;
    free(b->data);
    eg_buf_init(b, b->max);
}

void eg_buf_wipe(struct eg_buf *b)
{
    if (b->data)
        sodium_memzero(b->data, b->cap);
    eg_buf_reset(b);
}

void eg_buf_reset(struct eg_buf *b)
{
    b->off = 0;
    b->len = 0;
}

/* A block for `need` bytes (need <= max): at least doubled, so that appending stays linear. */
static size_t next_cap(const struct eg_buf *b, size_t need)
{
    size_t cap = b->cap < FIRST_BLOCK / 2 ? FIRST_BLOCK : b->cap;
    if (b->cap >= FIRST_BLOCK / 2)
        cap = cap > b->max / 2 ? b->max : cap * 2;
    if (cap < need)
        cap = need;
    return cap > b->max ? b->max : cap;
}

/* Makes cap - len >= n with the unread bytes at offset `off`; the caller has checked the ceiling.
 */
static enum eg_status rearrange(struct eg_buf *b, size_t n, size_t off)
{
    if (b->cap - b->len >= n) {
        if (b->len)
            memmove(b->data + off, b->data + b->off, b->len);
        b->off = off;
        return EG_OK;
    }
    size_t cap = next_cap(b, b->len + n);
    char *data = malloc(cap);
    if (!data)
        return EG_NOMEM;
    if (b->len)
        memcpy(data + off, b->data + b->off, b->len);
    if (b->data)
        sodium_memzero(b->data, b->cap);
    free(b->data);
    b->data = data;
    b->cap = cap;
    b->off = off;
    return EG_OK;
}

enum eg_status eg_buf_reserve(struct eg_buf *b, size_t n, char **ret)
{
    if (n > b->max - b->len)
        return EG_TOO_BIG;
    if (b->cap - b->off - b->len < n) {
        enum eg_status st = rearrange(b, n, 0);
        if (st != EG_OK)
            return st;
    }
    *ret = b->data ? b->data + b->off + b->len : NULL;
    return EG_OK;
}

void eg_buf_commit(struct eg_buf *b, size_t n)
{
    size_t free_tail = b->cap - b->off - b->len;
    b->len += n < free_tail ? n : free_tail;
}

enum eg_status eg_buf_append(struct eg_buf *b, const void *p, size_t n)
{
    char *to;
    if (n == 0)
        return EG_OK;
    enum eg_status st = eg_buf_reserve(b, n, &to);
    if (st != EG_OK)
        return st;
    memcpy(to, p, n);
    b->len += n;
    return EG_OK;
}

enum eg_status eg_buf_put(struct eg_buf *b, struct eg_slice s)
{
    return eg_buf_append(b, s.p, s.n);
}

enum eg_status eg_buf_printf(struct eg_buf *b, const char *format, ...)
{
    char stack[PRINTF_STACK];
    char *text = stack;
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(stack, sizeof stack, format, ap);
    va_end(ap);
    if (n >= (int)sizeof stack) {
        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
    }
    if (n < 0)
        return EG_NOMEM;
    enum eg_status st = eg_buf_append(b, text, (size_t)n);
    if (text != stack)
        free(text);
    return st;
}

void eg_buf_consume(struct eg_buf *b, size_t n)
{
    if (n >= b->len) {
        eg_buf_reset(b);
        return;
    }
    b->off += n;
    b->len -= n;
}

enum eg_status eg_buf_unread(struct eg_buf *b, const void *p, size_t n)
{
    if (n == 0)
        return EG_OK;
    if (n > b->max - b->len)
        return EG_TOO_BIG;
    if (b->off < n) {
        enum eg_status st = rearrange(b, n, n);
        if (st != EG_OK)
            return st;
    }
    memmove(b->data + b->off - n, p, n);
    b->off -= n;
    b->len += n;
    return EG_OK;
}
