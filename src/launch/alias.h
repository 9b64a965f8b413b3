/* alias.h - other paths to the same file: folders that are mounted in more than one place. */
#ifndef EG_LAUNCH_ALIAS_H
#define EG_LAUNCH_ALIAS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct eg_alias_mount {
    uint64_t id;
    unsigned major, minor; /* of its file system */
    char *root, *point;    /* the folder of that file system, and where it is mounted */
};

struct eg_aliases { /* all zero: not read yet */
    struct eg_alias_mount *list;
    unsigned count, cap;
    bool read;
};

/* The mounts of this process' namespace; once. EG_IO, EG_NOMEM, EG_TOO_BIG. */
enum eg_status eg_aliases_read(struct eg_aliases *a, struct eg_err *err) EG_MUST_USE;
/* The next path from *at on at which path (absolute, without links, on the mount of that number), or a
 * part of what is below it, can be reached too; *at begins at 0. false: no more. */
bool eg_aliases_next(const struct eg_aliases *a, const char *path, uint64_t mount, unsigned *at,
                     char out[PATH_MAX]);
void eg_aliases_done(struct eg_aliases *a);

#endif
