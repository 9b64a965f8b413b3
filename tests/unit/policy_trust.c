/* policy_trust.c - "Layers and trust" of the language, clause by clause: which layer has the word, and what a file may not say before it is trusted. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "policy/schema.h"
#include "support/policies.h"

#define E "egress: 1\n"

struct layered {
    struct eg_buf block;
    struct eg_policy *policy;
};

/* In any order: the layer decides, not the place in the list. */
static void build(struct layered *l, const char *org, const char *user, const char *repo)
{
    const struct eg_policy_file files[] = {
        { "egress.yaml", eg_slice_str(repo), EG_LAYER_REPO, true },
        { "org.yaml", eg_slice_str(org), EG_LAYER_ORG, true },
        { "user.yaml", eg_slice_str(user), EG_LAYER_USER, true },
    };
    l->policy = eg_policies_build_files(files, 3, &l->block);
}

static void done(struct layered *l)
{
    eg_policy_close(l->policy);
    eg_buf_done(&l->block);
}

static void judge(const struct layered *l, const char *host, const char *expect)
{
    struct eg_authority to;
    struct eg_verdict v;
    char got[200];
    cr_assert_eq(eg_authority_parse(eg_slice_str(host), 443, &to, NULL), EG_OK);
    eg_policy_judge_tunnel(l->policy, &to, &v);
    snprintf(got, sizeof got, "%s %.*s", egress_status_name(v.status), (int)v.rule.n,
             v.rule.n ? v.rule.p : "");
    cr_expect_str_eq(got, expect, "%s: %s", host, got);
}

/* ---- org < user < repo ---- */

Test(policy_trust, of_single_values_the_more_specific_layer_wins)
{
    struct layered l;
    build(&l, E "via: true\nlimits: {connections: 1, headers: 11, head_bytes: 1KiB}\n",
          E "limits: {connections: 2, headers: 22}\nname: user\n",
          E "limits: {connections: 3}\nvia: false\n");
    cr_expect_eq(eg_policy_limits(l.policy)->connections, 3);
    cr_expect_eq(eg_policy_limits(l.policy)->headers, 22);
    cr_expect_eq(eg_policy_limits(l.policy)->head_bytes, 1024);
    cr_expect(!eg_policy_settings(l.policy)->via);
    cr_expect(eg_slice_eq(eg_policy_name(l.policy), EG_SLICE("user")));
    done(&l);
}

Test(policy_trust, lists_unite_and_deny_beats_allow_across_all_layers)
{
    struct layered l;
    build(&l, E "allow: [o.example, n1.example]\ndeny: [n2.example, n3.example]\n",
          E "allow: [u.example, n2.example]\ndeny: [n1.example]\n",
          E "allow: [r.example, n3.example, n4.example]\ndeny: [n4.example]\n");
    judge(&l, "o.example", "ok org.yaml:2");
    judge(&l, "u.example", "ok user.yaml:2");
    judge(&l, "r.example", "ok egress.yaml:2");
    judge(&l, "n1.example", "host_denied user.yaml:3");
    judge(&l, "n2.example", "host_denied org.yaml:3");
    judge(&l, "n3.example", "host_denied org.yaml:3");
    judge(&l, "n4.example", "host_denied egress.yaml:3");
    done(&l);
}

