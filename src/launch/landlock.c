/* landlock.c - the file system of a child that has no mount namespace, by Landlock's allow-list: all
 * of it, but for what is covered, and for writing to what is read-only.
 *
 * A rule on a folder counts for all beneath it and nothing beneath takes it back. So a folder above
 * a protected path gets no rule but for being listed, and each of its entries beside that path gets
 * one of its own. The price: in such a folder (home, and those above the trust store) nothing can be
 * made, removed or renamed, an entry that comes later from the outside can't be opened, and the names
 * in covered folders can be listed. What Landlock does not know at all stays possible to the owner of
 * a file: its mode, times and attributes; and truncate(2) by name before ABI 3, which is the filter's. */
#include "launch/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "launch/marks.h"

/* Newer than Debian 12's headers, landlock(7). */
#define EG_LL_TRUNCATE        (UINT64_C(1) << 14) /* ABI 3 */
#define EG_LL_IOCTL_DEV       (UINT64_C(1) << 15) /* ABI 5 */
#define EG_LL_CONNECT_TCP     (UINT64_C(1) << 1)  /* ABI 4, of handled_access_net */
#define EG_LL_SCOPE_ABSTRACT  (UINT64_C(1) << 0)  /* ABI 6 */
#define EG_LL_SCOPE_SIGNAL    (UINT64_C(1) << 1)
#define EG_LL_VERSION         1U

#define EG_LL_READ                                                                                 \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define EG_LL_FILE                                                                                 \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |   \
     EG_LL_TRUNCATE | EG_LL_IOCTL_DEV)
#define EG_LL_DEVICE                                                                               \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_WRITE_FILE |  \
     EG_LL_IOCTL_DEV)
#define EG_LL_DEVICES_MADE (LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK)
/* ABI 1 has the bits below REFER. */
#define EG_LL_FIRST (LANDLOCK_ACCESS_FS_REFER - 1)

enum { EG_LL_ENTRIES = 1 << 17 };

struct eg_ll_attr {
    uint64_t fs, net, scoped;
};

struct eg_ll {
    const struct eg_marks *marks;
    int ruleset;
    uint64_t handled;
    unsigned entries;
    dev_t terminals[3];
    char path[PATH_MAX]; /* of where the walk is */
};

unsigned eg_landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, EG_LL_VERSION);
    return abi > 0 ? (unsigned)abi : 0;
}

static enum eg_status failed(const char *what, struct eg_err *err)
{
    return eg_err_set(err, EG_IO, "launch", errno, "Landlock: %s", what);
}

/* ---- rules ---- */

/* Where other rights count than those of the folder above. */
static uint64_t rights_of(const char *path, uint64_t above)
{
    static const struct {
        const char *path;
        uint64_t rights;
    } own[] = { { "/proc", EG_LL_READ },
                { "/sys", EG_LL_READ },
                { "/dev", EG_LL_DEVICE },
                { "/dev/shm", ~EG_LL_DEVICES_MADE } };
    for (unsigned i = 0; i < sizeof own / sizeof *own; i++)
        if (strcmp(path, own[i].path) == 0)
            return own[i].rights;
    return above;
}

/* Someone's console, unless the command sits at it. */
static bool other_terminal(const struct eg_ll *l, const struct stat *st)
{
    if (!S_ISCHR(st->st_mode) ||
        !(major(st->st_rdev) == 4 || (major(st->st_rdev) == 5 && minor(st->st_rdev) == 1)))
        return false;
    for (unsigned i = 0; i < 3; i++)
        if (l->terminals[i] == st->st_rdev)
            return false;
    return true;
}

