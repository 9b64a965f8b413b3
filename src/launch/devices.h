/* devices.h - devices, shared memory and /sys in a child's mount namespace; called in its init. */
#ifndef EG_LAUNCH_DEVICES_H
#define EG_LAUNCH_DEVICES_H

#include "base/buf.h"
#include "base/err.h"

/* Terminals, shared memory and queues of the child's own; /sys read-only. EG_IO. */
enum eg_status eg_devices_private(struct eg_err *err) EG_MUST_USE;
/* Appends the consoles of others that the child could open, NUL-terminated each. EG_IO, or of the
 * buffer. */
enum eg_status eg_devices_consoles(struct eg_buf *paths, struct eg_err *err) EG_MUST_USE;

#endif
