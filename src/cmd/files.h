/* files.h - reading and writing whole files, for the supervisor and the commands. Workers never
 * come here. */
#ifndef EG_CMD_FILES_H
#define EG_CMD_FILES_H

#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"

enum { EG_FILE_POLICY_MAX = 64 << 20 }; /* policy.md: the cap for egressd */

/* Appends a regular file's content, up to the buffer's ceiling. Never blocks on a pipe or
 * device. st (may be NULL) is of the descriptor that was read. EG_NOT_FOUND, EG_PERMISSION,
 * EG_INVALID (no regular file), EG_TOO_BIG, EG_IO; out may hold a part then. */
enum eg_status eg_file_read(const char *path, struct eg_buf *out, struct stat *st,
                            struct eg_err *err) EG_MUST_USE;
/* The same of a descriptor, which stays open; path is for messages. */
enum eg_status eg_file_take(int fd, const char *path, struct eg_buf *out, struct stat *st,
                            struct eg_err *err) EG_MUST_USE;
/* A new file of mode 0600 that takes the place of path at once. */
enum eg_status eg_file_replace(const char *path, struct eg_slice text,
                               struct eg_err *err) EG_MUST_USE;
/* The same for a file that is there: its owner and mode stay. EG_INVALID for a symbolic link, which whoever wrote the folder may have led elsewhere. */
enum eg_status eg_file_rewrite(const char *path, struct eg_slice text,
                               struct eg_err *err) EG_MUST_USE;
/* A new file of mode 0600 that was not there (O_EXCL); stale: a regular file of ours with that
 * name is removed first. */
enum eg_status eg_file_create(const char *path, bool stale, int *fd,
                              struct eg_err *err) EG_MUST_USE;
/* All bytes, or EG_IO. */
enum eg_status eg_file_write(int fd, struct eg_slice text, struct eg_err *err) EG_MUST_USE;

/* A memfd that holds those bytes and can't be changed any more. */
enum eg_status eg_file_seal(const char *name, struct eg_slice bytes, int *fd,
                            struct eg_err *err) EG_MUST_USE;
/* Maps a memfd read-only; *n > 0. EG_INVALID when it is empty, larger than max, or not sealed. */
enum eg_status eg_file_map(int fd, size_t max, const void **p, size_t *n,
                           struct eg_err *err) EG_MUST_USE;

#endif
