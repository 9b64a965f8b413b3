/* cmd_trust.c - the trust file: what is trusted, what stops being trusted, and who may have
 * written it. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/trust.h"

static char folder[64], policy[128], trust[128];

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static bool trusted(const char *text)
{
    bool yes = true;
    cr_assert_eq(eg_trust_check(policy, eg_slice_str(text), NULL, 0, &yes, NULL), EG_OK);
    return yes;
}

static void setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/egress-trust-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert(sodium_init() >= 0);
    setenv("XDG_STATE_HOME", folder, 1);
    snprintf(policy, sizeof policy, "%s/egress.yaml", folder);
    snprintf(trust, sizeof trust, "%s/egress/trust", folder);
    put(policy, "egress: 1\n");
}

static void teardown(void)
{
    char command[128];
    unlink(policy);
    unlink(trust);
    snprintf(command, sizeof command, "%s/egress", folder);
    rmdir(command);
    rmdir(folder);
}

TestSuite(cmd_trust, .init = setup, .fini = teardown);

Test(cmd_trust, nothing_is_trusted_at_first)
{
    cr_assert(!trusted("egress: 1\n"));
}

Test(cmd_trust, exactly_the_text_that_was_recorded_is_trusted)
{
    struct stat st;
    cr_assert_eq(eg_trust_add(policy, NULL, NULL), EG_OK);
    cr_assert(trusted("egress: 1\n"));
    cr_assert(!trusted("egress: 1\n "));
    cr_assert(!trusted("egress: 2\n"));
    cr_assert(!trusted(""));
    cr_assert_eq(stat(trust, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600);
}

Test(cmd_trust, text_is_trusted_at_its_path_only)
{
    char other[128];
    bool yes = true;
    cr_assert_eq(eg_trust_add(policy, NULL, NULL), EG_OK);
    snprintf(other, sizeof other, "%s/other.yaml", folder);
    put(other, "egress: 1\n");
    cr_assert_eq(eg_trust_check(other, EG_SLICE("egress: 1\n"), NULL, 0, &yes, NULL), EG_OK);
    cr_assert(!yes);
    unlink(other);
}

Test(cmd_trust, path_is_made_absolute_and_links_are_followed)
{
    bool yes = false;
    char link[128];
    snprintf(link, sizeof link, "%s/link.yaml", folder);
    cr_assert_eq(symlink(policy, link), 0);
    cr_assert_eq(eg_trust_add(link, NULL, NULL), EG_OK);
    cr_assert(trusted("egress: 1\n"));
    cr_assert_eq(chdir(folder), 0);
    cr_assert_eq(eg_trust_check("./egress.yaml", EG_SLICE("egress: 1\n"), NULL, 0, &yes, NULL),
                 EG_OK);
    cr_assert(yes);
    unlink(link);
}

/* its `tls: {ca: ./ca.pem}` would be read beside the link, where another repository put its own */
Test(cmd_trust, a_link_from_another_folder_is_not_the_trusted_file)
{
    bool yes = true;
    char other[128], link[160];
    cr_assert_eq(eg_trust_add(policy, NULL, NULL), EG_OK);
    snprintf(other, sizeof other, "%s/other", folder);
    snprintf(link, sizeof link, "%s/egress.yaml", other);
    cr_assert_eq(mkdir(other, 0700) | symlink(policy, link), 0);
    cr_assert_eq(eg_trust_check(link, EG_SLICE("egress: 1\n"), NULL, 0, &yes, NULL), EG_OK);
    cr_expect(!yes);
    cr_expect(!eg_trust_recorded(link));
    cr_expect_eq(eg_trust_add(link, NULL, NULL), EG_INVALID);
    unlink(link);
    rmdir(other);
}

Test(cmd_trust, new_record_takes_the_place_of_the_old)
{
    cr_assert_eq(eg_trust_add(policy, NULL, NULL), EG_OK);
    put(policy, "egress: 1\nname: x\n");
    cr_assert_eq(eg_trust_add(policy, NULL, NULL), EG_OK);
    cr_assert(trusted("egress: 1\nname: x\n"));
    cr_assert(!trusted("egress: 1\n"), "the old text must not stay trusted");
}

Test(cmd_trust, removed_record_is_trusted_no_more)
{
    cr_assert_eq(eg_trust_add(policy, NULL, NULL), EG_OK);
    cr_assert_eq(eg_trust_remove(policy, NULL), EG_OK);
    cr_assert(!trusted("egress: 1\n"));
    cr_assert_eq(eg_trust_remove(policy, NULL), EG_NOT_FOUND);
}

Test(cmd_trust, record_of_a_file_that_is_gone_can_be_removed)
{
    cr_assert_eq(eg_trust_add(policy, NULL, NULL), EG_OK);
    unlink(policy);
    cr_assert_eq(eg_trust_remove(policy, NULL), EG_OK);
}

Test(cmd_trust, trust_file_that_others_could_have_written_trusts_nothing)
{
    struct eg_err err = { 0 };
    bool yes = true;
    cr_assert_eq(eg_trust_add(policy, NULL, NULL), EG_OK);
    cr_assert_eq(chmod(trust, 0622), 0);
    cr_assert_eq(eg_trust_check(policy, EG_SLICE("egress: 1\n"), NULL, 0, &yes, &err), EG_OK);
    cr_assert(!yes);
    cr_assert_eq(err.status, EG_PERMISSION);
    cr_assert_eq(eg_trust_add(policy, NULL, NULL), EG_PERMISSION);
}

