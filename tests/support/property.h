/* property.h - what holds for every policy and every request, tried on random ones. Failures are shown on stderr with all that is needed to see them again.
 * It knows nothing of Criterion. */
#ifndef EG_TESTS_SUPPORT_PROPERTY_H
#define EG_TESTS_SUPPORT_PROPERTY_H

#include <stdint.h>

/* How the requests were answered: a property that only ever saw refusals would show little. */
struct eg_property_count {
    unsigned long pairs, allowed, refused, observed, failed;
};

/* The compiled engine says what the naive evaluator says. Each policy has a seed of its own, which follow from this one. */
void eg_property_engine(uint64_t seed, unsigned policies, unsigned requests,
                        struct eg_property_count *count);

/* What no policy may break: the order of rules means nothing, a deny rule more lets nothing more through, and what explain proposes for a refusal
 * allows it. */
void eg_property_laws(uint64_t seed, unsigned policies, unsigned requests,
                      struct eg_property_count *count);

#endif
