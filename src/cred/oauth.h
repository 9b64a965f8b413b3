/* oauth.h - what is asked of a token endpoint and what its answer means (RFC 6749, RFC 7523). Pure: it speaks no HTTP and reads no JSON. */
#ifndef EG_CRED_OAUTH_H
#define EG_CRED_OAUTH_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum eg_oauth_grant { EG_OAUTH_CLIENT_CREDENTIALS, EG_OAUTH_REFRESH_TOKEN, EG_OAUTH_JWT_BEARER };
struct eg_oauth_ask { /* what is empty is left out */
    enum eg_oauth_grant grant;
    struct eg_slice client_id, client_secret, scope, audience;
    struct eg_slice refresh_token, assertion; /* of their grants */
    bool
        basic; /* the client authenticates by a field (RFC 6749 section 2.3.1), not in the body; a client without a secret does not authenticate */
};
/* Appends the form (application/x-www-form-urlencoded). The caller wipes out. EG_TOO_BIG, EG_NOMEM. */
enum eg_status eg_oauth_form(const struct eg_oauth_ask *ask, struct eg_buf *out) EG_MUST_USE;
/* Appends the value of Authorization: "Basic ", and base64 of id and secret, form-encoded each; nothing where there is none. As above. */
enum eg_status eg_oauth_authorization(const struct eg_oauth_ask *ask,
                                      struct eg_buf *out) EG_MUST_USE;

struct eg_oauth_answer { /* the members of the answer's JSON; p NULL: absent or no text */
    unsigned http_status;
    struct eg_slice access_token, token_type, refresh_token, error;
    bool has_expires;    /* expires_in is there and a number */
    uint64_t expires_in; /* s */
};
/* EG_OK: access_token can be used as a bearer token, refresh_token (if any) next time. Else EG_CREDENTIAL_UNAVAILABLE with why. */
enum eg_status eg_oauth_judge(const struct eg_oauth_answer *a, struct eg_err *err) EG_MUST_USE;
/* An error code of RFC 6749 section 5.2 as a text of [a-z_] of at most cap - 1 bytes; "" for anything else. Returns out. */
char *eg_oauth_error(struct eg_slice code, char *out, size_t cap);
/* When a token that is good for so many seconds is fetched anew, in ms: the larger of a minute and a tenth of it earlier, but not before half of it has
 * gone; 1 at least. */
uint64_t eg_oauth_refresh_ms(uint64_t expires_in);
/* "2016-07-11T22:14:10Z" (RFC 3339, UTC) in seconds since 1970. */
bool eg_oauth_time(struct eg_slice text, uint64_t *ret);

#endif
