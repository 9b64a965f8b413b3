/* policy_fmt.c - the one layout of a policy file: what it looks like, that comments stay, that nothing else changes. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/fmt.h"

static enum eg_status lay_out(const char *text, struct eg_buf *out)
{
    const struct eg_policy_file file = { "egress.yaml", eg_slice_str(text), EG_LAYER_REPO, true };
    struct eg_diags *d = NULL;
    cr_assert_geq(sodium_init(), 0);
    cr_assert_eq(eg_diags_new(&d), EG_OK);
    eg_buf_init(out, 8 << 20);
    enum eg_status status = eg_policy_fmt(&file, d, out, NULL);
    cr_assert_eq(status == EG_INVALID, eg_diags_count(d, EG_DIAG_ERROR) > 0);
    eg_diags_free(d);
    if (status == EG_OK)
        cr_assert_eq(eg_buf_append(out, "", 1), EG_OK);
    return status;
}

static void expect(const char *text, const char *want)
{
    struct eg_buf once, twice;
    cr_assert_eq(lay_out(text, &once), EG_OK, "of:\n%s", text);
    cr_assert_str_eq(once.data, want, "got:\n%s\nwant:\n%s", once.data, want);
    cr_assert_eq(lay_out(once.data, &twice), EG_OK);
    cr_assert_str_eq(twice.data, once.data, "not stable:\n%s\nthen:\n%s", once.data, twice.data);
    eg_buf_done(&once);
    eg_buf_done(&twice);
}

Test(policy_fmt, keys_stand_in_the_order_of_the_language)
{
    expect("services:\n  a:\n    rules: [GET /]\n    upstream: https://a.example\nallow: [b.example]\negress: 1\n",
           "egress: 1\n\nallow:\n  - b.example\n\nservices:\n  a:\n    upstream: https://a.example\n    rules: [GET /]\n");
}

Test(policy_fmt, names_and_lists_keep_their_order)
{
    expect("egress: 1\nservices: {z: {}, a: {}}\nallow: [z.example, a.example]\n",
           "egress: 1\n\nallow:\n  - z.example\n  - a.example\n\nservices:\n  z: {}\n  a: {}\n");
}

Test(policy_fmt, json_becomes_yaml)
{
    expect("{\"egress\": 1,\n\"allow\": [{\"host\": \"a.example\",\n  \"scheme\": \"http\"}],\n\"via\": true}",
           "egress: 1\n\nallow:\n  - {host: a.example, scheme: http}\n\nvia: true\n");
}

Test(policy_fmt, quotes_only_where_they_are_needed)
{
    expect("egress: 1\nname: 'a b'\nallow: ['*.a.example', \"b.example\"]\ndeny:\n"
           "  - {host: c.example, why: \"no, not this: a \\\"test\\\"\"}\n"
           "services:\n  s:\n    rules: ['POST /{a,b}', 'GET /x']\n    env: {key: [\"true\"], base_path: '1'}\n",
           "egress: 1\nname: a b\n\nallow:\n  - \"*.a.example\"\n  - b.example\n\ndeny:\n"
           "  - {host: c.example, why: \"no, not this: a \\\"test\\\"\"}\n"
           "\nservices:\n  s:\n    rules:\n      - POST /{a,b}\n      - GET /x\n    env: {base_path: \"1\", key: [\"true\"]}\n");
}

Test(policy_fmt, a_number_in_quotes_stays_in_quotes)
{
    expect("egress: 1\nname: \"12\"\n", "egress: 1\nname: \"12\"\n");
    expect("egress: 1\nname: 12\n", "egress: 1\nname: 12\n");
}

Test(policy_fmt, what_is_too_long_for_a_line_gets_several)
{
    expect("egress: 1\nallow:\n- {host: a-rather-long-name.a.example, scheme: https, ports: [443, 8443], why: because it is needed here}\n",
           "egress: 1\n\nallow:\n  - host: a-rather-long-name.a.example\n    scheme: https\n    ports: [443, 8443]\n    why: because it is needed here\n");
}

Test(policy_fmt, folded_text_becomes_one_line)
{
    expect("egress: 1\nallow:\n  - host: a.example\n    why: >-\n      two\n      lines # no comment\n",
           "egress: 1\n\nallow:\n  - {host: a.example, why: \"two lines # no comment\"}\n");
}

Test(policy_fmt, a_comment_behind_text_of_several_lines)
{
    expect("egress: 1\nallow:\n  - host: a\n      b # c\n  - host: d\n    why: e\n      f # g\n",
           "egress: 1\n\nallow:\n  - {host: a b}  # c\n  - host: d\n    why: e f  # g\n");
}

Test(policy_fmt, a_comment_behind_an_element_of_nothing)
{
    expect("egress: 1\nallow:\n  - a.example # a\n  # b\n  - # c\n  -\n",
           "egress: 1\n\nallow:\n  - a.example  # a\n  # b\n  -  # c\n  -\n");
}

Test(policy_fmt, a_comment_behind_an_empty_text_in_brackets)
{
    expect("egress: 1\nallow:\n  - {host: a.example, why: \"\"} # c\n  - b.example\n",
           "egress: 1\n\nallow:\n  - {host: a.example, why: \"\"}  # c\n  - b.example\n");
}

Test(policy_fmt, a_comment_beside_a_list_in_a_list)
{
    expect("egress: 1\nallow:\n  - - - # a\n  -\n", "egress: 1\n\nallow:\n  # a\n  -\n    -\n      -\n  -\n");
}

Test(policy_fmt, comments_stay_where_they_belong)
{
    expect("# of the file\n\n# too\negress: 1 # one\n"
           "# of deny\ndeny: # beside deny\n"
           "  # of a\n  - a.example # beside a\n\n  # of b, second line\n  # here\n  - b.example\n  # at the foot of deny\n"
           "# of name\nname: x\n"
           "allow:\n- {host: c.example} # beside c\n- host: d.example # beside the host\n  scheme: http\n# of services\n"
           "services:\n  s:\n    upstream: https://s.example\n    # at the foot of s\n  # at the foot of services\n# at the end\n",
           "# of the file\n\n# too\negress: 1  # one\n# of name\nname: x\n\n"
           "allow:\n  - {host: c.example}  # beside c\n  - host: d.example    # beside the host\n    scheme: http\n\n"
           "# of deny\ndeny:  # beside deny\n"
           "  # of a\n  - a.example  # beside a\n\n  # of b, second line\n  # here\n  - b.example\n  # at the foot of deny\n\n"
           "# of services\nservices:\n  s:\n    upstream: https://s.example\n    # at the foot of s\n  # at the foot of services\n# at the end\n");
}

Test(policy_fmt, comments_in_brackets_spread_them)
{
    expect("egress: 1\nservices:\n  s:\n    env: {base_url: A, # the first\n      key: [B, # inner\n      C]} # last\n    rules: [ # all\n      GET /\n      # foot\n     ]\n",
           "egress: 1\n\nservices:\n  s:\n    rules:  # all\n      - GET /\n      # foot\n    env:           # last\n      base_url: A  # the first\n      key:\n        - B  # inner\n        - C\n");
}

Test(policy_fmt, comments_alone_are_a_file)
{
    expect("# nothing yet\n\n# here\n", "# nothing yet\n\n# here\n");
    expect("", "");
}

Test(policy_fmt, empty_lines_shrink_to_one)
{
    expect("egress: 1\n\n\n\nname: x\nallow:\n\n  - a.example\n\n\n  - b.example\n  - c.example\n\n\n",
           "egress: 1\n\nname: x\n\nallow:\n  - a.example\n\n  - b.example\n  - c.example\n");
}

Test(policy_fmt, an_unknown_key_is_laid_out_too)
{
    expect("zzz: {b: 1, a: [x, {y: z}]}\negress: 1\n", "egress: 1\nzzz: {b: 1, a: [x, {y: z}]}\n");
}

Test(policy_fmt, lists_in_lists_and_missing_values)
{
    expect("egress: 1\nallow:\n  - - a\n    -\n  -\nname:\n",
           "egress: 1\nname:\n\nallow:\n  -\n    - a\n    -\n  -\n");
}

Test(policy_fmt, what_cannot_be_read_is_not_laid_out)
{
    static const char *const texts[] = { "egress: 1\negress: 1\n", "allow: [\n", "a: &x 1\n", "[egress]\n",
                                         "egress: 1\n--- \na: 1\n", "a: !!str 1\n" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct eg_buf out;
        cr_assert_eq(lay_out(texts[i], &out), EG_INVALID, "%s", texts[i]);
        cr_assert_eq(out.len, 0);
        eg_buf_done(&out);
    }
}

/* Every cut of a file with comments in odd places either says nothing or keeps all of them and is stable. */
Test(policy_fmt, every_beginning_of_a_file_is_stable)
{
    static const char text[] = "# a\negress: 1 # b\nallow: # c\n- x.example # d\n# e\n- {host: y.example, # f\n  scheme: http } # g\n  # h\n\n"
                               "services: {s: {upstream: https://s.example, # i\n # j\n rules: [GET /, 'POST /{a,b}'] # k\n } # l\n}\n# m\nvia: true";
    for (size_t n = 0; n <= sizeof text - 1; n++) {
        char part[sizeof text];
        struct eg_buf once, twice;
        snprintf(part, n + 1, "%s", text);
        if (lay_out(part, &once) == EG_OK) {
            unsigned before = 0, after = 0;
            for (size_t i = 0; i < n; i++)
                before += part[i] == '#';
            for (size_t i = 0; i < once.len; i++)
                after += once.data[i] == '#';
            cr_assert_eq(before, after, "of:\n%s\ngot:\n%s", part, once.data);
            cr_assert_eq(lay_out(once.data, &twice), EG_OK);
            cr_assert_str_eq(twice.data, once.data);
            eg_buf_done(&twice);
        }
        eg_buf_done(&once);
    }
}

