/* launch_mounts.c - the child's view of the file system: what is covered and read-only and stays so,
 * links and devices too. Each script runs in the sandbox and prints what it could do. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/launched.h"

TestSuite(launch_mounts, .timeout = 60);

struct place {
    char dir[64], secret[96], open[96];
};

static void make_place(struct place *p)
{
    snprintf(p->dir, sizeof p->dir, "/tmp/egress-launch-XXXXXX");
    cr_assert_not_null(mkdtemp(p->dir));
    snprintf(p->secret, sizeof p->secret, "%s/secret", p->dir);
    snprintf(p->open, sizeof p->open, "%s/state", p->dir);
    int fd = open(p->secret, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    cr_assert_eq(write(fd, "real key\n", 9), 9);
    close(fd);
    cr_assert_eq(mkdir(p->open, 0777), 0);
    cr_assert_eq(chmod(p->dir, 0777), 0);
    cr_assert_eq(chmod(p->open, 0777), 0);
}

static void remove_place(struct place *p)
{
    unlink(p->secret);
    rmdir(p->open);
    rmdir(p->dir);
}

Test(launch_mounts, covered_file_is_not_readable_and_can_not_be_uncovered)
{
    struct place p;
    char script[1024];
    struct eg_ran r;
    make_place(&p);
    const char *covered[] = { p.secret, "/no/such/path" };
    struct eg_launch_paths paths = { .covered = covered, .covered_count = 2 };
    snprintf(script, sizeof script,
             "cat %s 2>/dev/null && echo read; chmod 644 %s 2>/dev/null && echo changed; umount %s "
             "2>/dev/null && echo uncovered;"
             "mv %s %s.2 2>/dev/null && echo moved; ln %s %s.3 2>/dev/null && echo linked; true",
             p.secret, p.secret, p.secret, p.secret, p.secret, p.secret, p.secret);
    eg_launched_script(script, &paths, &r);
    cr_assert_eq(r.code, 0);
    cr_assert_str_eq(r.out, "", "%s", r.out);
    remove_place(&p);
}

/* A new refresh token is written to the path of the old one: it must lead there still. */
Test(launch_mounts, folder_above_a_covered_file_can_not_be_moved_away)
{
    struct place p;
    char script[1024];
    struct eg_ran r;
    make_place(&p);
    const char *covered[] = { p.secret, p.open };
    struct eg_launch_paths paths = { .covered = covered, .covered_count = 2 };
    cr_assert_eq(geteuid() == 0 ? chown(p.dir, 65534, 65534) : 0, 0);
    snprintf(script, sizeof script,
             "mv -T %s %s.2 2>/dev/null && mkdir %s && echo mine > %s && echo moved; cat %s "
             "2>/dev/null; touch %s/beside && rm %s/beside && echo rest is free",
             p.dir, p.dir, p.dir, p.secret, p.secret, p.dir, p.dir);
    eg_launched_script(script, &paths, &r);
    cr_assert_str_eq(r.out, "rest is free\n", "%s", r.out);
    remove_place(&p);
}

/* It runs outside the sandbox when the credential is read again. */
Test(launch_mounts, program_of_a_credential_can_not_be_changed_nor_its_folder_moved_away)
{
    struct place p;
    char script[1024];
    struct eg_ran r;
    make_place(&p);
    const char *programs[] = { p.secret, p.open, "/no/such/path" };
    struct eg_launch_paths paths = { .programs = programs, .program_count = 3 };
    cr_assert_eq(geteuid() == 0 ? chown(p.dir, 65534, 65534) | chown(p.secret, 65534, 65534) : 0, 0);
    snprintf(script, sizeof script,
             "echo mine 2>/dev/null > %s && echo wrote; mv %s %s.2 2>/dev/null && echo renamed; mv -T "
             "%s %s.2 2>/dev/null && echo moved; cat %s; touch %s/x && rm %s/x && echo folders are "
             "free",
             p.secret, p.secret, p.secret, p.dir, p.dir, p.secret, p.open, p.open);
    eg_launched_script(script, &paths, &r);
    cr_assert_str_eq(r.out, "real key\nfolders are free\n", "%s", r.out);
    remove_place(&p);
}

