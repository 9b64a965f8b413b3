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
    struct eg_run_user user; /* who the command is */
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
    struct eg_err left; /* of its files, at the end */
};

static inline bool eg_run_enforced(const struct eg_run *r)
{
    return eg_launch_enforcement(r->child) != EG_ENFORCE_NONE;
}

/* run_go.c: what the command must not see or change, which is seen to while the proxy is started. As eg_launch_cover. */
enum eg_status eg_run_cover(struct eg_run *r, struct eg_err *err) EG_MUST_USE;
/* Makes the command's files and environment, and lets it go. Statuses of eg_launch_go. */
enum eg_status eg_run_let_go(struct eg_run *r, const struct eg_session_info *session, struct eg_err *err) EG_MUST_USE;
/* run_summary.c: to stderr. The exit status; own is the command's. */
int eg_run_summarise(const struct eg_run *r, int own);

#endif
