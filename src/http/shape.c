/* shape.c - the body of a refusal, in the form that each kind of client reads out to its user
 * (clients.md 2 to 4).
 *
 * The sentence is built once from our own words and the escaped subject, then wrapped. Peer bytes
 * never stand in a body unescaped: \u00XX in JSON, references in XML, '?' in plain text. It knows
 * nothing of heads. */
#include "http/shape.h"

enum { TEXT_MAX = 2048 };

enum eg_status eg_refusal_public(enum eg_status status)
{
    bool ours = status > EG_CLOSED && status <= EG_INTERNAL;
    return ours || egress_status_http(status) < 400 ? EG_INTERNAL : status;
}

struct eg_slice eg_refusal_cut(struct eg_slice s, size_t max, bool *cut)
{
    *cut = s.n > max;
    return eg_slice(s.p, *cut ? max - 3 : s.n);
}

static enum eg_status put_cut(struct eg_buf *out, struct eg_slice s, size_t max)
{
    bool cut = false;
    enum eg_status status = eg_buf_put(out, eg_refusal_cut(s, max, &cut));
    return status == EG_OK && cut ? eg_buf_put(out, EG_SLICE("...")) : status;
}

#define LOOK " A person can look with: egressctl audit --denied"
#define POLICY " This is policy, not an outage: do not retry and do not try to go round it." LOOK

/* What to do now, and the one command for a person (clients.md 4). */
static struct eg_slice advice(enum eg_status status)
{
    if (status == EG_CREDENTIAL_UNAVAILABLE) {
        return EG_SLICE(" A retry helps only once a person has looked: egressctl creds list");
    }
    if (status == EG_CANARY) {
        return EG_SLICE(" It was not sent." POLICY);
    }
    switch (egress_status_class(status)) {
    case EG_CLASS_POLICY:
        return EG_SLICE(POLICY);
    case EG_CLASS_AUTH:
        if (status == EG_PHANTOM_MISSING || status == EG_PHANTOM_INVALID) {
            return EG_SLICE(" The service wants the phantom that this session's variable for its key "
                            "holds, where the policy's accept says. Without such a variable its "
                            "credential is not there: egressctl creds list." LOOK);
        }
        return EG_SLICE(" The proxy wants the credentials that it gave to this session; a retry "
                        "without them fails again." LOOK);
    case EG_CLASS_LIMIT:
        if (egress_status_http(status) == 429) {
            return EG_SLICE(" This is the policy's limit, not an outage: wait as long as "
                            "Retry-After says, and do not try to go round it." LOOK);
        }
        break;
    default:
        break;
    }
    return EG_SLICE(LOOK);
}

/* "egress refused SUBJECT: SENTENCE (RULE): DETAIL. ADVICE", raw. */
static enum eg_status put_message(struct eg_buf *out, const struct eg_refusal *r)
{
    enum eg_status seen = eg_refusal_public(r->status);
    enum eg_status status = eg_buf_put(out, EG_SLICE("egress refused "));
    if (status == EG_OK) {
        status = r->subject.n > 0 ? put_cut(out, r->subject, EG_SUBJECT_MAX)
                                  : eg_buf_put(out, EG_SLICE("the request"));
    }
    if (status == EG_OK) {
        status = eg_buf_printf(out, ": %s", egress_status_sentence(seen));
    }
    if (status == EG_OK && r->rule.n > 0) {
        status = eg_buf_put(out, EG_SLICE(" ("));
        status = status == EG_OK ? put_cut(out, r->rule, EG_RULE_MAX) : status;
        status = status == EG_OK ? eg_buf_put(out, EG_SLICE(")")) : status;
    }
    if (status == EG_OK && r->detail.n > 0) {
        status = eg_buf_put(out, EG_SLICE(": "));
        status = status == EG_OK ? put_cut(out, r->detail, EG_DETAIL_MAX) : status;
    }
    if (status == EG_OK && (r->detail.n == 0 || r->detail.p[r->detail.n - 1] != '.')) {
        status = eg_buf_put(out, EG_SLICE("."));
    }
    return status == EG_OK ? eg_buf_put(out, advice(seen)) : status;
}

static enum eg_status json_byte(struct eg_buf *out, unsigned char c)
{
    if (c == '"' || c == '\\') {
        const char pair[2] = { '\\', (char)c };
        return eg_buf_append(out, pair, 2);
    }
    if (c < 0x20 || c >= 0x7f) {
        return eg_buf_printf(out, "\\u%04x", c);
    }
    return eg_buf_append(out, &c, 1);
}

/* Control characters but tab, CR and LF are not XML at all (XML 1.0 2.2). */
static enum eg_status xml_byte(struct eg_buf *out, unsigned char c)
{
    if (c < 0x20 || c == 0x7f) {
        return eg_buf_append(out, "?", 1);
    }
    if (c >= 0x80 || c == '<' || c == '>' || c == '&' || c == '"' || c == '\'') {
        return eg_buf_printf(out, "&#%d;", c);
    }
    return eg_buf_append(out, &c, 1);
}

