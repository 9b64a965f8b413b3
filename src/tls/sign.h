/* sign.h - signatures of JSON Web Signatures (RFC 7515, RFC 7518) with a private key in PEM. */
#ifndef EG_TLS_SIGN_H
#define EG_TLS_SIGN_H

#include "base/err.h"
#include "base/slice.h"

enum eg_sign_alg { EG_SIGN_RS256, EG_SIGN_ES256 };
enum { EG_SIGN_MAX = 512 }; /* bytes of the longest signature: RSA of 4096 bits */

struct eg_sign_key;
/* An RSA key of 2048 to 4096 bits or a P-256 one, in PKCS#1, PKCS#8 or SEC1, not encrypted. The caller wipes the text. EG_INVALID: err tells what it is
 * not; EG_NOMEM. */
enum eg_status eg_sign_key_new(struct eg_slice pem, struct eg_sign_key **ret,
                               struct eg_err *err) EG_MUST_USE;
void eg_sign_key_free(struct eg_sign_key *k); /* wipes; NULL is fine */
enum eg_sign_alg eg_sign_key_alg(const struct eg_sign_key *k);
/* "RS256" (RFC 7518 section 3.3): PKCS #1 v1.5 over SHA-256. "ES256" (3.4): R and S, 32 bytes each. cap >= EG_SIGN_MAX takes any. EG_TOO_BIG,
 * EG_INTERNAL. */
enum eg_status eg_sign(struct eg_sign_key *k, struct eg_slice message, unsigned char *out,
                       size_t cap, size_t *n, struct eg_err *err) EG_MUST_USE;

#endif
