/* launch_files.c - the generated configuration files: which are made, what they say, who may read
 * them, and what becomes of a disk that is full. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/run_files.h"
#include "launch/launch.h"
#include "policy/compile.h"

static char home[64];
static struct eg_run_files made;
static struct eg_buf block;
static struct eg_policy *policy;

static void begin(void)
{
    const struct eg_policy_file f = { "p.yaml", EG_SLICE("egress: 1\n"), EG_LAYER_USER, true };
    struct eg_diags *diags = NULL;
    struct eg_err err = { 0 };
    eg_buf_init(&block, 1 << 20);
    cr_assert(eg_diags_new(&diags) == EG_OK &&
              eg_policy_compile(&f, 1, NULL, diags, &block, NULL) == EG_OK);
    eg_diags_free(diags);
    cr_assert_eq(eg_policy_open(eg_buf_slice(&block).p, block.len, &policy, NULL), EG_OK);
    snprintf(home, sizeof home, "/tmp/egress-home-XXXXXX");
    cr_assert_not_null(mkdtemp(home));
    cr_assert_eq(setenv("TMPDIR", home, 1), 0);
    cr_assert_eq(eg_run_files_make(&made, &err), EG_OK, "%s", err.text);
}

static void end(void)
{
    struct eg_err err = { 0 };
    cr_assert_eq(eg_run_files_remove(&made, &err), EG_OK, "%s", err.text);
    cr_assert_eq(rmdir(home), 0, "something is left");
    eg_policy_close(policy);
    eg_buf_done(&block);
}

TestSuite(launch_files, .timeout = 60, .init = begin, .fini = end);

static const struct eg_sockaddr at = { .addr = { .family = 4, .b = { 127, 0, 0, 1 } },
                                       .port = 4711 };

static struct eg_child_env_spec spec_of(char *const *parent)
{
    return (struct eg_child_env_spec){ .parent = parent,
                                       .policy = policy,
                                       .listener = &at,
                                       .session = "run-1",
                                       .token = "0123",
                                       .files = made.path };
}

static const char *text_of(const char *path)
{
    static char text[8192];
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    return text;
}

static const char *in(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", made.path, name);
    return path;
}

static const char *value(char **environment, const char *name)
{
    size_t n = strlen(name);
    for (; *environment; environment++)
        if (strncmp(*environment, name, n) == 0 && (*environment)[n] == '=')
            return *environment + n + 1;
    return NULL;
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

#define URL "http://run-1:0123@127.0.0.1:4711"

Test(launch_files, each_program_has_a_file_and_a_variable_that_names_it)
{
    static const struct {
        const char *variable, *before, *behind; /* the folder */
        const char *file, *text;
    } rows[] = {
        { "WGETRC", "", "/wgetrc", "wgetrc", "https_proxy = " URL "\n" },
        { "APT_CONFIG", "", "/apt.conf", "apt.conf", "Acquire::https::Proxy \"" URL "\";\n" },
        { "DOCKER_CONFIG", "", "/docker", "docker/config.json", "\"httpsProxy\": \"" URL "\"" },
        { "PIP_CONFIG_FILE", "", "/pip.conf", "pip.conf", "[global]\nproxy = " URL "\n" },
        { "PHP_INI_SCAN_DIR", ":", "/php", "php/egress.ini", "/proxy.php\n" },
    };
    char *const parent[] = { (char[]){ "HOME=/nonexistent" }, NULL };
    const struct eg_child_env_spec spec = spec_of(parent);
    struct eg_err err = { 0 };
    char **environment = NULL, wanted[512];
    struct stat st;
    cr_assert_eq(eg_child_env_make(&spec, &environment, &err), EG_OK);
    cr_assert_eq(eg_child_files_write(&spec, geteuid(), &err), EG_OK, "%s", err.text);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *got = value(environment, rows[i].variable);
        snprintf(wanted, sizeof wanted, "%s%s%s", rows[i].before, made.path, rows[i].behind);
        cr_expect(got && strcmp(got, wanted) == 0, "%s is %s", rows[i].variable, got);
        cr_expect(strstr(text_of(in(rows[i].file)), rows[i].text), "%s", text_of(in(rows[i].file)));
        cr_assert_eq(stat(in(rows[i].file), &st), 0);
        cr_expect_eq(st.st_mode & 07777, 0400, "%s", rows[i].file);
    }
    cr_expect_null(strstr(text_of(in("proxy.php")), "0123"), "the token is in the environment");
    eg_child_env_free(environment);
}

