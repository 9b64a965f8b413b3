/* oauth.c - the forms of the grants, client authentication, and the judgement of answers.
 *
 * Whatever of an answer reaches an error text is a word of [a-z_]. Buffers that hold a secret get their room at once, so that
 * no growth leaves a copy behind; the caller wipes them. */
#include "cred/oauth.h"

#include <sodium.h>
#include <stdio.h>
#include <time.h>

#include "cred/cred.h"

enum { MARGIN_S = 60, EXPIRES_MAX_S = 400 * 24 * 3600, FIXED = 512 };

/* ---- asking ---- */

static bool form_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '*';
}

/* RFC 6749 appendix B. */
static enum eg_status put_encoded(struct eg_buf *out, struct eg_slice text)
{
    static const char hex[] = "0123456789ABCDEF";
    enum eg_status s = EG_OK;
    for (size_t i = 0; i < text.n && s == EG_OK; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == ' ')
            s = eg_buf_append(out, "+", 1);
        else if (form_plain(c))
            s = eg_buf_append(out, &text.p[i], 1);
        else
            s = eg_buf_append(out, (char[]){ '%', hex[c >> 4], hex[c & 15] }, 3);
    }
    return s;
}

static enum eg_status put_pair(struct eg_buf *out, const char *name, struct eg_slice value)
{
    if (value.n == 0)
        return EG_OK;
    enum eg_status s = out->len > 0 ? eg_buf_append(out, "&", 1) : EG_OK;
    if (s == EG_OK)
        s = eg_buf_append(out, name, strlen(name));
    if (s == EG_OK)
        s = eg_buf_append(out, "=", 1);
    return s == EG_OK ? put_encoded(out, value) : s;
}

/* Room for all of it, also when every byte becomes three. */
static enum eg_status make_room(const struct eg_oauth_ask *ask, struct eg_buf *out)
{
    char *room;
    size_t most = FIXED + 3 * (ask->client_id.n + ask->client_secret.n + ask->scope.n +
                               ask->audience.n + ask->refresh_token.n + ask->assertion.n);
    size_t n = eg_buf_room(out);
    return n == 0 ? EG_TOO_BIG : eg_buf_reserve(out, most < n ? most : n, &room);
}

static bool by_field(const struct eg_oauth_ask *ask)
{
    return ask->basic && ask->client_secret.n > 0;
}

static struct eg_slice grant_name(enum eg_oauth_grant grant)
{
    switch (grant) {
    case EG_OAUTH_REFRESH_TOKEN:
        return EG_SLICE("refresh_token");
    case EG_OAUTH_JWT_BEARER: /* RFC 7523 section 2.1 */
        return EG_SLICE("urn:ietf:params:oauth:grant-type:jwt-bearer");
    default:
        return EG_SLICE("client_credentials");
    }
}

enum eg_status eg_oauth_form(const struct eg_oauth_ask *ask, struct eg_buf *out)
{
    const struct {
        const char *name;
        struct eg_slice value;
    } pairs[] = {
        { "grant_type", grant_name(ask->grant) },
        { "refresh_token",
          ask->grant == EG_OAUTH_REFRESH_TOKEN ? ask->refresh_token : EG_SLICE_NONE },
        { "assertion", ask->grant == EG_OAUTH_JWT_BEARER ? ask->assertion : EG_SLICE_NONE },
        { "client_id", by_field(ask) ? EG_SLICE_NONE : ask->client_id },
        { "client_secret", by_field(ask) ? EG_SLICE_NONE : ask->client_secret },
        { "scope", ask->scope },
        { "audience", ask->audience },
    };
    enum eg_status s = make_room(ask, out);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0] && s == EG_OK; i++)
        s = put_pair(out, pairs[i].name, pairs[i].value);
    return s;
}

enum eg_status eg_oauth_authorization(const struct eg_oauth_ask *ask, struct eg_buf *out)
{
    struct eg_buf pair;
    char *room;
    if (!by_field(ask))
        return EG_OK;
    eg_buf_init(&pair, FIXED + 3 * (ask->client_id.n + ask->client_secret.n));
    enum eg_status s = eg_buf_reserve(&pair, pair.max, &room);
    if (s == EG_OK)
        s = put_encoded(&pair, ask->client_id);
    if (s == EG_OK)
        s = eg_buf_append(&pair, ":", 1);
    if (s == EG_OK)
        s = put_encoded(&pair, ask->client_secret);
    size_t n = sodium_base64_ENCODED_LEN(pair.len, sodium_base64_VARIANT_ORIGINAL);
    if (s == EG_OK)
        s = eg_buf_put(out, EG_SLICE("Basic "));
    if (s == EG_OK)
        s = eg_buf_reserve(out, n, &room);
    if (s == EG_OK) {
        sodium_bin2base64(room, n, (const unsigned char *)pair.data + pair.off, pair.len,
                          sodium_base64_VARIANT_ORIGINAL);
        eg_buf_commit(out, n - 1);
    }
    eg_buf_wipe(&pair);
    eg_buf_done(&pair);
    return s;
}

