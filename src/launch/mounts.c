/* mounts.c - the child's view of the file system: its own /proc, credentials and runtime folders
 * covered, what it could use to give itself rights at the next start read-only. It runs in init,
 * which still holds capabilities over its own mount namespace and is the child's user already:
 * what it can't reach, the child can't either. Mounts of the host are not touched (private). */
#include "launch/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launch/devices.h"
#include "launch/marks.h"

static enum eg_status failed(const char *what, struct eg_err *err)
{
    return eg_err_set(err, EG_IO, "launch", errno, "%s failed in the child's mount namespace",
                      what);
}

/* A proc of our own is refused where the host's is partly hidden, as containers do. */
enum eg_status eg_mounts_begin(struct eg_err *err)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return eg_namespace_refused(errno, "a private mount namespace", err);
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return eg_namespace_refused(errno, "mounting the child's own /proc", err);
    return eg_devices_private(err);
}

static int read_only(const char *path)
{
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
    return mount_setattr(AT_FDCWD, path, AT_RECURSIVE, &attr, sizeof attr);
}

/* A folder that is a mount point can't be renamed: without this, the child would move a parent
 * of a read-only folder, or of a file that we write a new token to, away and put its own in its
 * place. Only where it may write to the folder above. */
static enum eg_status pin_parents(struct eg_places *p, const char *path, struct eg_err *err)
{
    char part[PATH_MAX];
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        char *last = strrchr(part, '/');
        *last = '\0';
        bool writable = eg_place_writable(p, last == part ? "/" : part);
        *last = '/';
        if (!writable || eg_place_is_held(p, part))
            continue;
        if (mount(part, part, NULL, MS_BIND | MS_REC, NULL) < 0)
            return failed("pinning a folder", err);
        eg_place_held(p, part);
    }
    return EG_OK;
}

static enum eg_status protect(struct eg_places *p, const struct eg_mark *m, struct eg_err *err)
{
    if (m->kind == EG_MARK_HELD || m->folder) {
        enum eg_status status = pin_parents(p, m->path, err);
        if (status != EG_OK)
            return status;
    }
    if (mount(m->path, m->path, NULL, MS_BIND | MS_REC, NULL) < 0 || read_only(m->path) < 0)
        return failed("making a path read-only", err);
    eg_place_held(p, m->path);
    return EG_OK;
}

/* empty: a file of mode 000 to bind over files. Folders get a new, empty one of their own. */
static enum eg_status cover(struct eg_places *p, const struct eg_mark *m, const char *empty,
                            struct eg_err *err)
{
    const char *path = m->path;
    enum eg_status status = pin_parents(p, path, err);
    if (status != EG_OK)
        return status;
    if (m->folder) {
        if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700,size=16m,nr_inodes=4k") <
            0)
            return failed("covering a folder", err);
        return EG_OK;
    }
    if (mount(empty, path, NULL, MS_BIND, NULL) < 0 || read_only(path) < 0)
        return failed("covering a file", err);
    return EG_OK;
}

/* A link that the child could replace is bound over itself: it leads where it led, and what is a
 * mount point can be neither removed nor renamed. mount(2) would follow it. */
