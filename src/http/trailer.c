/* trailer.c - the trailers of a chunked message, for whoever asked for them.
 *
 * llhttp judges their grammar byte by byte (body.c), which also bounds them; here they are collected, and
 * judged once more by the line as a head's fields are. Nothing says yet that they may be sent on. */
#include <stdlib.h>

#include "http/msg.h"
#include "http/strict.h"

enum { TAIL_FIRST = 256 };

void eg_msg_tail_drop(struct eg_msg *m)
{
    free(m->tail);
    free(m->tail_fields);
    m->tail = NULL;
    m->tail_fields = NULL;
    m->tail_len = m->tail_cap = 0;
    m->keep_trailers = false;
}

void eg_msg_keep_trailers(struct eg_msg *m)
{
    m->keep_trailers = m->head.framing == EG_BODY_CHUNKED;
}

enum eg_status eg_msg_tail_byte(struct eg_msg *m, char c)
{
    if (!m->keep_trailers) {
        return EG_OK;
    }
    if (m->tail_len == m->tail_cap) {
        uint32_t cap = m->tail_cap == 0 ? TAIL_FIRST : m->tail_cap * 2;
        char *tail = cap > m->tail_cap ? realloc(m->tail, cap) : NULL;
        if (tail == NULL) {
            return EG_NOMEM;
        }
        m->tail = tail;
        m->tail_cap = cap;
    }
    m->tail[m->tail_len++] = c;
    return EG_OK;
}

/* The bytes that check_byte of head.c refuses in a field line. */
static bool is_plain(enum eg_msg_kind kind, struct eg_slice line)
{
    for (size_t i = 0; i < line.n; i++) {
        unsigned char c = (unsigned char)line.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f || (c >= 0x80 && kind == EG_MSG_REQUEST)) {
            return false;
        }
    }
    return true;
}

static enum eg_status take_line(struct eg_msg *m, struct eg_slice line, struct eg_field *ret,
                                struct eg_err *err)
{
    const char *why = "a byte that no field holds";
    enum eg_status status =
        is_plain(m->kind, line) ? eg_strict_field_line(m->kind, line, &why) : EG_BAD_REQUEST;
    if (status != EG_OK) {
        return eg_msg_refuse(m, EG_BAD_REQUEST, why, err);
    }
    size_t colon = (size_t)eg_slice_index(line, ':');
    ret->name = eg_slice(line.p, colon);
    ret->value = eg_slice_trim(eg_slice_from(line, colon + 1));
    return EG_OK;
}

enum eg_status eg_msg_trailers(struct eg_msg *m, const struct eg_field **ret, uint32_t *count,
                               struct eg_err *err)
{
    struct eg_slice rest = eg_slice(m->tail, m->tail_len);
    uint32_t n = 0;
    free(m->tail_fields);
    m->tail_fields = calloc((size_t)m->trailers + 1, sizeof(*m->tail_fields));
    if (m->tail_fields == NULL) {
        return EG_NOMEM;
    }
    while (rest.n > 0) { /* every line ends in CRLF: llhttp saw to that */
        long end = eg_slice_index(rest, '\n');
        if (end < 1 || rest.p[end - 1] != '\r') {
            return eg_msg_refuse(m, EG_BAD_REQUEST, "a trailer line does not end in CRLF", err);
        }
        struct eg_slice line = eg_slice(rest.p, (size_t)end - 1);
        rest = eg_slice_from(rest, (size_t)end + 1);
        if (line.n == 0) {
            break;
        }
        enum eg_status status =
            n < m->trailers ? take_line(m, line, &m->tail_fields[n++], err) : EG_BAD_REQUEST;
        if (status != EG_OK) {
            return status == EG_BAD_REQUEST ? eg_msg_refuse(m, status, "malformed trailers", err)
                                            : status;
        }
    }
    *ret = m->tail_fields;
    *count = n;
    return EG_OK;
}
