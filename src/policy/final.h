/* final.h - what the org layer keeps for itself. Internal to the room. */
#ifndef EG_POLICY_FINAL_H
#define EG_POLICY_FINAL_H

#include "policy/extends.h"

/* Refuses what lower layers, or options of the command line, set of the keys that the org layer calls final, and `final` in any other layer. The trees
 * are checked; what is refused becomes bad. */
void eg_final_apply(struct eg_sources *s, const struct eg_policy_reader *reader,
                    struct eg_diags *diags);

#endif
