/* tested.h - a row of a decision table as an entry of `tests`: for eg_policy_test, and as YAML for `egressctl policy test`. */
#ifndef EG_TESTS_VECTORS_TESTED_H
#define EG_TESTS_VECTORS_TESTED_H

#include "policy/tests.h"
#include "support/vectors.h"
#include "vectors/blocks.h"

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

/* ---- `egressctl policy test`: one process for each set of blocks ---- */

enum { EG_TESTED_GROUPS = 128 };
struct eg_tested_groups {
    struct eg_tested_group { /* the rows of one set of blocks, as tests */
        char names[96];
        struct eg_buf yaml;
        unsigned count;
    } list[EG_TESTED_GROUPS];
    unsigned count;
    unsigned rows; /* of all groups */
};
/* Notes the row for these blocks. */
void eg_tested_note(struct eg_tested_groups *groups, struct eg_slice names, const struct eg_tested *tested);
/* Runs them, and frees what was noted. The last block of a group is the file, one before it can be the user's; the organisation's file has a fixed place, so what has one is asked in
 * this process alone. Returns how many sets of blocks did not pass as a whole, after their messages. */
unsigned eg_tested_run(struct eg_tested_groups *groups, const struct eg_blocks *blocks);

#endif
