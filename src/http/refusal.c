/* refusal.c - the head of a refusal: status line with a reason that says it all, the fields of
 * refusals.md, then the body.
 *
 * Most clients show nothing of a refused CONNECT but its reason phrase, so that names subject,
 * rule and next step in at most 120 bytes of printable ASCII. What a field can't hold is replaced,
 * never sent; nothing here depends on policy or session. */
#include "http/refusal.h"

#include <stdio.h>

#include "http/shape.h"
#include "http/write.h"

enum { PHRASE_MAX = 120, PHRASE_RULE = 28, PHRASE_SUBJECT = 80 };

/* RFC 9209 2.3: the error type that fits a status; by class where no row says better. */
static const struct {
    enum eg_status status;
    const char *error;
} proxy_errors[] = {
    { EG_ADDRESS_DENIED, "destination_ip_prohibited" },
    { EG_METADATA_DENIED, "destination_ip_prohibited" },
    { EG_ROUTE_UNKNOWN, "destination_not_found" },
    { EG_RATE_LIMITED, "http_request_denied" },
    { EG_BYTES_LIMITED, "http_request_denied" },
    { EG_BUSY_SERVICE, "http_request_denied" },
    { EG_TOO_MANY_CONNECTIONS, "connection_limit_reached" },
    { EG_SHUTTING_DOWN, "destination_unavailable" },
    { EG_METHOD_NOT_ALLOWED, "http_request_denied" },
    { EG_TRACE, "http_request_denied" },
    { EG_HEAD_TIMEOUT, "http_request_error" },
    { EG_BODY_TIMEOUT, "http_request_error" },
    { EG_DNS_TIMEOUT, "dns_timeout" },
    { EG_CONNECT_TIMEOUT, "connection_timeout" },
    { EG_TLS_TIMEOUT, "connection_timeout" },
    { EG_RESPONSE_TIMEOUT, "http_response_timeout" },
    { EG_CONNECT_REFUSED, "connection_refused" },
    { EG_TLS_FAILED, "tls_protocol_error" },
    { EG_UPSTREAM_PROXY_AUTH, "proxy_configuration_error" },
    { EG_RESPONSE_TRUNCATED, "http_response_incomplete" },
    { EG_CREDENTIAL_UNAVAILABLE, "proxy_configuration_error" },
};

static const char *proxy_error(enum eg_status status)
{
    for (size_t i = 0; i < sizeof(proxy_errors) / sizeof(proxy_errors[0]); i++) {
        if (proxy_errors[i].status == status) {
            return proxy_errors[i].error;
        }
    }
    switch (egress_status_class(status)) {
    case EG_CLASS_AUTH:
    case EG_CLASS_POLICY:
        return "http_request_denied";
    case EG_CLASS_CLIENT:
    case EG_CLASS_LIMIT:
        return "http_request_error";
    case EG_CLASS_RESOLVE:
        return "dns_error";
    case EG_CLASS_CONNECT:
        return "destination_ip_unroutable";
    case EG_CLASS_TLS:
        return "tls_certificate_error";
    case EG_CLASS_HOP:
        return "destination_unavailable";
    case EG_CLASS_ORIGIN:
        return "http_protocol_error";
    case EG_CLASS_TIMEOUT:
    case EG_CLASS_NONE:
    case EG_CLASS_INTERNAL:
        break;
    }
    return "proxy_internal_error";
}

/* Copies at most max bytes of s with what is not printable ASCII replaced; ends long ones in
 * "...". Returns what was written. */
static size_t ascii(char *to, struct eg_slice s, size_t max)
{
    bool cut = false;
    struct eg_slice part = eg_refusal_cut(s, max, &cut);
    for (size_t i = 0; i < part.n; i++) {
        to[i] = part.p[i] >= 0x20 && part.p[i] < 0x7f ? part.p[i] : '?';
    }
    if (cut) {
        memcpy(to + part.n, "...", 3);
    }
    return part.n + (cut ? 3 : 0);
}

/* "egress policy: host_not_allowed: api.example.com:443 (egress.yaml:12); see egressctl audit
 * --denied". The subject gives way. */
