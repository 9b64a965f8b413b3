/* cmd_run_files.c - the folder of a run's generated files: it goes when the run ends, one of a
 * killed run goes with the next, one of a living run stays, and a link in it leads nowhere. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/run_files.h"

static char base[64];

static void begin(void)
{
    snprintf(base, sizeof base, "/tmp/egress-base-XXXXXX");
    cr_assert_not_null(mkdtemp(base));
    cr_assert_eq(setenv("TMPDIR", base, 1), 0);
}

static void end(void)
{
    cr_assert_eq(rmdir(base), 0, "something is left in %s", base);
}

TestSuite(cmd_run_files, .timeout = 60, .init = begin, .fini = end);

static void make(struct eg_run_files *f)
{
    struct eg_err err = { 0 };
    cr_assert_eq(eg_run_files_make(f, &err), EG_OK, "%s", err.text);
    cr_assert_eq(strncmp(f->path, base, strlen(base)), 0, "%s", f->path);
}

static void drop(struct eg_run_files *f)
{
    struct eg_err err = { 0 };
    cr_assert_eq(eg_run_files_remove(f, &err), EG_OK, "%s", err.text);
}

static void put(const char *folder, const char *name, mode_t mode)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && fchmod(fd, mode) == 0, "%s", path);
    close(fd);
}

static void make_folder(const char *folder, const char *name, mode_t mode)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    cr_assert(mkdir(path, 0700) == 0 && chmod(path, mode) == 0, "%s", path);
}

static bool there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

Test(cmd_run_files, made_private_and_removed_with_all_that_is_in_it)
{
    struct eg_run_files f;
    struct stat st;
    char path[EG_RUN_FILES_PATH];
    make(&f);
    memcpy(path, f.path, sizeof path);
    cr_assert(stat(path, &st) == 0 && (st.st_mode & 07777) == 0700 && st.st_uid == geteuid());
    put(path, "file", 0400);
    make_folder(path, "deep", 0700);
    put(path, "deep/file", 0);
    make_folder(path, "deep/closed", 0);
    cr_assert_eq(chmod(path, 0500), 0);
    drop(&f);
    cr_expect_not(there(path));
    drop(&f); /* again is nothing */
}

/* What the child puts there leads to nothing outside. */
Test(cmd_run_files, links_are_removed_and_not_followed)
{
    struct eg_run_files f;
    char victim[128], link[512];
    snprintf(victim, sizeof victim, "%s/victim", base);
    make_folder(base, "victim", 0755);
    put(victim, "kept", 0600);
    make(&f);
    snprintf(link, sizeof link, "%s/docker", f.path);
    cr_assert_eq(symlink(victim, link), 0);
    drop(&f);
    char kept[160];
    snprintf(kept, sizeof kept, "%s/kept", victim);
    cr_expect(there(kept));
    cr_assert(unlink(kept) == 0 && rmdir(victim) == 0);
}

/* One that is killed leaves its folder; the next run, or any later one, removes it. */
Test(cmd_run_files, folder_of_a_killed_run_goes_with_the_next)
{
    struct eg_run_files f = { .path = "" };
    char left[EG_RUN_FILES_PATH] = "";
    int ends[2], wait_status;
    cr_assert_eq(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        make(&f);
        put(f.path, "wgetrc", 0400);
        ssize_t n = write(ends[1], f.path, sizeof f.path);
        kill(getpid(), n == (ssize_t)sizeof f.path ? SIGKILL : SIGABRT);
    }
    cr_assert_eq(waitpid(pid, &wait_status, 0), pid);
    cr_assert(WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL);
    cr_assert_eq(read(ends[0], left, sizeof left), (ssize_t)sizeof left);
    cr_assert(there(left), "the test shows nothing");
    make(&f);
    cr_expect_not(there(left));
    drop(&f);
    close(ends[0]);
    close(ends[1]);
}

Test(cmd_run_files, folder_of_a_living_run_stays)
{
    struct eg_run_files a, b;
    make(&a);
    put(a.path, "wgetrc", 0400);
    make(&b);
    char path[512];
    snprintf(path, sizeof path, "%s/wgetrc", a.path);
    cr_expect(there(path));
    cr_expect_str_neq(a.path, b.path);
    drop(&b);
    cr_expect(there(path));
    drop(&a);
}