Test(policy_trust, networks_unite_and_metadata_opens_in_the_org_layer_alone)
{
    static const struct eg_policies_row rows[] = {
        { E "networks: {allow_metadata: true}\n", "-", EG_LAYER_ORG, false },
        { E "networks: {allow_metadata: true}\n", "2:12 org-only", EG_LAYER_USER, false },
        { E "networks: {allow_metadata: true}\n", "2:12 org-only", EG_LAYER_REPO, false },
        { E "networks: {allow_metadata: true}\n", "2:12 org-only", EG_LAYER_COMMAND, false },
        { E "networks: {allow_metadata: false}\n", "-", EG_LAYER_REPO, false },
    };
    struct layered l;
    struct eg_verdict by = { .status = EG_OK }, v;
    struct eg_addr addr;
    eg_policies_check(rows, sizeof rows / sizeof *rows);
    build(&l, E "networks: {allow: [10.1.0.0/16]}\nallow: [a.example]\n",
          E "networks: {allow: [10.2.0.0/16]}\n", E);
    cr_assert(eg_addr_parse(EG_SLICE("10.1.2.3"), &addr));
    eg_policy_judge_address(l.policy, &by, &addr, 443, &v);
    cr_expect_eq(v.status, EG_OK);
    cr_assert(eg_addr_parse(EG_SLICE("10.2.2.3"), &addr));
    eg_policy_judge_address(l.policy, &by, &addr, 443, &v);
    cr_expect_eq(v.status, EG_OK);
    cr_assert(eg_addr_parse(EG_SLICE("10.3.2.3"), &addr));
    eg_policy_judge_address(l.policy, &by, &addr, 443, &v);
    cr_expect_eq(v.status, EG_ADDRESS_DENIED);
    done(&l);
}

/* ---- what an untrusted file may contain ---- */

/* As the language has it; what a list or a map of these holds is meant too. */
static bool may_say(const char *path)
{
    static const char *const all[] = { "egress", "name",  "extends", "allow",
                                       "deny",   "tests", "mode",    "limits" };
    static const char *const of_services[] = { "preset", "route",  "rules",
                                               "deny",   "limits", "upstream" };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        size_t n = strlen(all[i]);
        if (strncmp(path, all[i], n) == 0 && (!path[n] || path[n] == '.' || path[n] == '['))
            return true;
    }
    if (strcmp(path, "services") == 0 || strcmp(path, "services.*") == 0)
        return true;
    for (size_t i = 0; i < sizeof of_services / sizeof *of_services; i++) {
        size_t n = strlen(of_services[i]);
        if (strncmp(path, "services.*.", 11) == 0 && strncmp(path + 11, of_services[i], n) == 0 &&
            (!path[11 + n] || path[11 + n] == '.' || path[11 + n] == '['))
            return true;
    }
    return false;
}

Test(policy_trust, an_untrusted_file_may_contain_these_keys_and_no_other)
{
    const struct eg_schema_key *key;
    unsigned others = 0;
    for (unsigned i = 0; (key = eg_schema_each(i)) != NULL; i++) {
        cr_expect_eq((key->flags & EG_KEY_UNTRUSTED) != 0, may_say(key->path), "%s", key->path);
        others += !(key->flags & EG_KEY_UNTRUSTED);
    }
    cr_assert_gt(others, 80);
}

#define S E "services:\n  s: "

Test(policy_trust, what_an_untrusted_file_says_of_itself_is_bounded)
{
    static const struct eg_policies_row rows[] = {
        { E "mode: enforce\n", "-", 0, true },
        { E "mode: observe\n", "2:7 untrusted-key", 0, true },
        { E "limits: {connections: 1023}\n", "-", 0, true },
        { E "limits: {connections: 1025}\n", "2:10 untrusted-key", 0, true },
        { E "tests: [{connect: \"a.example:443\", expect: deny}]\n", "-", 0, true },
        { S "{upstream: \"https://a.example\", rules: [\"GET /**\"], deny: [\"GET /x\"], route: r, "
            "limits: {concurrent: 2}}\n",
          "-", 0, true },
        { S "{upstream: \"https://a.example\", redact: false}\n", "3:38 untrusted-key", 0, true },
        { S "{upstream: \"https://a.example\", credential: k}\n", "3:38 untrusted-key", 0, true },
        { S "{upstream: \"https://a.example\", env: {key: K}}\n", "3:38 untrusted-key", 0, true },
        { S "{upstream: \"https://a.example\", write: \"header:x: {}\"}\n", "3:38 untrusted-key", 0,
          true },
        { S "{upstream: \"https://127.0.0.1\"}\n", "3:17 untrusted-key", 0, true },
        { S "{upstream: \"http://10.0.0.1\"}\n", "3:17 untrusted-key", 0, true },
    };
    eg_policies_check(rows, sizeof rows / sizeof *rows);
}

