/* oauth.c - credentials that are tokens of a token endpoint: the first, the next before it expires, another after a 401; refresh tokens
 * that rotate; assertions; and an endpoint that fails in every way. The origin is both endpoint and API (support/origin_oauth.c). */
#include <criterion/criterion.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "cred/cred.h"
#include "support/daemon.h"
#include "support/keyring.h"
#include "support/keys.h"

enum { PATIENCE_MS = 60000, SIGNATURE = 342 /* RS256 with 2048 bits, in base64url */ };

#define CLIENT_SECRET "se cret/+"

/* Before and after the credential's own keys. */
#define HEAD                                                                                       \
    "egress: 1\n"                                                                                  \
    "services:\n"                                                                                  \
    "  api:\n"                                                                                     \
    "    upstream: https://api.example.test:@ORIGIN@/oauth\n"                                      \
    "    credential: tok\n"                                                                        \
    "    write: [\"header:Authorization: Bearer {}\"]\n"                                           \
    "    env: {base_url: API_BASE_URL, key: [API_KEY]}\n"                                          \
    "  as: {upstream: \"https://api.example.test:@ORIGIN@/oauth\"}\n"                              \
    "networks: {allow: [127.0.0.0/8]}\n"                                                           \
    "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"                                                      \
    "tls: {ca: \"@DIR@/ca.pem\", system: false}\n"                                                 \
    "credentials:\n"                                                                               \
    "  tok:\n"                                                                                     \
    "    hosts: [api.example.test]\n"
#define TOKEN_URL "token_url: \"https://api.example.test:@ORIGIN@/oauth/token\""
#define CLIENT                                                                                     \
    "    oauth2: {grant: client_credentials, " TOKEN_URL ", client_id: \"cl:1\",\n"                \
    "             client_secret: \"env:CLIENT_SECRET\", scope: \"a b\"}\n"
#define REFRESH                                                                                    \
    "    oauth2: {grant: refresh_token, " TOKEN_URL ", client_id: \"cl:1\",\n"                     \
    "             refresh_token: \"file:@DIR@/refresh\"}\n"

static const char *const ENVIRONMENT[] = { "CLIENT_SECRET=" CLIENT_SECRET, NULL };
static const char *const NAMES[] = { "api.example.test=127.0.0.1", NULL };

static void origins(struct eg_world *w)
{
    eg_world_new(w);
    eg_world_origin(w, NULL);
    eg_world_dns(w, NAMES);
}

static void put_secret(const struct eg_world *w, const char *name, const char *text)
{
    eg_world_write(w, name, text);
    cr_assert(chmod(eg_world_path(w, name), 0600) == 0);
}

/* The status; the body in *body (malloc'd) unless it is NULL. */
static int ask(const struct eg_world *w, const char *path, const char *key, char **body)
{
    struct eg_client c;
    char head[8192];
    eg_client_open(&c, w->proxy_port);
    eg_client_text(&c, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s%s%s\r\n", path, w->proxy_port,
                   key ? "Authorization: Bearer " : "", key ? key : "", key ? "\r\n" : "");
    int status = eg_client_response(&c, head, sizeof head, body, NULL);
    eg_client_close(&c);
    return status;
}

static void tell_endpoint(const struct eg_world *w, const char *word)
{
    char path[64];
    snprintf(path, sizeof path, "/as/set?%s", word);
    cr_assert_eq(ask(w, path, NULL, NULL), 200);
}

static long counted(const struct eg_world *w, const char *key)
{
    char *body = NULL;
    cr_assert_eq(ask(w, "/as/state", NULL, &body), 200);
    long n = eg_json_number(body, NULL, key);
    free(body);
    return n;
}

static void phantom(const struct eg_world *w, char *out, size_t cap)
{
    char *text = NULL;
    cr_assert(eg_ctl_run(w, &text, "env", "--session", "default", "--format", "json", NULL) == 0,
              "%s", text);
    cr_expect(strstr(text, "oauth2~") == NULL, "%s", text);
    eg_json_text(text, "API_KEY", out, cap);
    free(text);
}

