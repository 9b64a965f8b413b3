/* oauth_assertions.c - credentials that are tokens for a signed assertion: RFC 7523, Google's service accounts and GitHub's apps. What was
 * sent is verified by openssl with the key's public half. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/keys.h"
#include "support/oauth.h"

enum { SIGNATURE = 342 /* RS256 with 2048 bits, in base64url */ };

/* The first assertion that was recorded behind `before`, until a byte that is none of its alphabet. */
static void assertion(const struct eg_world *w, const char *before, char *out, size_t cap)
{
    char *rec = eg_world_read(w, "origin.rec", NULL), *at = strstr(rec, before);
    cr_assert_not_null(at, "%s", rec);
    at += strlen(before);
    size_t n = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.");
    cr_assert_lt(n, cap);
    memcpy(out, at, n);
    out[n] = 0;
    free(rec);
}

static void decoded(const char *part, size_t n, unsigned char *out, size_t cap, size_t *len)
{
    cr_assert_eq(sodium_base642bin(out, cap, part, n, NULL, len, NULL,
                                   sodium_base64_VARIANT_URLSAFE_NO_PADDING),
                 0);
}

/* By openssl, with the key's public half; the claims as text. */
static void verified(const struct eg_world *w, char *jwt, char *claims, size_t cap)
{
    unsigned char sig[1024];
    size_t n = 0;
    char command[1024], *second = strchr(jwt, '.') + 1, *third = strchr(second, '.') + 1;
    cr_assert_geq(strlen(third), (size_t)SIGNATURE); /* the next request follows it in the record */
    decoded(third, SIGNATURE, sig, sizeof sig, &n);
    FILE *f = fopen(eg_world_path(w, "sig"), "w");
    cr_assert(f && fwrite(sig, 1, n, f) == n && fclose(f) == 0);
    decoded(second, (size_t)(third - second - 1), (unsigned char *)claims, cap - 1, &n);
    claims[n] = 0;
    third[-1] = 0;
    eg_world_write(w, "message", jwt);
    eg_world_write(w, "private", KEYS_RSA_PKCS8);
    snprintf(command, sizeof command,
             "cd '%s' && openssl pkey -in private -pubout -out public 2>/dev/null && openssl dgst "
             "-sha256 -verify public -signature sig message >/dev/null",
             w->dir);
    cr_expect_eq(system(command), 0);
}

static bool no_openssl(void)
{
    return system("openssl version >/dev/null 2>&1") != 0;
}

Test(oauth, an_assertion_is_signed, .timeout = 120)
{
    struct eg_world w;
    char key[600], jwt[4096], claims[2048], url[128];
    if (no_openssl())
        cr_skip("no openssl");
    oauth_origins(&w);
    oauth_put_secret(&w, "key", KEYS_RSA_PKCS8);
    eg_world_egressd(&w,
                     OAUTH_HEAD
                     "    oauth2: {grant: jwt_bearer, " OAUTH_TOKEN_URL ", issuer: me,\n"
                     "             subject: you, scope: \"x y\", key: \"file:@DIR@/key\"}\n",
                     NULL, NULL);
    oauth_phantom(&w, key, sizeof key);
    cr_expect_eq(oauth_ask(&w, "/api/api", key, NULL), 200);
    assertion(&w, "&assertion=", jwt, sizeof jwt);
    verified(&w, jwt, claims, sizeof claims);
    snprintf(url, sizeof url, "\"aud\":\"https://api.example.test:%u/oauth/token\"", w.origin_port);
    cr_expect(strstr(claims, url), "%s", claims);
    cr_expect(strstr(claims, "{\"iss\":\"me\",\"sub\":\"you\",") == claims, "%s", claims);
    cr_expect(strstr(claims, "\"scope\":\"x y\""), "%s", claims);
    long iat = eg_json_number(claims, NULL, "iat"), exp = eg_json_number(claims, NULL, "exp");
    cr_expect(exp > iat && exp - iat <= 600, "%s", claims);
    eg_world_done(&w);
}

