/* check.h - types a tree by the schema. Internal to the room. */
#ifndef EG_POLICY_CHECK_H
#define EG_POLICY_CHECK_H

#include "policy/yaml.h"

/* Types every node of the tree and reports what the schema does not know, what is reserved, what an untrusted file may not contain and
 * what has the wrong type; such nodes become `bad`. EG_OK always: the diagnostics tell. */
void eg_check_tree(struct eg_yaml *root, const struct eg_source *source, struct eg_diags *diags);

/* "10s" and the like to milliseconds, "64KiB" and the like to bytes; false for anything else, 0 included. */
bool eg_check_duration(struct eg_slice text, uint64_t *ret);
bool eg_check_size(struct eg_slice text, uint64_t *ret);

/* The line that every untrusted-key error ends with; the file's name takes the place of FILE when it is added. */
#define EG_TRUST_FIX(file)                                                                         \
    "after review, `egressctl trust " file                                                         \
    "` trusts this very content; `--trust` trusts it for one run"
extern const char eg_trust_fix[];

#endif
