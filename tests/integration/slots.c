/* slots.c - every way that a phantom comes in and a credential is written, against the TLS origin's record, byte for byte; and secrets where they do
 * not belong. An engine and the origin on one loop. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "proxy/flow.h"
#include "support/swap.h"

#define REAL            "r3al/0123456789+credential" /* as it is percent-encoded: */
#define REAL_PERCENT    "r3al%2F0123456789%2Bcredential"
#define PHANTOM(letter) "ph-" letter "phantomPHANTOMphantomPHANTOM"
#define UPSTREAM(name)                                                                             \
    "  " name ": {upstream: \"https://api.example.test:@ORIGIN@/base\", credential: key, redact: " \
              "false, env: {key: [KEY_" name "]}, "

static const char POLICY[] =
    /* clang-format off: it would break these at every word */
    "egress: 1\n"
    "services:\n"
    UPSTREAM("a")
    "accept: [\"path:2\"], write: [\"path:/bot{}/\"]}\n"
    UPSTREAM("b")
    "accept: [\"query:key\"], write: [\"query:key={}\", \"query:v=1\"]}\n"
    UPSTREAM("c")
    "accept: [\"cookie:sid\"], write: [\"cookie:sid={cookie}\"], "
    "strip: [\"cookie:gone\", \"query:q\"]}\n"
    UPSTREAM("d")
    "accept: [\"basic:password\"], write: [\"basic:x-access-token:{}\"]}\n"
    UPSTREAM("e")
    "accept: [bearer, \"header:x-key\", \"query:key\"],\n"
    "     write: [\"header:x-key: {}\", \"header:X-App: app {app}!\", "
    "\"header:X-Version: 7\"], strip: [\"header:x-debug\"],\n"
    "     rules: [\"GET /base/v1/**\"], deny: [\"GET /base/v1/no\"]}\n"
    UPSTREAM("f")
    "accept: [\"path:3\"], write: [\"header:Authorization: token {}\"], "
    "rules: [\"GET /base/a/ok\"]}\n"
    "  g: {upstream: \"https://other.example.test:@ORIGIN@\", credential: other, "
    "accept: [bearer], write: [\"header:x: {}\"]}\n"
    "  plain: {upstream: \"https://api.example.test:@ORIGIN@\"}\n"
    "credentials:\n"
    "  key: {from: {cmd: [/bin/true], json: true}, hosts: [api.example.test]}\n"
    "  other: {from: env:OTHER, hosts: [other.example.test]}\n"
    "allow: [api.example.test, {host: web.example.test, scheme: http, ports: [80]}]\n"
    "networks: {allow: [127.0.0.1/32]}\n"
    "tls: {ca: \"@DIR@/ca.pem\", system: false}\n";
    /* clang-format on */

static void put(struct eg_swap *s, const char *name, const char *value)
{
    cr_assert_eq(eg_creds_put(eg_engine_creds(s->bed.engine), eg_slice_str(name), value,
                              strlen(value), NULL),
                 EG_OK);
}

static void setup(struct eg_swap *s)
{
    static const struct eg_session_phantom phantoms[] = {
        { "a", PHANTOM("a") }, { "b", PHANTOM("b") }, { "c", PHANTOM("c") }, { "d", PHANTOM("d") },
        { "e", PHANTOM("e") }, { "f", PHANTOM("f") }, { "g", PHANTOM("g") },
    };
    const struct eg_session_spec spec = { "main", "main-label", EG_BED_TOKEN, 0, phantoms, 7 };
    eg_swap_new(s, POLICY);
    cr_assert_eq(eg_engine_session_put(s->bed.engine, &spec, NULL), EG_OK);
    put(s, "key", REAL);
    put(s, "key#cookie", "cookie-value-0123456789");
    put(s, "key#app", "app-key-0123456789");
    put(s, "other", "another-credential-01234");
}

/* Sends the head's lines (the last one without its CRLF) and gives the whole answer. */
static char *ask(struct eg_swap *s, const char *head)
{
    char all[4096];
    int fd = eg_bed_connect(s->proxy);
    int n = snprintf(all, sizeof all, "%s\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n\r\n", head,
                     s->proxy);
    cr_assert(n > 0 && (size_t)n < sizeof all && send(fd, all, (size_t)n, MSG_NOSIGNAL) == n);
    return eg_swap_rest(s, fd, NULL);
}

