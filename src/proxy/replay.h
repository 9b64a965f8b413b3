/* replay.h - a request that is sent once more because its credential was refused and another one has come.
 * Internal to proxy. */
#ifndef EG_PROXY_REPLAY_H
#define EG_PROXY_REPLAY_H

#include "proxy/exchange.h"

enum { EG_REPLAY_MAX = 65536 }; /* bytes of a body that are kept for it */

/* The request is sent with its credential now: may it be wanted again? Behind the head of one that is
 * sent again comes its body, whole. */
enum eg_status eg_replay_begin(struct eg_flow *f) EG_MUST_USE;
/* One decoded piece of the request's body, to be kept; of one that is too long nothing is. */
void eg_replay_keep(struct eg_exchange *x, struct eg_slice data);
/* The final head was read: is it a 401 to be held back? */
bool eg_replay_wanted(const struct eg_flow *f);
/* It is held back, and what came behind it is in f->origin.in: asks for the credential anew. */
enum eg_step eg_replay_start(struct eg_flow *f);
/* What was asked for has come, or never will: sends again, or passes on what was held. */
enum eg_step eg_replay_go(struct eg_flow *f);
/* Wipes what was kept. */
void eg_replay_drop(struct eg_exchange *x);

#endif
