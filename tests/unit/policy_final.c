/* policy_final.c - keys that the org layer keeps for itself: who may not set them, and how that is said. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "support/policies.h"

#define E "egress: 1\n"

static void with_org(const char *org, const char *lower, enum eg_layer layer, bool trusted,
                     const struct eg_policy_reader *more, struct eg_policies_result *r)
{
    const struct eg_policy_file files[] = {
        { "org.yaml", eg_slice_str(org), EG_LAYER_ORG, true },
        { "low.yaml", eg_slice_str(lower), layer, trusted },
    };
    struct eg_policy_reader reader = more ? *more : (struct eg_policy_reader){ 0 };
    eg_policies_compile(files, 2, &reader, r);
}

Test(final, a_lower_layer_does_not_set_what_the_org_keeps)
{
    static const struct {
        const char *org, *low, *expect;
    } rows[] = {
        { "final: [networks]\n", "networks: {allow: [10.0.0.0/8]}\n", "low.yaml:2 final-key" },
        { "final: [networks]\n", "networks: {}\n", "low.yaml:2 final-key" },
        { "final: networks\n", "networks:\n", "low.yaml:2 final-key" },
        { "final: [networks.allow]\n", "networks: {allow: []}\n", "low.yaml:2 final-key" },
        { "final: [networks.allow]\n", "networks: {}\n", "" },
        { "final: [limits.connections]\n", "limits:\n  headers: 50\n  connections: 5\n",
          "low.yaml:4 final-key" },
        { "final: [limits.connections]\n", "limits: {headers: 50}\n", "" },
        { "final: [limits]\n", "limits: {headers: 50}\n", "low.yaml:2 final-key" },
        { "final: [allow]\n", "allow: [a.example]\n", "low.yaml:2 final-key" },
        { "final: [allow]\n", "deny: [a.example]\n", "" },
        { "final: [via, mode]\n", "mode: enforce\nvia: false\n",
          "low.yaml:2 final-key, low.yaml:3 final-key" },
        { "final: [upstream]\n", "upstream: none\n", "low.yaml:2 final-key" },
        { "final: [upstream.resolve]\n", "upstream: none\n", "low.yaml:2 final-key" },
        { "final: [upstream.resolve]\n", "upstream: {proxies: [{proxy: \"http://p.example\"}]}\n",
          "low.yaml:2 final-key" },
        { "final: [services]\n", "services: {}\n", "low.yaml:2 final-key" },
        { "final: [services.s]\n", "services:\n  s: {upstream: \"https://a.example\"}\n",
          "low.yaml:3 final-key" },
        { "final: [services.s]\n", "services:\n  t: {upstream: \"https://a.example\"}\n", "" },
        { "final: [services.s.rules]\n", "services:\n  s: {upstream: \"https://a.example\"}\n",
          "low.yaml:3 final-key" },
        { "final: [\"services.*.redact\"]\n", "services:\n  t: {upstream: \"https://a.example\"}\n",
          "" },
        { "final: [\"services.*.websocket\"]\n",
          "services:\n  t:\n    upstream: https://a.example\n    websocket: true\n",
          "low.yaml:5 final-key" },
        { "final: [\"services.*.tls\"]\nservices:\n  t: {upstream: \"https://b.example\"}\n",
          "services:\n  t: {upstream: \"https://a.example\"}\n", "low.yaml:3 final-key" },
        { "final: [\"services.*\"]\n", "services:\n  t: {upstream: \"https://a.example\"}\n",
          "low.yaml:3 final-key" },
        { "final: [credentials.k]\n", "credentials:\n  k: {from: \"env:K\", hosts: [a.example]}\n",
          "low.yaml:3 final-key" },
        { "final: [extends]\n", "extends: preset:agent-baseline\n", "low.yaml:2 final-key" },
        { "final: []\n", "via: true\n", "" },
        { "final: [limits.conections]\n", "", "org.yaml:2 unknown-key" },
        { "final: [nonsense]\n", "", "org.yaml:2 unknown-key" },
        { "final: [services.s.nonsense]\n", "", "org.yaml:2 unknown-key" },
        { "final: [\"services.\"]\n", "", "org.yaml:2 unknown-key" },
        { "final: [\"allow[]\"]\n", "", "org.yaml:2 unknown-key" },
        { "final: [\"\"]\n", "", "org.yaml:2 unknown-key" },
        { "final: [egress, final]\n", "", "org.yaml:2 bad-value, org.yaml:2 bad-value" },
        { "final: {a: b}\n", "", "org.yaml:2 bad-type" },
        { "", "final: [via]\n", "low.yaml:2 org-only" },
    };
    unsigned failed = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char org[300], low[300];
        struct eg_policies_result r;
        snprintf(org, sizeof org, E "%s", rows[i].org);
        snprintf(low, sizeof low, E "%s", rows[i].low);
        with_org(org, low, i % 2 ? EG_LAYER_USER : EG_LAYER_REPO, true, NULL, &r);
        if (strcmp(r.codes, rows[i].expect) != 0) {
            fprintf(stderr, "row %zu: got %s, want %s\n%s", i, r.codes, rows[i].expect, r.texts);
            failed++;
        }
        eg_policies_result_done(&r);
    }
    cr_assert_eq(failed, 0);
}

Test(final, the_org_itself_and_what_it_extends_may_set_it)
{
    struct eg_policies_result r;
    with_org(E "final: [via, deny]\nvia: true\nextends: preset:agent-baseline\n", E "",
             EG_LAYER_REPO, false, NULL, &r);
    cr_assert_eq(r.status, EG_OK, "%s", r.texts);
    eg_policies_result_done(&r);
}

Test(final, a_preset_of_a_lower_layer_is_of_that_layer)
{
    struct eg_policies_result r;
    with_org(E "final: [deny]\n", E "extends: preset:agent-baseline\n", EG_LAYER_USER, true, NULL,
             &r);
    cr_assert_not_null(strstr(r.codes, " final-key"), "%s", r.texts);
    cr_assert_eq(strncmp(r.codes, "preset:agent-baseline:", 22), 0);
    eg_policies_result_done(&r);
}

Test(final, the_message_names_the_line_of_the_org_layer)
{
    struct eg_policies_result r;
    with_org(E "via: false\nfinal: [mode, via]\n", E "via: true\n", EG_LAYER_USER, true, NULL, &r);
    cr_assert_not_null(
        strstr(r.texts, "low.yaml:2:1: error[final-key]: via is final in org.yaml:3\n"), "%s",
        r.texts);
    eg_policies_result_done(&r);
}

Test(final, options_of_the_command_line_count_as_a_lower_layer)
{
    const struct eg_policy_reader observe = { .observe = true };
    const struct eg_hop hop = { 0 };
    const struct eg_upstream_choice choice = { .from = EG_UPSTREAM_OPTION,
                                               .secure = &hop,
                                               .plain = &hop };
    const struct eg_policy_reader upstream = { .upstream = &choice };
    struct eg_policies_result r;
    with_org(E "final: [mode]\n", E, EG_LAYER_REPO, true, &observe, &r);
    cr_assert_str_eq(r.codes, "org.yaml:2 final-key");
    eg_policies_result_done(&r);
    with_org(E "final: [upstream.bypass]\n", E, EG_LAYER_REPO, true, &upstream, &r);
    cr_assert_str_eq(r.codes, "org.yaml:2 final-key");
    eg_policies_result_done(&r);
    with_org(E "final: [via]\n", E, EG_LAYER_REPO, true, &upstream, &r);
    cr_assert_str_eq(r.codes, "");
    eg_policies_result_done(&r);
}
