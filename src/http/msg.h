/* msg.h - the inside of an eg_msg, shared by message.c (life), head.c and body.c only. */
#ifndef EG_HTTP_MSG_H
#define EG_HTTP_MSG_H

#include <llhttp.h>

#include "http/message.h"

enum eg_msg_phase {
    EG_AT_BLANK,  /* nothing yet; requests: one CRLF may be skipped */
    EG_AT_START,  /* in the start line */
    EG_AT_FIELDS, /* in a field line */
    EG_AT_BODY,
    EG_AT_DONE,
    EG_AT_DEAD,
};

struct eg_msg {
    llhttp_t parser;
    enum eg_msg_kind kind;
    enum eg_msg_phase phase;
    enum eg_status dead; /* why, in EG_AT_DEAD */
    struct eg_msg_limits limits;
    char asked[8]; /* responses: the request's method; empty for longer ones, framed like GET */
    struct eg_head head;

    char *text; /* the head's bytes; head's slices point into it */
    uint32_t text_len, text_cap;
    uint32_t line;      /* where the current line begins */
    uint32_t target_at; /* start line: after its first space, 0 before it */
    bool target_ended;  /* start line: after its second space */
    uint8_t blank;      /* bytes of a CRLF before the request line */
    struct eg_field *fields;
    uint32_t field_cap;
    struct eg_slice name, value; /* what llhttp found in the current line */

    uint64_t left; /* body by length: still to come; chunked: of this chunk's data */
    uint64_t debt; /* bytes of chunk lines that no data has paid for */
    uint32_t trailers, trailer_bytes;
    bool in_trailers;
    bool keep_trailers;
    char *tail; /* their bytes, where they are kept */
    uint32_t tail_len, tail_cap;
    struct eg_field *tail_fields;
    bool head_seen, end_seen; /* llhttp agrees that head or message ended */
};

/* Ends the message: all later calls give the same status. Responses know EG_BAD_RESPONSE,
 * EG_RESPONSE_TRUNCATED and EG_NOMEM only, so any other status becomes the first. why is a static
 * sentence. Returns the status. */
enum eg_status eg_msg_refuse(struct eg_msg *m, enum eg_status status, const char *why,
                             struct eg_err *err);
/* One byte of the trailers, where they are kept. EG_NOMEM; trailer_bytes bounds them. */
enum eg_status eg_msg_tail_byte(struct eg_msg *m, char c);
void eg_msg_tail_drop(struct eg_msg *m);
/* llhttp's reason: a static sentence without peer bytes. */
const char *eg_msg_why(const struct eg_msg *m);

#endif
