/* run_shell.h - the shell of `egressctl shell`: which one, and how its prompt comes to say where
 * it is. */
#ifndef EG_CMD_RUN_SHELL_H
#define EG_CMD_RUN_SHELL_H

#include "cmd/run.h"

struct eg_run_shell {
    char path[PATH_MAX];
    char rc[EG_RUN_FILES_PATH + 16];     /* of the file that it reads at its start; empty: none */
    char *argv[4];                       /* NULL-terminated; texts are this struct's, or static */
    char *variables[3];                  /* "NAME=value", NULL-terminated: to set in its environment */
    char first[PATH_MAX + 32], second[PATH_MAX + 32]; /* what they point at */
};

/* user: --user, may be NULL. folder: of the files, where eg_run_shell_write will write. Reads the environment. EG_NOT_FOUND. */
enum eg_status eg_run_shell_choose(struct eg_run_shell *s, const char *user, const char *folder, struct eg_err *err) EG_MUST_USE;
/* What it reads at its start, and its variables: after the shell is chosen, before it runs. user: who runs it, with its environment. EG_IO. */
enum eg_status eg_run_shell_write(struct eg_run_shell *s, const char *folder, const struct eg_run_user *user, struct eg_err *err) EG_MUST_USE;

#endif
