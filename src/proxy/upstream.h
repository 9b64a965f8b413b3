/* upstream.h - what the way out tells the rest of its flow. Internal to proxy. */
#ifndef EG_PROXY_UPSTREAM_H
#define EG_PROXY_UPSTREAM_H

#include "proxy/hops.h"

/* Why the way out failed, for people: names the hop where it was one. status becomes the reason
 * that is told. Into out; returns it. */
const char *eg_upstream_explain(const struct eg_flow *f, enum eg_status *status,
                                const struct eg_err *err, char *out, size_t cap);

#endif
