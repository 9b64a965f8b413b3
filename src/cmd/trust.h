/* trust.h - which policy files of repositories the user has reviewed: BLAKE2b-256 by absolute
 * path, in the state folder's file "trust" (0600). The hash is of the file and of all files that it
 * extends, so that none of them changes unnoticed. */
#ifndef EG_CMD_TRUST_H
#define EG_CMD_TRUST_H

#include "policy/compile.h"

/* Was exactly this text trusted at that path, with exactly these files that it extends? The texts
 * are what will be used, so that nothing can change in between. A trust file that can't be read, is not ours or may be written by others
 * trusts nothing (EG_OK with false; err tells why, for a warning). */
enum eg_status eg_trust_check(const char *path, struct eg_slice text,
                              const struct eg_policy_file *parts, unsigned count, bool *trusted,
                              struct eg_err *err) EG_MUST_USE;
/* Is there a record at all? */
bool eg_trust_recorded(const char *path);
/* Is the file trusted as it is now, with all that it extends? For messages; what is used is asked for by eg_trust_check. */
bool eg_trust_holds(const char *path);
/* Records the file as it is now, with all that it extends, in place of an older record. covers
 * (may be NULL) gets the path of every file that it extends, one a line. */
enum eg_status eg_trust_add(const char *path, struct eg_buf *covers,
                            struct eg_err *err) EG_MUST_USE;
/* EG_NOT_FOUND when there was no record. */
enum eg_status eg_trust_remove(const char *path, struct eg_err *err) EG_MUST_USE;
/* Calls each for every record: state 0 unchanged, 1 changed since, 2 gone. */
enum eg_status eg_trust_each(void (*each)(void *ctx, const char *path, int state), void *ctx,
                             struct eg_err *err) EG_MUST_USE;

#endif
