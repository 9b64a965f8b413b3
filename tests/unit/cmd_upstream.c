/* cmd_upstream.c - which proxies the environment and --upstream-proxy choose, and that no message
 * and no option keeps a login. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/commands.h"
#include "cmd/upstream.h"

extern char **environ;

/* ---- the environment ---- */

struct row {
    const char *set[6];
    const char *secure, *plain; /* "TEXT by VARIABLE"; NULL: direct */
    const char *bypass;         /* joined by blanks; NULL: "" */
    const char *fault;          /* begins with the variable's name; NULL: none */
};

static const struct row rows[] = {
    { { NULL }, NULL, NULL, NULL, NULL },
    { { "PATH=/bin", "NO_PROXY=a.example" }, NULL, NULL, NULL, NULL },
    { { "HTTPS_PROXY=http://p:1" }, "http://p:1 by HTTPS_PROXY", NULL, NULL, NULL },
    { { "https_proxy=http://p:1" }, "http://p:1 by https_proxy", NULL, NULL, NULL },
    { { "HTTP_PROXY=http://p:1" }, NULL, "http://p:1 by HTTP_PROXY", NULL, NULL },
    { { "http_proxy=http://p:1" }, NULL, "http://p:1 by http_proxy", NULL, NULL },
    { { "ALL_PROXY=http://p:1" },
      "http://p:1 by ALL_PROXY",
      "http://p:1 by ALL_PROXY",
      NULL,
      NULL },
    { { "all_proxy=http://p:1" },
      "http://p:1 by all_proxy",
      "http://p:1 by all_proxy",
      NULL,
      NULL },
    /* lower case first */
    { { "HTTPS_PROXY=http://u:1", "https_proxy=http://l:2" },
      "http://l:2 by https_proxy",
      NULL,
      NULL,
      NULL },
    { { "HTTP_PROXY=http://u:1", "http_proxy=http://l:2" },
      NULL,
      "http://l:2 by http_proxy",
      NULL,
      NULL },
    { { "ALL_PROXY=http://u:1", "all_proxy=http://l:2" },
      "http://l:2 by all_proxy",
      "http://l:2 by all_proxy",
      NULL,
      NULL },
    /* the scheme's own before ALL_PROXY */
    { { "HTTPS_PROXY=http://s:1", "all_proxy=http://a:2" },
      "http://s:1 by HTTPS_PROXY",
      "http://a:2 by all_proxy",
      NULL,
      NULL },
    { { "HTTP_PROXY=http://h:1", "ALL_PROXY=http://a:2" },
      "http://a:2 by ALL_PROXY",
      "http://h:1 by HTTP_PROXY",
      NULL,
      NULL },
    { { "HTTPS_PROXY=http://s:1", "HTTP_PROXY=http://h:2", "ALL_PROXY=http://a:3" },
      "http://s:1 by HTTPS_PROXY",
      "http://h:2 by HTTP_PROXY",
      NULL,
      NULL },
    { { "HTTPS_PROXY=http://p:1", "HTTP_PROXY=http://p:1" },
      "http://p:1 by HTTPS_PROXY",
      "http://p:1 by HTTP_PROXY",
      NULL,
      NULL },
    /* empty is unset, as in curl */
    { { "HTTPS_PROXY=" }, NULL, NULL, NULL, NULL },
    { { "https_proxy=", "HTTPS_PROXY=http://u:1" }, "http://u:1 by HTTPS_PROXY", NULL, NULL, NULL },
    { { "HTTPS_PROXY=", "ALL_PROXY=http://a:1" },
      "http://a:1 by ALL_PROXY",
      "http://a:1 by ALL_PROXY",
      NULL,
      NULL },
    { { "https_proxy=", "HTTPS_PROXY=", "all_proxy=", "ALL_PROXY=" }, NULL, NULL, NULL, NULL },
    /* a CGI client writes HTTP_PROXY */
    { { "HTTP_PROXY=http://evil:1", "REQUEST_METHOD=GET" }, NULL, NULL, NULL, NULL },
    { { "HTTP_PROXY=http://evil:1", "REQUEST_METHOD=" }, NULL, NULL, NULL, NULL },
    { { "HTTP_PROXY=http://evil:1", "http_proxy=http://l:2", "REQUEST_METHOD=GET" },
      NULL,
      "http://l:2 by http_proxy",
      NULL,
      NULL },
    { { "HTTP_PROXY=http://evil:1", "ALL_PROXY=http://a:2", "REQUEST_METHOD=GET" },
      "http://a:2 by ALL_PROXY",
      "http://a:2 by ALL_PROXY",
      NULL,
      NULL },
    { { "HTTPS_PROXY=http://s:1", "REQUEST_METHOD=GET" },
      "http://s:1 by HTTPS_PROXY",
      NULL,
      NULL,
      NULL },
    /* schemes, ports, texts */
    { { "HTTPS_PROXY=p:3128" }, "http://p:3128 by HTTPS_PROXY", NULL, NULL, NULL },
    { { "HTTPS_PROXY=http://p" }, "http://p:80 by HTTPS_PROXY", NULL, NULL, NULL },
    { { "HTTPS_PROXY=https://p/" }, "https://p:443 by HTTPS_PROXY", NULL, NULL, NULL },
    { { "HTTPS_PROXY=socks5://p" }, "socks5://p:1080 by HTTPS_PROXY", NULL, NULL, NULL },
    { { "HTTPS_PROXY=socks5h://P.Example.:9" },
      "socks5://p.example:9 by HTTPS_PROXY",
      NULL,
      NULL,
      NULL },
    { { "ALL_PROXY=socks5+tls://p:9" },
      "socks5+tls://p:9 by ALL_PROXY",
      "socks5+tls://p:9 by ALL_PROXY",
      NULL,
      NULL },
    { { "HTTPS_PROXY=ssh://me@gw" }, "ssh://gw:22 by HTTPS_PROXY", NULL, NULL, NULL },
    { { "HTTPS_PROXY=http://[::1]:3128" }, "http://[::1]:3128 by HTTPS_PROXY", NULL, NULL, NULL },
    { { "HTTPS_PROXY=http://user:secret@p:1" }, "http://p:1 by HTTPS_PROXY", NULL, NULL, NULL },
    /* NO_PROXY */
    { { "HTTPS_PROXY=p:1", "NO_PROXY=a.example" },
      "http://p:1 by HTTPS_PROXY",
      NULL,
      "a.example",
      NULL },
    { { "HTTPS_PROXY=p:1", "NO_PROXY=U", "no_proxy=l" },
      "http://p:1 by HTTPS_PROXY",
      NULL,
      "l",
      NULL },
    { { "HTTPS_PROXY=p:1", "NO_PROXY=U", "no_proxy=" },
      "http://p:1 by HTTPS_PROXY",
      NULL,
      "U",
      NULL },
    { { "HTTPS_PROXY=p:1", "NO_PROXY=a,.b, 10.0.0.0/8\t*.c:80,,*" },
      "http://p:1 by HTTPS_PROXY",
      NULL,
      "a .b 10.0.0.0/8 *.c:80 *",
      NULL },
    { { "HTTPS_PROXY=p:1", "NO_PROXY= , ," }, "http://p:1 by HTTPS_PROXY", NULL, NULL, NULL },
    /* what is no proxy: named by its variable, and nothing becomes direct */
    { { "HTTPS_PROXY=ftp://p" },
      "http://proxy.invalid:1 by HTTPS_PROXY",
      NULL,
      NULL,
      "HTTPS_PROXY: " },
    { { "HTTPS_PROXY=p" }, "http://proxy.invalid:1 by HTTPS_PROXY", NULL, NULL, "HTTPS_PROXY: " },
    { { "https_proxy=http://p:0" },
      "http://proxy.invalid:1 by https_proxy",
      NULL,
      NULL,
      "https_proxy: " },
    { { "HTTPS_PROXY=http://p:99999" },
      "http://proxy.invalid:1 by HTTPS_PROXY",
      NULL,
      NULL,
      "HTTPS_PROXY: " },
    { { "ALL_PROXY=http://p:1/path" },
      "http://proxy.invalid:1 by ALL_PROXY",
      "http://proxy.invalid:1 by ALL_PROXY",
      NULL,
      "ALL_PROXY: " },
    { { "HTTPS_PROXY=http://p:1?q" },
      "http://proxy.invalid:1 by HTTPS_PROXY",
      NULL,
      NULL,
      "HTTPS_PROXY: " },
    { { "HTTPS_PROXY=http://p:1#f" },
      "http://proxy.invalid:1 by HTTPS_PROXY",
      NULL,
      NULL,
      "HTTPS_PROXY: " },
    { { "HTTPS_PROXY=http://p:1//" },
      "http://proxy.invalid:1 by HTTPS_PROXY",
      NULL,
      NULL,
      "HTTPS_PROXY: " },
    { { "HTTPS_PROXY=http://p p:1" },
      "http://proxy.invalid:1 by HTTPS_PROXY",
      NULL,
      NULL,
      "HTTPS_PROXY: " },
    { { "HTTPS_PROXY=p:1", "HTTP_PROXY=nonsense://" },
      "http://p:1 by HTTPS_PROXY",
      "http://proxy.invalid:1 by HTTP_PROXY",
      NULL,
      "HTTP_PROXY: " },
    { { "HTTPS_PROXY=http://user:se%zzcret@p:1" },
      "http://proxy.invalid:1 by HTTPS_PROXY",
      NULL,
      NULL,
      "HTTPS_PROXY: " },
    { { "HTTPS_PROXY=socks5://user%3Ax:secret@p:1" },
      "http://proxy.invalid:1 by HTTPS_PROXY",
      NULL,
      NULL,
      "HTTPS_PROXY: " },
    { { "HTTPS_PROXY=ssh://user:secret@p:1" },
      "http://proxy.invalid:1 by HTTPS_PROXY",
      NULL,
      NULL,
      "HTTPS_PROXY: " },
};

