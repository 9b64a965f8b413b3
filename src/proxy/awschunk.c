/* awschunk.c - "HEX;chunk-signature=SIGNATURE\r\n" data "\r\n" ... "0;chunk-signature=SIGNATURE\r\n"
 * trailers "\r\n" (AWS, "Signature calculations for the Authorization header: transferring payload
 * in multiple chunks").
 *
 * Chunk signatures are of a key that ends here and are left out; the sizes must add up to what the
 * signed head promised, so that no upload that was cut or stretched looks whole. */
#include "proxy/awschunk.h"

#include <stdio.h>

static enum eg_status wrong(struct eg_err *err, const char *why)
{
    return eg_err_set(err, EG_BAD_REQUEST, "aws-chunked", 0, "%s", why);
}

/* Up to 16 hex digits, at least one; false otherwise. */
static bool parse_size(struct eg_slice digits, uint64_t *ret)
{
    uint64_t size = 0;
    for (size_t i = 0; i < digits.n; i++) {
        char c = eg_lower(digits.p[i]);
        unsigned value = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 16;
        if (value == 16)
            return false;
        size = size << 4 | value;
    }
    *ret = size;
    return digits.n > 0 && digits.n <= 16;
}

static enum eg_status size_line(struct eg_awschunk *c, struct eg_slice line, struct eg_slice *piece,
                                struct eg_err *err)
{
    long end = eg_slice_index(line, ';');
    struct eg_slice digits = end < 0 ? line : eg_slice(line.p, (size_t)end);
    struct eg_slice more = eg_slice_from(line, digits.n);
    if (!parse_size(digits, &c->left) ||
        (more.n > 0 && !eg_slice_starts(more, EG_SLICE(";chunk-signature="))))
        return wrong(err, "a chunk's line is malformed");
    if (c->left > c->expected - c->total)
        return wrong(err, "the chunks are more than x-amz-decoded-content-length");
    c->total += c->left;
    if (c->left == 0 && c->total != c->expected)
        return wrong(err, "the chunks are less than x-amz-decoded-content-length");
    c->at = c->left ? EG_AWSCHUNK_DATA : EG_AWSCHUNK_LAST;
    if (c->keep)
        *piece = eg_slice(c->line, (size_t)snprintf(c->line, sizeof c->line, "%llx\r\n",
                                                    (unsigned long long)c->left));
    return EG_OK;
}

/* One of the lines behind the last chunk; the empty one ends it all. */
static enum eg_status last_line(struct eg_awschunk *c, struct eg_slice line, struct eg_slice *piece,
                                struct eg_err *err)
{
    if (line.n == 0)
        c->at = EG_AWSCHUNK_DONE;
    else if (!c->keep || ++c->trailers > EG_AWSCHUNK_TRAILERS || eg_slice_index(line, ':') <= 0)
        return wrong(err, "what follows the last chunk is malformed");
    for (size_t i = 0; i < line.n; i++)
        if ((unsigned char)line.p[i] < ' ' || (unsigned char)line.p[i] >= 0x7f)
            return wrong(err, "what follows the last chunk is malformed");
    if (c->keep && !eg_slice_casestarts(line, EG_SLICE("x-amz-trailer-signature:")))
        *piece = eg_slice(c->line, line.n + 2);
    return EG_OK;
}

/* A line is complete in c->line, with its CRLF. */
static enum eg_status take_line(struct eg_awschunk *c, struct eg_slice *piece, struct eg_err *err)
{
    struct eg_slice line = eg_slice(c->line, c->n - 2);
    c->n = 0;
    if (c->at == EG_AWSCHUNK_SIZE)
        return size_line(c, line, piece, err);
    if (c->at == EG_AWSCHUNK_LAST)
        return last_line(c, line, piece, err);
    if (line.n > 0)
        return wrong(err, "a chunk is longer than its line says");
    c->at = EG_AWSCHUNK_SIZE;
    if (c->keep)
        *piece = eg_slice(c->line, 2);
    return EG_OK;
}

enum eg_status eg_awschunk_next(struct eg_awschunk *c, struct eg_slice *in, struct eg_slice *piece,
                                struct eg_err *err)
{
    *piece = EG_SLICE_NONE;
    if (in->n > 0 && c->at == EG_AWSCHUNK_DONE)
        return wrong(err, "the body goes on behind its last chunk");
    if (c->at == EG_AWSCHUNK_DATA) {
        *piece = eg_slice(in->p, in->n < c->left ? in->n : (size_t)c->left);
        *in = eg_slice_from(*in, piece->n);
        c->left -= piece->n;
        c->at = c->left ? EG_AWSCHUNK_DATA : EG_AWSCHUNK_END;
        return EG_OK;
    }
    while (in->n > 0) {
        char b = in->p[0];
        *in = eg_slice_from(*in, 1);
        if (c->n == sizeof c->line || (c->n > 0 && c->line[c->n - 1] == '\r' && b != '\n') ||
            (b == '\n' && (c->n == 0 || c->line[c->n - 1] != '\r')))
            return wrong(err, "a line of it is malformed or too long");
        c->line[c->n++] = b;
        if (b == '\n')
            return take_line(c, piece, err);
    }
    return EG_OK;
}
