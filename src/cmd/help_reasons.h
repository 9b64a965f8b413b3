/* help_reasons.h - what people are told of a reason code beyond its sentence: what it means here, and what to do. */
#ifndef EG_CMD_HELP_REASONS_H
#define EG_CMD_HELP_REASONS_H

#include "egress/status.h"

/* One paragraph; NULL for a number that is no status. Static storage. */
const char *eg_help_reason(enum eg_status status);

#endif
