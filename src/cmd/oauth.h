/* oauth.h - oauth2 credentials: a helper process speaks with the token endpoint through a worker, so that the exchange is
 * verified, routed, judged and recorded as any other; what the supervisor gives it and makes of its answer.
 *
 * Of what the endpoint sent the supervisor sees only texts that the helper checked. */
#ifndef EG_CMD_OAUTH_H
#define EG_CMD_OAUTH_H

#include "cmd/state.h"

struct eg_sup_oauth {    /* one fetch, between the supervisor and its helper; zeroed before begin */
    int client;          /* descriptor of the helper: connected to a worker's engine */
    struct eg_buf parts; /* wiped by forked */
};

/* Can one be fetched now: are its parts loaded, and is there a worker that has a policy in force (or, while the supervisor starts, one that can be given
 * it)? EG_AGAIN: not yet: ask again when something was settled or a worker is ready. Else EG_OK, or why it can't be fetched at all (a part failed). */
enum eg_status eg_sup_oauth_ready(const struct eg_sup_creds *c, const struct eg_sup_credential *e,
                                  struct eg_err *err) EG_MUST_USE;
/* Does fetching it use up a refresh token? Its helper must not be ended before the next one is kept, and it does not begin while a reload is under way. */
bool eg_sup_oauth_rotates(const struct eg_sup_creds *c, const struct eg_sup_credential *e);
/* Is one of those under way? */
bool eg_sup_oauth_rotating(const struct eg_sup_creds *c);
/* Before the fork: gives a worker one end of a connection, and copies the parts. While the supervisor starts, the worker is told first what is loaded, and
 * to take its policy. */
enum eg_status eg_sup_oauth_begin(struct eg_sup_creds *c, const struct eg_sup_credential *e,
                                  struct eg_sup_oauth *ret, struct eg_err *err) EG_MUST_USE;
/* In the supervisor after the fork, and after a fork that failed: closes and wipes what is the helper's. */
void eg_sup_oauth_forked(struct eg_sup_oauth *o);
/* In the helper, blocking: fetches, writes a new refresh token back to where the old one came from, and puts into value what eg_sup_oauth_take takes. The
 * exchange ends after timeout_ms, what is written back EG_SUP_OAUTH_STORE_MS later. */
enum eg_status eg_sup_oauth_run(const struct eg_sup_creds *c, const struct eg_sup_credential *e,
                                struct eg_sup_oauth *o, uint64_t timeout_ms, struct eg_buf *value,
                                struct eg_err *err) EG_MUST_USE;

enum { EG_SUP_OAUTH_MAX = 40960 /* ceiling of value */, EG_SUP_OAUTH_STORE_MS = 10000 };

struct eg_sup_oauth_token {
    struct eg_slice token; /* borrowed from value */
    uint64_t refresh_ms;   /* from now: fetch anew; 0: only when it is refused */
    uint64_t expires_ms;   /* from now: no longer good; 0: not known */
};
/* In the supervisor: what the helper made. A new refresh token takes the place of the old one in c; one that could not be written back is warned of. */
enum eg_status eg_sup_oauth_take(struct eg_sup_creds *c, const struct eg_sup_credential *e,
                                 struct eg_slice value, struct eg_sup_oauth_token *ret,
                                 struct eg_err *err) EG_MUST_USE;

/* ---- between oauth.c (supervisor) and the helper's files, oauth_run.c and oauth_fetch.c ---- */

enum { EG_OAUTH_SECRET, EG_OAUTH_REFRESH, EG_OAUTH_KEY, EG_OAUTH_PARTS };
/* "NAME#client_secret" and so on, in c; NULL: the policy names none. */
struct eg_sup_credential *eg_sup_oauth_part(const struct eg_sup_creds *c,
                                            const struct eg_sup_credential *e, unsigned part);
struct eg_sup_oauth_result { /* first in value; token and refresh token follow */
    uint64_t expires_in;     /* s; 0: not known */
    uint32_t token_n, refresh_n;
    bool unsaved; /* the refresh token could not be written back */
    char why[160];
};

struct eg_oauth_exchange { /* one POST through a worker */
    int fd;
    uint64_t deadline_ms;          /* eg_clock_ms */
    struct eg_slice route, path;   /* of the request-target: "/ROUTE" and what follows */
    struct eg_slice accept;        /* value of Accept */
    struct eg_slice authorization; /* value; may be empty */
    struct eg_slice form;          /* body; may be empty */
};
/* The answer's body in *body (its ceiling is the limit; wiped by the caller), its status in *http_status. EG_CREDENTIAL_UNAVAILABLE with why: no answer in
 * time, no HTTP, too long, or refused by our own worker. */
enum eg_status eg_oauth_post(const struct eg_oauth_exchange *x, struct eg_buf *body,
                             unsigned *http_status, struct eg_err *err) EG_MUST_USE;

#endif
