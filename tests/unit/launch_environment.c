/* launch_environment.c - the environment that the child starts with: what is set, what stays,
 * and what must not be there. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "launch/launch.h"
#include "policy/compile.h"

TestSuite(launch_environment, .timeout = 60);

static const char policy_text[] =
    "egress: 1\n"
    "services:\n"
    "  openai:\n"
    "    upstream: https://api.example\n"
    "    credential: openai\n"
    "    write: [\"header:Authorization: Bearer {}\"]\n"
    "    env: {base_url: OPENAI_BASE_URL, base_path: /v1, key: [OPENAI_API_KEY, LLM_KEY]}\n"
    "  my-api.two:\n"
    "    upstream: https://two.example\n"
    "    route: second\n"
    "    credential: two\n"
    "    write: [\"header:x-api-key: {}\"]\n"
    "  open:\n"
    "    upstream: https://three.example\n"
    "  vaulted:\n"
    "    upstream: https://four.example\n"
    "    credential: vaulted\n"
    "    env: {key: [VAULTED_KEY]}\n"
    "credentials:\n"
    "  openai: {from: \"env:REAL_OPENAI\", hosts: [api.example]}\n"
    "  two: {from: \"env:MY_API_TWO_API_KEY\", hosts: [two.example]}\n"
    "  vaulted: {from: \"op://vault/item/key\", hosts: [four.example]}\n";

struct made {
    struct eg_policy *policy;
    struct eg_buf block;
    struct eg_diags *diags;
    char **environment;
};

static enum eg_status no_file(void *ctx, const char *path, struct eg_buf *out, struct eg_err *err)
{
    (void)ctx, (void)path, (void)out;
    return eg_err_set(err, EG_NOT_FOUND, "test", 0, "no files here");
}

/* Of this test's process alone. */
static bool strict;
static const char *text_of = policy_text;
static const struct eg_sockaddr *open_at;

static void make(struct made *m, char *const *parent, unsigned phantoms)
{
    static const char *const services[] = { "openai", "my-api.two" }, *const texts[] = {
        "sk-phantom", "phantom-two"
    };
    const struct eg_policy_file file = {
        .path = "egress.yaml", .text = EG_SLICE_NONE, .layer = EG_LAYER_REPO, .trusted = true
    };
    struct eg_policy_file files[1] = { file };
    const struct eg_policy_reader reader = { .read = no_file };
    const struct eg_sockaddr at = { .addr = { .family = 4, .b = { 127, 0, 0, 1 } }, .port = 4711 };
    struct eg_err err = { 0 };
    struct eg_buf shown;
    files[0].text = eg_slice_str(text_of);
    eg_buf_init(&m->block, 1 << 20);
    eg_buf_init(&shown, 1 << 16);
    cr_assert_eq(eg_diags_new(&m->diags), EG_OK);
    enum eg_status status = eg_policy_compile(files, 1, &reader, m->diags, &m->block, &err);
    cr_assert_eq(eg_diags_render(m->diags, false, &shown), EG_OK);
    cr_assert_eq(status, EG_OK, "%.*s", (int)shown.len, eg_buf_slice(&shown).p);
    eg_buf_done(&shown);
    cr_assert_eq(eg_policy_open(eg_buf_slice(&m->block).p, m->block.len, &m->policy, &err), EG_OK);
    const struct eg_child_env_spec spec = { .parent = parent,
                                            .policy = m->policy,
                                            .listener = &at,
                                            .open = open_at,
                                            .strict = strict,
                                            .session = "run-1",
                                            .token = "0123",
                                            .policy_path = "egress.yaml",
                                            .phantom_count = phantoms,
                                            .phantom_services = services,
                                            .phantom_texts = texts };
    cr_assert_eq(eg_child_env_make(&spec, &m->environment, &err), EG_OK, "%s", err.text);
}

static void drop(struct made *m)
{
    eg_child_env_free(m->environment);
    eg_policy_close(m->policy);
    eg_buf_done(&m->block);
    eg_diags_free(m->diags);
}

/* NULL when absent; fails when it is there twice. */
static const char *get(const struct made *m, const char *name)
{
    const char *found = NULL;
    size_t n = strlen(name);
    for (char **e = m->environment; *e; e++)
        if (strncmp(*e, name, n) == 0 && (*e)[n] == '=') {
            cr_assert_null(found, "%s twice", name);
            found = *e + n + 1;
        }
    return found;
}