static void sends(struct eg_swap *s, const char *head, const char *line, const char *fields)
{
    char want[2048];
    char *before = eg_swap_record(s), *answer = ask(s, head), *record = eg_swap_record(s);
    snprintf(want, sizeof want, "%s HTTP/1.1\r\nHost: api.example.test:%u\r\n%s\r\n", line, s->port,
             fields);
    cr_expect_str_eq(record + strlen(before), want, "%s", head);
    cr_expect(strncmp(answer, "HTTP/1.1 ", 9) == 0 && !strstr(answer, "X-Egress-Reason"), "%s: %s",
              head, answer);
    free(before);
    free(answer);
    free(record);
}

Test(slots, phantom_in_the_path_credential_in_the_path, .timeout = 60)
{
    struct eg_swap s;
    struct egress_event e;
    setup(&s);
    sends(&s, "GET /a/bot" PHANTOM("a") "/getMe HTTP/1.1", "GET /base/bot" REAL_PERCENT "/getMe",
          "");
    sends(&s, "GET /a/" PHANTOM("a") "/getMe?x=%2F&y HTTP/1.1",
          "GET /base/bot" REAL_PERCENT "/getMe?x=%2F&y", "");
    sends(&s, "GET /a/bot%70h-aphantomPHANTOMphantomPHANTOM/a%2fb HTTP/1.1",
          "GET /base/bot" REAL_PERCENT "/a%2Fb", "");
    sends(&s, "GET /a/bot" PHANTOM("a") " HTTP/1.1\r\nAuthorization: Bearer mine\r\nX: y",
          "GET /base/bot" REAL_PERCENT "/", "X: y\r\n");
    while (eg_bed_event(&s.bed, &e))
        cr_expect(strstr(e.path, "phantom") == NULL && strstr(e.path, "r3al") == NULL &&
                      strstr(e.detail, "phantom") == NULL,
                  "%s %s", e.path, e.detail);
    eg_swap_free(&s);
}

Test(slots, phantom_in_the_query_credential_in_the_query, .timeout = 60)
{
    struct eg_swap s;
    setup(&s);
    sends(&s, "GET /b/x?key=" PHANTOM("b") " HTTP/1.1", "GET /base/x?key=" REAL_PERCENT "&v=1", "");
    sends(&s, "GET /b/x?a=1&k%65y=" PHANTOM("b") "&b=%20&v=2 HTTP/1.1\r\nCookie: a=b; c",
          "GET /base/x?a=1&b=%20&key=" REAL_PERCENT "&v=1", "Cookie: a=b; c\r\n");
    eg_swap_free(&s);
}

Test(slots, phantom_in_a_cookie_credential_in_a_cookie, .timeout = 60)
{
    struct eg_swap s;
    setup(&s);
    sends(
        &s,
        "GET /c/x?q=1&r=2 HTTP/1.1\r\nCookie: a=b; sid=" PHANTOM("c") "; gone=1; c=\"d e\"\r\nX: y",
        "GET /base/x?r=2", "X: y\r\nCookie: a=b; c=\"d e\"; sid=cookie-value-0123456789\r\n");
    sends(&s, "GET /c/x HTTP/1.1\r\nCookie: sid=" PHANTOM("c"), "GET /base/x",
          "Cookie: sid=cookie-value-0123456789\r\n");
    put(&s, "key#cookie", "a; admin=1-0123456789"); /* would be two */
    char *answer = ask(&s, "GET /c/x HTTP/1.1\r\nCookie: sid=" PHANTOM("c"));
    cr_expect(strstr(answer, "X-Egress-Reason: credential_unavailable") && !strstr(answer, "admin"),
              "%s", answer);
    free(answer);
    eg_swap_free(&s);
}

Test(slots, phantom_and_credential_in_basic, .timeout = 60)
{
    struct eg_swap s;
    char head[400] = "GET /d/x HTTP/1.1\r\nAuthorization: Basic ",
         want[200] = "Authorization: Basic ";
    setup(&s);
    sodium_bin2base64(head + strlen(head), 200, (const unsigned char *)"git:" PHANTOM("d"),
                      strlen(PHANTOM("d")) + 4, sodium_base64_VARIANT_ORIGINAL);
    sodium_bin2base64(want + strlen(want), 150, (const unsigned char *)"x-access-token:" REAL,
                      strlen(REAL) + 15, sodium_base64_VARIANT_ORIGINAL);
    snprintf(want + strlen(want), 3, "\r\n");
    sends(&s, head, "GET /base/x", want);
    eg_swap_free(&s);
}

