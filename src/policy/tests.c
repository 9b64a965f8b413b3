/* tests.c - asks what a test asks, by every way that there is, and compares.
 *
 * It judges nothing by itself: eg_policy_ask does, which asks decide.c. */
#include "policy/tests.h"

#include <stdio.h>

#include "policy/block.h"

/* ---- the question ---- */

enum eg_status eg_test_question(const struct eg_policy_test *t, struct eg_inquiry *ret,
                                struct eg_err *err)
{
    *ret = (struct eg_inquiry){ .method = EG_SLICE("GET") };
    if (t->address.n > 0 && !eg_addr_parse(t->address, &ret->addr))
        return eg_err_set(err, EG_INVALID, "policy", 0, "this is not an address");
    if (t->connect.n > 0)
        return eg_inquiry_tunnel(ret, t->connect, 0, err);
    long blank = eg_slice_index(t->request, ' ');
    struct eg_slice rest =
        blank > 0 ? eg_slice_trim(eg_slice_from(t->request, (size_t)blank)) : EG_SLICE_NONE;
    ret->method = eg_slice(t->request.p, blank > 0 ? (size_t)blank : 0);
    if (rest.n == 0 || !eg_inquiry_is_method(ret->method))
        return eg_err_set(err, EG_INVALID, "policy", 0,
                          "a request is a method in capitals, a blank and %s",
                          t->service.n ? "a path" : "a URL");
    return t->service.n ? eg_inquiry_service(ret, t->service, rest, err)
                        : eg_inquiry_url(ret, rest, err);
}

static const enum eg_status reasons[] = { EG_HOST_DENIED, EG_HOST_NOT_ALLOWED, EG_PORT_NOT_ALLOWED,
                                          EG_RULE_DENIED, EG_ADDRESS_DENIED,   EG_METADATA_DENIED };

enum eg_status eg_test_reason(struct eg_slice name)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (eg_slice_eq(name, eg_slice_str(egress_status_name(reasons[i]))))
            return reasons[i];
    return EG_OK;
}

/* ---- which rule is meant ---- */

static bool has_path(const struct eg_policy *p, uint32_t first, uint32_t count,
                     struct eg_slice rule)
{
    for (uint32_t i = 0; i < count; i++)
        if (eg_slice_eq(eg_block_slice(p, p->paths[first + i].rule), rule))
            return true;
    return false;
}

/* The `why` of the rule at this place; empty where it has none. */
static struct eg_slice rule_why(const struct eg_policy *p, struct eg_slice rule)
{
    for (uint32_t i = 0; i < p->count[EG_BLOCK_RULES]; i++) {
        const struct eg_block_rule *r = &p->rules[i];
        if (r->action <= EG_ACTION_ALLOW && r->why.length > 0 &&
            (eg_slice_eq(eg_block_slice(p, r->rule), rule) ||
             has_path(p, r->paths.first, r->paths.count, rule)))
            return eg_block_slice(p, r->why);
    }
    return EG_SLICE_NONE;
}

static bool is_of_service(const struct eg_policy *p, const struct eg_block_service *s,
                          struct eg_slice rule)
{
    return eg_slice_eq(eg_block_slice(p, s->rule), rule) ||
           has_path(p, s->rules.first, s->rules.count, rule) ||
           has_path(p, s->denies.first, s->denies.count, rule);
}

/* Is the rule at this place meant by `name`: its file:line (with or without the folder), what its `why` says, or the service's name that it belongs to? */
static bool rule_is(const struct eg_policy *p, struct eg_slice rule, struct eg_slice name)
{
    const char *slash = rule.n ? memrchr(rule.p, '/', rule.n) : NULL;
    if (rule.n == 0)
        return false;
    if (eg_slice_eq(rule, name) ||
        (slash && eg_slice_eq(eg_slice_from(rule, (size_t)(slash + 1 - rule.p)), name)))
        return true;
    for (uint32_t i = 0; i < p->count[EG_BLOCK_RULES]; i++) {
        const struct eg_block_rule *r = &p->rules[i];
        if (r->action <= EG_ACTION_ALLOW && eg_slice_eq(eg_block_slice(p, r->why), name) &&
            (eg_slice_eq(eg_block_slice(p, r->rule), rule) ||
             has_path(p, r->paths.first, r->paths.count, rule)))
            return true;
    }
    for (uint32_t i = 0; i < p->count[EG_BLOCK_SERVICES]; i++)
        if (eg_slice_eq(eg_block_slice(p, p->services[i].name), name) &&
            is_of_service(p, &p->services[i], rule))
            return true;
    return false;
}

/* ---- the answer ---- */

struct answer {
    const struct eg_policy *policy;
    const struct eg_policy_test *test;
    enum eg_test_expect outcome; /* of all ways */
    bool fits; /* the way that is shown has all that is wanted beside the outcome */
    unsigned ways;
    struct eg_verdict v; /* of the way that is shown */
    struct eg_test_result *ret;
};