static void expect(const struct made *m, const char *name, const char *value)
{
    const char *got = get(m, name);
    cr_expect(got && strcmp(got, value) == 0, "%s is %s", name, got ? got : "(unset)");
}

static char *const parent[] = { (char[]){ "PATH=/bin" },
                                (char[]){ "HOME=/home/a" },
                                (char[]){ "https_proxy=http://corp:secret@proxy.corp:3128" },
                                (char[]){ "NO_PROXY=.corp" },
                                (char[]){ "ftp_proxy=http://corp:secret@proxy.corp:3128" },
                                (char[]){ "NPM_CONFIG_HTTPS_PROXY=http://x" },
                                (char[]){ "REAL_OPENAI=sk-real-key-1" },
                                (char[]){ "COPY=sk-real-key-1" },
                                (char[]){ "INSIDE=https://u:sk-real-key-1@h/" },
                                (char[]){ "MY_API_TWO_API_KEY=sk-real-key-2" },
                                (char[]){ "JAVA_TOOL_OPTIONS=-Xmx1g" },
                                (char[]){ "EGRESS_TOKEN=old" },
                                (char[]){ "EMPTY=" },
                                (char[]){ "NOEQUALS" },
                                NULL };

Test(launch_environment, proxy_variables_of_all_spellings)
{
    struct made m;
    make(&m, parent, 2);
    static const char *const names[] = { "http_proxy",  "https_proxy", "HTTP_PROXY",
                                         "HTTPS_PROXY", "all_proxy",   "ALL_PROXY" };
    for (unsigned i = 0; i < 6; i++)
        expect(&m, names[i], "http://run-1:0123@127.0.0.1:4711");
    expect(&m, "no_proxy", "127.0.0.1,localhost,::1");
    expect(&m, "NO_PROXY", "127.0.0.1,localhost,::1");
    expect(&m, "NODE_USE_ENV_PROXY", "1");
    expect(&m, "npm_config_noproxy", "127.0.0.1,localhost");
    expect(&m, "GIT_HTTP_PROXY_AUTHMETHOD", "basic");
    expect(&m, "GIT_TERMINAL_PROMPT", "0");
    expect(&m, "CLOUDSDK_PROXY_TYPE", "http");
    expect(&m, "CLOUDSDK_PROXY_ADDRESS", "127.0.0.1");
    expect(&m, "CLOUDSDK_PROXY_PORT", "4711");
    expect(&m, "EGRESS_SESSION", "run-1");
    expect(&m, "EGRESS_TOKEN", "0123");
    expect(&m, "EGRESS_POLICY", "egress.yaml");
    cr_expect_null(get(&m, "ftp_proxy"));
    cr_expect_null(get(&m, "NPM_CONFIG_HTTPS_PROXY"));
    drop(&m);
}

Test(launch_environment, java_is_appended_to_and_gets_no_token)
{
    struct made m;
    make(&m, parent, 2);
    expect(&m, "JAVA_TOOL_OPTIONS",
           "-Xmx1g -Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=4711 -Dhttps.proxyHost=127.0.0.1 "
           "-Dhttps.proxyPort=4711 -Dhttp.nonProxyHosts=localhost|127.0.0.1|[::1]");
    drop(&m);
}

Test(launch_environment, java_goes_to_the_listener_that_asks_for_no_token)
{
    struct made m;
    const struct eg_sockaddr at = { .addr = { .family = 4, .b = { 127, 0, 0, 1 } }, .port = 4712 };
    open_at = &at;
    make(&m, parent, 2);
    expect(&m, "JAVA_TOOL_OPTIONS",
           "-Xmx1g -Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=4712 -Dhttps.proxyHost=127.0.0.1 "
           "-Dhttps.proxyPort=4712 -Dhttp.nonProxyHosts=localhost|127.0.0.1|[::1]");
    expect(&m, "http_proxy", "http://run-1:0123@127.0.0.1:4711");
    drop(&m);
}

