/* http_refusal.c - every refusal there is, in every shape, read back with our own parser; JSON
 * with a JSON library. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>

#include "http/message.h"
#include "http/refusal.h"

struct answer {
    struct eg_buf bytes;
    struct eg_msg *m;
    const struct eg_head *head;
    struct eg_slice body;
};

static struct answer answer_to(const struct eg_refusal *r)
{
    static const struct eg_msg_limits limits = { .head_bytes = 8192,
                                                 .fields = 20,
                                                 .target_bytes = 1 };
    struct answer a = { 0 };
    size_t used = 0;
    eg_buf_init(&a.bytes, EG_REFUSAL_ROOM);
    cr_assert_eq(eg_refusal_write(&a.bytes, r), EG_OK, "%s", egress_status_name(r->status));
    cr_assert_eq(eg_msg_new(&a.m, EG_MSG_RESPONSE, &limits), EG_OK);
    eg_msg_reset(a.m, r->head_only ? EG_SLICE("HEAD") : EG_SLICE("GET"));
    cr_assert_eq(eg_msg_head(a.m, a.bytes.data + a.bytes.off, a.bytes.len, &used, NULL), EG_OK);
    a.head = eg_msg_head_get(a.m);
    a.body = eg_slice_from(eg_buf_slice(&a.bytes), used);
    return a;
}

static void done(struct answer *a)
{
    eg_msg_free(a->m);
    eg_buf_done(&a->bytes);
}

/* The value of the one field of that name; fails when there are two. */
static struct eg_slice field(const struct answer *a, const char *name)
{
    const struct eg_field *f = eg_head_find(a->head, eg_slice_str(name), NULL);
    cr_expect_eq(f ? eg_head_find(a->head, eg_slice_str(name), f) : NULL, NULL, "two %s", name);
    return f ? f->value : EG_SLICE_NONE;
}

static bool is(struct eg_slice s, const char *text)
{
    return eg_slice_eq(s, eg_slice_str(text));
}

static bool contains(struct eg_slice s, const char *text)
{
    return s.n > 0 && memmem(s.p, s.n, text, strlen(text)) != NULL;
}

