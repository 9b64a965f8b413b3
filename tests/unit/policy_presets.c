/* policy_presets.c - every preset that is shipped, in one line of what it makes. How a file completes one is in policy_presets_use.c, what parameters
 * take in policy_presets_params.c. */
#include <criterion/criterion.h>
#include <glob.h>
#include <regex.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "cred/cred.h"
#include "policy/preset.h"
#include "support/policies.h"
#include "support/presets.h"

struct row {
    const char *name;
    const char *with;  /* of the service; "" none */
    const char *expect;
    const char *shape; /* what a vendor's tools look for in a key; NULL: nothing is known */
    unsigned length;   /* of a real one */
};

/* clients.md, Service presets; * before the line: a route by hand. */
static const struct row rows[] = {
    { "openai", "",
      "https://api.openai.com accept bearer,header:x-api-key,header:api-key "
      "write header:Authorization=Bearer {} strip - url OPENAI_BASE_URL/v1 key OPENAI_API_KEY "
      "from env:OPENAI_API_KEY hosts api.openai.com",
      "^sk-[A-Za-z0-9_-]{48,}$", 51 },
    { "anthropic", "",
      "https://api.anthropic.com accept header:x-api-key,bearer write header:x-api-key={} strip - "
      "url ANTHROPIC_BASE_URL key ANTHROPIC_API_KEY from env:ANTHROPIC_API_KEY "
      "hosts api.anthropic.com",
      "^sk-ant-api03-[A-Za-z0-9_-]{93}AA$|^sk-ant-api03-[A-Za-z0-9_-]{95}$", 108 },
    { "anthropic-oauth", "",
      "https://api.anthropic.com accept bearer,header:x-api-key "
      "write header:Authorization=Bearer {} strip - url ANTHROPIC_BASE_URL "
      "key ANTHROPIC_AUTH_TOKEN from env:ANTHROPIC_AUTH_TOKEN hosts api.anthropic.com",
      "^sk-ant-oat01-[A-Za-z0-9_-]{80,}$", 108 },
    { "gemini", "",
      "https://generativelanguage.googleapis.com accept header:x-goog-api-key,bearer,query:key "
      "write header:x-goog-api-key={} strip query:key url GOOGLE_GEMINI_BASE_URL "
      "key GEMINI_API_KEY,GOOGLE_API_KEY from env:GEMINI_API_KEY "
      "hosts generativelanguage.googleapis.com",
      "^AIza[A-Za-z0-9_-]{35}$", 39 },
    { "azure-openai", "with: {resource: acme}",
      "https://acme.openai.azure.com accept header:api-key,bearer write header:api-key={} strip - "
      "url AZURE_OPENAI_ENDPOINT key AZURE_OPENAI_API_KEY from env:AZURE_OPENAI_API_KEY "
      "hosts acme.openai.azure.com",
      "^[0-9A-Za-z]{32}$", 32 },
    { "azure-openai-ad", "with: {resource: acme}",
      "https://acme.openai.azure.com accept bearer,header:api-key "
      "write header:Authorization=Bearer {} strip - url AZURE_OPENAI_ENDPOINT "
      "key AZURE_OPENAI_AD_TOKEN from env:AZURE_OPENAI_AD_TOKEN hosts acme.openai.azure.com",
      NULL, 0 },
    { "mistral", "route: m",
      "*https://api.mistral.ai accept bearer write header:Authorization=Bearer {} strip - "
      "url MISTRAL_BASE_URL key MISTRAL_API_KEY from env:MISTRAL_API_KEY hosts api.mistral.ai",
      "^[0-9A-Za-z]{32}$", 32 },
    { "groq", "",
      "https://api.groq.com accept bearer write header:Authorization=Bearer {} strip - "
      "url GROQ_BASE_URL key GROQ_API_KEY from env:GROQ_API_KEY hosts api.groq.com",
      "^gsk_[A-Za-z0-9]{52}$", 56 },
    { "openrouter", "",
      "https://openrouter.ai accept bearer write header:Authorization=Bearer {} strip - "
      "url OPENROUTER_BASE_URL/api/v1 key OPENROUTER_API_KEY from env:OPENROUTER_API_KEY "
      "hosts openrouter.ai",
      "^sk-or-v1-[0-9A-Za-z]{64}$", 73 },
    { "cohere", "route: c",
      "*https://api.cohere.com accept bearer write header:Authorization=Bearer {} strip - "
      "url COHERE_BASE_URL key CO_API_KEY from env:CO_API_KEY hosts api.cohere.com",
      "^[A-Za-z0-9]{40}$", 40 },
    { "huggingface", "",
      "https://huggingface.co accept bearer write header:Authorization=Bearer {} strip - "
      "url HF_ENDPOINT key HF_TOKEN from env:HF_TOKEN hosts huggingface.co",
      "^hf_[A-Za-z0-9]{34}$", 37 },
    { "github", "route: gh",
      "*https://api.github.com accept bearer write header:Authorization=Bearer {} strip - "
      "url GITHUB_BASE_URL key GITHUB_TOKEN,GH_TOKEN from env:GITHUB_TOKEN hosts api.github.com",
      "^ghp_[A-Za-z0-9]{36}$", 40 },
    { "github-uploads", "route: up",
      "*https://uploads.github.com accept bearer write header:Authorization=Bearer {} strip - "
      "url GITHUB_UPLOADS_BASE_URL key GITHUB_UPLOADS_TOKEN from env:GITHUB_TOKEN "
      "hosts uploads.github.com",
      "^ghp_[A-Za-z0-9]{36}$", 40 },
    { "github-git", "",
      "https://github.com accept basic,bearer write basic=x-access-token:{} strip - "
      "url GITHUB_GIT_BASE_URL key GITHUB_GIT_TOKEN from env:GITHUB_TOKEN hosts github.com",
      "^ghp_[A-Za-z0-9]{36}$", 40 },
    { "gitlab", "",
      "https://gitlab.com accept header:PRIVATE-TOKEN,bearer write header:PRIVATE-TOKEN={} "
      "strip query:private_token,query:access_token,header:JOB-TOKEN url GITLAB_BASE_URL "
      "key GITLAB_TOKEN from env:GITLAB_TOKEN hosts gitlab.com",
      "^glpat-[A-Za-z0-9_-]{20,}$", 26 },
    { "gitlab", "with: {host: Git.ACME.example.}",
      "https://git.acme.example accept header:PRIVATE-TOKEN,bearer write header:PRIVATE-TOKEN={} "
      "strip query:private_token,query:access_token,header:JOB-TOKEN url GITLAB_BASE_URL "
      "key GITLAB_TOKEN from env:GITLAB_TOKEN hosts git.acme.example",
      NULL, 0 },
    { "gitlab-git", "with: {host: git.acme.example}",
      "https://git.acme.example accept basic,bearer write basic=oauth2:{} strip - "
      "url GITLAB_GIT_BASE_URL key GITLAB_GIT_TOKEN from env:GITLAB_TOKEN hosts git.acme.example",
      NULL, 0 },
    { "slack", "route: s",
      "*https://slack.com accept bearer write header:Authorization=Bearer {} strip query:token "
      "url SLACK_BASE_URL key SLACK_BOT_TOKEN from env:SLACK_BOT_TOKEN hosts slack.com",
      "^xoxb-[A-Za-z0-9-]{24,}$", 57 },
    { "slack-files", "route: sf",
      "*https://files.slack.com accept bearer write header:Authorization=Bearer {} "
      "strip query:t,query:token url SLACK_FILES_BASE_URL key SLACK_FILES_TOKEN "
      "from env:SLACK_BOT_TOKEN hosts files.slack.com",
      NULL, 0 },
    { "stripe", "",
      "https://api.stripe.com accept bearer write header:Authorization=Bearer {} strip - "
      "url STRIPE_BASE_URL key STRIPE_API_KEY from env:STRIPE_API_KEY hosts api.stripe.com",
      "^sk_test_[A-Za-z0-9]{24,}$", 32 },
    { "notion", "route: n",
      "*https://api.notion.com accept bearer write header:Authorization=Bearer {} strip - "
      "url NOTION_BASE_URL key NOTION_TOKEN from env:NOTION_TOKEN hosts api.notion.com",
      "^ntn_[A-Za-z0-9]{46}$", 50 },
    { "linear", "route: l",
      "*https://api.linear.app accept header:Authorization write header:Authorization={} strip - "
      "url LINEAR_BASE_URL key LINEAR_API_KEY from env:LINEAR_API_KEY hosts api.linear.app",
      "^lin_api_[A-Za-z0-9]{40}$", 48 },
    { "linear-oauth", "route: l",
      "*https://api.linear.app accept bearer write header:Authorization=Bearer {} strip - "
      "url LINEAR_OAUTH_BASE_URL key LINEAR_ACCESS_TOKEN from env:LINEAR_ACCESS_TOKEN "
      "hosts api.linear.app",
      NULL, 0 },
    { "jira", "with: {site: acme, email: a.b+c@acme.example}",
      "https://acme.atlassian.net accept basic,bearer write basic=a.b+c@acme.example:{} strip - "
      "url JIRA_BASE_URL key JIRA_API_TOKEN from env:JIRA_API_TOKEN hosts acme.atlassian.net",
      "^ATATT3xFfGF0[A-Za-z0-9_=-]{24,}$", 192 },
    { "aws", "with: {service: s3, region: eu-central-1}",
      "https://s3.eu-central-1.amazonaws.com accept sigv4 write sigv4={access_key}{secret_key} "
      "strip - url AWS_ENDPOINT_URL key AWS_ACCESS_KEY_ID,AWS_SECRET_ACCESS_KEY "
      "from s3/eu-central-1 hosts s3.eu-central-1.amazonaws.com,b.s3.eu-central-1.amazonaws.com",
      NULL, 0 },
    { "aws-bedrock", "with: {region: us-east-1}",
      "https://bedrock-runtime.us-east-1.amazonaws.com accept bearer "
      "write header:Authorization=Bearer {} strip - url AWS_ENDPOINT_URL_BEDROCK_RUNTIME "
      "key AWS_BEARER_TOKEN_BEDROCK from env:AWS_BEARER_TOKEN_BEDROCK "
      "hosts bedrock-runtime.us-east-1.amazonaws.com",
      NULL, 0 },
    { "gcp", "route: g, with: {service: storage, key: /etc/egress/sa.json}",
      "*https://storage.googleapis.com accept bearer write header:Authorization=Bearer {} strip - "
      "url GCP_BASE_URL key GOOGLE_OAUTH_ACCESS_TOKEN from file:/etc/egress/sa.json "
      "hosts storage.googleapis.com",
      "^ya29\\.[A-Za-z0-9_-]{24,}$", 218 },
    { "cloudflare", "route: cf",
      "*https://api.cloudflare.com accept bearer write header:Authorization=Bearer {} strip - "
      "url CLOUDFLARE_BASE_URL key CLOUDFLARE_API_TOKEN from env:CLOUDFLARE_API_TOKEN "
      "hosts api.cloudflare.com",
      "^[A-Za-z0-9_-]{40}$", 40 },
    { "datadog", "with: {keys: /usr/local/bin/dd-keys}",
      "https://api.datadoghq.com accept header:DD-API-KEY,header:DD-APPLICATION-KEY "
      "write header:DD-API-KEY={api},header:DD-APPLICATION-KEY={app} strip - url DD_API_URL "
      "key DD_API_KEY,DD_APP_KEY from cmd:/usr/local/bin/dd-keys hosts api.datadoghq.com",
      "^[0-9A-Za-z]{32}$", 32 },
    { "datadog-intake", "with: {site: datadoghq.eu}",
      "https://api.datadoghq.eu accept header:DD-API-KEY write header:DD-API-KEY={} "
      "strip header:DD-APPLICATION-KEY,query:api_key,query:application_key url DD_API_URL "
      "key DD_API_KEY from env:DD_API_KEY hosts api.datadoghq.eu",
      "^[0-9A-Za-z]{32}$", 32 },
};
enum { ROWS = sizeof rows / sizeof *rows };

