/* credwait.h - routes that wait until their credential was read. Internal to proxy. */
#ifndef EG_PROXY_CREDWAIT_H
#define EG_PROXY_CREDWAIT_H

#include "proxy/exchange.h"

enum { EG_CREDWAIT_MS = 30000, EG_CREDWAIT_NAME = 256 };
#define EG_CREDWAIT_WHY "its source failed or did not answer in time"

/* Has this route's credential not been read yet (load: lazy)? */
bool eg_credwait_needed(const struct eg_flow *f);
/* Asks for it, unless somebody has, and waits in phase CREDENTIAL. */
enum eg_step eg_credwait_start(struct eg_flow *f);
/* The origin answered 401 to it, and the exchange holds that answer: asks for it anew and waits;
 * eg_replay_go follows. Else why nobody was asked: there is nothing newer. */
enum eg_status eg_credwait_refused(struct eg_flow *f) EG_MUST_USE;
/* Frees the list of what was asked for. */
void eg_credwait_free(struct eg_engine *e);

#endif
