/* policy_tests.c - `tests` of a policy: what is no test, and whether each one passes exactly when it should. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/tests.h"
#include "support/policies.h"

#define E "egress: 1\n"
#define T E "services: {s: {upstream: \"https://s.example\"}}\ntests:\n  - "

Test(policy_tests, what_is_no_test)
{
    static const struct eg_policies_row rows[] = {
        { T "{connect: \"a.example:443\", expect: allow}\n", "-", 0, false },
        { T "{connect: \"a.example:443\", expect: allow}\n", "-", 0, true },
        { T "{connect: \"[::1]:443\", expect: deny, address: \"::1\"}\n", "-", 0, false },
        { T "{connect: a.example, expect: allow}\n", "4:15 bad-test", 0, false },
        { T "{connect: \"a.example:0\", expect: allow}\n", "4:15 bad-test", 0, false },
        { T "{connect: \"https://a.example\", expect: allow}\n", "4:15 bad-test", 0, false },
        { T "{connect: \"a.example:1\", request: \"GET /\", expect: deny}\n", "4:5 bad-test", 0,
          false },
        { T "{expect: deny}\n", "4:5 bad-test", 0, false },
        { T "{connect: \"a.example:1\"}\n", "4:5 missing-key", 0, false },
        { T "{connect: \"a.example:1\", expect: maybe}\n", "4:38 bad-type", 0, false },
        { T "{connect: \"a.example:1\", want: deny}\n", "4:30 unknown-key", 0, false },
        { T "{request: \"GET https://a.example/x\", expect: deny}\n", "-", 0, false },
        { T "{request: \"get https://a.example/x\", expect: deny}\n", "4:15 bad-test", 0, false },
        { T "{request: \"GET\", expect: deny}\n", "4:15 bad-test", 0, false },
        { T "{request: \"GET /x\", expect: deny}\n", "4:15 bad-test", 0, false },
        { T "{request: \"GET ftp://a.example/\", expect: deny}\n", "4:15 bad-test", 0, false },
        { T "{request: \"GET https://u@a.example/\", expect: deny}\n", "4:15 bad-test", 0, false },
        { T "{request: \"GET https://a.example/%\", expect: deny}\n", "4:15 bad-test", 0, false },
        { T "{service: s, request: \"GET /x\", expect: allow}\n", "-", 0, false },
        { T "{service: s, request: \"GET x\", expect: allow}\n", "4:27 bad-test", 0, false },
        { T "{service: no, request: \"GET /x\", expect: allow}\n", "4:15 bad-test", 0, false },
        { T "{service: s, connect: \"a.example:1\", expect: allow}\n", "4:6 bad-test", 0, false },
        { T "{connect: \"a.example:1\", expect: deny, address: 010.0.0.1}\n", "4:53 bad-address", 0,
          false },
        { T "{connect: \"a.example:1\", expect: deny, reason: rule_denied}\n", "-", 0, false },
        { T "{connect: \"a.example:1\", expect: deny, reason: ok}\n", "4:52 bad-test", 0, false },
        { T "{connect: \"a.example:1\", expect: deny, reason: dns_timeout}\n", "4:52 bad-test", 0,
          false },
        { T "{connect: \"a.example:1\", expect: allow, reason: rule_denied}\n", "4:45 bad-test", 0,
          false },
        { T "{connect: \"a.example:1\", expect: deny, rule: \"\"}\n", "4:50 bad-test", 0, false },
        { T "{connect: \"a.example:1\", expect: deny, scheme: tcp}\n", "4:44 bad-test", 0, false },
        { T "{connect: \"a.example:1\", expect: allow, scheme: udp}\n", "4:53 bad-type", 0, false },
        { E "tests: {}\n", "2:8 bad-type", 0, false },
        { E "tests: [a]\n", "2:9 bad-type", 0, false },
    };
    eg_policies_check(rows, sizeof rows / sizeof *rows);
}

static const char policy[] =
    E "allow:\n"
      "  - open.example\n"                                                            /* 3 */
      "  - {host: plain.example, scheme: http, rules: [\"GET /a/**\"], why: reads}\n" /* 4 */
      "  - {host: any.example, scheme: tcp, ports: [22], why: shell}\n"               /* 5 */
      "deny:\n"
      "  - {host: bad.example, why: no-bad}\n"                                /* 7 */
      "  - {host: plain.example, rules: [\"* /a/secret\"], why: no-secret}\n" /* 8 */
      "services:\n"
      "  gh: {upstream: \"https://gh.example/api\", rules: [\"GET /api/**\"], deny: [\"* "
      "/api/x\"]}\n"                                                          /* 10 */
      "  both: {upstream: \"https://open.example\", deny: [\"POST /**\"]}\n"; /* 11 */

