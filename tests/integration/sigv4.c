/* sigv4.c - requests that are signed with AWS keys, against a real egressd and a TLS origin that records every byte it gets. What it got is
 * checked by tests/interop/lib/sigv4.py, which shares no code with egressd. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cred/sigv4.h"
#include "support/daemon.h"

#define KEY_ID  "AKIAREALREALREALREAL"
#define SECRET  "rEaLsEcReT/rEaLsEcReT+rEaLsEcReTrEaLsEcR"
#define SESSION "IQoJb3JpZ2luX2VjREAL////SESSIONTOKEN=="
#define CHECK   EG_SOURCE_DIR "/tests/interop/lib/sigv4.py"

static const char POLICY[] = "egress: 1\n"
                             "services:\n"
                             "  aws:\n"
                             "    upstream: https://api.example.test:@ORIGIN@\n"
                             "    credential: aws\n"
                             "    accept: [sigv4]\n"
                             "    write: [sigv4]\n"
                             "    env: {base_url: AWS_ENDPOINT_URL}\n"
                             "  pinned:\n"
                             "    upstream: https://api.example.test:@ORIGIN@/base\n"
                             "    credential: pinned\n"
                             "    accept: [sigv4]\n"
                             "    write: [sigv4]\n"
                             "    env: {key: [PINNED_ID, PINNED_SECRET]}\n"
                             "  open:\n"
                             "    upstream: http://api.example.test:@ORIGIN@\n"
                             "    plaintext: true\n"
                             "    credential: pinned\n"
                             "    accept: [sigv4]\n"
                             "    write: [sigv4]\n"
                             "    env: {key: [OPEN_ID, OPEN_SECRET]}\n"
                             "  half:\n"
                             "    upstream: https://api.example.test:@ORIGIN@\n"
                             "    credential: half\n"
                             "    accept: [sigv4]\n"
                             "    write: [sigv4]\n"
                             "    env: {key: [HALF_ID, HALF_SECRET]}\n"
                             "credentials:\n"
                             "  half:\n"
                             "    aws_sigv4: {access_key: \"env:T_ID\", secret_key: "
                             "\"env:T_SECRET\", session_token: \"env:T_NONE\"}\n"
                             "    hosts: [api.example.test]\n"
                             "  aws:\n"
                             "    aws_sigv4: {access_key: \"env:T_ID\", secret_key: "
                             "\"env:T_SECRET\", session_token: \"env:T_SESSION\"}\n"
                             "    hosts: [api.example.test]\n"
                             "  pinned:\n"
                             "    aws_sigv4: {access_key: \"env:T_ID\", secret_key: "
                             "\"env:T_SECRET\", region: eu-test-1, service: execute-api}\n"
                             "    hosts: [api.example.test]\n"
                             "networks: {allow: [127.0.0.1/32]}\n"
                             "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"
                             "tls: {ca: \"@DIR@/ca.pem\", system: false}\n";
static const char *const ENVIRONMENT[] = { "T_ID=" KEY_ID, "T_SECRET=" SECRET, "T_SESSION=" SESSION,
                                           NULL };
static const char *const NAMES[] = { "api.example.test=127.0.0.1", NULL };

struct keys {
    char id[64], secret[64];
};

static void variable(const char *json, const char *name, char *out, size_t cap)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\"", name);
    const char *at = strstr(json, quoted);
    cr_assert(at != NULL, "%s in %s", name, json);
    at = strchr(strchr(at, ':'), '"') + 1;
    snprintf(out, cap, "%.*s", (int)strcspn(at, "\""), at);
}

static void setup_with(struct eg_world *w, struct keys *keys, const char *policy)
{
    cr_assert(sodium_init() >= 0);
    eg_world_new(w);
    eg_world_origin(w, NULL);
    eg_world_dns(w, NAMES);
    eg_world_egressd(w, policy, NULL, ENVIRONMENT);
    char *json = eg_daemon_environment(w);
    variable(json, "AWS_ACCESS_KEY_ID", keys->id, sizeof keys->id);
    variable(json, "AWS_SECRET_ACCESS_KEY", keys->secret, sizeof keys->secret);
    free(json);
}

static void setup(struct eg_world *w, struct keys *keys)
{
    setup_with(w, keys, POLICY);
}

/* ---- a client that signs ---- */