Test(cmd_trust, malformed_lines_are_passed_over)
{
    char line[256];
    cr_assert_eq(eg_trust_add(policy, NULL, NULL), EG_OK);
    int fd = open(trust, O_WRONLY | O_APPEND);
    snprintf(line, sizeof line, "\nnonsense\n%s\nabc  /x\n", policy);
    cr_assert(write(fd, line, strlen(line)) > 0);
    close(fd);
    cr_assert(trusted("egress: 1\n"));
}

static void count(void *ctx, const char *path, int state)
{
    int *states = ctx;
    cr_assert_eq(path[0], '/');
    states[state]++;
}

Test(cmd_trust, list_tells_what_changed_and_what_is_gone)
{
    char other[128];
    int states[3] = { 0 };
    snprintf(other, sizeof other, "%s/other.yaml", folder);
    put(other, "egress: 1\n");
    cr_assert_eq(eg_trust_add(policy, NULL, NULL), EG_OK);
    cr_assert_eq(eg_trust_add(other, NULL, NULL), EG_OK);
    cr_assert_eq(eg_trust_each(count, states, NULL), EG_OK);
    cr_assert_eq(states[0], 2);
    unlink(other);
    put(policy, "egress: 1\nallow: []\n");
    memset(states, 0, sizeof states);
    cr_assert_eq(eg_trust_each(count, states, NULL), EG_OK);
    cr_assert(states[0] == 0 && states[1] == 1 && states[2] == 1);
}

Test(cmd_trust, without_a_state_folder_nothing_is_trusted)
{
    unsetenv("XDG_STATE_HOME");
    unsetenv("HOME");
    cr_assert(!trusted("egress: 1\n"));
    cr_assert_eq(eg_trust_add(policy, NULL, NULL), EG_NOT_FOUND);
}

/* ---- with what it extends ---- */

static void two_files(void)
{
    char part[128];
    snprintf(part, sizeof part, "%s/team.yaml", folder);
    put(part, "egress: 1\n");
    put(policy, "egress: 1\nextends: ./team.yaml\n");
}

static void drop_second(void)
{
    char part[128];
    snprintf(part, sizeof part, "%s/team.yaml", folder);
    unlink(part);
}

Test(cmd_trust, what_is_extended_is_covered_and_named)
{
    char part[128], want[160];
    struct eg_buf covers;
    two_files();
    snprintf(part, sizeof part, "%s/team.yaml", folder);
    snprintf(want, sizeof want, "%s\n", part);
    eg_buf_init(&covers, 4096);
    cr_assert_eq(eg_trust_add(policy, &covers, NULL), EG_OK);
    cr_assert(eg_slice_eq(eg_buf_slice(&covers), eg_slice_str(want)));
    cr_assert(eg_trust_holds(policy));
    cr_assert(!trusted("egress: 1\nextends: ./team.yaml\n"), "not the text without the rest");
    const struct eg_policy_file same = { part, EG_SLICE("egress: 1\n"), EG_LAYER_REPO, true };
    const struct eg_policy_file changed = { part, EG_SLICE("egress: 1\nvia: true\n"), EG_LAYER_REPO,
                                            true };
    const struct eg_slice text = EG_SLICE("egress: 1\nextends: ./team.yaml\n");
    bool yes = false;
    cr_assert_eq(eg_trust_check(policy, text, &same, 1, &yes, NULL), EG_OK);
    cr_assert(yes);
    cr_assert_eq(eg_trust_check(policy, text, &changed, 1, &yes, NULL), EG_OK);
    cr_assert(!yes);
    put(part, "egress: 1\nvia: true\n");
    cr_assert(!eg_trust_holds(policy), "a changed part is a changed policy");
    eg_buf_done(&covers);
    drop_second();
}

Test(cmd_trust, a_part_is_the_same_from_wherever_the_policy_is_named)
{
    const struct eg_policy_file here = { "team.yaml", EG_SLICE("egress: 1\n"), EG_LAYER_REPO,
                                         true };
    const struct eg_policy_file dot = { "./team.yaml", EG_SLICE("egress: 1\n"), EG_LAYER_REPO,
                                        true };
    const struct eg_policy_file other = { "other.yaml", EG_SLICE("egress: 1\n"), EG_LAYER_REPO,
                                          true };
    const struct eg_slice text = EG_SLICE("egress: 1\nextends: ./team.yaml\n");
    bool yes = false;
    two_files();
    cr_assert_eq(eg_trust_add(policy, NULL, NULL), EG_OK);
    cr_assert_eq(chdir(folder), 0);
    cr_assert_eq(eg_trust_check("egress.yaml", text, &here, 1, &yes, NULL), EG_OK);
    cr_assert(yes);
    cr_assert_eq(eg_trust_check("./egress.yaml", text, &dot, 1, &yes, NULL), EG_OK);
    cr_assert(yes);
    cr_assert_eq(eg_trust_check("egress.yaml", text, &other, 1, &yes, NULL), EG_OK);
    cr_assert(!yes);
    drop_second();
}

Test(cmd_trust, what_extends_a_missing_file_is_not_recorded)
{
    struct eg_err err = { 0 };
    put(policy, "egress: 1\nextends: ./missing.yaml\n");
    cr_assert_eq(eg_trust_add(policy, NULL, &err), EG_INVALID);
    cr_assert_not_null(strstr(err.text, "egress.yaml:2"), "%s", err.text);
    cr_assert(!eg_trust_recorded(policy));
}
