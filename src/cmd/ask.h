/* ask.h - what the commands share that ask a policy and start nothing. */
#ifndef EG_CMD_ASK_H
#define EG_CMD_ASK_H

#include "cmd/options.h"
#include "cmd/state.h"

/* The files that `run` would take (file: -p, may be NULL; trust: --trust), compiled; diagnostics are on stderr. -1 with *ret, or the exit status
 * after a message: 3 where there is no policy or it is not valid. */
int eg_cmd_policy(const char *command, const char *file, bool trust, struct eg_sup_policy **ret);

#endif