static struct eg_environ *environment_of(const char *const *set)
{
    char *list[8] = { NULL }, **old = environ;
    struct eg_environ *e = NULL;
    for (unsigned i = 0; i < 6 && set[i]; i++)
        list[i] = (char *)(uintptr_t)set[i];
    environ = list;
    enum eg_status status = eg_environ_take(&e);
    environ = old;
    cr_assert_eq(status, EG_OK);
    return e;
}

static void check_chain(const struct eg_hop *hops, unsigned n, const char *wanted, size_t row)
{
    char text[512] = "";
    cr_assert_eq(n, wanted ? 1 : 0, "row %zu: %u hops", row, n);
    if (wanted)
        snprintf(text, sizeof text, "%.*s by %.*s", (int)hops[0].text.n, hops[0].text.p,
                 (int)hops[0].rule.n, hops[0].rule.p);
    cr_assert_str_eq(text, wanted ? wanted : "", "row %zu", row);
}

/* What eg_sup_upstream_check would say of a policy that leaves the choice to it. */
static void check_fault(const struct eg_sup_upstream *u, const char *wanted, size_t row);

static void check_row(const struct row *r, size_t i)
{
    struct eg_environ *e = environment_of(r->set);
    struct eg_sup_upstream *u = NULL;
    cr_assert_eq(eg_sup_upstream_environment(e, &u), EG_OK);
    const struct eg_upstream_choice *c = eg_sup_upstream_choice(u);
    cr_assert_eq(c != NULL, r->secure || r->plain, "row %zu", i);
    if (c) {
        char bypass[256] = "";
        cr_assert_eq(c->from, EG_UPSTREAM_ENV);
        check_chain(c->secure, c->secure_count, r->secure, i);
        check_chain(c->plain, c->plain_count, r->plain, i);
        for (unsigned k = 0; k < c->bypass_count; k++)
            snprintf(bypass + strlen(bypass), sizeof bypass - strlen(bypass), "%s%.*s",
                     k ? " " : "", (int)c->bypass[k].n, c->bypass[k].p);
        cr_assert_str_eq(bypass, r->bypass ? r->bypass : "", "row %zu", i);
        check_fault(u, r->fault, i);
    }
    eg_sup_upstream_free(u);
    eg_environ_free(e);
}

