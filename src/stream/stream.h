/* stream.h - byte streams that stack: tcp, tls, http_connect, mem, dial. A connection is a list of hops, each a layer over the one below.
 *
 * Only the eg_stream_* wrappers walk down; nothing calls up. A layer receives all that it needs at construction and knows no session,
 * no policy and no flow. Every call is non-blocking. The owner polls what eg_stream_want names and calls again. */
#ifndef EG_STREAM_STREAM_H
#define EG_STREAM_STREAM_H

#include "base/err.h"
#include "base/uri.h"
#include "net/loop.h"

enum { EG_POLL_MAX = 8 };

struct eg_pollset { /* what to wait for before the next call can get further */
    struct {
        int fd;
        uint32_t tag;
        uint8_t events; /* EG_IN | EG_OUT */
    } fds[EG_POLL_MAX];
    unsigned count;
    bool now;         /* call again at once: decrypted bytes are pending */
    uint64_t wake_ms; /* eg_clock_ms at which a call is due even without readiness (the next address to race); 0: never */
};

struct eg_stream;
struct eg_stream_ops {
    const char *name;
    enum eg_status (*connect)(struct eg_stream *s, struct eg_err *err);
    enum eg_status (*recv)(struct eg_stream *s, char *p, size_t n, size_t *done, struct eg_err *err);
    enum eg_status (*send)(struct eg_stream *s, const char *p, size_t n, size_t *done, struct eg_err *err);
    enum eg_status (*shut)(struct eg_stream *s, struct eg_err *err);
    void (*want)(const struct eg_stream *s, unsigned intent, struct eg_pollset *set);
    bool (*pending)(const struct eg_stream *s);
    void (*destroy)(struct eg_stream *s); /* its own part only; the wrapper destroys the layer below and frees s */
    int (*raw_fd)(const struct eg_stream *s); /* NULL: not transparent */
};

struct eg_stream { /* a layer embeds this as its first member */
    const struct eg_stream_ops *ops;
    struct eg_stream *below; /* owned; NULL for the bottom */
    bool connected;
    bool was_shut;           /* our direction is closed */
    char *surplus;           /* handed back by eg_stream_unread: what recv returns first */
    size_t surplus_off, surplus_len;
};

/* Raises the layers from the bottom up. EG_OK when all are connected (and ever after), EG_AGAIN, or why not: err->layer names the layer. */
enum eg_status eg_stream_connect(struct eg_stream *s, struct eg_err *err) EG_MUST_USE;
/* EG_OK with *done >= 1, EG_AGAIN, EG_EOF (orderly end), or a failure (EG_CLOSED for a reset, EG_RESPONSE_TRUNCATED for TLS without close_notify). n > 0. */
enum eg_status eg_stream_recv(struct eg_stream *s, char *p, size_t n, size_t *done, struct eg_err *err) EG_MUST_USE;
/* EG_OK with *done >= 1 (maybe fewer than n), EG_AGAIN, or a failure. After EG_AGAIN call again with the same bytes. */
enum eg_status eg_stream_send(struct eg_stream *s, const char *p, size_t n, size_t *done, struct eg_err *err) EG_MUST_USE;
/* Half-close: no more bytes from us (close_notify, then shutdown(2) of the bottom). EG_OK, EG_AGAIN. Idempotent. */
enum eg_status eg_stream_shut(struct eg_stream *s, struct eg_err *err) EG_MUST_USE;
/* Adds to *set what has to be waited for, for the caller's intent (EG_IN: it wants to recv, EG_OUT: it wants to send; while not connected the intent is ignored). */
void eg_stream_want(const struct eg_stream *s, unsigned intent, struct eg_pollset *set);
/* May recv return bytes although no descriptor is readable? Part of the wake rule. */
bool eg_stream_pending(const struct eg_stream *s);
/* Bytes that were read too far (after a handshake). EG_NOMEM, EG_TOO_BIG above 64 KiB. */
enum eg_status eg_stream_unread(struct eg_stream *s, const char *p, size_t n) EG_MUST_USE;
/* The descriptor, when all layers above TCP are transparent and hold no bytes (so that relay may splice); else -1. */
int eg_stream_raw_fd(const struct eg_stream *s);
/* Destroys the whole stack, abruptly where it was not shut. Descriptors are closed: drop their watches first. NULL is fine. */
void eg_stream_free(struct eg_stream *s);
/* The layer of that name, searching down; NULL. For tests, session tickets and the audit. */
struct eg_stream *eg_stream_find(struct eg_stream *s, const char *name);

