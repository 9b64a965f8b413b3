/* inquiry.h - a question as a person writes it, and the ways by which the proxy could be asked it: `explain` and `test` ask the same.
 *
 * An https URL has two kinds of ways: a tunnel, of which the proxy sees host and port alone, and the routes of services that have this upstream. */
#ifndef EG_POLICY_INQUIRY_H
#define EG_POLICY_INQUIRY_H

#include "policy/explain.h"

struct eg_inquiry { /* owned; zeroed and given a method before it is read */
    bool tunnel;    /* ask for a tunnel to `to`; else for a plain HTTP request */
    bool routes;    /* and for the routes of services with this upstream */
    bool tls;       /* of those */
    enum eg_scheme scheme;  /* of the tunnel, where it is known what is to flow */
    struct eg_authority to;
    struct eg_slice service; /* set: that service's route alone; borrowed */
    struct eg_slice method;  /* borrowed */
    struct eg_buf path;      /* canonical */
    struct eg_path_flags flags;
    struct eg_addr addr; /* what the name leads to; family 0: not known */
};

/* "https://HOST[:PORT]/PATH" or "http://...". A query is left out, and so is a fragment, which no client sends. EG_BAD_HOST, EG_BAD_TARGET,
 * EG_INVALID with a text, EG_NOMEM. Of each: eg_inquiry_done afterwards, also when it failed. */
enum eg_status eg_inquiry_url(struct eg_inquiry *q, struct eg_slice text,
                              struct eg_err *err) EG_MUST_USE;
bool eg_inquiry_is_url(struct eg_slice text);
/* "HOST[:PORT]" or "tcp://HOST:PORT": a tunnel. default_port 0: the port is required. */
enum eg_status eg_inquiry_tunnel(struct eg_inquiry *q, struct eg_slice text, uint16_t default_port,
                                 struct eg_err *err) EG_MUST_USE;
/* "/PATH" of a service, by its name. */
enum eg_status eg_inquiry_service(struct eg_inquiry *q, struct eg_slice service,
                                  struct eg_slice path, struct eg_err *err) EG_MUST_USE;
void eg_inquiry_done(struct eg_inquiry *q);
/* Capitals and hyphens, 1 to 32. */
bool eg_inquiry_is_method(struct eg_slice text);

/* Calls take for every way; what it is given lives for the call. Returns how many there were: 0 where the policy has no such service. */
typedef void eg_inquire(void *ctx, const struct eg_ask *ask);
unsigned eg_policy_inquire(const struct eg_policy *p, const struct eg_inquiry *q, eg_inquire *take,
                           void *ctx);

enum { EG_WAY_TEXT = 700 };
/* "a tunnel to a.example:443", for messages; a long path is cut. Returns out; cap >= EG_WAY_TEXT. */
char *eg_policy_way(const struct eg_policy *p, const struct eg_ask *ask, char *out, size_t cap);

#endif