static enum eg_status plain_byte(struct eg_buf *out, unsigned char c)
{
    return eg_buf_append(out, c < 0x20 || c >= 0x7f ? (const unsigned char *)"?" : &c, 1);
}

/* A template's bytes as they are, but for its marks: C the reason code, T the error's type, M the
 * message, D the detail and E the event, each after a '%' and escaped byte by byte. */
struct filler {
    enum eg_status (*escape)(struct eg_buf *, unsigned char);
    struct eg_slice code, type, message, detail;
    uint64_t event;
};

static enum eg_status put_escaped(struct eg_buf *out, const struct filler *f, struct eg_slice s)
{
    enum eg_status status = EG_OK;
    for (size_t i = 0; i < s.n && status == EG_OK; i++) {
        status = f->escape(out, (unsigned char)s.p[i]);
    }
    return status;
}

static enum eg_status put_mark(struct eg_buf *out, const struct filler *f, char mark)
{
    switch (mark) {
    case 'C':
        return put_escaped(out, f, f->code);
    case 'T':
        return put_escaped(out, f, f->type);
    case 'M':
        return put_escaped(out, f, f->message);
    case 'D':
        return put_escaped(out, f, f->detail);
    default:
        return eg_buf_printf(out, "%llu", (unsigned long long)f->event);
    }
}

static enum eg_status fill(struct eg_buf *out, const char *template, const struct filler *f)
{
    enum eg_status status = EG_OK;
    for (const char *c = template; *c != '\0' && status == EG_OK; c++) {
        status = *c == '%' ? put_mark(out, f, *++c) : eg_buf_append(out, c, 1);
    }
    return status;
}

/* What the SDKs call the kind of an error. */
static const char *type_of(enum eg_status status)
{
    switch (egress_status_class(status)) {
    case EG_CLASS_AUTH:
        return "egress_authentication";
    case EG_CLASS_POLICY:
        return "egress_policy";
    case EG_CLASS_CLIENT:
        return "egress_request";
    case EG_CLASS_LIMIT:
        return "egress_limit";
    case EG_CLASS_TIMEOUT:
        return "egress_timeout";
    case EG_CLASS_RESOLVE:
    case EG_CLASS_CONNECT:
    case EG_CLASS_TLS:
    case EG_CLASS_HOP:
    case EG_CLASS_ORIGIN:
        return "egress_upstream";
    case EG_CLASS_NONE:
    case EG_CLASS_INTERNAL:
        break;
    }
    return "egress_internal";
}

static const struct shape {
    const char *type;
    const char *template;
    enum eg_status (*escape)(struct eg_buf *, unsigned char);
} shapes[] = {
    [EG_SHAPE_JSON] = { "application/json",
                        "{\"error\":{\"type\":\"%T\",\"code\":\"%C\",\"message\":\"%M\"},"
                        "\"message\":\"%M\","
                        "\"errors\":[{\"code\":\"%C\",\"message\":\"%M\",\"detail\":\"%D\"}]}\n",
                        json_byte },
    [EG_SHAPE_GIT] = { "text/plain; charset=us-ascii", "%M\n", plain_byte },
    [EG_SHAPE_NPM] = { "application/json", "{\"error\":\"%M\"}\n", json_byte },
    [EG_SHAPE_GH] = { "application/json", "{\"message\":\"%M\",\"documentation_url\":\"\"}\n",
                      json_byte },
    [EG_SHAPE_AWS] = { "text/xml",
                       "<ErrorResponse><Error><Code>%C</Code><Message>%M</Message></Error>"
                       "<RequestId>egress-%E</RequestId></ErrorResponse>\n",
                       xml_byte },
};

struct eg_slice eg_shape_type(enum eg_refusal_shape shape)
{
    return eg_slice_str(shapes[shape].type);
}

enum eg_status eg_shape_body(struct eg_buf *out, const struct eg_refusal *r)
{
    struct eg_buf message;
    enum eg_status seen = eg_refusal_public(r->status);
    bool cut = false;
    eg_buf_init(&message, TEXT_MAX);
    enum eg_status status = put_message(&message, r);
    if (status == EG_OK) {
        const struct filler f = {
            .escape = shapes[r->shape].escape,
            .code = eg_slice_str(egress_status_name(seen)),
            .type = eg_slice_str(type_of(seen)),
            .message = eg_buf_slice(&message),
            .detail = eg_refusal_cut(r->detail.n > 0 ? r->detail : r->subject, EG_DETAIL_MAX, &cut),
            .event = r->event,
        };
        status = fill(out, shapes[r->shape].template, &f);
    }
    eg_buf_done(&message);
    return status;
}
