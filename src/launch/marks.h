/* marks.h - the places of the file system that a child may not change, or not see, by their true
 * paths. */
#ifndef EG_LAUNCH_MARKS_H
#define EG_LAUNCH_MARKS_H

#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"
#include "launch/alias.h"
#include "launch/place.h"

enum eg_mark_kind { /* the stronger, the later */
    EG_MARK_LINK,    /* a symbolic link on the way, which may not be replaced */
    EG_MARK_FROZEN,  /* a folder in which nothing may be made, removed or renamed */
    EG_MARK_READ,    /* to be read and executed, it and all beneath */
    EG_MARK_HELD,    /* that, and its path is to lead there whatever the child does */
    EG_MARK_COVERED, /* not to be opened */
    EG_MARK_PROGRAM  /* for eg_marks_add: held if it is a regular file, else nothing */
};

struct eg_mark {
    enum eg_mark_kind kind;
    char *path; /* absolute, no link in the folders of it; "/" is the only one that ends in a slash */
    bool folder;
};

struct eg_marks { /* all zero: empty */
    struct eg_mark *list;
    unsigned count, cap;
    struct eg_aliases aliases;
    struct eg_places places;
};

/* Follows path as the kernel would and marks where it ends; a folder that holds a link on the way,
 * or where the path ends for lack of a name, is frozen (and the link marked) if the calling process
 * may write there, since who can put another one there leads the path elsewhere. What the process
 * can't reach is passed over, and what it could not change in any way is only marked to be covered.
 * Other paths to the same file, by mounts, are marked too.
 * EG_NOMEM, EG_TOO_BIG, EG_IO. */
enum eg_status eg_marks_add(struct eg_marks *m, const char *path, enum eg_mark_kind kind,
                            struct eg_err *err) EG_MUST_USE;
/* EG_MARK_READ on where path leads, if marks stand beneath its folder already. The same errors. */
enum eg_status eg_marks_add_beside(struct eg_marks *m, const char *path,
                                   struct eg_err *err) EG_MUST_USE;
/* The strongest mark on that very path; NULL: none. */
const struct eg_mark *eg_marks_on(const struct eg_marks *m, const char *path);
/* Is there one beneath that folder? */
bool eg_marks_beneath(const struct eg_marks *m, const char *folder);
void eg_marks_done(struct eg_marks *m);

#endif
