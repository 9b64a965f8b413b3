/* launch.h - the child of `egressctl run`: its own user, network, pid and mount namespaces, no capability, no new privileges, a seccomp filter; the
 * listeners inside it are made there and passed out. */
#ifndef EG_LAUNCH_LAUNCH_H
#define EG_LAUNCH_LAUNCH_H

#include <sys/types.h>

#include "base/err.h"
#include "base/uri.h"
#include "egress/audit.h"
#include "policy/policy.h"

struct eg_launch;

/* What keeps the child to its proxy; a higher one holds more. */
enum eg_enforcement {
    EG_ENFORCE_NONE,      /* --no-enforce: the listener is on the host's loopback */
    EG_ENFORCE_SECCOMP,   /* no namespaces: system calls are filtered, connections made for it; the listener is on the host's loopback */
    EG_ENFORCE_NAMESPACES
};
/* "none", "seccomp", "namespaces": what status and audit say, and the command line takes. */
const char *eg_enforcement_name(enum eg_enforcement e);

/* What a listening socket inside the child's network is for. */
enum eg_entry {
    EG_ENTRY_PROXY, /* the proxy's own, with tokens; always the first, and there is one */
    EG_ENTRY_OPEN,  /* the same without: whoever reaches it is in the child's network. For programs that can't show one (Java); not where the loopback is the host's */
    /* these three where the child is captured (spec.capture) */
    EG_ENTRY_CAPTURE,   /* whatever TCP is not for the loopback; one on 127.0.0.1, and one on ::1 where the kernel has IPv6 */
    EG_ENTRY_NAMES_UDP, /* the child's resolver, on 127.0.0.1:53: a datagram socket ... */
    EG_ENTRY_NAMES_TCP  /* ... and a listening one */
};
enum { EG_ENTRY_MAX = 6 };
struct eg_launch_entry {
    enum eg_entry kind;
    int fd;
    struct eg_sockaddr at; /* as the child sees it */
};

struct eg_launch_spec {
    char *const *argv;
    /* tried from the first to the last; NONE is never fallen back to: it is both or neither */
    enum eg_enforcement strongest, weakest;
    bool capture;           /* entries for programs that know no proxies; namespaces only */
    char *const *sockets;   /* Unix sockets of the host that the child may connect to, by absolute path; NULL-terminated, NULL: none */
    unsigned landlock_abi;  /* use no more of Landlock than that; 0: all there is (for tests) */
    const char *user;   /* --user NAME, for root; NULL: SUDO_UID, else refused */
    const char *sudo_uid, *sudo_gid; /* of the environment, may be NULL */
};

/* landlock.c: what the kernel has; 0: none, and there is no SECCOMP then. */
unsigned eg_landlock_abi(void);
/* Clones the child (before any secret is read), writes its id maps, receives the entries. EG_PERMISSION with what to change on this system when nothing from strongest to
 * weakest is to be had.
 * The child waits: it execs only after eg_launch_go, and ends when we die. */
enum eg_status eg_launch_prepare(const struct eg_launch_spec *spec, struct eg_launch **ret, struct eg_err *err) EG_MUST_USE;
enum eg_enforcement eg_launch_enforcement(const struct eg_launch *l);
/* Why the strongest was not to be had, in one line; "" where it was. Lives with l. */
const char *eg_launch_weaker_because(const struct eg_launch *l);
/* The listening sockets inside, the proxy's first. The caller takes their descriptors. */
const struct eg_launch_entry *eg_launch_entries(const struct eg_launch *l, unsigned *count);
/* Of the entry of that kind; NULL: there is none. */
const struct eg_sockaddr *eg_launch_address(const struct eg_launch *l, enum eg_entry kind);
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
/* What the command will not see or change: the child sees to it while the caller goes on. Once, before eg_launch_go; texts are copied. What the child can't do of it is said
 * there, or here, as there. */