Test(cmd_upstream, environment_by_table)
{
    cr_assert(sizeof rows / sizeof *rows >= 40);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(&rows[i], i);
}

/* ---- with a policy ---- */

static enum eg_status no_file(void *ctx, const char *path, struct eg_buf *out, struct eg_err *err)
{
    (void)ctx;
    (void)path;
    (void)out;
    return eg_err_set(err, EG_NOT_FOUND, "test", 0, "none");
}

static struct eg_policy *compile(const char *text, const struct eg_sup_upstream *u,
                                 struct eg_buf *block)
{
    const struct eg_policy_file file = { "t.yaml", eg_slice_str(text), EG_LAYER_COMMAND, true };
    const struct eg_policy_reader reader = { .read = no_file,
                                             .upstream = eg_sup_upstream_choice(u) };
    struct eg_policy *p = NULL;
    struct eg_diags *diags = NULL;
    cr_assert_eq(eg_diags_new(&diags), EG_OK);
    eg_buf_init(block, 1 << 20);
    enum eg_status status = eg_policy_compile(&file, 1, &reader, diags, block, NULL);
    cr_assert_eq(status, EG_OK, "%s", eg_diags_total(diags) ? eg_diags_at(diags, 0)->text : "");
    eg_diags_free(diags);
    struct eg_slice b = eg_buf_slice(block);
    cr_assert_eq(eg_policy_open(b.p, b.n, &p, NULL), EG_OK);
    return p;
}

