/* run_janitor.h - a small process that outlives the launcher of `run` if that is killed, and removes what it would have removed. */
#ifndef EG_CMD_RUN_JANITOR_H
#define EG_CMD_RUN_JANITOR_H

#include <sys/types.h>

#include "base/err.h"

struct eg_run;

struct eg_run_janitor {
    pid_t pid; /* 0: there is none */
    int line;  /* it hears our end by it */
};

/* Forks it. r: its places, files and child are there; no secret is read yet, and the environment is wiped. EG_IO. */
enum eg_status eg_run_janitor_start(struct eg_run_janitor *j, struct eg_run *r, struct eg_err *err) EG_MUST_USE;
/* All is removed: it ends, and is waited for. All zero is fine. */
void eg_run_janitor_end(struct eg_run_janitor *j);

#endif
