/* hygiene.c - which received fields may be written again, by name and by what Connection
 * nominates.
 *
 * One table of names; it judges no value but Connection's and Upgrade's, and changes nothing. A
 * field that the proxy itself sets or reads can't be nominated away (security.md T16): its class
 * is decided before Connection is looked at. */
#include "http/hygiene.h"

struct known {
    struct eg_slice name;
    enum eg_field_class kind;
};

#define N(literal)                                                                                 \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }
#define K(literal, class)                                                                          \
    {                                                                                              \
        N(literal), EG_FIELD_##class                                                               \
    }
static const struct known known[] = {
    K("connection", HOP),
    K("keep-alive", HOP),
    K("te", HOP),
    K("trailer", HOP),
    K("upgrade", HOP),
    K("http2-settings", HOP),
    K("content-length", FRAMING),
    K("transfer-encoding", FRAMING),
    K("host", HOST),
    K("authorization", CREDENTIAL),
    K("x-api-key", CREDENTIAL),
    K("x-goog-api-key", CREDENTIAL),
    K("api-key", CREDENTIAL),
    K("apikey", CREDENTIAL),
    K("x-auth-token", CREDENTIAL),
    K("x-access-token", CREDENTIAL),
    K("private-token", CREDENTIAL),
    K("job-token", CREDENTIAL),
    K("deploy-token", CREDENTIAL),
    K("dd-api-key", CREDENTIAL),
    K("dd-application-key", CREDENTIAL),
    K("ocp-apim-subscription-key", CREDENTIAL),
    K("x-amz-security-token", CREDENTIAL),
    K("x-vault-token", CREDENTIAL),
    K("x-http-method-override", OVERRIDE),
    K("x-http-method", OVERRIDE),
    K("x-method-override", OVERRIDE),
    K("x-original-url", OVERRIDE),
    K("x-rewrite-url", OVERRIDE),
};
#undef K

/* End-to-end fields that Connection can't take away: an origin or a client decides by them. */
static const struct eg_slice protected_names[] = {
    N("accept"),
    N("age"),
    N("allow"),
    N("cache-control"),
    N("cookie"),
    N("date"),
    N("etag"),
    N("expect"),
    N("expires"),
    N("from"),
    N("last-modified"),
    N("link"),
    N("location"),
    N("max-forwards"),
    N("origin"),
    N("pragma"),
    N("range"),
    N("referer"),
    N("retry-after"),
    N("server"),
    N("set-cookie"),
    N("user-agent"),
    N("vary"),
    N("via"),
    N("www-authenticate"),
    N("forwarded"),
    N("x-real-ip"),
    N("strict-transport-security"),
};
static const struct eg_slice protected_prefixes[] = {
    N("accept-"),      N("access-control-"), N("content-"), N("if-"),        N("sec-"),
    N("x-forwarded-"), N("x-amz-"),          N("x-goog-"),  N("x-content-"),
};
#undef N

enum eg_field_class eg_hygiene_name_class(struct eg_slice name)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (eg_slice_caseeq(name, known[i].name)) {
            return known[i].kind;
        }
    }
    /* X-Egress-*: an origin can't forge a refusal of ours, and a client's would mean nothing. */
    if (eg_slice_casestarts(name, EG_SLICE("proxy-")) ||
        eg_slice_casestarts(name, EG_SLICE("x-egress-"))) {
        return EG_FIELD_PROXY;
    }
    return EG_FIELD_PASS;
}

static bool is_protected(struct eg_slice name)
{
    for (size_t i = 0; i < sizeof(protected_names) / sizeof(protected_names[0]); i++) {
        if (eg_slice_caseeq(name, protected_names[i])) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof(protected_prefixes) / sizeof(protected_prefixes[0]); i++) {
        if (eg_slice_casestarts(name, protected_prefixes[i])) {
            return true;
        }
    }
    return false;
}

static bool is_nominated(const struct eg_head *h, struct eg_slice name)
{
    const struct eg_field *f = NULL;
    while ((f = eg_head_find(h, EG_SLICE("connection"), f)) != NULL) {
        struct eg_slice rest = f->value;
        struct eg_slice option;
        while (eg_slice_list_next(&rest, &option)) {
            if (eg_slice_caseeq(option, name)) {
                return true;
            }
        }
    }
    return false;
}

enum eg_field_class eg_hygiene_classify(const struct eg_head *h, uint32_t i)
{
    struct eg_slice name = h->fields[i].name;
    enum eg_field_class kind = eg_hygiene_name_class(name);
    if (kind == EG_FIELD_PASS && is_nominated(h, name) && !is_protected(name)) {
        return EG_FIELD_HOP;
    }
    return kind;
}

bool eg_hygiene_is_websocket(const struct eg_head *h)
{
    const struct eg_field *f = eg_head_find(h, EG_SLICE("upgrade"), NULL);
    return h->upgrade && h->minor == 1 && eg_slice_eq(h->method, EG_SLICE("GET")) && f != NULL &&
           eg_slice_caseeq(f->value, EG_SLICE("websocket")) &&
           eg_head_find(h, EG_SLICE("upgrade"), f) == NULL;
}
