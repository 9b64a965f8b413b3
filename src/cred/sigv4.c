/* sigv4.c - AWS Signature Version 4 over HMAC-SHA256: the string to sign, the signature, and the
 * Authorization field read back.
 *
 * Invariants: keys derived on the way are wiped; signatures are compared in constant time. What
 * is covered, and how it is spelled, is in sigv4_canonical.c. */
#include "cred/sigv4.h"

#include <sodium.h>
#include <time.h>

#include "cred/cred.h"

/* ---- Authorization ---- */

static enum eg_status malformed(struct eg_err *err, const char *why)
{
    return eg_err_set(err, EG_INVALID, "sigv4", 0, "%s", why);
}

static bool is_hex(struct eg_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    return s.n == EG_SIGV4_HEX;
}

/* KEY/DAY/REGION/SERVICE/aws4_request */
static bool parse_scope(struct eg_slice s, struct eg_sigv4_auth *a)
{
    struct eg_slice *parts[] = { &a->key_id, &a->day, &a->region, &a->service };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        long end = eg_slice_index(s, '/');
        if (end <= 0)
            return false;
        *parts[i] = eg_slice(s.p, (size_t)end);
        s = eg_slice_from(s, (size_t)end + 1);
    }
    return eg_slice_eq(s, EG_SLICE("aws4_request")) && a->day.n == 8;
}

/* Lower-case names, each greater than the one before, `host` among them. */
static bool fields_valid(struct eg_slice list)
{
    struct eg_slice before = EG_SLICE_NONE;
    bool host = false;
    while (list.n > 0) {
        long end = eg_slice_index(list, ';');
        struct eg_slice name = end < 0 ? list : eg_slice(list.p, (size_t)end);
        size_t both = name.n < before.n ? name.n : before.n;
        int order = both ? memcmp(before.p, name.p, both) : 0;
        if (name.n == 0 || order > 0 || (order == 0 && before.n >= name.n) ||
            (end >= 0 && name.n + 1 == list.n))
            return false;
        for (size_t i = 0; i < name.n; i++)
            if (name.p[i] <= ' ' || (unsigned char)name.p[i] >= 0x7f ||
                eg_lower(name.p[i]) != name.p[i])
                return false;
        host |= eg_slice_eq(name, EG_SLICE("host"));
        before = name;
        list = end < 0 ? EG_SLICE_NONE : eg_slice_from(list, (size_t)end + 1);
    }
    return host;
}

/* One "Name=value" of the three; each may stand once. */
static bool parse_part(struct eg_slice part, struct eg_slice *credential, struct eg_sigv4_auth *a)
{
    static const char *const names[] = { "Credential=", "SignedHeaders=", "Signature=" };
    struct eg_slice *to[] = { credential, &a->fields, &a->signature };
    for (size_t i = 0; i < sizeof to / sizeof *to; i++) {
        struct eg_slice name = eg_slice_str(names[i]);
        if (!eg_slice_starts(part, name) || to[i]->n > 0)
            continue;
        *to[i] = eg_slice_from(part, name.n);
        return to[i]->n > 0;
    }
    return false;
}

enum eg_status eg_sigv4_parse(struct eg_slice value, struct eg_sigv4_auth *ret, struct eg_err *err)
{
    struct eg_sigv4_auth a = { 0 };
    struct eg_slice credential = EG_SLICE_NONE, part;
    long end = eg_slice_index(value, ' ');
    struct eg_slice scheme = end < 0 ? value : eg_slice(value.p, (size_t)end);
    if (!eg_slice_starts(scheme, EG_SLICE("AWS4-")))
        return EG_NOT_FOUND;
    if (!eg_slice_eq(scheme, EG_SLICE("AWS4-HMAC-SHA256")))
        return malformed(err, "only AWS4-HMAC-SHA256 signatures are taken, not SigV4A");
    struct eg_slice rest = eg_slice_from(value, scheme.n);
    while (eg_slice_list_next(&rest, &part))
        if (!parse_part(part, &credential, &a))
            return malformed(err, "the Authorization field is no AWS signature");
    if (!parse_scope(credential, &a) || !is_hex(a.signature))
        return malformed(err, "the Authorization field is no AWS signature");
    if (!fields_valid(a.fields))
        return malformed(err, "SignedHeaders must be sorted, in lower case, and hold host");
    *ret = a;
    return EG_OK;
}

/* ---- time ---- */

void eg_sigv4_time(uint64_t now_s, char out[EG_SIGV4_TIME + 1])
{
    time_t t = (time_t)now_s;
    struct tm tm = { 0 };
    if (!gmtime_r(&t, &tm) || strftime(out, EG_SIGV4_TIME + 1, "%Y%m%dT%H%M%SZ", &tm) == 0)
        memcpy(out, "19700101T000000Z", EG_SIGV4_TIME + 1);
}

static int digits(const char *p, size_t n)
{
    int value = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return -1;
        value = value * 10 + (p[i] - '0');
    }
    return value;
}