static struct eg_slice phrase(const struct eg_refusal *r, char to[PHRASE_MAX + 1])
{
    static const char next[] = "; see egressctl audit --denied";
    enum eg_status seen = eg_refusal_public(r->status);
    char rule[PHRASE_RULE + 1] = "";
    char subject[PHRASE_SUBJECT + 1] = "";
    /* Of a path the end tells more: the file's name and the line. */
    struct eg_slice tail =
        r->rule.n > PHRASE_RULE ? eg_slice_from(r->rule, r->rule.n - PHRASE_RULE) : r->rule;
    rule[ascii(rule, tail, PHRASE_RULE)] = '\0';
    int n = snprintf(to, PHRASE_MAX + 1, "egress%s: %s",
                     egress_status_class(seen) == EG_CLASS_POLICY ? " policy" : "",
                     egress_status_name(seen));
    size_t other = (size_t)n + sizeof(next) - 1 + (*rule ? strlen(rule) + 3 : 0) + 2;
    size_t room = PHRASE_MAX - other < PHRASE_SUBJECT ? PHRASE_MAX - other : PHRASE_SUBJECT;
    subject[ascii(subject, r->subject, room)] = '\0';
    n += snprintf(to + n, (size_t)(PHRASE_MAX + 1 - n), "%s%s%s%s%s%s", *subject ? ": " : "",
                  subject, *rule ? " (" : "", rule, *rule ? ")" : "", next);
    return eg_slice(to, (size_t)n);
}

/* The field that each HTTP status asks for (RFC 9110 15.5, 11.7). */
static enum eg_status put_status_field(struct eg_buf *out, const struct eg_refusal *r, int code)
{
    char seconds[12];
    switch (code) {
    case 401:
        return eg_write_field(out, EG_SLICE("WWW-Authenticate"),
                              r->challenge.n > 0 ? r->challenge
                                                 : EG_SLICE("Bearer realm=\"egress\""));
    case 405:
        return eg_write_field(out, EG_SLICE("Allow"), r->allow);
    case 407:
        return eg_write_field(out, EG_SLICE("Proxy-Authenticate"),
                              r->challenge.n > 0 ? r->challenge
                                                 : EG_SLICE("Basic realm=\"egress\""));
    case 429:
    case 503:
        snprintf(seconds, sizeof(seconds), "%u", r->retry_after > 0 ? r->retry_after : 1);
        return eg_write_field(out, EG_SLICE("Retry-After"), eg_slice_str(seconds));
    default:
        return EG_OK;
    }
}

static enum eg_status put_egress_fields(struct eg_buf *out, const struct eg_refusal *r)
{
    char text[EG_RULE_MAX + 32];
    enum eg_status seen = eg_refusal_public(r->status);
    enum eg_status status =
        eg_write_field(out, EG_SLICE("X-Egress-Reason"), eg_slice_str(egress_status_name(seen)));
    if (status == EG_OK && r->rule.n > 0) {
        status = eg_write_field(out, EG_SLICE("X-Egress-Rule"),
                                eg_slice(text, ascii(text, r->rule, EG_RULE_MAX)));
    }
    if (status == EG_OK) {
        snprintf(text, sizeof(text), "%llu", (unsigned long long)r->event);
        status = eg_write_field(out, EG_SLICE("X-Egress-Event"), eg_slice_str(text));
    }
    if (status == EG_OK) {
        snprintf(text, sizeof(text), "egress; error=%s", proxy_error(seen));
        status = eg_write_field(out, EG_SLICE("Proxy-Status"), eg_slice_str(text));
    }
    return status == EG_OK ? eg_write_field(out, EG_SLICE("Cache-Control"), EG_SLICE("no-store"))
                           : status;
}

