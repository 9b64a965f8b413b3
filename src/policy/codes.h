/* codes.h - every code that a problem of a policy can have, in one table: what `egressctl help CODE` prints, and what SARIF lists as rules.
 *
 * Codes are stable: scripts and ignore lists name them. A test compiles each example and expects its code, and looks for every code that the
 * room's sources name. */
#ifndef EG_POLICY_CODES_H
#define EG_POLICY_CODES_H

#include "policy/compile.h"

struct eg_code {
    const char *name;
    enum eg_severity severity; /* what it mostly is; its text says where it is the other */
    const char *about;         /* one sentence without a full stop */
    const char
        *page; /* why it is so and what to do; paragraphs end with a newline but for the last */
    const char *example; /* a whole policy that has this problem; NULL: none is short enough */
    const char *instead; /* one that has no problem; NULL: none */
    enum eg_layer layer; /* of the example; 0: EG_LAYER_REPO */
    bool untrusted;      /* the example's file is not trusted */
};

/* The i-th row in the order of the names; NULL behind the last. Static storage. */
const struct eg_code *eg_code_each(unsigned i);
/* NULL: there is no such code. */
const struct eg_code *eg_code_find(const char *name);

#endif
