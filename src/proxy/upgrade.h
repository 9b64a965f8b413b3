/* upgrade.h - WebSocket through a route (RFC 6455, RFC 9110 section 7.8). Internal to proxy. */
#ifndef EG_PROXY_UPGRADE_H
#define EG_PROXY_UPGRADE_H

#include "proxy/exchange.h"

/* The request was allowed by name: does it ask for a WebSocket, and may it? EG_OK, EG_NOT_SUPPORTED or
 * EG_BAD_REQUEST, and *why is a static sentence. */
enum eg_status eg_upgrade_check(struct eg_flow *f, const char **why) EG_MUST_USE;
/* The origin answered 101: is it what was asked for? Then its head is queued for the client, and
 * f->exchange->upgraded is set. Else EG_BAD_RESPONSE. */
enum eg_status eg_upgrade_accept(struct eg_flow *f, struct eg_err *err) EG_MUST_USE;
/* From now on it is a relay. */
enum eg_step eg_upgrade_relay(struct eg_flow *f);

#endif
