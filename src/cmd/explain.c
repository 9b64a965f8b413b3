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
#include "policy/inquiry.h"

enum { CONSIDERED_MAX = 64 };

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
    struct eg_inquiry question;
    bool json, passes;
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

static void take(void *ctx, const struct eg_ask *ask)
{
    struct explain *x = ctx;
    char what[EG_WAY_TEXT];
    struct eg_verdict v;
    eg_policy_ask(x->policy, ask, &v);
    eg_policy_way(x->policy, ask, what, sizeof what);
    x->passes = x->passes || v.status == EG_OK;
    if (x->json)
        pack_way(x, what, ask, &v);
    else
        print_way(x, what, ask, &v);
}

/* ---- what is asked ---- */

/* -1, or the exit status after a message. */
static int read_question(struct explain *x, const char *service, const char *text)
{
    struct eg_slice operand = eg_slice_str(text);
    struct eg_err err = { 0 };
    const char *wrong;
    enum eg_status st;
    if (service) {
        wrong = "with --service the operand is a path, such as /v1/models";
        st = eg_inquiry_service(&x->question, eg_slice_str(service), operand, &err);
    } else if (eg_inquiry_is_url(operand)) {
        wrong = "this is no URL that could be asked for";
        st = eg_inquiry_url(&x->question, operand, &err);
    } else if (strstr(text, "://") && !eg_slice_starts(operand, EG_SLICE("tcp://"))) {
        wrong = "a URL begins with https://, http:// or tcp://";
        st = EG_INVALID;
    } else {
        wrong = "this is no host";
        st = eg_inquiry_tunnel(&x->question, operand, 443, &err);
        x->question.routes = x->question.scheme != EG_SCHEME_TCP;
    }
    if (st == EG_OK)
        return -1;
    return eg_cmd_usage(&eg_explain_options, "%s%s%s", wrong, err.text[0] ? ": " : "", err.text);
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

int eg_cmd_explain(int argc, char **argv)
{
    const struct eg_cmd_options *o = &eg_explain_options;
    struct eg_cmd_given g[EG_CMD_OPTIONS_MAX];
    struct eg_loaded *policy = NULL;
    struct explain x = { .question = { .method = EG_SLICE("GET") } };
    unsigned n;
    int at, code = eg_cmd_parse(o, argc, argv, g, EG_CMD_OPTIONS_MAX, &n, &at);
    if (code >= 0)
        return code;
    const char *method = eg_cmd_value(o, g, n, "method"), *addr = eg_cmd_value(o, g, n, "address");
    if (argc - at != 1)
        return eg_cmd_usage(o, "which URL, or which host?");
    if (method && !eg_inquiry_is_method(eg_slice_str(method)))
        return eg_cmd_usage(o, "a method is written in capitals");
    if (addr && !eg_addr_parse(eg_slice_str(addr), &x.question.addr))
        return eg_cmd_usage(o, "--address takes an IPv4 or IPv6 address");
    if (method)
        x.question.method = eg_slice_str(method);
    x.json = eg_cmd_value(o, g, n, "json") != NULL;
    x.ways = json_array();
    code = eg_cmd_policy(NAME, eg_cmd_value(o, g, n, "policy"),
                         eg_cmd_value(o, g, n, "trust") != NULL, &policy);
    if (code < 0) {
        x.policy = policy->policy;
        code = read_question(&x, eg_cmd_value(o, g, n, "service"), argv[at]);
    }
    if (code < 0 && eg_policy_inquire(x.policy, &x.question, take, &x) == 0)
        code = eg_cmd_usage(o, "the policy has no service %.64s", eg_cmd_value(o, g, n, "service"));
    if (code < 0)
        code = finish(&x);
    eg_inquiry_done(&x.question);
    json_decref(x.ways);
    eg_loaded_free(policy);
    return code;
}
