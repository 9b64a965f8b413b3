/* encode.h - the words of the JSON form, shared by both directions. Private to the room. */
#ifndef EG_AUDIT_ENCODE_H
#define EG_AUDIT_ENCODE_H

#include "egress/audit.h"

enum { EG_AUDIT_KINDS = 5, EG_AUDIT_VIAS = 6, EG_AUDIT_STAGES = 5 };
/* Indexed by enum egress_event_kind, egress_event_via and egress_event_stage; "" is not written. */
extern const char *const eg_audit_kinds[EG_AUDIT_KINDS];
extern const char *const eg_audit_vias[EG_AUDIT_VIAS];
extern const char *const eg_audit_stages[EG_AUDIT_STAGES];

#endif