struct call {
    const char *method, *target,
        *fields; /* fields: "Name: value\r\n"... without Host, X-Amz-Date and Authorization */
    const char *service; /* of the scope */
    const char *body;
    size_t body_n;
    const char *payload; /* NULL: the body's hash */
    const char *framing; /* NULL: Content-Length of the body */
    long skew_s;
    char time[EG_SIGV4_TIME + 1]; /* filled in */
    char signature[EG_SIGV4_HEX + 1];
};

enum { FIELDS_MAX = 16, HEAD_MAX = 8192 };

/* The fields of a head, without its request line. */
static size_t split(const char *text, struct eg_sigv4_field *out)
{
    size_t n = 0;
    for (const char *end; (end = strstr(text, "\r\n")); text = end + 2) {
        const char *colon = strchr(text, ':');
        cr_assert(n < FIELDS_MAX && colon && colon < end);
        out[n++] = (struct eg_sigv4_field){ eg_slice(text, (size_t)(colon - text)),
                                            eg_slice_trim(
                                                eg_slice(colon + 1, (size_t)(end - colon - 1))) };
    }
    return n;
}

static void sign(struct call *c, const struct keys *keys, const char *head, char *authorization)
{
    struct eg_sigv4_field fields[FIELDS_MAX];
    struct eg_slice target = eg_slice_str(c->target);
    long query = eg_slice_index(target, '?');
    char hash[EG_SIGV4_HEX + 1];
    struct eg_buf names;
    eg_sigv4_hash(eg_slice(c->body, c->body_n), hash);
    struct eg_sigv4_request r = {
        eg_slice_str(c->method), target,
        EG_SLICE_NONE,           fields,
        split(head, fields),     eg_slice_str(c->payload ? c->payload : hash)
    };
    if (query >= 0) {
        r.path.n = (size_t)query;
        r.query = eg_slice_from(target, (size_t)query + 1);
    }
    eg_buf_init(&names, 4096);
    cr_assert(eg_sigv4_select(&r, &names) == EG_OK);
    struct eg_sigv4_auth a = { .day = eg_slice(c->time, 8),
                               .region = EG_SLICE("eu-central-1"),
                               .service = eg_slice_str(c->service),
                               .fields = eg_buf_slice(&names),
                               .time = eg_slice_str(c->time) };
    cr_assert(eg_sigv4_make(&r, &a, eg_slice_str(keys->secret), c->signature) == EG_OK);
    snprintf(
        authorization, HEAD_MAX,
        "AWS4-HMAC-SHA256 Credential=%s/%.8s/eu-central-1/%s/aws4_request, SignedHeaders=%.*s, "
        "Signature=%s",
        keys->id, c->time, c->service, (int)names.len, eg_buf_slice(&names).p, c->signature);
    eg_buf_done(&names);
}

/* Signs and sends the head, and no body. */
static void send_head(struct eg_client *c, const struct eg_world *w, const struct keys *keys,
                      struct call *call)
{
    char head[HEAD_MAX], authorization[HEAD_MAX], length[64];
    eg_sigv4_time((uint64_t)((long)(eg_clock_wall_us() / 1000000) + call->skew_s), call->time);
    snprintf(head, sizeof head, "Host: 127.0.0.1:%u\r\nX-Amz-Date: %s\r\n%s",
             (unsigned)w->proxy_port, call->time, call->fields ? call->fields : "");
    sign(call, keys, head, authorization);
    snprintf(length, sizeof length, "Content-Length: %zu\r\n", call->body_n);
    eg_client_text(c, "%s %s HTTP/1.1\r\n%s%sAuthorization: %s\r\n\r\n", call->method, call->target,
                   head,
                   call->framing  ? call->framing
                   : call->body_n ? length
                                  : "",
                   authorization);
}

