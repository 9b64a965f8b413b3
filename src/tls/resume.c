/* resume.c - sessions that a later connection resumes: saved as bytes, bound to their host. It keeps none.
 * Invariant: a session loads for the host name that it was made for and for no other: a resumed handshake shows no certificate. */
#include <string.h>

#include "tls/wolf.h"

enum { SAVED_MAX = 16384 };

/* Saved form: length of the host name, the name, wolfSSL's own serialisation. The name is there so that a session is never
 * resumed for another host: a resumed handshake shows no certificate. */

enum eg_status eg_tls_session_save(struct eg_tls *s, unsigned char *out, size_t cap, size_t *n)
{
    *n = 0;
    if (!s->established || s->ctx->server || s->ended == EG_RESPONSE_TRUNCATED ||
        (s->ended == EG_EOF && s->sent_notify))
        return EG_OK;
    WOLFSSL_SESSION *session = wolfSSL_get1_session(s->ssl);
    if (!session)
        return EG_OK;
    enum eg_status r = EG_OK;
    int len = wolfSSL_SESSION_is_resumable(session) ? wolfSSL_i2d_SSL_SESSION(session, NULL) : 0;
    size_t head = 1 + (size_t)s->name.host_len;
    if (len > 0 && head + (size_t)len > cap) {
        r = EG_TOO_BIG;
    } else if (len > 0) {
        unsigned char *p = out + head;
        out[0] = s->name.host_len;
        memcpy(out + 1, s->name.host, s->name.host_len);
        len = wolfSSL_i2d_SSL_SESSION(session, &p);
        *n = len > 0 ? head + (size_t)len : 0;
    }
    wolfSSL_SESSION_free(session);
    return r;
}

void eg_tls_session_load(struct eg_tls *s, const unsigned char *p, size_t n)
{
    size_t head = 1 + (size_t)s->name.host_len;
    if (s->ctx->server || s->established || n <= head || n > SAVED_MAX ||
        p[0] != s->name.host_len || memcmp(p + 1, s->name.host, s->name.host_len) != 0)
        return;
    const unsigned char *der = p + head;
    WOLFSSL_SESSION *session = wolfSSL_d2i_SSL_SESSION(NULL, &der, (long)(n - head));
    if (!session)
        return;
    (void)wolfSSL_set_session(s->ssl, session); /* expired: a full handshake follows */
    wolfSSL_SESSION_free(session);
}

bool eg_tls_resumed(const struct eg_tls *s)
{
    return s->established && wolfSSL_session_reused(s->ssl);
}
