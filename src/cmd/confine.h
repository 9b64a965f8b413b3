/* confine.h - what a worker gives up before it reads a byte of anybody: user, capabilities,
 * descriptors, environment, system calls. */
#ifndef EG_CMD_CONFINE_H
#define EG_CMD_CONFINE_H

#include <stdbool.h>

#include "base/err.h"

/* Closes every descriptor above 2 that is not in keep (sorted by this call). */
enum eg_status eg_confine_descriptors(int *keep, unsigned count, struct eg_err *err) EG_MUST_USE;
/* Root becomes `nobody` (65534) without groups; capabilities, also the bounding set, are
 * emptied; no new privileges; undumpable; dies with its parent. *weak: this system lets root not
 * change its user (a namespace with one id), which is worth a warning. EG_PERMISSION. */
enum eg_status eg_confine_privileges(bool *weak, struct eg_err *err) EG_MUST_USE;
/* The filter: exec, fork, ptrace and what reads other processes kill; files, mounts, keys,
 * namespaces, sockets but inet fail with EACCES or EPERM. open of /dev/urandom alone answers
 * with a copy of urandom (TLS and DNS libraries read it): that descriptor stays the process'. In
 * a build with sanitizers files and fork are let through, since they write their report
 * themselves. EG_PERMISSION where the system has no seccomp filter. */
enum eg_status eg_confine_calls(int urandom, struct eg_err *err) EG_MUST_USE;

#endif