static int ask(const struct eg_world *w, const struct keys *keys, struct call *call, char *answer)
{
    struct eg_client c;
    eg_client_open(&c, w->proxy_port);
    send_head(&c, w, keys, call);
    if (call->body_n)
        eg_client_send(&c, call->body, call->body_n);
    char *body = NULL;
    int status = eg_client_response(&c, answer, HEAD_MAX, &body, NULL);
    snprintf(answer + strlen(answer), HEAD_MAX - strlen(answer), "%.1000s", body ? body : "");
    free(body);
    eg_client_close(&c);
    return status;
}

static void refused(const struct eg_world *w, const struct keys *keys, struct call call, int status,
                    const char *reason)
{
    char answer[HEAD_MAX];
    int got = ask(w, keys, &call, answer);
    cr_expect(got == status && eg_head_has(answer, "X-Egress-Reason", reason),
              "%s %s: want %d %s: %s", call.method, call.target, status, reason, answer);
}

/* ---- what the origin saw ---- */

static unsigned count(const char *text, const char *needle)
{
    unsigned n = 0;
    for (; (text = strstr(text, needle)); text++)
        n++;
    return n;
}

/* Every recorded request is signed with the real key, and nothing of the child's is in it. Returns the record. */
static char *recorded(const struct eg_world *w, const struct keys *keys, unsigned requests)
{
    char *rec = eg_world_read(w, "origin.rec", NULL), *out = NULL;
    const char *argv[] = {
        "/usr/bin/python3", CHECK, eg_world_path(w, "origin.rec"), KEY_ID, SECRET, NULL
    };
    cr_expect(!strstr(rec, keys->id) && !strstr(rec, keys->secret) && !strstr(rec, SECRET) &&
                  !strstr(rec, "127.0.0.1"),
              "%s", rec);
    cr_expect_eq(count(rec, "Authorization: "), requests, "%s", rec);
    if (access(argv[0], X_OK) == 0) {
        cr_assert(eg_proc_run(w, argv, NULL, &out) == 0, "%s", out);
        cr_expect(count(out, "VALID") == requests && !strstr(out, "WRONG"), "%s\n%s", out, rec);
        free(out);
    }
    return rec;
}

Test(sigv4, gives_the_child_two_phantoms, .timeout = 120)
{
    struct eg_world w;
    struct keys keys, pinned;
    setup(&w, &keys);
    cr_expect(strlen(keys.id) == 20 && strncmp(keys.id, "AKIA0", 5) == 0, "%s", keys.id);
    cr_expect(strlen(keys.secret) == 40, "%s", keys.secret);
    char *json = eg_daemon_environment(&w);
    variable(json, "PINNED_ID", pinned.id, sizeof pinned.id);
    variable(json, "PINNED_SECRET", pinned.secret, sizeof pinned.secret);
    cr_expect(strcmp(pinned.id, keys.id) != 0 && strcmp(pinned.secret, keys.secret) != 0);
    cr_expect(!strstr(json, SECRET) && !strstr(json, KEY_ID) && !strstr(json, SESSION), "%s", json);
    cr_expect(!strstr(json, "\"HALF_ID\":") && !strstr(json, "\"HALF_SECRET\":"), "%s", json);
    cr_expect(strstr(json, "AWS_ENDPOINT_URL") && !strstr(json, "AWS_SESSION_TOKEN"), "%s", json);
    free(json);
    eg_world_done(&w);
}

