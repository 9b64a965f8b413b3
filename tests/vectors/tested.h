/* tested.h - a row of a decision table as an entry of `tests`: for eg_policy_test, and as YAML for `egressctl policy test`. */
#ifndef EG_TESTS_VECTORS_TESTED_H
#define EG_TESTS_VECTORS_TESTED_H

#include "policy/tests.h"
#include "support/vectors.h"

struct eg_tested {
    struct eg_policy_test t;
    char first[320], request[1000], address[64], rule[96], reason[40], service[80];
};

/* question, answer and line: cells of the row; file: the name of the block that line is of; empty cells are empty texts. False: it can't be asked by a test, since its
 * method is not in capitals or there is no such service. */
bool eg_tested_read(const struct eg_policy *p, const char *question, const char *answer, const char *file,
                    const char *line, struct eg_tested *ret);
/* Why the policy does not answer as the row says, or NULL; also when it would pass if it expected something else. In a static buffer. */
const char *eg_tested_fault(const struct eg_policy *p, const struct eg_tested *tested);
/* Appends "  - {connect: ...}\n". */
enum eg_status eg_tested_yaml(const struct eg_tested *tested, struct eg_buf *out) EG_MUST_USE;

#endif