static void check_fault(const struct eg_sup_upstream *u, const char *wanted, size_t row)
{
    struct eg_err err = { 0 };
    struct eg_buf block;
    struct eg_policy *p = compile("egress: 1\n", u, &block);
    enum eg_status status = eg_sup_upstream_check(u, p, &err);
    cr_assert_eq(status, wanted ? EG_INVALID : EG_OK, "row %zu", row);
    if (wanted) {
        cr_assert(strncmp(err.text, wanted, strlen(wanted)) == 0, "row %zu: %s", row, err.text);
        cr_assert(strlen(err.text) > strlen(wanted), "row %zu: no reason", row);
        cr_assert(!strstr(err.text, "secret") && !strstr(err.text, "user:"), "%s", err.text);
    }
    eg_policy_close(p);
    eg_buf_done(&block);
}

Test(cmd_upstream, policy_of_its_own_does_not_look_at_a_bad_variable)
{
    static const char *const set[6] = { "HTTPS_PROXY=nonsense://", "NO_PROXY=a.example" };
    static const char *const own[] = { "egress: 1\nupstream: none\n",
                                       "egress: 1\nupstream: [{proxy: \"http://own:1\"}]\n" };
    struct eg_environ *e = environment_of(set);
    struct eg_sup_upstream *u = NULL;
    cr_assert_eq(eg_sup_upstream_environment(e, &u), EG_OK);
    for (int i = 0; i < 2; i++) {
        struct eg_buf block;
        struct eg_hop hops[EG_HOPS_MAX];
        struct eg_policy *p = compile(own[i], u, &block);
        cr_assert_eq(eg_sup_upstream_check(u, p, NULL), EG_OK);
        cr_assert(!eg_sup_upstream_in_force(u, p));
        cr_assert_eq(eg_policy_hops(p, EG_CHAIN_SECURE, hops), (unsigned)i);
        cr_assert_eq(eg_policy_bypass_count(p), 0);
        eg_policy_close(p);
        eg_buf_done(&block);
    }
    eg_sup_upstream_free(u);
    eg_environ_free(e);
}

