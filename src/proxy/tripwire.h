/* tripwire.h - finds any of many secrets (phantoms, tokens) in a text, plain or with characters percent-encoded once.
 *
 * The time is linear in the text, whatever it is and however many secrets there are: of every secret eight runs of eight bytes are known, one of
 * which stands at a multiple of eight wherever the secret stands, and only those places of a text are looked at. */
#ifndef EG_PROXY_TRIPWIRE_H
#define EG_PROXY_TRIPWIRE_H

#include "base/slice.h"
#include "egress/status.h"

enum { EG_TRIPWIRE_MIN = 16, EG_TRIPWIRE_MAX = 1024 };

struct eg_tripwire;

/* EG_NOMEM. */
enum eg_status eg_tripwire_new(struct eg_tripwire **ret) EG_MUST_USE;
void eg_tripwire_free(struct eg_tripwire *t); /* NULL is fine */
/* The secret's bytes and its owner are borrowed until the drop; one shorter than EG_TRIPWIRE_MIN or longer than EG_TRIPWIRE_MAX is not
 * watched for. EG_NOMEM, EG_TOO_BIG: drop it then too. */
enum eg_status eg_tripwire_add(struct eg_tripwire *t, struct eg_slice secret, void *owner,
                               int index) EG_MUST_USE;
void eg_tripwire_drop(struct eg_tripwire *t, struct eg_slice secret, const void *owner, int index);

/* Asked for each secret that is found, perhaps more than once; true ends the search. */
typedef bool eg_tripwire_hit(void *ctx, void *owner, int index);
/* Did hit() say true? */
bool eg_tripwire_scan(const struct eg_tripwire *t, struct eg_slice text, eg_tripwire_hit *hit,
                      void *ctx);

#endif