static unsigned at_origin(const struct eg_world *w, const char *text)
{
    unsigned n = 0;
    size_t size = strlen(text);
    char *rec = eg_world_read(w, "origin.rec", NULL);
    for (const char *p = rec; (p = strstr(p, text)); p += size)
        n++;
    free(rec);
    return n;
}

static void reload(const struct eg_world *w, unsigned count)
{
    cr_assert(kill(w->egressd.pid, SIGHUP) == 0);
    cr_assert(eg_world_await_event(w, count, "\"reloaded\"", "generation"));
}

/* What the log says, once it says it. */
static bool logged(const struct eg_world *w, const char *text)
{
    uint64_t end = eg_clock_ms() + PATIENCE_MS;
    bool found = false;
    while (!found && eg_clock_ms() < end) {
        char *log = eg_world_read(w, "egressd.err", NULL);
        found = strstr(log, text) != NULL;
        free(log);
    }
    return found;
}

Test(oauth, the_first_token_is_there_at_the_start, .timeout = 120)
{
    struct eg_world w;
    char key[600];
    origins(&w);
    eg_world_egressd(&w, HEAD CLIENT, NULL, ENVIRONMENT);
    phantom(&w, key, sizeof key);
    cr_expect_eq(counted(&w, "issued"), 1);
    for (int i = 0; i < 5; i++)
        cr_expect_eq(ask(&w, "/api/api", key, NULL), 200);
    cr_expect_eq(counted(&w, "issued"), 1);
    cr_expect_eq(counted(&w, "unauthorized"), 0);
    cr_expect_eq(at_origin(&w, "POST /oauth/token HTTP/1.1\r\n"), 1);
    cr_expect_eq(at_origin(&w, "grant_type=client_credentials&scope=a+b"), 1);
    cr_expect_eq(at_origin(&w, "Bearer at-000001-"), 5);
    cr_expect_eq(at_origin(&w, key), 0);
    cr_expect(eg_world_await_event(&w, 2, "\"session\":\"egressd\"", "\"service\":\"oauth2~tok\""));
    /* the endpoint is the credential's alone */
    cr_expect_eq(ask(&w, "/oauth2~tok/oauth/token", NULL, NULL), 404);
    cr_expect_eq(ask(&w, "/oauth2~tok/oauth/token", key, NULL), 404);
    char *log = eg_world_read(&w, "egressd.err", NULL), *events = eg_world_events(&w);
    cr_expect(!strstr(log, "at-000001") && !strstr(log, CLIENT_SECRET), "%s", log);
    cr_expect(!strstr(events, "at-000001") && !strstr(events, CLIENT_SECRET));
    free(log);
    free(events);
    eg_world_done(&w);
}

/* While requests go on, the token changes, and none of them is refused: one fetch for all workers. */
Test(oauth, a_token_is_fetched_anew_before_it_expires, .timeout = 120)
{
    static const char *const two[] = { "--workers", "2", NULL };
    struct eg_world w;
    char key[600];
    uint64_t end = eg_clock_ms() + PATIENCE_MS;
    origins(&w);
    eg_world_egressd(&w, HEAD "    load: lazy\n" CLIENT, two, ENVIRONMENT);
    phantom(&w, key, sizeof key);
    cr_expect_eq(counted(&w, "issued"), 0);
    tell_endpoint(&w, "expires=8"); /* so: after four seconds */
    while (at_origin(&w, "Bearer at-000002-") == 0 && eg_clock_ms() < end)
        cr_assert_eq(ask(&w, "/api/api", key, NULL), 200);
    cr_expect_eq(counted(&w, "issued"), 2);
    cr_expect_eq(counted(&w, "unauthorized"), 0);
    eg_world_done(&w);
}