Test(cmd_upstream, option_beats_a_policy_of_its_own)
{
    static const char *const urls[] = { "socks5://first:1", "http://user:pw@second:2" };
    struct eg_sup_upstream *u = NULL;
    struct eg_buf block;
    struct eg_hop hops[EG_HOPS_MAX];
    cr_assert_eq(eg_sup_upstream_option(urls, 2, &u, NULL), EG_OK);
    struct eg_policy *p =
        compile("egress: 1\n"
                "upstream: {proxies: [{proxy: \"http://own:1\"}], bypass: [a.b]}\n",
                u, &block);
    cr_assert(eg_sup_upstream_in_force(u, p));
    for (int chain = EG_CHAIN_SECURE; chain <= EG_CHAIN_PLAIN; chain++) {
        cr_assert_eq(eg_policy_hops(p, (enum eg_chain)chain, hops), 2);
        cr_assert(eg_slice_eq(hops[0].text, EG_SLICE("socks5://first:1")));
        cr_assert(eg_slice_eq(hops[1].text, EG_SLICE("http://second:2")));
        cr_assert(eg_slice_eq(hops[1].rule, EG_SLICE("--upstream-proxy")));
        cr_assert(eg_slice_eq(hops[1].credential, EG_SLICE("@upstream-1")));
        cr_assert_eq(hops[1].user.n, 0);
    }
    cr_assert_eq(eg_policy_bypass_count(p), 0);
    cr_assert(eg_policy_credential_host(p, EG_SLICE("@upstream-1"), EG_SLICE("second")));
    cr_assert(!eg_policy_credential_host(p, EG_SLICE("@upstream-1"), EG_SLICE("first")));
    cr_assert_eq(memmem(eg_buf_slice(&block).p, eg_buf_slice(&block).n, "user", 4), NULL,
                 "a worker maps the block: no login in it");
    eg_policy_close(p);
    eg_buf_done(&block);
    eg_sup_upstream_free(u);
}

/* ---- logins ---- */

Test(cmd_upstream, logins_are_decoded_and_bound_to_their_hop)
{
    static const char *const urls[] = { "http://us%20er:p%40ss%3A%2F@127.0.0.1:1",
                                        "https://name@p:2", "socks5://a:b@p:3", "http://p:4" };
    static const char *const values[] = { "us er:p@ss:/", "name:", "a:b" };
    struct eg_sup_upstream *u = NULL;
    cr_assert_eq(eg_sup_upstream_option(urls, 4, &u, NULL), EG_OK);
    cr_assert_eq(eg_sup_upstream_login_count(u), 3);
    for (unsigned i = 0; i < 3; i++) {
        const struct eg_sup_upstream_login *l = eg_sup_upstream_login(u, i);
        cr_assert(eg_slice_eq(l->value, eg_slice_str(values[i])), "%u", i);
        cr_assert(
            eg_slice_eq(eg_sup_upstream_choice(u)->secure[i].credential, eg_slice_str(l->name)));
    }
    cr_assert_null(eg_sup_upstream_login(u, 0)->plain, "it never leaves this machine");
    cr_assert_null(eg_sup_upstream_login(u, 1)->plain, "it is encrypted");
    cr_assert_str_eq(eg_sup_upstream_login(u, 2)->plain, "socks5://p:3");
    cr_assert_eq(eg_sup_upstream_choice(u)->secure[3].credential.n, 0);
    eg_sup_upstream_free(u);
}

Test(cmd_upstream, both_variables_with_one_value_share_their_login)
{
    static const char *const set[6] = { "HTTPS_PROXY=http://u:pw@p:1",
                                        "HTTP_PROXY=http://u:pw@p:1" };
    struct eg_environ *e = environment_of(set);
    struct eg_sup_upstream *u = NULL;
    cr_assert_eq(eg_sup_upstream_environment(e, &u), EG_OK);
    cr_assert_eq(eg_sup_upstream_login_count(u), 1);
    eg_sup_upstream_free(u);
    eg_environ_free(e);
}

