/* policy_rules.c - rules on requests: every fault of a pattern at its place, what can't be enforced, what a refusal says, identity, cost. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/policies.h"

#define CHECK(rows) eg_policies_check(rows, sizeof rows / sizeof *rows)
#define S(x)        "egress: 1\nservices:\n  s:\n    upstream: https://a.example\n    rules: " x "\n"
#define HTTP(x)     "egress: 1\nallow:\n  - {host: a.example, scheme: http, " x "}\n"

Test(policy, patterns_of_paths)
{
    static const struct eg_policies_row rows[] = {
        { S("[\"GET /\"]"), "-", 0, false },
        { S("\"GET /\""), "-", 0, false },
        { S("[\"GET /\"]"), "-", 0, true },
        { S("[\"* /**\"]"), "-", 0, false },
        { S("[\"GET  /a\"]"), "-", 0, false },
        { S("[\"M-SEARCH /a\"]"), "-", 0, false },
        { S("[\"GET /a/*/b/{c,d*}/**\"]"), "-", 0, false },
        { S("[\"GET /a/{,s}\", \"GET /a/x{1,2}y{3,4}\"]"), "-", 0, false },
        { S("[\"GET /%41%2f/@scope%2Fname\"]"), "-", 0, false },
        { S("[\"GET /a:b;c=d!$&'()+,=@\"]"), "-", 0, false },
        { S("[]"), "5:5 bad-value", 0, false },
        { S("[\"/a\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET a\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /a b\"]"), "5:13 bad-path", 0, false },
        { S("[\" GET /a\"]"), "5:13 bad-path", 0, false },
        { S("[\"get /a\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET,PUT /a\"]"), "5:13 bad-path", 0, false },
        { S("[\"G* /a\"]"), "5:13 bad-path", 0, false },
        { S("[\"CONNECT /a\"]"), "5:13 bad-path", 0, false },
        { S("[\"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG /a\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET https://a.example/\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /a?b\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /a#b\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /a**\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /**a/b\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /***\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /{a\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /a}\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /{a,{b,c}}\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /{a/b,c}\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /{a,**}\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /{.,a}\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /.{.,a}/b\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /../a\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /a/%2e/b\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET //a\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /a%zz\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /a%00\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /a%5Cb\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /b\\u00fccher\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /[a]\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /{a,b}{a,b}{a,b}{a,b}{a,b}\"]"), "-", 0, false },
        { S("[\"GET /{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}\"]"), "5:13 bad-path", 0, false },
        { S("[\"GET /a\", \"bad\", \"GET /b\", \"PUT\"]"), "5:23 bad-path, 5:40 bad-path", 0,
          false },
        { S("{a: b}"), "5:12 bad-type", 0, false },
        { "egress: 1\nservices:\n  s: {upstream: \"https://a.example\", deny: []}\n", "-", 0,
          false },
        { "egress: 1\nservices:\n  s: {upstream: \"https://a.example\", deny: [x]}\n",
          "3:45 bad-path", 0, false },
    };
    CHECK(rows);
}

Test(policy, rules_that_could_not_be_enforced)
{
    static const struct eg_policies_row rows[] = {
        { HTTP("rules: [\"GET /\"]"), "-", 0, false },
        { HTTP("rules: [\"GET /\"]"), "-", 0, true },
        { HTTP("rules: \"GET /\", ports: [8080]"), "-", 0, false },
        { HTTP("rules: []"), "3:37 bad-value", 0, false },
        { HTTP("rules: [x]"), "3:45 bad-path", 0, false },
        { "egress: 1\nallow: [{host: a.example, rules: [\"GET /\"]}]\n", "2:27 unenforceable-rule",
          0, false },
        { "egress: 1\nallow: [{host: a.example, scheme: tcp, ports: [80], rules: [\"GET /\"]}]\n",
          "2:53 unenforceable-rule", 0, false },
        { "egress: 1\nallow: [{address: 93.184.216.34, scheme: http, rules: [\"GET /\"]}]\n", "-",
          0, false },
        { "egress: 1\ndeny: [{host: a.example, rules: [\"GET /\"]}]\n", "-", 0, false },
        { "egress: 1\ndeny: [{host: a.example, rules: []}]\n", "2:26 bad-value", 0, false },
        { "egress: 1\ndeny: [{address: 1.1.1.1, rules: [\"GET /\"]}]\n", "2:27 unenforceable-rule",
          0, false },
        { "egress: 1\ndeny: [{cidr: 1.1.1.0/24, rules: [\"GET /\"]}]\n", "2:27 unenforceable-rule",
          0, false },
        { "egress: 1\nallow: [a.example]\ndeny: [{host: a.example, rules: [\"GET /\"]}]\n",
          "2:9 W shadowed-by-deny", 0, false },
        { HTTP("rules: [\"GET /\"]") "  - {host: a.example, scheme: http}\n",
          "3:12 W unreachable-rule", 0, false },
        { HTTP("rules: [\"GET /\"]") "  - {host: a.example, scheme: http, rules: [\"PUT /\"]}\n",
          "-", 0, false },
        { HTTP("rules: [\"* /**\"]"), "-", 0, false },
        { "egress: 1\nallow: [a.example]\nservices:\n  s: {upstream: \"https://a.example\", rules: "
          "[\"GET /\"]}\n",
          "4:3 W service-host-tunnel", 0, false },
        { "egress: 1\nallow: [a.example]\nservices:\n  s: {upstream: \"https://a.example\"}\n", "-",
          0, false },
        { "egress: 1\nallow: [{host: a.example, scheme: http}]\ndeny: [{host: a.example, rules: "
          "[\"GET /\"]}]\n",
          "-", 0, false },
    };
    CHECK(rows);
}

static void is(struct eg_slice got, const char *want)
{
    cr_assert(eg_slice_eq(got, eg_slice_str(want)), "got '%.*s', want '%s'", (int)got.n, got.p,
              want);
}

static void ask(const struct eg_policy *p, const char *method, const char *path,
                struct eg_verdict *v)
{
    eg_policy_judge_route(p, 0, eg_slice_str(method), eg_slice_str(path),
                          (struct eg_path_flags){ 0 }, v);
}

/* A refusal names the deciding rule's line, and the one that is closest. */
Test(policy, a_refused_request_is_told_the_closest_rule)
{
    struct eg_buf block;
    struct eg_verdict v;
    struct eg_policy *p = eg_policies_build(
        "egress.yaml",
        "egress: 1\nservices:\n  s:\n    upstream: https://a.example/v1/\n    rules:\n"
        "      - POST /v1/chat/completions\n      - GET /v1/models/*\n      - GET /files/**\n"
        "    deny:\n      - \"* /v1/models/secret\"\n",
        &block);
    ask(p, "GET", "/models/x", &v);
    cr_assert_eq(v.status, EG_OK);
    is(v.rule, "egress.yaml:3");
    ask(p, "PUT", "/models/x", &v);
    cr_assert_eq(v.status, EG_RULE_DENIED);
    is(v.rule, "egress.yaml:7");
    is(v.detail, "no rule allows it; the closest is GET /v1/models/*");
    ask(p, "POST", "/chat", &v);
    is(v.rule, "egress.yaml:6");
    ask(p, "GET", "/models/secret", &v);
    cr_assert_eq(v.status, EG_RULE_DENIED);
    is(v.rule, "egress.yaml:10");
    is(v.detail, "the deny rule * /v1/models/secret names it; deny beats allow");
    eg_policy_judge_route(p, 0, EG_SLICE("GET"), EG_SLICE("/models/x/../y"),
                          (struct eg_path_flags){ true, "the path has a dot segment" }, &v);
    cr_assert_eq(v.status, EG_RULE_DENIED);
    is(v.detail, "the path has a dot segment");
    eg_policy_close(p);
    eg_buf_done(&block);
}