enum eg_status eg_launch_cover(struct eg_launch *l, const struct eg_launch_paths *paths, struct eg_err *err) EG_MUST_USE;
/* Lets the child go with that environment (NULL-terminated). EG_NOT_FOUND (127) or EG_PERMISSION (126) when the command can't be executed; other faults are ours (125). */
enum eg_status eg_launch_go(struct eg_launch *l, char *const *environment, struct eg_err *err) EG_MUST_USE;
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
/* Why it ended before the command ran, if it said so: EG_OK: it did not. After eg_launch_ended. */
enum eg_status eg_launch_failed(const struct eg_launch *l, struct eg_err *err) EG_MUST_USE;
/* The command ended by SIGINT under a terminal, and did not handle it: a shell ends a loop for a program that ends so, and for no exit status. After eg_launch_ended. */
bool eg_launch_interrupted(const struct eg_launch *l);
/* Ends and reaps every process that the fallback's child has left to us, though its own supervisors were killed. To be called
 * once nothing of the caller's own is left to wait for. */
void eg_launch_sweep(void);
/* Kills what is left of the child and frees. */
void eg_launch_free(struct eg_launch *l);
/* 0..255 as docker run has it: exit status, or 128 + signal. */
int eg_launch_exit_code(int wait_status);

/* ---- environment (clients.md) ---- */
struct eg_child_env_spec {
    char *const *parent;           /* the launcher's environment */
    const struct eg_policy *policy;
    const struct eg_sockaddr *listener;
    const struct eg_sockaddr *open; /* a listener that asks for no token, for Java; NULL: none */
    const char *session, *token, *policy_path;
    bool strict;       /* leaves out *_TOKEN, *_API_KEY and *_SECRET* of the parent */
    const char *files; /* folder of the generated files, a plain absolute path; NULL: none are wanted */
    char *const *more; /* "NAME=value" texts that are set last; NULL-terminated, NULL: none */
    unsigned phantom_count;
    const char *const *phantom_services, *const *phantom_texts; /* parallel; only services whose credential loaded */
};
/* A new NULL-terminated environment: proxy variables, NO_PROXY, base URL for every declared route, phantoms only for credentials that loaded, real ones (every env: source, and what opens the stores
 * of programs that are sources) and variables of phantoms that are not there unset; variables that name generated files. Freed with eg_child_env_free. */
enum eg_status eg_child_env_make(const struct eg_child_env_spec *spec, char ***ret, struct eg_err *err) EG_MUST_USE;
void eg_child_env_free(char **environment);
/* Is it a name that `strict` leaves out: *_TOKEN, *_API_KEY, *_SECRET*, in any case? */
bool eg_child_env_secret_name(struct eg_slice name);
/* The i-th variable that is a key itself to what that program gives, wherever it is; empty: no more. */
struct eg_slice eg_child_env_program_key(struct eg_slice program, unsigned i);

/* ---- generated files (clients.md): configuration of programs whose proxy no variable sets ---- */
/* Writes them below spec->files, an empty folder of ours: for each program whose variable the parent has not set, and that has no file of the user's own. Readable for owner alone, and by nobody
 * to be written. EG_IO with the file's name; what was written before stays for the caller to remove. */
enum eg_status eg_child_files_write(const struct eg_child_env_spec *spec, uid_t owner, struct eg_err *err) EG_MUST_USE;

/* ---- summary ---- */
struct eg_summary {
    bool denied;   /* something was refused, or would have been under mode: enforce, by policy, session or limit: not what failed on its way */
    uint64_t lost; /* events that were overwritten: of them nothing is known */
};
/* Deduplicated refusals of the ring for people ("refused 3x  api.evil.example:443  host_not_allowed  (no rule)", and the command that explains it), at most 20
 * and a count of the rest; empty when there was none. options: what `egressctl explain` needs to find the same policy, quoted for a shell; may be NULL. */
enum eg_status eg_summary_write(const struct egress_ring *ring, const char *options, bool color, struct eg_buf *out, struct eg_summary *ret) EG_MUST_USE;

#endif