/* RFC 1929 counts each of the two in one octet. */
Test(cmd_upstream, socks5_logins_over_255_bytes_name_the_right_field)
{
    static const struct {
        const char *scheme;
        size_t user, password;
        const char *said; /* NULL: taken */
    } table[] = { { "socks5", 255, 255, NULL },         { "socks5", 256, 1, "user name" },
                  { "socks5", 1, 256, "password" },     { "socks5h", 256, 256, "user name" },
                  { "socks5+tls", 3, 300, "password" }, { "http", 300, 300, NULL },
                  { "https", 256, 256, NULL } };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char url[1024];
        const char *urls[] = { url };
        struct eg_err err = { 0 };
        struct eg_sup_upstream *u = NULL;
        int n = snprintf(url, sizeof url, "%s://", table[i].scheme);
        memset(url + n, 'q', table[i].user);
        url[(size_t)n + table[i].user] = ':';
        memset(url + n + table[i].user + 1, 'z', table[i].password);
        snprintf(url + (size_t)n + table[i].user + 1 + table[i].password, 16, "@p:1");
        enum eg_status status = eg_sup_upstream_option(urls, 1, &u, &err);
        cr_assert_eq(status, table[i].said ? EG_INVALID : EG_OK, "%zu: %s", i, err.text);
        if (table[i].said)
            cr_assert(strstr(err.text, table[i].said) && !strstr(err.text, "qqq") &&
                          !strstr(err.text, "zzz"),
                      "%zu: %s", i, err.text);
        eg_sup_upstream_free(u);
    }
}

/* ---- limits ---- */

Test(cmd_upstream, chains_and_urls_have_ceilings)
{
    static char longest[EG_UPSTREAM_URL_MAX + 2];
    const char *many[EG_HOPS_MAX + 1], *one[] = { longest }, *late[] = { "p:1", "ssh://gw" };
    struct eg_err err = { 0 };
    struct eg_sup_upstream *u = NULL;
    for (int i = 0; i <= EG_HOPS_MAX; i++)
        many[i] = "p:1";
    cr_assert_eq(eg_sup_upstream_option(many, EG_HOPS_MAX, &u, NULL), EG_OK);
    eg_sup_upstream_free(u);
    cr_assert_eq(eg_sup_upstream_option(many, EG_HOPS_MAX + 1, &u, &err), EG_INVALID);
    cr_assert(strstr(err.text, "at most"));
    memset(longest, 'a', sizeof longest - 1);
    eg_err_reset(&err);
    cr_assert_eq(eg_sup_upstream_option(one, 1, &u, &err), EG_INVALID);
    cr_assert(strstr(err.text, "longer than 4096"), "%s", err.text);
    eg_err_reset(&err);
    cr_assert_eq(eg_sup_upstream_option(late, 2, &u, &err), EG_INVALID);
    cr_assert(strstr(err.text, "proxy 2: ssh://"), "%s", err.text);
}

Test(cmd_upstream, no_proxy_that_is_too_long_is_a_fault_and_not_cut)
{
    static char value[EG_UPSTREAM_NO_PROXY_MAX + 64];
    const char *set[6] = { "HTTPS_PROXY=p:1", value };
    struct eg_sup_upstream *u = NULL;
    memset(value, 'a', sizeof value - 1);
    memcpy(value, "NO_PROXY=", 9);
    struct eg_environ *e = environment_of(set);
    cr_assert_eq(eg_sup_upstream_environment(e, &u), EG_OK);
    check_fault(u, "NO_PROXY: ", 0);
    eg_sup_upstream_free(u);
    eg_environ_free(e);
}

/* ---- the command line ---- */

