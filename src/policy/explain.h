/* explain.h - why a question has the answer it has, for people: the rules that were looked at and why each one missed, and the least rule that
 * would allow it. It asks the functions of policy.h, which the proxy asks, and decides nothing. Pure; it allocates nothing. */
#ifndef EG_POLICY_EXPLAIN_H
#define EG_POLICY_EXPLAIN_H

#include "policy/policy.h"

enum eg_ask_kind { EG_ASK_TUNNEL, EG_ASK_HTTP, EG_ASK_ROUTE };
struct eg_ask {
    enum eg_ask_kind kind;
    struct eg_authority to; /* ROUTE: not looked at */
    enum eg_scheme scheme;  /* of a tunnel, where it is known what is to flow; else NONE */
    unsigned service;       /* ROUTE */
    struct eg_slice method, path; /* HTTP, ROUTE: canonical; a route's is behind the service's base path */
    struct eg_path_flags flags;
    const struct eg_addr *addr; /* to be judged too: where the name leads to; NULL: a literal's own, else none */
};

/* By name, then (allowed, and an address is known) by address. A tunnel for https where plain HTTP alone may flow is refused: at run time its TLS is. */
void eg_policy_ask(const struct eg_policy *p, const struct eg_ask *ask, struct eg_verdict *ret);

enum { EG_CONSIDERED_TEXT = 320 };
struct eg_considered {
    const char *action;     /* "allow", "deny", "service", "networks" */
    struct eg_slice rule;   /* "file:line"; lives with the policy; empty: an address of this machine */
    char to[EG_AUTHORITY_TEXT]; /* the pattern as a policy has it */
    bool decides;
    char why[EG_CONSIDERED_TEXT]; /* a sentence: why it speaks, or misses */
};
typedef void eg_consider(void *ctx, const struct eg_considered *c);
/* Every rule on the host or the address, then those that are nearly on it: of the domain above, of names below. v: the answer that eg_policy_ask gave. */
void eg_policy_consider(const struct eg_policy *p, const struct eg_ask *ask,
                        const struct eg_verdict *v, eg_consider *take, void *ctx);

struct eg_least {
    char key[32];   /* where the line belongs: "allow", "rules", "networks.allow"; empty: no rule can allow it, text says what could */
    char line[1400]; /* the element of that list, as YAML */
    char text[1800]; /* a sentence for people */
};
/* What would have to be added or removed for v, a refusal of ask (or what would be one, under mode: observe), to become an allow: of all that could be, what
 * lets the least through. */
void eg_policy_least(const struct eg_policy *p, const struct eg_ask *ask,
                     const struct eg_verdict *v, struct eg_least *ret);

#endif
