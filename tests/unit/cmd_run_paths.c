/* cmd_run_paths.c - when the whole folder of a credential's file is kept from the child of `run`, and
 * what of the policy's programs it may not write to. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/run.h"
#include "policy/compile.h"

static char home[64], folder[80], key[96];

static void put(const char *path, mode_t mode)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, mode);
    cr_assert(fd >= 0 && fchmod(fd, mode) == 0);
    close(fd);
}

static void begin(void)
{
    snprintf(home, sizeof home, "/tmp/egress-paths-XXXXXX");
    cr_assert_not_null(mkdtemp(home));
    snprintf(folder, sizeof folder, "%s/keys", home);
    snprintf(key, sizeof key, "%s/key", folder);
    cr_assert_eq(mkdir(folder, 0700), 0);
    put(key, 0600);
}

static void end(void)
{
    unlink(key);
    rmdir(folder);
    rmdir(home);
}

static bool whole(const char *of_home)
{
    char found[PATH_MAX];
    bool is = eg_run_private_folder(key, of_home, found);
    cr_expect(!is || strcmp(found, folder) == 0, "%s", found);
    return is;
}

/* A file that is renamed over it takes the cover off that is over the file alone. */
Test(cmd_run, replaced_file_of_a_credential_stays_covered_by_its_folder, .init = begin, .fini = end)
{
    cr_expect(whole(home));
    cr_expect(whole(NULL));
    cr_assert_eq(unlink(key), 0);
    cr_expect(whole(home), "it may come later");
}

Test(cmd_run, folder_that_the_child_needs_is_not_covered, .init = begin, .fini = end)
{
    char other[96];
    snprintf(other, sizeof other, "%s/other", folder);
    put(other, 0644);
    cr_expect_not(whole(home), "a file for all");
    cr_assert_eq(unlink(other), 0);
    cr_assert_eq(mkdir(other, 0700), 0);
    cr_expect_not(whole(home), "a folder");
    cr_assert_eq(rmdir(other), 0);
    cr_assert_eq(symlink(key, other), 0);
    cr_expect_not(whole(home), "a link");
    cr_assert_eq(unlink(other), 0);
    cr_assert_eq(chmod(folder, 0750), 0);
    cr_expect_not(whole(home), "open to the group");
    cr_assert_eq(chmod(folder, 0700), 0);
    cr_expect_not(whole(folder), "home");
    cr_assert_eq(chdir(folder), 0);
    cr_expect_not(whole(home), "the working folder");
    cr_assert_eq(chdir("/"), 0);
    cr_expect(whole(home));
}

static bool in_list(const char *const *list, unsigned n, const char *path)
{
    bool found = false;
    for (unsigned i = 0; i < n; i++)
        found = found || strcmp(list[i], path) == 0;
    return found;
}

static void open_policy(const char *credentials, struct eg_buf *block, struct eg_policy **ret)
{
    char text[2048];
    struct eg_diags *diags = NULL;
    snprintf(text, sizeof text, "egress: 1\ncredentials:\n%s", credentials);
    const struct eg_policy_file f = { "p.yaml", eg_slice_str(text), EG_LAYER_USER, true };
    eg_buf_init(block, 1 << 20);
    cr_assert(eg_diags_new(&diags) == EG_OK &&
              eg_policy_compile(&f, 1, NULL, diags, block, NULL) == EG_OK);
    eg_diags_free(diags);
    cr_assert_eq(eg_policy_open(block->data + block->off, block->len, ret, NULL), EG_OK);
}

/* They run outside the sandbox whenever the credential is read again. */
Test(cmd_run, programs_of_credentials_and_their_stores_are_kept_from_the_child, .init = begin,
     .fini = end)
{
    static struct eg_run_places at;
    static struct eg_run_paths p;
    struct eg_environ *e = NULL;
    struct eg_policy *policy = NULL;
    struct eg_buf block;
    cr_assert(setenv("HOME", home, 1) == 0 && unsetenv("GH_CONFIG_DIR") == 0 &&
              unsetenv("XDG_CONFIG_HOME") == 0 && setenv("AWS_CONFIG_FILE", "/a/config", 1) == 0);
    cr_assert_eq(eg_environ_take(&e), EG_OK);
    open_policy(
        "  a: {from: {cmd: [/home/me/bin/token, /home/me/script, plain]}, hosts: [a.example]}\n"
        "  b: {from: {cmd: [/opt/gh/bin/gh, auth, token]}, hosts: [b.example]}\n"
        "  c: {aws_sigv4: {from: \"aws:dev\"}, hosts: [c.example]}\n",
        &block, &policy);
    snprintf(at.control, sizeof at.control, "/run/egress/x.sock");
    const struct eg_run_child child = { .uid = geteuid(), .enforcement = EG_ENFORCE_NONE };
    static const char *const parts[] = { "/repo/team.yaml" };
    at.parts = parts;
    at.part_count = 1;
    cr_assert_eq(eg_run_paths_make(&at, e, policy, &child, &p), EG_OK);
    cr_expect(in_list(p.lists.held, p.lists.held_count, "/repo/team.yaml"), "the policy extends it");
    cr_expect(in_list(p.lists.programs, p.lists.program_count, "/home/me/bin/token"));
    cr_expect(in_list(p.lists.programs, p.lists.program_count, "/home/me/script"));
    cr_expect(in_list(p.lists.programs, p.lists.program_count, "/opt/gh/bin/gh"));
    cr_expect_eq(p.lists.program_count, 3);
    char store[128];
    snprintf(store, sizeof store, "%s/.config/gh", home);
    cr_expect(in_list(p.lists.covered, p.lists.covered_count, store), "gh, named with its folder");
    cr_expect(in_list(p.lists.covered, p.lists.covered_count, "/a/config"), "it may name programs");
    snprintf(store, sizeof store, "%s/.aws", home);
    cr_expect(in_list(p.lists.covered, p.lists.covered_count, store));
    cr_expect_eq(rmdir(store), 0, "it is made, so that it can be covered");
    eg_run_paths_done(&p);
    eg_policy_close(policy);
    eg_buf_done(&block);
    eg_environ_free(e);
}
