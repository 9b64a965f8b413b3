/* flow.h - one client connection and everything that hangs on it; the room's shared state. Internal
 * to proxy.
 *
 * A flow is a phase of one table (flow.c), two sides, and the parts that its phase needs (an
 * upstream being opened, an HTTP exchange, a relay). A callback only marks it runnable;
 * eg_flow_run steps it until it has to wait, then recomputes what it waits for. One function
 * moves between phases. */
#ifndef EG_PROXY_FLOW_H
#define EG_PROXY_FLOW_H

#include "http/message.h"
#include "http/refusal.h"
#include "net/listen.h"
#include "proxy/gate.h"
#include "stream/stream.h"

struct eg_flow;
struct eg_pool;
struct eg_channel;
struct eg_asked;

enum {
    EG_SCRATCH = 131072, /* the engine's one read buffer: flows at rest hold none */
    EG_IN_HIGH = 65536,  /* bytes of later requests above which a client is not read */
    EG_OUT_HIGH = 65536, /* queued bytes above which the other side is not read */
    EG_OUT_MAX = 262144, /* ceiling of a side's out buffer */
    EG_IN_MAX = 262144,  /* ceiling of a side's in buffer */
    EG_WATCHES =
        4, /* descriptors that one side waits for at most: four while addresses are raced */
    EG_INTERIM_MAX = 16,   /* 1xx responses passed on for one request */
    EG_LINGER_MAX = 8 << 20, /* bytes read and dropped before a connection is closed: a reset would take its last answer back */
    EG_LINGER_MS = 2000,
    EG_UNTOLD_MS = 2000, /* for a refused client's first flight; who waits for the server's word gets none */
    EG_ROUNDS = 16, /* reads of one direction of a tunnel in a tick: nobody starves the others */
    EG_BODY_ROUNDS = 8, /* ... of a body, where reads are wider */
};

/* ---- sides ---- */
struct eg_side_watch { /* one descriptor of a side; made when it is first waited for */
    struct eg_watch watch;
    struct eg_side *side;
    uint8_t wanted; /* what the side waits for; the kernel may know of more (side.c) */
};

struct eg_side { /* the client's or the origin's end */
    struct eg_flow *flow;
    struct eg_stream *stream;
    struct eg_side_watch *watches[EG_WATCHES];
    unsigned intent;   /* EG_IN | EG_OUT: what the last step waits for */
    bool readable;     /* a read may find something: not since the last one found too little */
    struct eg_buf in;  /* read, not yet used */
    struct eg_buf out; /* to be sent */
    bool eof;          /* its stream ended in order */
    bool shut;         /* we ended ours */
    bool secret_out;   /* out holds a credential: wipe it when it is sent */
};

/* ---- phases ---- */
#define EG_PHASES(X)                                                                               \
    X(ACCEPT, "accept")   /* the client's TLS handshake */                                         \
    X(OPENING, "opening") /* the first byte tells which protocol the client speaks */              \
    X(SOCKS_GREETING, "socks-greeting")                                                            \
    X(SOCKS_LOGIN, "socks-login")                                                                  \
    X(SOCKS_REQUEST, "socks-request")                                                              \
    X(HEAD, "head")         /* reading a request head, or idle between two */                      \
    X(RESOLVE, "resolve")   /* asking for addresses */                                             \
    X(BODY, "body")         /* a signed request's body, of which its signature depends */          \
    X(CREDENTIAL, "credential") /* a route waits until it was read */                              \
    X(CONNECT, "connect")   /* tcp and proxy hops */                                               \
    X(SECURE, "secure")     /* TLS with the origin */                                              \
    X(ANSWER, "answer")     /* sending 200, or its like */                                         \
    X(CAPTURED, "captured") /* a redirected connection: whose, and where it was to go */           \
    X(UNTOLD, "untold")     /* it is refused, and its first flight tells in which protocol to say so */ \
    X(HELLO, "hello")       /* reading and judging the first flight */                             \
    X(RELAY, "relay")       /* bytes both ways */                                                  \
    X(EXCHANGE, "exchange") /* an HTTP request and its response */                                 \
    X(REFUSE, "refuse")     /* sending a refusal; the connection may stay */                       \
    X(LINGER,                                                                                      \
      "linger") /* sent all, waiting for the client to close so that it can read what we sent */   \
    X(DEAD, "dead")
enum eg_phase {
#define EG_PHASE_ENUM(name, text) EG_PHASE_##name,
    EG_PHASES(EG_PHASE_ENUM)
#undef EG_PHASE_ENUM
        EG_PHASE_COUNT
};

enum eg_step {
    EG_STEP_MORE,
    EG_STEP_WAIT
}; /* run the (maybe new) phase's step again now, or wait for readiness */

enum eg_want { EG_WANT_NOTHING, EG_WANT_TUNNEL, EG_WANT_FORWARD, EG_WANT_ROUTE };

