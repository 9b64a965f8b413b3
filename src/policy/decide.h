/* decide.h - what the files that answer questions share. Internal to the room; they allocate nothing. */
#ifndef EG_POLICY_DECIDE_H
#define EG_POLICY_DECIDE_H

#include "policy/block.h"

enum { EG_DECIDE_HITS_MAX = 130 };

/* Targets that cover the question, the most specific first. */
struct eg_decide_hits {
    const struct eg_block_target *list[EG_DECIDE_HITS_MAX];
    unsigned count;
};

struct eg_question {
    const struct eg_policy *p;
    uint16_t port;
    bool http;   /* a request that is parsed, rather than a tunnel */
    bool parsed; /* rules on requests are in force for the host: only scheme http may carry them */
    const struct eg_block_request *request; /* NULL: a tunnel */
    struct eg_path_flags flags;
};

/* ---- finding rules ---- */
unsigned eg_decide_full_length(const struct eg_addr *a);
void eg_decide_find_name(const struct eg_policy *p, struct eg_slice host, struct eg_decide_hits *h);
/* Patterns "*." above the name; the name itself too when it stands for a pattern. Appends. */
void eg_decide_find_below(const struct eg_policy *p, struct eg_slice host, bool self,
                          struct eg_decide_hits *h);
/* Prefixes of at most `longest` bits. */
void eg_decide_find_addr(const struct eg_policy *p, const struct eg_addr *a, unsigned longest,
                         struct eg_decide_hits *h);
bool eg_decide_has_port(const struct eg_policy *p, const struct eg_block_rule *r, uint16_t port);
/* May the flow in question go by this allow rule's scheme? */
bool eg_decide_carries(const struct eg_question *q, const struct eg_block_rule *r);
/* The first rule of that action on the port, or on any, among the hits. Deny rules on some requests are another question. */
const struct eg_block_rule *eg_decide_rule_of(const struct eg_question *q,
                                              const struct eg_decide_hits *h, enum eg_action action,
                                              bool any_port);
/* Deny rules on an address or on an IPv4 address that it carries. h: all rules on the address itself. */
const struct eg_block_rule *eg_decide_denied_addr(const struct eg_question *q,
                                                  const struct eg_addr *a,
                                                  const struct eg_decide_hits *h);

/* Is the IPv4 address that it carries judged too? */
bool eg_decide_judged_inside(const struct eg_addr *a);

/* ---- verdicts ---- */
void eg_decide_refuse(struct eg_verdict *v, enum eg_status status, struct eg_slice rule,
                      struct eg_slice detail);
void eg_decide_refuse_by(const struct eg_policy *p, const struct eg_block_rule *r,
                         enum eg_status status, struct eg_verdict *v);
void eg_decide_allow_by(const struct eg_question *q, const struct eg_block_rule *r, bool opened,
                        struct eg_verdict *v);

/* ---- rules on requests ---- */
typedef bool eg_decide_take(const struct eg_question *q, const struct eg_block_rule *r,
                            struct eg_verdict *v);
/* Calls take for every rule of that action that is on some requests, on this port, until it returns true: then true. */
bool eg_decide_each_ruled(const struct eg_question *q, const struct eg_decide_hits *h,
                          enum eg_action action, eg_decide_take *take, struct eg_verdict *v);
eg_decide_take eg_decide_take_any;    /* true */
eg_decide_take eg_decide_take_deny;   /* refuses a request that the rule denies */
eg_decide_take eg_decide_take_opaque; /* refuses a tunnel that would carry such requests */
/* Nobody can say which rule an odd path falls under: refused by `rule`. False: it is none. */
bool eg_decide_refuse_unsafe(const struct eg_question *q, struct eg_slice rule,
                             struct eg_verdict *v);
void eg_decide_refuse_path(const struct eg_question *q, const struct eg_block_path *path,
                           struct eg_verdict *v);
/* The request against all allow rules on the pattern that decides, which `first` is on. */
void eg_decide_judge_paths(const struct eg_question *q, const struct eg_decide_hits *h,
                           const struct eg_block_rule *first, bool opened, struct eg_verdict *v);

#endif