/* Google's: everything is in its JSON; one for another place is not sent. */
Test(oauth, a_service_account_is_used_for_its_own_endpoint_only, .timeout = 120)
{
    struct eg_world w;
    char key[600], jwt[4096], claims[2048], json[8192], pem[4096], *text = NULL;
    size_t n = 0;
    if (no_openssl())
        cr_skip("no openssl");
    oauth_origins(&w);
    for (const char *p = KEYS_RSA_PKCS8; *p; p++) { /* as JSON has it */
        pem[n++] = *p == '\n' ? '\\' : *p;
        if (*p == '\n')
            pem[n++] = 'n';
    }
    pem[n] = 0;
    snprintf(json, sizeof json,
             "{\n \"type\": \"service_account\",\n \"private_key_id\": \"k1\",\n \"private_key\": "
             "\"%s\",\n \"client_email\": \"robot@example.test\",\n \"token_uri\": "
             "\"https://api.example.test:%u/oauth/token\"\n}\n",
             pem, w.origin_port);
    oauth_put_secret(&w, "account.json", json);
    eg_world_egressd(&w,
                     OAUTH_HEAD "    oauth2: {grant: google_service_account, " OAUTH_TOKEN_URL ",\n"
                                "             scope: x, key: \"file:@DIR@/account.json\"}\n",
                     NULL, NULL);
    oauth_phantom(&w, key, sizeof key);
    cr_expect_eq(oauth_ask(&w, "/api/api", key, NULL), 200);
    assertion(&w, "&assertion=", jwt, sizeof jwt);
    verified(&w, jwt, claims, sizeof claims);
    cr_expect(strstr(claims, "{\"iss\":\"robot@example.test\",\"aud\":") == claims, "%s", claims);
    cr_expect(strstr(claims, "\"scope\":\"x\""), "%s", claims);
    snprintf(
        json, sizeof json,
        "{\"private_key\":\"%s\",\"client_email\":\"a\",\"token_uri\":\"https://oauth2.example/\"}",
        pem);
    oauth_put_secret(&w, "account.json", json);
    oauth_reload(&w, 1);
    cr_expect_eq(oauth_ask(&w, "/api/api", key, NULL), 502);
    (void)eg_ctl_run(&w, &text, "creds", "list", NULL);
    cr_expect(strstr(text, "is not the policy's token_url"), "%s", text);
    free(text);
    cr_expect_eq(oauth_counted(&w, "issued"), 1);
    eg_world_done(&w);
}

Test(oauth, a_github_app_gets_its_installation_token, .timeout = 120)
{
    struct eg_world w;
    char key[600], jwt[4096], claims[2048];
    if (no_openssl())
        cr_skip("no openssl");
    oauth_origins(&w);
    oauth_put_secret(&w, "app.pem", KEYS_RSA_PKCS1);
    eg_world_egressd(
        &w,
        OAUTH_HEAD
        "    oauth2: {grant: github_app, issuer: \"12345\", key: \"file:@DIR@/app.pem\",\n"
        "             token_url: "
        "\"https://api.example.test:@ORIGIN@/app/installations/77/access_tokens\"}\n",
        NULL, NULL);
    oauth_phantom(&w, key, sizeof key);
    cr_expect_eq(oauth_ask(&w, "/api/api", key, NULL), 200);
    cr_expect_eq(oauth_at_origin(&w, "POST /app/installations/77/access_tokens HTTP/1.1\r\n"), 1);
    cr_expect_eq(oauth_at_origin(&w, "Accept: application/vnd.github+json\r\n"), 1);
    cr_expect_eq(oauth_at_origin(&w, "Bearer ghs-000001-"), 1);
    assertion(&w, "Authorization: Bearer ", jwt, sizeof jwt);
    verified(&w, jwt, claims, sizeof claims);
    cr_expect(strstr(claims, "{\"iss\":\"12345\",\"iat\":") == claims, "%s", claims);
    eg_world_done(&w);
}
