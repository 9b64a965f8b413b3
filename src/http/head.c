/* head.c - collects a head byte by byte and judges it line by line.
 *
 * A byte that no head holds is refused where it stands, a line when its CRLF is there, framing at
 * the empty line. The text and the fields are one allocation each that grows and is kept from
 * message to message; slices point into the text and are moved with it. Nothing here depends on
 * how the peer's bytes were cut. */
#include <stdlib.h>

#include "http/msg.h"
#include "http/strict.h"

enum { TEXT_FIRST = 1024, FIELDS_FIRST = 32 };

static void rebase(struct eg_slice *s, const char *from, const char *to)
{
    if (s->p != NULL) {
        s->p = to + (s->p - from);
    }
}

static enum eg_status grow_text(struct eg_msg *m)
{
    uint32_t cap = m->text_cap == 0               ? TEXT_FIRST
                   : m->text_cap > UINT32_MAX / 2 ? UINT32_MAX
                                                  : m->text_cap * 2;
    char *text = malloc(cap);
    if (text == NULL) {
        return EG_NOMEM;
    }
    if (m->text != NULL) {
        memcpy(text, m->text, m->text_len);
    }
    rebase(&m->head.method, m->text, text);
    rebase(&m->head.target, m->text, text);
    rebase(&m->head.reason, m->text, text);
    for (uint32_t i = 0; i < m->head.field_count; i++) {
        rebase(&m->fields[i].name, m->text, text);
        rebase(&m->fields[i].value, m->text, text);
    }
    if (m->text != NULL) {
        explicit_bzero(m->text, m->text_len); /* see eg_msg_wipe */
    }
    free(m->text);
    m->text = text;
    m->text_cap = cap;
    return EG_OK;
}

static enum eg_status grow_fields(struct eg_msg *m)
{
    uint32_t cap = m->field_cap == 0 ? FIELDS_FIRST : m->field_cap * 2;
    struct eg_field *fields = reallocarray(m->fields, cap, sizeof(*fields));
    if (fields == NULL) {
        return EG_NOMEM;
    }
    m->fields = fields;
    m->field_cap = cap;
    m->head.fields = fields;
    return EG_OK;
}

/* What llhttp's refusal is called here. The start line was judged on raw bytes before, so of its
 * errors only an unknown method and a target that is none remain. */
static enum eg_status from_llhttp(enum llhttp_errno e)
{
    switch (e) {
    case HPE_INVALID_METHOD:
    case HPE_INVALID_CONSTANT: /* a method of another protocol that llhttp speaks */
        return EG_NOT_SUPPORTED;
    case HPE_INVALID_URL:
        return EG_BAD_TARGET;
    case HPE_UNEXPECTED_CONTENT_LENGTH:
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_INVALID_TRANSFER_ENCODING:
        return EG_AMBIGUOUS_FRAMING;
    default:
        return EG_BAD_REQUEST;
    }
}

/* Gives the current line, CRLF and all, to llhttp. */
static enum eg_status feed_line(struct eg_msg *m, struct eg_err *err)
{
    m->name = m->value = EG_SLICE_NONE;
    enum llhttp_errno e = llhttp_execute(&m->parser, m->text + m->line, m->text_len - m->line);
    if (e == HPE_OK || (e == HPE_PAUSED_UPGRADE && m->head_seen)) {
        return EG_OK;
    }
    return eg_msg_refuse(m, from_llhttp(e), eg_msg_why(m), err);
}

static enum eg_status too_large(struct eg_msg *m, struct eg_err *err)
{
    bool target = m->phase == EG_AT_START && m->target_at > 0;
    return target ? eg_msg_refuse(m, EG_TARGET_TOO_LONG,
                                  "the request-target is longer than the limit", err)
                  : eg_msg_refuse(m, EG_HEAD_TOO_LARGE, "the head is larger than the limit", err);
}

static enum eg_status end_start_line(struct eg_msg *m, struct eg_slice line, struct eg_err *err)
{
    const char *why = "malformed start line";
    enum eg_status status = m->kind == EG_MSG_REQUEST ? eg_strict_request_line(line, &m->head, &why)
                                                      : eg_strict_status_line(line, &m->head, &why);
    if (status != EG_OK) {
        return eg_msg_refuse(m, status, why, err);
    }
    if (m->head.target.n > m->limits.target_bytes) {
        return too_large(m, err);
    }
    m->phase = EG_AT_FIELDS;
    return feed_line(m, err);
}

