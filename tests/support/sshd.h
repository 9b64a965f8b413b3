/* sshd.h - a real OpenSSH server for a test: on a port of the kernel's choice, with keys of its own in the world's folder, and an `ssh` that knows
 * them. The server's processes are `sshd -i`, one a connection, so no port can be taken between. */
#ifndef EG_TESTS_SUPPORT_SSHD_H
#define EG_TESTS_SUPPORT_SSHD_H

#include "support/proc.h"

struct eg_sshd {
    pid_t pid; /* accepts */
    uint16_t port;
    char path[512]; /* "PATH=...": its first folder holds an `ssh` with the test's configuration */
    char *environment[4]; /* for a supervisor: PATH and HOME */
    char home[300];
};

/* Why there can be none on this machine; NULL: there can. */
const char *eg_sshd_missing(void);
/* more: lines of sshd_config. DIR/known_hosts knows its key; DIR/authorized the user's. */
void eg_sshd_start(struct eg_sshd *s, const struct eg_world *w, const char *more);
/* Nobody answers on the port from then on; connections that are open stay. */
void eg_sshd_stop(struct eg_sshd *s);

#endif
