/* supervised.h - one process under the fallback's filter that tries something, and one that answers for it as init does; both of an
 * ordinary user. No Landlock and no program is needed for it. */
#ifndef EG_TESTS_SUPPORT_SUPERVISED_H
#define EG_TESTS_SUPPORT_SUPERVISED_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum { EG_SUPERVISED_SKIP = 77 };

struct eg_supervised { /* set before a try; the processes that are forked have a copy */
    uint16_t proxy, other;   /* ports of 127.0.0.1: ours, and one of the host's that is nobody's business */
    int proxy_fd, other_fd;  /* their listeners; the other's does not block */
    pid_t outside;           /* in the process that tries: one of the same user outside, the one that answers */
    char *sockets[3];        /* let in by name, NULL at the end, with */
    int socket_fds[2];       /* O_PATH */
    unsigned socket_count;
    bool namespaces;         /* the filter of a child that has namespaces */
};
extern struct eg_supervised eg_supervised;

/* Both listeners, and nothing else set. */
void eg_supervised_open(void);
/* Runs it under the filter; the test fails where its return is not 0, and is skipped for EG_SUPERVISED_SKIP. */
void eg_supervised_try(int (*attempt)(void));

/* fork(2); the new process dies with this one. */
pid_t eg_supervised_fork(void);
/* For attempts: a listener on that family's loopback, -1; a new socket's connect (0 or errno); that of an open one. */
int eg_supervised_listen(int domain, uint16_t *port);
int eg_supervised_to4(int fd, const char *address, uint16_t port);
int eg_supervised_to6(int fd, const char *address, uint16_t port);
int eg_supervised_fresh4(const char *address, uint16_t port);
int eg_supervised_fresh6(const char *address, uint16_t port);

/* In an attempt: it fails here. */
#define NEED(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            dprintf(2, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);           \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

#endif
