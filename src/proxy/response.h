/* response.h - the origin's answer on its way to the client. Internal to proxy. */
#ifndef EG_PROXY_RESPONSE_H
#define EG_PROXY_RESPONSE_H

#include "proxy/exchange.h"

/* Reads, frames anew and sends as far as it goes. EG_AGAIN: waits (or the response is done and
 * out: see response_done); EG_CLIENT_GONE; else what is wrong with the origin. */
enum eg_status eg_response_pump(struct eg_flow *f, bool *moved, struct eg_err *err) EG_MUST_USE;
/* Queues the final head that was read for the client. EG_OK, or what is wrong with it. */
enum eg_status eg_response_head(struct eg_flow *f, struct eg_err *err) EG_MUST_USE;
/* The status line and the end-to-end fields of a head, searched for the credential. */
enum eg_status eg_response_lines(struct eg_flow *f, const struct eg_head *head) EG_MUST_USE;

#endif