#define WRITTEN "x-key: " REAL "\r\nX-App: app app-key-0123456789!\r\nX-Version: 7\r\n"

Test(slots, several_slots_and_several_headers, .timeout = 60)
{
    struct eg_swap s;
    setup(&s);
    sends(&s, "GET /e/v1/x HTTP/1.1\r\nAuthorization: Bearer " PHANTOM("e"), "GET /base/v1/x",
          WRITTEN);
    sends(&s,
          "GET /e/v1/x?key=" PHANTOM("e") "&z HTTP/1.1\r\nAuthorization: bearer " PHANTOM(
              "e") "\r\nX-KEY: " PHANTOM("e") "\r\nx-api-key: mine\r\nX-Version: 8\r\nx-debug: "
                                              "1\r\nx-app: mine\r\nAccept: a/b\r\nConnection: "
                                              "x-key, X-Version",
          "GET /base/v1/x?z", "Accept: a/b\r\n" WRITTEN);
    sends(&s, "GET /f/a/" PHANTOM("f") "/ok HTTP/1.1", "GET /base/a/ok",
          "Authorization: token " REAL "\r\n");
    eg_swap_free(&s);
}

/* An origin behind a CGI-like interface could take the child's own ones for the policy's. */
Test(slots, a_name_with_an_underscore_is_the_same_name, .timeout = 60)
{
    struct eg_swap s;
    setup(&s);
    sends(&s,
          "GET /e/v1/x HTTP/1.1\r\nAuthorization: bearer " PHANTOM(
              "e") "\r\nX_KEY: mine\r\nx_version: 8\r\nX_Debug: 1\r\nx_other: 1",
          "GET /base/v1/x", "x_other: 1\r\n" WRITTEN);
    eg_swap_free(&s);
}

/* A plain route swaps nothing: the child's own keys pass, wherever they are. */
Test(slots, of_a_plain_route_are_the_childs_own, .timeout = 60)
{
    struct eg_swap s;
    setup(&s);
    sends(&s,
          "GET /plain/x?key=mine HTTP/1.1\r\nAuthorization: Bearer mine\r\nx-api-key: "
          "mine\r\nApi-Key: mine\r\nCookie: sid=mine",
          "GET /x?key=mine",
          "Authorization: Bearer mine\r\nx-api-key: mine\r\nApi-Key: mine\r\nCookie: sid=mine\r\n");
    eg_swap_free(&s);
}

/* The origin sees nothing; the answer and the record hold no phantom. */
static void refused(struct eg_swap *s, const char *head, const char *reason)
{
    char want[100];
    struct egress_event e;
    char *answer = ask(s, head), *record = eg_swap_record(s);
    snprintf(want, sizeof want, "X-Egress-Reason: %s\r\n", reason);
    cr_expect(strstr(answer, want) != NULL, "%s is not %s: %s", head, reason, answer);
    cr_expect(strstr(answer, "PHANTOMphantom") == NULL && strstr(answer, REAL) == NULL, "%s",
              answer);
    cr_expect_eq(strlen(record), 0, "%s: %s", head, record);
    while (eg_bed_event(&s->bed, &e))
        cr_expect(!strstr(e.path, "PHANTOM") && !strstr(e.detail, "PHANTOM") &&
                      !strstr(e.host, "PHANTOM"),
                  "%s %s", e.path, e.detail);
    free(answer);
    free(record);
}