/* They win over JAVA_TOOL_OPTIONS, and one of them is a password. */
Test(launch_environment, java_options_of_the_parent_lose_their_proxy_and_nothing_else)
{
    static const char *const mine[] = {
        "JAVA_TOOL_OPTIONS=-Dhttps.proxyHost=proxy.corp -Dhttps.proxyPassword=corp:secret",
        "_JAVA_OPTIONS=-Xms1g\t-Dhttp.proxyHost=proxy.corp  -Da=\"b c\" -Dhttp.proxyPort=3128",
        "MAVEN_OPTS=-DsocksProxyHost=proxy.corp", "GRADLE_OPTS=", "SOME_OPTS=-Dhttp.proxyHost=x",
        NULL
    };
    struct made m;
    make(&m, (char *const *)(uintptr_t)mine, 2);
    const char *java = get(&m, "JAVA_TOOL_OPTIONS");
    cr_expect(java && strstr(java, "-Dhttp.proxyHost=127.0.0.1 ") && !strstr(java, "corp"), "%s",
              java);
    expect(&m, "_JAVA_OPTIONS", "-Xms1g  -Da=\"b c\"");
    expect(&m, "MAVEN_OPTS", "");
    expect(&m, "GRADLE_OPTS", "");
    expect(&m, "SOME_OPTS", "-Dhttp.proxyHost=x");
    drop(&m);
}

Test(launch_environment, programs_with_a_proxy_setting_of_their_own_get_ours)
{
    static const char *const names[] = { "npm_config_proxy",  "npm_config_https_proxy",
                                         "YARN_HTTP_PROXY",   "YARN_HTTPS_PROXY",
                                         "PIP_PROXY",         "CARGO_HTTP_PROXY",
                                         "GIT_CONFIG_VALUE_0" };
    static const char *const mine[] = { "PIP_PROXY=http://corp:secret@proxy.corp:3128",
                                        "yarn_proxy=http://corp:secret@proxy.corp:3128", NULL };
    struct made m;
    make(&m, (char *const *)(uintptr_t)mine, 2);
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        expect(&m, names[i], "http://run-1:0123@127.0.0.1:4711");
    expect(&m, "GIT_CONFIG_COUNT", "1");
    expect(&m, "GIT_CONFIG_KEY_0", "http.proxy");
    cr_expect_null(get(&m, "yarn_proxy"));
    drop(&m);
}

Test(launch_environment, git_settings_of_the_parent_stay_but_for_proxies)
{
    static const char *const mine[] = {
        "GIT_CONFIG_COUNT=3",           "GIT_CONFIG_KEY_0=user.name",
        "GIT_CONFIG_VALUE_0=A B",       "GIT_CONFIG_KEY_1=http.https://x/.Proxy",
        "GIT_CONFIG_VALUE_1=http://corp:secret@proxy.corp:3128",
        "GIT_CONFIG_KEY_2=core.pager",  "GIT_CONFIG_VALUE_2=cat",
        NULL
    };
    struct made m;
    make(&m, (char *const *)(uintptr_t)mine, 2);
    expect(&m, "GIT_CONFIG_COUNT", "4");
    expect(&m, "GIT_CONFIG_VALUE_0", "A B");
    expect(&m, "GIT_CONFIG_VALUE_1", "http://run-1:0123@127.0.0.1:4711");
    expect(&m, "GIT_CONFIG_VALUE_2", "cat");
    expect(&m, "GIT_CONFIG_KEY_3", "http.proxy");
    expect(&m, "GIT_CONFIG_VALUE_3", "http://run-1:0123@127.0.0.1:4711");
    drop(&m);
}

/* As `eval "$(egressctl env)"` does it, or a run inside a run. */
Test(launch_environment, gits_proxy_is_set_once_however_often)
{
    struct made first, m;
    char *const none[] = { NULL };
    make(&first, none, 2);
    make(&m, first.environment, 2);
    expect(&m, "GIT_CONFIG_COUNT", "1");
    expect(&m, "GIT_CONFIG_VALUE_0", "http://run-1:0123@127.0.0.1:4711");
    expect(&m, "JAVA_TOOL_OPTIONS", get(&first, "JAVA_TOOL_OPTIONS"));
    drop(&m);
    drop(&first);
}

static const char git_text[] =
    "egress: 1\n"
    "services:\n"
    "  openai: {upstream: \"https://git.example\", credential: k, env: {git: Git.example}}\n"
    "  my-api.two: {upstream: \"https://git.two.example\", route: second, credential: k,\n"
    "    accept: [basic:password], env: {key: [K2], git: \"git.two.example:8443\"}}\n"
    "  vaulted: {upstream: \"https://four.example\", credential: k, env: {key: [K3], git: four.example}}\n"
    "  open: {upstream: \"https://open.example\", env: {git: open.example}}\n"
    "credentials: {k: {from: \"env:K\", hosts: [git.two.example, git.example, four.example]}}\n";

