/* cred_sigv4.c - the parts of AWS signatures that are no vector: the Authorization field's grammar, time, limits, which fields are covered, and the phantom of an
 * access key id. */
#include <criterion/criterion.h>
#include <sodium.h>

#include "cred/cred.h"
#include "cred/sigv4.h"

#define SIGNATURE "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
#define SCOPE     "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request"

static enum eg_status parse(const char *value)
{
    struct eg_sigv4_auth a = { 0 };
    struct eg_err err = { 0 };
    enum eg_status status = eg_sigv4_parse(eg_slice_str(value), &a, &err);
    cr_expect(status != EG_INVALID || err.text[0], "%s", value);
    cr_expect(status == EG_OK || a.key_id.n == 0, "untouched on failure: %s", value);
    return status;
}

Test(cred, sigv4_field_in_all_spellings)
{
    static const char *const fine[] = {
        "AWS4-HMAC-SHA256 Credential=" SCOPE
        ", SignedHeaders=host;x-amz-date, Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=" SCOPE ",SignedHeaders=host,Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256   Signature=" SIGNATURE
        ",  SignedHeaders=a;host;host2 , Credential=" SCOPE,
    };
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        cr_expect(parse(fine[i]) == EG_OK, "%s", fine[i]);
    cr_expect(parse("Bearer x") == EG_NOT_FOUND);
    cr_expect(parse("") == EG_NOT_FOUND);
}

