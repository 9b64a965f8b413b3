/* cmd_oauth_run.c - the helper of an oauth2 credential in the test's own process: from a policy and its parts to a request, from an answer to a
 * token; and every answer that is none. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/oauth.h"
#include "support/keys.h"
#include "support/policies.h"

enum { TIMEOUT_MS = 20000 };

#define CREDENTIAL                                                                                 \
    "egress: 1\n"                                                                                  \
    "credentials:\n"                                                                               \
    "  tok:\n"                                                                                     \
    "    hosts: [api.example]\n"                                                                   \
    "    oauth2: "
#define URL "token_url: \"https://as.example/token\""
#define CLIENT                                                                                     \
    CREDENTIAL "{grant: client_credentials, " URL ", client_id: id, client_secret: \"env:S\"}\n"
#define REFRESH                                                                                    \
    CREDENTIAL "{grant: refresh_token, " URL ", client_id: id, refresh_token: \"file:/x\"}\n"
#define JWT    CREDENTIAL "{grant: jwt_bearer, " URL ", issuer: me, key: \"env:K\"}\n"
#define GOOGLE CREDENTIAL "{grant: google_service_account, " URL ", scope: x, key: \"env:K\"}\n"
#define GITHUB CREDENTIAL "{grant: github_app, issuer: \"1\", installation: 7, key: \"env:K\"}\n"

struct scene {
    struct eg_buf block, value;
    struct eg_sup_policy policy;
    struct eg_supervisor supervisor;
    struct eg_sup_credential list[2];
    struct eg_sup_creds creds;
    struct eg_err err;
    char request[16384]; /* what the worker would have got */
    char dir[64], file[80];
};

static void begin(struct scene *s, const char *policy)
{
    static char token[] = "tok", part[] = "tok#refresh_token";
    memset(s, 0, sizeof *s);
    cr_assert_geq(sodium_init(), 0);
    s->policy.policy = eg_policies_build("egress.yaml", policy, &s->block);
    s->supervisor.policy = &s->policy;
    s->creds = (struct eg_sup_creds){ .supervisor = &s->supervisor, .list = s->list, .count = 2 };
    s->list[0].name = token;
    s->list[1].name = part;
    snprintf(s->dir, sizeof s->dir, "/tmp/egress-oauth-XXXXXX");
    cr_assert_not_null(mkdtemp(s->dir));
    snprintf(s->file, sizeof s->file, "%s/refresh", s->dir);
    s->list[1].kind = EG_SOURCE_FILE;
    s->list[1].place = s->file;
}

static void end(struct scene *s)
{
    (void)unlink(s->file);
    cr_expect_eq(rmdir(s->dir), 0);
    eg_buf_done(&s->value);
    eg_policy_close((struct eg_policy *)(uintptr_t)s->policy.policy);
    eg_buf_done(&s->block);
}

static void put_part(struct eg_buf *b, const char *text)
{
    uint32_t n = (uint32_t)strlen(text);
    cr_assert(eg_buf_append(b, &n, sizeof n) == EG_OK && eg_buf_append(b, text, n) == EG_OK);
}

/* With an answer that is there before it is asked for. */
static enum eg_status run(struct scene *s, const char *secret, const char *refresh, const char *key,
                          int http_status, const char *json)
{
    struct eg_sup_oauth o = { 0 };
    char answer[8192];
    int pair[2];
    int n = snprintf(answer, sizeof answer, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n%s",
                     http_status, strlen(json), json);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    cr_assert_eq(write(pair[0], answer, (size_t)n), n);
    eg_buf_init(&o.parts, 65536);
    put_part(&o.parts, secret);
    put_part(&o.parts, refresh);
    put_part(&o.parts, key);
    o.client = pair[1];
    eg_buf_done(&s->value);
    eg_buf_init(&s->value, EG_SUP_OAUTH_MAX);
    eg_err_reset(&s->err);
    enum eg_status status =
        eg_sup_oauth_run(&s->creds, &s->list[0], &o, TIMEOUT_MS, &s->value, &s->err);
    memset(s->request, 0, sizeof s->request);
    (void)!recv(pair[0], s->request, sizeof s->request - 1, MSG_DONTWAIT);
    close(pair[0]);
    close(pair[1]);
    return status;
}

static void expect_result(const struct scene *s, uint64_t expires_in, const char *texts,
                          bool unsaved)
{
    struct eg_sup_oauth_result r;
    cr_assert_geq(s->value.len, sizeof r);
    memcpy(&r, s->value.data + s->value.off, sizeof r);
    struct eg_slice rest = eg_slice_from(eg_buf_slice(&s->value), sizeof r);
    cr_expect(eg_slice_eq(rest, eg_slice_str(texts)), "%.*s", (int)rest.n, rest.p);
    cr_expect_eq(r.token_n + r.refresh_n, rest.n);
    cr_expect_eq(r.expires_in, expires_in);
    cr_expect_eq(r.unsaved, unsaved, "%s", r.why);
}

