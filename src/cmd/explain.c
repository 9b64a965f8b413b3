/* explain.c - `egressctl explain`: the verdict on a URL, host or request of a service's route, the rules that were looked at, and the least rule
 * that would allow it. It reads the policy files and asks the functions that the proxy asks; it resolves nothing and connects to nobody.
 *
 * An https URL has two ways: a tunnel, of which the proxy sees host and port alone, and the routes of services that have this upstream. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/ask.h"
#include "cmd/commands.h"
#include "policy/explain.h"

enum { CONSIDERED_MAX = 64, PATH_CAP = 16384 };

static const char NAME[] = "egressctl explain";

static const struct eg_cmd_option list[] = {
    { 'p', "policy", "FILE", "the policy (default: ./egress.yaml)" },
    { 0, "trust", NULL, "trust that file, as run --trust does" },
    { 'X', "method", "METHOD", "of the request (default: GET)" },
    { 0, "service", "NAME", "a request by that service's route: the operand is its path" },
    { 0, "address", "ADDRESS", "what the name leads to: judge that too" },
    { 0, "json", NULL, "print JSON" },
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_explain_options = {
    .command = NAME,
    .operands = "URL | HOST[:PORT] | PATH",
    .about = "Says whether the policy allows it, by which rule, and what would change that.",
    .list = list,
};

struct explain {
    const struct eg_policy *policy;
    struct eg_slice method;
    struct eg_buf path; /* canonical */
    struct eg_path_flags flags;
    struct eg_addr addr;
    bool has_addr, json, passes;
    json_t *ways, *considered;
    unsigned shown;
};

/* ---- one way ---- */

static const char *verdict_word(const struct eg_verdict *v)
{
    return v->status != EG_OK ? "deny" : v->would_deny != EG_OK ? "would_deny" : "allow";
}

static const char *scheme_word(enum eg_scheme s)
{
    static const char *const words[] = { "", "https", "http", "tcp" };
    return words[s];
}

static void print_considered(void *ctx, const struct eg_considered *c)
{
    struct explain *x = ctx;
    if (x->shown++ == 0)
        printf("  rules\n");
    if (x->shown > CONSIDERED_MAX)
        return;
    printf("  %s %.*s  %s %s: %s\n", c->decides ? "*" : " ", (int)c->rule.n,
           c->rule.n ? c->rule.p : "-", c->action, c->to, c->why);
}

static void pack_considered(void *ctx, const struct eg_considered *c)
{
    struct explain *x = ctx;
    if (x->shown++ >= CONSIDERED_MAX)
        return;
    json_array_append_new(x->considered,
                          json_pack("{s:s%,s:s,s:s,s:b,s:s}", "rule", c->rule.n ? c->rule.p : "",
                                    c->rule.n, "action", c->action, "to", c->to, "decides",
                                    (int)c->decides, "why", c->why));
}

static void print_way(struct explain *x, const char *what, const struct eg_ask *ask,
                      const struct eg_verdict *v)
{
    enum eg_status reason = v->status != EG_OK ? v->status : v->would_deny;
    struct eg_least least;
    printf("%s  %s\n",
           v->status != EG_OK       ? "refused"
           : v->would_deny != EG_OK ? "passes, since the mode is observe; refused otherwise:"
                                    : "allowed",
           what);
    if (reason != EG_OK)
        printf("  why     %s: %s\n", egress_status_name(reason), egress_status_sentence(reason));
    if (v->rule.n)
        printf("  rule    %.*s\n", (int)v->rule.n, v->rule.p);
    if (v->detail.n)
        printf("  detail  %.*s\n", (int)v->detail.n, v->detail.p);
    if (v->status == EG_OK && ask->kind == EG_ASK_TUNNEL)
        printf("  flows   %s%s\n", scheme_word(v->scheme),
               v->scheme == EG_SCHEME_HTTP  ? ", parsed and judged request by request"
               : v->scheme == EG_SCHEME_TCP ? ", anything"
               : v->sni_optional            ? ", a server name is not asked for"
                                            : ", for that server name alone");
    eg_policy_least(x->policy, ask, v, &least);
    if (least.text[0])
        printf("  next    %s\n", least.text);
    x->shown = 0;
    eg_policy_consider(x->policy, ask, v, print_considered, x);
    if (x->shown > CONSIDERED_MAX)
        printf("    and %u more\n", x->shown - CONSIDERED_MAX);
}

