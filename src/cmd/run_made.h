/* run_made.h - files and folders that `run` makes for the time of a run, so that what is not there
 * can be held too: a mount needs something to stand on, and a start-up file that is missing is as
 * good for the child as one that it can write to. */
#ifndef EG_CMD_RUN_MADE_H
#define EG_CMD_RUN_MADE_H

#include <limits.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "cmd/run_spare.h"

struct eg_run_made {
    int lock;            /* shared by all runs that use the same record; -1: nothing is made */
    char list[PATH_MAX]; /* the record of what was made */
    struct eg_spare spare;
    struct eg_buf asked; /* what is to be made now, as in the record */
    char looked[PATH_MAX]; /* the folder that was asked for last: it and those above it are there, or will be */
    uid_t uid;           /* whose it is to be */
    gid_t gid;
};

/* state: the folder of the record; empty: nothing will be made. Removes what runs that were killed
 * left, if no other run is on. EG_IO, EG_TOO_BIG. */
enum eg_status eg_run_made_begin(struct eg_run_made *m, const char *state, uid_t uid, gid_t gid,
                                 struct eg_err *err) EG_MUST_USE;
/* A file of that text, with the folders above it; what is there already stays as it is. */
enum eg_status eg_run_made_file(struct eg_run_made *m, const char *path,
                                const char *text) EG_MUST_USE;
enum eg_status eg_run_made_folder(struct eg_run_made *m, const char *path) EG_MUST_USE;
/* Makes all that was asked for, as that user. What can't be made by them can't be made by the child
 * either and is passed over; a full disk is EG_IO. */
enum eg_status eg_run_made_now(struct eg_run_made *m, struct eg_err *err) EG_MUST_USE;
/* Removes it all, unless another run is on, which then does so at its end. What somebody wrote to
 * stays. All zero and lock -1 are fine. */
void eg_run_made_end(struct eg_run_made *m);

#endif