Test(sigv4, signs_anew_for_the_real_host, .timeout = 120)
{
    struct eg_world w;
    struct keys keys;
    char answer[HEAD_MAX];
    setup(&w, &keys);
    char fields[512], hash[EG_SIGV4_HEX + 1];
    eg_sigv4_hash(EG_SLICE("hello"), hash);
    snprintf(fields, sizeof fields,
             "Content-Type: text/plain\r\nx-amz-content-sha256: %s\r\nx-amz-meta-a:  b   "
             "c\r\nX-Amz-Security-Token: theirs\r\n",
             hash);
    struct call put = { .method = "PUT",
                        .target = "/aws/bucket//k%20e(y)/..%2f?partNumber=2&uploadId=a%2Bb",
                        .fields = fields,
                        .service = "s3",
                        .body = "hello",
                        .body_n = 5 };
    cr_expect_eq(ask(&w, &keys, &put, answer), 200, "%s", answer);
    struct call list = { .method = "GET",
                         .target = "/aws/bucket?prefix=a%2Fb&list-type=2&acl",
                         .service = "s3",
                         .fields =
                             "x-amz-content-sha256: " EG_SIGV4_EMPTY "\r\nRange: bytes=0-9\r\n" };
    cr_expect_eq(ask(&w, &keys, &list, answer), 200, "%s", answer);
    char *rec = recorded(&w, &keys, 2);
    cr_expect(strstr(rec, "PUT /bucket//k%20e(y)/..%2F?partNumber=2&uploadId=a%2Bb HTTP/1.1\r\n"),
              "%s", rec);
    cr_expect(count(rec, "X-Amz-Security-Token: " SESSION "\r\n") == 2 && !strstr(rec, "theirs"),
              "%s", rec);
    cr_expect(strstr(rec, "\r\n\r\nhello") && strstr(rec, "Range: bytes=0-9\r\n"), "%s", rec);
    free(rec);
    eg_world_done(&w);
}

Test(sigv4, holds_a_body_that_must_be_hashed, .timeout = 120)
{
    struct eg_world w;
    struct keys keys;
    struct eg_client c;
    char answer[HEAD_MAX];
    setup(&w, &keys);
    struct call post = { .method = "POST",
                         .target = "/aws/",
                         .service = "dynamodb",
                         .fields = "Content-Type: application/x-amz-json-1.0\r\nX-Amz-Target: "
                                   "DynamoDB_20120810.GetItem\r\n",
                         .body = "{\"TableName\":\"t\"}",
                         .body_n = 17 };
    cr_expect_eq(ask(&w, &keys, &post, answer), 200, "%s", answer);
    /* chunked, and with a question before the body */
    eg_client_open(&c, w.proxy_port);
    post.framing = "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n";
    send_head(&c, &w, &keys, &post);
    cr_expect_eq(eg_client_response(&c, answer, sizeof answer, NULL, NULL), 100, "%s", answer);
    eg_client_text(&c, "8\r\n{\"TableN\r\n9\r\name\":\"t\"}\r\n0\r\n\r\n");
    cr_expect_eq(eg_client_response(&c, answer, sizeof answer, NULL, NULL), 200, "%s", answer);
    /* the connection goes on, and another body is another signature */
    post.framing = NULL;
    send_head(&c, &w, &keys, &post);
    eg_client_text(&c, "{\"TableName\":\"u\"}");
    cr_expect_eq(eg_client_response(&c, answer, sizeof answer, NULL, NULL), 401, "%s", answer);
    cr_expect(eg_head_has(answer, "X-Egress-Reason", "phantom_invalid"), "%s", answer);
    eg_client_close(&c);
    char *rec = recorded(&w, &keys, 2);
    cr_expect(count(rec, "\r\n\r\n{\"TableName\":\"t\"}") == 2 &&
                  count(rec, "Content-Length: 17\r\n") == 2 && !strstr(rec, "Expect") &&
                  !strstr(rec, "chunked"),
              "%s", rec);
    free(rec);
    eg_world_done(&w);
}

