/* upstream.h - what the way out knows of its flow. Internal to proxy. */
#ifndef EG_PROXY_UPSTREAM_H
#define EG_PROXY_UPSTREAM_H

#include "proxy/exchange.h"

/* The upstream proxy's Proxy-Authorization value while a connection through it is opened, or
 * NULL. */
const struct eg_secret *eg_upstream_authorization(const struct eg_flow *f);

#endif
