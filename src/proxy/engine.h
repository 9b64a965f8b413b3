/* engine.h - the data path of one worker: listeners, sessions, snapshots, flows. What a worker
 * process drives, and what libegress embeds.
 *
 * It reads no file, environment or keyring: everything arrives through these calls.
 * Single-threaded on one loop. */
#ifndef EG_PROXY_ENGINE_H
#define EG_PROXY_ENGINE_H

#include "audit/audit.h"
#include "cred/cred.h"
#include "net/loop.h"
#include "policy/policy.h"

struct eg_engine;
struct eg_stream;
struct eg_channel_ask;

struct eg_engine_config {
    struct eg_loop *loop;   /* borrowed */
    struct eg_trail trail;  /* copied; ring and file are borrowed */
    struct eg_vault *vault; /* borrowed; credentials go into it */
    bool splice;
    /* for ssh hops; NULL: they fail with EG_SSH_DOWN */
    enum eg_status (*channel_open)(void *ctx, const struct eg_channel_ask *ask);
    void (*channel_cancel)(void *ctx, uint64_t id);
    /* A credential that was not read yet is wanted, or (refused) the origin answered 401 to this one. Answered by eg_engine_credential, maybe with the
     * same value; not asked again meanwhile. NULL: lazy ones are unavailable and 401 is passed on. */
    enum eg_status (*credential_ask)(void *ctx, struct eg_slice name, bool refused);
    /* In the place of eg_stream_dial, to these judged addresses; NULL: that. For origins in memory. */
    enum eg_status (*dial)(void *ctx, const struct eg_sockaddr *addrs, unsigned count,
                           struct eg_stream **ret);
    /* Where the client of that redirected connection wanted to go; NULL: the kernel is asked. For clients in memory. */
    bool (*wanted)(void *ctx, struct eg_sockaddr *ret);
    void (*warn)(void *ctx, const char *text); /* for the operator; may be NULL */
    void *ctx;
};

/* What the supervisor knows of the machine (workers read no file). Slices live as long as the
 * snapshot. */
struct eg_facts {
    struct eg_slice system_ca_pem;     /* the system's CA bundle; may be empty */
    struct eg_slice hosts_text;        /* /etc/hosts */
    struct eg_sockaddr dns_servers[4]; /* of resolv.conf; used unless the policy names its own */
    unsigned dns_count;
};

enum eg_status eg_engine_new(const struct eg_engine_config *config, struct eg_engine **ret,
                             struct eg_err *err) EG_MUST_USE;
/* Cuts every flow, writes their `end` events, frees everything. */
void eg_engine_free(struct eg_engine *e);

/* A new policy in two steps, so that all workers switch or none. prepare builds the snapshot
 * (TLS contexts, resolver) beside the current one; release(ctx) is called once the last flow
 * that uses the block is gone (or when prepare fails). switch makes it current: new exchanges
 * use it; live tunnels and pooled connections are judged again and what it denies is cut. */
enum eg_status eg_engine_prepare(struct eg_engine *e, const void *block, size_t n,
                                 const struct eg_facts *facts, void (*release)(void *ctx),
                                 void *ctx, struct eg_err *err) EG_MUST_USE;
void eg_engine_switch(struct eg_engine *e);
void eg_engine_abandon(struct eg_engine *e);

struct eg_listen_session { /* a client certificate with this SAN is the session with that label */
    struct eg_slice san, label;
};
enum eg_ingress_kind {
    EG_INGRESS_PROXY,
    EG_INGRESS_OPEN, /* the same, and who shows no token is the session that the listener names: for
                        one that nobody but that session's own processes can reach */
    EG_INGRESS_CAPTURE,   /* connections that the kernel redirected here, of that session (capture.c) */
    EG_INGRESS_NAMES_UDP, /* questions of the same programs: descriptor of a bound UDP socket ... */
    EG_INGRESS_NAMES_TCP, /* ... and of a listening one (names.h); nothing else of the config counts */
    EG_INGRESS_KINDS
};
/* How clients are met at one listener; copied. */
struct eg_listen_config {
    struct eg_sockaddr
        self; /* its address as clients see it (routes answer to it only); family 0: a Unix socket */
    enum eg_ingress_kind kind; /* not PROXY: sessions[0].label is whose clients they are */
    unsigned protocols; /* EG_PROTOCOL_* */
    enum eg_auth auth;
    struct eg_slice cert_pem, key_pem, client_ca_pem; /* TLS when cert is not empty */
    bool require_client;
    const struct eg_listen_session *sessions;
    unsigned session_count;
};
/* Takes the listening descriptor, whatever happens. */
enum eg_status eg_engine_listen(struct eg_engine *e, int fd, const struct eg_listen_config *config,
                                struct eg_err *err) EG_MUST_USE;

/* A client that is connected already (taken, whatever happens), met as those of the newest listener are. */
void eg_engine_serve(struct eg_engine *e, struct eg_stream *client);
/* Streams in memory have no descriptor that tells: whoever filled, drained or ended one says so. */
void eg_engine_wake(struct eg_engine *e);

/* An ssh hop: who holds the master (the supervisor) opens a channel and answers with
 * eg_engine_channel, once, unless it was cancelled. id is the engine's. */
struct eg_channel_ask {
    uint64_t id;
    const struct eg_authority *gateway; /* hop.at */
    struct eg_slice user;               /* hop.user */
    const struct eg_authority *to;
};
/* EG_OK: in and out are the channel's descriptors (taken); else why not, with detail. */
void eg_engine_channel(struct eg_engine *e, uint64_t id, enum eg_status status, const char *detail,
                       int in, int out);

struct eg_session_spec {
    const char *id;           /* unique, [a-z0-9-], at most 47 */
    const char *label;        /* for people; shown in the audit as session */
    const char *token;        /* 64 hex digits */
    uint64_t expires_wall_us; /* 0: never */
    struct eg_session_phantom {
        const char *service;
        const char *phantom;
    } const *phantoms;
    unsigned phantom_count;
};
/* Adds, or replaces the one with that id (its flows go on). EG_EXISTS when token or phantom is
 * another session's. */
enum eg_status eg_engine_session_put(struct eg_engine *e, const struct eg_session_spec *spec,
                                     struct eg_err *err) EG_MUST_USE;
/* Revokes: its token answers token_revoked from now on, its flows are cut. */
void eg_engine_session_revoke(struct eg_engine *e, const char *id);

/* The store that credentials are put into (eg_creds_put / eg_creds_fail / eg_creds_lazy). */
struct eg_creds *eg_engine_creds(struct eg_engine *e);
/* The answer to credential_ask is in the store: whoever waits for it goes on. */
void eg_engine_credential(struct eg_engine *e, struct eg_slice name);
/* A connected stream socket (taken, whatever happens) whose other end is our own: HTTP, to the routes of internal services and to nothing else. */
enum eg_status eg_engine_client(struct eg_engine *e, int fd, struct eg_err *err) EG_MUST_USE;

/* Closes the listeners and idle connections, lets exchanges finish, cuts what is left after the
 * policy's drain_timeout. */
void eg_engine_drain(struct eg_engine *e);
bool eg_engine_idle(const struct eg_engine *e); /* no flow left */

struct eg_engine_stats {
    uint64_t connections, tunnels, exchanges, refused; /* since start */
    uint32_t open_flows, open_tunnels, pooled, sessions;
    uint64_t bytes_up, bytes_down;
    uint64_t tls_full, tls_resumed;
};
void eg_engine_stats(const struct eg_engine *e, struct eg_engine_stats *ret);

#endif