Test(sigv4, holds_no_more_than_a_mebibyte, .timeout = 120)
{
    struct eg_world w;
    struct keys keys;
    struct eg_client c;
    char answer[HEAD_MAX];
    setup(&w, &keys);
    char *body = malloc((1 << 20) + 1);
    cr_assert(body != NULL);
    memset(body, 'x', (1 << 20) + 1);
    struct call most = {
        .method = "POST", .target = "/aws/", .service = "sts", .body = body, .body_n = 1 << 20
    };
    cr_expect_eq(ask(&w, &keys, &most, answer), 200, "%s", answer);
    most.body_n++;
    eg_client_open(&c, w.proxy_port);
    send_head(&c, &w, &keys, &most);
    cr_expect_eq(eg_client_response(&c, answer, sizeof answer, NULL, NULL), 413, "%s", answer);
    cr_expect(eg_head_has(answer, "X-Egress-Reason", "body_too_large"), "%s", answer);
    eg_client_close(&c);
    free(recorded(&w, &keys, 1));
    free(body);
    eg_world_done(&w);
}

Test(sigv4, forgets_a_body_whose_client_leaves, .timeout = 120)
{
    struct eg_world w;
    struct keys keys;
    struct eg_client c;
    char answer[HEAD_MAX];
    setup(&w, &keys);
    struct call post = {
        .method = "POST", .target = "/aws/", .service = "sts", .body = "hello", .body_n = 5
    };
    pid_t worker = eg_daemon_worker(&w, 1, 0);
    cr_expect_eq(ask(&w, &keys, &post, answer), 200, "%s", answer);
    unsigned fds =
        eg_proc_fds(worker); /* the pooled connection and the name server's sockets are open */
    for (int i = 0; i < 3; i++) {
        eg_client_open(&c, w.proxy_port);
        send_head(&c, &w, &keys, &post);
        eg_client_text(&c, "hel");
        eg_client_close(&c);
    }
    eg_proc_settled(worker, fds);
    free(recorded(&w, &keys, 1));
    cr_expect_eq(ask(&w, &keys, &post, answer), 200, "%s", answer);
    free(recorded(&w, &keys, 2));
    eg_world_done(&w);
}

Test(sigv4, waits_for_a_body_no_longer_than_the_policy, .timeout = 120)
{
    struct eg_world w;
    struct keys keys;
    struct eg_client c;
    char answer[HEAD_MAX], policy[4096];
    snprintf(policy, sizeof policy, "%slimits: {body_timeout: 1s}\n", POLICY);
    setup_with(&w, &keys, policy);
    struct call post = {
        .method = "POST", .target = "/aws/", .service = "sts", .body = "hello", .body_n = 5
    };
    eg_client_open(&c, w.proxy_port);
    send_head(&c, &w, &keys, &post);
    eg_client_text(&c, "hel");
    cr_expect_eq(eg_client_response(&c, answer, sizeof answer, NULL, NULL), 408, "%s", answer);
    cr_expect(eg_head_has(answer, "X-Egress-Reason", "body_timeout"), "%s", answer);
    eg_client_close(&c);
    eg_world_saw_nothing(&w);
    eg_world_done(&w);
}

static const char CHUNKS[] = "5;chunk-signature=" EG_SIGV4_EMPTY "\r\nhello\r\n"
                             "6;chunk-signature=" EG_SIGV4_EMPTY "\r\n world\r\n"
                             "0;chunk-signature=" EG_SIGV4_EMPTY "\r\n";

Test(sigv4, takes_the_signatures_out_of_a_stream, .timeout = 120)
{
    struct eg_world w;
    struct keys keys;
    char answer[HEAD_MAX], body[1024];
    setup(&w, &keys);
    snprintf(body, sizeof body, "%s\r\n", CHUNKS);
    struct call put = { .method = "PUT",
                        .target = "/aws/b/k",
                        .service = "s3",
                        .payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
                        .fields = "Content-Encoding: aws-chunked,gzip\r\n"
                                  "x-amz-decoded-content-length: 11\r\n"
                                  "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\r\n",
                        .body = body,
                        .body_n = strlen(body) };
    cr_expect_eq(ask(&w, &keys, &put, answer), 200, "%s", answer);
    char *rec = recorded(&w, &keys, 1);
    cr_expect(strstr(rec, "\r\n\r\nhello world") && strstr(rec, "Content-Length: 11\r\n") &&
                  strstr(rec, "Content-Encoding: gzip\r\n") && !strstr(rec, "aws-chunked") &&
                  strstr(rec, "X-Amz-Content-Sha256: UNSIGNED-PAYLOAD\r\n") &&
                  !strcasestr(rec, "decoded-content-length"),
              "%s", rec);
    free(rec);
    eg_world_done(&w);
}

