/* run_files.h - the folder of one run's generated files, from its making to its removal. */
#ifndef EG_CMD_RUN_FILES_H
#define EG_CMD_RUN_FILES_H

#include "base/err.h"

enum { EG_RUN_FILES_PATH = 256 };

struct eg_run_files {
    char path[EG_RUN_FILES_PATH]; /* plain and absolute; empty: there is none */
    int base, folder;             /* the folder above, and it, locked; -1 */
};

/* Removes what killed runs left, then makes a new, empty folder (0700) below TMPDIR or /tmp, and locks it. Reads the environment. EG_IO, with nothing left. */
enum eg_status eg_run_files_make(struct eg_run_files *f, struct eg_err *err) EG_MUST_USE;
/* Removes it and all that is in it, without following a link. Safe after a failure and on a zeroed struct. EG_IO: something is left; err tells where. */
enum eg_status eg_run_files_remove(struct eg_run_files *f, struct eg_err *err) EG_MUST_USE;

#endif
