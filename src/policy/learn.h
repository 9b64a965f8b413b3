/* learn.h - from what was refused to the least rules that would allow it, as lines of a policy file. Internal to the room, for `egressctl policy learn`. Pure.
 *
 * It proposes, a person decides: what only a person can judge (plain http, raw addresses, odd ports, names that data could leave in) is proposed as a comment. What
 * a deny rule, a metadata address or a private range refuses is never proposed. */
#ifndef EG_POLICY_LEARN_H
#define EG_POLICY_LEARN_H

#include "policy/compile.h"

struct eg_learn;

struct eg_learn_seen { /* one refusal, or what would have been one; borrowed for the call */
    struct eg_authority to;       /* of a route: its upstream */
    struct eg_slice service;      /* a request by its route; else empty */
    struct eg_slice method, path; /* a request that was seen: canonical; a tunnel has no path */
    struct eg_addr addr;          /* where the name led to; family 0: not known */
    enum eg_status reason;
    bool cut; /* a text of the event was too long for it */
};

enum eg_learnt_kind {
    EG_LEARNT_ALLOW, /* an element of allow */
    EG_LEARNT_RULE,  /* one of services.NAME.rules */
    EG_LEARNT_NEVER, /* nothing to propose: why says what stands against it */
};
struct eg_learnt { /* texts live with the eg_learn */
    enum eg_learnt_kind kind;
    struct eg_slice service; /* RULE */
    struct eg_slice line;    /* the element as YAML */
    struct eg_slice what;    /* what was asked for, for people */
    struct eg_slice why;     /* why it is no more than a comment, or NEVER; empty: it is proposed */
    unsigned long count;     /* how often it was asked for */
    bool placed;             /* by eg_learn_patch */
    bool known;              /* a doubt that the file has as a comment already */
};

/* p: the policy that is in force. odd (may be NULL): a policy whose deny rules name hosts that nobody should allow without a thought. Both are borrowed. */
enum eg_status eg_learn_new(const struct eg_policy *p, const struct eg_policy *odd,
                            struct eg_learn **ret) EG_MUST_USE;
void eg_learn_free(struct eg_learn *l);
/* What p allows by now is passed over. EG_TOO_BIG: more than 10,000 different ones. EG_NOMEM. */
enum eg_status eg_learn_add(struct eg_learn *l, const struct eg_learn_seen *seen) EG_MUST_USE;
/* How many different ones there are: an event that adds none says nothing new. */
size_t eg_learn_kinds(const struct eg_learn *l);
/* Once all are in: the proposals, in an order of their own that is always the same. */
enum eg_status eg_learn_finish(struct eg_learn *l) EG_MUST_USE;
unsigned eg_learn_count(const struct eg_learn *l);
struct eg_learnt *eg_learn_at(const struct eg_learn *l, unsigned i);

/* Appends the file with the proposals in it; what has no place there stays !placed. A file that has its lists in brackets is laid out anew (fmt.h). diags: it can't be
 * read. */
enum eg_status eg_learn_patch(const struct eg_learn *l, const struct eg_policy_file *file,
                              struct eg_diags *diags, struct eg_buf *out, struct eg_err *err) EG_MUST_USE;

/* "/a/123/b" as "/a/" "*" "/b": what looks like an identifier becomes *. Appends. */
enum eg_status eg_learn_pattern(struct eg_slice path, struct eg_buf *out) EG_MUST_USE;
/* Why a person should look at a host of that name before it is allowed; NULL: nothing speaks against the name. Static. */
const char *eg_learn_name_doubt(struct eg_slice host);

#endif
