/* cmd_init.c - `policy init`: what it finds, what it writes, and that it writes over nothing. */
#include <criterion/criterion.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/commands.h"
#include "cmd/init.h"

static char folder[64];

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f, "%s", path);
    fputs(text, f);
    fclose(f);
}

/* A test is a process of its own: its folder and environment are nobody else's. */
static void setup(void)
{
    cr_assert_geq(sodium_init(), 0);
    snprintf(folder, sizeof folder, "/tmp/egress-init-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    clearenv();
    setenv("HOME", folder, 1);
    cr_assert_eq(mkdir("project", 0700), 0);
    cr_assert_eq(chdir("project"), 0);
}

static void teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "/bin/rm -rf '%s'", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(cmd_init, .init = setup, .fini = teardown);

static char *text_of(const char *path)
{
    static char text[1 << 16];
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    return text;
}

static int init(const char *a, const char *b, const char *c)
{
    char *argv[] = { (char[]){ "init" }, a ? strdup(a) : NULL, b ? strdup(b) : NULL, c ? strdup(c) : NULL, NULL };
    int argc = a ? b ? c ? 4 : 3 : 2 : 1;
    cr_assert_not_null(freopen("/dev/null", "w", stdout));
    cr_assert_not_null(freopen("messages", "w", stderr));
    int code = eg_cmd_policy_init(argc, argv);
    fflush(stderr);
    for (int i = 1; i < argc; i++)
        free(argv[i]);
    return code;
}

static void expect_urls(const char *text, const char *token, const char *want)
{
    struct eg_init_hosts hosts = { 0 };
    char got[2048] = "";
    eg_init_urls(eg_slice_str(text), token, &hosts);
    for (unsigned i = 0; i < hosts.count; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? " " : "", hosts.list[i]);
    cr_assert_str_eq(got, want, "%s -> %s", text, got);
}

Test(cmd_init, hosts_of_urls)
{
    expect_urls("registry=https://A.example/npm/\n", "registry", "a.example");
    expect_urls("# https://a.example\nurl = \"https://u:p@b.example:8443/x\"\n", "url", "b.example");
    expect_urls("https://a.example|https://b.example,direct", "", "a.example b.example");
    expect_urls("\"resolved\": \"https://a.example/x.tgz\",\n\"resolved\": \"https://a.example/y.tgz\"", "\"resolved\"", "a.example");
    expect_urls("registry=https://127.0.0.1/\nregistry=http://localhost:4873/\nregistry=https://${X}/", "registry", "");
    expect_urls("https://", "", "");
}

static void expect_remote(const char *url, const char *want)
{
    char host[EG_INIT_HOST] = "", got[300];
    bool ssh = false;
    bool some = eg_init_remote(eg_slice_str(url), &ssh, host);
    snprintf(got, sizeof got, "%s%s", some ? ssh ? "ssh " : "https " : "none", some ? host : "");
    cr_assert_str_eq(got, want, "%s -> %s", url, got);
}

Test(cmd_init, hosts_of_remotes)
{
    expect_remote("https://git.example/a/b.git", "https git.example");
    expect_remote(" https://user@git.example:8443/a", "https git.example");
    expect_remote("git@git.example:a/b.git", "ssh git.example");
    expect_remote("ssh://git@git.example:2222/a", "ssh git.example");
    expect_remote("/srv/git/a.git", "none");
    expect_remote("../a.git", "none");
    expect_remote("file:///srv/a", "none");
}

Test(cmd_init, an_empty_folder_gets_a_policy_that_allows_nothing)
{
    cr_assert_eq(init(NULL, NULL, NULL), 0, "%s", text_of("messages"));
    const char *text = text_of("egress.yaml");
    cr_assert(strstr(text, "\negress: 1\nname: project\n"), "%s", text);
    cr_assert(strstr(text, "\nallow: []\n") && !strstr(text, "\nservices:"), "%s", text);
    struct stat st;
    cr_assert(stat("egress.yaml", &st) == 0 && (st.st_mode & 0777) == 0644);
}

Test(cmd_init, what_is_found_is_named_and_nothing_else)
{
    mkdir(".git", 0700);
    put(".git/config", "[core]\n\turl = https://not.example/\n[remote \"origin\"]\n\turl = https://git.example/a.git\n[remote \"b\"]\n\turl = git@ssh.example:a\n");
    put("package.json", "{}");
    put("../.npmrc", "registry=https://npm.corp.example/\n//npm.corp.example/:_authToken=npm_0123456789\n");
    put("Cargo.toml", "");
    setenv("OPENAI_API_KEY", "sk-do-not-print-this-one-0123456789", 1);
    setenv("LINEAR_API_KEY", "lin_do_not_print", 1);
    cr_assert_eq(init(NULL, NULL, NULL), 0, "%s", text_of("messages"));
    const char *text = text_of("egress.yaml");
    cr_assert(strstr(text, "  - {host: git.example, why: a remote of this repository}\n"), "%s", text);
    cr_assert(strstr(text, "  # - {host: ssh.example, scheme: tcp, ports: [22],"), "%s", text);
    cr_assert(strstr(text, "  - {preset: npm, with: {host: [npm.corp.example]}}\n"), "%s", text);
    cr_assert(strstr(text, "  # - {preset: cargo, with: {host: HOST}}\n"), "%s", text);
    cr_assert(strstr(text, "  openai: {}  # OPENAI_API_KEY is set\n"), "%s", text);
    cr_assert(strstr(text, "  # LINEAR_API_KEY is set: linear needs a route by hand"), "%s", text);
    cr_assert(!strstr(text, "not.example") && !strstr(text, "do-not-print") && !strstr(text, "_authToken"), "%s", text);
}

Test(cmd_init, a_remote_that_a_service_leads_to_gets_no_tunnel)
{
    mkdir(".git", 0700);
    put(".git/config", "[remote \"origin\"]\nurl=https://github.com/acme/x\n");
    setenv("GITHUB_TOKEN", "x", 1);
    cr_assert_eq(init(NULL, NULL, NULL), 0, "%s", text_of("messages"));
    const char *text = text_of("egress.yaml");
    cr_assert(strstr(text, "\nallow: []\n") && strstr(text, "\n  github-git: {}  # GITHUB_TOKEN is set\n"), "%s", text);
    cr_assert_str_empty(text_of("messages"));
}

Test(cmd_init, presets_that_are_asked_for)
{
    setenv("OPENAI_API_KEY", "x", 1);
    cr_assert_eq(init("--bare", "--preset=npm,host=a.example,host=b.example,port=8443", "--preset=gitlab,host=git.example"), 0, "%s", text_of("messages"));
    const char *text = text_of("egress.yaml");
    cr_assert(strstr(text, "  - {preset: npm, with: {host: [a.example, b.example], port: \"8443\"}}\n"), "%s", text);
    cr_assert(strstr(text, "\n  gitlab:\n    with: {host: git.example}\n") && !strstr(text, "openai"), "%s", text);
}

Test(cmd_init, a_file_that_is_there_stays)
{
    put("egress.yaml", "mine\n");
    cr_assert_eq(init(NULL, NULL, NULL), 1);
    cr_assert_str_eq(text_of("egress.yaml"), "mine\n");
    cr_assert(strstr(text_of("messages"), "is there already and stays as it is"));
}

Test(cmd_init, what_is_no_preset_or_not_valid_writes_nothing)
{
    cr_assert_eq(init("--preset=nothing", NULL, NULL), 2);
    cr_assert_eq(init("--preset=gitlab,host=a b", NULL, NULL), 3);
    cr_assert_neq(init("--preset=gitlab,host=x\"}, evil: {a: \"b", NULL, NULL), 0);
    cr_assert_neq(access("egress.yaml", F_OK), 0);
}

/* On a full disk it left an empty file, which the next try took for a policy of somebody's. */
Test(cmd_init, what_cannot_be_written_whole_is_not_left)
{
    struct rlimit old, none;
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    none = (struct rlimit){ .rlim_cur = 0, .rlim_max = old.rlim_max };
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    int code = init(NULL, NULL, NULL);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    cr_assert_eq(code, EG_EXIT_FAILED);
    cr_assert_neq(access("egress.yaml", F_OK), 0);
    cr_assert_eq(init(NULL, NULL, NULL), EG_EXIT_OK);
}
