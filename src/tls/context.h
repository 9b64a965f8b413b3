/* context.h - what one trust decision needs: CAs, own certificate, versions, groups. Verification can't be switched off. */
#ifndef EG_TLS_CONTEXT_H
#define EG_TLS_CONTEXT_H

#include "base/err.h"
#include "base/slice.h"

struct eg_tls_ctx;

enum { EG_TLS_PINS = 4 };

struct eg_tls_client_config {
    struct eg_slice ca_pem[4]; /* bundles; empty ones are skipped; at least one certificate must load, or there must be pins and no bundle */
    /* "sha256/BASE64" or "BASE64": SHA-256 of a SubjectPublicKeyInfo. The leaf's key must be one of them. Beside a CA both must hold; without one
     * the key alone is trusted, whoever signed it. The certificate's name and dates are checked in any case. */
    struct eg_slice pins[EG_TLS_PINS];
    unsigned pin_count;
    struct eg_slice cert_pem, key_pem; /* client certificate, both or none */
};
struct eg_tls_server_config {
    struct eg_slice cert_pem, key_pem; /* required */
    struct eg_slice client_ca_pem;     /* empty: no client certificate is asked for */
    bool require_client;
    bool tickets;    /* clients may resume (off where we intercept, where client certificates are asked for, and by default: a ticket key is one more secret) */
    bool only_tls12; /* for tests and peers that know no TLS 1.3 */
};

/* Once a process, before any context. */
enum eg_status eg_tls_start(struct eg_err *err) EG_MUST_USE;
void eg_tls_stop(void);

/* TLS 1.2 and 1.3, X25519 first, VERIFY_PEER always. EG_INVALID with a text that says what could not be read (which PEM). In a CA bundle certificates that can't be parsed are skipped and counted
 * unless none is left. Contexts are reference counted; sessions hold one. */
enum eg_status eg_tls_client_ctx(const struct eg_tls_client_config *config, struct eg_tls_ctx **ret, struct eg_err *err) EG_MUST_USE;
enum eg_status eg_tls_server_ctx(const struct eg_tls_server_config *config, struct eg_tls_ctx **ret, struct eg_err *err) EG_MUST_USE;
/* How many certificates of the CA bundles were loaded, and how many skipped (expired, or not to be parsed). */
void eg_tls_ctx_cas(const struct eg_tls_ctx *c, unsigned *loaded, unsigned *skipped);
void eg_tls_ctx_ref(struct eg_tls_ctx *c);
void eg_tls_ctx_unref(struct eg_tls_ctx *c);

#endif