struct eg_ingress { /* a listener and how clients are met there */
    struct eg_engine *engine;
    struct eg_ingress *next;
    struct eg_listener listener;
    int fd;                  /* owned */
    struct eg_sockaddr self; /* family 0: a Unix socket */
    uid_t owner;             /* of a Unix socket: who listens there */
    enum eg_ingress_kind kind;
    unsigned protocols;      /* EG_PROTOCOL_* */
    enum eg_auth auth;
    struct eg_tls_ctx *tls;             /* NULL: plain */
    struct eg_listen_session *sessions; /* owned, with their texts */
    unsigned session_count;
    const struct eg_listen_session *everyone; /* whom a client is without a word; NULL: nobody */
    bool internal; /* of our own clients: client.c */
};

struct eg_upstream; /* being opened: upstream.c */
struct eg_exchange; /* exchange.c */
struct eg_relay;    /* relay.c */

struct eg_flow {
    struct eg_engine *engine;
    const struct eg_ingress *ingress;
    struct eg_flow *prev, *next; /* the engine's list */
    struct eg_task task;
    struct eg_timer timer;
    struct eg_dead dead;
    /* eg_clock_ms of the phase's end; the timer may fire earlier and is moved then */
    uint64_t deadline;
    uint64_t born_ms;
    enum eg_phase phase;
    enum eg_want want;
    enum eg_status timeout; /* reason when the deadline passes */
    struct eg_side client, origin;
    struct eg_snapshot *snapshot; /* of the current exchange or tunnel */
    struct eg_session *session;
    struct eg_msg *request, *response;
    struct eg_ticket *ticket; /* owned; NULL while it rests: eg_flow_ticket has it then */
    struct eg_rest *rest;     /* owned */
    bool socks;          /* the client speaks SOCKS (inside of a tunnel of scheme http: HTTP) */
    uint8_t socks_reply; /* of a refusal, where it is not its reason's; else 0 */
    const struct eg_listen_session *certified; /* whom its certificate stands for; NULL: nobody */
    uint16_t untold; /* UNTOLD: the reason */
    bool inner; /* HTTP inside a CONNECT tunnel: every request's Host must be ... */
    struct eg_authority *inner_to; /* ... this; owned, NULL unless inner */
    bool close_after;              /* no further request on this connection */
    bool mid_request;              /* a request head was read and its answer is not out */
    struct eg_upstream *up;
    struct eg_exchange *exchange;
    struct eg_relay *relay;
    /* the origin's address as it was judged; family 0: none (an upstream proxy resolves) */
    struct eg_sockaddr peer;
    uint64_t bytes_up, bytes_down;
    uint64_t lingered;
};

struct eg_engine {
    struct eg_loop *loop;
    struct eg_gate gate;
    struct eg_vault *vault;
    struct eg_creds *creds;
    struct eg_sessions *sessions;
    struct eg_snapshot *current, *pending;
    struct eg_ingress *ingresses, *closed; /* closed ones are kept: flows point to them */
    struct eg_flow *flows;
    struct eg_pool *pool;
    struct eg_channel *channels; /* of ssh gateways, asked for: channel.c */
    uint64_t last_channel;
    enum eg_status (*channel_open)(void *ctx, const struct eg_channel_ask *ask); /* may be NULL */
    void (*channel_cancel)(void *ctx, uint64_t id);
    /* eg_engine_config's */
    enum eg_status (*dial)(void *ctx, const struct eg_sockaddr *addrs, unsigned count,
                           struct eg_stream **ret);
    enum eg_status (*credential_ask)(void *ctx, struct eg_slice name, bool refused); /* may be NULL */
    struct eg_asked *asked; /* credentials that are awaited: credwait.c */
    struct eg_table *redactions; /* what answers are searched for: redaction.c */
    bool splice, draining;
    struct eg_ingress *own_ingress; /* NULL: no client of our own yet (client.c) */
    struct eg_session *own_session;
    struct eg_timer drain_timer;
    bool (*wanted)(void *ctx, struct eg_sockaddr *ret); /* may be NULL */
    struct eg_names *names; /* NULL: no child is captured */
    struct eg_names_server *names_servers[2];
    unsigned names_server_count;
    void (*warn)(void *ctx, const char *text);
    void *ctx; /* of warn and of the channels' */
    struct eg_engine_stats stats;
    struct { /* pipes for splice, kept for the next relay */
        int fd[2];
    } pipes[32];
    unsigned pipe_count;
    char *scratch;          /* EG_SCRATCH bytes */
    struct eg_exchange *spare; /* one that has ended, all zero; NULL: none */
    struct eg_ticket woken; /* of a flow at rest: rest.c */
};

