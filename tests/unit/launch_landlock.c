/* launch_landlock.c - the file system of the fallback, attempt by attempt: rules are put into force
 * in a forked process, which then tries and reports the errno. Each attempt that is refused is made
 * without the rules too, where it must succeed. Lower ABIs stand for older kernels. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch/internal.h"

TestSuite(launch_landlock, .timeout = 60);

enum { SOMEBODY = 65534, FIRST = 1, REFERS = 2, TRUNCATES = 3, CONNECTS = 4, SCOPES = 6 };

static char top[64];
static unsigned abi;

/* ---- a home below top: what is protected, and what is beside it ---- */

static void at(char *path, const char *name)
{
    snprintf(path, 256, "%s%s%s", top, *name == '-' ? "" : "/", name);
}

static void folder(const char *name)
{
    char path[256];
    at(path, name);
    cr_assert_eq(mkdir(path, 0755), 0, "%s", path);
}

static void file(const char *name)
{
    char path[256];
    at(path, name);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0755);
    cr_assert(fd >= 0 && write(fd, "#!/bin/sh\n", 10) == 10, "%s", path);
    close(fd);
}

static int give(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)type;
    (void)f;
    return lchown(path, SOMEBODY, SOMEBODY);
}

static int take_away(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)type;
    (void)f;
    return remove(path);
}

static void make_home(void)
{
    char target[256], link[256];
    snprintf(top, sizeof top, "/tmp/egress-landlock-XXXXXX");
    cr_assert_not_null(mkdtemp(top));
    cr_assert_eq(chmod(top, 0755), 0);
    static const char *const folders[] = { "home",      "home/config", "home/config/egress",
                                           "home/keys", "home/work",   "home/work/sub",
                                           "home/dot",  "away" };
    static const char *const files[] = { "home/config/egress/user", "home/config/other",
                                         "home/keys/key",           "home/rc",
                                         "home/note",               "home/work/file",
                                         "home/policy",
                                         "home/dot/profile" };
    for (unsigned i = 0; i < sizeof folders / sizeof *folders; i++)
        folder(folders[i]);
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++)
        file(files[i]);
    at(target, "home/dot/profile");
    at(link, "home/profile");
    cr_assert_eq(symlink(target, link), 0);
    if (geteuid() == 0)
        cr_assert_eq(nftw(top, give, 16, FTW_PHYS), 0);
}

static void begin(void)
{
    abi = eg_landlock_abi();
    if (abi == 0)
        cr_skip_test("this kernel has no Landlock");
    make_home();
}

static void end(void)
{
    if (top[0])
        nftw(top, take_away, 16, FTW_PHYS | FTW_DEPTH);
}

/* ---- attempts ---- */

static int reads(const char *p)
{
    char byte;
    int fd = open(p, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? errno : read(fd, &byte, 1) == 1 ? 0 : EIO;
}

static int writes(const char *p)
{
    int fd = open(p, O_WRONLY | O_APPEND | O_CLOEXEC);
    return fd < 0 ? errno : write(fd, "x", 1) == 1 ? 0 : EIO;
}

static int makes(const char *p)
{
    return open(p, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644) < 0 ? errno : 0;
}

static int lists(const char *p)
{
    return open(p, O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0 ? errno : 0;
}

static int empties(const char *p)
{
    return truncate(p, 0) < 0 ? errno : 0;
}

static int removes(const char *p)
{
    return remove(p) < 0 ? errno : 0;
}

static int makes_folder(const char *p)
{
    return mkdir(p, 0755) < 0 ? errno : 0;
}

static int renames(const char *p)
{
    char other[300];
    snprintf(other, sizeof other, "%s.2", p);
    return rename(p, other) < 0 ? errno : 0;
}

/* One that may be written to, renamed over it. */
static int replaces(const char *p)
{
    char own[300];
    at(own, "home/work/file");
    return rename(own, p) < 0 ? errno : 0;
}

static int links_into_work(const char *p)
{
    char own[300];
    at(own, "home/work/alias");
    return link(p, own) < 0 ? errno : 0;
}

static int moves_out_of_work(const char *p)
{
    char own[300];
    at(own, "home/work/file");
    return rename(own, p) < 0 ? errno : 0;
}

static int runs(const char *p)
{
    return access(p, X_OK) < 0 ? errno : (execl(p, p, (char *)NULL), errno);
}

static int connects(const char *p)
{
    (void)p;
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof to;
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int c = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0 || c < 0 || bind(s, (struct sockaddr *)&to, sizeof to) < 0 || listen(s, 1) < 0 ||
        getsockname(s, (struct sockaddr *)&to, &n) < 0)
        return EIO;
    return connect(c, (struct sockaddr *)&to, sizeof to) < 0 ? errno : 0;
}

static int signals_its_parent(const char *p)
{
    (void)p;
    return kill(getppid(), 0) < 0 ? errno : 0;
}

static int reads_its_parents_environment(const char *p)
{
    (void)p;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)getppid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? errno : 0;
}

