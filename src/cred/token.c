/* token.c - session tokens: made, hashed for a table, and taken out of a field value.
 *
 * Whether a token is known is the session table's question: it compares hashes under a random
 * key, so a comparison tells nothing of the token. Parsing refuses whatever is not exactly one
 * token in one known scheme. */
#include "cred/cred.h"

#include <sodium.h>

void eg_token_make(char out[EG_TOKEN_HEX + 1])
{
    unsigned char raw[EG_TOKEN_HEX / 2];
    randombytes_buf(raw, sizeof raw);
    sodium_bin2hex(out, EG_TOKEN_HEX + 1, raw, sizeof raw);
    sodium_memzero(raw, sizeof raw);
}

void eg_token_hash(const unsigned char key[32], struct eg_slice token, unsigned char out[32])
{
    crypto_generichash(out, 32, (const unsigned char *)token.p, token.n, key, 32);
}

static bool b64token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '.' || c == '_' || c == '~' || c == '+' || c == '/';
}

/* RFC 6750 section 2.1: 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=" */
static bool b64token(struct eg_slice s)
{
    size_t i = 0;
    while (i < s.n && b64token_char(s.p[i]))
        i++;
    if (i == 0)
        return false;
    while (i < s.n && s.p[i] == '=')
        i++;
    return i == s.n;
}

/* RFC 7617 section 2: base64 with its padding of user-id ":" password, no control characters. */
static enum eg_status parse_basic(struct eg_slice text, char *scratch, size_t cap,
                                  struct eg_slice *user, struct eg_slice *token)
{
    size_t n = 0;
    const char *end = NULL;
    if (text.n == 0)
        return EG_TOKEN_INVALID;
    if (sodium_base642bin((unsigned char *)scratch, cap, text.p, text.n, NULL, &n, &end,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        end != text.p + text.n)
        return EG_TOKEN_INVALID;
    struct eg_slice all = eg_slice(scratch, n);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)scratch[i] < 0x20 || scratch[i] == 0x7f)
            return EG_TOKEN_INVALID;
    long colon = eg_slice_index(all, ':');
    if (colon < 0 || (size_t)colon + 1 == n)
        return EG_TOKEN_INVALID;
    if (user)
        *user = eg_slice(scratch, (size_t)colon);
    *token = eg_slice_from(all, (size_t)colon + 1);
    return EG_OK;
}

enum eg_status eg_token_parse(struct eg_slice value, char *scratch, size_t cap,
                              struct eg_slice *user, struct eg_slice *token)
{
    value = eg_slice_trim(value);
    long space = eg_slice_index(value, ' ');
    struct eg_slice scheme = space < 0 ? value : eg_slice(value.p, (size_t)space);
    struct eg_slice rest = eg_slice_from(value, scheme.n);
    while (rest.n && rest.p[0] == ' ')
        rest = eg_slice_from(rest, 1);

    if (eg_slice_caseeq(scheme, EG_SLICE("basic")))
        return parse_basic(rest, scratch, cap, user, token);
    if (!eg_slice_caseeq(scheme, EG_SLICE("bearer")))
        return EG_TOKEN_MISSING;
    if (!b64token(rest))
        return EG_TOKEN_INVALID;
    if (user)
        *user = EG_SLICE_NONE;
    *token = rest;
    return EG_OK;
}
