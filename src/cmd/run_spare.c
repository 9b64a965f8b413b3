/* run_spare.c - a small stock of empty files and folders below the state folder, which no child can
 * write to. What goes into it is empty, ours, of the mode that it was made with and without any
 * attribute, and it is looked at again when it is there: somebody may have written to it meanwhile,
 * and then it goes back. */
#include "cmd/run_spare.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { EG_SPARE_MAX = 64 };

static bool name(const struct eg_spare *s, bool folder, unsigned i, char out[PATH_MAX])
{
    int n = snprintf(out, PATH_MAX, "%s/%c%u", s->place, folder ? 'd' : 'f', i);
    return s->place[0] && n > 0 && n < PATH_MAX;
}

static bool move(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0;
}

static bool empty(const char *path)
{
    const struct dirent *d;
    bool found = false;
    DIR *list = opendir(path);
    if (!list)
        return false;
    while (!found && (d = readdir(list)))
        found = strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
    closedir(list);
    return !found;
}

static bool as_made(const char *path, bool folder)
{
    struct stat st;
    if (lstat(path, &st) < 0 || st.st_uid != geteuid() || llistxattr(path, NULL, 0) != 0)
        return false;
    return folder ? st.st_mode == (S_IFDIR | 0700) && empty(path)
                  : st.st_mode == (S_IFREG | 0600) && st.st_size == 0 && st.st_nlink == 1;
}

bool eg_spare_take(struct eg_spare *s, const char *path, bool folder)
{
    char from[PATH_MAX];
    unsigned *i = &s->taken[folder];
    for (; *i < EG_SPARE_MAX; (*i)++) {
        if (!name(s, folder, *i, from) || !as_made(from, folder))
            continue;
        if (move(from, path))
            return true;
        if (errno != ENOENT) /* something is there, or it is another file system */
            return false;
    }
    return false;
}

bool eg_spare_give(struct eg_spare *s, const char *path, bool folder)
{
    char to[PATH_MAX];
    unsigned *i = &s->given[folder];
    if (!s->place[0] || !as_made(path, folder))
        return false;
    for (; *i < EG_SPARE_MAX && name(s, folder, *i, to); (*i)++) {
        if (move(path, to))
            return as_made(to, folder) || !move(to, path);
        if (errno == ENOENT && mkdir(s->place, 0700) == 0)
            (*i)--; /* the first of all: once more */
        else if (errno != EEXIST)
            return false;
    }
    return false;
}