static bool printable(struct eg_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < 0x20 || s.p[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

static const struct row {
    enum eg_status status;
    int http;
    const char *reason, *error, *type;
} rows[] = {
    { EG_TOKEN_MISSING, 407, "token_missing", "http_request_denied", "egress_authentication" },
    { EG_TOKEN_INVALID, 407, "token_invalid", "http_request_denied", "egress_authentication" },
    { EG_TOKEN_EXPIRED, 407, "token_expired", "http_request_denied", "egress_authentication" },
    { EG_TOKEN_REVOKED, 407, "token_revoked", "http_request_denied", "egress_authentication" },
    { EG_PHANTOM_MISSING, 401, "phantom_missing", "http_request_denied", "egress_authentication" },
    { EG_PHANTOM_INVALID, 401, "phantom_invalid", "http_request_denied", "egress_authentication" },
    { EG_CANARY, 403, "canary", "http_request_denied", "egress_authentication" },
    { EG_HOST_DENIED, 403, "host_denied", "http_request_denied", "egress_policy" },
    { EG_HOST_NOT_ALLOWED, 403, "host_not_allowed", "http_request_denied", "egress_policy" },
    { EG_PORT_NOT_ALLOWED, 403, "port_not_allowed", "http_request_denied", "egress_policy" },
    { EG_RULE_DENIED, 403, "rule_denied", "http_request_denied", "egress_policy" },
    { EG_ADDRESS_DENIED, 403, "address_denied", "destination_ip_prohibited", "egress_policy" },
    { EG_METADATA_DENIED, 403, "metadata_denied", "destination_ip_prohibited", "egress_policy" },
    { EG_SNI_MISMATCH, 403, "sni_mismatch", "http_request_denied", "egress_policy" },
    { EG_NOT_TLS, 403, "not_tls", "http_request_denied", "egress_policy" },
    { EG_ROUTE_UNKNOWN, 404, "route_unknown", "destination_not_found", "egress_request" },
    { EG_NO_ROUTES, 400, "no_routes", "http_request_error", "egress_request" },
    { EG_MISDIRECTED, 421, "misdirected", "http_request_error", "egress_request" },
    { EG_BAD_REQUEST, 400, "bad_request", "http_request_error", "egress_request" },
    { EG_BAD_TARGET, 400, "bad_target", "http_request_error", "egress_request" },
    { EG_BAD_HOST, 400, "bad_host", "http_request_error", "egress_request" },
    { EG_AMBIGUOUS_FRAMING, 400, "ambiguous_framing", "http_request_error", "egress_request" },
    { EG_BAD_VERSION, 400, "bad_version", "http_request_error", "egress_request" },
    { EG_METHOD_NOT_ALLOWED, 405, "method_not_allowed", "http_request_denied", "egress_request" },
    { EG_TRACE, 405, "trace", "http_request_denied", "egress_request" },
    { EG_HEAD_TOO_LARGE, 431, "head_too_large", "http_request_error", "egress_limit" },
    { EG_TOO_MANY_FIELDS, 431, "too_many_fields", "http_request_error", "egress_limit" },
    { EG_TARGET_TOO_LONG, 414, "target_too_long", "http_request_error", "egress_limit" },
    { EG_BODY_TOO_LARGE, 413, "body_too_large", "http_request_error", "egress_limit" },
    { EG_EXPECTATION_FAILED, 417, "expectation_failed", "http_request_error", "egress_request" },
    { EG_NOT_SUPPORTED, 501, "not_supported", "http_request_error", "egress_request" },
    { EG_VERSION_NOT_SUPPORTED, 505, "not_supported", "http_request_error", "egress_request" },
    { EG_RATE_LIMITED, 429, "rate_limited", "http_request_denied", "egress_limit" },
    { EG_BYTES_LIMITED, 429, "bytes_limited", "http_request_denied", "egress_limit" },
    { EG_BUSY_SERVICE, 429, "busy_service", "http_request_denied", "egress_limit" },
    { EG_TOO_MANY_CONNECTIONS, 503, "too_many_connections", "connection_limit_reached",
      "egress_limit" },
    { EG_SHUTTING_DOWN, 503, "shutting_down", "destination_unavailable", "egress_limit" },
    { EG_HEAD_TIMEOUT, 408, "head_timeout", "http_request_error", "egress_timeout" },
    { EG_BODY_TIMEOUT, 408, "body_timeout", "http_request_error", "egress_timeout" },
    { EG_DNS_NOT_FOUND, 502, "dns_not_found", "dns_error", "egress_upstream" },
    { EG_DNS_FAILED, 502, "dns_failed", "dns_error", "egress_upstream" },
    { EG_DNS_TIMEOUT, 504, "dns_timeout", "dns_timeout", "egress_timeout" },
    { EG_CONNECT_TIMEOUT, 504, "connect_timeout", "connection_timeout", "egress_timeout" },
    { EG_TLS_TIMEOUT, 504, "tls_timeout", "connection_timeout", "egress_timeout" },
    { EG_RESPONSE_TIMEOUT, 504, "response_timeout", "http_response_timeout", "egress_timeout" },
    { EG_CONNECT_REFUSED, 502, "connect_refused", "connection_refused", "egress_upstream" },
    { EG_NET_UNREACHABLE, 502, "net_unreachable", "destination_ip_unroutable", "egress_upstream" },
    { EG_HOST_UNREACHABLE, 502, "host_unreachable", "destination_ip_unroutable",
      "egress_upstream" },
    { EG_TLS_UNTRUSTED, 502, "tls_untrusted", "tls_certificate_error", "egress_upstream" },
    { EG_TLS_NAME, 502, "tls_name", "tls_certificate_error", "egress_upstream" },
    { EG_TLS_EXPIRED, 502, "tls_expired", "tls_certificate_error", "egress_upstream" },
    { EG_TLS_FAILED, 502, "tls_failed", "tls_protocol_error", "egress_upstream" },
    { EG_UPSTREAM_PROXY_AUTH, 502, "upstream_proxy_auth", "proxy_configuration_error",
      "egress_upstream" },
    { EG_UPSTREAM_PROXY_REFUSED, 502, "upstream_proxy_refused", "destination_unavailable",
      "egress_upstream" },
    { EG_UPSTREAM_PROXY_FAILED, 502, "upstream_proxy_failed", "destination_unavailable",
      "egress_upstream" },
    { EG_SSH_DOWN, 502, "ssh_down", "destination_unavailable",
      "egress_upstream" },
    { EG_SSH_PROHIBITED, 502, "ssh_prohibited", "destination_unavailable",
      "egress_upstream" },
    { EG_SSH_REFUSED, 502, "ssh_refused", "destination_unavailable",
      "egress_upstream" },
    { EG_BAD_RESPONSE, 502, "bad_response", "http_protocol_error", "egress_upstream" },
    { EG_RESPONSE_TRUNCATED, 502, "response_truncated", "http_response_incomplete",
      "egress_upstream" },
    { EG_CREDENTIAL_UNAVAILABLE, 502, "credential_unavailable", "proxy_configuration_error",
      "egress_internal" },
    { EG_AUDIT_UNWRITABLE, 503, "audit_unwritable", "proxy_internal_error", "egress_internal" },
    { EG_NOMEM, 503, "internal_error", "proxy_internal_error", "egress_internal" },
    { EG_IO, 502, "internal_error", "proxy_internal_error", "egress_internal" },
    { EG_INTERNAL, 500, "internal_error", "proxy_internal_error", "egress_internal" },
    { EG_INVALID, 500, "internal_error", "proxy_internal_error", "egress_internal" },
    { EG_TOO_BIG, 500, "internal_error", "proxy_internal_error", "egress_internal" },
    { EG_OK, 500, "internal_error", "proxy_internal_error", "egress_internal" },
    { EG_AGAIN, 500, "internal_error", "proxy_internal_error", "egress_internal" },
    { EG_IDLE_TIMEOUT, 500, "internal_error", "proxy_internal_error", "egress_internal" },
    { EG_POLICY_CUT, 500, "internal_error", "proxy_internal_error", "egress_internal" },
};

static struct eg_refusal typical(enum eg_status status)
{
    return (struct eg_refusal){ .status = status,
                                .subject = EG_SLICE("api.example.com:443"),
                                .rule = EG_SLICE("egress.yaml:12"),
                                .detail = EG_SLICE("Add it to allow."),
                                .event = 4711,
                                .keep_alive = true };
}

static void check_special_fields(const struct answer *a, int http)
{
    cr_expect_eq(field(a, "Proxy-Authenticate").n > 0, http == 407);
    cr_expect_eq(field(a, "WWW-Authenticate").n > 0, http == 401);
    cr_expect_eq(field(a, "Retry-After").n > 0, http == 429 || http == 503, "%d", http);
    cr_expect_eq(eg_head_find(a->head, EG_SLICE("Allow"), NULL) != NULL, http == 405);
}

Test(http, refusal_table)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *w = &rows[i];
        char error[80];
        struct eg_refusal r = typical(w->status);
        struct answer a = answer_to(&r);
        snprintf(error, sizeof(error), "egress; error=%s", w->error);
        cr_expect_eq(a.head->status, w->http, "%s: %u", w->reason, a.head->status);
        cr_expect(is(field(&a, "X-Egress-Reason"), w->reason), "%s", w->reason);
        cr_expect(is(field(&a, "X-Egress-Rule"), "egress.yaml:12"));
        cr_expect(is(field(&a, "X-Egress-Event"), "4711"));
        cr_expect(is(field(&a, "Proxy-Status"), error), "%s: %.*s", w->reason,
                  (int)field(&a, "Proxy-Status").n, field(&a, "Proxy-Status").p);
        cr_expect(is(field(&a, "Cache-Control"), "no-store"));
        cr_expect(is(field(&a, "Content-Type"), "application/json"));
        cr_expect(a.head->framing == EG_BODY_LENGTH && a.head->length == a.body.n &&
                  a.head->keep_alive);
        cr_expect_eq(eg_head_find(a.head, EG_SLICE("Connection"), NULL), NULL);
        cr_expect(a.head->reason.n <= 120 && printable(a.head->reason), "%s", w->reason);
        cr_expect(contains(a.head->reason, w->reason) &&
                  contains(a.head->reason, "api.example.com:443"));
        cr_expect(contains(a.head->reason, "(egress.yaml:12)") &&
                  contains(a.head->reason, "egressctl audit --denied"));
        check_special_fields(&a, w->http);
        json_t *root = json_loadb(a.body.p, a.body.n, 0, NULL);
        cr_assert_neq(root, NULL, "%s", w->reason);
        const char *type = NULL, *code = NULL, *message = NULL, *outer = NULL, *code2 = NULL,
                   *message2 = NULL, *detail = NULL;
        cr_expect_eq(json_unpack(root, "{s:{s:s,s:s,s:s},s:s,s:[{s:s,s:s,s:s}]!}", "error", "type",
                                 &type, "code", &code, "message", &message, "message", &outer,
                                 "errors", "code", &code2, "message", &message2, "detail", &detail),
                     0, "%s", w->reason);
        cr_expect(type && strcmp(type, w->type) == 0, "%s: %s", w->reason, type);
        cr_expect(code && strcmp(code, w->reason) == 0 && code2 && strcmp(code2, code) == 0);
        cr_expect(message && outer && message2 && strcmp(message, outer) == 0 &&
                  strcmp(message, message2) == 0);
        cr_expect(message && strstr(message, "api.example.com:443") &&
                  strstr(message, "egress.yaml:12") && strstr(message, "Add it to allow."));
        cr_expect(detail && strcmp(detail, "Add it to allow.") == 0);
        json_decref(root);
        done(&a);
    }
}