static void policy_of(const struct row *r, char *out, size_t cap)
{
    snprintf(out, cap, "egress: 1\nservices:\n  %s: {%s}\n", r->name, r->with);
}

/* The preset's own star, and the line of the service. */
static void line_of(const struct row *r, char *out, size_t cap)
{
    struct eg_arena arena;
    struct eg_preset_head head;
    struct eg_buf block;
    char text[512];
    const struct eg_preset *preset = eg_preset_find(eg_slice_str(r->name));
    cr_assert_not_null(preset, "%s", r->name);
    eg_arena_init(&arena, 1 << 20);
    cr_assert_eq(eg_preset_head(preset, &arena, &head), EG_OK);
    policy_of(r, text, sizeof text);
    struct eg_policy *p = eg_policies_build("egress.yaml", text, &block);
    snprintf(out, cap, "%s", head.intercept ? "*" : "");
    eg_presets_describe(p, r->name, out + strlen(out), cap - strlen(out));
    eg_policy_close(p);
    eg_buf_done(&block);
    eg_arena_done(&arena);
}

Test(policy_presets, each_service_is_as_its_vendor_wants_it)
{
    unsigned failed = 0;
    for (size_t i = 0; i < ROWS; i++) {
        char got[2048];
        line_of(&rows[i], got, sizeof got);
        if (strcmp(got, rows[i].expect) != 0) {
            fprintf(stderr, "%s\n  got  %s\n  want %s\n", rows[i].name, got, rows[i].expect);
            failed++;
        }
    }
    cr_assert_eq(failed, 0, "%u rows differ", failed);
}

