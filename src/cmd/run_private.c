/* run_private.c - how a credential is kept from the child of `run` when its file is replaced, and
 * when the environment holds a copy of it.
 *
 * A cover over a file is one over that very file: the kernel takes it off in every mount namespace as
 * soon as the file is removed or another is renamed over it, and the new one stands open. A cover over
 * its folder stays. So where the folder holds nothing but private files, all of it is covered; elsewhere
 * the child needs the folder, and whoever started it is told. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/run.h"
#include "cmd/state.h"

enum { OTHERS = S_IRWXG | S_IRWXO, COPY_MIN = 8 };

/* ---- its file ---- */

/* Regular files that only their owner may use, and no folder. */
static bool private_files(const char *folder)
{
    bool only = true;
    const struct dirent *d;
    DIR *list = opendir(folder);
    if (!list)
        return false;
    while (only && (d = readdir(list))) {
        struct stat st;
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        only = fstatat(dirfd(list), d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
               S_ISREG(st.st_mode) && !(st.st_mode & OTHERS);
    }
    closedir(list);
    return only;
}

static bool same(const char *path, const struct stat *st)
{
    struct stat other;
    return path && stat(path, &other) == 0 && other.st_dev == st->st_dev &&
           other.st_ino == st->st_ino;
}

bool eg_run_private_folder(const char *file, const char *home, char *folder)
{
    char name[PATH_MAX];
    struct stat st;
    const char *slash = strrchr(file, '/');
    if (!slash || slash == file || (size_t)(slash - file) >= sizeof name)
        return false;
    memcpy(name, file, (size_t)(slash - file));
    name[slash - file] = '\0';
    return realpath(name, folder) && stat(folder, &st) == 0 && !(st.st_mode & OTHERS) &&
           !same(home, &st) && !same(".", &st) && private_files(folder);
}

bool eg_run_replaceable(const char *file, uid_t child)
{
    struct stat st;
    return geteuid() == child || (stat(file, &st) == 0 && st.st_uid == child);
}

/* ---- copies of it ---- */

static enum eg_status look_in(void *ctx, const unsigned char *p, size_t n)
{
    const char *text = ctx;
    return n >= COPY_MIN && memmem(text, strlen(text), p, n) ? EG_OK : EG_NOT_FOUND;
}

static bool holds(const struct eg_secret *secret, const char *text)
{
    return secret && eg_secret_lend(secret, look_in, (void *)(uintptr_t)text) == EG_OK;
}

bool eg_supervisor_holds_secret(const struct eg_supervisor *s, const char *text)
{
    bool found = false;
    for (unsigned i = 0; i < s->creds->count && !found; i++) {
        const struct eg_sup_credential *e = &s->creds->list[i];
        found = holds(e->secret, text);
        for (unsigned k = 0; k < e->field_count && !found; k++)
            found = holds(e->fields[k].secret, text);
    }
    return found;
}