/* What can't be opened gets no rule, and so can't be used: never a fault. */
static void allow(struct eg_ll *l, const char *path, uint64_t rights)
{
    struct stat st;
    int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    struct landlock_path_beneath_attr rule = { .allowed_access = rights & l->handled,
                                               .parent_fd = fd };
    if (fstat(fd, &st) == 0 && !S_ISLNK(st.st_mode) && !other_terminal(l, &st)) {
        if (!S_ISDIR(st.st_mode))
            rule.allowed_access &= EG_LL_FILE;
        if (rule.allowed_access)
            syscall(SYS_landlock_add_rule, l->ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    }
    close(fd);
}

/* ---- the walk over folders that are above something ---- */

static enum eg_status walk(struct eg_ll *l, uint64_t rights, struct eg_err *err);

/* l->path is an entry of a folder that is walked. */
static enum eg_status visit(struct eg_ll *l, uint64_t above, struct eg_err *err)
{
    const struct eg_mark *mark = eg_marks_on(l->marks, l->path);
    uint64_t rights = rights_of(l->path, above);
    if (++l->entries > EG_LL_ENTRIES)
        return eg_err_set(err, EG_TOO_BIG, "launch", 0,
                          "Landlock: the folders above protected paths hold more than %d entries",
                          EG_LL_ENTRIES);
    if (mark && mark->kind == EG_MARK_COVERED)
        return EG_OK;
    if (mark && (mark->kind == EG_MARK_READ || mark->kind == EG_MARK_HELD))
        rights &= EG_LL_READ;
    if (mark && mark->kind == EG_MARK_FROZEN)
        return walk(l, rights, err);
    if (eg_marks_beneath(l->marks, l->path))
        return walk(l, rights, err);
    allow(l, l->path, rights);
    return EG_OK;
}

static enum eg_status enter(struct eg_ll *l, const char *name, size_t n, uint64_t rights,
                            struct eg_err *err)
{
    size_t before = strlen(l->path);
    enum eg_status status = EG_OK;
    const char *slash = before == 1 ? "" : "/"; /* "/" itself */
    int k = snprintf(l->path + before, sizeof l->path - before, "%s%.*s", slash, (int)n, name);
    if (k > 0 && (size_t)k < sizeof l->path - before)
        status = visit(l, rights, err);
    l->path[before] = '\0';
    return status;
}

/* A folder that may be passed and not listed: the child knows no names there but those that we know
 * too. */
static enum eg_status walk_marks(struct eg_ll *l, uint64_t rights, struct eg_err *err)
{
    size_t n = strlen(l->path) == 1 ? 0 : strlen(l->path);
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < l->marks->count && status == EG_OK; i++) {
        const char *path = l->marks->list[i].path;
        if (strncmp(path, l->path, n) == 0 && path[n] == '/' && path[n + 1])
            status = enter(l, path + n + 1, strcspn(path + n + 1, "/"), rights, err);
    }
    return status;
}

static enum eg_status walk(struct eg_ll *l, uint64_t rights, struct eg_err *err)
{
    const struct dirent *d;
    enum eg_status status = EG_OK;
    allow(l, l->path, LANDLOCK_ACCESS_FS_READ_DIR);
    DIR *list = opendir(l->path);
    if (!list)
        return walk_marks(l, rights, err);
    while (status == EG_OK && (d = readdir(list)))
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            status = enter(l, d->d_name, strlen(d->d_name), rights, err);
    closedir(list);
    return status;
}

/* ---- terminals and shared memory ---- */

static void find_terminals(struct eg_ll *l)
{
    struct stat st;
    for (int fd = 0; fd < 3; fd++)
        l->terminals[fd] = fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) ? st.st_rdev : 0;
}

/* The command's own terminal can be opened by its name too; no other one, nor a new one. */
static void allow_terminals(struct eg_ll *l)
{
    char link[32], path[PATH_MAX];
    struct stat st;
    for (int fd = 0; fd < 3; fd++) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof path - 1);
        path[n > 0 ? n : 0] = '\0';
        if (strncmp(path, "/dev/pts/", 9) == 0 && stat(path, &st) == 0 &&
            S_ISCHR(st.st_mode) && st.st_rdev == l->terminals[fd])
            allow(l, path, EG_LL_DEVICE);
    }
}

