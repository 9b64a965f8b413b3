/* policy_presets_use.c - how a file completes a preset: what it may say, what wins, whose credential it is, and what an untrusted file may not. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>

#include "support/policies.h"
#include "support/presets.h"

#define E        "egress: 1\nservices:\n  "
#define CHECK(r) eg_policies_check(r, sizeof(r) / sizeof *(r))

Test(policy_presets, what_a_trusted_file_may_say)
{
    static const struct eg_policies_row rows[] = {
        { E "openai: {}\n", "-", 0, false },
        { E "openai:\n", "-", 0, false },
        { E "llm: {preset: openai}\n", "-", 0, false },
        { E
          "openai: {}\n  anthropic: {}\n  gemini: {}\n  groq: {}\n  openrouter: {}\n  stripe: {}\n"
          "  huggingface: {}\n  github-git: {}\n  gitlab: {}\n  gitlab-git: {}\n",
          "-", 0, false },
        { E "opnai: {}\n", "3:3 missing-key", 0, false },
        { E "a: {preset: opnai}\n", "3:15 unknown-preset", 0, false },
        { E "a: {preset: npm}\n", "3:15 unknown-preset", 0, false },
        { E "npm: {}\n", "3:3 unknown-preset", 0, false },
        { E "a: {preset: \"preset:openai\"}\n", "3:15 unknown-preset", 0, false },
        { E "a: {preset: \"../openai\"}\n", "3:15 unknown-preset", 0, false },
        { E "openai: {with: {}}\n", "-", 0, false },
        { E "openai: {with: {host: a.example}}\n", "3:19 unknown-key", 0, false },
        { E "gitlab: {with: {host: [a.example]}}\n", "3:25 bad-type", 0, false },
        { E "gitlab: {with: {host: {a: b}}}\n", "3:25 bad-type", 0, false },
        { E "gitlab: {with: host}\n", "3:18 bad-type", 0, false },
        { E "a: {upstream: \"https://a.example\", with: {b: c}}\n", "3:38 bad-value", 0, false },
        { E "azure-openai: {}\n", "3:3 missing-key", 0, false },
        { E "azure: {preset: azure-openai}\n", "3:19 missing-key", 0, false },
        /* where the key is not written there is nothing more to say of it */
        { E "openai: {rules: []}\n", "3:12 bad-value", 0, false },
        { E "openai: {websocket: maybe}\n", "3:23 bad-type", 0, false },
        /* two of one preset share its variables: the second says other ones */
        { E "openai: {}\n  b: {preset: openai}\n", "4:3 duplicate-name, 4:3 duplicate-name", 0,
          false },
        { E "openai: {}\n  b: {preset: openai, env: {base_url: B_URL, key: [B_KEY]}}\n", "-", 0,
          false },
        /* another upstream is not where the preset's credential goes */
        { E "openai: {preset: openai, upstream: \"https://llm.example/v1\"}\n",
          "3:3 credential-host", 0, false },
        { E "openai: {preset: openai, upstream: \"https://llm.example/v1\"}\n"
            "credentials:\n  openai: {from: \"env:K\", hosts: [llm.example]}\n",
          "-", 0, false },
        { E "openai: {credential: k}\n", "3:24 unknown-credential", 0, false },
        { E "openai: {credential: k}\ncredentials:\n  k: {from: \"env:K\", hosts: [a.example]}\n",
          "3:24 credential-host", 0, false },
        { E "openai: {credential: k}\ncredentials:\n  k: {from: \"env:K\", hosts: "
            "[api.openai.com]}\n",
          "-", 0, false },
        { E "openai: {}\ncredentials:\n  openai: {from: \"keyring:a/b\"}\n", "-", 0, false },
        { E "openai: {}\ncredentials:\n  openai: {from: \"keyring:a/b\", hosts: [a.example]}\n",
          "3:3 credential-host", 0, false },
        { E "openai: {}\ncredentials:\n  other: {from: \"keyring:a/b\"}\n", "5:3 missing-key", 0,
          false },
        { E
          "openai: {upstream: \"https://a.example\"}\ncredentials:\n  openai: {from: \"env:K\"}\n",
          "5:3 missing-key", 0, false },
        { E
          "openai: {}\ncredentials:\n  openai: {from: \"env:K\", oauth2: {grant: refresh_token}}\n",
          "3:3 unknown-credential, 5:27 bad-source", 0, false },
        { E "aws: {with: {service: s3, region: eu-central-1}}\n"
            "credentials:\n  aws: {aws_sigv4: {from: \"aws:work\", region: eu-central-1, service: "
            "s3}}\n",
          "-", 0, false },
        /* interception is not built */
        { E "mistral: {}\n", "3:3 not-available", 0, false },
        { E "m: {preset: mistral}\n", "3:3 not-available", 0, false },
        { E "mistral: {route: mistral}\n", "-", 0, false },
        { E "mistral: {intercept: true}\n", "3:13 not-available", 0, false },
    };
    CHECK(rows);
}