enum eg_status eg_sigv4_fresh(const struct eg_sigv4_auth *auth, uint64_t now_s)
{
    const char *p = auth->time.p;
    char again[EG_SIGV4_TIME + 1];
    if (auth->time.n != EG_SIGV4_TIME || p[8] != 'T' || p[15] != 'Z' ||
        !eg_slice_eq(auth->day, eg_slice(p, 8)))
        return EG_INVALID;
    struct tm tm = { .tm_year = digits(p, 4) - 1900,
                     .tm_mon = digits(p + 4, 2) - 1,
                     .tm_mday = digits(p + 6, 2),
                     .tm_hour = digits(p + 9, 2),
                     .tm_min = digits(p + 11, 2),
                     .tm_sec = digits(p + 13, 2) };
    time_t t = timegm(&tm);
    if (t < 0)
        return EG_INVALID;
    eg_sigv4_time((uint64_t)t, again); /* 31 February and the like became another day */
    if (memcmp(again, p, EG_SIGV4_TIME) != 0)
        return EG_INVALID;
    uint64_t then = (uint64_t)t, apart = then > now_s ? then - now_s : now_s - then;
    return apart <= EG_SIGV4_SKEW_S ? EG_OK : EG_TOKEN_EXPIRED;
}

/* ---- signature ---- */

void eg_sigv4_hash(struct eg_slice body, char out[EG_SIGV4_HEX + 1])
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const unsigned char *)(body.n ? body.p : ""), body.n);
    sodium_bin2hex(out, EG_SIGV4_HEX + 1, hash, sizeof hash);
}

enum eg_status eg_sigv4_string(struct eg_slice canonical, const struct eg_sigv4_auth *auth,
                               struct eg_buf *out)
{
    char hash[EG_SIGV4_HEX + 1];
    eg_sigv4_hash(canonical, hash);
    const struct eg_slice parts[] = { EG_SLICE("AWS4-HMAC-SHA256\n"),
                                      auth->time,
                                      EG_SLICE("\n"),
                                      auth->day,
                                      EG_SLICE("/"),
                                      auth->region,
                                      EG_SLICE("/"),
                                      auth->service,
                                      EG_SLICE("/aws4_request\n"),
                                      eg_slice_str(hash) };
    enum eg_status status = EG_OK;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && status == EG_OK; i++)
        status = eg_buf_put(out, parts[i]);
    return status;
}

/* key = HMAC(key, text) */
static void derive(unsigned char key[32], size_t n, const unsigned char *from, struct eg_slice text)
{
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, from, n);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)text.p, text.n);
    crypto_auth_hmacsha256_final(&state, key);
    sodium_memzero(&state, sizeof state);
}

static void sign(const struct eg_sigv4_auth *auth, struct eg_slice secret, struct eg_slice text,
                 char out[EG_SIGV4_HEX + 1])
{
    unsigned char first[4 + EG_SIGV4_SECRET_MAX] = "AWS4", key[32];
    memcpy(first + 4, secret.p, secret.n);
    derive(key, 4 + secret.n, first, auth->day);
    derive(key, sizeof key, key, auth->region);
    derive(key, sizeof key, key, auth->service);
    derive(key, sizeof key, key, EG_SLICE("aws4_request"));
    derive(key, sizeof key, key, text);
    sodium_bin2hex(out, EG_SIGV4_HEX + 1, key, sizeof key);
    sodium_memzero(first, sizeof first);
    sodium_memzero(key, sizeof key);
}

enum eg_status eg_sigv4_make(const struct eg_sigv4_request *r, const struct eg_sigv4_auth *auth,
                             struct eg_slice secret, char out[EG_SIGV4_HEX + 1])
{
    struct eg_buf canonical, text;
    if (secret.n == 0 || secret.n > EG_SIGV4_SECRET_MAX)
        return EG_INVALID;
    eg_buf_init(&canonical, 16 << 20); /* heads are limited elsewhere */
    eg_buf_init(&text, 4096);
    enum eg_status status = eg_sigv4_canonical(r, auth, &canonical);
    if (status == EG_OK)
        status = eg_sigv4_string(eg_buf_slice(&canonical), auth, &text);
    if (status == EG_OK)
        sign(auth, secret, eg_buf_slice(&text), out);
    eg_buf_wipe(&canonical);
    eg_buf_done(&canonical);
    eg_buf_done(&text);
    return status;
}

enum eg_status eg_sigv4_verify(const struct eg_sigv4_request *r, const struct eg_sigv4_auth *auth,
                               struct eg_slice secret)
{
    char made[EG_SIGV4_HEX + 1];
    enum eg_status status = eg_sigv4_make(r, auth, secret, made);
    if (status == EG_NOMEM)
        return status;
    bool same = status == EG_OK && auth->signature.n == EG_SIGV4_HEX &&
                sodium_memcmp(made, auth->signature.p, EG_SIGV4_HEX) == 0;
    sodium_memzero(made, sizeof made); /* the right one is as good as the secret for this request */
    return same ? EG_OK : EG_PHANTOM_INVALID;
}

/* ---- phantom ---- */

enum eg_status eg_sigv4_phantom(const struct eg_secret *session_key, struct eg_slice service,
                                char out[EG_SIGV4_KEY_ID + 1])
{
    static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    static const char prefix[] = EG_SIGV4_PHANTOM_PREFIX;
    char text[EG_PHANTOM_MAX + 1];
    unsigned char hash[crypto_hash_sha256_BYTES];
    enum eg_status status = eg_phantom_make(session_key, service, EG_SLICE_NONE, 64, text);
    if (status != EG_OK)
        return status;
    crypto_hash_sha256(hash, (const unsigned char *)text, strlen(text));
    memcpy(out, prefix, sizeof prefix - 1);
    for (size_t i = sizeof prefix - 1; i < EG_SIGV4_KEY_ID; i++)
        out[i] = base32[hash[i] & 31];
    out[EG_SIGV4_KEY_ID] = '\0';
    sodium_memzero(text, sizeof text);
    sodium_memzero(hash, sizeof hash);
    return EG_OK;
}
