/* oauth.c - credentials that are tokens of a token endpoint: the first, the next before it expires, another after a 401; refresh tokens
 * that rotate; and an endpoint that fails in every way. The origin is both endpoint and API (support/origin_oauth.c). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "cred/cred.h"
#include "support/keyring.h"
#include "support/oauth.h"

enum { PATIENCE_MS = 60000 };

#define CLIENT_SECRET "se cret/+"

/* The credential's own keys. */
#define CLIENT                                                                                     \
    "    oauth2: {grant: client_credentials, " OAUTH_TOKEN_URL ", client_id: \"cl:1\",\n"          \
    "             client_secret: \"env:CLIENT_SECRET\", scope: \"a b\"}\n"
#define REFRESH                                                                                    \
    "    oauth2: {grant: refresh_token, " OAUTH_TOKEN_URL ", client_id: \"cl:1\",\n"               \
    "             refresh_token: \"file:@DIR@/refresh\"}\n"

static const char *const ENVIRONMENT[] = { "CLIENT_SECRET=" CLIENT_SECRET, NULL };

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
    oauth_origins(&w);
    eg_world_egressd(&w, OAUTH_HEAD CLIENT, NULL, ENVIRONMENT);
    oauth_phantom(&w, key, sizeof key);
    cr_expect_eq(oauth_counted(&w, "issued"), 1);
    for (int i = 0; i < 5; i++)
        cr_expect_eq(oauth_ask(&w, "/api/api", key, NULL), 200);
    cr_expect_eq(oauth_counted(&w, "issued"), 1);
    cr_expect_eq(oauth_counted(&w, "unauthorized"), 0);
    cr_expect_eq(oauth_at_origin(&w, "POST /oauth/token HTTP/1.1\r\n"), 1);
    cr_expect_eq(oauth_at_origin(&w, "grant_type=client_credentials&scope=a+b"), 1);
    cr_expect_eq(oauth_at_origin(&w, "Bearer at-000001-"), 5);
    cr_expect_eq(oauth_at_origin(&w, key), 0);
    cr_expect(eg_world_await_event(&w, 2, "\"session\":\"egressd\"", "\"service\":\"oauth2~tok\""));
    /* the endpoint is the credential's alone */
    cr_expect_eq(oauth_ask(&w, "/oauth2~tok/oauth/token", NULL, NULL), 404);
    cr_expect_eq(oauth_ask(&w, "/oauth2~tok/oauth/token", key, NULL), 404);
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
    oauth_origins(&w);
    eg_world_egressd(&w, OAUTH_HEAD "    load: lazy\n" CLIENT, two, ENVIRONMENT);
    oauth_phantom(&w, key, sizeof key);
    cr_expect_eq(oauth_counted(&w, "issued"), 0);
    oauth_tell(&w, "expires=16"); /* so: after eight seconds */
    while (oauth_at_origin(&w, "Bearer at-000002-") == 0 && eg_clock_ms() < end)
        cr_assert_eq(oauth_ask(&w, "/api/api", key, NULL), 200);
    cr_expect_eq(oauth_counted(&w, "issued"), 2);
    cr_expect_eq(oauth_counted(&w, "unauthorized"), 0);
    eg_world_done(&w);
}