/* policy.md, Layers and trust. */
Test(policy_presets, what_an_untrusted_file_may_say)
{
    static const struct eg_policies_row rows[] = {
        { E "openai: {}\n", "-", 0, true },
        { E "a: {preset: openai, route: a, rules: [GET /v1/models], deny: [\"DELETE /**\"], "
            "limits: {concurrent: 2}}\n",
          "-", 0, true },
        { E "openai: {upstream: \"https://evil.example\", preset: openai}\n", "3:12 untrusted-key",
          0, true },
        { E "openai: {upstream: \"https://evil.example\"}\n", "-", 0, true }, /* a plain route */
        { E "openai: {credential: openai}\n", "3:12 untrusted-key", 0, true },
        { E "openai: {write: [bearer]}\n", "3:12 untrusted-key", 0, true },
        { E "openai: {accept: [bearer]}\n", "3:12 untrusted-key", 0, true },
        { E "openai: {env: {key: [LD_PRELOAD]}}\n", "3:12 untrusted-key", 0, true },
        { E "openai: {shape: {prefix: x}}\n", "3:12 untrusted-key", 0, true },
        { E "openai: {redact: false}\n", "3:12 untrusted-key", 0, true },
        { E "openai: {websocket: true}\n", "3:12 untrusted-key", 0, true },
        { E "openai: {tls: {server_name: evil.example}}\n", "3:12 untrusted-key", 0, true },
        { E "openai: {strip: [\"header:x\"]}\n", "3:12 untrusted-key", 0, true },
        { E "openai: {trailers: [x]}\n", "3:12 untrusted-key", 0, true },
        { E "openai: {plaintext: true}\n", "3:12 untrusted-key", 0, true },
        { E "gitlab: {with: {host: evil.example}}\n", "3:12 untrusted-key", 0, true },
        { E "gitlab: {}\n", "3:3 untrusted-key", 0, true },
        { E "g: {preset: gitlab}\n", "3:15 untrusted-key", 0, true },
        { E "azure-openai: {with: {resource: evil}}\n", "3:18 untrusted-key", 0, true },
        { E "aws: {with: {service: s3, region: eu-central-1}}\n", "3:9 untrusted-key", 0, true },
        { E "datadog: {}\n", "3:3 missing-key", 0, true },
        { E "mistral: {}\n", "3:3 not-available", 0, true },
        { E "mistral: {route: m}\n", "-", 0, true },
        { E "openai: {}\ncredentials:\n  openai: {from: \"env:HOME\"}\n", "4:1 untrusted-key", 0,
          true },
    };
    CHECK(rows);
}

static struct eg_policy *two(const char *user, const char *repo, bool trusted, struct eg_buf *block)
{
    const struct eg_policy_file files[] = {
        { "user.yaml", eg_slice_str(user), EG_LAYER_USER, true },
        { "egress.yaml", eg_slice_str(repo), EG_LAYER_REPO, trusted },
    };
    return eg_policies_build_files(files, 2, block);
}

static void expect(const char *user, const char *repo, bool trusted, const char *service,
                   const char *part)
{
    struct eg_buf block;
    char text[2048];
    struct eg_policy *p = two(user, repo, trusted, &block);
    eg_presets_describe(p, service, text, sizeof text);
    cr_expect(strstr(text, part), "%s%s: %s\n  wants %s", user, repo, text, part);
    eg_policy_close(p);
    eg_buf_done(&block);
}

