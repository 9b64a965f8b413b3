/* message.h - one HTTP/1 message as it is read: first its head, then its body, byte by byte if
 * need be.
 *
 * llhttp does the grammar; what llhttp lets through and we don't (dependencies.md) is refused
 * here, so that no other room has to judge framing (invariant 5). Nothing is forwarded from here:
 * heads are written anew by http/write.h. */
#ifndef EG_HTTP_MESSAGE_H
#define EG_HTTP_MESSAGE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum eg_msg_kind { EG_MSG_REQUEST, EG_MSG_RESPONSE };
enum eg_framing { EG_BODY_NONE, EG_BODY_LENGTH, EG_BODY_CHUNKED, EG_BODY_UNTIL_CLOSE };

struct eg_field {
    struct eg_slice name;  /* as it was spelled */
    struct eg_slice value; /* OWS trimmed; obs-text is refused in requests, kept in responses */
};

struct eg_msg_limits { /* all > 0 */
    uint32_t head_bytes;
    uint32_t fields;
    uint32_t target_bytes;
};

struct eg_head {            /* slices live until the next eg_msg_reset/done */
    struct eg_slice method; /* requests; those that llhttp knows, else EG_NOT_SUPPORTED (501) */
    struct eg_slice target; /* requests, raw */
    uint16_t status;        /* responses, 100..599 */
    struct eg_slice reason; /* responses */
    uint8_t minor;          /* HTTP/1.minor: 0 or 1 */
    const struct eg_field *fields;
    uint32_t field_count;
    enum eg_framing framing;
    uint64_t length;      /* with EG_BODY_LENGTH, or with has_length */
    bool has_length;      /* a Content-Length stood in the head: HEAD and 304 pass it on */
    bool keep_alive;      /* may the peer's connection serve another message (RFC 9112 9.3) */
    bool expect_continue; /* requests: 100-continue on HTTP/1.1; else EG_EXPECTATION_FAILED */
    bool upgrade;         /* requests: Upgrade, named by Connection; responses: 101 */
    struct eg_slice host; /* requests: the one Host; p == NULL where absent (1.0, CONNECT) */
};

/* Reused for all messages of one direction of one connection: one allocation of text and one of
 * fields, made when the first byte comes and kept. */
struct eg_msg;

/* EG_NOMEM only. */
enum eg_status eg_msg_new(struct eg_msg **ret, enum eg_msg_kind kind,
                          const struct eg_msg_limits *limits) EG_MUST_USE;
void eg_msg_free(struct eg_msg *m);
/* Zeroes what it holds of a head, which is no longer to be looked at: for one that held a secret. NULL is fine. */
void eg_msg_wipe(struct eg_msg *m);
/* Ready for the next message. For responses, request_method tells how to frame it (HEAD, CONNECT:
 * RFC 9112 6.3); NONE for requests. */
void eg_msg_reset(struct eg_msg *m, struct eg_slice request_method);

/* Gives memory back until the next byte: for a connection that idles between messages. Like reset,
 * it ends all slices. */
void eg_msg_release(struct eg_msg *m);

/* Feeds bytes of the head. EG_AGAIN: all n were taken and more are needed. EG_OK: the head is
 * complete, *used bytes were taken (not more than the head's). Anything else is a refusal
 * (EG_BAD_REQUEST, EG_BAD_VERSION, EG_VERSION_NOT_SUPPORTED, EG_AMBIGUOUS_FRAMING,
 * EG_HEAD_TOO_LARGE, EG_TOO_MANY_FIELDS, EG_TARGET_TOO_LONG, EG_BAD_HOST, EG_TRACE,
 * EG_EXPECTATION_FAILED, EG_NOT_SUPPORTED; for responses EG_BAD_RESPONSE) and the message is dead.
 * EG_NOMEM too. Empty lines before a request line: at most 1 CRLF is skipped. A 1xx response is a
 * complete message with EG_BODY_NONE. */
enum eg_status eg_msg_head(struct eg_msg *m, const char *p, size_t n, size_t *used,
                           struct eg_err *err) EG_MUST_USE;
/* Valid after EG_OK of eg_msg_head. After a refusal it holds what was read until then, and
 * keep_alive is false. */
const struct eg_head *eg_msg_head_get(const struct eg_msg *m);
/* How many bytes of a head were taken so far: 0 means that the message has not begun. */
size_t eg_msg_begun(const struct eg_msg *m);

/* Feeds bytes of the body, after the head. Takes *used bytes and lends the decoded ones of them in
 * *data (they lie inside p..p+n; may be empty while framing is read). EG_OK: progress, call again
 * with the rest. EG_AGAIN: all taken, no data, more needed. EG_EOF: the message is complete (data
 * may hold its last bytes); what follows belongs to the next one. Else EG_BAD_REQUEST /
 * EG_BAD_RESPONSE / EG_TOO_MANY_FIELDS (trailers; dropped otherwise). */
enum eg_status eg_msg_body(struct eg_msg *m, const char *p, size_t n, size_t *used,
                           struct eg_slice *data, struct eg_err *err) EG_MUST_USE;
/* Keeps the trailers of this message, whose head was read: they are dropped otherwise. */
void eg_msg_keep_trailers(struct eg_msg *m);
/* Once it is complete: how many trailers it had, kept and judged as fields of a head are; as they were
 * spelled, until the next reset. EG_BAD_REQUEST or EG_BAD_RESPONSE for those that no head may hold,
 * EG_NOMEM. */
enum eg_status eg_msg_trailers(struct eg_msg *m, const struct eg_field **ret, uint32_t *count,
                               struct eg_err *err) EG_MUST_USE;
/* The peer ended its stream. EG_EOF: the message is whole (complete, or close-delimited and
 * clean); otherwise EG_CLOSED when nothing had begun, EG_BAD_REQUEST or EG_RESPONSE_TRUNCATED. */
enum eg_status eg_msg_finish(struct eg_msg *m, struct eg_err *err) EG_MUST_USE;
bool eg_msg_complete(const struct eg_msg *m);

/* First field of that name (ASCII case-insensitive); NULL when absent. Pass prev to continue after
 * it. */
const struct eg_field *eg_head_find(const struct eg_head *h, struct eg_slice name,
                                    const struct eg_field *prev);

#endif
