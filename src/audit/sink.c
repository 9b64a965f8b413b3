/* sink.c - the trail: every event goes to the ring and, where there is one, to a file as one
 * line.
 *
 * The ring never fails. The file may (full disk, RLIMIT_FSIZE with SIGXFSZ ignored): a strict
 * trail then says so, and its caller refuses. One event is one write(2) to an O_APPEND
 * descriptor, so that lines of several processes do not mix. */
#include "audit/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/ring.h"

static const char layer[] = "audit";

void eg_event_text(struct egress_event *e, char *member, size_t size, struct eg_slice text)
{
    /* The text ends at a NUL, so one inside cuts it. */
    size_t n = text.n ? strnlen(text.p, text.n) : 0;
    if (n >= size)
        n = size - 1;
    if (n < text.n)
        e->truncated = 1;
    if (n)
        memcpy(member, text.p, n);
    memset(member + n, 0, size - n);
}

#define WIPE(member) memset((member), 0, sizeof(member))

/* Detail is made where a connection fails and may repeat what was asked for. */
static bool tells_path(const struct egress_event *e)
{
    return strchr(e->detail, '?') || (strlen(e->path) > 1 && strstr(e->detail, e->path));
}

/* What audit.destinations leaves out. Rules, services and credentials belong to a host as a rule,
 * so their names give it away. A text that was cut is not said to be: its length is a hint too. */
static void leave_out(struct egress_event *e, enum eg_destinations keep)
{
    if (keep == EG_DEST_FULL)
        return;
    if (tells_path(e))
        WIPE(e->detail);
    WIPE(e->path);
    if (keep == EG_DEST_HOST)
        return;
    WIPE(e->host);
    WIPE(e->address);
    WIPE(e->method);
    WIPE(e->service);
    WIPE(e->credential);
    WIPE(e->rule);
    e->port = 0;
    if (e->kind == EGRESS_EVENT_SYSTEM)
        return;
    WIPE(e->detail);
    e->truncated = 0;
}

/* One line, one write. Returns 0 or an errno. */
static int write_line(struct eg_trail *t, const struct egress_event *e)
{
    char line[EGRESS_EVENT_JSON_MAX + 2];
    size_t start = 1;
    size_t n = egress_event_json(e, line + 1, sizeof line - 2);
    line[0] = '\n';
    line[1 + n] = '\n';
    if (eg_ring_take_torn(t->ring))
        start = 0;
    size_t length = n + 2 - start;
    ssize_t wrote;
    do
        wrote = write(t->file, line + start, length);
    while (wrote < 0 && errno == EINTR);
    if (wrote == (ssize_t)length)
        return 0;
    int sys = wrote < 0 ? errno : ENOSPC; /* a short write: there was no more room */
    /* Torn as before, or by us; not if the old line's end is all that went in. */
    if (wrote > 0 ? !(wrote == 1 && start == 0) : start == 0)
        eg_ring_set_torn(t->ring);
    return sys;
}

/* Puts into the ring that the file did not take e: a decision to allow became a refusal. */
static void record_failure(struct eg_trail *t, const struct egress_event *e, int sys)
{
    struct egress_event f = *e;
    f.wall_us = 0;
    f.reason = EG_AUDIT_UNWRITABLE;
    f.allowed = 0;
    if (f.kind == EGRESS_EVENT_END)
        f.kind = EGRESS_EVENT_SYSTEM;
    const char *why = strerrordesc_np(sys);
    eg_event_text(&f, f.detail, sizeof f.detail, eg_slice_str(why ? why : "write failed"));
    egress_ring_append(t->ring, &f);
}

enum eg_status eg_trail_write(struct eg_trail *t, struct egress_event *e)
{
    struct egress_event kept = *e;
    kept.writer = t->writer;
    leave_out(&kept, t->destinations);
    egress_ring_append(t->ring, &kept);
    e->seq = kept.seq;
    e->wall_us = kept.wall_us;
    e->writer = kept.writer;
    if (t->file < 0)
        return EG_OK;
    int sys = write_line(t, &kept);
    if (sys == 0)
        return EG_OK;
    t->unwritten++;
    if (!t->strict)
        return EG_OK;
    record_failure(t, &kept, sys);
    return EG_AUDIT_UNWRITABLE;
}

static enum eg_status judge_file(int fd, struct eg_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return eg_err_set(err, EG_IO, layer, errno, "audit.file can't be examined");
    if (!S_ISREG(st.st_mode))
        return eg_err_set(err, EG_PERMISSION, layer, 0, "audit.file is not a regular file");
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return eg_err_set(err, EG_PERMISSION, layer, 0, "audit.file belongs to another user");
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return eg_err_set(err, EG_PERMISSION, layer, 0, "audit.file is writable by other users");
    return EG_OK;
}

/* A run that was killed, or a full disk, may have left the last line without its end. Our
 * descriptor can't read, on purpose: workers get it. Where the file can't be read at all,
 * nothing is known and nothing is done. */
static enum eg_status end_last_line(int fd, struct eg_err *err)
{
    char path[32], last = '\n';
    struct stat st;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int reader = open(path, O_RDONLY | O_CLOEXEC);
    if (reader < 0)
        return EG_OK;
    if (fstat(reader, &st) == 0 && st.st_size > 0 && pread(reader, &last, 1, st.st_size - 1) != 1)
        last = '\n';
    close(reader);
    if (last == '\n' || write(fd, "\n", 1) == 1)
        return EG_OK;
    return eg_err_set(err, EG_AUDIT_UNWRITABLE, layer, errno, "audit.file can't be written");
}

enum eg_status eg_trail_open_file(const char *path, int *fd, struct eg_err *err)
{
    /* O_NONBLOCK: a FIFO must not hang us; it means nothing to a regular file. */
    const int flags =
        O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    int made = open(path, flags, 0600);
    if (made < 0 && errno == ELOOP)
        return eg_err_set(err, EG_PERMISSION, layer, 0, "audit.file is a symbolic link");
    if (made < 0)
        return eg_err_set(err, EG_AUDIT_UNWRITABLE, layer, errno, "audit.file can't be opened");
    enum eg_status s = judge_file(made, err);
    if (s == EG_OK)
        s = end_last_line(made, err);
    if (s != EG_OK) {
        close(made);
        return s;
    }
    *fd = made;
    return EG_OK;
}
