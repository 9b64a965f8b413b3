/* broker_options.c - what a program has set on a socket before its connect, for the socket that takes its place. The child's own is
 * looked at where the kernel lets us take hold of it (pidfd_getfd(2); a container may not); else they are lost. Nothing is judged: the
 * list holds what changes how bytes are sent and waited for, never where they go, and values are the child's to choose. */
#include "launch/broker.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
    int level, name;
    bool doubled; /* the kernel answers with twice of what it takes */
} options[EG_BROKER_OPTIONS] = {
    { SOL_SOCKET, SO_KEEPALIVE, false },    { SOL_SOCKET, SO_LINGER, false },
    { SOL_SOCKET, SO_OOBINLINE, false },    { SOL_SOCKET, SO_RCVTIMEO, false },
    { SOL_SOCKET, SO_SNDTIMEO, false },     { SOL_SOCKET, SO_RCVLOWAT, false },
    { SOL_SOCKET, SO_RCVBUF, true },        { SOL_SOCKET, SO_SNDBUF, true },
    { IPPROTO_TCP, TCP_KEEPIDLE, false },   { IPPROTO_TCP, TCP_KEEPINTVL, false },
    { IPPROTO_TCP, TCP_KEEPCNT, false },    { IPPROTO_TCP, TCP_USER_TIMEOUT, false },
};

/* The very socket that was judged, or -1. */
static int take_hold(const struct eg_broker *b, const struct eg_broker_call *c, int number,
                     uint64_t inode)
{
    struct stat st;
    pid_t pid = eg_broker_process(c);
    int process = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    int fd = process >= 0 ? (int)syscall(SYS_pidfd_getfd, process, number, 0) : -1;
    if (process >= 0)
        close(process);
    if (fd < 0 || (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_ino == inode &&
                   eg_broker_valid(b, c->id)))
        return fd;
    close(fd);
    return -1;
}

void eg_broker_options_read(const struct eg_broker *b, const struct eg_broker_call *c, int number,
                            uint64_t inode, struct eg_broker_options *ret)
{
    memset(ret, 0, sizeof *ret);
    int fd = take_hold(b, c, number, inode);
    for (unsigned i = 0; fd >= 0 && i < EG_BROKER_OPTIONS; i++) {
        socklen_t n = sizeof ret->list[i].value;
        if (getsockopt(fd, options[i].level, options[i].name, ret->list[i].value, &n) == 0)
            ret->list[i].n = n;
    }
    if (fd >= 0)
        close(fd);
}

void eg_broker_options_set(int fd, const struct eg_broker_options *o)
{
    for (unsigned i = 0; i < EG_BROKER_OPTIONS; i++) {
        char now[sizeof o->list[i].value], wanted[sizeof now];
        socklen_t n = sizeof now;
        int size;
        if (o->list[i].n == 0 ||
            getsockopt(fd, options[i].level, options[i].name, now, &n) < 0 ||
            n != o->list[i].n || memcmp(now, o->list[i].value, n) == 0)
            continue; /* a size that is set, even to what it was, would not grow by itself any more */
        memcpy(wanted, o->list[i].value, n);
        if (options[i].doubled && n == sizeof size) {
            memcpy(&size, wanted, sizeof size);
            size /= 2;
            memcpy(wanted, &size, sizeof size);
        }
        (void)setsockopt(fd, options[i].level, options[i].name, wanted, n);
    }
}