Test(launch_mounts, covered_folder_is_an_empty_one_of_the_childs_own)
{
    struct place p;
    char script[512];
    struct eg_ran r;
    make_place(&p);
    const char *covered[] = { p.dir };
    struct eg_launch_paths paths = { .covered = covered, .covered_count = 1 };
    snprintf(script, sizeof script, "ls -A %s | wc -l; touch %s/mine && echo wrote", p.dir, p.dir);
    eg_launched_script(script, &paths, &r);
    cr_assert_str_eq(r.out, "0\nwrote\n", "%s", r.out);
    snprintf(script, sizeof script, "%s/mine", p.dir);
    cr_assert_neq(access(script, F_OK), 0, "the child's file must not be on the host");
    remove_place(&p);
}

/* A child that can move a parent of the trust store away puts its own in its place, and is
 * trusted at the next start. */
Test(launch_mounts, read_only_folder_and_its_parents_stay)
{
    struct place p;
    char script[1024];
    struct eg_ran r;
    make_place(&p);
    const char *fixed[] = { p.open };
    struct eg_launch_paths paths = { .read_only = fixed, .read_only_count = 1 };
    snprintf(script, sizeof script,
             "cd %s && touch x 2>/dev/null && echo wrote; mv %s %s.2 2>/dev/null && echo moved; mv "
             "%s %s.2 2>/dev/null && echo moved parent;"
             "rmdir %s 2>/dev/null && echo removed; touch %s/beside && rm %s/beside && echo rest "
             "is free",
             p.open, p.open, p.open, p.dir, p.dir, p.open, p.dir, p.dir);
    eg_launched_script(script, &paths, &r);
    cr_assert_str_eq(r.out, "rest is free\n", "%s", r.out);
    remove_place(&p);
}

Test(launch_mounts, working_folder_is_entered_again_below_the_covers)
{
    struct place p;
    struct eg_ran r;
    make_place(&p);
    const char *covered[] = { p.secret };
    struct eg_launch_paths paths = { .covered = covered, .covered_count = 1 };
    cr_assert_eq(chdir(p.dir), 0);
    eg_launched_script("pwd; cat secret 2>/dev/null", &paths, &r);
    cr_assert_eq(strncmp(r.out, p.dir, strlen(p.dir)), 0, "%s", r.out);
    cr_assert_null(strstr(r.out, "real"), "%s", r.out);
    cr_assert_eq(chdir("/"), 0);
    remove_place(&p);
}

Test(launch_mounts, working_folder_that_is_read_only_is_read_only_by_its_dot_too)
{
    struct place p;
    struct eg_ran r;
    make_place(&p);
    const char *fixed[] = { p.open };
    struct eg_launch_paths paths = { .read_only = fixed, .read_only_count = 1 };
    cr_assert_eq(chdir(p.open), 0);
    eg_launched_script("(touch x) 2>/dev/null && echo wrote; true", &paths, &r);
    cr_assert_str_eq(r.out, "", "%s", r.out);
    cr_assert_eq(chdir("/"), 0);
    remove_place(&p);
}

/* ---- links ---- */

static void own(const struct place *p)
{
    if (geteuid() == 0)
        cr_assert_eq(chown(p->dir, 65534, 65534) | chown(p->secret, 65534, 65534) |
                         chown(p->open, 65534, 65534),
                     0);
}

static void link_to(const char *target, const char *name)
{
    cr_assert_eq(symlink(target, name), 0);
    cr_assert(geteuid() != 0 || lchown(name, 65534, 65534) == 0);
}

