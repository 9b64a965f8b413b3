/* run_changes.h - what the child of `run` changed of those paths that only mounts could have kept
 * from it. */
#ifndef EG_CMD_RUN_CHANGES_H
#define EG_CMD_RUN_CHANGES_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct eg_run_change {
    char *path;
    uint64_t before; /* what tells a change; 0: it is not there */
};
struct eg_run_changes { /* all zero: empty */
    struct eg_run_change *list;
    unsigned count;
};

/* Remembers how those paths are; a folder with the entries that it has. EG_NOMEM. */
enum eg_status eg_run_changes_begin(struct eg_run_changes *c, const char *const *paths,
                                    unsigned count) EG_MUST_USE;
/* Appends one line for each that is another one now, after `before`. EG_NOMEM, EG_TOO_BIG. */
enum eg_status eg_run_changes_say(const struct eg_run_changes *c, const char *before,
                                  struct eg_buf *out) EG_MUST_USE;
void eg_run_changes_done(struct eg_run_changes *c);

#endif