struct attempt {
    const char *what;
    int (*go)(const char *path);
    const char *name; /* below top, or absolute */
    int sys;          /* what it meets; 0: it works */
    unsigned since;   /* refused from that ABI on; before, it works */
};

static const struct attempt attempts[] = {
    { "read a covered file", reads, "home/keys/key", EACCES, FIRST },
    { "write to a covered file", writes, "home/keys/key", EACCES, FIRST },
    { "make a file in a covered folder", makes, "home/keys/new", EACCES, FIRST },
    { "remove a covered file", removes, "home/keys/key", EACCES, FIRST },
    { "move a covered folder", renames, "home/keys", EACCES, FIRST },
    { "give a covered file a second name", links_into_work, "home/keys/key", EXDEV, FIRST },
    { "write to a file that is read-only", writes, "home/rc", EACCES, FIRST },
    { "empty it by name", empties, "home/rc", EACCES, TRUNCATES },
    { "remove it", removes, "home/rc", EACCES, FIRST },
    { "rename it", renames, "home/rc", EACCES, FIRST },
    { "rename another over it", replaces, "home/rc", EXDEV, FIRST },
    { "give it a second name", links_into_work, "home/rc", EXDEV, FIRST },
    { "read it", reads, "home/rc", 0, 0 },
    { "execute it", runs, "home/rc", 0, 0 },
    { "write below a read-only folder", writes, "home/config/egress/user", EACCES, FIRST },
    { "make a file in it", makes, "home/config/egress/new", EACCES, FIRST },
    { "move it", renames, "home/config/egress", EACCES, FIRST },
    { "move the folder above it", renames, "home/config", EACCES, FIRST },
    { "move the home", renames, "home", EACCES, FIRST },
    { "make a file in the home", makes, "home/new", EACCES, FIRST },
    { "make what is missing", makes, "home/login", EACCES, FIRST },
    { "make a folder in the home", makes_folder, "home/new", EACCES, FIRST },
    { "replace a link that leads to a protected file", removes, "home/profile", EACCES, FIRST },
    { "write to where it leads", writes, "home/dot/profile", EACCES, FIRST },
    { "move where it leads", renames, "home/dot", EACCES, FIRST },
    { "list the home", lists, "home", 0, 0 },
    { "list a folder above a protected one", lists, "home/config", 0, 0 },
    { "write to a file that is held where its folder is frozen anyway", writes, "home/policy",
      EACCES, FIRST },
    { "write to a file that is held by mounts alone", writes, "home/work/file", 0, 0 },
    { "write to a file beside", writes, "home/note", 0, 0 },
    { "write beside a read-only folder", writes, "home/config/other", 0, 0 },
    { "make a file in a folder beside", makes, "home/work/new", 0, 0 },
    { "remove a file there", removes, "home/work/file", 0, 0 },
    { "move a file within it", renames, "home/work/file", 0, 0 },
    { "make a file beside all that", makes, "-elsewhere", EACCES, FIRST }, /* above it too */
    { "write to a device", writes, "/dev/null", 0, 0 },
    { "read a device", reads, "/dev/urandom", 0, 0 },
    { "read of /proc", reads, "/proc/self/status", 0, 0 },
    { "read the environment of who is outside", reads_its_parents_environment, "home", EACCES,
      FIRST },
    { "connect", connects, "home", EACCES, CONNECTS },
    { "signal who is outside", signals_its_parent, "home", EPERM, SCOPES },
};

static void apply(unsigned max)
{
    char config[256], rc[256], keys[256], profile[256], login[256];
    char beside[256], free_one[256];
    char *none[] = { NULL }, *covered[] = { keys, NULL }, *programs[] = { profile, NULL };
    char *held[] = { beside, free_one, NULL };
    char *fixed[] = { config, rc, login, NULL };
    struct eg_go go = { .environment = none, .covered = covered, .read_only = fixed,
                        .programs = programs, .held = held, .sockets = none };
    struct eg_err err = { 0 };
    at(beside, "home/policy");
    at(free_one, "home/work/file");
    at(config, "home/config/egress");
    at(rc, "home/rc");
    at(keys, "home/keys");
    at(profile, "home/profile");
    at(login, "home/login");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || eg_landlock_apply(&go, max, &err) != EG_OK)
        _exit(254);
}

