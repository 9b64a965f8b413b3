/* run_state.h - one run, for the files that make it: run.c, which begins and ends it, and run_go.c,
 * which lets its command go. */
#ifndef EG_CMD_RUN_STATE_H
#define EG_CMD_RUN_STATE_H

#include "cmd/run.h"
#include "cmd/run_changes.h"
#include "cmd/run_janitor.h"
#include "cmd/run_shell.h"

struct eg_run {
    struct eg_run_asked asked;
    struct eg_run_places places;
    struct eg_run_files files;
    struct eg_run_made made;
    struct eg_run_changes changes; /* of what only mounts keep */
    struct eg_run_shell shell; /* of `egressctl shell` */
    struct eg_launch *child;
    struct eg_run_janitor janitor;
    struct eg_environ *environment;
    struct eg_supervisor *supervisor;
    struct eg_watch watch; /* the child's init, about its terminal */
    bool ended;
    int wait_status;
};

static inline bool eg_run_enforced(const struct eg_run *r)
{
    return eg_launch_enforcement(r->child) != EG_ENFORCE_NONE;
}

/* run_go.c: makes the command's files, environment and list of paths, and lets it go. Statuses of eg_launch_go. */
enum eg_status eg_run_let_go(struct eg_run *r, const struct eg_session_info *session, struct eg_err *err) EG_MUST_USE;

#endif
