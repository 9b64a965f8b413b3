/* wolf.h - what the files of this room share. The only header besides theirs that sees wolfSSL; no other room includes it. */
#ifndef EG_TLS_WOLF_H
#define EG_TLS_WOLF_H

/* First: options.h brings a _FORTIFY_SOURCE of the package's own build. */
#include <stdlib.h>
#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include "base/buf.h"
#include "base/uri.h"
#include "tls/session.h"

enum { EG_TLS_PIN = 32, EG_TLS_RECORD_MAX = 16384 };

struct eg_tls_ctx {
    WOLFSSL_CTX *wolf;
    unsigned refs;
    unsigned loaded, skipped; /* certificates of the CA bundles */
    bool server;
    bool asks_client; /* a server that wants client certificates */
    unsigned char pins[EG_TLS_PINS][EG_TLS_PIN];
    unsigned pin_count; /* of a client; with no CA loaded a pin stands for the chain */
    char *ahead;        /* what its connections read into, one at a time; made when it is needed */
    bool ahead_lent;
};

struct eg_tls {
    WOLFSSL *ssl;
    struct eg_tls_ctx *ctx;
    struct eg_tls_transport transport;
    struct eg_authority name; /* of a client */
    bool ready;               /* wolfSSL's handshake is complete */
    bool established;         /* and all of ours is out */
    bool sent_notify;
    bool cut;              /* the transport ended */
    bool begun;            /* the peer's first byte was seen */
    bool plain;            /* and it was none of TLS */
    bool enough;           /* the transport was asked: wolfSSL gets what there is */
    bool unsaid;           /* the next read returns `ended`, with `late`, and nothing else */
    bool gather;           /* records go into `out` now */
    enum eg_status ended;  /* what every further read returns; EG_OK while open */
    enum eg_status io;     /* how the transport failed to read; EG_OK */
    enum eg_status broken; /* and to send */
    unsigned want;         /* set by the callbacks that met EG_AGAIN */
    struct eg_buf out;     /* records that the transport did not take yet */
    size_t writing;        /* plain bytes that wolfSSL has taken and that are not all sent */
    size_t fits;           /* how much this call asks the transport for at most */
    size_t ahead_off, ahead_len;
    char *ahead;  /* what the peer sent and wolfSSL did not ask for yet; NULL: nothing */
    bool borrows; /* it is the context's: during a call only */
    struct eg_err *late;
};

/* ahead.c. Fills the empty `ahead` from the transport, whose status it returns; or p, with at most n bytes, where there is no memory: *direct tells how many. */
enum eg_status eg_tls_ahead_fill(struct eg_tls *s, char *p, size_t n, size_t *direct) EG_MUST_USE;
/* At the end of every call that may have read: the context's buffer is given back, what is left in it is kept. */
void eg_tls_ahead_settle(struct eg_tls *s);
/* Forgets what was read ahead. */
void eg_tls_ahead_drop(struct eg_tls *s);

/* pin.c. "sha256/" and base64, or base64 alone. */
bool eg_tls_pin_read(struct eg_slice text, unsigned char pin[EG_TLS_PIN]);
/* Is the key of that certificate one of the context's pins? */
bool eg_tls_pin_holds(const struct eg_tls_ctx *c, struct eg_slice der);
/* From now on a pin is asked for in the place of a chain. */
void eg_tls_pin_alone(struct eg_tls_ctx *c);
/* After the handshake of a context with pins. EG_TLS_UNTRUSTED, EG_TLS_EXPIRED. */
enum eg_status eg_tls_pin_check(const struct eg_tls_ctx *c, WOLFSSL_X509 *cert, struct eg_err *err) EG_MUST_USE;

/* The cipher suites we offer and accept, wolfSSL's spelling: ChaCha20 first, and AES-128-GCM first where eg_tls_hasten was good. The same ones in both. */
extern const char eg_tls_suites[], eg_tls_suites_fast[];

/* The device of wolfCrypt's table that AES-GCM may be given to; contexts name it whether it is there or not. */
enum { EG_AEAD_DEVICE = 0x6567 };
struct eg_aead;
struct eg_aead *eg_aead_find(void); /* NULL: wolfSSL's own AES-GCM is used */
void eg_aead_stop(void);

/* Before the handshake of a client: SNI and the name that the certificate must be for. */
enum eg_status eg_tls_verify_name(WOLFSSL *ssl, const struct eg_authority *name, struct eg_err *err) EG_MUST_USE;
/* After the handshake: what was negotiated is what we offered (CVE-2024-5814), and a client saw a certificate
 * (or resumed) that is for its name and has a pinned key where the context has pins. */
enum eg_status eg_tls_verify_done(const struct eg_tls_ctx *c, WOLFSSL *ssl, const struct eg_authority *name, struct eg_err *err) EG_MUST_USE;
/* A wolfSSL error code (negative) as our status, with a sentence. Uses the peer's alert where that says more. */
enum eg_status eg_tls_verify_error(WOLFSSL *ssl, const struct eg_tls_ctx *c, int code, struct eg_err *err) EG_MUST_USE;
/* As eg_tls_peer_sans, of whatever certificate the peer showed: the caller knows that it was verified. */
bool eg_tls_verify_sans(WOLFSSL *ssl, bool (*each)(void *ctx, struct eg_slice san), void *ctx);

#endif
