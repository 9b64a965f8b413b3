/* daemon.h - parts of egressd's command line that tests reach too. */
#ifndef EG_CMD_DAEMON_H
#define EG_CMD_DAEMON_H

#include "base/err.h"
#include "base/uri.h"

/* "ADDR:PORT" with a loopback address; port 0: the kernel's choice. */
bool eg_daemon_listen(const char *text, struct eg_sockaddr *ret);
/* The folder of the default control socket: made with mode 0700, or ours alone already.
 * EG_PERMISSION. */
enum eg_status eg_daemon_default_folder(const char *control, struct eg_err *err) EG_MUST_USE;

#endif