static unsigned git_settings(const struct made *m, const char *key, const char *value)
{
    unsigned found = 0, count = (unsigned)atoi(get(m, "GIT_CONFIG_COUNT"));
    for (unsigned i = 0; i < count; i++) {
        char k[40], v[40];
        snprintf(k, sizeof k, "GIT_CONFIG_KEY_%u", i);
        snprintf(v, sizeof v, "GIT_CONFIG_VALUE_%u", i);
        cr_assert(get(m, k) && get(m, v), "%s", k);
        found += strcmp(get(m, k), key) == 0 && strcmp(get(m, v), value) == 0;
    }
    return found;
}

/* env.git: remotes as they are written come to the route, with the phantom as the service takes it; twice is once. */
Test(launch_environment, git_is_led_to_the_routes_that_stand_for_its_hosts)
{
    struct made first, m;
    char *const none[] = { NULL };
    text_of = git_text;
    make(&first, none, 2);
    make(&m, first.environment, 2);
#define ROUTE "http://127.0.0.1:4711/openai/"
    cr_expect_eq(git_settings(&m, "url." ROUTE ".insteadOf", "https://git.example/"), 1);
    cr_expect_eq(git_settings(&m, "url." ROUTE ".insteadOf", "git@git.example:"), 1);
    cr_expect_eq(git_settings(&m, "url." ROUTE ".insteadOf", "ssh://git@git.example/"), 1);
    cr_expect_eq(git_settings(&m, "http." ROUTE ".extraHeader", "Authorization: Bearer sk-phantom"),
                 1);
#undef ROUTE
#define ROUTE "http://127.0.0.1:4711/second/"
    cr_expect_eq(git_settings(&m, "url." ROUTE ".insteadOf", "https://git.two.example:8443/"), 1);
    /* git:phantom-two */
    cr_expect_eq(git_settings(&m, "http." ROUTE ".extraHeader",
                              "Authorization: Basic Z2l0OnBoYW50b20tdHdv"),
                 1);
#undef ROUTE
    cr_expect_eq(git_settings(&m, "url.http://127.0.0.1:4711/open/.insteadOf",
                              "https://open.example/"),
                 1);
    cr_expect_eq(git_settings(&m, "url.http://127.0.0.1:4711/vaulted/.insteadOf",
                              "https://four.example/"),
                 0, "a login of the child's own is not hidden where there is no phantom");
    expect(&m, "GIT_CONFIG_COUNT", "12"); /* the proxy, 3 + 1, 3 + 1, 3 */
    drop(&m);
    drop(&first);
}

Test(launch_environment, count_of_git_settings_that_is_none_is_left_to_git)
{
    static const char *const mine[] = { "GIT_CONFIG_COUNT=many", NULL };
    struct made m;
    make(&m, (char *const *)(uintptr_t)mine, 2);
    expect(&m, "GIT_CONFIG_COUNT", "many");
    cr_expect_null(get(&m, "GIT_CONFIG_KEY_0"));
    drop(&m);
}

Test(launch_environment, strict_leaves_out_what_is_named_like_a_secret_and_keeps_phantoms)
{
    static const char *const mine[] = { "GITHUB_TOKEN=a",        "CI_JOB_TOKEN=b",
                                        "MISTRAL_API_KEY=c",     "AWS_SECRET_ACCESS_KEY=d",
                                        "client_secret=e",       "npm_token=f",
                                        "TOKEN_COUNT=1",         "API_KEYBOARD=2",
                                        "OPENAI_API_KEY=sk-own", "HOME=/home/me",
                                        "TOKENIZERS_PARALLELISM=false", NULL };
    static const char *const gone[] = { "GITHUB_TOKEN",          "CI_JOB_TOKEN",  "MISTRAL_API_KEY",
                                        "AWS_SECRET_ACCESS_KEY", "client_secret", "npm_token" };
    for (int i = 0; i < 2; i++) {
        struct made m;
        strict = i;
        make(&m, (char *const *)(uintptr_t)mine, 2);
        for (unsigned k = 0; k < sizeof gone / sizeof *gone; k++)
            cr_expect_eq(get(&m, gone[k]) == NULL, strict, "%s", gone[k]);
        expect(&m, "OPENAI_API_KEY", "sk-phantom");
        expect(&m, "EGRESS_TOKEN", "0123");
        expect(&m, "TOKEN_COUNT", "1");
        expect(&m, "API_KEYBOARD", "2");
        expect(&m, "TOKENIZERS_PARALLELISM", "false");
        expect(&m, "HOME", "/home/me");
        drop(&m);
    }
}

