/* write.h - heads and chunks as we send them: always made from parsed parts, never copied
 * (invariant 4). */
#ifndef EG_HTTP_WRITE_H
#define EG_HTTP_WRITE_H

#include "http/message.h"

/* Each appends to out; EG_TOO_BIG/EG_NOMEM leave out unusable. A CR, LF or NUL in any part is
 * EG_INVALID: nothing can be split. */
enum eg_status eg_write_request_line(struct eg_buf *out, struct eg_slice method,
                                     struct eg_slice target) EG_MUST_USE;
enum eg_status eg_write_status_line(struct eg_buf *out, int status,
                                    struct eg_slice reason) EG_MUST_USE;
enum eg_status eg_write_field(struct eg_buf *out, struct eg_slice name,
                              struct eg_slice value) EG_MUST_USE;
/* Content-Length or Transfer-Encoding: chunked, or nothing (NONE, UNTIL_CLOSE). A length of 0 is
 * written where a body could be expected. */
enum eg_status eg_write_framing(struct eg_buf *out, enum eg_framing framing,
                                uint64_t length) EG_MUST_USE;
/* The Date field (RFC 9110 section 6.6.1): microseconds since 1970. */
enum eg_status eg_write_date(struct eg_buf *out, uint64_t wall_us) EG_MUST_USE;
enum eg_status eg_write_end(struct eg_buf *out) EG_MUST_USE;

/* Room that one chunk of n bytes takes at most with its framing. */
#define EG_CHUNK_OVERHEAD 20
enum eg_status eg_write_chunk(struct eg_buf *out,
                              struct eg_slice data) EG_MUST_USE; /* data.n > 0 */
enum eg_status eg_write_last_chunk(struct eg_buf *out) EG_MUST_USE;

#endif
