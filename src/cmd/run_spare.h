/* run_spare.h - empty files and folders that are kept from one run to the next: to move one costs a
 * tenth of making and removing it. */
#ifndef EG_CMD_RUN_SPARE_H
#define EG_CMD_RUN_SPARE_H

#include <limits.h>
#include <stdbool.h>

struct eg_spare {
    char place[PATH_MAX];           /* where they are; empty: none are kept */
    unsigned taken[2], given[2];    /* how far each walk over the names has come; [1]: folders */
};

/* Moves one to path, where nothing is. false: make it yourself. */
bool eg_spare_take(struct eg_spare *s, const char *path, bool folder);
/* Moves path, an empty file or folder as it was made, to the others. false: it is where it was. */
bool eg_spare_give(struct eg_spare *s, const char *path, bool folder);

#endif