Test(policy_presets, each_service_has_a_row)
{
    const struct eg_preset *p;
    unsigned services = 0;
    for (unsigned i = 0; (p = eg_preset_each(i)) != NULL; i++) {
        bool found = p->kind != EG_PRESET_SERVICE;
        services += !found;
        for (size_t k = 0; k < ROWS; k++)
            found |= strcmp(rows[k].name, p->name) == 0;
        cr_expect(found, "%s", p->name);
        cr_expect_eq(eg_preset_find(eg_slice_str(p->name)), p);
    }
    cr_assert_geq(services, 21);
    cr_assert_null(eg_preset_find(EG_SLICE("")));
    cr_assert_null(eg_preset_find(EG_SLICE("open")));
    cr_assert_str_eq(eg_preset_nearest(EG_SLICE("antropic")), "anthropic");
    cr_assert_null(eg_preset_nearest(EG_SLICE("something-else")));
}

/* Tools look at a key before they use it: what the child gets passes that, and is no key of the vendor's. */
Test(policy_presets, each_phantom_has_its_vendors_shape)
{
    static const unsigned char key[32] = "0123456789abcdef0123456789abcdef";
    struct eg_vault *vault = NULL;
    struct eg_secret *secret = NULL;
    cr_assert_geq(sodium_init(), 0);
    cr_assert_eq(eg_vault_new(&vault, 4096, false, NULL, NULL), EG_OK);
    cr_assert_eq(eg_secret_new(vault, key, sizeof key, &secret, NULL), EG_OK);
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *r = &rows[i];
        char text[512], phantom[EG_PHANTOM_MAX + 1];
        struct eg_buf block;
        struct eg_service s;
        regex_t re;
        if (!r->shape)
            continue;
        policy_of(r, text, sizeof text);
        struct eg_policy *p = eg_policies_build("egress.yaml", text, &block);
        eg_presets_service(p, r->name, &s);
        cr_assert_eq(eg_phantom_make(secret, s.name, s.shape_prefix,
                                     s.shape_length ? s.shape_length : r->length, phantom),
                     EG_OK);
        cr_assert_eq(regcomp(&re, r->shape, REG_EXTENDED | REG_NOSUB), 0);
        cr_expect_eq(regexec(&re, phantom, 0, NULL, 0), 0, "%s: %s", r->name, phantom);
        regfree(&re);
        eg_policy_close(p);
        eg_buf_done(&block);
    }
    eg_secret_free(secret);
    eg_vault_free(vault);
}

/* What is embedded is what lies in the folder, and nothing of it is a vendor's secret or a registry that nobody chose. */
Test(policy_presets, the_folder_is_what_is_embedded)
{
    glob_t found;
    const struct eg_preset *p;
    unsigned count = 0;
    cr_assert_eq(glob(EG_SOURCE_DIR "/policy/presets/*.yaml", 0, NULL, &found), 0);
    for (unsigned i = 0; (p = eg_preset_each(i)) != NULL; i++, count++) {
        char path[512], *text = calloc(1, 1 << 16);
        snprintf(path, sizeof path, EG_SOURCE_DIR "/policy/presets/%s.yaml", p->name);
        FILE *f = fopen(path, "r");
        cr_assert(f && text, "%s", path);
        size_t n = fread(text, 1, (1 << 16) - 1, f);
        fclose(f);
        cr_expect(eg_slice_eq(p->text, eg_slice(text, n)), "%s", p->name);
        cr_expect(n > 2 && strncmp(text + 2, p->about, strlen(p->about)) == 0, "%s", p->name);
        cr_expect_null(strstr(text, "    rules:"), "%s: rules are for the user to give", p->name);
        free(text);
    }
    cr_assert_eq(count, found.gl_pathc);
    globfree(&found);
}
