/* random_request.c - requests near the rules of one or two random policies, and how the engine is asked them. */
#include "support/random_policy.h"

#include <arpa/inet.h>
#include <stdio.h>

#define COUNT(list) ((unsigned)(sizeof(list) / sizeof *(list)))

/* ---- hosts ---- */

static const char *const names[] = {
    "a.test",
    "b.a.test",
    "c.b.a.test",
    "z.c.b.a.test",
    "d.test",
    "b.d.test",
    "x.b.d.test",
    "za.test",
    "xa.test",
    "test",
    "one",
    "x.one",
    "a.testx",
    "a.b.a.test",
    "e.test",
    "q.a.test",
    "xn--a.test",
    "a.xn--a.test",
    "metadata.google.internal",
    "x.metadata.google.internal",
};

static const uint8_t quads[][4] = {
    { 8, 8, 8, 8 },     { 8, 8, 8, 9 },         { 8, 8, 8, 200 },       { 8, 9, 9, 9 },
    { 9, 9, 9, 9 },     { 10, 1, 2, 3 },        { 10, 9, 9, 9 },        { 127, 0, 0, 1 },
    { 127, 9, 9, 9 },   { 192, 168, 1, 1 },     { 169, 254, 169, 254 }, { 169, 254, 1, 1 },
    { 198, 200, 1, 1 }, { 203, 0, 113, 5 },     { 100, 64, 0, 1 },      { 224, 0, 0, 1 },
    { 0, 0, 0, 0 },     { 255, 255, 255, 255 }, { 1, 1, 1, 1 },         { 168, 63, 129, 16 },
};

static const char *const sixes[] = {
    "2606:4700::1", "2606:4700::2", "2606:4700:8000::1", "2606:4701::1", "2a00::1", "::1",
    "::",           "fc00::1",      "fd00:ec2::254",     "fe80::1",      "ff02::1", "2001:db8::1",
    "100::1",       "4000::1",      "3fff::1",
};

/* IPv6 that carries q, in every form that there is. */
static void embed(struct eg_random *r, const uint8_t q[4], uint8_t out[16])
{
    static const uint8_t zero[16];
    memcpy(out, zero, sizeof zero);
    memcpy(out + 12, q, 4);
    switch (eg_random_below(r, 7)) {
    case 0: /* mapped */
        out[10] = out[11] = 0xff;
        break;
    case 1: /* compatible */
        break;
    case 2: /* SIIT */
        out[8] = out[9] = 0xff;
        break;
    case 3:
        memcpy(out, "\x00\x64\xff\x9b", 4);
        break;
    case 4:
        memcpy(out, "\x00\x64\xff\x9b\x00\x01", 6);
        break;
    case 5: /* 6to4 */
        memcpy(out, "\x20\x02", 2);
        memcpy(out + 2, q, 4);
        memcpy(out + 12, zero, 4);
        break;
    default: /* Teredo: the client's address is inverted */
        memcpy(out, "\x20\x01\x00\x00", 4);
        memcpy(out + 4, eg_random_one_in(r, 2) ? q : quads[0], 4);
        for (unsigned i = 0; i < 4; i++)
            out[12 + i] = q[i] ^ 0xff;
    }
}

static void make_addr(struct eg_random *r, char out[EG_RANDOM_HOST])
{
    const uint8_t *q = quads[eg_random_below(r, COUNT(quads))];
    uint8_t six[16];
    unsigned form = eg_random_below(r, 6);
    if (form < 3) {
        inet_ntop(AF_INET, q, out, EG_RANDOM_HOST);
    } else if (form == 3) {
        snprintf(out, EG_RANDOM_HOST, "%s", sixes[eg_random_below(r, COUNT(sixes))]);
    } else {
        embed(r, q, six);
        inet_ntop(AF_INET6, six, out, EG_RANDOM_HOST);
    }
}

/* Upper case, a dot at the end. */
static void spell(struct eg_random *r, char host[EG_RANDOM_HOST])
{
    size_t n = strlen(host);
    if (eg_random_one_in(r, 4))
        for (size_t i = 0; i < n; i++)
            host[i] = host[i] >= 'a' && host[i] <= 'z' && eg_random_one_in(r, 2)
                          ? (char)(host[i] - 32)
                          : host[i];
    if (eg_random_one_in(r, 6))
        snprintf(host + n, EG_RANDOM_HOST - n, ".");
}

