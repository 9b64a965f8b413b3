/* policy_learn.c - `policy learn`: the least rules for what was refused, where they stand in the file, and that they do allow it. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/unified.h"
#include "policy/explain.h"
#include "policy/learn.h"

struct asked {
    const char *to, *service, *method, *path, *addr;
};

static struct eg_policy *compile(const char *text, struct eg_buf *block)
{
    const struct eg_policy_file file = { "egress.yaml", eg_slice_str(text), EG_LAYER_REPO, true };
    struct eg_diags *d = NULL;
    struct eg_policy *p = NULL;
    cr_assert_geq(sodium_init(), 0);
    eg_buf_init(block, 16 << 20);
    cr_assert_eq(eg_diags_new(&d), EG_OK);
    cr_assert_eq(eg_policy_compile(&file, 1, NULL, d, block, NULL), EG_OK, "%s:%s",
                 eg_diags_total(d) ? eg_diags_at(d, 0)->text : "", text);
    cr_assert_eq(eg_policy_open(block->data, block->len, &p, NULL), EG_OK);
    eg_diags_free(d);
    return p;
}

static struct eg_learn_seen seen_of(const struct asked *a)
{
    struct eg_learn_seen s = { .service = eg_slice_str(a->service ? a->service : ""),
                               .method = eg_slice_str(a->method ? a->method : "CONNECT"),
                               .path = eg_slice_str(a->path ? a->path : ""),
                               .reason = EG_HOST_NOT_ALLOWED };
    cr_assert_eq(eg_authority_parse(eg_slice_str(a->to), 443, &s.to, NULL), EG_OK, "%s", a->to);
    if (a->addr)
        cr_assert(eg_addr_parse(eg_slice_str(a->addr), &s.addr));
    return s;
}

static struct eg_learn *learn(const struct eg_policy *p, const struct asked *list, unsigned n)
{
    struct eg_learn *l = NULL;
    cr_assert_eq(eg_learn_new(p, NULL, &l), EG_OK);
    for (unsigned i = 0; i < n; i++) {
        struct eg_learn_seen s = seen_of(&list[i]);
        cr_assert_eq(eg_learn_add(l, &s), EG_OK);
    }
    cr_assert_eq(eg_learn_finish(l), EG_OK);
    return l;
}

/* The file with what was learnt of these. */
static char *learnt(const char *text, const struct asked *list, unsigned n)
{
    const struct eg_policy_file file = { "egress.yaml", eg_slice_str(text), EG_LAYER_REPO, true };
    struct eg_diags *d = NULL;
    struct eg_buf block, out;
    struct eg_policy *p = compile(text, &block);
    struct eg_learn *l = learn(p, list, n);
    eg_buf_init(&out, 8 << 20);
    cr_assert_eq(eg_diags_new(&d), EG_OK);
    cr_assert_eq(eg_learn_patch(l, &file, d, &out, NULL), EG_OK);
    char *ret = eg_slice_dup(eg_buf_slice(&out));
    eg_diags_free(d);
    eg_buf_done(&out);
    eg_learn_free(l);
    eg_policy_close(p);
    eg_buf_done(&block);
    return ret;
}

static void expect(const char *text, const char *want, const struct asked *list, unsigned n)
{
    char *got = learnt(text, list, n);
    cr_assert_str_eq(got, want, "got:\n%s\nwant:\n%s", got, want);
    free(got);
}
#define EXPECT(text, want, ...)                                                                    \
    expect(text, want, (const struct asked[]){ __VA_ARGS__ },                                      \
           sizeof((const struct asked[]){ __VA_ARGS__ }) / sizeof(struct asked))

Test(policy_learn, a_host_goes_to_the_end_of_allow)
{
    EXPECT("egress: 1\nallow:\n- a.example # x\ndeny: []\n",
           "egress: 1\nallow:\n- a.example # x\n- b.example  # asked for 2 times\ndeny: []\n",
           { .to = "b.example" }, { .to = "b.example:443" }, { .to = "a.example" });
}

