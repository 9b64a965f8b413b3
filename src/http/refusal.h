/* refusal.h - a refusal as its client understands it (refusals.md, clients.md 2-4, RFC 9209). */
#ifndef EG_HTTP_REFUSAL_H
#define EG_HTTP_REFUSAL_H

#include "http/message.h"

enum eg_refusal_shape { EG_SHAPE_JSON, EG_SHAPE_GIT, EG_SHAPE_NPM, EG_SHAPE_GH, EG_SHAPE_AWS };

struct eg_refusal {
    enum eg_status status;     /* decides HTTP status, reason code and Proxy-Status' error */
    struct eg_slice subject;   /* "api.example.com:443", "POST /v1/x", empty: peer bytes */
    struct eg_slice rule;      /* "egress.yaml:12" or empty */
    struct eg_slice detail;    /* our own sentence: the fix or the cause, may be empty */
    uint64_t event;            /* the audit's sequence number of this refusal */
    struct eg_slice challenge; /* of 407 and 401; empty: Basic or Bearer, realm="egress" */
    uint32_t retry_after;      /* seconds, with 429 and 503; 0: 1 is written */
    enum eg_refusal_shape shape;
    bool keep_alive;       /* false: Connection: close is written */
    bool head_only;        /* the request was HEAD: no body, but its Content-Length */
    struct eg_slice allow; /* the Allow field for 405 */
};

/* Whatever the parts, an answer fits into this many bytes; one with a short subject takes less
 * than 2 KiB. */
#define EG_REFUSAL_ROOM 32768

/* What the client is, from its request's User-Agent and X-Amz-* fields; h may be NULL. */
enum eg_refusal_shape eg_refusal_shape_of(const struct eg_head *h);
/* Appends the whole answer. EG_INVALID for a CR, LF or NUL in challenge or allow, EG_TOO_BIG,
 * EG_NOMEM: out is unusable then. The reason phrase is ASCII, at most 120 characters, and names
 * subject, rule and next step (`egressctl explain ...` is not built yet and must not be named;
 * name `egressctl audit --denied`). For a policy refusal the text says that this is policy and no
 * outage, and not to retry or go round it. */
enum eg_status eg_refusal_write(struct eg_buf *out, const struct eg_refusal *r) EG_MUST_USE;
/* The same reason phrase for an ssh client, which shows it: our identification and a disconnect before any key exchange (RFC 4253
 * 4.2, 6, 11.1). At most 256 bytes. */
enum eg_status eg_refusal_write_ssh(struct eg_buf *out, const struct eg_refusal *r) EG_MUST_USE;

#endif
