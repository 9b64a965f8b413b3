/* run_made.c - makes empty files and folders in the home of the child's user for the time of a run,
 * and removes them afterwards.
 *
 * All runs of a state folder share a lock on their record, and the last of them removes what they
 * made: a mount in another run's namespace ends when the file below it is removed. A child may read
 * the record, and so can lock it no more than that: never so that a run waits. What is made stands in
 * the record before it is made, so that after SIGKILL the next run finds it. Everything in a home is done as its
 * user: as root we would follow links of theirs. Only what still is as it was made is removed. */
#include "cmd/run_made.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/files.h"

enum { EG_MADE_MAX = 1 << 18, EG_MADE_TEXT = 1024, EG_MADE_TRIES = 100 };

/* The record: pairs of NUL-terminated texts, the path and what the file holds; a folder's path ends
 * in a slash, and its text is empty. */
struct eg_made_item {
    const char *path, *text;
};

static bool next_item(struct eg_slice *rest, struct eg_made_item *ret)
{
    const char *ends[2];
    const char *at = rest->p;
    for (unsigned i = 0; i < 2; i++) {
        ends[i] = at ? memchr(at, '\0', rest->n - (size_t)(at - rest->p)) : NULL;
        if (!ends[i])
            return false; /* torn by a full disk: what follows was not made */
        at = ends[i] + 1;
    }
    *ret = (struct eg_made_item){ rest->p, ends[0] + 1 };
    *rest = eg_slice_from(*rest, (size_t)(at - rest->p));
    return true;
}

/* ---- as the user ---- */

static bool hopeless(int sys)
{
    return sys == ENOSPC || sys == EDQUOT || sys == EIO || sys == ENOMEM || sys == EMFILE ||
           sys == ENFILE;
}

/* The path without the slash that a folder's ends in: is it one? */
static bool plain(const struct eg_made_item *item, char path[PATH_MAX])
{
    size_t n = strlen(item->path);
    bool folder = n > 1 && item->path[n - 1] == '/';
    snprintf(path, PATH_MAX, "%.*s", (int)(folder ? n - 1 : n), item->path);
    return folder;
}