/* Found by a fuzzer: the new element was indented as what stands below the dash is, and became a part of it. */
Test(policy_learn, bug_an_element_below_its_dash_swallowed_what_was_learnt)
{
    EXPECT("egress: 1\nallow:\n -\n      a.example\n",
           "egress: 1\nallow:\n -\n      a.example\n - b.example  # asked for once\n", { .to = "b.example" });
}

Test(policy_learn, a_file_without_a_list_gets_one)
{
    EXPECT("egress: 1", "egress: 1\n\nallow:\n  - b.example  # asked for once\n", { .to = "b.example" });
    EXPECT("egress: 1\nallow: [] # none\nvia: true\n",
           "egress: 1\nallow: # none\n  - b.example  # asked for once\nvia: true\n", { .to = "b.example" });
}

Test(policy_learn, a_list_in_brackets_is_laid_out_first)
{
    EXPECT("egress: 1\nallow: [a.example]\n", "egress: 1\n\nallow:\n  - a.example\n  - b.example  # asked for once\n",
           { .to = "b.example" });
    EXPECT("{\"egress\": 1, \"allow\": [\"a.example\"]}", "egress: 1\n\nallow:\n  - a.example\n  - b.example  # asked for once\n",
           { .to = "b.example" });
}

Test(policy_learn, what_a_person_should_judge_is_a_comment)
{
    EXPECT("egress: 1\nallow: []\n",
           "egress: 1\nallow: []\n"
           "  # - {address: \"192.0.2.7\"}  # asked for once; a raw address, not a name\n"
           "  # - {host: a.example, scheme: tcp, ports: [22]}  # asked for once; not port 443\n"
           "  # - {host: b.example, scheme: http, rules: [\"GET /x\", \"POST /y/*\"]}  # asked for 2 times; plain http: whoever is on the way reads and changes it\n"
           "  # - x.k3j2h4k23j4h23k4j2h34.example  # asked for once; a part of its name looks made up: data can leave in names\n"
           "  # - x.my-webhooks.example  # asked for once; its name is like that of a paste site, a tunnel or a catcher of requests\n",
           { .to = "192.0.2.7" }, { .to = "a.example:22" }, { .to = "b.example:80", .method = "GET", .path = "/x" },
           { .to = "b.example:80", .method = "POST", .path = "/y/123" }, { .to = "x.my-webhooks.example" },
           { .to = "x.k3j2h4k23j4h23k4j2h34.example" });
}

Test(policy_learn, many_names_below_one_are_one_doubt)
{
    EXPECT("egress: 1\nallow: [z.example]\n",
           "egress: 1\n\nallow:\n  - z.example\n  # - \"*.c.example\"  # asked for 6 times; 6 names below it were asked for; a wildcard lets all of them through, and data can leave in names\n",
           { .to = "a.c.example" }, { .to = "b.c.example" }, { .to = "c.c.example" }, { .to = "d.c.example" }, { .to = "e.c.example" },
           { .to = "f.c.example" });
}

Test(policy_learn, a_doubt_is_not_written_twice)
{
    static const char text[] = "egress: 1\nallow:\n  - z.example\n  # - {host: a.example, ports: [8443]}  # later\n";
    EXPECT(text, text, { .to = "a.example:8443" });
}

Test(policy_learn, a_request_by_a_route_goes_to_the_rules_of_its_service)
{
    EXPECT("egress: 1\nservices:\n  s:\n    upstream: https://s.example/base\n    rules:\n      - GET /base/a\n    websocket: true\n",
           "egress: 1\nservices:\n  s:\n    upstream: https://s.example/base\n    rules:\n      - GET /base/a\n      - \"POST /base/b/file-*\"  # asked for once\n    websocket: true\n",
           { .to = "s.example", .service = "s", .method = "POST", .path = "/b/file-0123456789abcdef" });
    EXPECT("egress: 1\nservices:\n  s: {upstream: 'https://s.example', rules: GET /a}\n",
           "egress: 1\nservices:\n  s: {upstream: 'https://s.example', rules: [GET /a, \"POST /b\"]}\n",
           { .to = "s.example", .service = "s", .method = "POST", .path = "/b" });
}