/* Open to it, and not to everybody. */
static bool others_file(int folder, const char *name)
{
    struct stat st;
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    return st.st_uid == geteuid() || faccessat(folder, name, W_OK, 0) == 0 ||
           (!(st.st_mode & S_IROTH) && faccessat(folder, name, R_OK, 0) == 0);
}

/* Semaphores and memory of other programs stand there by name: it is the child's only where it has
 * nothing of theirs to open. */
static bool others_memory(void)
{
    const struct dirent *d;
    bool found = false;
    DIR *list = opendir("/dev/shm");
    if (!list)
        return true;
    while (!found && (d = readdir(list)))
        found = strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0 &&
                others_file(dirfd(list), d->d_name);
    closedir(list);
    return found;
}

static enum eg_status mark_all(const struct eg_go *go, struct eg_marks *marks, struct eg_err *err)
{
    enum eg_status status = eg_marks_add(marks, "/dev/pts", EG_MARK_COVERED, err);
    if (status == EG_OK)
        status = eg_marks_add(marks, "/dev/mqueue", EG_MARK_COVERED, err);
    if (status == EG_OK && others_memory())
        status = eg_marks_add(marks, "/dev/shm", EG_MARK_COVERED, err);
    for (char **p = go->covered; *p && status == EG_OK; p++)
        status = eg_marks_add(marks, *p, EG_MARK_COVERED, err);
    for (char **p = go->read_only; *p && status == EG_OK; p++)
        status = eg_marks_add(marks, *p, EG_MARK_READ, err);
    for (char **p = go->programs; *p && status == EG_OK; p++)
        status = eg_marks_add(marks, *p, EG_MARK_PROGRAM, err);
    for (char **p = go->held; *p && status == EG_OK; p++) /* where it costs nothing */
        status = eg_marks_add_beside(marks, *p, err);
    return status;
}

/* ---- the ruleset ---- */

static int make_ruleset(unsigned abi, uint64_t *handled)
{
    struct eg_ll_attr attr = { .fs = EG_LL_FIRST };
    size_t size = abi >= 6 ? sizeof attr : abi >= 4 ? 2 * sizeof attr.fs : sizeof attr.fs;
    if (abi >= 2)
        attr.fs |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        attr.fs |= EG_LL_TRUNCATE;
    if (abi >= 4)
        attr.net = EG_LL_CONNECT_TCP;
    if (abi >= 5)
        attr.fs |= EG_LL_IOCTL_DEV;
    if (abi >= 6)
        attr.scoped = EG_LL_SCOPE_ABSTRACT | EG_LL_SCOPE_SIGNAL;
    *handled = attr.fs;
    return (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
}

static enum eg_status restrict_self(const struct eg_marks *marks, unsigned abi, struct eg_err *err)
{
    struct eg_ll l = { .marks = marks, .path = "/" };
    l.ruleset = make_ruleset(abi, &l.handled);
    if (l.ruleset < 0)
        return failed("no set of rules", err);
    find_terminals(&l);
    enum eg_status status = walk(&l, ~EG_LL_DEVICES_MADE, err);
    if (status == EG_OK) {
        allow_terminals(&l);
        if (syscall(SYS_landlock_restrict_self, l.ruleset, 0) < 0)
            status = failed("the rules can't be put into force", err);
    }
    close(l.ruleset);
    return status;
}

enum eg_status eg_landlock_apply(const struct eg_go *go, unsigned max_abi, struct eg_err *err)
{
    struct eg_marks marks = { 0 };
    unsigned abi = eg_landlock_abi();
    if (abi > max_abi)
        abi = max_abi;
    if (abi == 0)
        return eg_err_set(err, EG_PERMISSION, "launch", 0,
                          "this kernel has no Landlock: start it with landlock in lsm=");
    enum eg_status status = mark_all(go, &marks, err);
    if (status == EG_OK)
        status = restrict_self(&marks, abi, err);
    eg_marks_done(&marks);
    return status;
}