Test(slots, hold_the_services_phantom_or_nothing, .timeout = 60)
{
    struct eg_swap s;
    setup(&s);
    refused(&s, "GET /a/botwhatever/getMe HTTP/1.1", "phantom_invalid");
    refused(&s, "GET /a HTTP/1.1", "phantom_missing");
    refused(&s, "GET /a/bot" PHANTOM("b") "/getMe HTTP/1.1", "phantom_invalid");
    refused(&s, "GET /b/x HTTP/1.1\r\nAuthorization: Bearer mine", "phantom_missing");
    refused(&s, "GET /b/x?key=" PHANTOM("b") "&key=mine HTTP/1.1", "phantom_invalid");
    refused(&s, "GET /c/x HTTP/1.1\r\nCookie: sid=mine", "phantom_invalid");
    refused(&s, "GET /e/v1/x?key=mine HTTP/1.1\r\nAuthorization: Bearer " PHANTOM("e"),
            "phantom_invalid");
    refused(&s, "GET /e/v1/x HTTP/1.1\r\nAuthorization: Bearer " EG_BED_TOKEN, "phantom_invalid");
    eg_swap_free(&s);
}

/* What rules see has no phantom in it, and is what would be sent. */
Test(slots, rules_judge_what_is_sent, .timeout = 60)
{
    struct eg_swap s;
    setup(&s);
    refused(&s, "GET /e/v1/no HTTP/1.1\r\nAuthorization: Bearer " PHANTOM("e"), "rule_denied");
    refused(&s, "GET /e/v1/%6e%6F HTTP/1.1\r\nAuthorization: Bearer " PHANTOM("e"), "rule_denied");
    refused(&s, "GET /f/b/" PHANTOM("f") "/ok HTTP/1.1", "rule_denied");
    refused(&s,
            "GET /f/a/" PHANTOM("f") "/ok/"
                                     " HTTP/1.1",
            "rule_denied");
    refused(&s, "GET /f/a/" PHANTOM("f") "/x/../ok HTTP/1.1", "rule_denied");
    eg_swap_free(&s);
}

static void canary(struct eg_swap *s, const char *head, const char *host, const char *service)
{
    struct egress_event e;
    bool seen = false;
    char *answer = ask(s, head), *record = eg_swap_record(s);
    cr_expect(strncmp(answer, "HTTP/1.1 403 ", 13) == 0 &&
                  strstr(answer, "X-Egress-Reason: canary\r\n"),
              "%s: %s", head, answer);
    cr_expect(strstr(answer, "PHANTOMphantom") == NULL && strstr(answer, EG_BED_TOKEN) == NULL,
              "%s", answer);
    cr_expect_eq(strlen(record), 0, "%s: %s", head, record);
    while (eg_bed_event(&s->bed, &e)) {
        cr_expect(!strstr(e.path, "PHANTOM") && !strstr(e.detail, "PHANTOM"));
        if (e.kind != EGRESS_EVENT_CANARY)
            continue;
        seen = true;
        cr_expect_str_eq(e.host, host, "%s", head);
        cr_expect_str_eq(e.service, service, "%s", head);
        cr_expect_str_eq(e.session, "main-label", "%s", head);
        cr_expect(e.allowed == 0 && e.reason == EG_CANARY && e.port != 0);
    }
    cr_expect(seen, "%s raised no event", head);
    free(answer);
    free(record);
}

#define API         "api.example.test"
#define TOKEN_FIELD "\r\nProxy-Authorization: Bearer " EG_BED_TOKEN