static void pack_way(struct explain *x, const char *what, const struct eg_ask *ask,
                     const struct eg_verdict *v)
{
    static const char *const kinds[] = { "tunnel", "http", "route" };
    enum eg_status reason = v->status != EG_OK ? v->status : v->would_deny;
    struct eg_least least;
    x->considered = json_array();
    x->shown = 0;
    eg_policy_consider(x->policy, ask, v, pack_considered, x);
    eg_policy_least(x->policy, ask, v, &least);
    json_array_append_new(
        x->ways,
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:s%,s:s%,s:s,s:{s:s,s:s,s:s},s:o}", "way",
                  kinds[ask->kind], "target", what, "verdict", verdict_word(v), "reason",
                  egress_status_name(reason), "sentence", egress_status_sentence(reason), "rule",
                  v->rule.n ? v->rule.p : "", v->rule.n, "detail", v->detail.n ? v->detail.p : "",
                  v->detail.n, "flows", v->status == EG_OK ? scheme_word(v->scheme) : "", "least",
                  "key", least.key, "line", least.line, "text", least.text, "considered",
                  x->considered));
}

static void take(struct explain *x, const char *what, const struct eg_ask *ask)
{
    struct eg_verdict v;
    eg_policy_ask(x->policy, ask, &v);
    x->passes = x->passes || v.status == EG_OK;
    if (x->json)
        pack_way(x, what, ask, &v);
    else
        print_way(x, what, ask, &v);
}

/* ---- what is asked ---- */

static void ask_route(struct explain *x, unsigned index, struct eg_slice path)
{
    struct eg_service s;
    char what[400];
    eg_policy_service(x->policy, index, &s);
    const struct eg_ask ask = { .kind = EG_ASK_ROUTE,
                                .service = index,
                                .method = x->method,
                                .path = path,
                                .flags = x->flags,
                                .addr = x->has_addr ? &x->addr : NULL };
    snprintf(what, sizeof what, "%.*s by the route of %.*s: /%.*s%.*s", (int)x->method.n,
             x->method.p, (int)s.name.n, s.name.p, (int)s.route.n, s.route.p,
             (int)(path.n < 200 ? path.n : 200), path.p);
    take(x, what, &ask);
}

/* Services with this upstream, for a URL that is below their base path. */
static void ask_routes(struct explain *x, const struct eg_authority *to, bool tls)
{
    struct eg_slice path = eg_buf_slice(&x->path);
    for (unsigned i = 0; i < eg_policy_service_count(x->policy); i++) {
        struct eg_service s;
        eg_policy_service(x->policy, i, &s);
        struct eg_slice rest = eg_slice_from(path, s.base_path.n);
        if (s.internal || s.tls != tls || !eg_authority_eq(&s.upstream, to) ||
            !eg_slice_starts(path, s.base_path) || (rest.n > 0 && rest.p[0] != '/'))
            continue;
        ask_route(x, i, rest.n ? rest : EG_SLICE("/"));
    }
}

static void ask_tunnel(struct explain *x, const struct eg_authority *to, enum eg_scheme scheme)
{
    char name[EG_AUTHORITY_TEXT], what[EG_AUTHORITY_TEXT + 40];
    const struct eg_ask ask = {
        .kind = EG_ASK_TUNNEL, .to = *to, .scheme = scheme, .addr = x->has_addr ? &x->addr : NULL
    };
    snprintf(what, sizeof what, "a tunnel to %s", eg_authority_format(to, 0, name, sizeof name));
    take(x, what, &ask);
}

static void ask_http(struct explain *x, const struct eg_authority *to)
{
    char name[EG_AUTHORITY_TEXT], what[EG_AUTHORITY_TEXT + 300];
    struct eg_slice path = eg_buf_slice(&x->path);
    const struct eg_ask ask = { .kind = EG_ASK_HTTP,
                                .to = *to,
                                .method = x->method,
                                .path = path,
                                .flags = x->flags,
                                .addr = x->has_addr ? &x->addr : NULL };
    snprintf(what, sizeof what, "%.*s http://%s%.*s", (int)x->method.n, x->method.p,
             eg_authority_format(to, 80, name, sizeof name), (int)(path.n < 200 ? path.n : 200),
             path.p);
    take(x, what, &ask);
}

static int bad(const char *what, const struct eg_err *err)
{
    return eg_cmd_usage(&eg_explain_options, "%s%s%s", what, err->text[0] ? ": " : "", err->text);
}

/* https:// as eg_target_parse takes http://; what is behind the authority is the path. */
static int ask_url(struct explain *x, const char *text)
{
    bool tls = strncmp(text, "https://", 8) == 0;
    char url[PATH_CAP];
    struct eg_target target;
    struct eg_err err = { 0 };
    struct eg_slice all = eg_slice_str(text + (tls ? 8 : 7));
    all.n = strcspn(all.p, "#"); /* which no client sends */
    size_t host = strcspn(all.p, "/?#");
    bool port = memchr(all.p, ':', host) && all.p[host ? host - 1 : 0] != ']';
    const char *digits = tls && !port ? ":443" : "";
    int n = snprintf(url, sizeof url, "http://%.*s%s%.*s", (int)host, all.p, digits,
                     (int)(all.n - host), all.p + host);
    if (n < 0 || (size_t)n >= sizeof url ||
        eg_target_parse(eg_slice(url, (size_t)n), false, &target, &err) != EG_OK ||
        eg_path_canon(target.path, &x->path, &x->flags, &err) != EG_OK)
        return bad("this is no URL that could be asked for", &err);
    if (tls)
        ask_tunnel(x, &target.authority, EG_SCHEME_HTTPS);
    else
        ask_http(x, &target.authority);
    ask_routes(x, &target.authority, tls);
    return -1;
}