static enum eg_status end_field_line(struct eg_msg *m, struct eg_slice line, struct eg_err *err)
{
    const char *why = "malformed field";
    if (m->head.field_count == m->limits.fields) {
        return eg_msg_refuse(m, EG_TOO_MANY_FIELDS, "more fields than the limit", err);
    }
    enum eg_status status = eg_strict_field_line(m->kind, line, &why);
    if (status != EG_OK) {
        return eg_msg_refuse(m, status, why, err);
    }
    if (m->head.field_count == m->field_cap && grow_fields(m) != EG_OK) {
        return eg_msg_refuse(m, EG_NOMEM, "no memory for fields", err);
    }
    status = feed_line(m, err);
    if (status == EG_OK) {
        struct eg_field *f = &m->fields[m->head.field_count++];
        f->name = m->name;
        f->value = m->value.p != NULL ? eg_slice_trim(m->value) : eg_slice(line.p + line.n, 0);
    }
    return status;
}

/* The empty line: the framing is decided before llhttp sees it, and llhttp is told what was
 * decided. */
static enum eg_status end_head(struct eg_msg *m, struct eg_err *err)
{
    const char *why = "malformed head";
    struct eg_slice method = m->kind == EG_MSG_REQUEST ? m->head.method : eg_slice_str(m->asked);
    m->head.fields = m->fields;
    enum eg_status status = eg_strict_head(m->kind, method, &m->head, &why);
    if (status != EG_OK) {
        return eg_msg_refuse(m, status, why, err);
    }
    status = feed_line(m, err);
    if (status != EG_OK) {
        return status;
    }
    if (!m->head_seen) {
        return eg_msg_refuse(m, EG_BAD_REQUEST, "the head does not end where it seems to", err);
    }
    m->left = m->head.framing == EG_BODY_LENGTH ? m->head.length : 0;
    m->phase =
        m->head.framing == EG_BODY_NONE || (m->head.framing == EG_BODY_LENGTH && m->left == 0)
            ? EG_AT_DONE
            : EG_AT_BODY;
    return EG_OK;
}

/* A line is complete with its CRLF. EG_AGAIN: the head goes on. */
static enum eg_status end_line(struct eg_msg *m, struct eg_err *err)
{
    struct eg_slice line = eg_slice(m->text + m->line, m->text_len - m->line - 2);
    enum eg_status status;
    if (m->phase == EG_AT_START) {
        status = end_start_line(m, line, err);
    } else if (line.n == 0) {
        return end_head(m, err);
    } else {
        status = end_field_line(m, line, err);
    }
    m->line = m->text_len;
    return status == EG_OK ? EG_AGAIN : status;
}

/* Where a byte that no head holds stands decides what it is called. */
static enum eg_status misplaced(struct eg_msg *m, const char *why, struct eg_err *err)
{
    bool target = m->phase == EG_AT_START && m->target_at > 0 && !m->target_ended;
    return eg_msg_refuse(m, target ? EG_BAD_TARGET : EG_BAD_REQUEST, why, err);
}

/* May c follow what was read of this line? Bare CR, bare LF and control bytes never do; bytes from
 * 0x80 only in responses. */
static enum eg_status check_byte(struct eg_msg *m, unsigned char c, struct eg_err *err)
{
    bool after_cr = m->text_len > m->line && m->text[m->text_len - 1] == '\r';
    if (after_cr != (c == '\n')) {
        return eg_msg_refuse(m, EG_BAD_REQUEST,
                             after_cr ? "a CR without its LF" : "a LF without its CR", err);
    }
    if (c == '\r' || c == '\n' || (c >= 0x20 && c < 0x7f)) {
        return EG_OK;
    }
    bool text =
        m->phase == EG_AT_FIELDS || m->kind == EG_MSG_RESPONSE; /* a value or a reason phrase */
    if ((c == '\t' && text) || (c >= 0x80 && m->kind == EG_MSG_RESPONSE)) {
        return EG_OK;
    }
    return misplaced(m, c >= 0x80 ? "a byte outside ASCII" : "a control byte", err);
}

/* A long target is refused before its line ends; the exact limit and the grammar are judged with
 * the whole line. */
