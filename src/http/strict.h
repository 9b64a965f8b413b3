/* strict.h - what llhttp lets through and we refuse (dependencies.md). Private to this room. Each
 * check names its reason by status and a static sentence in *why; statuses are those of requests,
 * message.c turns them into EG_BAD_RESPONSE. */
#ifndef EG_HTTP_STRICT_H
#define EG_HTTP_STRICT_H

#include "http/message.h"

/* Ceilings that no policy needs to turn. */
enum {
    EG_CONNECTION_MAX =
        1024, /* bytes of all Connection fields together: they are scanned for every field */
    EG_CHUNK_DEBT_MAX =
        4096, /* bytes of chunk lines beyond what their data pays for: extensions, leading zeros */
    EG_CHUNK_LINE_FREE = 24, /* a plain chunk's lines cost at most this */
};

/* "METHOD SP TARGET SP HTTP/1.x" without its CRLF, bytes already known to be printable ASCII and
 * SP. Sets method, target and minor of head. EG_BAD_REQUEST, EG_BAD_TARGET, EG_BAD_VERSION,
 * EG_VERSION_NOT_SUPPORTED, EG_TRACE. */
enum eg_status eg_strict_request_line(struct eg_slice line, struct eg_head *head,
                                      const char **why) EG_MUST_USE;
/* "HTTP/1.x SP 3DIGIT [SP reason]" without its CRLF. Sets status, reason and minor of head. */
enum eg_status eg_strict_status_line(struct eg_slice line, struct eg_head *head,
                                     const char **why) EG_MUST_USE;
/* One field line without its CRLF, before llhttp reads it: no folding, a token for a name, no
 * look-alike with '_'. */
enum eg_status eg_strict_field_line(enum eg_msg_kind kind, struct eg_slice line,
                                    const char **why) EG_MUST_USE;
/* The whole head once all fields are there: sets framing, length, keep_alive, expect_continue,
 * upgrade and host of head (RFC 9112 6.3, 9.3; security.md T8, T10). method: the request's own, or
 * the one that a response answers. */
enum eg_status eg_strict_head(enum eg_msg_kind kind, struct eg_slice method, struct eg_head *head,
                              const char **why) EG_MUST_USE;
/* RFC 9110 5.6.2. */
bool eg_strict_token(struct eg_slice s);

#endif
