/* session.h - one TLS connection over any transport that can be read and written without blocking. */
#ifndef EG_TLS_SESSION_H
#define EG_TLS_SESSION_H

#include "base/uri.h"
#include "tls/context.h"

struct eg_tls;

/* The transport below. Both: EG_OK with *done > 0, EG_AGAIN, EG_EOF (recv), or a failure. Where a call of this room returns the transport's
 * failure it leaves err empty: the transport knows more. */
struct eg_tls_transport {
    enum eg_status (*recv)(void *ctx, char *p, size_t n, size_t *done);
    enum eg_status (*send)(void *ctx, const char *p, size_t n, size_t *done);
    void *ctx;
};

/* Client: name is the canonical host that the certificate must be for (DNS name, or address literal = IP SAN and no SNI). */
enum eg_status eg_tls_connect(struct eg_tls_ctx *c, const struct eg_authority *name, const struct eg_tls_transport *t, struct eg_tls **ret, struct eg_err *err) EG_MUST_USE;
enum eg_status eg_tls_accept(struct eg_tls_ctx *c, const struct eg_tls_transport *t, struct eg_tls **ret, struct eg_err *err) EG_MUST_USE;
void eg_tls_free(struct eg_tls *s);

/* EG_OK when the handshake is complete and the peer verified; EG_AGAIN (see want); EG_TLS_UNTRUSTED, EG_TLS_NAME, EG_TLS_EXPIRED, EG_TLS_FAILED, or the transport's failure. */
enum eg_status eg_tls_handshake(struct eg_tls *s, struct eg_err *err) EG_MUST_USE;
/* Decrypted bytes. EG_EOF only after close_notify; a transport EOF before it is EG_RESPONSE_TRUNCATED (RFC 8446 6.1: truncation is visible). */
enum eg_status eg_tls_read(struct eg_tls *s, char *p, size_t n, size_t *done, struct eg_err *err) EG_MUST_USE;
/* May take fewer than n. After EG_AGAIN call again with the same bytes (at least as many). */
enum eg_status eg_tls_write(struct eg_tls *s, const char *p, size_t n, size_t *done, struct eg_err *err) EG_MUST_USE;
/* Sends close_notify: EG_OK when it is out, EG_AGAIN. */
enum eg_status eg_tls_shutdown(struct eg_tls *s, struct eg_err *err) EG_MUST_USE;
/* Decrypted (or buffered undecrypted) bytes that recv can return without the transport being readable. */
bool eg_tls_pending(const struct eg_tls *s);
/* What the last EG_AGAIN waited for: EG_IN and/or EG_OUT of net/loop.h's values (1, 2). */
unsigned eg_tls_want(const struct eg_tls *s);

/* A resumable session, serialised (about 2 KB, holds secrets: keep it in our own memory only and wipe it). *n = 0: none yet (TLS 1.3 tickets come after the handshake, so ask when the connection is put
 * away or closed). EG_TOO_BIG when cap is too small. Ask before
 * eg_tls_shutdown: wolfSSL forgets the session once both sides have closed. It is bound to its host name and loads for that one only. */
enum eg_status eg_tls_session_save(struct eg_tls *s, unsigned char *out, size_t cap, size_t *n) EG_MUST_USE;
/* Before the handshake. A session that can't be used is not an error: a full handshake follows. */
void eg_tls_session_load(struct eg_tls *s, const unsigned char *p, size_t n);
bool eg_tls_resumed(const struct eg_tls *s);
/* "TLSv1.3", "TLSv1.2". Static storage; "" before the handshake is complete. */
const char *eg_tls_version(const struct eg_tls *s);
/* The cipher suite, wolfSSL's spelling: "TLS13-AES128-GCM-SHA256". As above. */
const char *eg_tls_suite(const struct eg_tls *s);
/* Gives the DNS names (in lower case), addresses (canonical text) and URIs of the certificate that a server verified of its client to each(), until
 * that returns true. No common name; a name with a byte that is not visible ASCII is left out. False: each() took none, there was no certificate,
 * or s is a client. */
bool eg_tls_peer_sans(const struct eg_tls *s, bool (*each)(void *ctx, struct eg_slice san), void *ctx);

#endif