/* No status without a row: a new refusal must say what it is to a client. */
Test(http, refusal_table_is_complete)
{
    for (int s = 0; s < EG_STATUS_COUNT; s++) {
        bool found = egress_status_http((enum eg_status)s) < 400;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            found = found || rows[i].status == (enum eg_status)s;
        }
        cr_expect(found, "%s", egress_status_name((enum eg_status)s));
    }
}

/* clients.md 4: agents take a refusal for a fault unless it says otherwise. */
Test(http, refusal_of_policy_says_so)
{
    struct eg_refusal r = typical(EG_HOST_NOT_ALLOWED);
    struct answer a = answer_to(&r);
    cr_expect(contains(a.body, "This is policy, not an outage: do not retry") &&
              contains(a.body, "go round"));
    cr_expect(contains(a.body, "egressctl audit --denied") && !contains(a.body, "explain"));
    cr_expect(contains(a.head->reason, "egress policy: host_not_allowed"));
    done(&a);
    r.status = EG_CONNECT_REFUSED;
    a = answer_to(&r);
    cr_expect_not(contains(a.body, "policy"));
    done(&a);
    r.status = EG_TOKEN_MISSING;
    a = answer_to(&r);
    cr_expect(contains(a.body, "credentials that it gave to this session"));
    done(&a);
    r.status = EG_CANARY;
    a = answer_to(&r);
    cr_expect(!contains(a.body, "credentials that it gave") && contains(a.body, "It was not sent. This is policy"));
    done(&a);
    r.status = EG_RATE_LIMITED;
    a = answer_to(&r);
    cr_expect(contains(a.body, "the policy's limit, not an outage: wait as long as Retry-After says"));
    done(&a);
    r.status = EG_CREDENTIAL_UNAVAILABLE;
    a = answer_to(&r);
    cr_expect(contains(a.body, "egressctl creds list"));
    done(&a);
}

