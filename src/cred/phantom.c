/* phantom.c - what the child holds in place of a credential.
 *
 * A phantom is a function of the session's key and the service alone, so it is kept nowhere. It
 * has the vendor's prefix and length, since tools look at the shape of a key, and can't pass as
 * a live key: where GitHub and npm keep the first digit of a CRC-32 in base 62, which is 0 to
 * 4, it has a character that is none of 0 to 4 in any usual order of the 62. */
#include "cred/cred.h"

#include <sodium.h>

enum {
    BODY_MIN = 24,  /* 24 of 62 characters: 142 bits */
    CHECKSUM_AT = 6 /* characters from the end */
};

static const char base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* Bytes of BLAKE2b(key, "egress phantom 1" | block number | service), block after block. */
struct stream {
    const unsigned char *key;
    size_t key_len;
    struct eg_slice service;
    uint32_t block;
    unsigned char bytes[64];
    size_t at;
};

static unsigned char stream_next(struct stream *s)
{
    if (s->at == sizeof s->bytes) {
        static const unsigned char label[16] = "egress phantom 1";
        unsigned char number[4];
        for (int i = 0; i < 4; i++)
            number[i] = (unsigned char)(s->block >> (24 - 8 * i));
        crypto_generichash_state state;
        crypto_generichash_init(&state, s->key, s->key_len, sizeof s->bytes);
        crypto_generichash_update(&state, label, sizeof label);
        crypto_generichash_update(&state, number, sizeof number);
        crypto_generichash_update(&state, (const unsigned char *)s->service.p, s->service.n);
        crypto_generichash_final(&state, s->bytes, sizeof s->bytes);
        sodium_memzero(&state, sizeof state);
        s->block++;
        s->at = 0;
    }
    return s->bytes[s->at++];
}

static char stream_char(struct stream *s)
{
    for (;;) { /* 248 = 4 * 62: above it the rest would not be even; 8 of 256 are thrown away */
        unsigned char b = stream_next(s);
        if (b < 248)
            return base62[b % 62];
    }
}

/* Is c one of the first five digits in 0-9A-Za-z, 0-9a-zA-Z, A-Za-z0-9 or a-zA-Z0-9? */
static bool low_digit(char c)
{
    return (c >= '0' && c <= '4') || (c >= 'A' && c <= 'E') || (c >= 'a' && c <= 'e');
}

struct job {
    struct eg_slice service, prefix;
    size_t length;
    char *out;
};

static enum eg_status make(void *ctx, const unsigned char *key, size_t n)
{
    const struct job *j = ctx;
    if (n < crypto_generichash_KEYBYTES_MIN || n > crypto_generichash_KEYBYTES_MAX)
        return EG_INVALID;
    struct stream s = { .key = key, .key_len = n, .service = j->service, .at = sizeof s.bytes };
    if (j->prefix.n)
        memcpy(j->out, j->prefix.p, j->prefix.n);
    for (size_t i = j->prefix.n; i < j->length; i++) {
        char c = stream_char(&s);
        while (i + CHECKSUM_AT == j->length && low_digit(c))
            c = stream_char(&s);
        j->out[i] = c;
    }
    j->out[j->length] = '\0';
    sodium_memzero(&s, sizeof s);
    return EG_OK;
}

enum eg_status eg_phantom_make(const struct eg_secret *session_key, struct eg_slice service,
                               struct eg_slice prefix, size_t length, char *out)
{
    if (prefix.n > EG_PHANTOM_MAX - BODY_MIN)
        return EG_INVALID;
    for (size_t i = 0; i < prefix.n; i++)
        if (prefix.p[i] <= 0x20 || prefix.p[i] >= 0x7f)
            return EG_INVALID;
    if (length < prefix.n + BODY_MIN)
        length = prefix.n + BODY_MIN;
    if (length > EG_PHANTOM_MAX)
        length = EG_PHANTOM_MAX;
    struct job j = { service, prefix, length, out };
    return eg_secret_lend(session_key, make, &j);
}