/* ---- flow.c ---- */
/* Takes the accepted descriptor, whatever happens. */
void eg_flow_start(const struct eg_ingress *ingress, int fd);
/* The same by a stream that is connected; taken. */
void eg_flow_serve(const struct eg_ingress *ingress, struct eg_stream *client);
/* The one function that moves between phases: checks the edge, sets the deadline (ms from now;
 * 0: none but the total one) and its reason. */
void eg_flow_move(struct eg_flow *f, enum eg_phase to, uint64_t deadline_ms,
                  enum eg_status timeout);
/* Pushes the deadline of the current phase: something moved. */
void eg_flow_touch(struct eg_flow *f, uint64_t deadline_ms);
void eg_flow_wake(struct eg_flow *f);
/* Ends it now: end event, descriptors closed, freed at the end of the tick. A peer's stream is
 * reset where cutting it in order would make a truncated message look whole. */
void eg_flow_kill(struct eg_flow *f, enum eg_status reason);
/* The next request of the same connection may come, or the connection ends. */
enum eg_step eg_flow_next(struct eg_flow *f);
/* A new exchange lives on the policy that is current now. */
void eg_flow_renew(struct eg_flow *f);
/* ---- rest.c ---- */
/* A tunnel relays from here on, maybe for days: lets go of what only a new exchange needs, and of the
 * room in its ticket that holds nothing. */
void eg_flow_rest(struct eg_flow *f);
/* The ticket, of a flow at rest too: then a copy that is good until the next call. */
struct eg_ticket *eg_flow_ticket(struct eg_flow *f);

/* Session and ticket of a new exchange. */
void eg_flow_begin(struct eg_flow *f, enum egress_event_via via);

/* ---- side.c: non-blocking moves of bytes. EG_OK: progress or nothing to do; EG_AGAIN; else the
 * failure. ---- */
void eg_side_init(struct eg_side *s, struct eg_flow *f);
/* Sends what is queued. EG_OK when all is out. */
enum eg_status eg_side_flush(struct eg_side *s, struct eg_err *err) EG_MUST_USE;
/* Reads into the engine's scratch. EG_OK with *n >= 1, EG_AGAIN, EG_EOF (and s->eof). */
enum eg_status eg_side_read(struct eg_side *s, char *scratch, size_t cap, size_t *n,
                            struct eg_err *err) EG_MUST_USE;
/* Sends at once what the stream takes and queues the rest. */
enum eg_status eg_side_send(struct eg_side *s, struct eg_slice data,
                            struct eg_err *err) EG_MUST_USE;
/* Registers for what the intent needs. *now: call again at once. *wake_ms: see eg_pollset. */
void eg_side_sync(struct eg_loop *l, struct eg_side *s, bool *now, uint64_t *wake_ms);
/* Half-close, as eg_stream_shut. */
enum eg_status eg_side_shut(struct eg_loop *l, struct eg_side *s) EG_MUST_USE;
/* Drops watches, stream and buffers. abort: reset the connection (SO_LINGER 0) so that it can't
 * look whole. */
void eg_side_close(struct eg_loop *l, struct eg_side *s, bool abort);
/* Hands over the stream's one watch, registered for EG_IN: with the stream it can be put away without a word to the kernel. false when it
 * can't be waited for; a stream in memory has none (NULL). eg_side_adopt takes both back. */
bool eg_side_release(struct eg_loop *l, struct eg_side *s, struct eg_side_watch **ret) EG_MUST_USE;
void eg_side_adopt(struct eg_side *s, struct eg_stream *stream, struct eg_side_watch *w);

/* ---- accept.c: how a client is met ---- */
/* The client's stack over the stream that it came by. */
enum eg_status eg_accept_stack(struct eg_flow *f) EG_MUST_USE;
enum eg_step eg_accept_step(struct eg_flow *f);
enum eg_step eg_opening_step(struct eg_flow *f);
/* A client that never got through its TLS handshake: nothing can be said to it, but it is recorded.
 * detail may be NULL. Ends the flow. */
void eg_accept_failed(struct eg_flow *f, enum eg_status reason, const char *detail);
/* Is the process at the other end of that Unix socket ours, or root's? */
bool eg_accept_user(const struct eg_ingress *i, int fd);
/* It is not: closes fd and records it. */
void eg_accept_stranger(const struct eg_ingress *i, int fd);
/* The session of a client that showed no token: its certificate's, or none where the listener asks
 * for none. EG_OK, EG_TOKEN_MISSING, _EXPIRED, _REVOKED. *ret is borrowed; untouched when there is none. */
enum eg_status eg_client_session(const struct eg_flow *f, struct eg_session **ret) EG_MUST_USE;
/* It showed a token, which gave this status and session: does that count at this listener? */
enum eg_status eg_client_token(const struct eg_flow *f, enum eg_status status,
                               const struct eg_session *token) EG_MUST_USE;