static enum eg_status put_answer(struct eg_buf *out, const struct eg_refusal *r,
                                 struct eg_slice body)
{
    char reason[PHRASE_MAX + 1];
    int code = egress_status_http(r->status);
    code = code >= 400 ? code : 500;
    enum eg_status status = eg_write_status_line(out, code, phrase(r, reason));
    if (status == EG_OK) {
        status = put_egress_fields(out, r);
    }
    if (status == EG_OK) {
        status = put_status_field(out, r, code);
    }
    if (status == EG_OK) {
        status = eg_write_field(out, EG_SLICE("Content-Type"), eg_shape_type(r->shape));
    }
    if (status == EG_OK) {
        status = eg_write_framing(out, EG_BODY_LENGTH, body.n);
    }
    if (status == EG_OK && !r->keep_alive) {
        status = eg_write_field(out, EG_SLICE("Connection"), EG_SLICE("close"));
    }
    if (status == EG_OK) {
        status = eg_write_end(out);
    }
    return status == EG_OK && !r->head_only ? eg_buf_put(out, body) : status;
}

enum eg_status eg_refusal_write(struct eg_buf *out, const struct eg_refusal *r)
{
    struct eg_buf body;
    eg_buf_init(&body, EG_BODY_MAX);
    enum eg_status status = eg_shape_body(&body, r);
    if (status == EG_OK) {
        status = put_answer(out, r, eg_buf_slice(&body));
    }
    eg_buf_done(&body);
    return status;
}

enum eg_status eg_refusal_write_ssh(struct eg_buf *out, const struct eg_refusal *r)
{
    enum { HEAD = 5, FIXED = 1 + 4 + 4 + 4, BLOCK = 8, PADDING_MIN = 4, NOT_ALLOWED = 1, BY_APPLICATION = 11 };
    static const char identification[] = "SSH-2.0-egress\r\n", padding[4 + BLOCK + PADDING_MIN] = "";
    char text[PHRASE_MAX + 1];
    struct eg_slice why = phrase(r, text);
    size_t payload = FIXED + why.n, pad = BLOCK - (HEAD + payload) % BLOCK;
    pad += pad < PADDING_MIN ? BLOCK : 0;
    size_t length = 1 + payload + pad; /* without itself */
    bool policy = egress_status_class(eg_refusal_public(r->status)) == EG_CLASS_POLICY;
    /* SSH_MSG_DISCONNECT: a code, a description, and no language */
    const char head[] = { 0, 0, (char)(length >> 8), (char)length, (char)pad, 1, 0, 0, 0,
                          policy ? NOT_ALLOWED : BY_APPLICATION, 0, 0, 0, (char)why.n };
    enum eg_status status = eg_buf_append(out, identification, sizeof identification - 1);
    if (status == EG_OK)
        status = eg_buf_append(out, head, sizeof head);
    if (status == EG_OK)
        status = eg_buf_put(out, why);
    return status == EG_OK ? eg_buf_append(out, padding, 4 + pad) : status;
}

static bool says(const struct eg_head *h, struct eg_slice field, struct eg_slice prefix)
{
    const struct eg_field *f = eg_head_find(h, field, NULL);
    return f != NULL && eg_slice_casestarts(f->value, prefix);
}

/* AWS' query services answer in XML; those with X-Amz-Target speak JSON, whose clients read
 * "message". */
static bool is_aws_query(const struct eg_head *h)
{
    static const struct eg_slice agents[] = { { "aws-", 4 }, { "boto", 4 } };
    if (eg_head_find(h, EG_SLICE("x-amz-target"), NULL) != NULL) {
        return false;
    }
    if (eg_head_find(h, EG_SLICE("x-amz-date"), NULL) != NULL) {
        return true;
    }
    return says(h, EG_SLICE("user-agent"), agents[0]) || says(h, EG_SLICE("user-agent"), agents[1]);
}

enum eg_refusal_shape eg_refusal_shape_of(const struct eg_head *h)
{
    if (h == NULL) {
        return EG_SHAPE_JSON;
    }
    if (says(h, EG_SLICE("user-agent"), EG_SLICE("git/"))) {
        return EG_SHAPE_GIT;
    }
    if (says(h, EG_SLICE("user-agent"), EG_SLICE("npm/")) ||
        says(h, EG_SLICE("user-agent"), EG_SLICE("pnpm/"))) {
        return EG_SHAPE_NPM;
    }
    if (says(h, EG_SLICE("user-agent"), EG_SLICE("GitHub CLI"))) {
        return EG_SHAPE_GH;
    }
    return is_aws_query(h) ? EG_SHAPE_AWS : EG_SHAPE_JSON;
}
