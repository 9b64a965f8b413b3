/* message.c - the life of a message object, what llhttp calls back, and what is known once a head
 * was read.
 *
 * Every byte of a head is seen three times: in head.c for what may stand in a head at all, in
 * strict.c line by line, and by llhttp, which has the last word on the grammar and finds names and
 * values. All must agree. Lines and chunk framing go to llhttp in units that don't depend on how
 * the peer's bytes were cut, so that any split gives the same result and reason. */
#include "http/message.h"

#include <stdlib.h>

#include "http/msg.h"
#include "http/strict.h"

static int on_field(llhttp_t *parser, const char *at, size_t n)
{
    struct eg_msg *m = parser->data;
    if (m->phase == EG_AT_FIELDS) {
        m->name = eg_slice(at, n);
    }
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t n)
{
    struct eg_msg *m = parser->data;
    /* One line may come in several spans; that of an empty value comes with the next line, which
     * it must not touch. */
    if (m->phase == EG_AT_FIELDS && n > 0) {
        const char *from = m->value.p != NULL ? m->value.p : at;
        m->value = eg_slice(from, (size_t)(at + n - from));
    }
    return 0;
}

static int on_field_complete(llhttp_t *parser)
{
    struct eg_msg *m = parser->data;
    if (m->phase == EG_AT_BODY) {
        m->trailers++;
    }
    return 0;
}

static int on_head(llhttp_t *parser)
{
    struct eg_msg *m = parser->data;
    m->head_seen = true;
    return m->head.framing == EG_BODY_CHUNKED
               ? 0
               : 1; /* 1: llhttp reads no body; lengths are counted here */
}

static int on_chunk(llhttp_t *parser)
{
    struct eg_msg *m = parser->data;
    m->left = parser->content_length;
    m->in_trailers = m->left == 0;
    uint64_t paid =
        m->left > UINT64_MAX - EG_CHUNK_LINE_FREE ? UINT64_MAX : m->left + EG_CHUNK_LINE_FREE;
    m->debt = m->debt > paid ? m->debt - paid : 0;
    return 0;
}

static int on_end(llhttp_t *parser)
{
    struct eg_msg *m = parser->data;
    m->end_seen = true;
    return 0;
}

static const llhttp_settings_t callbacks = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_field_complete = on_field_complete,
    .on_headers_complete = on_head,
    .on_chunk_header = on_chunk,
    .on_message_complete = on_end,
};

enum eg_status eg_msg_new(struct eg_msg **ret, enum eg_msg_kind kind,
                          const struct eg_msg_limits *limits)
{
    struct eg_msg *m = calloc(1, sizeof(*m));
    if (m == NULL) {
        return EG_NOMEM;
    }
    m->kind = kind;
    m->limits = *limits;
    eg_msg_reset(m, EG_SLICE_NONE);
    *ret = m;
    return EG_OK;
}

void eg_msg_free(struct eg_msg *m)
{
    if (m != NULL) {
        free(m->text);
        free(m->fields);
        eg_msg_tail_drop(m);
        free(m);
    }
}

void eg_msg_wipe(struct eg_msg *m)
{
    if (m != NULL && m->text != NULL) {
        explicit_bzero(m->text, m->text_cap);
    }
}

void eg_msg_reset(struct eg_msg *m, struct eg_slice request_method)
{
    memset(m->asked, 0, sizeof(m->asked));
    if (request_method.n > 0 && request_method.n < sizeof(m->asked)) {
        memcpy(m->asked, request_method.p, request_method.n);
    }
    llhttp_init(&m->parser, m->kind == EG_MSG_REQUEST ? HTTP_REQUEST : HTTP_RESPONSE, &callbacks);
    m->parser.data = m;
    m->phase = EG_AT_BLANK;
    m->dead = EG_OK;
    m->head = (struct eg_head){ 0 };
    m->text_len = m->line = m->target_at = 0;
    m->blank = 0;
    m->target_ended = false;
    m->left = m->debt = 0;
    m->trailers = m->trailer_bytes = 0;
    m->in_trailers = m->head_seen = m->end_seen = false;
    eg_msg_tail_drop(m);
}

void eg_msg_release(struct eg_msg *m)
{
    free(m->text);
    free(m->fields);
    m->text = NULL;
    m->fields = NULL;
    m->text_cap = m->field_cap = 0;
    eg_msg_reset(m, EG_SLICE_NONE);
}

enum eg_status eg_msg_refuse(struct eg_msg *m, enum eg_status status, const char *why,
                             struct eg_err *err)
{
    if (m->kind == EG_MSG_RESPONSE && status != EG_NOMEM && status != EG_RESPONSE_TRUNCATED) {
        status = EG_BAD_RESPONSE;
    }
    m->phase = EG_AT_DEAD;
    m->dead = status;
    m->head.keep_alive =
        false; /* whoever asks the head of a refused message must not go on with its connection */
    return eg_err_set(err, status, "http", 0, "%s", why);
}

const char *eg_msg_why(const struct eg_msg *m)
{
    const char *why = llhttp_get_error_reason(&m->parser);
    return why != NULL && *why != '\0' ? why : "malformed message";
}

const struct eg_head *eg_msg_head_get(const struct eg_msg *m)
{
    return &m->head;
}

size_t eg_msg_begun(const struct eg_msg *m)
{
    return m->text_len;
}

enum eg_status eg_msg_finish(struct eg_msg *m, struct eg_err *err)
{
    if (m->phase == EG_AT_BODY && m->head.framing == EG_BODY_UNTIL_CLOSE) {
        m->phase = EG_AT_DONE;
    }
    switch (m->phase) {
    case EG_AT_DONE:
        return EG_EOF;
    case EG_AT_BLANK:
        return EG_CLOSED;
    case EG_AT_DEAD:
        return eg_err_set(err, m->dead, "http", 0, "the message was refused before");
    default:
        return eg_msg_refuse(m, m->kind == EG_MSG_REQUEST ? EG_BAD_REQUEST : EG_RESPONSE_TRUNCATED,
                             "the peer ended in the middle of a message", err);
    }
}

bool eg_msg_complete(const struct eg_msg *m)
{
    return m->phase == EG_AT_DONE;
}

const struct eg_field *eg_head_find(const struct eg_head *h, struct eg_slice name,
                                    const struct eg_field *prev)
{
    for (uint32_t i = prev != NULL ? (uint32_t)(prev - h->fields) + 1 : 0; i < h->field_count;
         i++) {
        if (eg_slice_caseeq(h->fields[i].name, name)) {
            return &h->fields[i];
        }
    }
    return NULL;
}
