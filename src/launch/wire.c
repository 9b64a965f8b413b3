/* wire.c - the conversation between the launcher and the namespace's init: fixed reports one
 * way, one block with environment and paths and single orders the other way. Blocking; deadlines
 * are the socket's own (SO_RCVTIMEO). */
#include "launch/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum eg_status eg_wire_write(int fd, const void *p, size_t n)
{
    const char *at = p;
    while (n > 0) {
        ssize_t k = send(fd, at, n, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return errno == EPIPE || errno == ECONNRESET ? EG_CLOSED : EG_IO;
        at += k;
        n -= (size_t)k;
    }
    return EG_OK;
}

enum eg_status eg_wire_read(int fd, void *p, size_t n)
{
    char *at = p;
    while (n > 0) {
        ssize_t k = recv(fd, at, n, 0);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return errno == ECONNRESET ? EG_CLOSED : EG_IO;
        if (k == 0)
            return EG_CLOSED;
        at += k;
        n -= (size_t)k;
    }
    return EG_OK;
}

enum eg_status eg_wire_report(int fd, const struct eg_report *r, int pass)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec data = { (void *)(uintptr_t)r, sizeof *r };
    struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1 };
    if (pass >= 0) {
        message.msg_control = control.space;
        message.msg_controllen = sizeof control.space;
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &pass, sizeof pass);
    }
    ssize_t k;
    do
        k = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (k < 0 && errno == EINTR);
    return k == (ssize_t)sizeof *r ? EG_OK : EG_IO;
}

enum eg_status eg_wire_read_report(int fd, struct eg_report *r, int *passed)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec data = { r, sizeof *r };
    struct msghdr message = { .msg_iov = &data,
                              .msg_iovlen = 1,
                              .msg_control = control.space,
                              .msg_controllen = sizeof control.space };
    ssize_t k;
    *passed = -1;
    do
        k = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    while (k < 0 && errno == EINTR);
    if (k <= 0)
        return k == 0 || errno == ECONNRESET ? EG_CLOSED : EG_IO;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
            c->cmsg_len == CMSG_LEN(sizeof(int)))
            memcpy(passed, CMSG_DATA(c), sizeof *passed);
    enum eg_status status = eg_wire_read(fd, (char *)r + k, sizeof *r - (size_t)k);
    if (status != EG_OK && *passed >= 0) {
        close(*passed);
        *passed = -1;
    }
    r->text[sizeof r->text - 1] = '\0';
    return status;
}

static enum eg_status put(struct eg_buf *b, char tag, const char *text)
{
    enum eg_status status = eg_buf_append(b, &tag, 1);
    return status == EG_OK ? eg_buf_append(b, text, strlen(text) + 1) : status;
}

static enum eg_status put_paths(struct eg_buf *b, const struct eg_launch_paths *p)
{
    const struct {
        char tag;
        unsigned count;
        const char *const *list;
    } lists[] = { { 'C', p->covered_count, p->covered },
                  { 'R', p->read_only_count, p->read_only },
                  { 'P', p->program_count, p->programs },
                  { 'H', p->held_count, p->held },
                  { 'S', p->socket_count, p->sockets } };
    enum eg_status status = EG_OK;
    for (unsigned k = 0; k < sizeof lists / sizeof *lists; k++)
        for (unsigned i = 0; i < lists[k].count && status == EG_OK; i++)
            status = put(b, lists[k].tag, lists[k].list[i]);
    return status;
}

enum eg_status eg_wire_send_go(int fd, char *const *environment,
                               const struct eg_launch_paths *paths, struct eg_err *err)
{
    struct eg_buf b;
    enum eg_status status = EG_OK;
    eg_buf_init(&b, EG_GO_MAX);
    for (unsigned i = 0; environment && environment[i] && status == EG_OK; i++)
        status = put(&b, 'E', environment[i]);
    if (paths && status == EG_OK)
        status = put_paths(&b, paths);
    uint32_t n = (uint32_t)b.len;
    if (status != EG_OK)
        eg_err_set(err, status, "launch", 0, "the child's environment is too large");
    else if ((status = eg_wire_write(fd, &n, sizeof n)) != EG_OK ||
             (status = eg_wire_write(fd, eg_buf_slice(&b).p, b.len)) != EG_OK)
        eg_err_set(err, status, "launch", errno, "the child is gone");
    eg_buf_done(&b);
    return status;
}

enum { EG_GO_LISTS = 6 };

/* Sorts the block's strings into their lists; lists is room for n + EG_GO_LISTS pointers. */
static void sort_strings(char *block, size_t n, char **lists, struct eg_go *ret)
{
    static const char tags[EG_GO_LISTS] = { 'E', 'C', 'R', 'P', 'H', 'S' };
    char **out[EG_GO_LISTS];
    for (unsigned t = 0; t < EG_GO_LISTS; t++) {
        out[t] = lists;
        for (size_t i = 0; i < n; i += strlen(block + i) + 1)
            if (block[i] == tags[t])
                *lists++ = block + i + 1;
        *lists++ = NULL;
    }
    ret->environment = out[0];
    ret->covered = out[1];
    ret->read_only = out[2];
    ret->programs = out[3];
    ret->held = out[4];
    ret->sockets = out[5];
}

enum eg_status eg_wire_read_go(int fd, struct eg_go *ret, struct eg_err *err)
{
    uint32_t n;
    enum eg_status status = eg_wire_read(fd, &n, sizeof n);
    if (status != EG_OK)
        return status;
    if (n > EG_GO_MAX)
        return eg_err_set(err, EG_INTERNAL, "launch", 0, "the launcher's block is too large");
    char *block = malloc(n + 1);
    if (!block)
        return EG_NOMEM;
    block[n] = '\0';
    status = eg_wire_read(fd, block, n);
    size_t strings = 0;
    for (size_t i = 0; i < n; i++)
        strings += block[i] == '\0';
    char **lists = status == EG_OK ? calloc(strings + EG_GO_LISTS, sizeof *lists) : NULL;
    if (!lists) {
        free(block);
        return status != EG_OK ? status : EG_NOMEM;
    }
    sort_strings(block, n, lists, ret);
    return EG_OK;
}
