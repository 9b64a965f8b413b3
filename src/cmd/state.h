/* state.h - what the files of the supervisor share; nobody else includes it. supervisor.c holds
 * the whole together, each other file one part of it: environ.c facts.c listeners.c
 * credentials.c cred_*.c sessions.c workers.c reload.c policy.c control.c events.c */
#ifndef EG_CMD_STATE_H
#define EG_CMD_STATE_H

#include <signal.h>
#include <sys/stat.h>

#include "audit/audit.h"
#include "cmd/link.h"
#include "cmd/supervisor.h"
#include "cred/cred.h"
#include "ctl/server.h"
#include "proxy/session.h"

enum {
    EG_SUP_WORKERS = 64,
    EG_SUP_LISTENERS = EG_SUPERVISOR_LISTENERS,
    EG_SUP_HELPERS = 8, /* credential helpers at once */
    EG_SUP_VAULT = 256 * 1024,
    EG_SUP_BLOCK_MAX = 256 << 20,
    EG_SUP_READY_MS = 30000, /* for workers to begin, or to take a policy */
    EG_SUP_STOP_MS = 1000,   /* from STOP to SIGKILL */
    EG_SUP_BACKOFF_MS = 100,
    EG_SUP_BACKOFF_MAX_MS = 5000,
    /* a worker that lived so long begins with the least backoff again */
    EG_SUP_STABLE_MS = 10000,
};

struct eg_sup_worker;

enum eg_sup_phase { EG_SUP_NEW, EG_SUP_STARTING, EG_SUP_RUNNING, EG_SUP_DRAINING, EG_SUP_STOPPING };

/* ---- one compiled policy with the facts it was compiled with ---- */
struct eg_sup_policy {
    uint32_t generation;
    int block_fd, facts_fd; /* sealed */
    const void *block;
    size_t block_n;
    struct eg_policy *policy;
    char **parts; /* paths of files that its files extend; none of a refreshed one */
    unsigned part_count;
};
/* Reads, compiles, seals. Diagnostics go to stderr; the first error also to err (EG_INVALID). */
enum eg_status eg_sup_policy_load(struct eg_supervisor *s, struct eg_sup_policy **ret,
                                  struct eg_err *err) EG_MUST_USE;
/* The current policy as it is, with facts gathered anew. */
enum eg_status eg_sup_policy_refresh(struct eg_supervisor *s, struct eg_sup_policy **ret,
                                     struct eg_err *err) EG_MUST_USE;
/* The same without a supervisor: for commands that only ask it. */
enum eg_status eg_sup_policy_compile(const struct eg_supervisor_options *options,
                                     struct eg_sup_policy **ret, struct eg_err *err) EG_MUST_USE;
void eg_sup_policy_free(struct eg_sup_policy *p);

/* ---- credentials of one policy: see creds.h ---- */
struct eg_sup_field {
    char *name; /* "CREDENTIAL#FIELD" */
    struct eg_secret *secret;
};
struct eg_sup_credential {
    struct eg_sup_creds *creds;
    char *name, *place, *account;              /* place and account: NULL with a login */
    char **argv;                               /* cmd, sigv4 of a command: ends with NULL; else NULL */
    const struct eg_sup_upstream_login *login; /* of a proxy that the policy did not name; else NULL */
    enum eg_source_kind kind;
    bool json, lazy, kept; /* as in eg_credential; parts are as lazy as what they are parts of */
    uint64_t timeout_ms, ttl_ms;
    /* WAITING, READING: for the first time. LOADED: what is there is good, whatever later reads
     * brought; a SIGV4 has no value of its own then. LAZY: not read until somebody asks. */
    enum {
        EG_SUP_CRED_WAITING,
        EG_SUP_CRED_READING,
        EG_SUP_CRED_LOADED,
        EG_SUP_CRED_FAILED,
        EG_SUP_CRED_LAZY
    } state;
    bool wanted, busy; /* to be read; a helper reads it */
    struct eg_secret *secret;
    struct eg_sup_field *fields;
    unsigned field_count;
    struct eg_err why;   /* of the last read, when it failed */
    unsigned failures;   /* since the last good read */
    uint64_t read_ms;    /* end of the last read; 0: none */
    uint64_t loaded_ms;  /* of the last good one */
    uint64_t refused_ms; /* when it was last read because an origin refused it; 0: never */
    uint64_t expires_ms; /* no longer good; 0: never */
    uint64_t again_ms;   /* to be read again, or (FAILED and lazy) to be LAZY again; 0: no */
    struct eg_timer timer;
    bool newer; /* its source does not hold this value yet: it could not be written back (oauth.c); not read again */
};
/* A child may be told of it: it is there, or will be read when it is wanted. */
static inline bool eg_sup_cred_usable(const struct eg_sup_credential *e)
{
    return e->state == EG_SUP_CRED_LOADED || e->state == EG_SUP_CRED_LAZY;
}
struct eg_sup_helper;
struct eg_sup_creds {
    struct eg_supervisor *supervisor;
    struct eg_sup_credential *list;
    unsigned count, open; /* open: not yet settled for the first time */
    struct eg_sup_helper *helpers[EG_SUP_HELPERS];
    /* once, when open becomes 0; not from inside eg_sup_creds_read */
    void (*done)(struct eg_supervisor *s);
};
enum eg_status eg_sup_creds_new(struct eg_supervisor *s, const struct eg_policy *policy,
                                struct eg_sup_creds **ret) EG_MUST_USE;