static enum eg_test_expect outcome_of(const struct eg_verdict *v)
{
    return v->status != EG_OK       ? EG_EXPECT_DENY
           : v->would_deny != EG_OK ? EG_EXPECT_WOULD_DENY
                                    : EG_EXPECT_ALLOW;
}

static enum eg_status reason_of(const struct eg_verdict *v)
{
    return v->status != EG_OK ? v->status : v->would_deny;
}

static bool fits(const struct answer *a, const struct eg_verdict *v)
{
    const struct eg_policy_test *t = a->test;
    return (t->rule.n == 0 || rule_is(a->policy, v->rule, t->rule)) &&
           (t->reason.n == 0 || reason_of(v) == eg_test_reason(t->reason)) &&
           (t->scheme == EG_SCHEME_NONE || v->scheme == t->scheme);
}

/* What lets more through counts; of equals the way that has what is wanted, then the one that a rule speaks of. */
static unsigned rank(const struct answer *a, const struct eg_verdict *v)
{
    static const unsigned by[] = { [EG_EXPECT_ALLOW] = 8, [EG_EXPECT_WOULD_DENY] = 4 };
    enum eg_test_expect outcome = outcome_of(v);
    return (outcome == EG_EXPECT_DENY ? 0 : by[outcome]) + (fits(a, v) ? 2 : 0) + (v->rule.n > 0);
}

static void take(void *ctx, const struct eg_ask *ask)
{
    struct answer *a = ctx;
    struct eg_verdict v;
    eg_policy_ask(a->policy, ask, &v);
    if (a->ways++ > 0 && rank(a, &v) <= rank(a, &a->v))
        return;
    a->v = v;
    a->outcome = outcome_of(&v);
    a->fits = fits(a, &v);
    eg_policy_way(a->policy, ask, a->ret->way, sizeof a->ret->way);
}

static const char *expect_word(enum eg_test_expect e)
{
    static const char *const words[] = { [EG_EXPECT_ALLOW] = "allow",
                                         [EG_EXPECT_DENY] = "deny",
                                         [EG_EXPECT_WOULD_DENY] = "would_deny" };
    return words[e];
}

/* "expected deny by no-pr; got allow as https by egress.yaml:3: a tunnel to a.example:443; detail". The rule's own words come behind it. */
static void say(const struct answer *a)
{
    static const char *const schemes[] = { "", "https", "http", "tcp" };
    const struct eg_policy_test *t = a->test;
    char *out = a->ret->text;
    size_t cap = sizeof a->ret->text, n = 0;
    const struct eg_slice why = rule_why(a->policy, a->v.rule);
    const struct {
        const char *head;
        struct eg_slice text;
    } parts[] = {
        { "expected ", eg_slice_str(expect_word(t->expect)) },
        { " as ", eg_slice_str(schemes[t->scheme]) },
        { ", ", t->reason },
        { " by ", t->rule },
        { "; got ", eg_slice_str(expect_word(a->outcome)) },
        { " as ", eg_slice_str(a->outcome == EG_EXPECT_DENY ? "" : schemes[a->v.scheme]) },
        { ", ",
          eg_slice_str(reason_of(&a->v) == EG_OK ? "" : egress_status_name(reason_of(&a->v))) },
        { " by ", a->v.rule.n ? a->v.rule : EG_SLICE("no rule") },
        { " - ", why },
        { ": ", eg_slice_str(a->ret->way) },
        { "; ", a->outcome == EG_EXPECT_ALLOW || eg_slice_eq(a->v.detail, why) ? EG_SLICE_NONE
                                                                               : a->v.detail },
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts && n < cap; i++)
        if (parts[i].text.n > 0)
            n += (size_t)snprintf(out + n, cap - n, "%s%.*s", parts[i].head, (int)parts[i].text.n,
                                  parts[i].text.p);
}

enum eg_status eg_policy_test(const struct eg_policy *p, const struct eg_policy_test *t,
                              struct eg_test_result *ret)
{
    struct answer a = { .policy = p, .test = t, .ret = ret };
    struct eg_inquiry q;
    struct eg_err err = { 0 };
    *ret = (struct eg_test_result){ .status = EG_INTERNAL };
    enum eg_status st = eg_test_question(t, &q, &err);
    if (st == EG_OK && eg_policy_inquire(p, &q, take, &a) > 0) {
        ret->status = a.v.status;
        ret->would_deny = a.v.would_deny;
        ret->rule = a.v.rule;
        ret->passed = a.outcome == t->expect && a.fits;
        if (!ret->passed)
            say(&a);
    } else if (st != EG_NOMEM) { /* compiling refuses such a test */
        snprintf(ret->text, sizeof ret->text, "this can't be asked: %s",
                 err.text[0] ? err.text : "there is no such service");
        st = EG_OK;
    }
    eg_inquiry_done(&q);
    return st;
}