struct row {
    const char *test;
    bool passes;
    const char *says; /* part of the text of one that fails */
};

static const struct row rows[] = {
    { "connect: \"open.example:443\", expect: allow", true, NULL },
    { "connect: \"OPEN.example.:443\", expect: allow, scheme: https", true, NULL },
    { "connect: \"open.example:443\", expect: allow, scheme: http", false,
      "expected allow as http; got allow as https" },
    { "connect: \"open.example:443\", expect: deny", false, "got allow as https by dir/t.yaml:3" },
    { "connect: \"open.example:443\", expect: would_deny", false, "expected would_deny" },
    { "connect: \"open.example:443\", address: 10.0.0.1, expect: deny, reason: address_denied",
      true, NULL },
    { "connect: \"open.example:443\", address: 10.0.0.1, expect: allow", false,
      "address_denied by no rule" },
    { "connect: \"bad.example:443\", expect: deny, rule: no-bad", true, NULL },
    { "connect: \"bad.example:443\", expect: deny, rule: \"t.yaml:7\", reason: host_denied", true,
      NULL },
    { "connect: \"bad.example:443\", expect: deny, rule: no-pr", false,
      "expected deny by no-pr; got deny, host_denied by dir/t.yaml:7 - no-bad" },
    { "connect: \"bad.example:443\", expect: deny, reason: rule_denied", false, "host_denied" },
    { "connect: \"other.example:443\", expect: deny, reason: host_not_allowed", true, NULL },
    { "connect: \"other.example:443\", expect: deny, rule: no-bad", false, "by no rule" },
    { "connect: \"any.example:22\", expect: allow, rule: shell, scheme: tcp", true, NULL },
    { "connect: \"any.example:23\", expect: deny, rule: shell, reason: port_not_allowed", true,
      NULL },
    { "request: \"GET http://plain.example/a/b\", expect: allow, rule: reads", true, NULL },
    { "request: \"GET http://plain.example/a/secret\", expect: deny, rule: no-secret", true, NULL },
    { "request: \"POST http://plain.example/a/b\", expect: deny, reason: rule_denied", true, NULL },
    { "request: \"GET http://plain.example:81/a/b\", expect: deny, reason: port_not_allowed", true,
      NULL },
    { "request: \"GET https://gh.example/api/y?q=1\", expect: allow, rule: gh", true, NULL },
    { "request: \"GET https://gh.example/api/x\", expect: deny, rule: gh", true, NULL },
    { "request: \"POST https://gh.example/api/y\", expect: allow", false,
      "rule_denied by dir/t.yaml:10" },
    { "request: \"GET https://gh.example/other\", expect: deny, reason: host_not_allowed", true,
      NULL },
    { "service: gh, request: \"GET /y\", expect: allow, rule: \"t.yaml:10\"", true, NULL },
    { "service: gh, request: \"GET /x#f\", expect: deny", true, NULL },
    /* its tunnel lets through what its route refuses */
    { "request: \"POST https://open.example/x\", expect: deny", false,
      "by dir/t.yaml:3: a tunnel to open.example:443" },
    { "service: both, request: \"POST /x\", expect: deny, rule: both", true, NULL },
    { "request: \"GET https://open.example/x\", expect: allow, rule: both", true, NULL },
    { "request: \"GET https://open.example/x\", expect: allow, rule: \"t.yaml:3\"", true, NULL },
    { "request: \"GET https://open.example/x\", expect: allow, rule: gh", false,
      "expected allow by gh" },
};

