/* run.h - what the files of `egressctl run` share: the places it reads and keeps, and what its
 * child must not see or change. */
#ifndef EG_CMD_RUN_H
#define EG_CMD_RUN_H

#include <limits.h>

#include "cmd/options.h"
#include "cmd/run_files.h"
#include "cmd/run_made.h"
#include "cmd/supervisor.h"
#include "launch/launch.h"

extern const struct eg_cmd_options eg_run_options, eg_shell_options;

/* Docker's, for what is not the command's own. */
enum { EG_RUN_FAILED = 125, EG_RUN_NOT_EXECUTABLE = 126, EG_RUN_NOT_FOUND = 127 };

enum { EG_RUN_SOCKETS = 16 };

struct eg_run_asked { /* texts are argv's */
    const struct eg_cmd_options *options;
    const char *file, *user; /* NULL: not given */
    bool trust, observe, fail_on_deny, strict, capture;
    enum eg_enforcement strongest, weakest;
    const char *sockets[EG_RUN_SOCKETS + 1]; /* --socket; ends with NULL */
    unsigned workers;
    struct eg_sup_upstream *upstream; /* NULL: not given */
    char **command;                   /* NULL: a shell */
    const char *writable[EG_CMD_OPTIONS_MAX]; /* of --write */
    unsigned writable_count;
};
/* The command line of `run` or of `shell`; takes the logins out of it. -1 to go on, or the exit
 * status; what is in ret is the caller's either way. */
int eg_run_parse(const struct eg_cmd_options *o, int argc, char **argv, struct eg_run_asked *ret);

enum { EG_RUN_POLICIES = 3, EG_RUN_KEEP = 20, EG_RUN_PATHS = 1024 };

struct eg_run_places { /* computed before the environment is wiped */
    char name[48]; /* of the session and its socket: run-PID */
    char org[PATH_MAX], user[PATH_MAX], repo[PATH_MAX];
    char state[PATH_MAX];   /* empty: none can be had */
    char events[PATH_MAX];  /* run-TIME-PID.jsonl in it, so that names sort by time */
    char config[PATH_MAX];  /* the user policy's folder; empty: none */
    char control[PATH_MAX]; /* of the socket */
    char files[EG_RUN_FILES_PATH]; /* folder of generated files, which the child reads and does not change; empty: none yet */
    struct eg_policy_source policies[EG_RUN_POLICIES];
    unsigned policy_count;
    const char *const *parts; /* files that those extend: known once the policy is compiled */
    unsigned part_count;
};

/* Finds policy files (file: -p, may be NULL), makes the folders that are ours, drops kept events
 * beyond EG_RUN_KEEP. trust: the repository's file is trusted for this run. Reads the
 * environment. EG_NOT_FOUND: no policy at all; err tells. */
enum eg_status eg_run_places_find(struct eg_run_places *p, const char *file, bool trust,
                                  struct eg_err *err) EG_MUST_USE;

/* The policy files alone, for commands that only ask them. */
enum eg_status eg_run_policies_find(struct eg_run_places *p, const char *file, bool trust,
                                    struct eg_err *err) EG_MUST_USE;

/* Removes the sockets that killed runs have left beside that control socket, and their folders of ssh's. ended: of that process alone, which is over; 0: of all that are. */
void eg_run_drop_stale(const char *control, pid_t ended);

struct eg_run_paths { /* owns its texts; for eg_launch_go */
    char *covered[EG_RUN_PATHS], *read_only[EG_RUN_PATHS], *programs[EG_RUN_PATHS];
    char *held[EG_RUN_PATHS], *sockets[EG_RUN_PATHS];
    char *exposed[EG_RUN_PATHS]; /* covered files that the child sees once they are replaced */
    unsigned exposed_count;
    struct eg_launch_paths lists;
};
struct eg_run_child { /* whose files they are, and how they are kept from it */
    uid_t uid;
    enum eg_enforcement enforcement;
    const char *const *writable; /* what would run outside later, and may be written to all the same */
    unsigned writable_count;
    struct eg_run_made *made; /* NULL: nothing is made */
};
enum eg_status eg_run_paths_make(const struct eg_run_places *p,
                                 const struct eg_environ *environment,
                                 const struct eg_policy *policy, const struct eg_run_child *child,
                                 struct eg_run_paths *ret) EG_MUST_USE;
void eg_run_paths_done(struct eg_run_paths *p);

/* run_private.c: true, and the folder (PATH_MAX bytes), where the file's folder is private (0700) and holds nothing but private
 * files, so that all of it can be kept from the child; never the working folder nor home (may be NULL). */
bool eg_run_private_folder(const char *file, const char *home, char *folder);
/* May what is put in the file's place be the child's to read? Else it is root's. */
bool eg_run_replaceable(const char *file, uid_t child);

/* The parent's environment as the child's user would have it: with HOME, USER and LOGNAME of who
 * it becomes, without the caller's XDG_* and session bus. With no change of user it is the same.
 * Only the list is new, and the few texts named; freed with eg_run_user_done. */
struct eg_run_user {
    uid_t uid;
    gid_t gid;
    char **environment;
    char *own[3], *runtime;
};
enum eg_status eg_run_user_make(const char *name, char *const *parent, struct eg_run_user *ret,
                                struct eg_err *err) EG_MUST_USE;
void eg_run_user_done(struct eg_run_user *u);

#endif