Test(policy_learn, what_must_not_be_allowed_is_never_proposed)
{
    static const char text[] = "egress: 1\nallow: [a.example, {host: c.example, scheme: http, rules: GET /}]\n"
                               "deny: [d.example, {host: c.example, rules: '* /secret/**'}, '*.e.example']\n"
                               "services: {s: {upstream: 'https://s.example', deny: ['DELETE /**']}}\n";
    static const struct asked list[] = {
        { .to = "d.example" }, { .to = "x.e.example" }, { .to = "metadata.google.internal:80", .method = "GET", .path = "/" },
        { .to = "169.254.169.254:80", .method = "GET", .path = "/latest" }, { .to = "a.example", .addr = "10.0.0.1" },
        { .to = "c.example:80", .method = "GET", .path = "/secret/x" },
        { .to = "c.example:80", .method = "GET", .path = "/a{b}" },
        { .to = "c.example:80", .method = "GET", .path = "/a/%2e%2e/b" },
        { .to = "s.example", .service = "s", .method = "DELETE", .path = "/x" },
        { .to = "s.example", .service = "gone", .method = "GET", .path = "/x" },
    };
    struct eg_buf block;
    struct eg_policy *p = compile(text, &block);
    struct eg_learn *l = learn(p, list, sizeof list / sizeof *list);
    cr_assert_geq(eg_learn_count(l), 8);
    for (unsigned i = 0; i < eg_learn_count(l); i++) {
        const struct eg_learnt *r = eg_learn_at(l, i);
        cr_assert(r->kind == EG_LEARNT_NEVER && r->why.n > 0, "%.*s", (int)r->line.n, r->line.n ? r->line.p : "");
    }
    eg_learn_free(l);
    eg_policy_close(p);
    eg_buf_done(&block);
}

/* All that is proposed without a doubt is allowed then; and nothing is learnt from it any more. */
Test(policy_learn, with_what_was_learnt_the_same_is_allowed)
{
    static const struct asked list[] = {
        { .to = "a.example" }, { .to = "b.a.example" }, { .to = "c.example" },
        { .to = "s.example", .service = "s", .method = "POST", .path = "/v1/x/0123456789abcdef/y" },
        { .to = "s.example", .service = "s", .method = "GET", .path = "/v1/%2F/z" },
        { .to = "s.example", .service = "s", .method = "GET", .path = "/v1/a;b=c,d:e f/'" },
    };
    unsigned n = sizeof list / sizeof *list;
    char *text = learnt("egress: 1\nservices: {s: {upstream: 'https://s.example', rules: [GET /none]}}\n", list, n);
    struct eg_buf block;
    struct eg_policy *p = compile(text, &block);
    struct eg_learn *l = learn(p, list, n);
    cr_assert_eq(eg_learn_count(l), 0, "%s", text);
    eg_learn_free(l);
    eg_policy_close(p);
    eg_buf_done(&block);
    free(text);
}

/* a file of dashes and many doubts: each doubt was looked for at each dash, which took minutes */
Test(policy_learn, many_doubts_and_a_large_file_take_no_time, .timeout = 60)
{
    enum { HOSTS = 9000 };
    static struct asked list[HOSTS];
    static char hosts[HOSTS][24];
    struct eg_buf text;
    eg_buf_init(&text, 4 << 20);
    cr_assert_eq(eg_buf_printf(&text, "egress: 1\nallow:\n  - a.example\n"), EG_OK);
    while (text.len < 3 << 20)
        cr_assert_eq(eg_buf_printf(&text, "# - - - - - - - - - - - - - - - - - - - - - - - - - - - -\n"), EG_OK);
    cr_assert_eq(eg_buf_append(&text, "", 1), EG_OK);
    for (unsigned i = 0; i < HOSTS; i++) {
        snprintf(hosts[i], sizeof hosts[i], "h%u.example:22", i);
        list[i] = (struct asked){ .to = hosts[i] };
    }
    char *got = learnt(text.data, list, HOSTS);
    cr_assert_not_null(strstr(got, "# - {host: h8999.example, scheme: tcp, ports: [22]}"));
    free(got);
    eg_buf_done(&text);
}

