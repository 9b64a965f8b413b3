/* cred_oauth.c - forms, client authentication, answers of token endpoints, and JSON Web Tokens. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>

#include "cred/jwt.h"
#include "cred/oauth.h"

enum { ROOM = 65536 };

static char *text_of(struct eg_buf *b)
{
    cr_assert_eq(eg_buf_append(b, "", 1), EG_OK);
    return b->data + b->off;
}

#define S(text) EG_SLICE(text)

Test(cred, oauth_forms)
{
    static const struct {
        struct eg_oauth_ask ask;
        const char *form, *authorization;
    } rows[] = {
        { { .grant = EG_OAUTH_CLIENT_CREDENTIALS,
            .client_id = S("id"),
            .client_secret = S("secret"),
            .basic = true },
          "grant_type=client_credentials",
          "Basic aWQ6c2VjcmV0" },
        { { .grant = EG_OAUTH_CLIENT_CREDENTIALS,
            .client_id = S("id"),
            .client_secret = S("secret"),
            .scope = S("a b"),
            .audience = S("https://api.example/") },
          "grant_type=client_credentials&client_id=id&client_secret=secret&scope=a+b&"
          "audience=https%3A%2F%2Fapi.example%2F",
          "" },
        /* RFC 6749 section 2.3.1: id and secret are form-encoded before base64: "i%3Ad:s%2Fe+c%25" */
        { { .grant = EG_OAUTH_CLIENT_CREDENTIALS,
            .client_id = S("i:d"),
            .client_secret = S("s/e c%"),
            .basic = true },
          "grant_type=client_credentials",
          "Basic aSUzQWQ6cyUyRmUrYyUyNQ==" },
        /* a public client (section 3.2.1): no secret, so its id is in the body */
        { { .grant = EG_OAUTH_REFRESH_TOKEN,
            .client_id = S("id"),
            .refresh_token = S("1//x+y=&z"),
            .assertion = S("not this"),
            .basic = true },
          "grant_type=refresh_token&refresh_token=1%2F%2Fx%2By%3D%26z&client_id=id",
          "" },
        { { .grant = EG_OAUTH_JWT_BEARER,
            .refresh_token = S("not this"),
            .assertion = S("aaa.bb-_.c") },
          "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=aaa.bb-_.c",
          "" },
        /* bytes that are not ASCII; * - . _ stay, ~ does not */
        { { .grant = EG_OAUTH_CLIENT_CREDENTIALS,
            .client_id = S("\xc3\xa4\x01~*-._"),
            .client_secret = S("x") },
          "grant_type=client_credentials&client_id=%C3%A4%01%7E*-._&client_secret=x",
          "" },
    };
    cr_assert_geq(sodium_init(), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct eg_buf b;
        eg_buf_init(&b, ROOM);
        cr_assert_eq(eg_oauth_form(&rows[i].ask, &b), EG_OK);
        cr_expect_str_eq(text_of(&b), rows[i].form, "%zu: %s", i, b.data);
        eg_buf_reset(&b);
        cr_assert_eq(eg_oauth_authorization(&rows[i].ask, &b), EG_OK);
        cr_expect_str_eq(text_of(&b), rows[i].authorization, "%zu: %s", i, b.data);
        eg_buf_done(&b);
    }
}

Test(cred, oauth_form_that_does_not_fit)
{
    struct eg_oauth_ask ask = { .client_id = S("0123456789"), .client_secret = S("0123456789") };
    struct eg_buf b;
    eg_buf_init(&b, 40);
    cr_expect_eq(eg_oauth_form(&ask, &b), EG_TOO_BIG);
    eg_buf_done(&b);
    ask.basic = true;
    eg_buf_init(&b, 10);
    cr_expect_eq(eg_oauth_authorization(&ask, &b), EG_TOO_BIG);
    eg_buf_done(&b);
}

