/* body.c - takes a body apart: by length, by chunks, until the end of the stream.
 *
 * It copies nothing: the data that it lends lie in the caller's bytes. Chunk lines and trailers go
 * to llhttp byte by byte, chunk data in runs that end with the chunk, so what is refused and where
 * doesn't depend on the split. What chunk lines and trailers may cost is bounded here, since
 * llhttp counts nothing. Trailers are dropped, unless trailer.c keeps them. */
#include "http/msg.h"
#include "http/strict.h"

static enum eg_status body_plain(struct eg_msg *m, const char *p, size_t n, size_t *used,
                                 struct eg_slice *data)
{
    bool counted = m->head.framing == EG_BODY_LENGTH;
    size_t take = counted && m->left < n ? (size_t)m->left : n;
    *used = take;
    *data = eg_slice(p, take);
    if (counted) {
        m->left -= take;
        if (m->left == 0) {
            m->phase = EG_AT_DONE;
            return EG_EOF;
        }
    }
    return take > 0 ? EG_OK : EG_AGAIN;
}

/* One byte of chunk framing or of a trailer. */
static enum eg_status chunk_byte(struct eg_msg *m, const char *p, struct eg_err *err)
{
    if (m->in_trailers) {
        m->trailer_bytes++;
        if (eg_msg_tail_byte(m, *p) != EG_OK) {
            return eg_msg_refuse(m, EG_NOMEM, "no memory for trailers", err);
        }
    } else {
        m->debt++;
    }
    if (m->debt > EG_CHUNK_DEBT_MAX + EG_CHUNK_LINE_FREE) {
        return eg_msg_refuse(m, EG_BAD_REQUEST, "chunk lines are longer than their data justifies",
                             err);
    }
    if (m->trailer_bytes > m->limits.head_bytes) {
        return eg_msg_refuse(m, EG_TOO_MANY_FIELDS, "the trailers are larger than the limit", err);
    }
    enum llhttp_errno e = llhttp_execute(&m->parser, p, 1);
    if (m->trailers > m->limits.fields) {
        return eg_msg_refuse(m, EG_TOO_MANY_FIELDS, "more trailers than the limit of fields", err);
    }
    return e == HPE_OK ? EG_OK : eg_msg_refuse(m, EG_BAD_REQUEST, eg_msg_why(m), err);
}

static enum eg_status body_chunked(struct eg_msg *m, const char *p, size_t n, size_t *used,
                                   struct eg_slice *data, struct eg_err *err)
{
    size_t i = 0;
    while (i < n && m->left == 0) {
        enum eg_status status = chunk_byte(m, p + i++, err);
        if (status != EG_OK) {
            return status;
        }
        if (m->end_seen) {
            m->phase = EG_AT_DONE;
            *used = i;
            *data = EG_SLICE_NONE;
            return EG_EOF;
        }
    }
    size_t take = m->left < n - i ? (size_t)m->left : n - i;
    if (take > 0) {
        if (llhttp_execute(&m->parser, p + i, take) != HPE_OK) {
            return eg_msg_refuse(m, EG_BAD_REQUEST, eg_msg_why(m), err);
        }
        m->left -= take;
    }
    *data = eg_slice(p + i, take);
    *used = i + take;
    return take > 0 ? EG_OK : EG_AGAIN;
}

enum eg_status eg_msg_body(struct eg_msg *m, const char *p, size_t n, size_t *used,
                           struct eg_slice *data, struct eg_err *err)
{
    if (m->phase == EG_AT_DONE) {
        *used = 0;
        *data = EG_SLICE_NONE;
        return EG_EOF;
    }
    if (m->phase != EG_AT_BODY) {
        enum eg_status status = m->phase == EG_AT_DEAD ? m->dead : EG_INVALID;
        return eg_err_set(err, status, "http", 0, "there is no body to read");
    }
    return m->head.framing == EG_BODY_CHUNKED ? body_chunked(m, p, n, used, data, err)
                                              : body_plain(m, p, n, used, data);
}
