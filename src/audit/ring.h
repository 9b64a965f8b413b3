/* ring.h - what the sink needs of the ring and embedders do not. Private to the room. */
#ifndef EG_AUDIT_RING_H
#define EG_AUDIT_RING_H

#include <stdbool.h>

#include "egress/audit.h"

/* Whether the audit file's last line has no end is known to all writers of the ring: any of
 * them may write next. */
void eg_ring_set_torn(struct egress_ring *r);
/* Tells, and takes the job of ending it. */
bool eg_ring_take_torn(struct egress_ring *r);

#endif
