/* policy_slots.c - slots, templates and what is stripped: every form, and every fault with its exact place. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "support/policies.h"

#define CHECK(rows) eg_policies_check(rows, sizeof rows / sizeof *rows)
#define S           "egress: 1\nservices:\n  s:\n    upstream: https://a.example\n    credential: k\n"
#define C           "credentials:\n  k: {from: \"env:K\", hosts: [a.example]}\n"
#define ACCEPT(x)   S "    accept: " x "\n" C
#define WRITE(x)    S "    write: " x "\n" C
#define STRIP(x)    S "    strip: " x "\n" C

Test(policy, slots_that_are_accepted)
{
    static const struct eg_policies_row rows[] = {
        { ACCEPT("[bearer]"), "-", 0, false },
        { ACCEPT("bearer"), "-", 0, false },
        { ACCEPT("[query:key]"), "-", 0, false },
        { ACCEPT("[\"query:api-version_1.x~\"]"), "-", 0, false },
        { ACCEPT("[\"query:\"]"), "6:14 bad-slot", 0, false },
        { ACCEPT("[\"query:a=b\"]"), "6:14 bad-slot", 0, false },
        { ACCEPT("[\"query:a&b\"]"), "6:14 bad-slot", 0, false },
        { ACCEPT("[\"query:a%20\"]"), "6:14 bad-slot", 0, false },
        { ACCEPT("[\"path:2\"]"), "-", 0, false },
        { ACCEPT("[\"path:32\"]"), "-", 0, false },
        { ACCEPT("[\"path:1\"]"), "6:14 bad-slot", 0, false },
        { ACCEPT("[\"path:33\"]"), "6:14 bad-slot", 0, false },
        { ACCEPT("[\"path:02\"]"), "6:14 bad-slot", 0, false },
        { ACCEPT("[\"path:\"]"), "6:14 bad-slot", 0, false },
        { ACCEPT("[\"path:two\"]"), "6:14 bad-slot", 0, false },
        { ACCEPT("[\"path:/bot\"]"), "6:14 bad-slot", 0, false },
        { ACCEPT("[\"path:99999999999999999999999\"]"), "6:14 bad-slot", 0, false },
        { ACCEPT("[\"cookie:sid\"]"), "-", 0, false },
        { ACCEPT("[\"cookie:\"]"), "6:14 bad-slot", 0, false },
        { ACCEPT("[\"cookie:a;b\"]"), "6:14 bad-slot", 0, false },
        { ACCEPT("[\"cookie:a=b\"]"), "6:14 bad-slot", 0, false },
        { ACCEPT("[\"form:x\"]"), "6:14 bad-slot", 0, false },
        { ACCEPT("[\"basic:user\"]"), "6:14 bad-slot", 0, false },
        { ACCEPT("[bearer, bearer]"), "6:22 duplicate-name", 0, false },
        { ACCEPT("[\"header:X-A\", \"header:x-a\"]"), "6:28 duplicate-name", 0, false },
        { ACCEPT("[\"query:a\", \"query:A\"]"), "-", 0, false },
        { ACCEPT("[\"query:a\", \"query:a\"]"), "6:25 duplicate-name", 0, false },
        { ACCEPT("[\"path:2\", \"path:3\", \"path:2\"]"), "6:34 duplicate-name", 0, false },
        { ACCEPT("[\"cookie:a\", \"header:a\", \"query:a\"]"), "-", 0, false },
        { ACCEPT("[]"), "6:5 bad-slot", 0, false },
        { ACCEPT("[\"query:1\", \"query:2\", \"query:3\", \"query:4\", \"query:5\", \"query:6\", "
                 "\"query:7\", \"query:8\", \"query:9\", \"query:10\", \"query:11\", \"query:12\", "
                 "\"query:13\", \"query:14\", \"query:15\", \"query:16\"]"),
          "-", 0, false },
        { ACCEPT("[\"query:1\", \"query:2\", \"query:3\", \"query:4\", \"query:5\", \"query:6\", "
                 "\"query:7\", \"query:8\", \"query:9\", \"query:10\", \"query:11\", \"query:12\", "
                 "\"query:13\", \"query:14\", \"query:15\", \"query:16\", \"query:17\"]"),
          "6:5 too-large", 0, false },
    };
    CHECK(rows);
}

Test(policy, templates_that_are_written)
{
    static const struct eg_policies_row rows[] = {
        { WRITE("bearer"), "-", 0, false },
        { WRITE("[\"header:Authorization: token {}\"]"), "-", 0, false },
        { WRITE("[\"header:a:{}\"]"), "-", 0, false },
        { WRITE("[\"header:a: {}{}\"]"), "-", 0, false },
        { WRITE("[\"header:a: {\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"header:a: }\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"header:a: {} }\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"header:a: {{}}\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"header:a: {Name}\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"header:a: {a b}\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"header:a: {a-b}\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"header:a: {a\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"header:a: \\xe9{}\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"header:a:\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"header:a\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"header:a b: {}\"]"), "6:13 bad-header", 0, false },
        { WRITE("[\"header:Content-Length: {}\"]"), "6:13 bad-header", 0, false },
        { WRITE("[\"basic:user:{}\"]"), "-", 0, false },
        { WRITE("[\"basic:{}:\"]"), "-", 0, false },
        { WRITE("[\"basic:{}:x-oauth-basic\"]"), "-", 0, false },
        { WRITE("[\"basic:{}\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"basic:\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"basic:user:hunter2\"]"), "6:13 inline-secret", 0, false },
        { WRITE("[\"query:key={}\"]"), "-", 0, false },
        { WRITE("[\"query:key=v1.{}/x\", \"query:api-version=2024-02-01\"]"), "-", 0, false },
        { WRITE("[\"query:key={}&a\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"query:key=%20{}\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"query:key=a b{}\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"query:key=a+{}\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"query:key\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"query:={}\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[bearer, \"query:token=abc\"]"), "6:21 inline-secret", 0, false },
        { WRITE("[bearer, \"query:sig=ghp_abcdefghijklmnopqrstuvwxyz0123456789\"]"),
          "6:21 inline-secret", 0, false },
        { WRITE("[\"path:/bot{}/\"]"), "-", 0, false },
        { WRITE("[\"path:/a/{}/b/\"]"), "-", 0, false },
        { WRITE("[\"path:bot{}/\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"path:/bot{}\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"path:/\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"path://{}/\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"path:/../{}/\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"path:/./{}/\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"path:/a%2e/{}/\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"path:/a;b/{}/\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"path:/{}?x/\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[bearer, \"path:/v1/\"]"), "6:21 bad-slot", 0, false },
        { WRITE("[\"path:/{}/\", \"path:/a{}/\"]"), "6:26 duplicate-name", 0, false },
        { WRITE("[\"cookie:sid={}\"]"), "-", 0, false },
        { WRITE("[\"cookie:sid={}\", \"cookie:lang=en\"]"), "-", 0, false },
        { WRITE("[\"cookie:sid={};\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"cookie:sid=a b{}\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"cookie:sid\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"cookie:s d={}\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[\"cookie:sid={}\", \"cookie:sid={}x\"]"), "6:30 duplicate-name", 0, false },
        { WRITE("[\"cookie:sid={}\", \"header:Cookie: a={}\"]"), "6:30 duplicate-name", 0, false },
        { WRITE("[\"basic:u:{}\", bearer]"), "6:27 duplicate-name", 0, false },
        { WRITE("[\"query:a={}\", \"cookie:a={}\", \"header:a: {}\"]"), "-", 0, false },
        { WRITE("[\"header:x-org: acme\"]"), "6:5 bad-slot", 0, false },
        { WRITE("[\"form:a={}\"]"), "6:13 bad-slot", 0, false },
        { WRITE("[token]"), "6:13 bad-slot", 0, false },
    };
    CHECK(rows);
}

Test(policy, what_is_stripped)
{
    static const struct eg_policies_row rows[] = {
        { STRIP("[\"header:x-debug\", \"query:key\", \"cookie:track\"]"), "-", 0, false },
        { STRIP("header:x-debug"), "-", 0, false },
        { STRIP("[bearer]"), "6:13 bad-slot", 0, false },
        { STRIP("[\"path:2\"]"), "6:13 bad-slot", 0, false },
        { STRIP("[\"query:a b\"]"), "6:13 bad-slot", 0, false },
        { STRIP("[\"header:Host\"]"), "6:13 bad-header", 0, false },
        { STRIP("[\"query:a\", \"query:a\"]"), "6:24 duplicate-name", 0, false },
    };
    CHECK(rows);
}

/* A message never shows what could be the secret itself. */
Test(policy, templates_do_not_show_a_password)
{
    static const char *const rows[] = {
        WRITE("[\"basic:user:hunter2\"]"),
        WRITE("[\"basic:hunter2\"]"),
        WRITE("[bearer, \"query:key=hunter2\"]"),
        WRITE("[\"cookie:sid=hunter2;\"]"),
        WRITE("[\"path:hunter2\"]"),
        WRITE("[\"hunter2\"]"),
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct eg_policy_file file = { "egress.yaml", eg_slice_str(rows[i]), EG_LAYER_REPO,
                                             true };
        struct eg_diags *d = NULL;
        struct eg_buf block, text;
        eg_buf_init(&block, 1 << 20);
        eg_buf_init(&text, 1 << 20);
        cr_assert_eq(eg_diags_new(&d), EG_OK);
        cr_assert_eq(eg_policy_compile(&file, 1, &eg_policies_reader, d, &block, NULL), EG_INVALID);
        cr_assert_eq(eg_diags_render(d, false, &text), EG_OK);
        cr_assert_null(memmem(text.data, text.len, "hunter2", 7), "%.*s", (int)text.len, text.data);
        eg_diags_free(d);
        eg_buf_done(&block);
        eg_buf_done(&text);
    }
}

