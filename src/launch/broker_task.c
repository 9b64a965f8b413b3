/* broker_task.c - reads what a caller's arguments point to, and its descriptors, from /proc. Each is read once; afterwards the
 * call must still be valid, since the number of a task that has gone may be another's. */
#include "launch/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int open_of(const struct eg_broker_call *c, const char *what)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)c->task, what);
    return open(path, O_RDONLY | O_CLOEXEC);
}

int eg_broker_address(const struct eg_broker *b, const struct eg_broker_call *c,
                      struct sockaddr_storage *at, socklen_t *n)
{
    int length = (int)c->args[2];
    if (length < (int)sizeof at->ss_family || length > (int)sizeof *at)
        return EINVAL;
    int fd = open_of(c, "mem");
    if (fd < 0) /* undumpable: it does not let us look */
        return EACCES;
    memset(at, 0, sizeof *at);
    ssize_t k = eg_broker_valid(b, c->id) ? pread(fd, at, (size_t)length, (off_t)c->args[1]) : 0;
    close(fd);
    if (k != length)
        return EFAULT;
    *n = (socklen_t)length;
    return 0;
}

/* The number behind a key of proc_pid_fdinfo(5). */
static bool field(const char *text, const char *key, int base, uint64_t *ret)
{
    const char *at = strstr(text, key);
    if (!at || (at != text && at[-1] != '\n'))
        return false;
    *ret = strtoull(at + strlen(key), NULL, base);
    return true;
}

int eg_broker_descriptor(const struct eg_broker *b, const struct eg_broker_call *c, int number,
                         int *flags, uint64_t *inode)
{
    char what[40], text[512];
    uint64_t bits;
    if (number < 0)
        return EBADF;
    snprintf(what, sizeof what, "fdinfo/%d", number);
    int fd = open_of(c, what);
    if (fd < 0)
        return errno == ENOENT ? EBADF : EACCES;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    if (!field(text, "flags:", 8, &bits) || !field(text, "ino:", 10, inode) ||
        !eg_broker_valid(b, c->id))
        return EBADF;
    *flags = (int)bits;
    return 0;
}

/* A thread's name can't stand for the key: it has no line end. */
pid_t eg_broker_process(const struct eg_broker_call *c)
{
    char text[512];
    uint64_t pid;
    int fd = open_of(c, "status");
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return field(text, "Tgid:", 10, &pid) && pid <= INT32_MAX ? (pid_t)pid : 0;
}
