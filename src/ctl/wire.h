/* wire.h - messages of the control socket: a length of four bytes (network order) and one JSON
 * object, at most 64 KiB. The first message of a client carries "v", the version; the server's
 * answers do not repeat it. */
#ifndef EG_CTL_WIRE_H
#define EG_CTL_WIRE_H

#include <jansson.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { EG_CTL_VERSION = 1, EG_CTL_MESSAGE_MAX = 65536, EG_CTL_PREFIX = 4 };
/* A buffer for messages that come in: one whole message and its length. */
enum { EG_CTL_IN_MAX = EG_CTL_MESSAGE_MAX + EG_CTL_PREFIX };

/* Appends the message with its length. EG_TOO_BIG above 64 KiB or the buffer's ceiling,
 * EG_INVALID when it is no object. */
enum eg_status eg_ctl_wire_put(struct eg_buf *out, const json_t *message) EG_MUST_USE;
/* Takes the first whole message off the buffer: EG_OK with *ret (the caller's reference),
 * EG_AGAIN when more bytes are needed, EG_TOO_BIG when the announced length is 0 or above 64
 * KiB, EG_INVALID when it is not one JSON object in UTF-8 without duplicate keys. After a
 * failure the stream is of no use any more. */
enum eg_status eg_ctl_wire_take(struct eg_buf *in, json_t **ret, struct eg_err *err) EG_MUST_USE;
/* Bytes that are missing for the first whole message, as far as is known; 0: it is whole. */
size_t eg_ctl_wire_missing(const struct eg_buf *in);

/* {"error":{"code","message"}} for that failure; NULL when out of memory. The caller owns it. */
json_t *eg_ctl_error(enum eg_status status, const struct eg_err *err);

/* A text member, or NULL when it is absent, no text, or holds a NUL. Lives with the object. */
const char *eg_ctl_text(const json_t *object, const char *key);
/* A whole number >= 0, or fallback when absent; false when it is something else. */
bool eg_ctl_number(const json_t *object, const char *key, uint64_t fallback, uint64_t *ret);

#endif
