/* worker_creds.h - a worker's credentials on their way from the link into the engine's store. */
#ifndef EG_CMD_WORKER_CREDS_H
#define EG_CMD_WORKER_CREDS_H

#include "base/table.h"
#include "cmd/link.h"
#include "proxy/engine.h"

struct eg_worker_staged;
struct eg_worker_creds {                   /* zeroed before init */
    struct eg_vault *vault;                /* borrowed */
    struct eg_engine *engine;              /* borrowed; NULL until there is one */
    struct eg_link *link;                  /* borrowed */
    struct eg_worker_staged *staged, *now; /* until SWITCH, until CREDENTIAL_SETTLED */
    struct eg_table *refused;              /* name: until when it is not asked for again */
};
enum eg_status eg_worker_creds_init(struct eg_worker_creds *c) EG_MUST_USE;
/* Wipes what waits. */
void eg_worker_creds_done(struct eg_worker_creds *c);
/* CREDENTIAL, _FAILED, _DROP: kept. EG_NOMEM. */
enum eg_status eg_worker_creds_take(struct eg_worker_creds *c,
                                    const struct eg_link_message *m) EG_MUST_USE;
/* SWITCH (commit) and ABANDON. false: one could not be stored, and is not there now. */
bool eg_worker_creds_switch(struct eg_worker_creds *c, bool commit) EG_MUST_USE;
/* CREDENTIAL_SETTLED: what came with it is in force, all at once; who waits for it goes on. As
 * above. */
bool eg_worker_creds_settled(struct eg_worker_creds *c, struct eg_slice name) EG_MUST_USE;
/* The engine's credential_ask. EG_RATE_LIMITED: it was refused and asked for a moment ago. */
enum eg_status eg_worker_creds_ask(struct eg_worker_creds *c, struct eg_slice name,
                                   bool refused) EG_MUST_USE;

#endif