Test(policy_presets, the_file_wins_key_by_key)
{
    static const struct {
        const char *repo, *part;
    } rows[] = {
        { E "openai: {write: [\"header:api-key: {}\"]}\n",
          "https://api.openai.com accept bearer,header:x-api-key,header:api-key "
          "write header:api-key={} strip - url OPENAI_BASE_URL/v1" },
        { E "openai: {env: {base_path: /v2}}\n", "url OPENAI_BASE_URL/v2 key OPENAI_API_KEY" },
        { E "openai: {env: {key: [A, B]}}\n", "url OPENAI_BASE_URL/v1 key A,B" },
        { E "openai: {accept: [bearer]}\n", "accept bearer write" },
        { E "openai: {strip: [\"header:x-debug\"]}\n", "strip header:x-debug url" },
        { E "openai: {}\ncredentials: {openai: {from: \"keyring:a/b\"}}\n",
          "from keyring:a/b hosts api.openai.com" },
        { E "openai: {}\ncredentials: {openai: {load: start}}\n",
          "from env:OPENAI_API_KEY hosts api.openai.com" },
        { E "openai: {credential: k}\ncredentials: {k: {from: \"env:K\", hosts: api.openai.com}}\n",
          "from env:K hosts api.openai.com" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect("egress: 1\n", rows[i].repo, true, "openai", rows[i].part);
}

/* The user says once where the key is; whatever the repository asks for is served from there, and only to the preset's host. */
Test(policy_presets, the_users_credential_serves_the_repositorys_service)
{
    static const char keyring[] = "egress: 1\ncredentials: {openai: {from: \"keyring:llm/me\"}}\n";
    static const char whole[] = "egress: 1\ncredentials: {openai: {from: \"keyring:llm/me\", "
                                "hosts: [api.openai.com, other.example]}}\n";
    expect(keyring, E "openai: {}\n", true, "openai", "from keyring:llm/me hosts api.openai.com");
    expect(keyring, E "openai: {}\n", false, "openai", "from keyring:llm/me hosts api.openai.com");
    expect(whole, E "openai: {}\n", false, "openai", "from keyring:llm/me hosts api.openai.com");
    /* the more specific one, whichever of the two says its hosts */
    expect(whole, E "openai: {}\ncredentials: {openai: {from: \"env:R\"}}\n", true, "openai",
           "from env:R hosts api.openai.com");
    expect(keyring,
           E "openai: {}\ncredentials: {openai: {from: \"env:R\", hosts: [api.openai.com]}}\n",
           true, "openai", "from env:R hosts api.openai.com");
    expect(keyring, E "openai: {}\ncredentials: {openai: {from: \"env:R\"}}\n", true, "openai",
           "from env:R hosts api.openai.com");
}

/* The user's key of one vendor under the preset of another: hosts that the user left out are the ones of the name that the user wrote. */
Test(policy_presets, an_untrusted_file_sends_no_key_to_another_vendor)
{
    static const char user[] = "egress: 1\ncredentials: {openai: {from: \"keyring:llm/me\"}}\n";
    static const char bound[] = "egress: 1\ncredentials: {openai: {from: \"keyring:llm/me\", "
                                "hosts: [api.openai.com]}}\n";
    static const char repo[] = E "openai: {preset: groq}\n";
    for (int i = 0; i < 2; i++) {
        const struct eg_policy_file files[] = {
            { "user.yaml", eg_slice_str(i ? bound : user), EG_LAYER_USER, true },
            { "egress.yaml", eg_slice_str(repo), EG_LAYER_REPO, false },
        };
        struct eg_diags *d = NULL;
        struct eg_buf block;
        struct eg_err err = { 0 };
        bool refused = false;
        eg_buf_init(&block, 1 << 20);
        cr_assert_geq(sodium_init(), 0);
        cr_assert_eq(eg_diags_new(&d), EG_OK);
        cr_expect_eq(eg_policy_compile(files, 2, &eg_policies_reader, d, &block, &err), EG_INVALID);
        for (unsigned k = 0; k < eg_diags_total(d); k++)
            refused |=
                strcmp(eg_diags_at(d, k)->code, i ? "credential-host" : "untrusted-key") == 0;
        cr_expect(refused, "%d", i);
        eg_diags_free(d);
        eg_buf_done(&block);
    }
    /* a trusted one says so on purpose */
    expect(user, repo, true, "openai", "https://api.groq.com accept");
}

Test(policy_presets, a_service_of_another_name_has_a_credential_of_its_own)
{
    static const char repo[] =
        E "openai: {}\n  team: {preset: openai, env: {base_url: T_URL, key: [T_KEY]}}\n"
          "credentials: {team: {from: \"env:TEAM\"}}\n";
    expect("egress: 1\n", repo, true, "team", "from env:TEAM hosts api.openai.com");
    expect("egress: 1\n", repo, true, "openai", "from env:OPENAI_API_KEY hosts api.openai.com");
}

static enum eg_status ask(const struct eg_policy *p, const char *route, const char *method,
                          const char *path)
{
    struct eg_verdict v;
    struct eg_path_flags flags = { 0 };
    int service = eg_policy_service_of_route(p, eg_slice_str(route));
    cr_assert_geq(service, 0);
    eg_policy_judge_route(p, (unsigned)service, eg_slice_str(method), eg_slice_str(path), flags,
                          &v);
    return v.status;
}

Test(policy_presets, rules_of_the_file_narrow_the_route)
{
    struct eg_buf block;
    struct eg_policy *p =
        two("egress: 1\n", E "openai: {rules: [\"POST /v1/**\"], deny: \"POST /v1/files/**\"}\n",
            false, &block);
    cr_expect_eq(ask(p, "openai", "POST", "/v1/responses"), EG_OK);
    cr_expect_eq(ask(p, "openai", "GET", "/v1/models"), EG_RULE_DENIED);
    cr_expect_eq(ask(p, "openai", "POST", "/v1/files/x"), EG_RULE_DENIED);
    eg_policy_close(p);
    eg_buf_done(&block);
}

/* A file adds to what a preset refuses; nobody drops it. */
Test(policy_presets, what_a_preset_refuses_stays_refused)
{
    static const char *const files[] = { E "openai: {}\n", E "openai: {deny: []}\n",
                                         E "openai: {deny: [\"DELETE /**\"]}\n",
                                         E "openai: {deny: \"DELETE /**\"}\n",
                                         E "openai: {rules: [\"* /**\"]}\n" };
    for (size_t i = 0; i < 2 * sizeof files / sizeof *files; i++) {
        struct eg_buf block;
        struct eg_policy *p = two("egress: 1\n", files[i / 2], i % 2 == 0, &block);
        cr_expect_eq(ask(p, "openai", "POST", "/v1/organization/admin_api_keys"), EG_RULE_DENIED,
                     "%s", files[i / 2]);
        cr_expect_eq(ask(p, "openai", "POST", "/v1/organizations"), EG_OK, "%s", files[i / 2]);
        cr_expect_eq(ask(p, "openai", "DELETE", "/v1/files/x"),
                     strstr(files[i / 2], "DELETE") ? EG_RULE_DENIED : EG_OK, "%s", files[i / 2]);
        eg_policy_close(p);
        eg_buf_done(&block);
    }
}

/* Rules name the line that a reviewer wants: the file's for the service, the preset's for what it brings. */
Test(policy_presets, places_are_where_it_was_written)
{
    struct eg_buf block;
    struct eg_service s;
    struct eg_credential c;
    struct eg_policy *p = two("egress: 1\n", E "openai: {}\n", true, &block);
    eg_presets_service(p, "openai", &s);
    cr_expect(eg_slice_eq(s.rule, EG_SLICE("egress.yaml:3")), "%.*s", (int)s.rule.n, s.rule.p);
    eg_policy_credential(p, 0, &c);
    cr_expect(eg_slice_starts(c.rule, EG_SLICE("preset:openai:")), "%.*s", (int)c.rule.n, c.rule.p);
    eg_policy_close(p);
    eg_buf_done(&block);
}
