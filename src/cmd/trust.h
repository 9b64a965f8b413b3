/* trust.h - which policy files of repositories the user has reviewed: BLAKE2b-256 by absolute
 * path, in the state folder's file "trust" (0600). */
#ifndef EG_CMD_TRUST_H
#define EG_CMD_TRUST_H

#include "base/err.h"
#include "base/slice.h"

/* Was exactly this text trusted at that path? text is what will be used, so that nothing can
 * change in between. A trust file that can't be read, is not ours or may be written by others
 * trusts nothing (EG_OK with false; err tells why, for a warning). */
enum eg_status eg_trust_check(const char *path, struct eg_slice text, bool *trusted,
                              struct eg_err *err) EG_MUST_USE;
/* Records the file as it is now, in place of an older record. */
enum eg_status eg_trust_add(const char *path, struct eg_err *err) EG_MUST_USE;
/* EG_NOT_FOUND when there was no record. */
enum eg_status eg_trust_remove(const char *path, struct eg_err *err) EG_MUST_USE;
/* Calls each for every record: state 0 unchanged, 1 changed since, 2 gone. */
enum eg_status eg_trust_each(void (*each)(void *ctx, const char *path, int state), void *ctx,
                             struct eg_err *err) EG_MUST_USE;

#endif