Test(cmd, oauth_run_client_credentials)
{
    struct scene s;
    begin(&s, CLIENT);
    cr_assert_eq(run(&s, "secret", "", "", 200,
                     "{\"access_token\":\"at\",\"token_type\":\"Bearer\",\"expires_in\":60}"),
                 EG_OK, "%s", s.err.text);
    expect_result(&s, 60, "at", false);
    cr_expect_eq(strncmp(s.request, "POST /oauth2~tok/token HTTP/1.1\r\n", 33), 0, "%s", s.request);
    cr_expect(strstr(s.request, "\r\nAuthorization: Basic aWQ6c2VjcmV0\r\n"));
    cr_expect(strstr(s.request, "\r\n\r\ngrant_type=client_credentials"));
    end(&s);
}

Test(cmd, oauth_run_expiry)
{
    static const struct {
        const char *json;
        uint64_t expires_in;
    } rows[] = {
        { "{\"access_token\":\"at\",\"token_type\":\"bearer\"}", 0 },
        { "{\"access_token\":\"at\",\"token_type\":\"bearer\",\"expires_in\":\"3599\"}", 3599 },
        { "{\"access_token\":\"at\",\"token_type\":\"bearer\",\"expires_in\":3599.5}", 3599 },
        { "{\"access_token\":\"at\",\"token_type\":\"bearer\",\"expires_in\":-1}", 0 },
        { "{\"access_token\":\"at\",\"token_type\":\"bearer\",\"expires_in\":1e300}", 0 },
        { "{\"access_token\":\"at\",\"token_type\":\"bearer\",\"expires_in\":null}", 0 },
        { "{\"access_token\":\"at\",\"token_type\":\"bearer\",\"refresh_token\":\"not ours\"}", 0 },
    };
    struct scene s;
    begin(&s, CLIENT);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_expect_eq(run(&s, "secret", "", "", 200, rows[i].json), EG_OK, "%zu: %s", i, s.err.text);
        expect_result(&s, rows[i].expires_in, "at", false);
    }
    end(&s);
}

Test(cmd, oauth_run_answers_that_are_none)
{
    static const struct {
        int http_status;
        const char *json, *why;
    } rows[] = {
        { 200, "", "no JSON object" },
        { 200, "[]", "no JSON object" },
        { 200, "{\"access_token\":\"a\"", "no JSON object" },
        { 200, "{\"access_token\":\"a\",\"token_type\":\"bearer\"} x", "no JSON object" },
        { 200, "{}", "no access_token" },
        { 200, "{\"access_token\":7,\"token_type\":\"bearer\"}", "no access_token" },
        { 200, "{\"access_token\":\"a\"}", "no token_type" },
        { 200, "{\"access_token\":\"a\\nb\",\"token_type\":\"bearer\"}", "is no token" },
        { 200, "{\"access_token\":\"a\",\"token_type\":\"bearer\",\"expires_in\":0}", "expired" },
        { 400, "{\"error\":\"invalid_grant\"}", "answered 400: invalid_grant" },
        { 401, "no JSON", "answered 401" },
        { 503, "", "answered 503" },
    };
    struct scene s;
    begin(&s, CLIENT);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_expect_eq(run(&s, "x", "", "", rows[i].http_status, rows[i].json),
                     EG_CREDENTIAL_UNAVAILABLE, "%zu", i);
        cr_expect(strstr(s.err.text, rows[i].why), "%zu: %s", i, s.err.text);
        cr_expect_eq(s.value.len, 0);
    }
    end(&s);
}

static void write_secret(const struct scene *s, const char *text)
{
    FILE *f = fopen(s->file, "w");
    cr_assert(f && fputs(text, f) >= 0 && fchmod(fileno(f), 0600) == 0 && fclose(f) == 0);
}

static void expect_file(const struct scene *s, const char *text)
{
    char now[64] = "";
    FILE *f = fopen(s->file, "r");
    cr_assert(f && fgets(now, sizeof now, f));
    fclose(f);
    cr_expect_eq(strncmp(now, text, strlen(text)), 0, "%s", now);
}

#define ROTATED                                                                                    \
    "{\"access_token\":\"at\",\"token_type\":\"bearer\",\"expires_in\":9,\"refresh_token\":\"rt-"  \
    "1\"}"

Test(cmd, oauth_run_refresh_token)
{
    struct scene s;
    begin(&s, REFRESH);
    write_secret(&s, "rt-0\n");
    cr_assert_eq(run(&s, "", "rt-0", "", 200, ROTATED), EG_OK, "%s", s.err.text);
    expect_result(&s, 9, "atrt-1", false);
    expect_file(&s, "rt-1");
    cr_expect(
        strstr(s.request, "\r\n\r\ngrant_type=refresh_token&refresh_token=rt-0&client_id=id"));
    /* the same again: nothing is written */
    write_secret(&s, "untouched");
    cr_assert_eq(run(&s, "", "rt-1", "", 200, ROTATED), EG_OK);
    expect_result(&s, 9, "at", false);
    expect_file(&s, "untouched");
    /* one that was not written back before is written now, also when no new one came */
    s.list[1].newer = true;
    cr_assert_eq(
        run(&s, "", "rt-1", "", 200, "{\"access_token\":\"at\",\"token_type\":\"bearer\"}"), EG_OK);
    expect_result(&s, 0, "atrt-1", false);
    expect_file(&s, "rt-1");
    end(&s);
}

