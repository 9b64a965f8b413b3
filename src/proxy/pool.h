/* pool.h - idle connections to origins, and TLS sessions to resume, keyed by (session, hops,
 * origin, TLS identity, credential). */
#ifndef EG_PROXY_POOL_H
#define EG_PROXY_POOL_H

#include "proxy/flow.h"

enum {
    EG_POOL_IDLE_MS = 60000,
    EG_POOL_PER_KEY = 32,
    EG_POOL_MAX = 256,
    EG_POOL_TICKETS = 256,
    EG_TICKET_MAX = 8192
};

enum eg_status eg_pool_new(struct eg_engine *e, struct eg_pool **ret) EG_MUST_USE;
void eg_pool_free(struct eg_pool *p);
/* Closes every idle connection and forgets every ticket: a new policy may trust otherwise. */
void eg_pool_clear(struct eg_pool *p);
void eg_pool_clear_session(struct eg_pool *p, const char *session_id);
unsigned eg_pool_count(const struct eg_pool *p);

/* Takes an idle connection for f's ticket and exchange into f->origin, with f->peer; false when
 * there is none. */
bool eg_pool_take(struct eg_flow *f);
/* Puts f->origin away (its queues are empty) and keeps its TLS session; it is closed instead
 * when the pool is full. */
void eg_pool_put(struct eg_flow *f);
/* A saved TLS session for f's key, or the empty slice; borrowed until the next put. */
struct eg_slice eg_pool_ticket(struct eg_flow *f);
/* Keeps the TLS session of a connection that is about to be closed. */
void eg_pool_keep_ticket(struct eg_flow *f);
bool eg_pool_resumed(const struct eg_flow *f);

#endif