/* --- layers. Each constructor owns `below` only when it succeeds. --- */

/* tcp over a connected or accepted descriptor, which it owns. */
enum eg_status eg_stream_tcp(int fd, struct eg_stream **ret) EG_MUST_USE;
/* tcp that races connections to these very addresses (RFC 8305: 250 ms apart, at most 4 at once) in the given order and keeps the first. Resolves nothing. */
enum eg_status eg_stream_dial(const struct eg_sockaddr *addrs, unsigned count, struct eg_stream **ret) EG_MUST_USE;
/* The address that dial is connected to; false before. */
bool eg_stream_dial_peer(const struct eg_stream *s, struct eg_sockaddr *ret);

struct eg_tls_ctx;
/* A TLS client over below (any stream; wolfSSL's I/O callbacks go to it, so TLS inside TLS costs nothing extra). ticket (may be empty) is a saved session. */
enum eg_status eg_stream_tls(struct eg_stream *below, struct eg_tls_ctx *c, const struct eg_authority *name, struct eg_slice ticket, struct eg_stream **ret, struct eg_err *err) EG_MUST_USE;
/* A TLS server over an accepted stream; its handshake runs in connect. */
enum eg_status eg_stream_tls_server(struct eg_stream *below, struct eg_tls_ctx *c, struct eg_stream **ret, struct eg_err *err) EG_MUST_USE;
/* Did the tls layer at the top of s resume a session? false when the top is none. */
bool eg_stream_tls_resumed(const struct eg_stream *s);
/* "TLSv1.3", "TLSv1.2"; "" when the top of s is no connected tls layer. */
const char *eg_stream_tls_version(const struct eg_stream *s);
/* "TLS13-AES128-GCM-SHA256"; "" as above. */
const char *eg_stream_tls_suite(const struct eg_stream *s);
/* As eg_tls_session_save, of a stream whose top is tls; *n = 0 otherwise. */
enum eg_status eg_stream_tls_save(struct eg_stream *s, unsigned char *out, size_t cap, size_t *n) EG_MUST_USE;

struct eg_secret;
/* HTTP CONNECT through the proxy that below leads to. authorization: the whole field value "Basic ..." as a secret, or NULL. Refusals are
 * EG_UPSTREAM_PROXY_AUTH (407), EG_UPSTREAM_PROXY_REFUSED (other 4xx/5xx, status in err->text), EG_UPSTREAM_PROXY_FAILED (malformed, closed). Surplus bytes are unread. */
enum eg_status eg_stream_http_connect(struct eg_stream *below, const struct eg_authority *target, const struct eg_secret *authorization, struct eg_stream **ret) EG_MUST_USE;

/* SOCKS5 CONNECT (RFC 1928) through the proxy that below leads to; target as a name (the proxy resolves) or an address. login: "user:password" as a secret
 * (RFC 1929; only then is that method offered), or NULL. Refusals are EG_UPSTREAM_PROXY_AUTH, EG_UPSTREAM_PROXY_REFUSED (the reply is named in err->text),
 * EG_UPSTREAM_PROXY_FAILED (malformed, closed). A name or password of more than 255 bytes is EG_UPSTREAM_PROXY_AUTH whose text names the field. */
enum eg_status eg_stream_socks5(struct eg_stream *below, const struct eg_authority *target, const struct eg_secret *login, struct eg_stream **ret) EG_MUST_USE;
/* The bottom of an ssh hop: two pipes (or one socket twice) that somebody else opened, read from in, written to out; owns both. Half-close closes out. */
enum eg_status eg_stream_pipes(int in, int out, struct eg_stream **ret) EG_MUST_USE;
/* The SANs of the client certificate that the tls server layer (anywhere in s) verified, each as text ("build.example", "192.0.2.1", "spiffe://..."), through
 * each(): until it returns true. False when there was no certificate or none was taken. */
bool eg_stream_tls_peer_sans(struct eg_stream *s, bool (*each)(void *ctx, struct eg_slice san), void *ctx);

/* A pair of in-memory ends, each with a pipe of cap bytes, for tests and embedding. No descriptors: want sets `now` when progress is possible. */
enum eg_status eg_stream_mem(size_t cap, struct eg_stream **a, struct eg_stream **b) EG_MUST_USE;

#endif