Test(http, refusal_challenges_and_waits)
{
    struct eg_refusal r = typical(EG_TOKEN_MISSING);
    struct answer a = answer_to(&r);
    cr_expect(is(field(&a, "Proxy-Authenticate"), "Basic realm=\"egress\""));
    done(&a);
    r.challenge = EG_SLICE("Basic realm=\"other\"");
    a = answer_to(&r);
    cr_expect(is(field(&a, "Proxy-Authenticate"), "Basic realm=\"other\""));
    done(&a);
    r.status = EG_PHANTOM_INVALID;
    a = answer_to(&r);
    cr_expect(is(field(&a, "WWW-Authenticate"), "Basic realm=\"other\""));
    done(&a);
    r.challenge = EG_SLICE_NONE;
    a = answer_to(&r);
    cr_expect(is(field(&a, "WWW-Authenticate"), "Bearer realm=\"egress\""));
    done(&a);
    r.status = EG_RATE_LIMITED;
    a = answer_to(&r);
    cr_expect(is(field(&a, "Retry-After"), "1"));
    done(&a);
    r.retry_after = UINT32_MAX;
    a = answer_to(&r);
    cr_expect(is(field(&a, "Retry-After"), "4294967295"));
    done(&a);
    r.status = EG_METHOD_NOT_ALLOWED;
    r.allow = EG_SLICE("GET, HEAD");
    a = answer_to(&r);
    cr_expect(is(field(&a, "Allow"), "GET, HEAD"));
    done(&a);
}