/* What a rule names, or something below it. */
static void host_of_rule(struct eg_random *r, const struct eg_random_rule *rule,
                         char out[EG_RANDOM_HOST])
{
    bool below = rule->kind == EG_RANDOM_BELOW_IT && !eg_random_one_in(r, 5);
    if (rule->kind == EG_RANDOM_RANGE && eg_random_one_in(r, 3)) {
        make_addr(r, out);
        return;
    }
    snprintf(out, EG_RANDOM_HOST, "%s%.40s", below ? (eg_random_one_in(r, 2) ? "b." : "x.y.") : "",
             rule->host);
    if (rule->kind != EG_RANDOM_RANGE)
        spell(r, out);
}

static void make_host(struct eg_random *r, const struct eg_random_policy *p,
                      char out[EG_RANDOM_HOST])
{
    unsigned how = eg_random_below(r, 8);
    if (how < 4 && p->rule_count > 0) {
        host_of_rule(r, &p->rules[eg_random_below(r, p->rule_count)], out);
    } else if (how == 4 && p->service_count > 0) {
        snprintf(out, EG_RANDOM_HOST, "%s", p->services[eg_random_below(r, p->service_count)].host);
    } else if (how == 5) {
        make_addr(r, out);
    } else {
        snprintf(out, EG_RANDOM_HOST, "%s", names[eg_random_below(r, COUNT(names))]);
        spell(r, out);
    }
}

/* ---- requests ---- */

static const char *const words[] = {
    "a",     "b",     "v1",        "ab",        "as",     "A",       "s",          "a%2Fb",
    "a%2fb", "%61",   "a;x",       ";x",        "a%3Bx",  "a%252Fb", "xb",         "aXb",
    "*",     "%2A",   "a%25b",     "a%2525b",   "%41",    "a%3bx;y", "a,b",        "b%2F",
    "%2Fb",  "..",    "%2e%2e",    ".",         "a%2F..", "..;x",    "%252e%252e", "a%00",
    "a%5Cb", "%2500", "%25%25341", "%254%2531", "%09",    "",
};
enum { DULL_WORDS = 25 }; /* behind them those that are unsafe */

static const char *const plain[] = { "a", "b", "v1", "ab", "xb" };

static void make_path(struct eg_random *r, char out[EG_RANDOM_PATH])
{
    unsigned count = eg_random_below(r, 4), style = eg_random_below(r, 4);
    size_t n = 0;
    snprintf(out, EG_RANDOM_PATH, "/");
    for (unsigned i = 0; i < count; i++) {
        const char *word =
            style < 2 ? plain[eg_random_below(r, COUNT(plain))]
                      : words[eg_random_below(r, style == 2 ? (unsigned)DULL_WORDS : COUNT(words))];
        n += (size_t)snprintf(out + n, EG_RANDOM_PATH - n, "/%s", word);
    }
    if (count > 0 && eg_random_one_in(r, 6))
        snprintf(out + n, EG_RANDOM_PATH - n, "/");
}

/* What a pattern names, more or less: its signs are taken for what they stand for. */
static void path_of_pattern(struct eg_random *r, const struct eg_random_pattern *pattern,
                            char out[EG_RANDOM_PATH])
{
    size_t n = 0;
    for (const char *at = pattern->path; *at && n + 8 < EG_RANDOM_PATH; at++) {
        if (*at == '{') {
            const char *comma = strchr(at, ','), *close = strchr(at, '}');
            const char *from = eg_random_one_in(r, 2) ? at + 1 : comma + 1;
            for (const char *c = from; *c != ',' && *c != '}'; c++)
                out[n++] = *c;
            at = close;
        } else if (*at == '*') {
            const char *text = eg_random_one_in(r, 3) ? "" : eg_random_one_in(r, 4) ? "a/b" : "x";
            n += (size_t)snprintf(out + n, EG_RANDOM_PATH - n, "%s", text);
        } else {
            out[n++] = *at;
        }
    }
    out[n] = '\0';
}

static const struct eg_random_pattern *some_pattern(struct eg_random *r,
                                                    const struct eg_random_policy *p)
{
    const struct eg_random_pattern *list = NULL;
    unsigned count = 0;
    if (p->rule_count > 0 && eg_random_one_in(r, 2)) {
        const struct eg_random_rule *rule = &p->rules[eg_random_below(r, p->rule_count)];
        list = rule->rules;
        count = rule->rule_count;
    } else if (p->service_count > 0) {
        const struct eg_random_service *s = &p->services[eg_random_below(r, p->service_count)];
        list = eg_random_one_in(r, 2) ? s->rules : s->denies;
        count = list == s->rules ? s->rule_count : s->deny_count;
    }
    return count > 0 ? &list[eg_random_below(r, count)] : NULL;
}