Test(oauth, a_refused_token_is_fetched_anew, .timeout = 120)
{
    struct eg_world w;
    char key[600];
    origins(&w);
    eg_world_egressd(&w, HEAD CLIENT, NULL, ENVIRONMENT);
    phantom(&w, key, sizeof key);
    cr_expect_eq(ask(&w, "/api/api", key, NULL), 200);
    tell_endpoint(&w, "revoke=1");
    cr_expect_eq(ask(&w, "/api/api", key, NULL), 200);
    cr_expect_eq(counted(&w, "issued"), 2);
    cr_expect_eq(counted(&w, "unauthorized"), 1);
    cr_expect_eq(at_origin(&w, "Bearer at-000002-"), 1);
    eg_world_done(&w);
}

static void expect_refresh(const struct eg_world *w, const char *start)
{
    char *text = eg_world_read(w, "refresh", NULL);
    cr_expect_eq(strncmp(text, start, strlen(start)), 0, "%s", text);
    free(text);
}

Test(oauth, a_rotated_refresh_token_is_written_back, .timeout = 120)
{
    struct eg_world w;
    struct stat st;
    char key[600];
    origins(&w);
    put_secret(&w, "refresh", "rt-0\n");
    eg_world_egressd(&w, HEAD REFRESH, NULL, NULL);
    phantom(&w, key, sizeof key);
    cr_expect_eq(ask(&w, "/api/api", key, NULL), 200);
    expect_refresh(&w, "rt-1-");
    cr_expect(stat(eg_world_path(&w, "refresh"), &st) == 0 && (st.st_mode & 07777) == 0600);
    tell_endpoint(&w, "revoke=1"); /* what is in memory is used next */
    cr_expect_eq(ask(&w, "/api/api", key, NULL), 200);
    expect_refresh(&w, "rt-2-");
    reload(&w, 1); /* and what is in the file, too */
    cr_expect_eq(ask(&w, "/api/api", key, NULL), 200);
    expect_refresh(&w, "rt-3-");
    tell_endpoint(&w, "rotate=0");
    reload(&w, 2);
    cr_expect_eq(ask(&w, "/api/api", key, NULL), 200);
    expect_refresh(&w, "rt-3-");
    cr_expect_eq(counted(&w, "issued"), 4);
    cr_expect_eq(counted(&w, "denied"), 0);
    cr_expect_eq(at_origin(&w, "refresh_token=rt-0&client_id=cl%3A1"), 1);
    eg_world_done(&w);
}

static void expect_keyring(const char *start)
{
    struct eg_buf b;
    struct eg_err err = { 0 };
    eg_buf_init(&b, EG_CREDENTIAL_MAX + 2);
    cr_assert_eq(eg_source_keyring("egress-test", "refresh", eg_clock_ms() + PATIENCE_MS, false, &b,
                                   &err),
                 EG_OK, "%s", err.text);
    cr_expect(eg_slice_starts(eg_buf_slice(&b), eg_slice_str(start)), "%.*s", (int)b.len,
              b.data + b.off);
    eg_buf_done(&b);
}

Test(oauth, a_rotated_refresh_token_is_written_back_to_its_keyring, .timeout = 120)
{
    struct keyring_bus bus;
    struct eg_world w;
    char key[600];
    keyring_bus_start(&bus);
    keyring_gnome_start(&bus);
    if (bus.missing) {
        keyring_stop(&bus);
        cr_skip("%s", bus.missing);
    }
    cr_assert(keyring_gnome_store("egress-test", "refresh", "rt-0", 4));
    origins(&w);
    eg_world_egressd(&w,
                     HEAD "    oauth2: {grant: refresh_token, " TOKEN_URL ", client_id: \"cl:1\",\n"
                          "             refresh_token: \"keyring:egress-test/refresh\"}\n",
                     NULL, NULL);
    phantom(&w, key, sizeof key);
    cr_expect_eq(ask(&w, "/api/api", key, NULL), 200);
    expect_keyring("rt-1-");
    reload(&w, 1);
    cr_expect_eq(ask(&w, "/api/api", key, NULL), 200);
    expect_keyring("rt-2-");
    cr_expect_eq(counted(&w, "denied"), 0);
    eg_world_done(&w);
    keyring_stop(&bus);
}