Test(http, refusal_closes_or_keeps)
{
    struct eg_refusal r = typical(EG_BAD_REQUEST);
    r.keep_alive = false;
    struct answer a = answer_to(&r);
    cr_expect(is(field(&a, "Connection"), "close"));
    cr_expect_not(a.head->keep_alive);
    done(&a);
}

Test(http, refusal_of_head_has_no_body)
{
    struct eg_refusal r = typical(EG_HOST_DENIED);
    struct answer full = answer_to(&r);
    r.head_only = true;
    struct answer a = answer_to(&r);
    cr_expect_eq(a.body.n, 0);
    cr_expect(a.head->has_length && a.head->length == full.head->length);
    done(&a);
    done(&full);
}

Test(http, refusal_without_subject_and_rule)
{
    struct eg_refusal r = { .status = EG_HEAD_TIMEOUT };
    struct answer a = answer_to(&r);
    cr_expect_eq(eg_head_find(a.head, EG_SLICE("X-Egress-Rule"), NULL), NULL);
    cr_expect(is(a.head->reason, "egress: head_timeout; see egressctl audit --denied"));
    cr_expect(contains(a.body, "egress refused the request: the request head came too slowly."));
    done(&a);
}

/* Whoever has no phantom is told where one would be, and why there may be none; a detail goes on where the sentence ends. */
Test(http, refusal_of_a_phantom_says_the_next_step)
{
    struct eg_refusal r = { .status = EG_PHANTOM_MISSING, .subject = EG_SLICE("GET /llm") };
    struct answer a = answer_to(&r);
    cr_expect(contains(a.body, "egress refused GET /llm: the service's phantom is missing. "));
    cr_expect(contains(a.body, "egressctl creds list"));
    done(&a);
    r.status = EG_CANARY;
    r.detail = EG_SLICE("it is the phantom of llm");
    a = answer_to(&r);
    cr_expect(contains(a.body, "where it does not belong: it is the phantom of llm. It was not sent."));
    done(&a);
}

Test(http, refusal_shapes)
{
    static const struct {
        enum eg_refusal_shape shape;
        const char *type, *begins;
    } shapes[] = {
        { EG_SHAPE_JSON, "application/json",
          "{\"error\":{\"type\":\"egress_policy\",\"code\":\"host_denied\",\"message\":\"egress" },
        { EG_SHAPE_GIT, "text/plain; charset=us-ascii", "egress refused api.example.com:443: " },
        { EG_SHAPE_NPM, "application/json", "{\"error\":\"egress refused api.example.com:443: " },
        { EG_SHAPE_GH, "application/json", "{\"message\":\"egress refused api.example.com:443: " },
        { EG_SHAPE_AWS, "text/xml",
          "<ErrorResponse><Error><Code>host_denied</Code><Message>egress refused " },
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct eg_refusal r = typical(EG_HOST_DENIED);
        r.shape = shapes[i].shape;
        struct answer a = answer_to(&r);
        cr_expect(is(field(&a, "Content-Type"), shapes[i].type), "%zu", i);
        cr_expect(eg_slice_starts(a.body, eg_slice_str(shapes[i].begins)), "%zu: %.*s", i,
                  (int)a.body.n, a.body.p);
        cr_expect_eq(a.body.p[a.body.n - 1], '\n');
        done(&a);
    }
}

