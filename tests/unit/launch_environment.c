/* launch_environment.c - the environment that the child starts with: what is set, what stays,
 * and what must not be there. */
#include <criterion/criterion.h>
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
    files[0].text = eg_slice_str(policy_text);
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