/* Its file is gone: the new one is used all the same, and that is told. */
Test(oauth, a_refresh_token_that_can_not_be_written_back_stays_in_memory, .timeout = 120)
{
    struct eg_world w;
    char key[600];
    uint64_t end = eg_clock_ms() + PATIENCE_MS;
    origins(&w);
    put_secret(&w, "refresh", "rt-0");
    eg_world_egressd(&w, HEAD "    load: lazy\n" REFRESH, NULL, NULL);
    phantom(&w, key, sizeof key);
    tell_endpoint(&w, "expires=8"); /* so: after four seconds */
    cr_expect_eq(ask(&w, "/api/api", key, NULL), 200);
    expect_refresh(&w, "rt-1-");
    tell_endpoint(&w, "expires=3600"); /* of the third */
    cr_assert(unlink(eg_world_path(&w, "refresh")) == 0);
    cr_expect(logged(&w, "could not be written back"));
    while (at_origin(&w, "Bearer at-000002-") == 0 && eg_clock_ms() < end)
        (void)ask(&w, "/api/api", key, NULL);
    cr_expect_eq(counted(&w, "issued"), 2);
    put_secret(&w, "refresh", "rt-1-of-another-time"); /* is not read: ours is newer */
    tell_endpoint(&w, "revoke=1");
    while (at_origin(&w, "Bearer at-000003-") == 0 && eg_clock_ms() < end)
        (void)ask(&w, "/api/api", key, NULL);
    cr_expect_eq(counted(&w, "denied"), 0);
    expect_refresh(&w, "rt-3-");
    eg_world_done(&w);
}

/* Each reload asks once; the child sees a refusal with a reason, the operator why. */
Test(oauth, an_endpoint_that_fails_is_told, .timeout = 120)
{
    static const struct {
        const char *mode, *why;
    } rows[] = {
        { "mode=400", "answered 400: invalid_grant" },
        { "mode=500", "answered 500" },
        { "mode=garbage", "no JSON object" },
        { "mode=huge", "too long" },
        { "mode=mac", "token_type that is not bearer" },
        { "mode=redirect", "answered 302" },
        { "mode=hang", "in time" },
    };
    struct eg_world w;
    char key[600], *text = NULL;
    unsigned reloads = 0;
    origins(&w);
    eg_world_egressd(&w, HEAD CLIENT, NULL, ENVIRONMENT);
    phantom(&w, key, sizeof key);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char head[4096], *body = NULL;
        struct eg_client c;
        tell_endpoint(&w, rows[i].mode);
        if (strcmp(rows[i].mode, "mode=hang") == 0)
            eg_world_policy(&w, HEAD "    timeout: 1s\n" CLIENT);
        reload(&w, ++reloads);
        eg_client_open(&c, w.proxy_port);
        eg_client_text(&c, "GET /api/api HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAuthorization: Bearer "
                           "%s\r\n\r\n",
                       w.proxy_port, key);
        cr_expect_eq(eg_client_response(&c, head, sizeof head, &body, NULL), 502, "%s",
                     rows[i].mode);
        cr_expect(eg_head_has(head, "X-Egress-Reason", "credential_unavailable"), "%s", head);
        cr_expect(!strstr(body, "secret words"));
        free(body);
        eg_client_close(&c);
        (void)eg_ctl_run(&w, &text, "creds", "list", NULL);
        cr_expect(strstr(text, rows[i].why), "%s: %s", rows[i].mode, text);
        cr_expect(!strstr(text, "secret words"));
        free(text);
    }
    tell_endpoint(&w, "mode=ok");
    eg_world_policy(&w, HEAD CLIENT);
    reload(&w, ++reloads);
    cr_expect_eq(ask(&w, "/api/api", key, NULL), 200);
    cr_expect_eq(at_origin(&w, "Host: elsewhere.example.test"), 0);
    eg_world_done(&w);
}