Test(oauth, a_refused_token_is_fetched_anew, .timeout = 120)
{
    struct eg_world w;
    char key[600];
    oauth_origins(&w);
    eg_world_egressd(&w, OAUTH_HEAD CLIENT, NULL, ENVIRONMENT);
    oauth_phantom(&w, key, sizeof key);
    cr_expect_eq(oauth_ask(&w, "/api/api", key, NULL), 200);
    oauth_tell(&w, "revoke=1");
    cr_expect_eq(oauth_ask(&w, "/api/api", key, NULL), 200);
    cr_expect_eq(oauth_counted(&w, "issued"), 2);
    cr_expect_eq(oauth_counted(&w, "unauthorized"), 1);
    cr_expect_eq(oauth_at_origin(&w, "Bearer at-000002-"), 1);
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
    oauth_origins(&w);
    oauth_put_secret(&w, "refresh", "rt-0\n");
    eg_world_egressd(&w, OAUTH_HEAD REFRESH, NULL, NULL);
    oauth_phantom(&w, key, sizeof key);
    cr_expect_eq(oauth_ask(&w, "/api/api", key, NULL), 200);
    expect_refresh(&w, "rt-1-");
    cr_expect(stat(eg_world_path(&w, "refresh"), &st) == 0 && (st.st_mode & 07777) == 0600);
    oauth_tell(&w, "revoke=1"); /* what is in memory is used next */
    cr_expect_eq(oauth_ask(&w, "/api/api", key, NULL), 200);
    expect_refresh(&w, "rt-2-");
    oauth_reload(&w, 1); /* and what is in the file, too */
    cr_expect_eq(oauth_ask(&w, "/api/api", key, NULL), 200);
    expect_refresh(&w, "rt-3-");
    oauth_tell(&w, "rotate=0");
    oauth_reload(&w, 2);
    cr_expect_eq(oauth_ask(&w, "/api/api", key, NULL), 200);
    expect_refresh(&w, "rt-3-");
    cr_expect_eq(oauth_counted(&w, "issued"), 4);
    cr_expect_eq(oauth_counted(&w, "denied"), 0);
    cr_expect_eq(oauth_at_origin(&w, "refresh_token=rt-0&client_id=cl%3A1"), 1);
    eg_world_done(&w);
}

