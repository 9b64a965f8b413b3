/* redaction.h - the credential taken out of what the origin answers (security.md, Redaction). Internal to
 * proxy. */
#ifndef EG_PROXY_REDACTION_H
#define EG_PROXY_REDACTION_H

#include "cred/redact.h"
#include "proxy/exchange.h"

/* The request is about to be sent: what its answer is searched for. EG_NOMEM and the like: it can't be
 * searched, and must not be sent. */
enum eg_status eg_redaction_begin(struct eg_flow *f, struct eg_err *err) EG_MUST_USE;
/* Changes with each of the values that this route sends. */
uint64_t eg_redaction_version(const struct eg_flow *f);
static inline bool eg_redaction_on(const struct eg_flow *f)
{
    return f->exchange->redact_set != NULL;
}
/* A field of the request that would bring an answer that can't be searched. */
bool eg_redaction_drops(const struct eg_flow *f, const struct eg_field *field);
/* The final head was read: can its body be searched? Else EG_BAD_RESPONSE. */
enum eg_status eg_redaction_head(struct eg_flow *f, struct eg_err *err) EG_MUST_USE;
/* All of out from its byte `from` on: the text of a head that was just written. */
void eg_redaction_text(const struct eg_flow *f, struct eg_buf *out, size_t from);
void eg_redaction_drop(struct eg_exchange *x);
/* Forgets every set: what credentials and phantoms are called has changed. */
void eg_redaction_free(struct eg_engine *e);

#endif
