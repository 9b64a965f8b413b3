/* channel.h - a channel of an ssh gateway that a flow waits for. Internal to proxy. */
#ifndef EG_PROXY_CHANNEL_H
#define EG_PROXY_CHANNEL_H

#include "proxy/flow.h"

struct eg_channel;
/* Asks for a channel through hop (kind ssh) to there; the flow is woken by the answer. EG_SSH_DOWN
 * where nobody opens channels, EG_NOMEM, or the owner's failure. */
enum eg_status eg_channel_open(struct eg_flow *f, const struct eg_hop *hop,
                               const struct eg_authority *to, struct eg_channel **ret,
                               struct eg_err *err) EG_MUST_USE;
/* EG_AGAIN: no answer yet. EG_OK: *ret is the channel's stream. Else why there is none. After the
 * answer it is only good for eg_channel_drop. */
enum eg_status eg_channel_take(struct eg_channel *c, struct eg_stream **ret,
                               struct eg_err *err) EG_MUST_USE;
/* Cancels what was not answered, closes what was not taken. NULL is fine. */
void eg_channel_drop(struct eg_channel *c);

#endif
