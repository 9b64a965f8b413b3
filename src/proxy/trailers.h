/* trailers.h - the trailers that a service names, both ways. Internal to proxy. */
#ifndef EG_PROXY_TRAILERS_H
#define EG_PROXY_TRAILERS_H

#include "proxy/exchange.h"

/* A head was read: keeps what may be sent on behind its body. */
void eg_trailers_keep(struct eg_flow *f, struct eg_msg *m);
/* The Trailer field of what is announced and may be sent on, if any. */
enum eg_status eg_trailers_announce(const struct eg_flow *f, const struct eg_head *head,
                                    struct eg_buf *out) EG_MUST_USE;
/* Does the client say that it wants trailers (RFC 9110 section 10.1.4), and the policy names some? */
bool eg_trailers_wanted(const struct eg_flow *f);
/* Ends a chunked body: the last chunk, and the trailers that the policy names. EG_CANARY: one of a request
 * holds a phantom or a token. */
enum eg_status eg_trailers_end(struct eg_flow *f, struct eg_msg *m, struct eg_buf *out,
                               struct eg_err *err) EG_MUST_USE;

#endif