/* Begins to read all but lazy ones and, at a reload, tokens (eg_sup_creds_follow); env: is read at
 * once. */
void eg_sup_creds_read(struct eg_sup_creds *c, void (*done)(struct eg_supervisor *s));
/* Begins what can begin now: something was settled, or a worker is there. */
void eg_sup_creds_more(struct eg_sup_creds *c);
/* Before the switch of a reload: what a source could not be given back is only in old. */
void eg_sup_creds_inherit(struct eg_sup_creds *now, struct eg_sup_creds *old);
/* After a reload: who waits for an answer that the old ones owed gets it, and tokens are fetched. */
void eg_sup_creds_follow(struct eg_supervisor *s, const struct eg_sup_creds *old);
void eg_sup_creds_free(struct eg_sup_creds *c);
struct eg_sup_credential *eg_sup_creds_find(const struct eg_sup_creds *c, struct eg_slice name);
/* A worker's CREDENTIAL_ASK. false: it asks for too much. */
bool eg_sup_creds_asked(struct eg_sup_worker *w, const struct eg_link_message *m) EG_MUST_USE;

/* ---- sessions ---- */
struct eg_sup_session {
    char id[48], label[48], token[EG_TOKEN_HEX + 1];
    uint64_t created_wall_us, expires_wall_us;
    bool revoked;
    struct eg_secret *key;
    unsigned count;
    struct eg_session_phantom *phantoms; /* owned texts */
};
void eg_sup_sessions_free(struct eg_supervisor *s);
struct eg_sup_session *eg_sup_session_find(struct eg_supervisor *s, const char *id);
/* Phantoms of all sessions by the current policy and credentials; what exists and still has its
 * prefix stays as it is. */
enum eg_status eg_sup_sessions_derive(struct eg_supervisor *s) EG_MUST_USE;
/* Of that service ("NAME#secret_key": the second of two): may a child be told of it now? */
bool eg_sup_phantom_usable(const struct eg_supervisor *s, const char *service);

/* ---- workers ---- */
enum eg_sup_worker_state { EG_SUP_WORKER_DOWN, EG_SUP_WORKER_STARTING, EG_SUP_WORKER_READY };
struct eg_sup_worker {
    struct eg_supervisor *supervisor;
    uint32_t number;
    pid_t pid; /* 0: none */
    enum eg_sup_worker_state state;
    uint32_t accepted; /* generation that it prepared last */
    uint32_t asked;    /* generation that it was asked to prepare last */
    /* it was sent sessions and listeners: what changes from here on is sent too */
    bool furnished;
    bool failed; /* at start: why is in err */
    struct eg_err err;
    struct eg_link link;
    struct eg_timer timer; /* DOWN: start again; STARTING: give up */
    uint64_t since_ms;
    uint32_t backoff_ms;
    unsigned restarts;
    unsigned warned; /* lines of WARN in this second */
    uint64_t warned_ms;
    unsigned asks; /* CREDENTIAL_ASK in this second */
    uint64_t asks_ms;
    bool stats_asked, stats_known;
    struct eg_engine_stats stats;
};
/* Forks it: it gives up its privileges and waits for messages. Before anything else is read, so
 * that it has nothing to forget and is prepared meanwhile. */
