/* gate.h - the one gate (invariant 1): the only place on the data path that asks the policy and
 * opens a credential. It writes the audit's `decision` event before a byte flows.
 *
 * Order for every exchange: begin, then one of name/http/route, then one of
 * addresses/pooled/remote, and only then may anything be connected or sent. */
#ifndef EG_PROXY_GATE_H
#define EG_PROXY_GATE_H

#include "proxy/hello.h"
#include "proxy/session.h"
#include "proxy/snapshot.h"

struct eg_gate { /* one an engine: what the gate needs to judge and record */
    struct eg_trail trail;
    const struct eg_creds *creds;
    struct eg_sockaddr own[8]; /* our listeners: never a destination */
    unsigned own_count;
};

struct eg_ticket { /* one an exchange: what was asked and what was decided */
    /* filled as things become known; written for each decision and at the end */
    struct egress_event event;
    struct eg_authority to;
    struct eg_verdict verdict;
    const struct eg_snapshot *snapshot; /* the flow holds the reference */
    uint64_t started_ns;
    uint64_t decision_seq; /* of the last decision event; 0: none yet */
    bool open;             /* an allow was recorded and its end was not */
    char canary_service[64], canary_session[48]; /* whose phantom was found; service empty: a token */
};

/* Empties the ticket and gives it an id. session may be NULL (not yet authenticated). */
void eg_gate_begin(struct eg_gate *g, struct eg_ticket *t, const struct eg_snapshot *snapshot,
                   const struct eg_session *session, enum egress_event_via via);

/* The session is known only now, or still not (NULL). */
void eg_gate_session(struct eg_ticket *t, const struct eg_session *session);
/* By name. Each returns EG_OK or the refusal, which is then recorded. path is canonical. A route
 * whose credential could not be had is refused here, before anybody is asked. */
enum eg_status eg_gate_tunnel(struct eg_gate *g, struct eg_ticket *t,
                              const struct eg_authority *to) EG_MUST_USE;
enum eg_status eg_gate_http(struct eg_gate *g, struct eg_ticket *t, const struct eg_authority *to,
                            struct eg_slice method, struct eg_slice path,
                            struct eg_path_flags flags) EG_MUST_USE;
enum eg_status eg_gate_route(struct eg_gate *g, struct eg_ticket *t, unsigned index,
                             const struct eg_service *service, struct eg_slice method,
                             struct eg_slice path, struct eg_path_flags flags) EG_MUST_USE;

/* Is there all that the service writes? EG_OK; EG_AGAIN: a part was not read yet;
 * EG_CREDENTIAL_UNAVAILABLE. */
enum eg_status eg_gate_ready(const struct eg_gate *g, const struct eg_service *service) EG_MUST_USE;

/* By address: judges every one (invariant 2); all must pass. EG_OK: the allow is recorded and
 * out[0..*out_count) are the only addresses that may be dialled. */
enum eg_status eg_gate_addresses(struct eg_gate *g, struct eg_ticket *t,
                                 const struct eg_addr *addrs, unsigned count,
                                 struct eg_sockaddr *out, unsigned *out_count) EG_MUST_USE;
/* A pooled connection that is open to this judged address: judged again, the allow recorded. */
enum eg_status eg_gate_pooled(struct eg_gate *g, struct eg_ticket *t,
                              const struct eg_sockaddr *peer) EG_MUST_USE;
/* Names resolved by the upstream proxy (policy.md point 9): the allow is recorded without an
 * address. Literals go to eg_gate_addresses all the same. */
enum eg_status eg_gate_remote(struct eg_gate *g, struct eg_ticket *t) EG_MUST_USE;
/* scheme http inside CONNECT: the allow of the tunnel itself is recorded; nothing is connected
 * for it, every request inside has a ticket of its own. */
enum eg_status eg_gate_inner(struct eg_gate *g, struct eg_ticket *t) EG_MUST_USE;
/* The first flight under scheme https: EG_OK, EG_SNI_MISMATCH or EG_NOT_TLS; a refusal is a
 * second decision event with stage hello. */
enum eg_status eg_gate_hello(struct eg_gate *g, struct eg_ticket *t,
                             const struct eg_hello *hello) EG_MUST_USE;

/* Appends a template of the service's with the credential in it (eg_inject_template): of an allowed exchange with that service only, and to a
 * host that the credential is bound to; otherwise EG_INTERNAL. EG_CREDENTIAL_UNAVAILABLE: it is not there, or can't stand there. */
enum eg_status eg_gate_inject(struct eg_gate *g, const struct eg_ticket *t,
                              const struct eg_service *service, struct eg_slice text,
                              enum eg_escape escape, struct eg_buf *out,
                              struct eg_err *err) EG_MUST_USE;
/* The credential that the upstream proxy `host` wants, by name; same rule. */
enum eg_status eg_gate_proxy_credential(struct eg_gate *g, const struct eg_ticket *t,
                                        struct eg_slice credential, struct eg_slice host,
                                        const struct eg_secret **ret,
                                        struct eg_err *err) EG_MUST_USE;

/* A refusal that no policy decided (malformed, unauthenticated, DNS ...): recorded as a deny of
 * that reason, or, after an allow, kept for the end event. */
void eg_gate_refused(struct eg_gate *g, struct eg_ticket *t, enum eg_status reason,
                     const char *detail);
/* Before eg_gate_refused of a request that is not judged: where it was to go (service: of a route, else NULL), so that a person can see it. */
void eg_gate_unjudged(struct eg_ticket *t, const struct eg_authority *to,
                      const struct eg_service *service, struct eg_slice method);
/* The same before EG_CANARY, and whose phantom (or, index -1, token) it is. */
void eg_gate_canary(struct eg_ticket *t, const struct eg_authority *to,
                    const struct eg_service *service, struct eg_slice method,
                    const struct eg_session *session, int index);
/* The end event, once, when an allow was recorded. reason EG_OK: all went well. */
void eg_gate_end(struct eg_gate *g, struct eg_ticket *t, enum eg_status reason,
                 uint16_t http_status, uint64_t bytes_up, uint64_t bytes_down);
/* Judges a live exchange by a new snapshot, silently: may it go on? path: whole, as it was judged (the event's may be cut); empty for a tunnel. */
bool eg_gate_still_allowed(const struct eg_gate *g, const struct eg_ticket *t,
                           const struct eg_snapshot *snapshot, const struct eg_sockaddr *peer,
                           struct eg_slice path, struct eg_path_flags flags);

#endif
