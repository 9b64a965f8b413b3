/* daemon.h - parts of egressd's command line that tests reach too. */
#ifndef EG_CMD_DAEMON_H
#define EG_CMD_DAEMON_H

#include "base/err.h"
#include "base/uri.h"

struct eg_environ;

/* "ADDR:PORT" with a loopback address, or, remote, with any; port 0: the kernel's choice. */
bool eg_daemon_listen(const char *text, bool remote, struct eg_sockaddr *ret);
/* The sockets that systemd passed (sd_listen_fds(3): LISTEN_PID, LISTEN_FDS), as descriptors from 3
 * on in out; close-on-exec from now on. None when they are for another process. EG_INVALID,
 * EG_TOO_BIG above cap. */
enum eg_status eg_daemon_passed(const struct eg_environ *e, int *out, unsigned cap, unsigned *count,
                                struct eg_err *err) EG_MUST_USE;
/* The folder of the default control socket: made with mode 0700, or ours alone already.
 * EG_PERMISSION. */
enum eg_status eg_daemon_default_folder(const char *control, struct eg_err *err) EG_MUST_USE;

#endif