Test(sigv4, keeps_the_trailer_of_a_stream, .timeout = 120)
{
    struct eg_world w;
    struct keys keys;
    char answer[HEAD_MAX], body[1024];
    setup(&w, &keys);
    snprintf(body, sizeof body,
             "%sx-amz-checksum-crc32:DUoRhQ==\r\nx-amz-trailer-signature:" EG_SIGV4_EMPTY
             "\r\n\r\n",
             CHUNKS);
    struct call put = { .method = "PUT",
                        .target = "/aws/b/k",
                        .service = "s3",
                        .payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
                        .fields =
                            "Content-Encoding: aws-chunked\r\n"
                            "x-amz-decoded-content-length: 11\r\n"
                            "x-amz-trailer: x-amz-checksum-crc32\r\n"
                            "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER\r\n",
                        .body = body,
                        .body_n = strlen(body) };
    cr_expect_eq(ask(&w, &keys, &put, answer), 200, "%s", answer);
    char *rec = recorded(&w, &keys, 1);
    cr_expect(strstr(rec, "X-Amz-Content-Sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n") &&
                  strstr(rec, "x-amz-decoded-content-length: 11\r\n") &&
                  strstr(rec, "x-amz-checksum-crc32:DUoRhQ==") && !strstr(rec, "signature:") &&
                  !strstr(rec, "chunk-signature"),
              "%s", rec);
    free(rec);
    eg_world_done(&w);
}

Test(sigv4, cuts_a_stream_that_is_not_what_its_head_says, .timeout = 120)
{
    struct eg_world w;
    struct keys keys;
    char body[1024];
    setup(&w, &keys);
    static const char *const lengths[] = { "10", "12" };
    snprintf(body, sizeof body, "%s\r\n", CHUNKS);
    for (size_t i = 0; i < 2; i++) {
        char fields[256];
        snprintf(fields, sizeof fields,
                 "x-amz-decoded-content-length: %s\r\nx-amz-content-sha256: "
                 "STREAMING-AWS4-HMAC-SHA256-PAYLOAD\r\n",
                 lengths[i]);
        refused(&w, &keys,
                (struct call){ .method = "PUT",
                               .target = "/aws/b/k",
                               .service = "s3",
                               .payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
                               .fields = fields,
                               .body = body,
                               .body_n = strlen(body) },
                400, "bad_request");
    }
    eg_world_done(&w);
}

Test(sigv4, takes_region_and_service_of_the_policy, .timeout = 120)
{
    struct eg_world w;
    struct keys keys, pinned;
    char answer[HEAD_MAX];
    setup(&w, &keys);
    char *json = eg_daemon_environment(&w);
    variable(json, "PINNED_ID", pinned.id, sizeof pinned.id);
    variable(json, "PINNED_SECRET", pinned.secret, sizeof pinned.secret);
    free(json);
    struct call get = { .method = "GET", .target = "/pinned/a%20b:c/d?x=1", .service = "lambda" };
    cr_expect_eq(ask(&w, &pinned, &get, answer), 200, "%s", answer);
    char *rec = recorded(&w, &pinned, 1);
    cr_expect(strstr(rec, "GET /base/a%20b:c/d?x=1 HTTP/1.1\r\n") &&
                  strstr(rec, "/eu-test-1/execute-api/aws4_request") && !strcasestr(rec, "token"),
              "%s", rec);
    free(rec);
    /* the keys of one service are nobody's at another */
    refused(&w, &keys, (struct call){ .method = "GET", .target = "/pinned/", .service = "sts" },
            401, "phantom_invalid");
    eg_world_done(&w);
}

