/* place.h - what is at a path, asked of the kernel once for a folder: the paths of a child's lists have most of their folders in common. */
#ifndef EG_LAUNCH_PLACE_H
#define EG_LAUNCH_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct eg_place {
    mode_t mode;
    uid_t uid;
    uint64_t mount; /* its number; 0: not known */
};

enum { EG_PLACE_FOLDERS = 128 }; /* more are asked for each time */

struct eg_place_folder {
    char *path;
    size_t n;
    struct eg_place is;
    signed char writable; /* -1: not asked yet */
    bool held;            /* a mount point: it can't be renamed */
};

struct eg_places { /* all zero: nothing is known */
    struct eg_place_folder list[EG_PLACE_FOLDERS];
    unsigned count;
};

/* What is there, a link itself where it is one. false, with errno: it can't be reached. */
bool eg_place_look(struct eg_places *p, const char *path, struct eg_place *ret);
/* May this process write to it, or give itself the right to? path is no link. */
bool eg_place_changeable(struct eg_places *p, const char *path);
/* May it write to it? As it was when it was first asked. */
bool eg_place_writable(struct eg_places *p, const char *path);
/* Is the folder a mount point? eg_place_held: it has become one. */
bool eg_place_is_held(struct eg_places *p, const char *path);
void eg_place_held(struct eg_places *p, const char *path);
void eg_places_done(struct eg_places *p);

#endif