/* As dotfile managers do it: the name that a shell reads is a link into a folder of theirs. */
Test(launch_mounts, link_to_a_held_file_can_not_be_replaced)
{
    struct place p;
    char link[128], second[128], script[1024];
    struct eg_ran r;
    make_place(&p);
    own(&p);
    snprintf(link, sizeof link, "%s/rc", p.dir);
    snprintf(second, sizeof second, "%s/to-rc", p.dir);
    link_to("secret", link);
    link_to(link, second);
    const char *held[] = { second };
    struct eg_launch_paths paths = { .held = held, .held_count = 1 };
    snprintf(script, sizeof script,
             "cd %s; for f in rc to-rc secret; do rm -f $f 2>/dev/null && echo removed $f; mv $f x "
             "2>/dev/null && echo moved $f; ln -sfT /etc/passwd $f 2>/dev/null && echo led $f away; "
             "(echo mine > $f) 2>/dev/null && echo wrote $f; cat $f; done; touch beside && rm beside "
             "&& echo rest is free",
             p.dir);
    eg_launched_script(script, &paths, &r);
    cr_assert_str_eq(r.out, "real key\nreal key\nreal key\nrest is free\n", "%s", r.out);
    unlink(link);
    unlink(second);
    remove_place(&p);
}

Test(launch_mounts, folder_held_through_a_link_is_held_by_every_way)
{
    struct place p;
    char link[128], script[1024];
    struct eg_ran r;
    make_place(&p);
    own(&p);
    snprintf(link, sizeof link, "%s/config", p.dir);
    link_to("state", link);
    char inside[160];
    snprintf(inside, sizeof inside, "%s/git", p.open);
    cr_assert_eq(mkdir(inside, 0777) | chmod(inside, 0777), 0);
    snprintf(inside, sizeof inside, "%s/git", link);
    const char *held[] = { inside };
    struct eg_launch_paths paths = { .held = held, .held_count = 1 };
    snprintf(script, sizeof script,
             "cd %s; touch config/git/x 2>/dev/null && echo wrote; touch state/git/x 2>/dev/null && "
             "echo wrote by the other way; rm config 2>/dev/null && echo removed; mv state state.2 "
             "2>/dev/null && echo moved; mv config/git x 2>/dev/null && echo moved it; touch "
             "config/beside && ls state; rm -r state/beside x", /* mv had begun to copy it */
             p.dir);
    eg_launched_script(script, &paths, &r);
    cr_assert_str_eq(r.out, "beside\ngit\n", "%s", r.out);
    unlink(link);
    snprintf(inside, sizeof inside, "%s/git", p.open);
    rmdir(inside);
    remove_place(&p);
}

Test(launch_mounts, what_lies_below_a_covered_folder_is_no_fault)
{
    struct place p;
    struct eg_ran r;
    make_place(&p);
    const char *covered[] = { p.dir, p.secret }, *held[] = { p.open };
    struct eg_launch_paths paths = {
        .covered = covered, .covered_count = 2, .held = held, .held_count = 1
    };
    char script[256];
    snprintf(script, sizeof script, "ls -A %s | wc -l", p.dir);
    eg_launched_script(script, &paths, &r);
    cr_assert_str_eq(r.out, "0\n", "%s", r.out);
    remove_place(&p);
}

/* ---- other paths to the same file ---- */

/* As of a chroot with /home in it. */
static void mount_twice(const struct place *p, const char *second)
{
    if (geteuid() != 0)
        cr_skip_test("mounts are root's to make");
    cr_assert(unshare(CLONE_NEWNS) == 0 &&
              mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && mkdir(second, 0755) == 0 &&
              mount(p->dir, second, NULL, MS_BIND, NULL) == 0);
}

Test(launch_mounts, file_that_is_mounted_twice_is_covered_and_held_twice)
{
    struct place p;
    char second[96], held[160], script[1024];
    struct eg_ran r;
    make_place(&p);
    own(&p);
    snprintf(second, sizeof second, "%s-second place", p.dir);
    snprintf(held, sizeof held, "%s/held", p.dir);
    mount_twice(&p, second);
    cr_assert_eq(mkdir(held, 0777) | chmod(held, 0777), 0);
    const char *covered[] = { p.secret }, *kept[] = { held };
    struct eg_launch_paths paths = {
        .covered = covered, .covered_count = 1, .held = kept, .held_count = 1
    };
    snprintf(script, sizeof script,
             "cd '%s' && cat secret 2>/dev/null; touch held/x 2>/dev/null && echo wrote; mv held h "
             "2>/dev/null && echo moved; touch beside && rm beside && echo rest is free",
             second);
    eg_launched_script(script, &paths, &r);
    cr_expect_str_eq(r.out, "rest is free\n", "%s", r.out);
    umount2(second, MNT_DETACH);
    rmdir(second);
    rmdir(held);
    remove_place(&p);
}