static int ask_authority(struct explain *x, const char *text)
{
    struct eg_authority to;
    struct eg_err err = { 0 };
    bool tcp = strncmp(text, "tcp://", 6) == 0;
    if (eg_authority_parse(eg_slice_str(text + (tcp ? 6 : 0)), tcp ? 0 : 443, &to, &err) != EG_OK)
        return bad("this is no host", &err);
    if (eg_buf_put(&x->path, EG_SLICE("/")) != EG_OK)
        return EG_EXIT_FAILED;
    ask_tunnel(x, &to, tcp ? EG_SCHEME_TCP : EG_SCHEME_NONE);
    if (!tcp)
        ask_routes(x, &to, true);
    return -1;
}

static int ask_service(struct explain *x, const char *service, const char *text)
{
    struct eg_err err = { 0 };
    struct eg_slice path = eg_slice(text, strcspn(text, "?#"));
    if (text[0] != '/' || eg_path_canon(path, &x->path, &x->flags, &err) != EG_OK)
        return bad("with --service the operand is a path, such as /v1/models", &err);
    for (unsigned i = 0; i < eg_policy_service_count(x->policy); i++) {
        struct eg_service s;
        eg_policy_service(x->policy, i, &s);
        if (!s.internal && eg_slice_eq(s.name, eg_slice_str(service))) {
            ask_route(x, i, eg_buf_slice(&x->path));
            return -1;
        }
    }
    return eg_cmd_usage(&eg_explain_options, "the policy has no service of that name");
}

static int ask_all(struct explain *x, const char *service, const char *text)
{
    if (service)
        return ask_service(x, service, text);
    return strncmp(text, "https://", 8) == 0 || strncmp(text, "http://", 7) == 0
               ? ask_url(x, text)
               : ask_authority(x, text);
}

static int finish(struct explain *x)
{
    if (!x->json)
        return x->passes ? EG_EXIT_OK : EG_EXIT_FAILED;
    json_t *o = json_pack("{s:s,s:s,s:O}", "mode",
                          eg_policy_settings(x->policy)->observe ? "observe" : "enforce", "verdict",
                          x->passes ? "allow" : "deny", "ways", x->ways);
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    if (text)
        printf("%s\n", text);
    free(text);
    json_decref(o);
    return !text ? EG_EXIT_FAILED : x->passes ? EG_EXIT_OK : EG_EXIT_FAILED;
}

static bool is_method(const char *text)
{
    size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-");
    return n > 0 && n <= 32 && text[n] == '\0';
}

int eg_cmd_explain(int argc, char **argv)
{
    const struct eg_cmd_options *o = &eg_explain_options;
    struct eg_cmd_given g[EG_CMD_OPTIONS_MAX];
    struct eg_loaded *policy = NULL;
    struct explain x = { .method = EG_SLICE("GET") };
    unsigned n;
    int at, code = eg_cmd_parse(o, argc, argv, g, EG_CMD_OPTIONS_MAX, &n, &at);
    if (code >= 0)
        return code;
    const char *method = eg_cmd_value(o, g, n, "method"), *addr = eg_cmd_value(o, g, n, "address");
    if (argc - at != 1)
        return eg_cmd_usage(o, "which URL, or which host?");
    if (method && !is_method(method))
        return eg_cmd_usage(o, "a method is written in capitals");
    if (addr && !eg_addr_parse(eg_slice_str(addr), &x.addr))
        return eg_cmd_usage(o, "--address takes an IPv4 or IPv6 address");
    if (method)
        x.method = eg_slice_str(method);
    x.has_addr = addr != NULL;
    x.json = eg_cmd_value(o, g, n, "json") != NULL;
    x.ways = json_array();
    eg_buf_init(&x.path, PATH_CAP);
    code = eg_cmd_policy(NAME, eg_cmd_value(o, g, n, "policy"),
                         eg_cmd_value(o, g, n, "trust") != NULL, &policy);
    if (code < 0) {
        x.policy = policy->policy;
        code = ask_all(&x, eg_cmd_value(o, g, n, "service"), argv[at]);
    }
    if (code < 0)
        code = finish(&x);
    eg_buf_done(&x.path);
    json_decref(x.ways);
    eg_loaded_free(policy);
    return code;
}