/* The name is no proof: a folder of another user's, or a link, is not looked into. */
Test(cmd_run_files, what_only_has_the_name_of_one_is_left_alone)
{
    struct eg_run_files f;
    char link[128], other[128];
    snprintf(link, sizeof link, "%s/egress-files-0000000000", base);
    snprintf(other, sizeof other, "%s/other", base);
    make_folder(base, "other", 0700);
    put(other, "kept", 0600);
    cr_assert_eq(symlink(other, link), 0);
    make(&f);
    drop(&f);
    cr_expect(there(link));
    char kept[160];
    snprintf(kept, sizeof kept, "%s/kept", other);
    cr_expect(there(kept));
    cr_assert(unlink(kept) == 0 && rmdir(other) == 0 && unlink(link) == 0);
    if (geteuid() != 0)
        return;
    make_folder(base, "egress-files-1111111111", 0700);
    snprintf(link, sizeof link, "%s/egress-files-1111111111", base);
    cr_assert_eq(chown(link, 65534, 65534), 0);
    make(&f);
    drop(&f);
    cr_expect(there(link));
    cr_assert_eq(rmdir(link), 0);
}

/* Others could put their own folder in the place of ours; or the path would need quoting. */
Test(cmd_run_files, unfit_tmpdir_is_passed_over)
{
    char unfit[128];
    snprintf(unfit, sizeof unfit, "%s/a b", base);
    make_folder(base, "a b", 0700);
    make_folder(base, "open", 0777);
    char missing[128];
    snprintf(missing, sizeof missing, "%s/missing", base);
    const char *const values[] = { unfit, "relative", "", missing };
    for (unsigned i = 0; i < 5; i++) {
        struct eg_run_files f;
        struct eg_err err = { 0 };
        char open_one[128];
        snprintf(open_one, sizeof open_one, "%s/open", base);
        cr_assert_eq(setenv("TMPDIR", i < 4 ? values[i] : open_one, 1), 0);
        cr_assert_eq(eg_run_files_make(&f, &err), EG_OK, "%s", err.text);
        cr_expect_eq(strncmp(f.path, "/tmp/egress-files-", 18), 0, "%s", f.path);
        drop(&f);
    }
    snprintf(unfit, sizeof unfit, "%s/open", base);
    cr_assert_eq(rmdir(unfit), 0);
    snprintf(unfit, sizeof unfit, "%s/a b", base);
    cr_assert_eq(rmdir(unfit), 0);
}

/* In a user namespace in which only the caller has a number, as that of another run: /tmp is root's there too, by another's name. */
static int without_root(void)
{
    struct eg_run_files f;
    struct eg_err err = { 0 };
    char map[64];
    uid_t uid = geteuid() ? geteuid() : 4321;
    if (setresuid(uid, uid, uid) < 0 || prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0 || unshare(CLONE_NEWUSER) < 0)
        return 77;
    int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
    int n = snprintf(map, sizeof map, "%u %u 1", (unsigned)uid, (unsigned)uid);
    if (fd < 0 || write(fd, map, (size_t)n) != n)
        return 77;
    close(fd);
    if (eg_run_files_make(&f, &err) != EG_OK)
        return 1;
    int rc = strncmp(f.path, base, strlen(base)) == 0 ? 2 : strncmp(f.path, "/tmp/", 5) == 0 ? 0 : 4;
    return eg_run_files_remove(&f, &err) == EG_OK ? rc : 3;
}

Test(cmd_run_files, where_root_has_no_number_its_tmp_is_still_taken_and_no_other)
{
    int status;
    if (geteuid() == 0) /* sticky, and another's: of the same number there */
        cr_assert(chmod(base, 01777) == 0 && chown(base, 5432, 5432) == 0);
    else
        cr_assert_eq(setenv("TMPDIR", "/nowhere", 1), 0);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0)
        _exit(without_root());
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        cr_skip_test("a user namespace is refused here");
    cr_assert_eq(status, 0, "%d", status >> 8);
}
