/* property.h - what holds for every policy and every request, tried on random ones. Failures are shown on stderr with all that is needed to see them again.
 * It knows nothing of Criterion. */
#ifndef EG_TESTS_SUPPORT_PROPERTY_H
#define EG_TESTS_SUPPORT_PROPERTY_H

#include "support/random_policy.h"

/* How the requests were answered: a property that only ever saw refusals would show little. */
struct eg_property_count {
    unsigned long pairs, allowed, refused, observed, failed;
};

/* One random policy and what it was compiled to. */
struct eg_property {
    uint64_t seed; /* of this policy, from which r began */
    struct eg_random *r;
    const struct eg_random_policy *p;
    const struct eg_policy *policy;
    unsigned requests; /* how many should be tried */
    struct eg_property_count *count;
};
/* Calls try_one for random policies; each has a seed of its own, which follow from this one: with policies 1 and its own seed one comes again. */
void eg_property_each(uint64_t seed, unsigned policies, unsigned requests,
                      struct eg_property_count *count,
                      void (*try_one)(const struct eg_property *t));
/* Counts one that failed and shows the first few: what, the request where there is one, and the policy. True: it was shown, and more may be. */
bool eg_property_fail(const struct eg_property *t, const struct eg_random_request *request,
                      const char *what);

/* The compiled engine says what the naive evaluator says. */
void eg_property_engine(uint64_t seed, unsigned policies, unsigned requests,
                        struct eg_property_count *count);
/* What no policy may break: the order of rules means nothing, nor which trusted file says one, a deny rule more lets nothing more through, and what explain proposes for a refusal
 * allows it. */
void eg_property_laws(uint64_t seed, unsigned policies, unsigned requests,
                      struct eg_property_count *count);

/* Policies in pairs, most of them nearly equal: where one of the requests tells the two apart, the comparison has reported a change; and what it reports
 * as an example is answered differently by the two. Here `allowed` counts pairs without a change, `refused` those with one, and `observed` changes that
 * only may be. */
void eg_property_diff(uint64_t seed, unsigned pairs, unsigned requests,
                      struct eg_property_count *count);

#endif