/* ---- socks.c ---- */
enum eg_step eg_socks_greeting_step(struct eg_flow *f);
enum eg_step eg_socks_login_step(struct eg_flow *f);
enum eg_step eg_socks_request_step(struct eg_flow *f);
/* Queues the reply of success, or the refusal that SOCKS has for this phase. EG_NOMEM. */
enum eg_status eg_socks_connected(struct eg_flow *f) EG_MUST_USE;
enum eg_status eg_socks_refused(struct eg_flow *f, enum eg_status reason) EG_MUST_USE;

/* ---- client.c ---- */
/* After the last flow. */
void eg_client_drop(struct eg_engine *e);

/* ---- request.c ---- */
enum eg_step eg_request_step(struct eg_flow *f); /* PHASE_HEAD */

/* ---- refuse.c ---- */
/* Records and answers in the client's protocol. keep: the connection may stay (the request had
 * no body or it was read). Returns EG_STEP_MORE. detail: our own sentence or NULL. */
enum eg_step eg_refuse(struct eg_flow *f, enum eg_status reason, bool keep, const char *detail);
enum eg_step eg_refuse_step(struct eg_flow *f);
enum eg_step eg_untold_step(struct eg_flow *f);
enum eg_step eg_linger_step(struct eg_flow *f);

/* ---- upstream.c: from a judged name to a connected stack of hops in f->origin ---- */
enum eg_step eg_upstream_open(struct eg_flow *f); /* moves to RESOLVE, CONNECT, or refuses */
enum eg_step eg_resolve_step(struct eg_flow *f);
enum eg_step eg_connect_step(struct eg_flow *f);
enum eg_step eg_secure_step(struct eg_flow *f);
void eg_upstream_drop(struct eg_flow *f);
/* Would the engine's current policy allow what this flow has open or is about to connect to? */
bool eg_upstream_still_allowed(struct eg_flow *f);
/* Does a plain-http request to there go to the upstream proxy in absolute-form? */
bool eg_upstream_absolute(const struct eg_flow *f);
/* The deadline of the way out passed: which hop it was, and *reason may become a closer one. Into
 * out; NULL: no hop. */
const char *eg_upstream_late(const struct eg_flow *f, enum eg_status *reason, char *out,
                             size_t cap);

/* ---- tunnel.c ---- */
enum eg_step eg_tunnel_start(struct eg_flow *f, const struct eg_authority *to);
enum eg_step eg_tunnel_connected(struct eg_flow *f);
enum eg_step eg_answer_step(struct eg_flow *f);
enum eg_step eg_hello_step(struct eg_flow *f);

/* Reads until the first flight tells what it is. EG_OK with *hello (also when the client ended inside of it), EG_AGAIN
 * (with the intent to read), EG_EOF: not a byte came; else the failure. */
enum eg_status eg_tunnel_flight(struct eg_flow *f, struct eg_hello *hello) EG_MUST_USE;

/* ---- capture.c ---- */
enum eg_step eg_capture_step(struct eg_flow *f);
/* Does the client not know of us, so that nothing may be said but in its own protocol? */
static inline bool eg_flow_captured(const struct eg_flow *f)
{
    return f->ingress->kind == EG_INGRESS_CAPTURE && !f->inner;
}
/* The child's resolver on that socket, which is taken, whatever happens. */
enum eg_status eg_capture_names(struct eg_engine *e, int fd, bool stream, struct eg_err *err) EG_MUST_USE;
void eg_capture_drop(struct eg_engine *e);

/* ---- relay.c ---- */
enum eg_step eg_relay_start(struct eg_flow *f);
enum eg_step eg_relay_step(struct eg_flow *f);
void eg_relay_drop(struct eg_flow *f);

/* ---- forward.c, route.c: what is special of each before and after the exchange ---- */
enum eg_step eg_forward_start(struct eg_flow *f, const struct eg_target *target);
enum eg_step eg_route_start(struct eg_flow *f, const struct eg_target *target);
/* The bytes that a WebSocket carried by now, by the service's limits: EG_OK or EG_BYTES_LIMITED. */
enum eg_status eg_route_count(struct eg_flow *f) EG_MUST_USE;

/* ---- sigv4.c ---- */
enum eg_step eg_body_step(struct eg_flow *f);

/* ---- exchange.c ---- */
enum eg_status eg_exchange_new(struct eg_flow *f) EG_MUST_USE;
/* A connected origin, new or pooled: writes the request head and begins. */
enum eg_step eg_exchange_begin(struct eg_flow *f, bool pooled);
enum eg_step eg_exchange_step(struct eg_flow *f);
void eg_exchange_drop(struct eg_flow *f);

/* ---- credwait.c ---- */
enum eg_step eg_credential_step(struct eg_flow *f); /* PHASE_CREDENTIAL */
void eg_credential_late(struct eg_flow *f);         /* its deadline passed */

#endif
