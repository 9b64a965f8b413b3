/* redact.h - takes a credential out of what an origin sends back (security.md: Redaction).
 *
 * Needles are the credential's values of 16 bytes or more, as they are and in base64 at each of its three alignments (both alphabets, in lines or not), with any
 * of their characters percent-encoded or JSON-escaped. What is found is overwritten in place with the phantom in the same form where the lengths agree, else with asterisks: the length of a message never
 * changes. Memory is bounded by the longest needle; time is linear. */
#ifndef EG_CRED_REDACT_H
#define EG_CRED_REDACT_H

#include "base/buf.h"
#include "base/secret.h"

struct eg_redact_pair {
    const struct eg_secret *secret;
    struct eg_slice phantom; /* may be empty: asterisks */
};

struct eg_redact_set; /* compiled needles: reference counted, in wiped memory */
enum { EG_REDACT_MIN = 16 }; /* bytes of a value that is looked for */
/* Values below it are passed over; a set without a needle is fine. Borrows nothing. EG_NOMEM, EG_TOO_BIG. */
enum eg_status eg_redact_set_new(struct eg_vault *vault, const struct eg_redact_pair *pairs,
                                 unsigned count, struct eg_redact_set **ret,
                                 struct eg_err *err) EG_MUST_USE;
struct eg_redact_set *eg_redact_set_ref(struct eg_redact_set *s);
void eg_redact_set_unref(struct eg_redact_set *s); /* NULL is fine */
bool eg_redact_set_empty(const struct eg_redact_set *s);
/* A whole text (reason phrase, field value, URL), in place. How many were found. */
unsigned eg_redact_text(const struct eg_redact_set *s, char *p, size_t n);

/* One body, in pieces. Zeroed before begin, wiped by done. */
struct eg_redact {
    struct eg_redact_set *set;
    char *block; /* for what is held; wiped */
    char *held;  /* in it: the end of what came, as far as a needle may begin there */
    size_t held_n;
    unsigned found;
};
enum eg_status eg_redact_begin(struct eg_redact *r, struct eg_redact_set *set) EG_MUST_USE;
void eg_redact_done(struct eg_redact *r);
/* Works on p..p+n in place. Before them, *held are bytes of earlier pieces that are settled now (valid until the next call, at most the longest needle);
 * of p..p+n the first *ready may go out, the rest was copied and comes later. No byte is kept that could not begin a needle. */
void eg_redact_feed(struct eg_redact *r, char *p, size_t n, struct eg_slice *held, size_t *ready);
/* The end: what is still held is no needle's beginning after all. Valid until done. */
struct eg_slice eg_redact_end(struct eg_redact *r);

#endif
