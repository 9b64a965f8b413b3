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

#include "base/uri.h"
#include "tls/session.h"

struct eg_tls_ctx {
    WOLFSSL_CTX *wolf;
    unsigned refs;
    unsigned loaded, skipped; /* certificates of the CA bundles */
    bool server;
    bool asks_client; /* a server that wants client certificates */
};

/* The cipher suites we offer and accept, wolfSSL's spelling, best first. */
extern const char eg_tls_suites[];

/* Before the handshake of a client: SNI and the name that the certificate must be for. */
enum eg_status eg_tls_verify_name(WOLFSSL *ssl, const struct eg_authority *name, struct eg_err *err) EG_MUST_USE;
/* After the handshake: what was negotiated is what we offered (CVE-2024-5814), and a client saw a certificate
 * (or resumed) that is for its name. */
enum eg_status eg_tls_verify_done(WOLFSSL *ssl, const struct eg_authority *name, struct eg_err *err) EG_MUST_USE;
/* A wolfSSL error code (negative) as our status, with a sentence. Uses the peer's alert where that says more. server: the
 * certificate that is spoken of is a client's. */
enum eg_status eg_tls_verify_error(WOLFSSL *ssl, bool server, int code, struct eg_err *err) EG_MUST_USE;
/* As eg_tls_peer_sans, of whatever certificate the peer showed: the caller knows that it was verified. */
bool eg_tls_verify_sans(WOLFSSL *ssl, bool (*each)(void *ctx, struct eg_slice san), void *ctx);

#endif
