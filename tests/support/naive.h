/* naive.h - what a random policy means, written once more from the language's description alone: loops over lists, texts compared byte by byte, no hash, no
 * index, nothing of src/policy but the names of outcomes. Slow, and as plain as can be: where it and the engine differ, the description decides.
 * It knows nothing of Criterion. */
#ifndef EG_TESTS_SUPPORT_NAIVE_H
#define EG_TESTS_SUPPORT_NAIVE_H

#include "support/random_policy.h"

struct eg_naive_verdict {
    enum eg_status status;
    enum eg_status would_deny; /* mode: observe: what it would have been; EG_OK: allowed in both */
    /* of what is allowed */
    enum eg_scheme scheme;
    bool sni_optional;
    uint64_t max_request_body; /* of a request; 0: none */
};

/* False: the policy has no such service. EG_BAD_REQUEST: the request is none. */
bool eg_naive_judge(const struct eg_random_policy *p, const struct eg_random_request *request,
                    struct eg_naive_verdict *ret);

/* "METHOD /pattern" against a method and a raw path that is canonical; deny: also in what an origin might make of it. */
bool eg_naive_match(const struct eg_random_pattern *pattern, const char *method, const char *path,
                    bool deny);
/* The canonical path (policy.md point 5). False: it is none. *unsafe: refused where rules apply. cap > strlen(path). */
bool eg_naive_path(const char *path, char *out, size_t cap, bool *unsafe);
/* Do they say the same? What they are compared in is what a person would notice: outcome, what flows, whether a server name is needed, the body's limit. */
bool eg_naive_same(const struct eg_random_request *request, const struct eg_naive_verdict *naive,
                   const struct eg_verdict *engine);

#endif