Test(launch_files, what_the_parent_has_set_or_the_user_has_is_left_alone)
{
    char own[128], variable[96];
    snprintf(variable, sizeof variable, "HOME=%s", home);
    char *const parent[] = { variable, (char[]){ "APT_CONFIG=/etc/own.conf" },
                             (char[]){ "DOCKER_CONFIG=" }, NULL };
    const struct eg_child_env_spec spec = spec_of(parent);
    struct eg_err err = { 0 };
    char **environment = NULL;
    snprintf(own, sizeof own, "%s/.wgetrc", home);
    put(own, "tries = 1\n");
    cr_assert_eq(eg_child_env_make(&spec, &environment, &err), EG_OK);
    cr_assert_eq(eg_child_files_write(&spec, geteuid(), &err), EG_OK, "%s", err.text);
    cr_assert_eq(unlink(own), 0);
    cr_expect_null(value(environment, "WGETRC"));
    cr_expect_str_eq(value(environment, "APT_CONFIG"), "/etc/own.conf");
    cr_expect_str_eq(value(environment, "DOCKER_CONFIG"), "");
    cr_expect_not_null(value(environment, "PIP_CONFIG_FILE"));
    cr_expect_neq(access(in("wgetrc"), F_OK), 0);
    cr_expect_neq(access(in("apt.conf"), F_OK), 0);
    cr_expect_neq(access(in("docker"), F_OK), 0);
    cr_expect_eq(access(in("pip.conf"), F_OK), 0);
    eg_child_env_free(environment);
}

Test(launch_files, pip_configuration_in_the_users_config_folder_counts)
{
    char folder[96], own[128], variable[128];
    snprintf(folder, sizeof folder, "%s/pip", home);
    snprintf(own, sizeof own, "%s/pip.conf", folder);
    snprintf(variable, sizeof variable, "XDG_CONFIG_HOME=%s", home);
    char *const parent[] = { (char[]){ "HOME=/nonexistent" }, variable, NULL };
    const struct eg_child_env_spec spec = spec_of(parent);
    char **environment = NULL;
    struct eg_err err = { 0 };
    cr_assert_eq(mkdir(folder, 0700), 0);
    put(own, "[global]\nindex-url = http://own.example/\n");
    cr_assert_eq(eg_child_env_make(&spec, &environment, &err), EG_OK);
    cr_expect_null(value(environment, "PIP_CONFIG_FILE"));
    cr_expect_not_null(value(environment, "PIP_PROXY"), "a variable wins over any file");
    cr_assert(unlink(own) == 0 && rmdir(folder) == 0);
    eg_child_env_free(environment);
}

/* Another user reads its files and finds them; nobody else reads them. */
Test(launch_files, files_are_the_other_users_and_the_folder_is_not)
{
    char *const parent[] = { (char[]){ "HOME=/nonexistent" }, NULL };
    const struct eg_child_env_spec spec = spec_of(parent);
    struct eg_err err = { 0 };
    struct stat st;
    if (geteuid() != 0) {
        end(); /* a test that is skipped comes to no end of its own */
        cr_skip_test("only root has other users' children");
    }
    cr_assert_eq(eg_child_files_write(&spec, 65534, &err), EG_OK, "%s", err.text);
    cr_assert_eq(stat(made.path, &st), 0);
    cr_expect(st.st_uid == 0 && (st.st_mode & 07777) == 0755);
    cr_assert_eq(stat(in("docker"), &st), 0);
    cr_expect(st.st_uid == 0 && (st.st_mode & 07777) == 0755);
    cr_assert_eq(stat(in("docker/config.json"), &st), 0);
    cr_expect(st.st_uid == 65534 && (st.st_mode & 07777) == 0400);
}

Test(launch_files, full_disk_is_an_error_that_names_the_file)
{
    char *const parent[] = { (char[]){ "HOME=/nonexistent" }, NULL };
    const struct eg_child_env_spec spec = spec_of(parent);
    const struct rlimit little = { 64, 64 }; /* as a disk that fills up within a file */
    struct eg_err err = { 0 };
    int wait_status;
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &little);
        enum eg_status status = eg_child_files_write(&spec, geteuid(), &err);
        _exit(status == EG_IO && err.sys == EFBIG && strstr(err.text, "wgetrc") &&
                      strstr(err.text, "TMPDIR")
                  ? 0
                  : 1);
    }
    cr_assert_eq(waitpid(pid, &wait_status, 0), pid);
    cr_assert_eq(wait_status, 0);
}