Test(sigv4, refuses_what_is_not_signed_so, .timeout = 120)
{
    struct eg_world w;
    struct keys keys, wrong;
    setup(&w, &keys);
    const struct call get = { .method = "GET",
                              .target = "/aws/b/k",
                              .service = "s3",
                              .fields = "x-amz-content-sha256: " EG_SIGV4_EMPTY "\r\n" };
    wrong = keys;
    wrong.secret[7] ^= 1;
    refused(&w, &wrong, get, 401, "phantom_invalid");
    snprintf(wrong.id, sizeof wrong.id, "%s", KEY_ID);
    refused(&w, &wrong, get, 401, "phantom_invalid");
    struct call late = get;
    late.skew_s = -1000;
    refused(&w, &keys, late, 401, "phantom_invalid");
    late.skew_s = 1000;
    refused(&w, &keys, late, 401, "phantom_invalid");
    struct call strange = get;
    strange.fields = "x-amz-content-sha256: STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD\r\n";
    strange.payload = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD";
    refused(&w, &keys, strange, 501, "not_supported");
    eg_world_saw_nothing(&w);
    eg_world_done(&w);
}

/* One head without a signing client: its own Authorization, if any, is among the fields. */
static void refused_raw(const struct eg_world *w, const char *target, const char *fields,
                        int status, const char *reason)
{
    struct eg_client c;
    char answer[HEAD_MAX];
    eg_client_open(&c, w->proxy_port);
    eg_client_text(&c, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s\r\n", target, w->proxy_port,
                   fields);
    int got = eg_client_response(&c, answer, sizeof answer, NULL, NULL);
    cr_expect(got == status && eg_head_has(answer, "X-Egress-Reason", reason),
              "%s %s: want %d %s: %s", target, fields, status, reason, answer);
    eg_client_close(&c);
}

Test(sigv4, refuses_other_ways_to_show_a_key, .timeout = 120)
{
    struct eg_world w;
    struct keys keys;
    char text[1024];
    setup(&w, &keys);
    refused_raw(&w, "/aws/b", "", 401, "phantom_missing");
    snprintf(text, sizeof text, "Authorization: Bearer %s\r\n", keys.id);
    refused_raw(&w, "/aws/b", text, 401, "phantom_invalid");
    snprintf(text, sizeof text, "x-api-key: %s\r\n", keys.id);
    refused_raw(&w, "/aws/b", text, 401, "phantom_missing");
    snprintf(text, sizeof text, "x-note: %s\r\n", keys.secret);
    refused_raw(&w, "/aws/b", text, 403, "canary");
    snprintf(text, sizeof text,
             "/aws/"
             "b?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%s%%2F20261121%%2Fr%%2Fs3%%"
             "2Faws4_request"
             "&X-Amz-Signature=" EG_SIGV4_EMPTY,
             keys.id);
    refused_raw(&w, text, "", 501, "not_supported");
    eg_world_saw_nothing(&w);
    eg_world_done(&w);
}

Test(sigv4, sends_no_unsigned_body_in_the_clear, .timeout = 120)
{
    struct eg_world w;
    struct keys keys, other;
    setup(&w, &keys);
    char *json = eg_daemon_environment(&w);
    variable(json, "OPEN_ID", other.id, sizeof other.id);
    variable(json, "OPEN_SECRET", other.secret, sizeof other.secret);
    free(json);
    refused(&w, &other,
            (struct call){ .method = "PUT",
                           .target = "/open/b/k",
                           .service = "s3",
                           .payload = "UNSIGNED-PAYLOAD",
                           .fields = "x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n",
                           .body = "hello",
                           .body_n = 5 },
            501, "not_supported");
    eg_world_saw_nothing(&w);
    eg_world_done(&w);
}
