/* place.c - asks the kernel what is at a path, and keeps the answer for folders. It is for the short time in which lists are
 * looked through and mounts are made of them: what somebody else changes meanwhile may be missed, as it may without. */
#include "launch/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct eg_place_folder *known(struct eg_places *p, const char *path)
{
    size_t n = strlen(path);
    for (unsigned i = 0; i < p->count; i++)
        if (p->list[i].n == n && memcmp(p->list[i].path, path, n) == 0)
            return &p->list[i];
    return NULL;
}

/* NULL: there is no room, or no folder. */
static struct eg_place_folder *keep(struct eg_places *p, const char *path, const struct eg_place *is)
{
    char *copy = S_ISDIR(is->mode) && p->count < EG_PLACE_FOLDERS ? strdup(path) : NULL;
    if (!copy)
        return NULL;
    p->list[p->count] = (struct eg_place_folder){
        .path = copy, .n = strlen(copy), .is = *is, .writable = -1
    };
    return &p->list[p->count++];
}

bool eg_place_look(struct eg_places *p, const char *path, struct eg_place *ret)
{
    struct statx st;
    struct eg_place_folder *f = known(p, path);
    if (f) {
        *ret = f->is;
        return true;
    }
    if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
              STATX_TYPE | STATX_UID | STATX_MNT_ID, &st) < 0)
        return false;
    *ret = (struct eg_place){ .mode = st.stx_mode,
                              .uid = st.stx_uid,
                              .mount = st.stx_mask & STATX_MNT_ID ? st.stx_mnt_id : 0 };
    f = keep(p, path, ret);
    if (f)
        f->held = st.stx_attributes & STATX_ATTR_MOUNT_ROOT;
    return true;
}

bool eg_place_writable(struct eg_places *p, const char *path)
{
    struct eg_place is;
    struct eg_place_folder *f = eg_place_look(p, path, &is) ? known(p, path) : NULL;
    if (!f)
        return access(path, W_OK) == 0;
    if (f->writable < 0)
        f->writable = access(path, W_OK) == 0;
    return f->writable;
}

bool eg_place_changeable(struct eg_places *p, const char *path)
{
    struct eg_place is;
    return (eg_place_look(p, path, &is) && is.uid == geteuid()) || eg_place_writable(p, path);
}

bool eg_place_is_held(struct eg_places *p, const char *path)
{
    struct statx st;
    struct eg_place is;
    const struct eg_place_folder *f = eg_place_look(p, path, &is) ? known(p, path) : NULL;
    if (f)
        return f->held;
    return statx(AT_FDCWD, path, AT_NO_AUTOMOUNT, STATX_TYPE, &st) == 0 &&
           st.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

void eg_place_held(struct eg_places *p, const char *path)
{
    struct eg_place_folder *f = known(p, path);
    if (f)
        f->held = true;
}

void eg_places_done(struct eg_places *p)
{
    for (unsigned i = 0; i < p->count; i++)
        free(p->list[i].path);
    p->count = 0;
}