static void expect_keyring(const char *start)
{
    struct eg_buf b;
    struct eg_err err = { 0 };
    eg_buf_init(&b, EG_CREDENTIAL_MAX + 2);
    cr_assert_eq(
        eg_source_keyring("egress-test", "refresh", eg_clock_ms() + PATIENCE_MS, false, &b, &err),
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
    oauth_origins(&w);
    eg_world_egressd(&w,
                     OAUTH_HEAD "    oauth2: {grant: refresh_token, " OAUTH_TOKEN_URL
                                ", client_id: \"cl:1\",\n"
                                "             refresh_token: \"keyring:egress-test/refresh\"}\n",
                     NULL, NULL);
    oauth_phantom(&w, key, sizeof key);
    cr_expect_eq(oauth_ask(&w, "/api/api", key, NULL), 200);
    expect_keyring("rt-1-");
    oauth_reload(&w, 1);
    cr_expect_eq(oauth_ask(&w, "/api/api", key, NULL), 200);
    expect_keyring("rt-2-");
    cr_expect_eq(oauth_counted(&w, "denied"), 0);
    eg_world_done(&w);
    keyring_stop(&bus);
}

/* Its file is gone: the new one is used all the same, and that is told. */
Test(oauth, a_refresh_token_that_can_not_be_written_back_stays_in_memory, .timeout = 120)
{
    struct eg_world w;
    char key[600];
    uint64_t end = eg_clock_ms() + PATIENCE_MS;
    oauth_origins(&w);
    oauth_put_secret(&w, "refresh", "rt-0");
    eg_world_egressd(&w, OAUTH_HEAD "    load: lazy\n" REFRESH, NULL, NULL);
    oauth_phantom(&w, key, sizeof key);
    cr_expect_eq(oauth_ask(&w, "/api/api", key, NULL), 200);
    expect_refresh(&w, "rt-1-");
    cr_assert(unlink(eg_world_path(&w, "refresh")) == 0);
    oauth_tell(&w, "revoke=1");
    while (oauth_at_origin(&w, "Bearer at-000002-") == 0 && eg_clock_ms() < end)
        (void)oauth_ask(&w, "/api/api", key, NULL);
    cr_expect(logged(&w, "could not be written back"));
    cr_expect_eq(oauth_counted(&w, "issued"), 2);
    oauth_put_secret(&w, "refresh", "rt-1-of-another-time"); /* is not read: ours is newer */
    oauth_tell(&w, "revoke=1");
    while (oauth_at_origin(&w, "Bearer at-000003-") == 0 && eg_clock_ms() < end)
        (void)oauth_ask(&w, "/api/api", key, NULL);
    cr_expect_eq(oauth_counted(&w, "denied"), 0);
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
    oauth_origins(&w);
    eg_world_egressd(&w, OAUTH_HEAD CLIENT, NULL, ENVIRONMENT);
    oauth_phantom(&w, key, sizeof key);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char head[4096], *body = NULL;
        struct eg_client c;
        oauth_tell(&w, rows[i].mode);
        if (strcmp(rows[i].mode, "mode=hang") == 0)
            eg_world_policy(&w, OAUTH_HEAD "    timeout: 1s\n" CLIENT);
        oauth_reload(&w, ++reloads);
        eg_client_open(&c, w.proxy_port);
        eg_client_text(&c,
                       "GET /api/api HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAuthorization: Bearer "
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
    oauth_tell(&w, "mode=ok");
    eg_world_policy(&w, OAUTH_HEAD CLIENT);
    oauth_reload(&w, ++reloads);
    cr_expect_eq(oauth_ask(&w, "/api/api", key, NULL), 200);
    cr_expect_eq(oauth_at_origin(&w, "Host: elsewhere.example.test"), 0);
    eg_world_done(&w);
}

/* A failure at the start: no variable for the child, and the rest works. */
Test(oauth, no_variable_is_exported_for_a_token_that_failed, .timeout = 120)
{
    static const char *const environment[] = { "CLIENT_SECRET=wrong", NULL };
    struct eg_world w;
    char *text = NULL;
    oauth_origins(&w);
    eg_world_egressd(&w, OAUTH_HEAD CLIENT, NULL, environment);
    cr_assert(eg_ctl_run(&w, &text, "env", "--session", "default", "--format", "json", NULL) == 0);
    cr_expect(strstr(text, "\"API_KEY\":") == NULL, "%s", text);
    free(text);
    (void)eg_ctl_run(&w, &text, "creds", "list", NULL);
    cr_expect(strstr(text, "answered 401: invalid_client"), "%s", text);
    free(text);
    cr_expect_eq(oauth_counted(&w, "denied"), 1);
    eg_world_done(&w);
}

/* Verified, resolved and sent as all else: here by a proxy that wants a credential of its own, which must be there before. */
Test(oauth, the_exchange_takes_the_same_hops, .timeout = 120)
{
    static const char upstream[] =
        "egress: 1\n"
        "allow: [{host: api.example.test, scheme: tcp, ports: [@ORIGIN@]}]\n"
        "networks: {allow: [127.0.0.0/8]}\n"
        "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n";
    struct eg_world w, proxy;
    char key[600], policy[4096], login[128];
    oauth_origins(&w);
    eg_world_new(&proxy);
    proxy.origin_port = w.origin_port;
    proxy.dns_port = w.dns_port;
    eg_world_egressd(&proxy, upstream, NULL, NULL);
    snprintf(login, sizeof login, "HOP=x:%s", proxy.token);
    snprintf(policy, sizeof policy,
             "%s  hop: {from: \"env:HOP\", hosts: [\"127.0.0.1\"]}\n"
             "upstream: {proxies: [{proxy: \"http://127.0.0.1:%u\", credential: hop}]}\n",
             OAUTH_HEAD CLIENT, proxy.proxy_port);
    const char *const environment[] = { ENVIRONMENT[0], login, NULL };
    eg_world_egressd(&w, policy, NULL, environment);
    char *events = eg_world_events(&proxy);
    cr_expect_eq(eg_events_with(events, "\"decision\"", "api.example.test", NULL), 1, "%s", events);
    free(events);
    oauth_phantom(&w, key, sizeof key);
    cr_expect_eq(oauth_ask(&w, "/api/api", key, NULL), 200);
    cr_expect_eq(oauth_counted(&w, "issued"), 1);
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
                 OAUTH_HEAD
                 "    oauth2: {grant: client_credentials, token_url: \"%s\",\n"
                 "             client_id: \"cl:1\", client_secret: \"env:CLIENT_SECRET\"}\n",
                 NOT_REACHED[i].url);
        if (i == 0) {
            eg_world_egressd(&w, policy, NULL, ENVIRONMENT);
        } else {
            eg_world_policy(&w, policy);
            oauth_reload(&w, (unsigned)i);
            cr_assert(eg_world_await_event(&w, (unsigned)i + 1, "credential_unavailable", "tok: "));
        }
        (void)eg_ctl_run(&w, &text, "creds", "list", NULL);
        cr_expect(strstr(text, NOT_REACHED[i].why), "%s: %s", NOT_REACHED[i].url, text);
        free(text);
    }
    cr_expect_eq(oauth_at_origin(&w, "POST "), 0);
    eg_world_done(&w);
}
