/* buf.h - an owned byte queue that is born with a ceiling. Bytes enter at the tail and leave at the
 * front. */
#ifndef EG_BASE_BUF_H
#define EG_BASE_BUF_H

#include "base/slice.h"
#include "egress/status.h"

struct eg_buf {
    char *data;
    size_t off; /* of the first unread byte */
    size_t len; /* unread bytes */
    size_t cap; /* allocated */
    size_t max; /* ceiling for len; growing past it is EG_TOO_BIG */
};

/* No allocation until the first byte. max > 0. */
void eg_buf_init(struct eg_buf *b, size_t max);
/* Frees; the ceiling is kept, so the buffer may be used again. NULL and all-zero buffers are fine.
 */
void eg_buf_done(struct eg_buf *b);
/* Zeroes all bytes that it ever held, then forgets them (keeps the memory). */
void eg_buf_wipe(struct eg_buf *b);
/* Forgets all bytes, keeps the memory. */
void eg_buf_reset(struct eg_buf *b);

static inline struct eg_slice eg_buf_slice(const struct eg_buf *b)
{
    return eg_slice(b->data ? b->data + b->off : NULL, b->len);
}
/* Bytes that may still be added before the ceiling. */
static inline size_t eg_buf_room(const struct eg_buf *b)
{
    return b->max - b->len;
}

/* Makes n contiguous writable bytes at the tail and returns them in *ret (valid until the next call
 * that is not commit). EG_TOO_BIG above the ceiling, EG_NOMEM. Invalidates slices of this buffer.
 */
enum eg_status eg_buf_reserve(struct eg_buf *b, size_t n, char **ret) EG_MUST_USE;
/* Declares n of the reserved bytes written. */
void eg_buf_commit(struct eg_buf *b, size_t n);
enum eg_status eg_buf_append(struct eg_buf *b, const void *p, size_t n) EG_MUST_USE;
enum eg_status eg_buf_put(struct eg_buf *b, struct eg_slice s) EG_MUST_USE;
enum eg_status eg_buf_printf(struct eg_buf *b, const char *format, ...) EG_MUST_USE
    __attribute__((format(printf, 2, 3)));
/* Drops the first n unread bytes (n <= len). */
void eg_buf_consume(struct eg_buf *b, size_t n);
/* Puts bytes before the first unread one (surplus handed back by a layer). */
enum eg_status eg_buf_unread(struct eg_buf *b, const void *p, size_t n) EG_MUST_USE;

#endif