enum eg_status eg_sup_worker_fork(struct eg_sup_worker *w, struct eg_err *err) EG_MUST_USE;
/* Tells it the audit and the current policy; forks it when there is none. The rest follows at once,
 * or when the supervisor has all that workers must know. */
enum eg_status eg_sup_worker_start(struct eg_sup_worker *w, struct eg_err *err) EG_MUST_USE;
/* Sends to one; a link that takes no more is the end of that worker. */
void eg_sup_worker_send(struct eg_sup_worker *w, const struct eg_link_message *m, const int *fds,
                        unsigned fd_count);
void eg_sup_workers_send(struct eg_supervisor *s, const struct eg_link_message *m);
/* The rest: credentials, sessions, listeners. */
void eg_sup_worker_furnish(struct eg_sup_worker *w);
void eg_sup_worker_policy(struct eg_sup_worker *w, const struct eg_sup_policy *p);
/* All, kept until SWITCH. */
void eg_sup_worker_credentials(struct eg_sup_worker *w);
/* One, to all workers, at once: what it is now, and that whoever waits for it can go on. */
void eg_sup_workers_credential(struct eg_supervisor *s, const struct eg_sup_credential *e);
/* Its fields, before others take their place or none. */
void eg_sup_workers_forget_fields(struct eg_supervisor *s, const struct eg_sup_credential *e);
/* Names that old has and now has not, kept until SWITCH. */
void eg_sup_worker_forget(struct eg_sup_worker *w, const struct eg_sup_creds *old,
                          const struct eg_sup_creds *now);
void eg_sup_worker_session(struct eg_sup_worker *w, const struct eg_sup_session *session);
bool eg_sup_worker_reaped(struct eg_supervisor *s, pid_t pid, int wait_status);
unsigned eg_sup_workers_alive(const struct eg_supervisor *s);
void eg_sup_workers_kill(struct eg_supervisor *s);

/* ---- reload ---- */
enum eg_sup_reload_step { EG_SUP_RELOAD_NONE, EG_SUP_RELOAD_CREDENTIALS, EG_SUP_RELOAD_PREPARE };
struct eg_sup_reload {
    enum eg_sup_reload_step step;
    bool again, again_whole; /* asked for while one is under way */
    bool whole;              /* the one under way: false: facts only, policy and credentials stay */
    struct eg_sup_policy *policy;
    struct eg_sup_creds *creds;
    struct eg_timer late;
    struct eg_timer look; /* at the system's files */
    struct timespec seen[2];
};
/* whole: policy files, credentials and facts; else facts only. */
void eg_sup_reload_ask(struct eg_supervisor *s, bool whole);
/* From now on a changed resolv.conf or hosts file is a reload of the facts. */
enum eg_status eg_sup_reload_watch(struct eg_supervisor *s) EG_MUST_USE;
/* A worker answered, began or ended. */
void eg_sup_reload_check(struct eg_supervisor *s);
void eg_sup_reload_refused(struct eg_supervisor *s, uint32_t generation, const char *why);
/* A refresh token is no longer being used: one that was asked for meanwhile may begin. */
void eg_sup_reload_resume(struct eg_supervisor *s);
/* Gives up what is under way. */
void eg_sup_reload_cancel(struct eg_supervisor *s);