/* Returns an errno. */
static int make_item(struct eg_run_made *m, const struct eg_made_item *item)
{
    char path[PATH_MAX];
    bool folder = plain(item, path);
    if (!*item->text && eg_spare_take(&m->spare, path, folder))
        return 0;
    if (folder)
        return mkdir(path, 0700) < 0 ? errno : 0;
    int fd = open(item->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    struct eg_err err = { 0 };
    int sys =
        eg_file_write(fd, eg_slice_str(item->text), &err) == EG_OK ? 0 : err.sys ? err.sys : EIO;
    close(fd);
    if (sys)
        unlink(item->path);
    return sys;
}

static int make_items(struct eg_run_made *m, struct eg_slice list)
{
    struct eg_made_item item;
    int sys = 0;
    while (!hopeless(sys) && next_item(&list, &item))
        sys = make_item(m, &item);
    return hopeless(sys) ? sys : 0;
}

static bool as_it_was_made(const struct eg_made_item *item)
{
    char text[EG_MADE_TEXT];
    struct stat st;
    int fd = open(item->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read(fd, text, sizeof text) : -1;
    close(fd);
    return n >= 0 && (size_t)n == strlen(item->text) && memcmp(text, item->text, (size_t)n) == 0;
}

/* The last first: files before their folders. */
static int remove_items(struct eg_run_made *m, struct eg_slice list)
{
    char path[PATH_MAX];
    struct eg_made_item item, *all = calloc(list.n / 2 + 1, sizeof *all);
    size_t count = 0;
    if (!all)
        return ENOMEM;
    while (next_item(&list, &item))
        all[count++] = item;
    while (count > 0) {
        item = all[--count];
        bool folder = plain(&item, path);
        if (!*item.text && eg_spare_give(&m->spare, path, folder))
            continue;
        if (folder)
            rmdir(path); /* refused where something is in it */
        else if (as_it_was_made(&item))
            unlink(path);
    }
    free(all);
    return 0;
}

static bool become(const struct eg_run_made *m)
{
    return setgroups(0, NULL) == 0 && setresgid(m->gid, m->gid, m->gid) == 0 &&
           setresuid(m->uid, m->uid, m->uid) == 0;
}

/* Returns an errno. */
static int as_user(struct eg_run_made *m, int (*job)(struct eg_run_made *, struct eg_slice),
                   struct eg_slice list)
{
    int status;
    if (m->uid == geteuid())
        return job(m, list);
    pid_t pid = fork();
    if (pid < 0)
        return errno;
    if (pid == 0)
        _exit(become(m) ? job(m, list) & 255 : EPERM);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

/* ---- the record ---- */

static enum eg_status failed(const char *what, int sys, struct eg_err *err)
{
    return eg_err_set(err, EG_IO, "run", sys, "%s", what);
}

static int set_lock(int fd, short type, bool wait)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET };
    int rc;
    do
        rc = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
    while (rc < 0 && errno == EINTR);
    return rc;
}

/* With the lock alone ours. */
static enum eg_status remove_recorded(struct eg_run_made *m, struct eg_err *err)
{
    struct eg_buf text;
    eg_buf_init(&text, EG_MADE_MAX * 4);
    enum eg_status status = eg_file_read(m->list, &text, NULL, err);
    if (status == EG_OK && as_user(m, remove_items, eg_buf_slice(&text)) != 0)
        status = failed("what a run made in the home can't be removed", 0, err);
    eg_buf_done(&text);
    return status;
}

static enum eg_status record(const struct eg_run_made *m, struct eg_err *err)
{
    if (lseek(m->lock, 0, SEEK_END) < 0)
        return failed("no record of what is made in the home", errno, err);
    return eg_file_write(m->lock, eg_buf_slice(&m->asked), err);
}

/* Opens the record, which is locked; one that its last run has removed meanwhile is none. */
static enum eg_status open_record(struct eg_run_made *m, struct eg_err *err)
{
    struct stat st;
    for (unsigned i = 0; i < EG_MADE_TRIES; i++) {
        m->lock = open(m->list, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (m->lock < 0 && errno == EROFS) /* nothing can be made, by nobody */
            return EG_OK;
        if (m->lock < 0)
            break;
        enum eg_status status = EG_OK;
        if (set_lock(m->lock, F_WRLCK, false) == 0) {
            status = remove_recorded(m, err);
            if (status == EG_OK && ftruncate(m->lock, 0) < 0)
                status = failed("the record of what was made can't be emptied", errno, err);
        }
        if (status != EG_OK)
            return status;
        if (set_lock(m->lock, F_RDLCK, true) < 0) /* waits while another run ends */
            break;
        if (fstat(m->lock, &st) == 0 && st.st_nlink > 0)
            return EG_OK;
        close(m->lock);
        m->lock = -1;
    }
    return failed("no record of what is made in the home", errno, err);
}

enum eg_status eg_run_made_begin(struct eg_run_made *m, const char *state, uid_t uid, gid_t gid,
                                 struct eg_err *err)
{
    *m = (struct eg_run_made){ .lock = -1, .uid = uid, .gid = gid };
    eg_buf_init(&m->asked, EG_MADE_MAX);
    if (!*state)
        return EG_OK;
    int n = snprintf(m->list, sizeof m->list, "%s/made-%u", state, (unsigned)uid);
    int k = snprintf(m->spare.place, sizeof m->spare.place, "%s/spare", state);
    if (n < 0 || (size_t)n >= sizeof m->list || k < 0 || (size_t)k >= sizeof m->spare.place)
        return EG_TOO_BIG;
    if (uid != geteuid()) /* the stock is ours, and the home is theirs */
        m->spare.place[0] = '\0';
    return open_record(m, err);
}

static enum eg_status ask(struct eg_run_made *m, const char *path, size_t n, const char *text)
{
    enum eg_status status = eg_buf_append(&m->asked, path, n);
    if (status == EG_OK)
        status = eg_buf_append(&m->asked, "", 1);
    return status == EG_OK ? eg_buf_append(&m->asked, text, strlen(text) + 1) : status;
}

/* How much of path, up to a slash, is in the one that was looked at before. */
static size_t looked_at(const struct eg_run_made *m, const char *path, size_t n)
{
    size_t same = 0, whole = 0;
    while (same < n && m->looked[same] && m->looked[same] == path[same])
        if (path[++same] == '/' || same == n)
            whole = m->looked[same] == '/' || !m->looked[same] ? same : whole;
    return whole;
}

/* Every folder of path up to n bytes that is not there. */
static enum eg_status ask_folders(struct eg_run_made *m, const char *path, size_t n)
{
    char part[PATH_MAX];
    struct stat st;
    enum eg_status status = EG_OK;
    for (size_t i = looked_at(m, path, n) + 1; i <= n && i + 1 < sizeof part && status == EG_OK; i++) {
        if (i < n && path[i] != '/')
            continue;
        memcpy(part, path, i);
        memcpy(part + i, "/", 2);
        if (lstat(part, &st) < 0 && errno == ENOENT)
            status = ask(m, part, i + 1, "");
    }
    snprintf(m->looked, sizeof m->looked, "%.*s", (int)n, path);
    return status;
}

enum eg_status eg_run_made_folder(struct eg_run_made *m, const char *path)
{
    return m->lock < 0 ? EG_OK : ask_folders(m, path, strlen(path));
}

enum eg_status eg_run_made_file(struct eg_run_made *m, const char *path, const char *text)
{
    struct stat st;
    const char *slash = strrchr(path, '/');
    if (m->lock < 0 || !slash || lstat(path, &st) == 0 || errno != ENOENT)
        return EG_OK;
    enum eg_status status = ask_folders(m, path, (size_t)(slash - path));
    return status == EG_OK ? ask(m, path, strlen(path), text) : status;
}

enum eg_status eg_run_made_now(struct eg_run_made *m, struct eg_err *err)
{
    if (m->lock < 0 || m->asked.len == 0)
        return EG_OK;
    enum eg_status status = record(m, err);
    int sys = status == EG_OK ? as_user(m, make_items, eg_buf_slice(&m->asked)) : 0;
    if (sys)
        status = failed("what holds missing start-up files can't be made", sys, err);
    return status;
}

void eg_run_made_end(struct eg_run_made *m)
{
    struct eg_err err = { 0 };
    eg_buf_done(&m->asked);
    if (m->lock < 0 || !m->list[0])
        return;
    /* What fails here is tried again by the next run. */
    if (set_lock(m->lock, F_WRLCK, false) == 0 && remove_recorded(m, &err) == EG_OK)
        unlink(m->list);
    close(m->lock);
    m->lock = -1;
}