/* A failure at the start: no variable for the child, and the rest works. */
Test(oauth, no_variable_is_exported_for_a_token_that_failed, .timeout = 120)
{
    static const char *const environment[] = { "CLIENT_SECRET=wrong", NULL };
    struct eg_world w;
    char *text = NULL;
    origins(&w);
    eg_world_egressd(&w, HEAD CLIENT, NULL, environment);
    cr_assert(eg_ctl_run(&w, &text, "env", "--session", "default", "--format", "json", NULL) == 0);
    cr_expect(strstr(text, "\"API_KEY\":") == NULL, "%s", text);
    free(text);
    (void)eg_ctl_run(&w, &text, "creds", "list", NULL);
    cr_expect(strstr(text, "answered 401: invalid_client"), "%s", text);
    free(text);
    cr_expect_eq(counted(&w, "denied"), 1);
    eg_world_done(&w);
}

/* Verified, resolved and sent as all else: here by a proxy that wants a credential of its own, which must be there before. */
Test(oauth, the_exchange_takes_the_same_hops, .timeout = 120)
{
    static const char upstream[] = "egress: 1\n"
                                   "allow: [{host: api.example.test, scheme: tcp, ports: [@ORIGIN@]}]\n"
                                   "networks: {allow: [127.0.0.0/8]}\n"
                                   "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n";
    struct eg_world w, proxy;
    char key[600], policy[4096], login[128];
    origins(&w);
    eg_world_new(&proxy);
    proxy.origin_port = w.origin_port;
    proxy.dns_port = w.dns_port;
    eg_world_egressd(&proxy, upstream, NULL, NULL);
    snprintf(login, sizeof login, "HOP=x:%s", proxy.token);
    snprintf(policy, sizeof policy,
             "%s  hop: {from: \"env:HOP\", hosts: [\"127.0.0.1\"]}\n"
             "upstream: {proxies: [{proxy: \"http://127.0.0.1:%u\", credential: hop}]}\n",
             HEAD CLIENT, proxy.proxy_port);
    const char *const environment[] = { ENVIRONMENT[0], login, NULL };
    eg_world_egressd(&w, policy, NULL, environment);
    char *events = eg_world_events(&proxy);
    cr_expect_eq(eg_events_with(events, "\"decision\"", "api.example.test", NULL), 1, "%s", events);
    free(events);
    phantom(&w, key, sizeof key);
    cr_expect_eq(ask(&w, "/api/api", key, NULL), 200);
    cr_expect_eq(counted(&w, "issued"), 1);
    eg_world_done(&w);
    eg_world_done(&proxy);
}

static const struct {
    const char *url, *why;
} NOT_REACHED[] = {
    { "https://other.example.test:@ORIGIN@/oauth/token", "was not reached: tls_name" },
    { "https://absent.example.test:@ORIGIN@/oauth/token", "was not reached: dns_not_found" },
    { "https://private.example.test:@ORIGIN@/oauth/token", "was not reached: address_denied" },
};

Test(oauth, an_endpoint_that_is_not_reached_is_told, .timeout = 120)
{
    static const char *const names[] = { "api.example.test=127.0.0.1",
                                         "other.example.test=127.0.0.1",
                                         "private.example.test=10.1.2.3", NULL };
    struct eg_world w;
    eg_world_new(&w);
    eg_world_origin(&w, NULL);
    eg_world_dns(&w, names);
    for (size_t i = 0; i < sizeof NOT_REACHED / sizeof *NOT_REACHED; i++) {
        char policy[4096], *text = NULL;
        snprintf(policy, sizeof policy,
                 HEAD "    oauth2: {grant: client_credentials, token_url: \"%s\",\n"
                      "             client_id: \"cl:1\", client_secret: \"env:CLIENT_SECRET\"}\n",
                 NOT_REACHED[i].url);
        if (i == 0) {
            eg_world_egressd(&w, policy, NULL, ENVIRONMENT);
        } else {
            eg_world_policy(&w, policy);
            reload(&w, (unsigned)i);
            cr_assert(eg_world_await_event(&w, (unsigned)i + 1, "credential_unavailable", "tok: "));
        }
        (void)eg_ctl_run(&w, &text, "creds", "list", NULL);
        cr_expect(strstr(text, NOT_REACHED[i].why), "%s: %s", NOT_REACHED[i].url, text);
        free(text);
    }
    cr_expect_eq(at_origin(&w, "POST "), 0);
    eg_world_done(&w);
}

