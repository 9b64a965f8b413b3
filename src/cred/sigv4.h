/* sigv4.h - AWS Signature Version 4: what a signature covers, made and compared. Pure: neither clock
 * nor secrets of its own. The algorithm is AWS's "Create a signed AWS API request". */
#ifndef EG_CRED_SIGV4_H
#define EG_CRED_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"

enum {
    EG_SIGV4_HEX = 64,     /* digits of a SHA-256 */
    EG_SIGV4_TIME = 16,    /* 20150830T123600Z */
    EG_SIGV4_SKEW_S = 900, /* what a signature's time may differ from ours */
    EG_SIGV4_SECRET_MAX = 256,
};
#define EG_SIGV4_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct eg_sigv4_field { /* OWS trimmed */
    struct eg_slice name, value;
};
struct eg_sigv4_request {                /* as it is on the wire; all borrowed */
    struct eg_slice method, path, query; /* query without '?' */
    const struct eg_sigv4_field *fields;
    size_t field_count;
    struct eg_slice payload; /* hash of the body in hex, or a word such as UNSIGNED-PAYLOAD */
};
struct eg_sigv4_auth { /* who signs what: the value of an Authorization field */
    struct eg_slice key_id, day, region,
        service;               /* Credential=KEY/DAY/REGION/SERVICE/aws4_request */
    struct eg_slice fields;    /* SignedHeaders: "host;x-amz-date" */
    struct eg_slice signature; /* EG_SIGV4_HEX digits */
    struct eg_slice time;      /* x-amz-date: not of that value, the caller's to set */
};

/* The value of an Authorization field, but for time; slices borrow from it. EG_NOT_FOUND: another
 * scheme; EG_INVALID with a sentence: malformed, another algorithm (SigV4A), SignedHeaders that are
 * not lower-case, sorted and with `host`. */
enum eg_status eg_sigv4_parse(struct eg_slice value, struct eg_sigv4_auth *ret,
                              struct eg_err *err) EG_MUST_USE;
/* Is time a real one, of that day, and at most EG_SIGV4_SKEW_S from now? EG_INVALID,
 * EG_TOKEN_EXPIRED. */
enum eg_status eg_sigv4_fresh(const struct eg_sigv4_auth *auth, uint64_t now_s) EG_MUST_USE;
/* "20150830T123600Z" and a NUL. */
void eg_sigv4_time(uint64_t now_s, char out[EG_SIGV4_TIME + 1]);

/* Appends the canonical request. For service "s3" and its kin the path is encoded once and not
 * normalised; for all others it is normalised and what is on the wire is encoded again.
 * EG_INVALID: a signed field that the request has not, EG_TOO_BIG, EG_NOMEM. out may hold the
 * session token afterwards: wipe it. */
enum eg_status eg_sigv4_canonical(const struct eg_sigv4_request *r,
                                  const struct eg_sigv4_auth *auth, struct eg_buf *out) EG_MUST_USE;
/* Appends the string to sign for that canonical request. */
enum eg_status eg_sigv4_string(struct eg_slice canonical, const struct eg_sigv4_auth *auth,
                               struct eg_buf *out) EG_MUST_USE;
/* The signature in hex and a NUL. secret: 1 to EG_SIGV4_SECRET_MAX bytes, else EG_INVALID. */
enum eg_status eg_sigv4_make(const struct eg_sigv4_request *r, const struct eg_sigv4_auth *auth,
                             struct eg_slice secret, char out[EG_SIGV4_HEX + 1]) EG_MUST_USE;
/* Is auth->signature that secret's? Constant time in the signature. EG_PHANTOM_INVALID. */
enum eg_status eg_sigv4_verify(const struct eg_sigv4_request *r, const struct eg_sigv4_auth *auth,
                               struct eg_slice secret) EG_MUST_USE;

/* Must a signature cover that field: host, content-type, content-md5 and x-amz-*? */
bool eg_sigv4_covers(struct eg_slice name);
/* Appends the SignedHeaders of those of the request's fields that it must cover. EG_NOMEM. */
enum eg_status eg_sigv4_select(const struct eg_sigv4_request *r, struct eg_buf *out) EG_MUST_USE;
/* Lower-case hex SHA-256 and a NUL. */
void eg_sigv4_hash(struct eg_slice body, char out[EG_SIGV4_HEX + 1]);

/* A session's phantom of an access key id: as long as a real one, and with a character in it that no
 * real one has (they are base 32: A-Z and 2-7). */
#define EG_SIGV4_PHANTOM_PREFIX "AKIA0"
enum { EG_SIGV4_KEY_ID = 20, EG_SIGV4_SECRET = 40 };
enum eg_status eg_sigv4_phantom(const struct eg_secret *session_key, struct eg_slice service,
                                char out[EG_SIGV4_KEY_ID + 1]) EG_MUST_USE;

#endif