static enum eg_status watch_target(struct eg_msg *m, unsigned char c, struct eg_err *err)
{
    if (m->kind != EG_MSG_REQUEST) {
        return EG_OK;
    }
    if (m->target_at == 0) {
        m->target_at = c == ' ' ? m->text_len : 0;
        return EG_OK;
    }
    m->target_ended = m->target_ended || c == ' ';
    /* " HTTP/1.1\r\n" may follow the longest target. */
    return m->text_len - m->target_at > m->limits.target_bytes + 11 ? too_large(m, err) : EG_OK;
}

static enum eg_status take_byte(struct eg_msg *m, char c, struct eg_err *err)
{
    if (m->text_len == m->limits.head_bytes) {
        return too_large(m, err);
    }
    if (m->text_len == m->text_cap && grow_text(m) != EG_OK) {
        return eg_msg_refuse(m, EG_NOMEM, "no memory for a head", err);
    }
    enum eg_status status = check_byte(m, (unsigned char)c, err);
    if (status != EG_OK) {
        return status;
    }
    m->text[m->text_len++] = c;
    if (c == '\n') {
        return end_line(m, err);
    }
    status = m->phase == EG_AT_START ? watch_target(m, (unsigned char)c, err) : EG_OK;
    return status == EG_OK ? EG_AGAIN : status;
}

/* How many bytes at the front of p are from `first` (0x20 or 0x21) to 0x7e: eight at a time, then one by one. */
static size_t plain_bytes(const char *p, size_t n, unsigned char first)
{
    const uint64_t ones = UINT64_MAX / 255;
    size_t i = 0;
    for (uint64_t w; n - i >= sizeof w; i += sizeof w) {
        memcpy(&w, p + i, sizeof w);
        /* the sign bit of every byte below first, from 0x80 or 0x7f; borrows and carries come of such a byte only */
        if (((w - ones * first) | w | (w + ones)) & ones * 0x80) {
            break;
        }
    }
    while (i < n && (unsigned char)p[i] >= first && (unsigned char)p[i] < 0x7f) {
        i++;
    }
    return i;
}

/* The plain bytes at the front of p, taken at once: none of them ends a line or is refused, so
 * take_byte would say EG_AGAIN to each. Never right after a CR, and no space of a request line.
 * Returns how many; what it can't take is take_byte's. */
static size_t take_run(struct eg_msg *m, const char *p, size_t n)
{
    bool request_line = m->phase == EG_AT_START && m->kind == EG_MSG_REQUEST;
    size_t room = m->limits.head_bytes - m->text_len;
    if (m->text_len > m->line && m->text[m->text_len - 1] == '\r') {
        return 0;
    }
    room = room < m->text_cap - m->text_len ? room : m->text_cap - m->text_len;
    if (request_line && m->target_at > 0) { /* as far as watch_target goes */
        size_t most = (size_t)m->target_at + m->limits.target_bytes + 11;
        most = most > m->text_len ? most - m->text_len : 0;
        room = room < most ? room : most;
    }
    size_t run = plain_bytes(p, n < room ? n : room, request_line ? 0x21 : 0x20);
    if (run > 0) {
        memcpy(m->text + m->text_len, p, run);
        m->text_len += (uint32_t)run;
    }
    return run;
}

/* RFC 9112 2.2: one CRLF that an old client leaves behind its last body. */
static bool skip_blank(struct eg_msg *m, char c)
{
    if (m->kind == EG_MSG_REQUEST &&
        ((m->blank == 0 && c == '\r') || (m->blank == 1 && c == '\n'))) {
        m->blank++;
        return true;
    }
    return false;
}

enum eg_status eg_msg_head(struct eg_msg *m, const char *p, size_t n, size_t *used,
                           struct eg_err *err)
{
    enum eg_status status = EG_AGAIN;
    size_t i = 0;
    if (m->phase == EG_AT_DEAD) {
        return eg_err_set(err, m->dead, "http", 0, "the message was refused before");
    }
    if (m->phase == EG_AT_BODY || m->phase == EG_AT_DONE) {
        *used = 0;
        return EG_OK;
    }
    while (i < n && status == EG_AGAIN) {
        if (m->phase == EG_AT_BLANK) {
            if (skip_blank(m, p[i])) {
                i++;
                continue;
            }
            if (m->blank == 1) {
                return eg_msg_refuse(m, EG_BAD_REQUEST, "a CR without its LF", err);
            }
            m->phase = EG_AT_START;
        }
        i += take_run(m, p + i, n - i);
        if (i < n) {
            status = take_byte(m, p[i++], err);
        }
    }
    if (status == EG_OK || status == EG_AGAIN) {
        *used = i;
    }
    return status;
}