Test(slots, secrets_out_of_place_are_canaries, .timeout = 60)
{
    struct eg_swap s;
    setup(&s);
    canary(&s, "GET /e/v1/x?y=" PHANTOM("e") " HTTP/1.1\r\nAuthorization: Bearer " PHANTOM("e"),
           API, "e");
    canary(&s, "GET /e/v1/" PHANTOM("e") " HTTP/1.1\r\nAuthorization: Bearer " PHANTOM("e"), API,
           "e");
    canary(
        &s,
        "GET /e/v1/x HTTP/1.1\r\nCookie: a=" PHANTOM("e") "\r\nAuthorization: Bearer " PHANTOM("e"),
        API, "e");
    canary(&s, "GET /e/v1/x HTTP/1.1\r\nX-Note: <" PHANTOM("a") ">", API, "a");
    canary(&s, "GET /e/v1/x HTTP/1.1\r\n" PHANTOM("a") ": 1", API, "a");
    canary(&s, "GET /e/v1/x HTTP/1.1\r\nX-Note: " EG_BED_TOKEN, API, "");
    canary(&s, "GET /e/v1/x HTTP/1.1\r\nAuthorization: Bearer " PHANTOM("g"), API,
           "g"); /* of another host */
    canary(&s, "GET /g/x HTTP/1.1\r\nAuthorization: Bearer " PHANTOM("e"), "other.example.test",
           "e");
    canary(&s, "GET /a/bot" PHANTOM("g") "/x HTTP/1.1", API, "g");
    canary(&s, "GET /a/bot" PHANTOM("a") "/bot" PHANTOM("a") " HTTP/1.1", API, "a");
    canary(&s, "GET /b/x?key=" PHANTOM("g") " HTTP/1.1", API, "g");
    canary(&s,
           "GET /b/x?key=" PHANTOM("b") "&%6Bez=%70h%2dbphantom%50HANTOMphantomPHANTOM HTTP/1.1",
           API, "b");
    canary(&s,
           "GET /e/v1/x?y=%2570h%25252de%2570hantomPHANTOMphantomPHANTOM "
           "HTTP/1.1\r\nAuthorization: Bearer " PHANTOM("e"),
           API, "e");
    canary(&s, "GET /plain/x?y=%25" EG_BED_TOKEN " HTTP/1.1", API, "");
    canary(&s, "GET /plain/x?y=%2561" EG_BED_TOKEN " HTTP/1.1", API, "");
    canary(&s, "GET /c/x HTTP/1.1\r\nCookie: sid=" PHANTOM("c") "; other=" PHANTOM("c"), API, "c");
    canary(&s, "GET /plain/x HTTP/1.1\r\nAuthorization: Bearer " PHANTOM("a"), API, "a");
    canary(&s, "GET /plain/" EG_BED_TOKEN " HTTP/1.1", API, "");
    canary(&s, "GET http://web.example.test/?" PHANTOM("a") " HTTP/1.1" TOKEN_FIELD,
           "web.example.test", "a");
    canary(&s, "GET http://web.example.test/ HTTP/1.1\r\nX-Api-Key: " PHANTOM("a") TOKEN_FIELD,
           "web.example.test", "a");
    canary(&s, "CONNECT api.example.test:443 HTTP/1.1\r\nUser-Agent: " PHANTOM("a") TOKEN_FIELD,
           API, "a");
    canary(&s, "CONNECT api.example.test:443 HTTP/1.1\r\nX: " EG_BED_TOKEN TOKEN_FIELD, API, "");
    eg_swap_free(&s);
}

Test(slots, secrets_hidden_in_basic_are_canaries, .timeout = 60)
{
    struct eg_swap s;
    char head[400] = "GET /plain/x HTTP/1.1\r\nAuthorization: Basic ";
    size_t at = strlen(head);
    setup(&s);
    sodium_bin2base64(head + at, 200, (const unsigned char *)"user:" PHANTOM("a"),
                      strlen(PHANTOM("a")) + 5, sodium_base64_VARIANT_ORIGINAL);
    canary(&s, head, API, "a");
    sodium_bin2base64(head + at, 200, (const unsigned char *)PHANTOM("a") ":x",
                      strlen(PHANTOM("a")) + 2, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    canary(&s, head, API, "a");
    eg_swap_free(&s);
}

/* A session that is over: its phantom opens nothing, and is a secret all the same. */
Test(slots, phantoms_of_a_session_that_is_over, .timeout = 60)
{
    static const struct eg_session_phantom old[] = { { "e", PHANTOM("z") } };
    char token[EG_TOKEN_HEX + 1];
    struct eg_swap s;
    setup(&s);
    eg_token_make(token);
    const struct eg_session_spec spec = { "old", "main-label", token, 1, old, 1 };
    cr_assert_eq(eg_engine_session_put(s.bed.engine, &spec, NULL), EG_OK);
    refused(&s, "GET /e/v1/x HTTP/1.1\r\nAuthorization: Bearer " PHANTOM("z"), "phantom_invalid");
    canary(&s, "GET /e/v1/x HTTP/1.1\r\nX: " PHANTOM("z") "\r\nAuthorization: Bearer " PHANTOM("e"),
           API, "e");
    eg_engine_session_revoke(s.bed.engine, "main");
    refused(&s, "GET /e/v1/x HTTP/1.1\r\nAuthorization: Bearer " PHANTOM("e"), "phantom_invalid");
    eg_swap_free(&s);
}