/* An https URL was once let through where requests are parsed, which TLS never survives. */
static const struct row parsed[] = {
    { "request: \"GET https://plain.example:80/a/x\", expect: allow", false,
      "got deny, port_not_allowed by dir/t.yaml:4" },
    { "request: \"GET https://plain.example:80/a/x\", expect: deny, rule: reads", true, NULL },
    { "connect: \"plain.example:80\", expect: allow, scheme: http", true, NULL },
    { "request: \"GET http://plain.example/a/x\", expect: allow", true, NULL },
};

struct taken {
    const struct eg_policy *policy;
    struct eg_policy_test list[64];
    unsigned count;
};

/* Texts are of the file, which lives longer than this needs them; the copy is of the slices' bytes. */
static void take(void *ctx, const struct eg_policy_test *t)
{
    struct taken *taken = ctx;
    struct eg_policy_test *copy = &taken->list[taken->count++];
    struct eg_slice *texts[] = { &copy->connect, &copy->request, &copy->service,
                                 &copy->address, &copy->rule,    &copy->reason };
    cr_assert_leq(taken->count, 64);
    *copy = *t;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i]->n)
            texts[i]->p = eg_slice_dup(*texts[i]);
}

static void forget(struct taken *taken)
{
    for (unsigned i = 0; i < taken->count; i++) {
        struct eg_policy_test *t = &taken->list[i];
        struct eg_slice texts[] = { t->connect, t->request, t->service,
                                    t->address, t->rule,    t->reason };
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            if (texts[k].n)
                free((void *)(uintptr_t)texts[k].p);
    }
}

static void compile(const char *text, struct taken *taken, struct eg_buf *block,
                    struct eg_policy **p)
{
    struct eg_policy_reader reader = { .test = take, .test_ctx = taken };
    const struct eg_policy_file file = { "dir/t.yaml", eg_slice_str(text), EG_LAYER_REPO, true };
    struct eg_diags *d = NULL;
    struct eg_err err = { 0 };
    cr_assert_geq(sodium_init(), 0);
    eg_buf_init(block, 16 << 20);
    cr_assert_eq(eg_diags_new(&d), EG_OK);
    cr_assert_eq(eg_policy_compile(&file, 1, &reader, d, block, &err), EG_OK, "%s", err.text);
    cr_assert_eq(eg_policy_open(block->data, block->len, p, &err), EG_OK, "%s", err.text);
    eg_diags_free(d);
}

static void check(const struct row *list, size_t count)
{
    char text[16384];
    struct taken taken = { .count = 0 };
    struct eg_buf block;
    struct eg_policy *p = NULL;
    size_t n = (size_t)snprintf(text, sizeof text, "%stests:\n", policy);
    for (size_t i = 0; i < count; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "  - {%s}\n", list[i].test);
    compile(text, &taken, &block, &p);
    cr_assert_eq(taken.count, count);
    for (unsigned i = 0; i < taken.count; i++) {
        struct eg_test_result result;
        cr_assert_eq(eg_policy_test(p, &taken.list[i], &result), EG_OK);
        cr_expect_eq(result.passed, list[i].passes, "%s: %s", list[i].test, result.text);
        cr_expect(list[i].says ? strstr(result.text, list[i].says) != NULL : result.text[0] == '\0',
                  "%s: %s", list[i].test, result.text);
        cr_expect_eq(taken.list[i].line, 13 + i, "%s", list[i].test);
    }
    forget(&taken);
    eg_policy_close(p);
    eg_buf_done(&block);
}

Test(policy_tests, each_passes_exactly_when_it_should)
{
    check(rows, sizeof rows / sizeof *rows);
}

