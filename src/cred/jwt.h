/* jwt.h - JSON Web Tokens (RFC 7519) in the compact form of RFC 7515, as token endpoints take them. */
#ifndef EG_CRED_JWT_H
#define EG_CRED_JWT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct eg_jwt {             /* UTF-8; what is empty is left out */
    struct eg_slice key_id; /* "kid" of the header */
    struct eg_slice issuer, subject, audience, scope, id;
    uint64_t issued_s, expires_s; /* since 1970 */
};
enum { EG_JWT_SIGNATURE = 512 };
struct eg_jwt_signer {
    const char *alg; /* "RS256", "ES256" */
    enum eg_status (*sign)(void *ctx, struct eg_slice message, unsigned char *out, size_t cap,
                           size_t *n, struct eg_err *err);
    void *ctx;
};
/* Appends the signed token to out; the caller wipes it. EG_TOO_BIG, EG_NOMEM, and what sign says. */
enum eg_status eg_jwt_make(const struct eg_jwt *jwt, const struct eg_jwt_signer *signer,
                           struct eg_buf *out, struct eg_err *err) EG_MUST_USE;

#endif
