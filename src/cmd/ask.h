/* ask.h - what the commands share that ask a policy and start nothing. */
#ifndef EG_CMD_ASK_H
#define EG_CMD_ASK_H

#include "cmd/load.h"
#include "cmd/options.h"

/* Diagnostics as people read them, on stderr. */
void eg_cmd_diags(const struct eg_diags *d);
/* The files that `run` would take (file: -p, may be NULL; trust: --trust), compiled; diagnostics are on stderr. -1 with *ret (eg_loaded_free), whose
 * policy is there, or the exit status after a message: 3 where there is no policy or it is not valid, 6 where what is wrong is a lack of trust or the
 * org layer's word alone. */
int eg_cmd_policy(const char *command, const char *file, bool trust, struct eg_loaded **ret);

#endif