static void is(struct eg_slice got, const char *want)
{
    cr_assert(eg_slice_eq(got, eg_slice_str(want)), "got '%.*s', want '%s'", (int)got.n, got.p,
              want);
}

Test(policy, slots_and_templates_come_out_as_written)
{
    struct eg_buf block;
    struct eg_service s;
    struct eg_policy *p = eg_policies_build(
        "egress.yaml",
        S "    accept: [bearer, \"query:key\", \"path:3\", \"cookie:sid\"]\n"
          "    write: [\"basic:me:{}\", \"query:key=v.{}\", \"path:/bot{}/\", \"cookie:sid={}\", "
          "\"header:x-org:  acme \"]\n"
          "    strip: [\"query:debug\", \"header:x-debug\", \"cookie:c\"]\n" C,
        &block);
    eg_policy_service(p, 0, &s);
    cr_assert(s.accept_count == 4 && s.write_count == 5 && s.strip_slot_count == 3);
    cr_assert(s.accept[1].kind == EG_SLOT_QUERY && s.accept[2].kind == EG_SLOT_PATH &&
              s.accept[2].segment == 3 && s.accept[3].kind == EG_SLOT_COOKIE &&
              s.accept[3].segment == 0);
    is(s.accept[1].name, "key");
    is(s.accept[3].name, "sid");
    cr_assert(s.write[0].kind == EG_WRITE_BASIC && s.write[1].kind == EG_WRITE_QUERY &&
              s.write[2].kind == EG_WRITE_PATH && s.write[3].kind == EG_WRITE_COOKIE &&
              s.write[4].kind == EG_WRITE_HEADER);
    is(s.write[0].text, "me:{}");
    is(s.write[1].name, "key");
    is(s.write[1].text, "v.{}");
    is(s.write[2].text, "/bot{}/");
    is(s.write[3].name, "sid");
    is(s.write[4].text, "acme");
    cr_assert(s.write[3].credential && !s.write[4].credential);
    cr_assert(s.strip_slots[0].kind == EG_SLOT_QUERY && s.strip_slots[2].kind == EG_SLOT_COOKIE);
    is(s.strip_slots[1].name, "x-debug");
    eg_policy_close(p);
    eg_buf_done(&block);
}