Test(policy_tests, https_never_passes_where_requests_are_parsed)
{
    check(parsed, sizeof parsed / sizeof *parsed);
}

Test(policy_tests, observed)
{
    struct taken taken = { .count = 0 };
    struct eg_buf block;
    struct eg_policy *p = NULL;
    compile(E "mode: observe\ndeny: [bad.example]\ntests:\n"
              "  - {connect: \"x.example:443\", expect: would_deny, reason: host_not_allowed, "
              "scheme: https}\n"
              "  - {connect: \"bad.example:443\", expect: deny}\n"
              "  - {connect: \"x.example:443\", expect: deny}\n",
            &taken, &block, &p);
    for (unsigned i = 0; i < taken.count; i++) {
        struct eg_test_result result;
        cr_assert_eq(eg_policy_test(p, &taken.list[i], &result), EG_OK);
        cr_expect_eq(result.passed, i < 2, "%s", result.text);
    }
    cr_assert_eq(taken.count, 3);
    forget(&taken);
    eg_policy_close(p);
    eg_buf_done(&block);
}

/* A test changes nothing of what a policy means. */
Test(policy_tests, they_are_no_part_of_the_meaning)
{
    struct taken taken = { .count = 0 };
    struct eg_buf one, two;
    struct eg_policy *p = NULL, *q = NULL;
    compile(E "allow: [a.example]\n", &taken, &one, &p);
    compile(E "allow: [a.example]\ntests: [{connect: \"b.example:1\", expect: deny}]\n", &taken,
            &two, &q);
    cr_assert(memcmp(eg_policy_id(p), eg_policy_id(q), 32) == 0);
    forget(&taken);
    eg_policy_close(p);
    eg_policy_close(q);
    eg_buf_done(&one);
    eg_buf_done(&two);
}

struct advice {
    const char *host, *path;
    enum eg_ask_kind kind;
    enum eg_scheme scheme;
    const char *key, *text;
};

/* A * in a path once made it the whole host that was proposed; no rule opens TLS where rules on requests are in force. */
Test(policy_tests, the_least_rule_is_the_least_and_one_that_helps)
{
    static const struct advice list[] = {
        { "b.example", "/a*b/**/c", EG_ASK_HTTP, EG_SCHEME_HTTP, "allow",
          "{host: b.example, scheme: http, rules: [\"GET /a*b/*/c\"]}" },
        { "a.example", "/a*b/**/c", EG_ASK_HTTP, EG_SCHEME_HTTP, "rules", "\"GET /a*b/*/c\"" },
        { "a.example", "/x", EG_ASK_TUNNEL, EG_SCHEME_HTTPS, "",
          "change the rule at dir/t.yaml:2: TLS" },
        { "c.example", "/x", EG_ASK_TUNNEL, EG_SCHEME_HTTPS, "allow",
          "{host: c.example, ports: [80]}" },
    };
    struct taken taken = { .count = 0 };
    struct eg_buf block;
    struct eg_policy *p = NULL;
    compile(E "allow: [{host: a.example, scheme: http, rules: [GET /q]}, {host: c.example, scheme: "
              "http}]\n",
            &taken, &block, &p);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        struct eg_ask ask = { .kind = list[i].kind,
                              .scheme = list[i].scheme,
                              .method = EG_SLICE("GET"),
                              .path = eg_slice_str(list[i].path) };
        struct eg_verdict v;
        struct eg_least least;
        cr_assert_eq(eg_host_parse(eg_slice_str(list[i].host), &ask.to, NULL), EG_OK);
        ask.to.port = 80;
        eg_policy_ask(p, &ask, &v);
        cr_expect_neq(v.status, EG_OK, "%zu", i);
        eg_policy_least(p, &ask, &v, &least);
        cr_expect_str_eq(least.key, list[i].key, "%zu: %s", i, least.key);
        cr_expect_not_null(strstr(least.text, list[i].text), "%zu: %s", i, least.text);
    }
    eg_policy_close(p);
    eg_buf_done(&block);
}
