/* marks.c - finds where the paths of a child's lists really lead. It resolves them itself, name by
 * name: realpath(3) tells the end of a path, and the folders on the way matter as much, since a link
 * that can be replaced leads elsewhere tomorrow. It only looks; mounts.c and landlock.c act. */
#include "launch/marks.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EG_MARKS_MAX = 4096, EG_MARKS_LINKS = 40 };

static enum eg_status put(struct eg_marks *m, const char *path, enum eg_mark_kind kind, bool folder,
                          struct eg_err *err)
{
    const struct eg_mark *there = eg_marks_on(m, path);
    if (there && there->kind >= kind)
        return EG_OK;
    if (m->count == m->cap) {
        unsigned cap = m->cap ? m->cap * 2 : 64;
        struct eg_mark *grown =
            cap <= EG_MARKS_MAX ? realloc(m->list, cap * sizeof *grown) : NULL;
        if (!grown)
            return eg_err_set(err, cap > EG_MARKS_MAX ? EG_TOO_BIG : EG_NOMEM, "launch", 0,
                              "there are too many protected paths");
        m->list = grown;
        m->cap = cap;
    }
    char *copy = strdup(path);
    if (!copy)
        return eg_err_set(err, EG_NOMEM, "launch", 0, "out of memory");
    m->list[m->count++] = (struct eg_mark){ kind, copy, folder };
    return EG_OK;
}

const struct eg_mark *eg_marks_on(const struct eg_marks *m, const char *path)
{
    const struct eg_mark *found = NULL;
    for (unsigned i = 0; i < m->count; i++)
        if ((!found || m->list[i].kind > found->kind) && strcmp(m->list[i].path, path) == 0)
            found = &m->list[i];
    return found;
}

bool eg_marks_beneath(const struct eg_marks *m, const char *folder)
{
    size_t n = strcmp(folder, "/") == 0 ? 0 : strlen(folder);
    for (unsigned i = 0; i < m->count; i++)
        if (strncmp(m->list[i].path, folder, n) == 0 && m->list[i].path[n] == '/' &&
            m->list[i].path[n + 1])
            return true;
    return false;
}

void eg_marks_done(struct eg_marks *m)
{
    for (unsigned i = 0; i < m->count; i++)
        free(m->list[i].path);
    free(m->list);
    eg_aliases_done(&m->aliases);
    eg_places_done(&m->places);
    *m = (struct eg_marks){ 0 };
}

/* It, or a folder above it that could be renamed with all that is in it. is: what it is. */
static bool in_reach(struct eg_marks *m, const char *path, const struct eg_place *is)
{
    char part[PATH_MAX];
    if (is->uid == geteuid() || eg_place_writable(&m->places, path) ||
        eg_place_changeable(&m->places, "/"))
        return true;
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        if (eg_place_changeable(&m->places, part))
            return true;
    }
    return false;
}

/* A path on its way: `at` is done and without links, `left` is to be followed from there. */
struct eg_trail {
    char at[PATH_MAX], left[PATH_MAX];
    struct eg_place is; /* at */
    unsigned links;
};

static const char *folder_of(const struct eg_trail *t)
{
    return t->at[0] ? t->at : "/";
}

/* Takes the next name from what is left; false: that was all. */
static bool next_name(struct eg_trail *t, char name[NAME_MAX + 1])
{
    size_t start = strspn(t->left, "/"), n = strcspn(t->left + start, "/");
    if (n == 0 || n > NAME_MAX)
        return false;
    memcpy(name, t->left + start, n);
    name[n] = '\0';
    memmove(t->left, t->left + start + n, strlen(t->left + start + n) + 1);
    return true;
}

static bool follow(struct eg_trail *t, const char *link)
{
    char target[PATH_MAX], rest[PATH_MAX];
    ssize_t n = readlink(link, target, sizeof target - 1);
    if (n <= 0 || ++t->links > EG_MARKS_LINKS)
        return false;
    target[n] = '\0';
    memcpy(rest, t->left, sizeof rest);
    int k = snprintf(t->left, sizeof t->left, "%s/%s", target, rest);
    if (target[0] == '/')
        t->at[0] = '\0';
    return k > 0 && (size_t)k < sizeof t->left;
}

static enum eg_status freeze(struct eg_marks *m, const struct eg_trail *t, struct eg_err *err)
{
    return eg_place_changeable(&m->places, folder_of(t))
               ? put(m, folder_of(t), EG_MARK_FROZEN, true, err)
               : EG_OK;
}

