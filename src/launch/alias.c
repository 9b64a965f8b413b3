/* alias.c - finds bind mounts, and second mounts of a file system, from the list of mounts: a file
 * that is covered at one path stands open at the other else. The list's fields are those of
 * proc_pid_mountinfo(5). Mounts that another one hides are passed over by their number. */
#include "launch/alias.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { EG_ALIAS_MOUNTS = 1 << 16 };

/* Blanks and backslashes stand as three octal digits. In place. */
static void unescape(char *s)
{
    char *to = s;
    for (; *s; s++)
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
            *to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 3;
        } else {
            *to++ = *s;
        }
    *to = '\0';
}

static enum eg_status put(struct eg_aliases *a, const char *line)
{
    struct eg_alias_mount m = { .id = 0 };
    unsigned long long id;
    if (sscanf(line, "%llu %*u %u:%u %ms %ms", &id, &m.major, &m.minor, &m.root, &m.point) != 5) {
        free(m.root);
        return EG_OK;
    }
    m.id = id;
    unescape(m.root);
    unescape(m.point);
    if (a->count == a->cap) {
        unsigned cap = a->cap ? a->cap * 2 : 64;
        struct eg_alias_mount *grown =
            cap <= EG_ALIAS_MOUNTS ? realloc(a->list, cap * sizeof *grown) : NULL;
        if (!grown) {
            free(m.root);
            free(m.point);
            return cap > EG_ALIAS_MOUNTS ? EG_TOO_BIG : EG_NOMEM;
        }
        a->list = grown;
        a->cap = cap;
    }
    a->list[a->count++] = m;
    return EG_OK;
}

enum eg_status eg_aliases_read(struct eg_aliases *a, struct eg_err *err)
{
    char *line = NULL;
    size_t cap = 0;
    enum eg_status status = EG_OK;
    if (a->read)
        return EG_OK;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    if (!f)
        return eg_err_set(err, EG_IO, "launch", errno, "the list of mounts can't be read");
    while (status == EG_OK && getline(&line, &cap, f) > 0)
        status = put(a, line);
    free(line);
    fclose(f);
    a->read = status == EG_OK;
    return status == EG_OK
               ? status
               : eg_err_set(err, status, "launch", 0, "the list of mounts is too long");
}

void eg_aliases_done(struct eg_aliases *a)
{
    for (unsigned i = 0; i < a->count; i++) {
        free(a->list[i].root);
        free(a->list[i].point);
    }
    free(a->list);
    *a = (struct eg_aliases){ 0 };
}

/* What of path is beneath folder: "" or "/x"; NULL: it is not beneath. */
static const char *rest_of(const char *path, const char *folder)
{
    size_t n = strcmp(folder, "/") == 0 ? 0 : strlen(folder);
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0') ? path + n : NULL;
}

static uint64_t mount_of(const char *path)
{
    struct statx st;
    return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_MNT_ID, &st) == 0 &&
                   st.stx_mask & STATX_MNT_ID
               ? st.stx_mnt_id
               : 0;
}

static const struct eg_alias_mount *find(const struct eg_aliases *a, uint64_t id)
{
    for (unsigned i = 0; id && i < a->count; i++)
        if (a->list[i].id == id)
            return &a->list[i];
    return NULL;
}

static bool join(char out[PATH_MAX], const char *folder, const char *rest)
{
    int n = snprintf(out, PATH_MAX, "%s%s", strcmp(folder, "/") == 0 ? "" : folder,
                     strcmp(rest, "/") == 0 ? "" : rest);
    if (n == 0)
        n = snprintf(out, PATH_MAX, "/");
    return n > 0 && n < PATH_MAX;
}

bool eg_aliases_next(const struct eg_aliases *a, const char *path, uint64_t mount, unsigned *at,
                     char out[PATH_MAX])
{
    char inside[PATH_MAX]; /* the path as its file system has it */
    const struct eg_alias_mount *own = find(a, mount);
    const char *rest = own ? rest_of(path, own->point) : NULL;
    if (!rest || !join(inside, own->root, rest))
        return false;
    while (*at < a->count) {
        const struct eg_alias_mount *m = &a->list[(*at)++];
        if (m == own || m->major != own->major || m->minor != own->minor)
            continue;
        const char *below = rest_of(inside, m->root);
        bool found = below ? join(out, m->point, below)
                           : rest_of(m->root, inside) && join(out, m->point, "");
        if (found && mount_of(out) == m->id)
            return true;
    }
    return false;
}
