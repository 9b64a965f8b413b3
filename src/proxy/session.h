/* session.h - who may use the proxy: tokens and phantoms to (session, service). */
#ifndef EG_PROXY_SESSION_H
#define EG_PROXY_SESSION_H

#include "proxy/engine.h"
#include "proxy/quota.h"

enum { EG_SESSIONS_MAX = 4096, EG_SESSION_PHANTOMS = 128 };

struct eg_session { /* reference counted: the table holds one, each flow one */
    unsigned refs;
    char id[48], label[48];
    char token[EG_TOKEN_HEX + 1];
    uint64_t expires_wall_us;
    bool revoked;
    struct eg_quotas *quotas; /* NULL: nothing was limited yet */
    unsigned phantom_count;
    struct eg_session_known {
        char *service, *phantom;
    } * phantoms;
};

struct eg_sessions;

enum eg_status eg_sessions_new(struct eg_sessions **ret) EG_MUST_USE;
void eg_sessions_free(struct eg_sessions *s);
/* As eg_engine_session_put. */
enum eg_status eg_sessions_put(struct eg_sessions *s, const struct eg_session_spec *spec,
                               struct eg_err *err) EG_MUST_USE;
/* Marks it revoked; returns it (borrowed) or NULL. */
struct eg_session *eg_sessions_revoke(struct eg_sessions *s, const char *id);
unsigned eg_sessions_count(const struct eg_sessions *s);

/* The session of the value of a Proxy-Authorization field. EG_OK, or EG_TOKEN_INVALID, _MISSING,
 * _EXPIRED, _REVOKED. Constant time in the token: the table is keyed with a secret hash. *ret is
 * borrowed. */
enum eg_status eg_sessions_by_authorization(const struct eg_sessions *s, struct eg_slice value,
                                            struct eg_session **ret) EG_MUST_USE;
/* The session with that very token, such as a SOCKS client's password; as above. */
enum eg_status eg_sessions_by_token(const struct eg_sessions *s, struct eg_slice token,
                                    struct eg_session **ret) EG_MUST_USE;
/* The session with that label, one that is usable before others; NULL. Borrowed. */
struct eg_session *eg_sessions_by_label(const struct eg_sessions *s, struct eg_slice label);
/* The session whose phantom for that service this is. EG_OK, EG_PHANTOM_INVALID, or the
 * session's EG_TOKEN_EXPIRED, _REVOKED. */
enum eg_status eg_sessions_by_phantom(const struct eg_sessions *s, struct eg_slice phantom,
                                      struct eg_slice service, struct eg_session **ret) EG_MUST_USE;

/* Asked for each token (index -1) or phantom of any session, usable or not, that stands in a text; true ends the search. */
typedef bool eg_session_hit(void *ctx, struct eg_session *s, int index);
/* Looks for them, plain and percent-encoded, in a time linear in the text. Did hit() say true? */
bool eg_sessions_scan(const struct eg_sessions *s, struct eg_slice text, eg_session_hit *hit,
                      void *ctx);

/* EG_OK, EG_TOKEN_EXPIRED or EG_TOKEN_REVOKED, as of now. */
enum eg_status eg_session_usable(const struct eg_session *s) EG_MUST_USE;
/* The counters of a session's services; NULL: of requests without a session. */
struct eg_quotas **eg_sessions_quotas(struct eg_sessions *s, struct eg_session *session);
/* Walks all sessions, in no order: *cursor starts at 0; NULL at the end. Borrowed. */
const struct eg_session *eg_sessions_next(const struct eg_sessions *s, size_t *cursor);

struct eg_session *eg_session_ref(struct eg_session *s);
void eg_session_unref(struct eg_session *s);

#endif
