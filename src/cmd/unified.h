/* unified.h - two texts as a unified diff, as `patch` and `git apply` take it. */
#ifndef EG_CMD_UNIFIED_H
#define EG_CMD_UNIFIED_H

#include "base/buf.h"

/* Appends the difference, nothing where there is none. path is put behind a/ and b/, a leading slash left out. Large texts that differ widely become one hunk.
 * EG_NOMEM, EG_TOO_BIG. */
enum eg_status eg_unified(const char *path, struct eg_slice before, struct eg_slice after,
                          struct eg_buf *out) EG_MUST_USE;

#endif