Test(policy_trust, an_untrusted_file_opens_no_special_range)
{
    static const char *const ranges[] = {
        "127.0.0.0/8",   "10.0.0.0/8",     "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16",
        "100.64.0.0/10", "224.0.0.0/4",    "198.18.0.0/15", "240.0.0.0/4",    "::1/128",
        "fc00::/7",      "fe80::/10",      "ff00::/8",      "::ffff:0:0/96",  "2002::/16",
        "2001::/32",     "64:ff9b:1::/48", "0.0.0.0/0",     "::/0",           "10.0.0.0/7"
    };
    static const char *const addresses[] = { "127.0.0.1", "169.254.169.254", "10.0.0.1",
                                             "::1",       "fd00::1",         "192.0.2.1" };
    char texts[40][120];
    struct eg_policies_row rows[40];
    unsigned n = 0;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++, n++) {
        snprintf(texts[n], sizeof texts[n], E "allow:\n  - {cidr: \"%s\"}\n", ranges[i]);
        rows[n] = (struct eg_policies_row){ texts[n], "3:12 untrusted-key", 0, true };
    }
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++, n++) {
        snprintf(texts[n], sizeof texts[n], E "allow:\n  - {address: \"%s\"}\n", addresses[i]);
        rows[n] = (struct eg_policies_row){ texts[n], "3:15 untrusted-key", 0, true };
    }
    rows[n++] =
        (struct eg_policies_row){ E "allow:\n  - {cidr: \"93.184.216.0/24\"}\n", "-", 0, true };
    eg_policies_check(rows, n);
}

/* The next step stands beside each. */
Test(policy_trust, every_refusal_for_trust_says_how_to_trust)
{
    static const char *const texts[] = { E "via: true\n",
                                         E "mode: observe\n",
                                         E "limits: {connections: 2000}\n",
                                         E "allow:\n  - {cidr: 10.0.0.0/8}\n",
                                         E "extends: ../x.yaml\n",
                                         S "{upstream: \"https://10.0.0.1\"}\n",
                                         S "{upstream: \"https://a.example\", credential: k}\n",
                                         E "services: {x: {preset: openai, credential: y}}\n" };
    cr_assert_geq(sodium_init(), 0);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const struct eg_policy_file file = { "egress.yaml", eg_slice_str(texts[i]), EG_LAYER_REPO,
                                             false };
        struct eg_diags *d = NULL;
        struct eg_buf block;
        eg_buf_init(&block, 1 << 20);
        cr_assert_eq(eg_diags_new(&d), EG_OK);
        cr_assert_eq(eg_policy_compile(&file, 1, &eg_policies_reader, d, &block, NULL), EG_INVALID);
        for (unsigned k = 0; k < eg_diags_total(d); k++) {
            const struct eg_diag *one = eg_diags_at(d, k);
            cr_expect_str_eq(one->code, "untrusted-key", "%s", texts[i]);
            cr_expect(one->fix && strstr(one->fix, "`egressctl trust egress.yaml`") &&
                          strstr(one->fix, "`--trust`"),
                      "%s", texts[i]);
        }
        eg_diags_free(d);
        eg_buf_done(&block);
    }
}

/* It can't take a service from the user's or the organisation's file, whose key it would then be sent. */
Test(policy_trust, an_untrusted_file_redefines_no_service_of_a_trusted_one)
{
    static const char user[] =
        E "services:\n  s: {upstream: \"https://a.example\", credential: k}\n"
          "credentials:\n  k: {from: \"env:K\", hosts: [a.example]}\n";
    static const char repo[] = E "services:\n  s: {upstream: \"https://evil.example\"}\n";
    for (int trusted = 0; trusted < 2; trusted++) {
        const struct eg_policy_file files[] = {
            { "user.yaml", eg_slice_str(user), EG_LAYER_USER, true },
            { "egress.yaml", eg_slice_str(repo), EG_LAYER_REPO, trusted },
        };
        struct eg_policies_result r;
        eg_policies_compile(files, 2, &eg_policies_reader, &r);
        cr_expect_str_eq(r.codes, trusted ? "" : "egress.yaml:3 untrusted-key", "%s", r.texts);
        eg_policies_result_done(&r);
    }
}