/* the command keeps one event of each kind: a child can have millions refused */
Test(policy_learn, what_was_asked_for_before_is_no_new_kind)
{
    static const struct asked list[] = {
        { .to = "a.example" },
        { .to = "a.example" },
        { .to = "s.example", .service = "s", .method = "GET", .path = "/v1/1" },
        { .to = "s.example", .service = "s", .method = "GET", .path = "/v1/2" },
    };
    struct eg_buf block;
    struct eg_policy *p = compile("egress: 1\nservices: {s: {upstream: 'https://s.example', rules: [GET /none]}}\n", &block);
    struct eg_learn *l = learn(p, list, sizeof list / sizeof *list);
    cr_assert_eq(eg_learn_kinds(l), 2);
    eg_learn_free(l);
    eg_policy_close(p);
    eg_buf_done(&block);
}

static void expect_pattern(const char *path, const char *want)
{
    struct eg_buf out;
    eg_buf_init(&out, 4096);
    cr_assert_eq(eg_learn_pattern(eg_slice_str(path), &out), EG_OK);
    cr_assert_eq(eg_buf_append(&out, "", 1), EG_OK);
    cr_assert_str_eq(out.data, want, "%s -> %s", path, out.data);
    eg_buf_done(&out);
}

Test(policy_learn, identifiers_in_paths_become_stars)
{
    expect_pattern("/", "/");
    expect_pattern("/v1/models", "/v1/models");
    expect_pattern("/a/123/b/", "/a/*/b/");
    expect_pattern("/x/0b7e5c1a-33aa-4f3e-9d1b-aa0011223344", "/x/*");
    expect_pattern("/commit/deadbeef01", "/commit/*");
    expect_pattern("/files/file-0123456789abcdef/content", "/files/file-*/content");
    expect_pattern("/facade/added", "/facade/added");
    expect_pattern("/my-file-2", "/my-file-2");
}

/* ---- the patch ---- */

static void expect_diff(const char *a, const char *b, const char *want)
{
    struct eg_buf out;
    eg_buf_init(&out, 1 << 16);
    cr_assert_eq(eg_unified("/dir/f", eg_slice_str(a), eg_slice_str(b), &out), EG_OK);
    cr_assert_eq(eg_buf_append(&out, "", 1), EG_OK);
    cr_assert_str_eq(out.data, want, "got:\n%s", out.data);
    eg_buf_done(&out);
}

Test(policy_learn, patches_are_unified_diffs)
{
    expect_diff("a\n", "a\n", "");
    expect_diff("", "a\n", "--- a/dir/f\n+++ b/dir/f\n@@ -0,0 +1,1 @@\n+a\n");
    expect_diff("1\n2\n3\n4\n5\n6\n", "1\n2\n3\n4\nx\n5\n6\n", "--- a/dir/f\n+++ b/dir/f\n@@ -2,5 +2,6 @@\n 2\n 3\n 4\n+x\n 5\n 6\n");
    expect_diff("a\nb", "a\nc", "--- a/dir/f\n+++ b/dir/f\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n");
    expect_diff("x\n1\n2\n3\n4\n5\n6\n7\n8\n9\ny\n", "X\n1\n2\n3\n4\n5\n6\n7\n8\n9\nY\n",
                "--- a/dir/f\n+++ b/dir/f\n@@ -1,4 +1,4 @@\n-x\n+X\n 1\n 2\n 3\n@@ -8,4 +8,4 @@\n 7\n 8\n 9\n-y\n+Y\n");
}