Test(cred, oauth_answers)
{
    static char longest[16384 + 1];
    static const struct {
        struct eg_oauth_answer answer;
        const char *why; /* NULL: fine */
    } rows[] = {
        { { 200, S("tok"), S("Bearer"), EG_SLICE_NONE, EG_SLICE_NONE, true, 3600 }, NULL },
        { { 200, S("tok"), S("bEARER"), EG_SLICE_NONE, EG_SLICE_NONE, false, 0 }, NULL },
        { { 201, S("tok"), S("bearer"), S("next"), EG_SLICE_NONE, true, 1 }, NULL },
        { { 200, EG_SLICE_NONE, S("bearer"), EG_SLICE_NONE, EG_SLICE_NONE, true, 1 },
          "has no access_token" },
        { { 200, S(""), S("bearer"), EG_SLICE_NONE, EG_SLICE_NONE, true, 1 }, "is no token" },
        { { 200, S("a b"), S("bearer"), EG_SLICE_NONE, EG_SLICE_NONE, true, 1 }, "is no token" },
        { { 200, S("a\r\nX: y"), S("bearer"), EG_SLICE_NONE, EG_SLICE_NONE, true, 1 },
          "is no token" },
        { { 200, S("a\0b"), S("bearer"), EG_SLICE_NONE, EG_SLICE_NONE, true, 1 }, "is no token" },
        { { 200, S("a\xc3\xa4"), S("bearer"), EG_SLICE_NONE, EG_SLICE_NONE, true, 1 },
          "is no token" },
        { { 200, { longest, 16384 }, S("bearer"), EG_SLICE_NONE, EG_SLICE_NONE, true, 1 }, NULL },
        { { 200, { longest, 16385 }, S("bearer"), EG_SLICE_NONE, EG_SLICE_NONE, true, 1 },
          "too long" },
        { { 200, S("tok"), EG_SLICE_NONE, EG_SLICE_NONE, EG_SLICE_NONE, true, 1 },
          "has no token_type" },
        { { 200, S("tok"), S("mac"), EG_SLICE_NONE, EG_SLICE_NONE, true, 1 }, "is not bearer" },
        { { 200, S("tok"), S("bearer "), EG_SLICE_NONE, EG_SLICE_NONE, true, 1 }, "is not bearer" },
        { { 200, S("tok"), S("bearer"), S("a\nb"), EG_SLICE_NONE, true, 1 },
          "refresh_token that is no token" },
        { { 200, S("tok"), S("bearer"), EG_SLICE_NONE, EG_SLICE_NONE, true, 0 }, "expired" },
        { { 400, EG_SLICE_NONE, EG_SLICE_NONE, EG_SLICE_NONE, S("invalid_grant"), false, 0 },
          "answered 400: invalid_grant" },
        { { 200, S("tok"), S("bearer"), EG_SLICE_NONE, S("invalid_client"), true, 1 },
          "answered 200: invalid_client" },
        { { 500, EG_SLICE_NONE, EG_SLICE_NONE, EG_SLICE_NONE, EG_SLICE_NONE, false, 0 },
          "answered 500" },
        { { 302, S("tok"), S("bearer"), EG_SLICE_NONE, EG_SLICE_NONE, true, 1 }, "answered 302" },
        { { 400, EG_SLICE_NONE, EG_SLICE_NONE, EG_SLICE_NONE, S("Secret<script>"), false, 0 },
          "answered 400" },
    };
    memset(longest, 'x', sizeof longest);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct eg_err err = { 0 };
        enum eg_status s = eg_oauth_judge(&rows[i].answer, &err);
        cr_expect_eq(s, rows[i].why ? EG_CREDENTIAL_UNAVAILABLE : EG_OK, "%zu", i);
        cr_expect(!rows[i].why || strstr(err.text, rows[i].why), "%zu: %s", i, err.text);
        cr_expect_null(strchr(err.text, '<'));
    }
}

Test(cred, oauth_error_is_a_word)
{
    char out[16];
    cr_expect_str_eq(eg_oauth_error(S("invalid_grant"), out, sizeof out), "invalid_grant");
    cr_expect_str_eq(eg_oauth_error(S("Invalid"), out, sizeof out), "");
    cr_expect_str_eq(eg_oauth_error(S("a b"), out, sizeof out), "");
    cr_expect_str_eq(eg_oauth_error(S("aaaaaaaaaaaaaaaa"), out, sizeof out), "");
    cr_expect_str_eq(eg_oauth_error(S("aaaaaaaaaaaaaaa"), out, sizeof out), "aaaaaaaaaaaaaaa");
    cr_expect_str_eq(eg_oauth_error(EG_SLICE_NONE, out, sizeof out), "");
}