Test(cred, sigv4_field_malformed)
{
    static const char *const bad[] = {
        "AWS4-HMAC-SHA256",
        "AWS4-ECDSA-P256-SHA256 Credential=" SCOPE ", SignedHeaders=host, Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=" SCOPE ", SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential=" SCOPE ", Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=" SCOPE ", Credential=" SCOPE
        ", SignedHeaders=host, Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=" SCOPE ", SignedHeaders=host, Signature=" SIGNATURE ", x=y",
        "AWS4-HMAC-SHA256 Credential=" SCOPE ", SignedHeaders=host, Signature=" SIGNATURE "0",
        "AWS4-HMAC-SHA256 Credential=" SCOPE ", SignedHeaders=host, Signature=5FA0",
        "AWS4-HMAC-SHA256 Credential=a/b/20150830/r/s/aws4_request, SignedHeaders=host, "
        "Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=a/20150830/r/aws4_request, SignedHeaders=host, "
        "Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=/20150830/r/s/aws4_request, SignedHeaders=host, "
        "Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=a/2015083/r/s/aws4_request, SignedHeaders=host, "
        "Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=a/20150830/r/s/aws4_requests, SignedHeaders=host, "
        "Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=" SCOPE ", SignedHeaders=x-amz-date, Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=" SCOPE ", SignedHeaders=x;host, Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=" SCOPE ", SignedHeaders=host;host, Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=" SCOPE ", SignedHeaders=Host, Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=" SCOPE ", SignedHeaders=host;, Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=" SCOPE ", SignedHeaders=host;;x, Signature=" SIGNATURE,
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect(parse(bad[i]) == EG_INVALID, "%s", bad[i]);
}

static enum eg_status fresh(const char *time, const char *day, uint64_t now)
{
    struct eg_sigv4_auth a = { .time = eg_slice_str(time), .day = eg_slice_str(day) };
    return eg_sigv4_fresh(&a, now);
}

Test(cred, sigv4_time)
{
    const uint64_t then = 1440938160; /* 2015-08-30 12:36:00 UTC */
    char text[EG_SIGV4_TIME + 1];
    eg_sigv4_time(then, text);
    cr_expect_str_eq(text, "20150830T123600Z");
    cr_expect(fresh(text, "20150830", then) == EG_OK);
    cr_expect(fresh(text, "20150830", then + EG_SIGV4_SKEW_S) == EG_OK);
    cr_expect(fresh(text, "20150830", then - EG_SIGV4_SKEW_S) == EG_OK);
    cr_expect(fresh(text, "20150830", then + EG_SIGV4_SKEW_S + 1) == EG_TOKEN_EXPIRED);
    cr_expect(fresh(text, "20150830", then - EG_SIGV4_SKEW_S - 1) == EG_TOKEN_EXPIRED);
    static const char *const bad[] = { "",
                                       "20150830T123600",
                                       "20150830 123600Z",
                                       "20150831T123600Z",
                                       "20150830T1236x0Z",
                                       "20150830T246000Z",
                                       "20150830T123600z" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect(fresh(bad[i], "20150830", then) == EG_INVALID, "%s", bad[i]);
    cr_expect(fresh("20150231T000000Z", "20150231", then) == EG_INVALID, "no such day");
}

static struct eg_sigv4_request plain(const struct eg_sigv4_field *fields, size_t n)
{
    return (struct eg_sigv4_request){
        EG_SLICE("GET"), EG_SLICE("/"), EG_SLICE_NONE, fields, n, EG_SLICE(EG_SIGV4_EMPTY)
    };
}

Test(cred, sigv4_needs_every_field_that_it_covers)
{
    const struct eg_sigv4_field host = { EG_SLICE("Host"), EG_SLICE("h.example") };
    struct eg_sigv4_request r = plain(&host, 1);
    struct eg_sigv4_auth a = { .day = EG_SLICE("20150830"),
                               .region = EG_SLICE("r"),
                               .service = EG_SLICE("s"),
                               .fields = EG_SLICE("host"),
                               .time = EG_SLICE("20150830T123600Z") };
    char out[EG_SIGV4_HEX + 1], big[EG_SIGV4_SECRET_MAX + 1] = "x";
    cr_expect(eg_sigv4_make(&r, &a, EG_SLICE("secret"), out) == EG_OK);
    cr_expect(eg_sigv4_make(&r, &a, EG_SLICE_NONE, out) == EG_INVALID);
    cr_expect(eg_sigv4_make(&r, &a, eg_slice(big, sizeof big), out) == EG_INVALID);
    cr_expect(eg_sigv4_make(&r, &a, eg_slice(big, sizeof big - 1), out) == EG_OK);
    a.fields = EG_SLICE("host;x-amz-date");
    cr_expect(eg_sigv4_make(&r, &a, EG_SLICE("secret"), out) == EG_INVALID);
    r.path = EG_SLICE("no-slash");
    a.fields = EG_SLICE("host");
    cr_expect(eg_sigv4_make(&r, &a, EG_SLICE("secret"), out) == EG_INVALID);
}

Test(cred, sigv4_selects_what_must_be_covered)
{
    static const struct eg_sigv4_field fields[] = {
        { { "X-Amz-Target", 12 }, { "t", 1 } },    { { "Host", 4 }, { "h", 1 } },
        { { "User-Agent", 10 }, { "u", 1 } },      { { "x-amz-meta-a", 12 }, { "1", 1 } },
        { { "X-AMZ-META-A", 12 }, { "2", 1 } },    { { "Content-Type", 12 }, { "c", 1 } },
        { { "Content-MD5", 11 }, { "m", 1 } },     { { "Content-Length", 14 }, { "0", 1 } },
        { { "X-Amzn-Trace-Id", 15 }, { "i", 1 } },
    };
    struct eg_sigv4_request r = plain(fields, sizeof fields / sizeof *fields);
    struct eg_buf out;
    eg_buf_init(&out, 1024);
    cr_assert(eg_sigv4_select(&r, &out) == EG_OK);
    cr_expect(eg_slice_eq(eg_buf_slice(&out),
                          EG_SLICE("content-md5;content-type;host;x-amz-meta-a;x-amz-target")),
              "%.*s", (int)out.len, eg_buf_slice(&out).p);
    eg_buf_done(&out);
}

Test(cred, sigv4_phantom_is_no_live_key)
{
    struct eg_vault *vault = NULL;
    struct eg_secret *key = NULL;
    bool locked;
    char one[EG_SIGV4_KEY_ID + 1], again[EG_SIGV4_KEY_ID + 1], other[EG_SIGV4_KEY_ID + 1];
    cr_assert(sodium_init() >= 0);
    cr_assert(eg_vault_new(&vault, 4096, false, &locked, NULL) == EG_OK);
    cr_assert(eg_secret_random(vault, 32, &key, NULL) == EG_OK);
    cr_assert(eg_sigv4_phantom(key, EG_SLICE("aws"), one) == EG_OK);
    cr_assert(eg_sigv4_phantom(key, EG_SLICE("aws"), again) == EG_OK);
    cr_assert(eg_sigv4_phantom(key, EG_SLICE("aws2"), other) == EG_OK);
    cr_expect_eq(strlen(one), EG_SIGV4_KEY_ID);
    cr_expect_str_eq(one, again);
    cr_expect_str_neq(one, other);
    cr_expect(strncmp(one, "AKIA", 4) == 0);
    cr_expect_eq(strspn(one + 4, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"), 0, "%s", one);
    cr_expect_eq(strspn(one, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0234567"), EG_SIGV4_KEY_ID);
    eg_secret_free(key);
    eg_vault_free(vault);
}