static void id_of(const char *rules, unsigned char id[32])
{
    char text[400];
    struct eg_buf block;
    snprintf(text, sizeof text, S("%s"), rules);
    struct eg_policy *p = eg_policies_build("egress.yaml", text, &block);
    memcpy(id, eg_policy_id(p), 32);
    eg_policy_close(p);
    eg_buf_done(&block);
}

Test(policy, rules_are_a_set)
{
    static const char *const same[] = { "[\"PUT /b\", \"GET /a\"]",
                                        "[\"GET /a\", \"PUT /b\", \"GET /%61\"]" };
    static const char *const other[] = { "[\"GET /a\"]", "[\"GET /a\", \"* /b\"]",
                                         "[\"GET /a\", \"PUT /b\", \"PUT /c\"]" };
    unsigned char id[32], got[32];
    id_of("[\"GET /a\", \"PUT /b\"]", id);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        id_of(same[i], got);
        cr_assert_arr_eq(id, got, 32, "%s", same[i]);
    }
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        id_of(other[i], got);
        cr_assert_neq(memcmp(id, got, 32), 0, "%s", other[i]);
    }
}

/* So many rules with so many segments each. */
static char *rules_of(unsigned count, unsigned segments)
{
    enum { ROOM = 1 << 18 };
    char *text = malloc(ROOM);
    cr_assert_not_null(text);
    size_t n = (size_t)snprintf(text, ROOM, S("["));
    n--; /* the line's end */
    for (unsigned i = 0; i < count; i++) {
        n += (size_t)snprintf(text + n, ROOM - n, "%s\"GET ", i ? ", " : "");
        for (unsigned k = 0; k < segments; k++)
            n += (size_t)snprintf(text + n, ROOM - n, "/%u", i);
        n += (size_t)snprintf(text + n, ROOM - n, "\"");
    }
    snprintf(text + n, ROOM - n, "]\n");
    return text;
}

