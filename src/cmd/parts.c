/* parts.c - files that policy files extend.
 *
 * Where who wrote the naming file is not trusted, each folder on the way is opened by itself and no symbolic link is followed: its lines would be shown
 * in messages, and a link could be put there between a look and the use. */
#include "cmd/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/files.h"
#include "cmd/load.h"

enum { PART_MAX = (4 << 20) + 4096 }; /* the compiler takes 4 MiB, and says so of more */

static enum eg_status failed(const char *path, struct eg_err *err)
{
    if (errno == ELOOP || errno == EMLINK)
        return eg_err_set(err, EG_PERMISSION, "file", 0, "%.120s is a symbolic link", path);
    return eg_err_set(err, errno == ENOENT || errno == ENOTDIR ? EG_NOT_FOUND : EG_IO, "file",
                      errno, "%.120s", path);
}

/* Is it a link? O_DIRECTORY | O_NOFOLLOW says ENOTDIR of one. */
static bool is_link(int folder, const char *name)
{
    struct stat st;
    int error = errno;
    bool yes = fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
    errno = yes ? ELOOP : error;
    return yes;
}

/* A descriptor of the file, or -1 with errno. below is the end of path. */
static int open_below(const char *path, const char *below)
{
    char part[PATH_MAX];
    size_t n = (size_t)(below - path);
    if (strlen(path) >= sizeof part) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(part, path, n);
    part[n] = '\0';
    int folder = open(n > 0 ? part : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (folder >= 0) {
        size_t k = strcspn(below, "/");
        bool last = below[k] == '\0';
        memcpy(part, below, k);
        part[k] = '\0';
        int next = openat(folder, part,
                          O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY |
                              (last ? 0 : O_DIRECTORY));
        if (next < 0)
            (void)is_link(folder, part);
        int error = errno;
        close(folder);
        errno = error;
        if (last)
            return next;
        folder = next;
        below += k + 1;
    }
    return -1;
}

static enum eg_status read_below(const char *path, const char *below, struct eg_buf *out,
                                 struct eg_err *err)
{
    int fd = open_below(path, below);
    if (fd < 0)
        return failed(path, err);
    enum eg_status status = eg_file_take(fd, path, out, NULL, err);
    close(fd);
    return status == EG_PERMISSION ? EG_IO : status;
}

static struct eg_part *new_part(struct eg_parts *p, const char *path)
{
    struct eg_part *list = realloc(p->list, (p->count + 1) * sizeof *list);
    char *copy = strdup(path);
    if (list)
        p->list = list;
    if (!list || !copy) {
        free(copy);
        return NULL;
    }
    list[p->count].path = copy;
    eg_buf_init(&list[p->count].text, PART_MAX);
    return &list[p->count++];
}

enum eg_status eg_parts_read(void *ctx, const char *path, const char *below, struct eg_slice *text,
                             struct eg_err *err)
{
    struct eg_parts *p = ctx;
    struct eg_part *part = new_part(p, path);
    if (!part)
        return EG_NOMEM;
    enum eg_status status = p->revision && strncmp(path, p->revision, strlen(p->revision)) == 0
                                ? eg_load_git(path, &part->text, err)
                            : below ? read_below(path, below, &part->text, err)
                                    : eg_file_read(path, &part->text, NULL, err);
    if (status == EG_OK)
        *text = eg_buf_slice(&part->text);
    return status;
}

void eg_parts_done(struct eg_parts *p)
{
    for (unsigned i = 0; i < p->count; i++) {
        free(p->list[i].path);
        eg_buf_done(&p->list[i].text);
    }
    free(p->list);
    *p = (struct eg_parts){ 0 };
}
