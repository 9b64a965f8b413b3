/* sigv4.h - routes whose requests are signed with AWS keys: checked against the session's phantom keys, signed anew with the real ones. Internal to
 * proxy; the algorithm is cred/sigv4.h. */
#ifndef EG_PROXY_SIGV4_H
#define EG_PROXY_SIGV4_H

#include "proxy/exchange.h"

/* A signature covers the body's hash. A request that does not carry it (all but S3's) is held until its body is whole, and of no more bytes. */
enum { EG_RESIGN_HOLD_MAX = 1 << 20 };

/* Does the service take signed requests (EG_SLOT_SIGV4)? Then no other slot counts. */
bool eg_resign_wanted(const struct eg_service *service);
/* In the place of the search for a phantom. EG_OK, *ret (borrowed) is the session whose phantom keys signed this request; EG_AGAIN: the same, but the
 * signature is judged when the body is there: eg_resign_hold. Else the refusal; *why is a static sentence or NULL. */
enum eg_status eg_resign_check(struct eg_flow *f, const struct eg_target *target,
                               struct eg_session **ret, const char **why) EG_MUST_USE;
/* After EG_AGAIN, once all else of authentication is done: reads the body in phase BODY, judges the signature, and goes on with eg_route_resume or
 * refuses. */
enum eg_step eg_resign_hold(struct eg_flow *f, const struct eg_target *target);
/* Phase BODY. */
enum eg_step eg_body_step(struct eg_flow *f);

/* Is this field of the child's one of its signature, or of the coding that only its signature needed? */
bool eg_resign_drops(const struct eg_flow *f, const struct eg_field *field);
/* After all other fields: signs what stands in f->origin.out, from `start` on, and appends the fields of the signature. EG_OK or the refusal. */
enum eg_status eg_resign_head(struct eg_flow *f, size_t start, struct eg_err *err) EG_MUST_USE;

/* Takes a piece to be sent. */
typedef enum eg_status eg_resign_sink(struct eg_flow *f, struct eg_slice data, struct eg_err *err);
/* Is there a held body still to be sent? eg_resign_send gives the next piece of it to sink and says EG_OK. */
bool eg_resign_holds(const struct eg_exchange *x);
enum eg_status eg_resign_send(struct eg_flow *f, eg_resign_sink *sink,
                              struct eg_err *err) EG_MUST_USE;
/* A piece of the request's body as it was read: what is sent of it goes to sink (all of it, but for the chunks of a signed stream). EG_BAD_REQUEST. */
enum eg_status eg_resign_body(struct eg_flow *f, struct eg_slice data, eg_resign_sink *sink,
                              struct eg_err *err) EG_MUST_USE;
/* The body ended: EG_OK, or EG_BAD_REQUEST when a signed stream lacks a part. */
enum eg_status eg_resign_end(const struct eg_exchange *x, struct eg_err *err) EG_MUST_USE;
/* Frees x->resign; NULL is fine. */
void eg_resign_drop(struct eg_exchange *x);

#endif