Test(policy, rules_have_a_ceiling)
{
    struct eg_policies_row rows[4] = { { rules_of(4096, 3), "-", 0, false },
                                       { rules_of(4097, 3), "5:5 bad-value", 0, false },
                                       { rules_of(1, 64), "-", 0, false },
                                       { rules_of(1, 65), "5:13 bad-path", 0, false } };
    CHECK(rows);
    for (size_t i = 0; i < 4; i++)
        free((char *)(uintptr_t)rows[i].text);
}

/* The worst that a child can ask of the worst that a policy can say ends: the work is counted by the product of their lengths, not by their powers. */
Test(policy, patterns_can_not_explode, .timeout = 60)
{
    enum { N = 16384 };
    static char path[N + 1];
    struct eg_buf block;
    struct eg_verdict v;
    struct eg_policy *p =
        eg_policies_build("egress.yaml",
                          S("[\"GET /**/a/**/a/**/a/**/a/**/a/**/b\", \"GET "
                            "/*a*a*a*a*a*a*a*a*b\"]") "    deny: [\"GET "
                                                      "/**/a/**/a/**/a/**/a/**/a/**/b\", \"GET "
                                                      "/*a*a*a*a*a*a*a*a*b\"]\n",
                          &block);
    for (size_t i = 0; i < N; i++)
        path[i] = i % 2 ? 'a' : '/';
    ask(p, "GET", path, &v);
    cr_assert_eq(v.status, EG_RULE_DENIED);
    memset(path + 1, 'a', N - 1);
    ask(p, "GET", path, &v);
    cr_assert_eq(v.status, EG_RULE_DENIED);
    for (size_t i = 1; i + 2 < N; i += 3)
        memcpy(path + i, "%25", 3);
    ask(p, "GET", path, &v);
    cr_assert_eq(v.status, EG_RULE_DENIED);
    eg_policy_close(p);
    eg_buf_done(&block);
}
