/* http_fuzz.h - what the fuzzers of http share: reading one message under a split, as a short
 * account that can be compared. */
#ifndef EG_TESTS_FUZZ_HTTP_FUZZ_H
#define EG_TESTS_FUZZ_HTTP_FUZZ_H

#include <stdint.h>
#include <stdlib.h>

#include "http/message.h"
#include "http/write.h"

#define MUST(what)                                                                                 \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            __builtin_trap();                                                                      \
        }                                                                                          \
    } while (0)

struct account {
    enum eg_status head, body, end;
    size_t taken;      /* bytes up to the message's end */
    size_t head_bytes; /* up to the head's */
    bool keep_alive;   /* as the head said; a refusal afterwards takes it back */
    uint64_t data;     /* hash and number of the body's bytes */
    size_t data_n;
};

static inline uint64_t mix(uint64_t h, struct eg_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3ULL;
    }
    return h;
}

static inline size_t step_head(struct eg_msg *m, const char *p, size_t n, struct account *a)
{
    size_t used = SIZE_MAX;
    a->head = eg_msg_head(m, p, n, &used, NULL);
    if (a->head != EG_OK && a->head != EG_AGAIN) {
        return n;
    }
    MUST(used <= n && (a->head == EG_OK || used == n));
    a->taken += used;
    a->head_bytes = a->taken;
    a->keep_alive = eg_msg_head_get(m)->keep_alive;
    return used;
}

static inline size_t step_body(struct eg_msg *m, const char *p, size_t n, struct account *a,
                               struct eg_buf *decoded)
{
    size_t used = SIZE_MAX;
    struct eg_slice data = { p, SIZE_MAX };
    a->body = eg_msg_body(m, p, n, &used, &data, NULL);
    if (a->body != EG_OK && a->body != EG_AGAIN && a->body != EG_EOF) {
        return n;
    }
    MUST(used <= n && data.n <= used && (a->body != EG_AGAIN || (used == n && data.n == 0)));
    MUST(data.n == 0 || (data.p >= p && data.p + data.n <= p + used));
    MUST(used > 0 || a->body == EG_EOF || n == 0);
    a->taken += used;
    a->data = mix(a->data, data);
    a->data_n += data.n;
    if (decoded != NULL) {
        MUST(eg_buf_put(decoded, data) == EG_OK);
    }
    return used;
}

/* step: bytes a piece; 0: pieces of 1 to 7 bytes in turn. */
static inline void read_message(struct eg_msg *m, struct eg_slice asked, struct eg_slice in,
                                size_t step, struct account *a, struct eg_buf *decoded)
{
    size_t at = 0;
    *a = (struct account){ .head = EG_AGAIN, .body = EG_AGAIN };
    eg_msg_reset(m, asked);
    for (size_t turn = 0; at < in.n; turn++) {
        size_t n = step > 0 ? step : turn % 7 + 1;
        n = n < in.n - at ? n : in.n - at;
        size_t end = at + n;
        while (at < end) {
            bool in_head = a->head == EG_AGAIN;
            if (!in_head && (a->head != EG_OK || eg_msg_complete(m) ||
                             (a->body != EG_OK && a->body != EG_AGAIN))) {
                at = in.n;
                break;
            }
            at += in_head ? step_head(m, in.p + at, end - at, a)
                          : step_body(m, in.p + at, end - at, a, decoded);
        }
        if (at >= in.n) {
            break;
        }
    }
    if (eg_msg_complete(m)) {
        a->body = EG_EOF;
    }
    a->end = eg_msg_finish(m, NULL);
}

/* A piece that ends exactly leaves OK where another split leaves AGAIN. Where a refusal stands in
 * a piece is not told. */
static inline bool same_account(const struct account *a, const struct account *b)
{
    enum eg_status x = a->body == EG_OK ? EG_AGAIN : a->body;
    enum eg_status y = b->body == EG_OK ? EG_AGAIN : b->body;
    if (a->head != b->head || a->end != b->end) {
        return false;
    }
    if (a->head != EG_OK && a->head != EG_AGAIN) {
        return true;
    }
    return a->head_bytes == b->head_bytes && a->keep_alive == b->keep_alive && x == y &&
           a->data == b->data && a->data_n == b->data_n && (x != EG_EOF || a->taken == b->taken);
}

static inline bool same_fields(const struct eg_head *a, const struct eg_head *b)
{
    if (a->field_count != b->field_count) {
        return false;
    }
    for (uint32_t i = 0; i < a->field_count; i++) {
        if (!eg_slice_eq(a->fields[i].name, b->fields[i].name) ||
            !eg_slice_eq(a->fields[i].value, b->fields[i].value)) {
            return false;
        }
    }
    return true;
}

static inline bool same_head(const struct eg_head *a, const struct eg_head *b)
{
    return eg_slice_eq(a->method, b->method) && eg_slice_eq(a->target, b->target) &&
           a->status == b->status && eg_slice_eq(a->reason, b->reason) &&
           a->framing == b->framing && a->length == b->length && a->upgrade == b->upgrade &&
           same_fields(a, b);
}

/* Splits the bytes of an accepted head naively at CRLF and at the first colon: what a simple
 * reader sees must be what was parsed, and the fields that frame must stand there once. text:
 * after the start line. */
static inline void check_raw(struct eg_slice text, const struct eg_head *h)
{
    uint32_t i = 0;
    unsigned lengths = 0, codings = 0;
    while (!eg_slice_starts(text, EG_SLICE("\r\n"))) {
        const char *end = memmem(text.p, text.n, "\r\n", 2);
        MUST(end != NULL && i < h->field_count);
        struct eg_slice line = eg_slice(text.p, (size_t)(end - text.p));
        MUST(memchr(line.p, '\0', line.n) == NULL && memchr(line.p, '\r', line.n) == NULL &&
             memchr(line.p, '\n', line.n) == NULL);
        const char *colon = memchr(line.p, ':', line.n);
        MUST(colon != NULL && colon > line.p);
        struct eg_slice name = eg_slice(line.p, (size_t)(colon - line.p));
        MUST(eg_slice_eq(name, h->fields[i].name));
        MUST(eg_slice_eq(eg_slice_trim(eg_slice_from(line, name.n + 1)), h->fields[i].value));
        lengths += eg_slice_caseeq(name, EG_SLICE("content-length"));
        codings += eg_slice_caseeq(name, EG_SLICE("transfer-encoding"));
        i++;
        text = eg_slice_from(text, line.n + 2);
    }
    MUST(i == h->field_count && text.n == 2 && lengths + codings <= 1);
    MUST(codings == (h->framing == EG_BODY_CHUNKED) || h->framing == EG_BODY_NONE);
}

#endif