/* ---- assertions ---- */

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
    origins(&w);
    put_secret(&w, "key", KEYS_RSA_PKCS8);
    eg_world_egressd(&w, HEAD "    oauth2: {grant: jwt_bearer, " TOKEN_URL ", issuer: me,\n"
                              "             subject: you, scope: \"x y\", key: \"file:@DIR@/key\"}\n",
                     NULL, NULL);
    phantom(&w, key, sizeof key);
    cr_expect_eq(ask(&w, "/api/api", key, NULL), 200);
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
    origins(&w);
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
    put_secret(&w, "account.json", json);
    eg_world_egressd(&w, HEAD "    oauth2: {grant: google_service_account, " TOKEN_URL ",\n"
                              "             scope: x, key: \"file:@DIR@/account.json\"}\n",
                     NULL, NULL);
    phantom(&w, key, sizeof key);
    cr_expect_eq(ask(&w, "/api/api", key, NULL), 200);
    assertion(&w, "&assertion=", jwt, sizeof jwt);
    verified(&w, jwt, claims, sizeof claims);
    cr_expect(strstr(claims, "{\"iss\":\"robot@example.test\",\"aud\":") == claims, "%s", claims);
    cr_expect(strstr(claims, "\"scope\":\"x\""), "%s", claims);
    snprintf(json, sizeof json,
             "{\"private_key\":\"%s\",\"client_email\":\"a\",\"token_uri\":\"https://oauth2.example/\"}",
             pem);
    put_secret(&w, "account.json", json);
    reload(&w, 1);
    cr_expect_eq(ask(&w, "/api/api", key, NULL), 502);
    (void)eg_ctl_run(&w, &text, "creds", "list", NULL);
    cr_expect(strstr(text, "is not the policy's token_url"), "%s", text);
    free(text);
    cr_expect_eq(counted(&w, "issued"), 1);
    eg_world_done(&w);
}

Test(oauth, a_github_app_gets_its_installation_token, .timeout = 120)
{
    struct eg_world w;
    char key[600], jwt[4096], claims[2048];
    if (no_openssl())
        cr_skip("no openssl");
    origins(&w);
    put_secret(&w, "app.pem", KEYS_RSA_PKCS1);
    eg_world_egressd(
        &w,
        HEAD "    oauth2: {grant: github_app, issuer: \"12345\", key: \"file:@DIR@/app.pem\",\n"
             "             token_url: "
             "\"https://api.example.test:@ORIGIN@/app/installations/77/access_tokens\"}\n",
        NULL, NULL);
    phantom(&w, key, sizeof key);
    cr_expect_eq(ask(&w, "/api/api", key, NULL), 200);
    cr_expect_eq(at_origin(&w, "POST /app/installations/77/access_tokens HTTP/1.1\r\n"), 1);
    cr_expect_eq(at_origin(&w, "Accept: application/vnd.github+json\r\n"), 1);
    cr_expect_eq(at_origin(&w, "Bearer ghs-000001-"), 1);
    assertion(&w, "Authorization: Bearer ", jwt, sizeof jwt);
    verified(&w, jwt, claims, sizeof claims);
    cr_expect(strstr(claims, "{\"iss\":\"12345\",\"iat\":") == claims, "%s", claims);
    eg_world_done(&w);
}