/* Out of reach for the child as well, so there is nothing to protect. */
static enum eg_status unreachable(struct eg_marks *m, const struct eg_trail *t, struct eg_err *err)
{
    if (errno == ENOENT)
        return freeze(m, t, err);
    if (errno == ENOTDIR || errno == EACCES || errno == ELOOP || errno == ENAMETOOLONG)
        return EG_OK;
    return eg_err_set(err, EG_IO, "launch", errno, "a protected path can't be followed");
}

/* *ended: there is no more of the path, or no more to be reached. */
static enum eg_status step(struct eg_marks *m, struct eg_trail *t, const char *name, bool *ended,
                           struct eg_err *err)
{
    char next[PATH_MAX];
    struct eg_place is;
    enum eg_status status = EG_OK;
    if (strcmp(name, ".") == 0)
        return EG_OK;
    if (strcmp(name, "..") == 0) {
        char *last = strrchr(t->at, '/');
        if (last)
            *last = '\0';
        *ended = !eg_place_look(&m->places, folder_of(t), &t->is);
        return EG_OK;
    }
    int n = snprintf(next, sizeof next, "%s/%s", t->at, name);
    if (n < 0 || (size_t)n >= sizeof next)
        *ended = true;
    else if (!eg_place_look(&m->places, next, &is)) {
        *ended = true;
        status = unreachable(m, t, err);
    } else if (S_ISLNK(is.mode)) {
        status = freeze(m, t, err);
        if (status == EG_OK && eg_place_changeable(&m->places, folder_of(t)))
            status = put(m, next, EG_MARK_LINK, false, err);
        *ended = !follow(t, next) || !eg_place_look(&m->places, folder_of(t), &t->is);
    } else {
        memcpy(t->at, next, (size_t)n + 1);
        t->is = is;
    }
    return status;
}

static bool begin(struct eg_marks *m, struct eg_trail *t, const char *path)
{
    char cwd[PATH_MAX] = "";
    t->at[0] = '\0';
    t->links = 0;
    if (path[0] != '/' && !getcwd(cwd, sizeof cwd))
        return false;
    int n = snprintf(t->left, sizeof t->left, "%s/%s", cwd, path);
    return n > 0 && (size_t)n < sizeof t->left && eg_place_look(&m->places, "/", &t->is);
}

static enum eg_status put_all(struct eg_marks *m, const char *path, const struct eg_place *is,
                              enum eg_mark_kind kind, struct eg_err *err)
{
    char other[PATH_MAX];
    unsigned at = 0;
    bool folder = S_ISDIR(is->mode);
    enum eg_status status = put(m, path, kind, folder, err);
    if (status == EG_OK)
        status = eg_aliases_read(&m->aliases, err);
    while (status == EG_OK && eg_aliases_next(&m->aliases, path, is->mount, &at, other))
        status = put(m, other, kind, folder, err);
    return status;
}

enum eg_status eg_marks_add(struct eg_marks *m, const char *path, enum eg_mark_kind kind,
                            struct eg_err *err)
{
    struct eg_trail t;
    char name[NAME_MAX + 1];
    bool ended = !begin(m, &t, path);
    enum eg_status status = EG_OK;
    while (!ended && status == EG_OK && next_name(&t, name))
        status = step(m, &t, name, &ended, err);
    if (ended || status != EG_OK || (kind != EG_MARK_COVERED && !in_reach(m, folder_of(&t), &t.is)))
        return status;
    if (kind == EG_MARK_PROGRAM && !S_ISREG(t.is.mode))
        return EG_OK;
    return put_all(m, folder_of(&t), &t.is, kind == EG_MARK_PROGRAM ? EG_MARK_HELD : kind, err);
}

enum eg_status eg_marks_add_beside(struct eg_marks *m, const char *path, struct eg_err *err)
{
    char real[PATH_MAX], folder[PATH_MAX];
    if (!realpath(path, real))
        return EG_OK;
    snprintf(folder, sizeof folder, "%s", real);
    char *last = strrchr(folder, '/');
    *(last == folder ? last + 1 : last) = '\0';
    struct eg_place is;
    return eg_marks_beneath(m, folder) && eg_place_look(&m->places, real, &is)
               ? put(m, real, EG_MARK_READ, S_ISDIR(is.mode), err)
               : EG_OK;
}