/* ---- the answer ---- */

char *eg_oauth_error(struct eg_slice code, char *out, size_t cap)
{
    out[0] = 0;
    if (code.n == 0 || code.n >= cap)
        return out;
    for (size_t i = 0; i < code.n; i++)
        if (!((code.p[i] >= 'a' && code.p[i] <= 'z') || code.p[i] == '_'))
            return out;
    memcpy(out, code.p, code.n);
    out[code.n] = 0;
    return out;
}

/* What can be sent in a field and kept as a credential. */
static bool usable(struct eg_slice token)
{
    if (token.n == 0 || token.n > EG_CREDENTIAL_MAX)
        return false;
    for (size_t i = 0; i < token.n; i++)
        if (token.p[i] <= 0x20 || token.p[i] >= 0x7f)
            return false;
    return true;
}

static enum eg_status refuse(struct eg_err *err, const char *why)
{
    return eg_err_set(err, EG_CREDENTIAL_UNAVAILABLE, "oauth2", 0, "the token endpoint's answer %s",
                      why);
}

enum eg_status eg_oauth_judge(const struct eg_oauth_answer *a, struct eg_err *err)
{
    char code[48];
    if (a->http_status < 200 || a->http_status > 299 || a->error.n > 0) {
        (void)eg_oauth_error(a->error, code, sizeof code);
        return eg_err_set(err, EG_CREDENTIAL_UNAVAILABLE, "oauth2", 0,
                          "the token endpoint answered %u%s%s", a->http_status, code[0] ? ": " : "",
                          code);
    }
    if (!a->access_token.p)
        return refuse(err, "has no access_token");
    if (!usable(a->access_token))
        return refuse(
            err, "has an access_token that is no token: empty, too long, or not visible ASCII");
    if (!a->token_type.p)
        return refuse(err, "has no token_type");
    if (!eg_slice_caseeq(a->token_type, EG_SLICE("bearer"))) /* RFC 6749 section 7.1 */
        return refuse(err, "has a token_type that is not bearer");
    if (a->refresh_token.p && !usable(a->refresh_token))
        return refuse(err, "has a refresh_token that is no token");
    if (a->has_expires && a->expires_in == 0)
        return refuse(err, "has a token that has expired already");
    return EG_OK;
}

uint64_t eg_oauth_refresh_ms(uint64_t expires_in)
{
    uint64_t s = expires_in < EXPIRES_MAX_S ? expires_in : EXPIRES_MAX_S, ms = s * 1000;
    uint64_t margin = ms / 10 > MARGIN_S * 1000 ? ms / 10 : MARGIN_S * 1000;
    if (margin > ms / 2)
        margin = ms / 2;
    return ms > margin ? ms - margin : 1;
}

static bool digits(struct eg_slice text, size_t at, size_t n, int low, int high, int *ret)
{
    unsigned long long v;
    if (!eg_slice_u64(eg_slice(text.p + at, n), &v) || v < (unsigned)low || v > (unsigned)high)
        return false;
    *ret = (int)v;
    return true;
}

bool eg_oauth_time(struct eg_slice text, uint64_t *ret)
{
    struct tm t = { 0 };
    static const char form[] = "0000-00-00T00:00:00Z";
    if (text.n != sizeof form - 1)
        return false;
    for (size_t i = 0; i < text.n; i++)
        if (form[i] != '0' && text.p[i] != form[i])
            return false;
    if (!digits(text, 0, 4, 1970, 9999, &t.tm_year) || !digits(text, 5, 2, 1, 12, &t.tm_mon) ||
        !digits(text, 8, 2, 1, 31, &t.tm_mday) || !digits(text, 11, 2, 0, 23, &t.tm_hour) ||
        !digits(text, 14, 2, 0, 59, &t.tm_min) || !digits(text, 17, 2, 0, 60, &t.tm_sec))
        return false;
    t.tm_year -= 1900;
    t.tm_mon -= 1;
    time_t when = timegm(&t);
    if (when < 0)
        return false;
    *ret = (uint64_t)when;
    return true;
}