/* The meaning, by the policy's own identity. */
Test(policy_fmt, the_policy_stays_the_same_policy)
{
    static const char text[] = "allow: [b.example, {host: '*.c.example', ports: [8443, 443]}, {cidr: 203.0.113.0/24, scheme: tcp, ports: any}]\n"
                               "deny: [{host: x.c.example, why: 'no: never'}]\nlimits: {idle_timeout: 5m}\negress: 1\n";
    struct eg_buf out, blocks[2];
    unsigned char ids[2][32];
    cr_assert_eq(lay_out(text, &out), EG_OK);
    for (int i = 0; i < 2; i++) {
        const struct eg_policy_file file = { "egress.yaml", i ? eg_slice(out.data, out.len - 1) : eg_slice_str(text), EG_LAYER_REPO, true };
        struct eg_diags *d = NULL;
        struct eg_policy *p = NULL;
        eg_buf_init(&blocks[i], 1 << 20);
        cr_assert_eq(eg_diags_new(&d), EG_OK);
        cr_assert_eq(eg_policy_compile(&file, 1, NULL, d, &blocks[i], NULL), EG_OK);
        cr_assert_eq(eg_policy_open(blocks[i].data, blocks[i].len, &p, NULL), EG_OK);
        memcpy(ids[i], eg_policy_id(p), 32);
        eg_policy_close(p);
        eg_diags_free(d);
        eg_buf_done(&blocks[i]);
    }
    cr_assert_arr_eq(ids[0], ids[1], 32);
    eg_buf_done(&out);
}

/* They are copied: `fmt --check` must not find fault with them. */
Test(policy_fmt, what_people_copy_is_laid_out)
{
    static const char *const files[] = { "quickstart", "examples/agent", "examples/oauth2", "examples/presets", "examples/writes" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[400], text[8192] = { 0 };
        struct eg_buf out;
        snprintf(path, sizeof path, EG_SOURCE_DIR "/policy/%s.yaml", files[i]);
        FILE *f = fopen(path, "re");
        cr_assert_not_null(f, "%s", path);
        size_t n = fread(text, 1, sizeof text - 1, f);
        fclose(f);
        cr_assert(n > 0 && n < sizeof text - 1);
        cr_assert_eq(lay_out(text, &out), EG_OK, "%s", path);
        cr_expect_str_eq(out.data, text, "%s", path);
        eg_buf_done(&out);
    }
}