Test(http, refusal_gh_holds_two_members)
{
    struct eg_refusal r = typical(EG_HOST_DENIED);
    r.shape = EG_SHAPE_GH;
    struct answer a = answer_to(&r);
    json_t *root = json_loadb(a.body.p, a.body.n, 0, NULL);
    cr_assert_neq(root, NULL);
    cr_expect(json_object_size(root) == 2 && json_object_get(root, "message") &&
              json_object_get(root, "documentation_url"));
    json_decref(root);
    done(&a);
    r.shape = EG_SHAPE_NPM;
    a = answer_to(&r);
    root = json_loadb(a.body.p, a.body.n, 0, NULL);
    cr_assert_neq(root, NULL);
    cr_expect(json_object_size(root) == 1 && json_is_string(json_object_get(root, "error")));
    json_decref(root);
    done(&a);
}

/* A subject of any bytes and any length, in every shape: one well-formed answer, no raw peer byte
 * in it. */
Test(http, refusal_escapes_peer_bytes)
{
    char subject[1024];
    for (size_t i = 0; i < sizeof(subject); i++) {
        subject[i] = (char)(i % 256);
    }
    for (int shape = EG_SHAPE_JSON; shape <= EG_SHAPE_AWS; shape++) {
        for (size_t n = 0; n <= sizeof(subject); n += n < 300 ? 7 : 241) {
            struct eg_refusal r = typical(EG_HOST_NOT_ALLOWED);
            r.shape = (enum eg_refusal_shape)shape;
            r.subject = eg_slice(subject, n);
            r.rule = n % 2 ? eg_slice(subject, n) : r.rule;
            r.detail = n % 3 ? eg_slice(subject, n) : EG_SLICE_NONE;
            struct answer a = answer_to(&r);
            cr_expect(a.head->reason.n <= 120 && printable(a.head->reason));
            cr_expect(printable(field(&a, "X-Egress-Rule")) && field(&a, "X-Egress-Rule").n <= 200);
            cr_expect(printable(eg_slice(a.body.p, a.body.n - 1)), "shape %d, %zu bytes", shape, n);
            cr_expect_eq(a.head->length, a.body.n);
            if (shape == EG_SHAPE_JSON || shape == EG_SHAPE_NPM || shape == EG_SHAPE_GH) {
                json_t *root = json_loadb(a.body.p, a.body.n, JSON_ALLOW_NUL, NULL);
                cr_expect_neq(root, NULL, "shape %d, %zu bytes", shape, n);
                json_decref(root);
            }
            done(&a);
        }
    }
}

Test(http, refusal_worst_case_fits_its_room)
{
    char worst[2048];
    memset(worst, 0xff, sizeof(worst));
    struct eg_refusal r = typical(EG_HOST_NOT_ALLOWED);
    r.subject = r.rule = r.detail = eg_slice(worst, sizeof(worst));
    struct answer a = answer_to(&r);
    cr_expect_lt(a.bytes.len, EG_REFUSAL_ROOM);
    done(&a);
}

Test(http, refusal_xml_is_escaped)
{
    struct eg_refusal r = typical(EG_HOST_NOT_ALLOWED);
    r.shape = EG_SHAPE_AWS;
    r.subject = EG_SLICE("<a>&\"'\x01\xff");
    struct answer a = answer_to(&r);
    cr_expect(contains(a.body, "&#60;a&#62;&#38;&#34;&#39;?&#255;"));
    cr_expect(contains(a.body, "<RequestId>egress-4711</RequestId>"));
    done(&a);
}