static void make_call(struct eg_random *r, const struct eg_random_policy *p,
                      struct eg_random_request *ret)
{
    static const char *const methods[] = { "GET", "POST", "DELETE", "HEAD", "get", "Post" };
    const struct eg_random_pattern *pattern = eg_random_one_in(r, 2) ? some_pattern(r, p) : NULL;
    snprintf(ret->method, sizeof ret->method, "%s", methods[eg_random_below(r, COUNT(methods))]);
    if (!pattern) {
        make_path(r, ret->path);
        return;
    }
    path_of_pattern(r, pattern, ret->path);
    if (pattern->method[0] != '*' && !eg_random_one_in(r, 4))
        snprintf(ret->method, sizeof ret->method, "%s", pattern->method);
}

void eg_random_request(struct eg_random *r, const struct eg_random_policy *p,
                       const struct eg_random_policy *q, struct eg_random_request *ret)
{
    static const uint16_t ports[] = { 443, 443, 80, 80, 8080, 22, 9 };
    const struct eg_random_policy *near = q && eg_random_one_in(r, 2) ? q : p;
    unsigned kind = eg_random_below(r, near->service_count ? 6 : 4);
    memset(ret, 0, sizeof *ret);
    ret->kind = kind < 2 ? EG_ASK_TUNNEL : kind < 4 ? EG_ASK_HTTP : EG_ASK_ROUTE;
    make_host(r, near, ret->host);
    ret->port = ports[eg_random_below(r, COUNT(ports))];
    if (ret->kind == EG_ASK_ROUTE)
        snprintf(ret->service, sizeof ret->service, "%s",
                 near->services[eg_random_below(r, near->service_count)].name);
    make_call(r, near, ret);
    if (eg_random_one_in(r, 3))
        make_addr(r, ret->addr);
}

/* ---- the engine ---- */

static bool read_target(const struct eg_policy *policy, const struct eg_random_request *request,
                        struct eg_ask *ask)
{
    char host[EG_RANDOM_HOST + 2];
    if (request->kind == EG_ASK_ROUTE) {
        int service = eg_policy_service_of_route(policy, eg_slice_str(request->service));
        ask->service = service < 0 ? 0 : (unsigned)service;
        return service >= 0;
    }
    bool six = strchr(request->host, ':') != NULL;
    snprintf(host, sizeof host, "%s%s%s", six ? "[" : "", request->host, six ? "]" : "");
    return eg_authority_parse(eg_slice_str(host), request->port, &ask->to, NULL) == EG_OK;
}

bool eg_random_question(const struct eg_policy *policy, const struct eg_random_request *request,
                        struct eg_random_room *room, struct eg_ask *ret)
{
    *ret = (struct eg_ask){ .kind = request->kind, .method = eg_slice_str(request->method) };
    eg_buf_init(&room->path, 4096);
    if (!read_target(policy, request, ret) ||
        (request->addr[0] && !eg_addr_parse(eg_slice_str(request->addr), &room->addr)) ||
        eg_path_canon(eg_slice_str(request->path), &room->path, &ret->flags, NULL) != EG_OK)
        return false;
    ret->addr = request->addr[0] ? &room->addr : NULL;
    ret->path = eg_buf_slice(&room->path);
    return true;
}

/* What the verdict points at lives with the policy, never with the question. */
bool eg_random_ask(const struct eg_policy *policy, const struct eg_random_request *request,
                   struct eg_verdict *ret)
{
    struct eg_random_room room;
    struct eg_ask ask;
    *ret = (struct eg_verdict){ .status = EG_BAD_REQUEST };
    bool asked = eg_random_question(policy, request, &room, &ask);
    if (asked)
        eg_policy_ask(policy, &ask, ret);
    eg_buf_done(&room.path);
    return asked || request->kind != EG_ASK_ROUTE ||
           eg_policy_service_of_route(policy, eg_slice_str(request->service)) >= 0;
}

char *eg_random_show(const struct eg_random_request *q, char *out, size_t cap)
{
    const char *addr = q->addr[0] ? q->addr : "-";
    if (q->kind == EG_ASK_TUNNEL)
        snprintf(out, cap, "connect %s port %u, address %s", q->host, q->port, addr);
    else if (q->kind == EG_ASK_HTTP)
        snprintf(out, cap, "http %s port %u, %s %s, address %s", q->host, q->port, q->method,
                 q->path, addr);
    else
        snprintf(out, cap, "route %s, %s %s, address %s", q->service, q->method, q->path, addr);
    return out;
}
