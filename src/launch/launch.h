/* launch.h - the child of `egressctl run`: its own user, network, pid and mount namespaces, no capability, no new privileges, a seccomp filter; the one
 * listener inside it is made there and passed out. */
#ifndef EG_LAUNCH_LAUNCH_H
#define EG_LAUNCH_LAUNCH_H

#include <sys/types.h>

#include "base/err.h"
#include "base/uri.h"
#include "egress/audit.h"
#include "policy/policy.h"

struct eg_launch;

struct eg_launch_spec {
    char *const *argv;
    bool enforce;       /* false: --no-enforce: no namespaces; the listener is on the host's loopback */
    const char *user;   /* --user NAME, for root; NULL: SUDO_UID, else refused */
    const char *sudo_uid, *sudo_gid; /* of the environment, may be NULL */
};

/* Clones the child (before any secret is read), writes its id maps, receives the listener. EG_PERMISSION with what to change on this system when namespaces are refused.
 * The child waits: it execs only after eg_launch_go, and ends when we die. */
enum eg_status eg_launch_prepare(const struct eg_launch_spec *spec, struct eg_launch **ret, struct eg_err *err) EG_MUST_USE;
int eg_launch_listener(const struct eg_launch *l);                  /* the caller takes it */
const struct eg_sockaddr *eg_launch_address(const struct eg_launch *l); /* as the child sees it */
pid_t eg_launch_pid(const struct eg_launch *l);                     /* to wait for */

struct eg_launch_paths {
    const char *const *covered;   /* files and folders that the child must not see: file: sources, runtime directories, our control socket */
    unsigned covered_count;
    const char *const *read_only; /* trust store, state, user policy, the policy files */
    unsigned read_only_count;
    const char *const *programs;  /* files that we run outside the sandbox: read-only, and no parent of theirs can be moved away */
    unsigned program_count;
    const char *const *held;      /* as programs, files or folders, in a folder that the child goes on writing to: only mounts can hold one name there, so the fallback leaves them out */
    unsigned held_count;
    const char *const *sockets;   /* Unix sockets and folders of them: covered by mounts; in the fallback the filter alone keeps the child from them */
    unsigned socket_count;
};
/* Lets the child go with that environment (NULL-terminated). EG_NOT_FOUND (127) or EG_PERMISSION (126) when the command can't be executed; other faults are ours (125). */
enum eg_status eg_launch_go(struct eg_launch *l, char *const *environment, const struct eg_launch_paths *paths, struct eg_err *err) EG_MUST_USE;
/* Passed on to the command by the namespace's init. Nothing happens once it has ended. */
void eg_launch_signal(struct eg_launch *l, int signal);

/* ---- the terminal: the command is a job of its own, and stops and continues with us ---- */
/* Readable when init has something to say (then ask eg_launch_stopped); hung up when the child has ended: stop watching it then. Stays ours. */
int eg_launch_events_fd(const struct eg_launch *l);
/* True once for each time that the command stopped under a terminal: the caller stops itself, so that the shell takes over, and on waking calls eg_launch_continue. */
bool eg_launch_stopped(struct eg_launch *l);
void eg_launch_continue(struct eg_launch *l);
/* The foreground is ours again (the command has ended). */
void eg_launch_take_terminal(struct eg_launch *l);
/* The caller has waited for eg_launch_pid: its number may be somebody else's from now on. */
void eg_launch_ended(struct eg_launch *l);
/* Kills what is left of the child and frees. */
void eg_launch_free(struct eg_launch *l);
/* 0..255 as docker run has it: exit status, or 128 + signal. */
int eg_launch_exit_code(int wait_status);

/* ---- environment (clients.md) ---- */
struct eg_child_env_spec {
    char *const *parent;           /* the launcher's environment */
    const struct eg_policy *policy;
    const struct eg_sockaddr *listener;
    const char *session, *token, *policy_path;
    unsigned phantom_count;
    const char *const *phantom_services, *const *phantom_texts; /* parallel; only services whose credential loaded */
};
/* A new NULL-terminated environment: proxy variables, NO_PROXY, base URL for every declared route, phantoms only for credentials that loaded, real ones (every env: source, and what opens the stores
 * of programs that are sources) and variables of phantoms that are not there unset. Freed with eg_child_env_free. */
enum eg_status eg_child_env_make(const struct eg_child_env_spec *spec, char ***ret, struct eg_err *err) EG_MUST_USE;
void eg_child_env_free(char **environment);
/* The i-th variable that is a key itself to what that program gives, wherever it is; empty: no more. */
struct eg_slice eg_child_env_program_key(struct eg_slice program, unsigned i);

/* ---- summary ---- */
/* Deduplicated refusals of the ring as lines for people ("refused 3x  api.evil.example:443  host_not_allowed  (no rule)"), at most 20 and a count of the rest; empty when there was none. */
enum eg_status eg_summary_write(const struct egress_ring *ring, bool color, struct eg_buf *out) EG_MUST_USE;

#endif