Test(http, refusal_phrase_keeps_the_rules_end)
{
    struct eg_refusal r = typical(EG_METADATA_DENIED);
    r.rule = EG_SLICE("/home/somebody/projects/with/a/long/path/egress.yaml:1234");
    r.subject = EG_SLICE(
        "a-very-long-name.of-a-host.in-a-very-long-domain.with-many-labels.example.com:443");
    struct answer a = answer_to(&r);
    cr_expect(contains(a.head->reason, "egress.yaml:1234)") &&
              contains(a.head->reason, "a-very-long-name"));
    cr_expect(contains(a.head->reason, "egressctl audit --denied") && a.head->reason.n <= 120);
    cr_expect(contains(field(&a, "X-Egress-Rule"), "/home/somebody/"));
    done(&a);
}

Test(http, refusal_cannot_be_split)
{
    struct eg_buf b;
    struct eg_refusal r = typical(EG_TOKEN_MISSING);
    eg_buf_init(&b, EG_REFUSAL_ROOM);
    r.challenge = EG_SLICE("Basic\r\nX: y");
    cr_expect_eq(eg_refusal_write(&b, &r), EG_INVALID);
    eg_buf_reset(&b);
    r = typical(EG_METHOD_NOT_ALLOWED);
    r.allow = EG_SLICE("GET\nX: y");
    cr_expect_eq(eg_refusal_write(&b, &r), EG_INVALID);
    eg_buf_done(&b);
}

Test(http, refusal_reports_the_ceiling)
{
    struct eg_refusal r = typical(EG_TOKEN_MISSING);
    struct answer whole = answer_to(&r);
    for (size_t max = 1; max < whole.bytes.len; max++) {
        struct eg_buf b;
        eg_buf_init(&b, max);
        cr_expect_eq(eg_refusal_write(&b, &r), EG_TOO_BIG, "%zu", max);
        eg_buf_done(&b);
    }
    done(&whole);
}

static enum eg_refusal_shape shape_of(const char *name, const char *value, const char *name2)
{
    const struct eg_field fields[] = { { eg_slice_str(name), eg_slice_str(value) },
                                       { eg_slice_str(name2), EG_SLICE("x") } };
    const struct eg_head head = { .fields = fields, .field_count = *name2 ? 2 : 1 };
    return eg_refusal_shape_of(&head);
}

Test(http, refusal_shape_of_client)
{
    cr_expect_eq(eg_refusal_shape_of(NULL), EG_SHAPE_JSON);
    cr_expect_eq(shape_of("X", "y", ""), EG_SHAPE_JSON);
    cr_expect_eq(shape_of("User-Agent", "git/2.39.5", ""), EG_SHAPE_GIT);
    cr_expect_eq(shape_of("user-agent", "git/2.39.5 (x)", ""), EG_SHAPE_GIT);
    cr_expect_eq(shape_of("User-Agent", "npm/11.0.0 node/v24", ""), EG_SHAPE_NPM);
    cr_expect_eq(shape_of("User-Agent", "pnpm/9 npm/? node/v24", ""), EG_SHAPE_NPM);
    cr_expect_eq(shape_of("User-Agent", "GitHub CLI 2.40.0", ""), EG_SHAPE_GH);
    cr_expect_eq(shape_of("User-Agent", "aws-cli/1.45 Python/3.11", ""), EG_SHAPE_AWS);
    cr_expect_eq(shape_of("User-Agent", "aws-sdk-js/3.0", ""), EG_SHAPE_AWS);
    cr_expect_eq(shape_of("User-Agent", "Boto3/1.34", ""), EG_SHAPE_AWS);
    cr_expect_eq(shape_of("User-Agent", "Botocore/1.34", ""), EG_SHAPE_AWS);
    cr_expect_eq(shape_of("User-Agent", "other/1", "X-Amz-Date"), EG_SHAPE_AWS);
    cr_expect_eq(shape_of("User-Agent", "aws-cli/1.45", "X-Amz-Target"), EG_SHAPE_JSON,
                 "JSON services");
    cr_expect_eq(shape_of("User-Agent", "curl/7.88", ""), EG_SHAPE_JSON);
    cr_expect_eq(shape_of("User-Agent", "OpenAI/JS 6", ""), EG_SHAPE_JSON);
    cr_expect_eq(shape_of("User-Agent", "gitlab-runner", ""), EG_SHAPE_JSON);
    cr_expect_eq(shape_of("User-Agent", "", ""), EG_SHAPE_JSON);
}