Test(cred, oauth_refresh_comes_before_expiry)
{
    static const struct {
        uint64_t expires_in, ms;
    } rows[] = {
        { 3600, 3240000 }, { 600, 540000 }, { 300, 240000 },
        { 120, 60000 },    { 60, 30000 },   { 2, 1000 },
        { 1, 500 },        { 0, 1 },        { UINT64_MAX, 400ull * 24 * 3600 * 900 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect_eq(eg_oauth_refresh_ms(rows[i].expires_in), rows[i].ms, "%zu", i);
}

Test(cred, oauth_time_is_rfc_3339)
{
    uint64_t at = 0;
    cr_expect(eg_oauth_time(S("2016-07-11T22:14:10Z"), &at));
    cr_expect_eq(at, 1468275250);
    cr_expect(eg_oauth_time(S("1970-01-01T00:00:00Z"), &at));
    cr_expect_eq(at, 0);
    static const struct eg_slice bad[] = {
        S(""),
        S("2016-07-11T22:14:10"),
        S("2016-07-11T22:14:10+00:00"),
        S("2016-13-11T22:14:10Z"),
        S("2016-07-32T22:14:10Z"),
        S("2016-07-11T24:14:10Z"),
        S("2016-07-11 22:14:10Z"),
        S("2016-07-1xT22:14:10Z"),
        S("1969-07-11T22:14:10Z"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_not(eg_oauth_time(bad[i], &at), "%zu", i);
}

/* ---- JSON Web Tokens ---- */

static enum eg_status sign_length(void *ctx, struct eg_slice message, unsigned char *out,
                                  size_t cap, size_t *n, struct eg_err *err)
{
    (void)err;
    cr_assert_geq(cap, (size_t)3);
    *(size_t *)ctx = message.n;
    memcpy(out, "\xfb\xff\xfe", 3);
    *n = 3;
    return EG_OK;
}

static enum eg_status sign_fails(void *ctx, struct eg_slice message, unsigned char *out, size_t cap,
                                 size_t *n, struct eg_err *err)
{
    (void)ctx, (void)message, (void)out, (void)cap, (void)n;
    return eg_err_set(err, EG_INVALID, "test", 0, "no key");
}

static void decode(const char *part, char *out, size_t cap)
{
    size_t n = 0;
    cr_assert_eq(sodium_base642bin((unsigned char *)out, cap - 1, part, strcspn(part, "."), NULL,
                                   &n, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING),
                 0);
    out[n] = 0;
}

Test(cred, jwt_is_header_claims_and_signature)
{
    char json[512];
    size_t signed_n = 0;
    struct eg_buf b;
    const struct eg_jwt_signer signer = { "RS256", sign_length, &signed_n };
    const struct eg_jwt jwt = { .key_id = S("k1"),
                                .issuer = S("me@example"),
                                .subject = S("you"),
                                .audience = S("https://as.example/token"),
                                .scope = S("a \"b\" \\ \n"),
                                .id = S("j"),
                                .issued_s = 1300819380,
                                .expires_s = 1300819980 };
    cr_assert_geq(sodium_init(), 0);
    eg_buf_init(&b, ROOM);
    cr_assert_eq(eg_buf_put(&b, S("before ")), EG_OK);
    cr_assert_eq(eg_jwt_make(&jwt, &signer, &b, NULL), EG_OK);
    const char *text = text_of(&b) + 7, *claims = strchr(text, '.') + 1,
               *signature = strchr(claims, '.') + 1;
    cr_expect_eq(signed_n, (size_t)(signature - 1 - text));
    cr_expect_str_eq(signature, "-__-");
    decode(text, json, sizeof json);
    cr_expect_str_eq(json, "{\"alg\":\"RS256\",\"kid\":\"k1\",\"typ\":\"JWT\"}");
    decode(claims, json, sizeof json);
    cr_expect_str_eq(json, "{\"iss\":\"me@example\",\"sub\":\"you\",\"aud\":\"https://as.example/"
                           "token\",\"scope\":\"a \\\"b\\\" \\\\ \\u000a\",\"jti\":\"j\","
                           "\"iat\":1300819380,\"exp\":1300819980}");
    eg_buf_done(&b);
}

Test(cred, jwt_leaves_out_what_is_empty)
{
    char json[512];
    size_t signed_n = 0;
    struct eg_buf b;
    const struct eg_jwt_signer signer = { "ES256", sign_length, &signed_n };
    const struct eg_jwt jwt = { .issuer = S("42"), .issued_s = 1, .expires_s = 2 };
    eg_buf_init(&b, ROOM);
    cr_assert_eq(eg_jwt_make(&jwt, &signer, &b, NULL), EG_OK);
    const char *text = text_of(&b);
    decode(text, json, sizeof json);
    cr_expect_str_eq(json, "{\"alg\":\"ES256\",\"typ\":\"JWT\"}");
    decode(strchr(text, '.') + 1, json, sizeof json);
    cr_expect_str_eq(json, "{\"iss\":\"42\",\"iat\":1,\"exp\":2}");
    eg_buf_done(&b);
}

Test(cred, jwt_that_can_not_be_made)
{
    struct eg_buf b;
    struct eg_err err = { 0 };
    size_t signed_n = 0;
    const struct eg_jwt_signer broken = { "ES256", sign_fails, NULL },
                               good = { "ES256", sign_length, &signed_n };
    const struct eg_jwt jwt = { .issuer = S("42") };
    eg_buf_init(&b, ROOM);
    cr_expect_eq(eg_jwt_make(&jwt, &broken, &b, &err), EG_INVALID);
    cr_expect_str_eq(err.text, "no key");
    eg_buf_done(&b);
    eg_buf_init(&b, 20);
    cr_expect_eq(eg_jwt_make(&jwt, &good, &b, NULL), EG_TOO_BIG);
    eg_buf_done(&b);
}