static void become_somebody(void)
{
    if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(SOMEBODY, SOMEBODY, SOMEBODY) < 0 ||
                           setresuid(SOMEBODY, SOMEBODY, SOMEBODY) < 0))
        _exit(253);
}

/* A go-between is the one that is outside: same user, and no more. */
static _Noreturn void go_between(const struct attempt *t, unsigned max)
{
    char path[256];
    int status;
    become_somebody();
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    if (t->name[0] == '/')
        snprintf(path, sizeof path, "%s", t->name);
    else
        at(path, t->name);
    pid_t pid = fork();
    if (pid == 0) {
        if (max > 0)
            apply(max);
        _exit(t->go(path));
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        _exit(252);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 251);
}

/* max 0: without rules. */
static int try(const struct attempt *t, unsigned max)
{
    int status;
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0)
        go_between(t, max);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) < 251, "%s: %x", t->what, status);
    return WEXITSTATUS(status);
}

static void again(void)
{
    char beside[256];
    at(beside, "-elsewhere");
    end();
    unlink(beside);
    make_home();
}

static void try_all(unsigned max)
{
    for (unsigned i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        const struct attempt *t = &attempts[i];
        int want = t->since > 0 && max >= t->since ? t->sys : 0;
        int got = try(t, max);
        if (want == EXDEV || want == EACCES) /* which of both depends on the ABI */
            cr_expect(got == EXDEV || got == EACCES, "ABI %u, %s: %d", max, t->what, got);
        else
            cr_expect_eq(got, want, "ABI %u, %s: %d, not %d", max, t->what, got, want);
        if (got == 0)
            again();
    }
}

Test(launch_landlock, every_attempt_works_without_the_rules, .init = begin, .fini = end)
{
    try_all(0);
}

Test(launch_landlock, newest_rules, .init = begin, .fini = end)
{
    try_all(abi < EG_LANDLOCK_NEWEST ? abi : EG_LANDLOCK_NEWEST);
}

/* Linux 5.13: no file may move to another folder, truncate(2) goes by. */
Test(launch_landlock, rules_of_the_first_kernel_that_had_them, .init = begin, .fini = end)
{
    try_all(FIRST);
}

/* Debian 12. */
Test(launch_landlock, rules_of_linux_6_1, .init = begin, .fini = end)
{
    if (abi < REFERS)
        cr_skip_test("an older kernel");
    try_all(REFERS);
}

Test(launch_landlock, rules_of_linux_6_7, .init = begin, .fini = end)
{
    if (abi < CONNECTS)
        cr_skip_test("an older kernel");
    try_all(CONNECTS);
}

Test(launch_landlock, files_move_between_folders_that_are_free, .init = begin, .fini = end)
{
    const struct attempt move = { "move", moves_out_of_work, "away/file", 0, 0 };
    if (abi < REFERS)
        cr_skip_test("an older kernel");
    cr_expect_eq(try(&move, REFERS), 0);
    again();
    const struct attempt early = { "move", moves_out_of_work, "away/file", EXDEV, 0 };
    cr_expect_eq(try(&early, FIRST), EXDEV, "the first ABI knows no such right");
}

/* Python's locks between processes are made there. */
Test(launch_landlock, shared_memory_is_the_childs_only_where_nothing_of_others_is, .init = begin,
     .fini = end)
{
    char name[64];
    snprintf(name, sizeof name, "/dev/shm/egress-landlock-%d", (int)getpid());
    const struct attempt reading = { "read", reads, name, 0, 0 };
    int fd = open(name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        cr_skip_test("no /dev/shm");
    bool given = write(fd, "x", 1) == 1 && (geteuid() != 0 || fchown(fd, SOMEBODY, SOMEBODY) == 0);
    close(fd);
    int alone = try(&reading, 0), kept = try(&reading, FIRST);
    unlink(name);
    cr_assert(given);
    cr_expect_eq(alone, 0);
    cr_expect_eq(kept, EACCES);
}

Test(launch_landlock, kernel_without_it_is_refused_with_what_to_change)
{
    struct eg_err err = { 0 };
    char *none[] = { NULL };
    struct eg_go go = { .environment = none, .covered = none, .read_only = none, .programs = none,
                        .held = none, .sockets = none };
    cr_assert_eq(eg_landlock_apply(&go, 0, &err), EG_PERMISSION);
    cr_assert(strstr(err.text, "lsm="), "%s", err.text);
}