Test(launch_environment, the_rest_of_the_parents_stays)
{
    struct made m;
    make(&m, parent, 2);
    expect(&m, "PATH", "/bin");
    expect(&m, "HOME", "/home/a");
    expect(&m, "EMPTY", "");
    drop(&m);
}

Test(launch_environment, base_url_of_every_route_and_phantoms)
{
    struct made m;
    make(&m, parent, 2);
    expect(&m, "OPENAI_BASE_URL", "http://127.0.0.1:4711/openai/v1");
    expect(&m, "OPENAI_API_KEY", "sk-phantom");
    expect(&m, "LLM_KEY", "sk-phantom");
    expect(&m, "MY_API_TWO_BASE_URL", "http://127.0.0.1:4711/second");
    expect(&m, "MY_API_TWO_API_KEY", "phantom-two");
    expect(&m, "OPEN_BASE_URL", "http://127.0.0.1:4711/open");
    cr_expect_null(get(&m, "OPEN_API_KEY"));
    drop(&m);
}

Test(launch_environment, no_phantom_for_a_credential_that_did_not_load)
{
    struct made m;
    make(&m, parent, 1);
    expect(&m, "OPENAI_API_KEY", "sk-phantom");
    cr_expect_null(get(&m, "MY_API_TWO_API_KEY"), "the real one must not stay either");
    expect(&m, "MY_API_TWO_BASE_URL", "http://127.0.0.1:4711/second");
    drop(&m);
}

/* Under its own name, under another, or inside a longer text. */
Test(launch_environment, no_real_credential_anywhere)
{
    struct made m;
    make(&m, parent, 2);
    for (char **e = m.environment; *e; e++)
        cr_expect_null(strstr(*e, "sk-real-key"), "%s", *e);
    for (char **e = m.environment; *e; e++)
        cr_expect_null(strstr(*e, "corp:secret"), "%s", *e);
    cr_expect_null(get(&m, "REAL_OPENAI"));
    cr_expect_null(get(&m, "COPY"));
    cr_expect_null(get(&m, "INSIDE"));
    drop(&m);
}

/* The line break is no part of the key. */
Test(launch_environment, a_copy_of_a_key_that_ends_in_a_line_break_is_a_copy)
{
    static const char *const mine[] = { "REAL_OPENAI=sk-real-key-1\r\n", "COPY=sk-real-key-1", NULL };
    struct made m;
    make(&m, (char *const *)(uintptr_t)mine, 2);
    cr_expect_null(get(&m, "COPY"));
    drop(&m);
}

Test(launch_environment, empty_parent)
{
    struct made m;
    char *const none[] = { NULL };
    make(&m, none, 2);
    expect(&m, "OPENAI_API_KEY", "sk-phantom");
    cr_expect_null(get(&m, "PATH"));
    drop(&m);
}

/* Its phantom is not there, and what the launcher has under that name may be the real one. */
Test(launch_environment, a_real_key_of_the_parent_never_stands_in_for_a_phantom)
{
    static const char *const mine[] = { "HOME=/home/me", "VAULTED_KEY=sk-real-of-the-parent",
                                          "OP_SERVICE_ACCOUNT_TOKEN=ops-opens-the-vault",
                                          "COPY=x ops-opens-the-vault y", "BW_SESSION=not-ours", NULL };
    struct made m;
    make(&m, (char *const *)(uintptr_t)mine, 2);
    cr_expect_null(get(&m, "VAULTED_KEY"));
    cr_expect_null(get(&m, "OP_SERVICE_ACCOUNT_TOKEN"), "it opens what the policy keeps from the child");
    cr_expect_null(get(&m, "COPY"), "by value too");
    expect(&m, "BW_SESSION", "not-ours"); /* the policy does not ask bw */
    expect(&m, "HOME", "/home/me");
    drop(&m);
}
