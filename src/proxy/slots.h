/* slots.h - where a service's phantom comes in (security.md, Slots), and the search for phantoms and tokens where they do not belong. */
#ifndef EG_PROXY_SLOTS_H
#define EG_PROXY_SLOTS_H

#include "proxy/flow.h"

/* The slots of a service that has a credential: its phantom must be in one of them at least, and every one that is there must hold it, of one
 * session. path is canonical and begins behind the route's name; query has no '?'. EG_OK with the session (borrowed), EG_PHANTOM_MISSING,
 * EG_PHANTOM_INVALID: also that of a session which is over. */
enum eg_status eg_slots_read(const struct eg_sessions *sessions, const struct eg_service *service,
                             const struct eg_head *head, struct eg_slice path,
                             struct eg_slice query, struct eg_session **ret) EG_MUST_USE;
/* Appends the path without the segment that is a slot: what is judged and sent. EG_TOO_BIG, EG_NOMEM. */
enum eg_status eg_slots_path(const struct eg_service *service, struct eg_slice path,
                             struct eg_buf *out) EG_MUST_USE;

/* What was found where it does not belong. */
struct eg_slots_found {
    struct eg_session *session; /* borrowed; NULL: nothing */
    int index;                  /* of its phantom; -1: its token */
};
/* Looks through the head of a request to `to`. service: the route's, or NULL; left: the path and query that the origin is sent, empty for none.
 * In what is taken away before the request is sent, a token or a phantom of a service on that same host counts for nothing: the slots judge it. */
bool eg_slots_canary(const struct eg_sessions *sessions, const struct eg_policy *policy,
                     const struct eg_authority *to, const struct eg_service *service,
                     const struct eg_head *head, struct eg_slice left, struct eg_slots_found *ret);

#endif
