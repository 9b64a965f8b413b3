/* supervisor.h - the process that owns listeners, control socket, policy files, credential
 * sources and the audit's memory, and keeps N workers alive. It parses no byte that a child or
 * an origin sent. Used by egressd and by `egressctl run`. */
#ifndef EG_CMD_SUPERVISOR_H
#define EG_CMD_SUPERVISOR_H

#include <jansson.h>
#include <sys/types.h>

#include "launch/launch.h"
#include "net/loop.h"
#include "policy/compile.h"
#include "proxy/engine.h"

struct eg_supervisor;
struct eg_sup_upstream;

enum { EG_SUPERVISOR_LISTENERS = 8 };

struct eg_policy_source { /* read anew at every reload */
    const char *path;
    enum eg_layer layer;
    bool trusted;
};

/* A copy of the environment taken at start, before the process' own is overwritten
 * (/proc/self/environ must not show a key). All of it is kept, since a reload may name other
 * variables: in memory that no core holds and no forked process inherits. */
struct eg_environ;
enum eg_status eg_environ_take(struct eg_environ **ret) EG_MUST_USE;      /* copies; */
const char *eg_environ_get(const struct eg_environ *e, const char *name); /* NULL when unset */
char *const *eg_environ_all(const struct eg_environ *e);
/* Overwrites the process' own environment bytes (call once the copy is taken and children that
 * need it were cloned). */
void eg_environ_wipe_own(void);
void eg_environ_free(struct eg_environ *e); /* wipes */

struct eg_supervisor_options {
    const struct eg_policy_source *policies;
    unsigned policy_count;
    const struct eg_environ *environment; /* for env: credentials, SSL_CERT_FILE, SSL_CERT_DIR */
    unsigned workers;                     /* >= 1 */
    const char *control_path;             /* NULL: no control socket */
    /* NULL: none; else the first session's token goes there (O_EXCL, 0600) */
    const char *token_file;
    const struct eg_sockaddr *listen; /* command line beats policy; NULL: the policy's */
    /* the listening sockets of `run`'s child; any take the place of all others. Their descriptors are
     * taken, whatever happens. */
    struct eg_launch_entry entries[EG_ENTRY_MAX];
    unsigned entry_count;
    /* label of the session that those which ask for no token stand for; borrowed, for as long as the
     * supervisor */
    const char *entry_session;
    const char *enforcement; /* what holds that child, for status and audit; NULL: there is none */
    const char *weaker;      /* why nothing stronger does, in a line; NULL or "": it is the strongest */
    /* listening sockets that were passed at start; they take the place of the policy's, in their
     * order. Taken, whatever happens. */
    int passed[EG_SUPERVISOR_LISTENERS];
    unsigned passed_count;
    bool observe;      /* --observe: mode observe, whatever the files say */
    bool allow_remote; /* listeners on other than loopback addresses need no client certificates */
    const struct eg_sup_upstream *upstream; /* borrowed; NULL: only the policy chooses proxies */
    bool splice;
    bool default_session; /* make the session "default" at start (egressd) */
    /* `run`: the ring is written there as JSON Lines (0600) at the end; NULL: none */
    const char *events_file;
    /* a process that is not the supervisor's own; may be NULL */
    void (*child_exited)(void *ctx, pid_t pid, int wait_status);
    bool (*signalled)(void *ctx, int signal); /* true: handled by the caller; may be NULL */
    void *ctx;
};

struct eg_supervisor_listener {
    struct eg_sockaddr at; /* family 0 with a path */
    const char *unix_path; /* NULL: TCP */
    unsigned protocols;    /* EG_PROTOCOL_* */
    bool tls;
};

/* Forks the workers (they know nothing and accept nothing yet), compiles the policy (diagnostics
 * to stderr), opens listeners, ring, audit file, control socket; nothing is left when anything fails: EG_INVALID for the policy (exit 3), else
 * EG_IO, EG_EXISTS ... with err. */
enum eg_status eg_supervisor_new(const struct eg_supervisor_options *options,
                                 struct eg_supervisor **ret, struct eg_err *err) EG_MUST_USE;
/* `egressd -t`: compiles only; diagnostics (warnings too) go to stderr. EG_INVALID, EG_NOMEM. */
enum eg_status eg_supervisor_check(const struct eg_supervisor_options *options,
                                   struct eg_err *err) EG_MUST_USE;
/* Waits for the credentials (failures are recorded and warned of), tells the
 * workers all and waits until each is ready. */
enum eg_status eg_supervisor_start(struct eg_supervisor *s, struct eg_err *err) EG_MUST_USE;
/* Runs until eg_supervisor_quit, SIGTERM/SIGINT (drain) or a fatal fault; then stops the
 * workers, writes events_file, removes socket and token file. */
enum eg_status eg_supervisor_run(struct eg_supervisor *s, struct eg_err *err) EG_MUST_USE;
/* From a callback: leave run. drain: let exchanges finish first. */
void eg_supervisor_quit(struct eg_supervisor *s, bool drain);
void eg_supervisor_free(struct eg_supervisor *s);

unsigned eg_supervisor_listeners(const struct eg_supervisor *s, struct eg_supervisor_listener *out,
                                 unsigned cap);
/* The same for status and the ready line. */
json_t *eg_supervisor_listeners_json(const struct eg_supervisor *s);
/* Does text hold the value of a credential that is loaded (8 bytes or more), or a field of one? */
bool eg_supervisor_holds_secret(const struct eg_supervisor *s, const char *text);
const struct eg_policy *eg_supervisor_policy(const struct eg_supervisor *s);
/* Paths of the files that its files extended when it was started. */
const char *const *eg_supervisor_policy_parts(const struct eg_supervisor *s, unsigned *count);
struct egress_ring *eg_supervisor_ring(const struct eg_supervisor *s);
struct eg_loop *eg_supervisor_loop(const struct eg_supervisor *s);

struct eg_session_info { /* strings live with the session */
    const char *id, *label, *token;
    unsigned phantom_count; /* services whose credential loaded */
    const struct eg_session_phantom *phantoms;
};
/* ttl_s 0: no expiry. Before start or while running (then it is passed to every worker). */
enum eg_status eg_supervisor_session_create(struct eg_supervisor *s, const char *label,
                                            uint64_t ttl_s, struct eg_session_info *ret,
                                            struct eg_err *err) EG_MUST_USE;
enum eg_status eg_supervisor_session_revoke(struct eg_supervisor *s, const char *id,
                                            struct eg_err *err) EG_MUST_USE;
/* Appends a system event to the ring. */
void eg_supervisor_event(struct eg_supervisor *s, enum eg_status reason, const char *detail);

#endif