static enum eg_status fix_link(struct eg_places *p, const char *link, struct eg_err *err)
{
    enum eg_status status = pin_parents(p, link, err);
    if (status != EG_OK)
        return status;
    int tree =
        open_tree(AT_FDCWD, link, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
    if (tree < 0 || move_mount(tree, "", AT_FDCWD, link, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        status = failed("holding a link", err);
    if (tree >= 0)
        close(tree);
    return status;
}

/* Other mounts of a proc (of chroots) would show the host's processes. The list's fields are
 * those of proc_pid_mountinfo(5). */
static enum eg_status other_procs(struct eg_buf *paths, struct eg_err *err)
{
    char *line = NULL;
    size_t cap = 0;
    enum eg_status status = EG_OK;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    if (!f)
        return failed("reading the list of mounts", err);
    while (status == EG_OK && getline(&line, &cap, f) > 0) {
        char point[PATH_MAX];
        const char *dash = strstr(line, " - ");
        if (!dash || strncmp(dash, " - proc ", 8) != 0 ||
            sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1)
            continue;
        if (strcmp(point, "/proc") != 0 && strncmp(point, "/proc/", 6) != 0)
            status = eg_buf_append(paths, point, strlen(point) + 1);
    }
    free(line);
    fclose(f);
    return status;
}

static enum eg_status mark_list(struct eg_marks *marks, char *const *paths, enum eg_mark_kind kind,
                                struct eg_err *err)
{
    enum eg_status status = EG_OK;
    for (; *paths && status == EG_OK; paths++)
        status = eg_marks_add(marks, *paths, kind, err);
    return status;
}

enum eg_status eg_mounts_look(struct eg_buf *found, struct eg_err *err)
{
    enum eg_status status = other_procs(found, err);
    return status == EG_OK ? eg_devices_consoles(found, err) : status;
}

/* All of them before the first mount: from then on the paths are no longer the host's. */
static enum eg_status mark_all(const struct eg_go *go, struct eg_slice found, struct eg_marks *marks,
                               struct eg_err *err)
{
    enum eg_status status = mark_list(marks, go->read_only, EG_MARK_READ, err);
    if (status == EG_OK)
        status = mark_list(marks, go->programs, EG_MARK_PROGRAM, err);
    if (status == EG_OK)
        status = mark_list(marks, go->held, EG_MARK_HELD, err);
    if (status == EG_OK)
        status = mark_list(marks, go->covered, EG_MARK_COVERED, err);
    if (status == EG_OK)
        status = mark_list(marks, go->sockets, EG_MARK_COVERED, err);
    for (size_t i = 0; status == EG_OK && i < found.n; i += strlen(found.p + i) + 1)
        status = eg_marks_add(marks, found.p + i, EG_MARK_COVERED, err);
    return status;
}

/* What is beneath a cover is gone. */
static bool hidden(const struct eg_marks *marks, const char *path)
{
    for (unsigned i = 0; i < marks->count; i++) {
        const struct eg_mark *m = &marks->list[i];
        size_t n = strlen(m->path);
        if (m->kind == EG_MARK_COVERED && strncmp(path, m->path, n) == 0 && path[n] == '/')
            return true;
    }
    return false;
}

/* Covers need a file system to take the empty file from, and one place that is sure to exist:
 * /proc, hidden for a moment. */
static enum eg_status cover_all(struct eg_marks *marks, struct eg_err *err)
{
    static const char empty[] = "/proc/covered";
    enum eg_status status = EG_OK;
    if (mount("tmpfs", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "mode=0700,size=64k,nr_inodes=16") < 0)
        return failed("a temporary file system", err);
    int fd = open(empty, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return failed("an empty file", err);
    close(fd);
    for (unsigned i = 0; i < marks->count && status == EG_OK; i++)
        if (marks->list[i].kind == EG_MARK_COVERED && !hidden(marks, marks->list[i].path))
            status = cover(&marks->places, &marks->list[i], empty, err);
    if (umount2("/proc", MNT_DETACH) < 0 && status == EG_OK)
        status = failed("uncovering /proc", err);
    return status;
}

static enum eg_status mount_all(struct eg_marks *marks, struct eg_err *err)
{
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < marks->count && status == EG_OK; i++) {
        const struct eg_mark *m = &marks->list[i];
        if ((m->kind == EG_MARK_READ || m->kind == EG_MARK_HELD) &&
            eg_marks_on(marks, m->path)->kind == m->kind)
            status = protect(&marks->places, m, err);
    }
    if (status == EG_OK)
        status = cover_all(marks, err);
    for (unsigned i = 0; i < marks->count && status == EG_OK; i++)
        if (marks->list[i].kind == EG_MARK_LINK && !hidden(marks, marks->list[i].path))
            status = fix_link(&marks->places, marks->list[i].path, err);
    return status;
}

enum eg_status eg_mounts_apply(const struct eg_go *go, struct eg_slice found, struct eg_err *err)
{
    char cwd[PATH_MAX];
    struct eg_marks marks = { 0 };
    if (!getcwd(cwd, sizeof cwd))
        snprintf(cwd, sizeof cwd, "/");
    enum eg_status status = mark_all(go, found, &marks, err);
    if (status == EG_OK)
        status = mount_all(&marks, err);
    eg_marks_done(&marks);
    /* The old working folder still shows what lies under the new mounts: enter it again by name. */
    if (status == EG_OK && (cwd[0] != '/' || chdir(cwd) < 0) && chdir("/") < 0)
        status = failed("entering the working folder", err);
    return status;
}