/* ---- devices ---- */

/* Who can open another terminal of the user reads what is typed there. */
Test(launch_mounts, terminals_of_others_have_no_name_here)
{
    char script[256];
    struct eg_ran r;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
        cr_skip_test("no pseudo terminal to try with");
    snprintf(script, sizeof script, "test -e %s && echo there; ls /dev/pts", ptsname(master));
    cr_assert_eq(access(ptsname(master), F_OK), 0);
    eg_launched_script(script, NULL, &r);
    cr_assert_str_eq(r.out, "ptmx\n", "%s", r.out);
    close(master);
}

Test(launch_mounts, terminals_of_its_own_can_be_made)
{
    struct eg_ran r;
    if (access("/usr/bin/script", X_OK) != 0)
        cr_skip_test("no script(1)");
    eg_launched_script("script -qec 'tty; echo made' /dev/null </dev/null | tr -d '\\r'", NULL, &r);
    cr_assert_str_eq(r.out, "/dev/pts/0\nmade\n", "%s", r.out);
}

Test(launch_mounts, shared_memory_and_control_groups_of_others_are_out_of_reach)
{
    char name[64], script[512];
    struct eg_ran r;
    snprintf(name, sizeof name, "/dev/shm/egress-launch-%d", (int)getpid());
    int fd = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    if (fd < 0)
        cr_skip_test("no /dev/shm");
    close(fd);
    snprintf(script, sizeof script,
             "ls -A /dev/shm | wc -l; touch /dev/shm/own && echo own; awk '$5 ~ \"^/sys(/|$)\" && "
             "$6 !~ /^ro/' /proc/self/mountinfo");
    eg_launched_script(script, NULL, &r);
    unlink(name);
    cr_assert_str_eq(r.out, "0\nown\n", "%s", r.out);
    cr_assert_neq(access("/dev/shm/own", F_OK), 0, "it must not be on the host");
}

/* ---- what can't be covered ---- */

enum { MANY = 4200 }; /* more than are marked */

/* They are there, so that each is one to hold. */
static const char **many_files(const char *folder)
{
    const char **list = calloc(MANY, sizeof *list);
    cr_assert_not_null(list);
    for (unsigned i = 0; i < MANY; i++) {
        char *path = NULL;
        cr_assert_geq(asprintf(&path, "%s/%u", folder, i), 0);
        int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
        cr_assert_geq(fd, 0);
        close(fd);
        list[i] = path;
    }
    return list;
}

static void drop_files(const char *folder, const char **list)
{
    for (unsigned i = 0; i < MANY; i++) {
        unlink(list[i]);
        free((void *)(uintptr_t)list[i]);
    }
    free(list);
    rmdir(folder);
}

Test(launch_mounts, what_can_not_be_held_is_told_and_the_command_never_runs)
{
    char folder[] = "/tmp/egress-many-XXXXXX";
    char *argv[] = { (char[]){ "/bin/true" }, NULL };
    eg_launched_free(eg_launched_prepare(argv, true)); /* else it is skipped, before anything is made */
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chmod(folder, 0755), 0);
    const char **list = many_files(folder);
    const struct eg_launch_paths paths = { .covered = list, .covered_count = MANY };
    for (int late = 0; late < 2; late++) {
        struct eg_err err = { 0 };
        struct eg_launch *l = eg_launched_prepare(argv, true);
        enum eg_status status = eg_launch_cover(l, &paths, &err);
        if (late && status == EG_OK) { /* somebody else has waited for it meanwhile */
            cr_assert_eq(waitpid(eg_launch_pid(l), NULL, 0), eg_launch_pid(l));
            eg_launch_ended(l);
            status = eg_launch_failed(l, &err);
        } else if (status == EG_OK) {
            status = eg_launch_go(l, eg_launched_env, &err);
        }
        cr_expect_eq(status, EG_TOO_BIG, "%d: %s", late, egress_status_name(status));
        cr_expect(strstr(err.text, "too many protected paths"), "%d: %s", late, err.text);
        eg_launched_free(l);
    }
    drop_files(folder, list);
}