static void take(char *url, int *code, struct eg_sup_upstream **u)
{
    char program[] = "egressd", option[] = "--upstream-proxy";
    char *argv[] = { program, option, url, NULL };
    struct eg_cmd_given g[8];
    unsigned n;
    int at;
    cr_assert_eq(eg_cmd_parse(&eg_egressd_options, 3, argv, g, 8, &n, &at), -1);
    *code = eg_sup_upstream_take(&eg_egressd_options, g, n, u);
}

Test(cmd_upstream, value_with_a_login_is_overwritten_in_place, .init = cr_redirect_stderr)
{
    char with[] = "http://user:pw@p:1", bad[] = "nonsense://user:pw@p:1", without[] = "http://p:1";
    struct eg_sup_upstream *u = NULL;
    int code;
    take(with, &code, &u);
    cr_assert_eq(code, -1);
    cr_assert_eq(strspn(with, "*"), sizeof with - 1, "%s", with);
    eg_sup_upstream_free(u);
    take(bad, &code, &u);
    cr_assert_eq(code, EG_EXIT_USAGE);
    cr_assert_eq(strspn(bad, "*"), sizeof bad - 1, "%s", bad);
    take(without, &code, &u);
    cr_assert_eq(code, -1);
    cr_assert_str_eq(without, "http://p:1");
    eg_sup_upstream_free(u);
}

Test(cmd_upstream, no_message_repeats_a_login, .init = cr_redirect_stderr)
{
    static const char *const bad[] = {
        "gopher://alice:t0psecret@p:1",
        "http://alice:t0psecret@",
        "http://alice:t0psecret@p:0",
        "http://alice:t0psecret@p:1/x",
        "http://alice:t0psecret@p:1?x",
        "http://alice:t0p%zzt0psecret@p:1",
        "http://alice%0a:t0psecret@p:1",
        "http://alice:t0psecret@@p:1",
        "http://alice:t0ps/ecret@p:1",
        "alice:t0psecret@p",
        "http://alice%3at0psecret:t0psecret@p:1",
        "ssh://alice:t0psecret@p",
        "http://alice:t0psecret p:1",
        "t0psecret@alice:t0psecret",
        "http//alice:t0psecret@p:1",
        "http:/alice:t0psecret@p:1",
        "http://:t0psecret@p:1",
        "http://alice:t0psecret@p:t0psecret",
        "http://alice:t0psecret@[::1",
        "http://alice:t0psecret@p\\q:1",
        "://alice:t0psecret@p:1",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char copy[128];
        struct eg_sup_upstream *u = NULL;
        int code;
        snprintf(copy, sizeof copy, "%s", bad[i]);
        take(copy, &code, &u);
        cr_assert_eq(code, EG_EXIT_USAGE, "%s", bad[i]);
        cr_assert_null(u);
    }
    fflush(stderr);
    char said[16384] = { 0 };
    cr_assert(fread(said, 1, sizeof said - 1, cr_get_redirected_stderr()) > 0);
    /* plain, and base64 of alice:t0psecret and of t0psecret */
    static const char *const never[] = { "alice", "t0p", "YWxpY2U", "dDBwc2VjcmV0", "%74%30" };
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        cr_assert_null(strstr(said, never[i]), "%s in %s", never[i], said);
}

/* A worker is a forked process, and a crash of it may leave a core. */
Test(cmd_upstream, forked_process_has_no_copy)
{
    static const char *const urls[] = { "http://user:pw@p:1" };
    struct eg_sup_upstream *u = NULL;
    int status = 0;
    cr_assert_eq(eg_sup_upstream_option(urls, 1, &u, NULL), EG_OK);
    const char *p = eg_sup_upstream_login(u, 0)->value.p;
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) /* a page that is not there is an error of write, not a crash */
        _exit(write(fds[1], p, 1) < 0 ? 0 : 1);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert_eq(write(fds[1], p, 1), 1, "it is there in this one");
    eg_sup_upstream_free(u);
}
