/* rewrite.h - what of a route's request goes on to its origin: the child's own path, query, fields and cookies without the credentials among them, and
 * what the policy writes beside. */
#ifndef EG_PROXY_REWRITE_H
#define EG_PROXY_REWRITE_H

#include "http/hygiene.h"
#include "proxy/flow.h"

/* Appends the query (without '?') less the pairs whose key, percent-decoded, the service accepts, writes or strips. EG_TOO_BIG, EG_NOMEM. */
enum eg_status eg_rewrite_query(const struct eg_service *service, struct eg_slice query,
                                struct eg_buf *out) EG_MUST_USE;
/* Does it look into cookies? Else they are fields like others. */
bool eg_rewrite_has_cookies(const struct eg_service *service);
/* Appends "a=b; c=d": the child's cookies less those that the service accepts, writes or strips. As above. */
enum eg_status eg_rewrite_cookies(const struct eg_service *service, const struct eg_head *head,
                                  struct eg_buf *out) EG_MUST_USE;
/* Is that field of an answer a Set-Cookie of such a cookie? It is not for the child. */
bool eg_rewrite_hides(const struct eg_service *service, const struct eg_field *field);
/* Is that field of the child's not for the origin of this service? A plain route (no credential) passes the child's own keys. A name with _ for - is
 * the same one. */
bool eg_rewrite_drops(const struct eg_service *service, const struct eg_field *field,
                      enum eg_field_class class);

/* Does the service write into the target? */
bool eg_rewrite_writes_target(const struct eg_service *service);
/* Appends the exchange's path and query with what the service writes into them: out holds the credential afterwards. EG_OK or the refusal. */
enum eg_status eg_rewrite_target(struct eg_flow *f, struct eg_buf *out,
                                 struct eg_err *err) EG_MUST_USE;
/* The fields that the service writes, the child's other cookies among them, into f->origin.out. EG_OK or the refusal. */
enum eg_status eg_rewrite_fields(struct eg_flow *f, struct eg_err *err) EG_MUST_USE;

#endif
