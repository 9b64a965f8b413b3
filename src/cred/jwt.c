/* jwt.c - header, claims and signature as one text. Pure: the signature is a callback's, the time the caller's.
 *
 * The order of the members is fixed and there is no white space, so that equal input makes equal text to sign. */
#include "cred/jwt.h"

#include <sodium.h>

enum { JSON_MAX = 16384 };

/* RFC 8259 section 7. */
static enum eg_status put_text(struct eg_buf *out, struct eg_slice text)
{
    enum eg_status s = eg_buf_append(out, "\"", 1);
    for (size_t i = 0; i < text.n && s == EG_OK; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c < 0x20)
            s = eg_buf_printf(out, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            s = eg_buf_append(out, (char[]){ '\\', (char)c }, 2);
        else
            s = eg_buf_append(out, &text.p[i], 1);
    }
    return s == EG_OK ? eg_buf_append(out, "\"", 1) : s;
}

static enum eg_status put_member(struct eg_buf *out, const char *name, struct eg_slice value)
{
    if (value.n == 0)
        return EG_OK;
    enum eg_status s = eg_buf_printf(out, "\"%s\":", name);
    if (s == EG_OK)
        s = put_text(out, value);
    return s == EG_OK ? eg_buf_append(out, ",", 1) : s;
}

static enum eg_status put_base64(struct eg_buf *out, const void *p, size_t n)
{
    char *room;
    size_t len = sodium_base64_ENCODED_LEN(n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    enum eg_status s = eg_buf_reserve(out, len, &room);
    if (s != EG_OK)
        return s;
    sodium_bin2base64(room, len, p, n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    eg_buf_commit(out, len - 1); /* without the NUL */
    return EG_OK;
}

static enum eg_status put_header(struct eg_buf *out, const struct eg_jwt *jwt, const char *alg)
{
    enum eg_status s = eg_buf_printf(out, "{\"alg\":\"%s\",", alg);
    if (s == EG_OK)
        s = put_member(out, "kid", jwt->key_id);
    return s == EG_OK ? eg_buf_put(out, EG_SLICE("\"typ\":\"JWT\"}")) : s;
}

static enum eg_status put_claims(struct eg_buf *out, const struct eg_jwt *jwt)
{
    enum eg_status s = eg_buf_append(out, "{", 1);
    if (s == EG_OK)
        s = put_member(out, "iss", jwt->issuer);
    if (s == EG_OK)
        s = put_member(out, "sub", jwt->subject);
    if (s == EG_OK)
        s = put_member(out, "aud", jwt->audience);
    if (s == EG_OK)
        s = put_member(out, "scope", jwt->scope);
    if (s == EG_OK)
        s = put_member(out, "jti", jwt->id);
    return s == EG_OK
               ? eg_buf_printf(out, "\"iat\":%llu,\"exp\":%llu}", (unsigned long long)jwt->issued_s,
                               (unsigned long long)jwt->expires_s)
               : s;
}

/* RFC 7515 section 3.1: BASE64URL(header) "." BASE64URL(payload) */
static enum eg_status put_signed_part(const struct eg_jwt *jwt, const char *alg, struct eg_buf *out)
{
    struct eg_buf json;
    eg_buf_init(&json, JSON_MAX);
    enum eg_status s = put_header(&json, jwt, alg);
    if (s == EG_OK)
        s = put_base64(out, json.data + json.off, json.len);
    if (s == EG_OK)
        s = eg_buf_append(out, ".", 1);
    eg_buf_reset(&json);
    if (s == EG_OK)
        s = put_claims(&json, jwt);
    if (s == EG_OK)
        s = put_base64(out, json.data + json.off, json.len);
    eg_buf_done(&json);
    return s;
}

enum eg_status eg_jwt_make(const struct eg_jwt *jwt, const struct eg_jwt_signer *signer,
                           struct eg_buf *out, struct eg_err *err)
{
    unsigned char signature[EG_JWT_SIGNATURE];
    size_t begun = out->len, n = 0;
    enum eg_status s = put_signed_part(jwt, signer->alg, out);
    if (s == EG_OK)
        s = signer->sign(signer->ctx, eg_slice_from(eg_buf_slice(out), begun), signature,
                         sizeof signature, &n, err);
    if (s == EG_OK)
        s = eg_buf_append(out, ".", 1);
    if (s == EG_OK)
        s = put_base64(out, signature, n);
    sodium_memzero(signature, sizeof signature);
    return s == EG_OK ? EG_OK : eg_err_set(err, s, "oauth2", 0, "the assertion can't be made");
}