Test(cmd, oauth_run_refresh_token_that_can_not_be_written)
{
    struct scene s;
    begin(&s, REFRESH);
    cr_assert_eq(run(&s, "", "rt-0", "", 200, ROTATED), EG_OK, "%s", s.err.text);
    expect_result(&s, 9, "atrt-1", true); /* no such file */
    s.list[1].kind = EG_SOURCE_ENV;
    cr_assert_eq(run(&s, "", "rt-0", "", 200, ROTATED), EG_OK, "%s", s.err.text);
    expect_result(&s, 9, "atrt-1", true);
    end(&s);
}

Test(cmd, oauth_run_keys)
{
    static const struct {
        const char *policy, *key, *why; /* NULL: fine */
    } rows[] = {
        { JWT, KEYS_RSA_PKCS1, NULL },
        { JWT, KEYS_EC_PKCS8, NULL },
        { JWT, "rubbish", "no private key in PEM" },
        { JWT, "{", "neither PEM nor the JSON" },
        { GOOGLE, " {\"private_key\":\"x\",\"private_key\":\"y\"}", "neither PEM nor the JSON" },
        { GOOGLE, "{\"private_key\":\"x\"}", "no client_email" },
        { GOOGLE, "{\"client_email\":\"x\"}", "no private_key" },
        { GOOGLE, "{\"client_email\":\"x\",\"private_key\":\"y\"}",
          "is not the policy's token_url" },
        { GOOGLE,
          "{\"client_email\":\"x\",\"private_key\":\"y\",\"token_uri\":\"https://as.example/\"}",
          "is not the policy's token_url" },
        { GOOGLE,
          "{\"client_email\":\"x\",\"private_key\":\"y\",\"token_uri\":\"https://as.example/"
          "token\"}",
          "no private key in PEM" },
        { GOOGLE,
          "{\"client_email\":\"x\",\"private_key\":\"-----BEGIN PRIVATE "
          "KEY-----\\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+"
          "YBIff\\nH1136cspYG6+"
          "0iY7X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp\\n7xO6z248e9FURcfxRM0bvZt+"
          "hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt\\n-----END PRIVATE "
          "KEY-----\\n\",\"token_uri\":\"https://as.example/token\"}",
          NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene s;
        begin(&s, rows[i].policy);
        enum eg_status status = run(&s, "", "", rows[i].key, 200,
                                    "{\"access_token\":\"at\",\"token_type\":\"bearer\"}");
        cr_expect_eq(status == EG_OK, rows[i].why == NULL, "%zu: %s", i, s.err.text);
        cr_expect(!rows[i].why || strstr(s.err.text, rows[i].why), "%zu: %s", i, s.err.text);
        cr_expect_eq(strstr(s.request, "assertion=ey") != NULL, rows[i].why == NULL, "%zu", i);
        end(&s);
    }
}

Test(cmd, oauth_run_github_app)
{
    struct scene s;
    begin(&s, GITHUB);
    cr_assert_eq(run(&s, "", "", KEYS_RSA_PKCS1, 201,
                     "{\"token\":\"ghs_1\",\"expires_at\":\"2999-01-01T00:00:00Z\"}"),
                 EG_OK, "%s", s.err.text);
    cr_expect(strstr(s.request, "/app/installations/7/access_tokens HTTP/1.1\r\n"), "%s",
              s.request);
    cr_expect(strstr(s.request, "\r\nAuthorization: Bearer ey"));
    cr_expect(strstr(s.request, "\r\nContent-Length: 0\r\n\r\n"));
    cr_expect_null(strstr(s.request, "Content-Type"));
    cr_expect_eq(run(&s, "", "", KEYS_RSA_PKCS1, 201,
                     "{\"token\":\"ghs_1\",\"expires_at\":\"1999-01-01T00:00:00Z\"}"),
                 EG_CREDENTIAL_UNAVAILABLE);
    cr_expect(strstr(s.err.text, "expired"), "%s", s.err.text);
    cr_expect_eq(run(&s, "", "", KEYS_RSA_PKCS1, 401, "{\"message\":\"Bad credentials\"}"),
                 EG_CREDENTIAL_UNAVAILABLE);
    cr_expect(strstr(s.err.text, "answered 401"), "%s", s.err.text);
    end(&s);
}

Test(cmd, oauth_run_that_knows_nothing)
{
    struct scene s;
    static char other[] = "other";
    struct eg_sup_oauth o = { .client = -1 };
    begin(&s, CLIENT);
    eg_buf_init(&s.value, EG_SUP_OAUTH_MAX);
    cr_expect_eq(eg_sup_oauth_run(&s.creds, &s.list[0], &o, TIMEOUT_MS, &s.value, &s.err),
                 EG_INTERNAL);
    s.list[0].name = other;
    cr_expect_eq(run(&s, "", "", "", 200, "{}"), EG_CREDENTIAL_UNAVAILABLE);
    cr_expect(strstr(s.err.text, "does not name it"), "%s", s.err.text);
    end(&s);
}