/* ---- listeners ---- */
struct eg_sup_listener {
    int fd; /* -1: closed for the drain */
    struct eg_sockaddr at;   /* family 0: a Unix socket */
    char *unix_path;         /* absolute, as clients see it; NULL: TCP */
    struct stat unix_stat;   /* of the socket file that we made; st_ino 0: none */
    enum eg_ingress_kind kind;
    unsigned protocols;      /* EG_PROTOCOL_* */
    enum eg_auth auth;
    char *cert, *key;        /* PEM; NULL: no TLS */
    char *client_ca;         /* PEM; NULL: no client certificate is asked for */
    bool require_client;
    struct eg_sup_listener_session { /* owned texts */
        char *san, *label;
    } *sessions;
    unsigned session_count;
};
enum eg_status eg_sup_listeners_open(struct eg_supervisor *s, struct eg_err *err) EG_MUST_USE;
/* Warns of listeners and other settings of the new policy that need a restart. */
void eg_sup_listeners_compare(const struct eg_supervisor *s, const struct eg_policy *next);
void eg_sup_listeners_close(struct eg_supervisor *s, bool forget);
/* The one that a child's variables name: TCP without TLS that speaks HTTP; NULL when there is none. */
const struct eg_sup_listener *eg_sup_listener_plain(const struct eg_supervisor *s);
/* A session for every label that client certificates stand for, unless there is one. */
enum eg_status eg_sup_listeners_sessions(struct eg_supervisor *s, struct eg_err *err) EG_MUST_USE;

/* ---- ways.c: for status ---- */
/* Who chose the proxies, which, and what bypasses them. A new object; NULL without memory. */
json_t *eg_sup_upstream_json(const struct eg_supervisor *s);

/* ---- events, control ---- */
void eg_sup_event(struct eg_supervisor *s, enum eg_status reason, uint64_t number,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
/* `end` events for what a dead worker left open. */
void eg_sup_events_close(struct eg_supervisor *s, uint32_t writer);
enum eg_status eg_sup_events_keep(const struct eg_supervisor *s, struct eg_err *err) EG_MUST_USE;
extern const struct eg_ctl_handler eg_sup_handlers[];
/* control_creds.c: one credential for people, without its value; brief: name, source, state and error
 * only. A new object, NULL without memory. And two handlers. */
json_t *eg_sup_cred_json(const struct eg_sup_credential *e, bool brief);
enum eg_status eg_sup_op_creds_list(void *ctx, const json_t *request, struct eg_ctl_answer *answer,
                                    struct eg_err *err) EG_MUST_USE;
enum eg_status eg_sup_op_creds_test(void *ctx, const json_t *request, struct eg_ctl_answer *answer,
                                    struct eg_err *err) EG_MUST_USE;

/* ---- token.c: --token-file ---- */
/* Writes it, if one was asked for. A file that is there and holds no token is EG_EXISTS. */
enum eg_status eg_sup_token_write(struct eg_supervisor *s, const char *token,
                                  struct eg_err *err) EG_MUST_USE;
/* Removes what eg_sup_token_write made; not one that another daemon has put in its place. */
void eg_sup_token_remove(const struct eg_supervisor *s);

/* ---- setup.c: before anything is opened ---- */
/* Undumpable, no core, descriptors up to the hard limit, SIGPIPE and SIGXFSZ ignored, libsodium. */
enum eg_status eg_sup_harden(struct eg_err *err) EG_MUST_USE;
/* Copies of all texts; freed also when it fails. */
enum eg_status eg_sup_options_copy(struct eg_supervisor_options *to,
                                   const struct eg_supervisor_options *from) EG_MUST_USE;
void eg_sup_options_free(struct eg_supervisor_options *o);

struct eg_supervisor {
    struct eg_supervisor_options options; /* its texts are copies */
    enum eg_sup_phase phase;
    struct eg_loop *loop;
    struct eg_vault *vault;
    struct egress_ring *ring;
    int ring_fd;
    struct eg_trail trail;
    uint32_t generation; /* last number given */
    struct eg_sup_policy *policy;
    struct eg_sup_creds *creds;
    bool creds_read;
    bool provided; /* credentials and the first session are there: workers may be furnished */
    struct eg_sup_reload reload;
    struct eg_sup_session **sessions;
    unsigned session_count;
    struct eg_sup_worker workers[EG_SUP_WORKERS];
    unsigned worker_count;
    struct eg_sup_listener listeners[EG_SUP_LISTENERS];
    unsigned listener_count;
    struct eg_ctl_server *control;
    struct eg_sup_ssh *ssh; /* NULL: no policy named a gateway yet; see ssh.h */
    bool token_written;
    struct stat token_stat; /* of the file that we made */
    int signals;
    bool signals_set;
    sigset_t old_mask;
    struct eg_watch signal_watch;
    struct eg_timer stop_timer;
    bool stop_asked; /* a signal while it starts */
    uint64_t started_wall_us, started_ms;
};

#endif
