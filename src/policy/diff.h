/* diff.h - what a change of a policy lets out, takes back, or does with a credential: two compiled policies compared by what they mean.
 *
 * Found by construction: every class of host names, of addresses, of ports, methods and paths that either policy tells apart is asked once, of both,
 * by the functions that the proxy asks. So each change of what may be reached has an example that the two policies answer differently. Where the classes
 * are too many to be looked at, the change says that it may be one (`may`): nothing that was left out is ever called neutral. Settings,
 * services and credentials are compared as they are; man/egressctl-policy.1 has the table of their labels. */
#ifndef EG_POLICY_DIFF_H
#define EG_POLICY_DIFF_H

#include "policy/explain.h"

enum eg_change_label {
    EG_CHANGE_NEUTRAL,    /* told, but nothing more or less may be reached */
    EG_CHANGE_NARROWS,    /* something is refused, or limited, that was not */
    EG_CHANGE_WIDENS,     /* something may be reached, or is less watched or limited, than before */
    EG_CHANGE_CREDENTIAL, /* another credential, another place for it, or another guard of it */
    EG_CHANGE_LABELS
};
/* "neutral", "narrows", "widens", "credential". */
const char *eg_change_label_name(enum eg_change_label label);

enum eg_change_kind {
    EG_CHANGE_TUNNEL,  /* CONNECT and SOCKS to a host */
    EG_CHANGE_REQUEST, /* plain HTTP to a host */
    EG_CHANGE_ROUTE,   /* a request by a service's route */
    EG_CHANGE_ADDRESS, /* what names may lead to */
    EG_CHANGE_SETTING, /* of the policy, a service or a credential */
    EG_CHANGE_KINDS
};
/* "tunnel", "request", "route", "address", "setting". */
const char *eg_change_kind_name(enum eg_change_kind kind);

/* Texts live as long as the call. Those of paths and names are printable ASCII; nothing holds a secret. */
struct eg_change {
    enum eg_change_label label;
    bool may; /* the search was cut short: it may be so; then there is no example */
    enum eg_change_kind kind;
    const char *subject; /* "*.example.com", "10.0.0.0/8", "services.openai.redact" */
    const char
        *ports; /* "80, 443", "any other port", "every port"; empty where ports play no part */
    const char *example; /* "CONNECT sub.example.com:443", "GET http://a.example/x"; empty: none */
    const char *before,
        *after; /* "refused (host_not_allowed)", "allowed, https"; a setting's values */
    struct eg_slice rule[2]; /* "file:line" before and after; may be empty */
    bool
        asked; /* ask and verdict hold the example's; a route that one policy lacks was not asked of it */
    struct eg_ask ask[2];
    struct eg_verdict verdict[2];
};
typedef void eg_take_change(void *ctx, const struct eg_change *change);

/* Every change from a to b. Pure: it allocates, but keeps nothing. EG_NOMEM. */
enum eg_status eg_policy_diff(const struct eg_policy *a, const struct eg_policy *b,
                              eg_take_change *take, void *ctx) EG_MUST_USE;

/* Do these answers to one question differ in what may flow? Reasons and rules of refusals are none of it. */
bool eg_policy_diff_tells(enum eg_change_kind kind, const struct eg_verdict *a,
                          const struct eg_verdict *b);

#endif
