/* run_changes.c - tells after a run without namespaces what of git's and of the policy was changed
 * meanwhile: Landlock can't keep one name in a folder that the child works in, so the person must
 * look before git, or the next run, uses it. It tells by the time of the last change of a file, which
 * no child can set; it does not tell who made the change, and a folder is looked at one level deep. */
#include "cmd/run_changes.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
    const unsigned char *b = p;
    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * UINT64_C(0x100000001b3); /* FNV-1a: nobody gains by a collision's luck */
    return h;
}

static uint64_t mix_file(uint64_t h, const struct stat *st)
{
    const uint64_t what[] = { st->st_dev,
                              st->st_ino,
                              st->st_mode,
                              (uint64_t)st->st_size,
                              (uint64_t)st->st_ctim.tv_sec,
                              (uint64_t)st->st_ctim.tv_nsec };
    return mix(h, what, sizeof what);
}

/* Entries come in any order: their sum has none. */
static uint64_t entries(const char *folder)
{
    const struct dirent *d;
    struct stat st;
    uint64_t sum = 0;
    DIR *list = opendir(folder);
    while (list && (d = readdir(list)))
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0 &&
            fstatat(dirfd(list), d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            sum += mix_file(mix(UINT64_C(0xcbf29ce484222325), d->d_name, strlen(d->d_name)), &st);
    if (list)
        closedir(list);
    return sum;
}

static uint64_t look(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return 0;
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    if (!S_ISDIR(st.st_mode))
        return mix_file(h, &st) | 1;
    uint64_t sum = entries(path);
    return mix(h, &sum, sizeof sum) | 1;
}

enum eg_status eg_run_changes_begin(struct eg_run_changes *c, const char *const *paths,
                                    unsigned count)
{
    c->count = 0;
    c->list = calloc(count + 1, sizeof *c->list);
    for (unsigned i = 0; c->list && i < count; i++) {
        char *copy = strdup(paths[i]);
        if (!copy)
            return EG_NOMEM;
        c->list[c->count++] = (struct eg_run_change){ copy, look(copy) };
    }
    return c->list ? EG_OK : EG_NOMEM;
}

enum eg_status eg_run_changes_say(const struct eg_run_changes *c, const char *before,
                                  struct eg_buf *out)
{
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < c->count && status == EG_OK; i++)
        if (look(c->list[i].path) != c->list[i].before)
            status = eg_buf_printf(out,
                                   "%s%s was changed meanwhile, and runs or counts outside of the "
                                   "sandbox: look at it before you go on\n",
                                   before, c->list[i].path);
    return status;
}

void eg_run_changes_done(struct eg_run_changes *c)
{
    for (unsigned i = 0; i < c->count; i++)
        free(c->list[i].path);
    free(c->list);
    *c = (struct eg_run_changes){ 0 };
}
