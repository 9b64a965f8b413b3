/* cmd_run_later.c - what of a home and a repository is kept from the child of `run` because it would
 * run outside later, and what is made for the time of a run so that it can be kept. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/run_later.h"

TestSuite(cmd_run_later, .timeout = 60);

static char top[64], home[96], state[96], programs[96], cwd[512];
static struct eg_environ *environment;
static struct eg_later l;

static const char *in(const char *folder, const char *name)
{
    static char path[4][256];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s", path);
    close(fd);
}

static void folder(const char *path)
{
    cr_assert_eq(mkdir(path, 0755), 0, "%s", path);
}

static bool there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static bool holds(const char *path, const char *text)
{
    char got[512] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, got, sizeof got - 1) : -1;
    if (fd >= 0)
        close(fd);
    return n >= 0 && strcmp(got, text) == 0;
}

static void begin(void)
{
    snprintf(top, sizeof top, "/tmp/egress-later-XXXXXX");
    cr_assert_not_null(mkdtemp(top));
    snprintf(home, sizeof home, "%s/home", top);
    snprintf(state, sizeof state, "%s/state", top);
    snprintf(programs, sizeof programs, "%s/programs", top);
    folder(home);
    folder(state);
    folder(programs);
    static const char *const names[] = { "bash", "zsh", "fish", "systemctl", "npm" };
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        cr_assert_eq(symlink("/bin/sh", in(programs, names[i])), 0);
    cr_assert(getcwd(cwd, sizeof cwd) && chdir(top) == 0);
    cr_assert(setenv("HOME", home, 1) == 0 && setenv("PATH", programs, 1) == 0 &&
              unsetenv("XDG_CONFIG_HOME") == 0 && unsetenv("XDG_DATA_HOME") == 0 &&
              unsetenv("ZDOTDIR") == 0);
    memset(&l, 0, sizeof l);
}

static int take_away(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)type;
    (void)f;
    return remove(path);
}

static void end(void)
{
    eg_later_done(&l);
    eg_environ_free(environment);
    environment = NULL;
    cr_assert_eq(chdir(cwd), 0);
    nftw(top, take_away, 16, FTW_PHYS | FTW_DEPTH);
}

/* A test that is skipped has no end of its own. */
static void skip(const char *why)
{
    end();
    cr_skip_test("%s", why);
}

static bool in_list(char *const *list, unsigned n, const char *path)
{
    for (unsigned i = 0; i < n; i++)
        if (strcmp(list[i], path) == 0)
            return true;
    return false;
}

static bool held(const char *path)
{
    return in_list(l.held, l.held_count, path);
}

static bool tool(const char *path)
{
    return in_list(l.tools, l.tool_count, path);
}

static void find(struct eg_run_made *made)
{
    eg_environ_free(environment);
    environment = NULL;
    cr_assert_eq(eg_environ_take(&environment), EG_OK);
    eg_later_done(&l);
    l.environment = environment;
    l.home = home;
    l.made = made;
    cr_assert_eq(eg_later_find(&l), EG_OK);
}

#define LATER(name) Test(cmd_run_later, name, .init = begin, .fini = end)

/* ---- the lists ---- */

LATER(start_up_files_of_shells_logins_and_git_are_held)
{
    static const char *const names[] = { ".bashrc",    ".profile",           ".bash_profile",
                                         ".bash_login", ".zshenv",           ".zshrc",
                                         ".ssh",       ".gitconfig",         ".config/git",
                                         ".config/systemd", ".config/autostart", ".local/bin",
                                         ".config/environment.d", ".config/fish", ".npmrc" };
    find(NULL);
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        cr_expect(held(in(home, names[i])), "%s", names[i]);
    cr_expect_not(held(in(home, ".emacs")), "missing, and it would hide ~/.emacs.d");
    cr_expect_not(held(in(home, ".vimrc")), "missing, and there is nothing that reads it");
    cr_expect_not(there(in(home, ".bashrc")), "nothing was to be made");
}

LATER(configuration_is_where_the_variables_say)
{
    cr_assert(setenv("XDG_CONFIG_HOME", in(top, "conf"), 1) == 0 &&
              setenv("ZDOTDIR", in(top, "zsh"), 1) == 0);
    folder(in(top, "zsh"));
    put(in(top, "zsh/.zshrc"), "");
    find(NULL);
    cr_expect(held(in(top, "conf/git")));
    cr_expect_not(held(in(home, ".config/git")));
    cr_expect(held(in(top, "zsh/.zshrc")));
    l.other_user = true;
    find(NULL);
    cr_expect(held(in(home, ".config/git")), "the variables are the caller's, not that user's");
}

LATER(what_tools_go_on_writing_beside_is_listed_apart)
{
    folder(in(home, ".cargo"));
    put(in(home, ".cargo/config.toml"), "");
    find(NULL);
    cr_expect(tool(in(home, ".cargo/config.toml")));
    cr_expect_not(held(in(home, ".cargo/config.toml")));
    cr_expect_not(tool(in(home, ".aws/config")), "there is none");
}

LATER(what_the_person_lets_it_write_to_is_not_held)
{
    const char *let[] = { in(home, ".config/fish/"), in(home, ".bashrc") };
    l.writable = let;
    l.writable_count = 2;
    find(NULL);
    cr_expect_not(held(in(home, ".config/fish")));
    cr_expect_not(held(in(home, ".bashrc")));
    cr_expect(held(in(home, ".bash_profile")));
    cr_expect(held(in(home, ".config/git")));
    const char *all[] = { home };
    l.writable = all;
    l.writable_count = 1;
    find(NULL);
    cr_expect_eq(l.held_count, 1, "%u: PATH alone", l.held_count);
}

LATER(folders_of_PATH_are_held_but_for_the_projects_own)
{
    char path[600];
    folder(in(home, "node"));
    folder(in(home, "node/bin"));
    folder(in(home, "node/lib"));
    folder(in(top, "project"));
    folder(in(top, "project/bin"));
    snprintf(path, sizeof path, "%s:%s//:relative::%s:/usr/bin", in(home, "go/bin"),
             in(home, "node/bin"), in(top, "project/bin"));
    cr_assert(setenv("PATH", path, 1) == 0 && chdir(in(top, "project")) == 0);
    find(NULL);
    cr_expect(held(in(home, "go/bin")), "missing: it may be made");
    cr_expect(held(in(home, "node/bin")));
    cr_expect(tool(in(home, "node/lib")), "its programs are links to there");
    cr_expect_not(held(in(top, "project/bin")));
    cr_assert_eq(chdir(home), 0);
    find(NULL);
    cr_expect(held(in(home, "node/bin")), "home is no project");
    cr_assert_eq(chdir(top), 0);
}

LATER(what_start_up_files_name_is_held_too)
{
    char text[512];
    static const char *const files[] = { "dot/aliases.sh", "dot/env",     "dot/own",
                                         "dot/plain",      "dot/history", "dot/comment" };
    folder(in(home, "dot"));
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++)
        put(in(home, files[i]), "");
    snprintf(text, sizeof text,
             "[ -r ~/dot/aliases.sh ]&&. ~/dot/aliases.sh\n. \"$HOME/dot/env\"\nsource %s/dot/own;x\n"
             "HISTFILE=~/dot/history\n # . ~/dot/comment\nexport A=$HOME/dot\n. ~/dot/missing",
             home);
    put(in(home, ".bashrc"), text);
    put(in(home, ".zshrc"), "source ${HOME}/dot/plain");
    find(NULL);
    cr_expect(tool(in(home, "dot/aliases.sh")));
    cr_expect(tool(in(home, "dot/env")) && tool(in(home, "dot/own")) && tool(in(home, "dot/plain")));
    cr_expect_not(tool(in(home, "dot/history")) || tool(in(home, "dot/comment")));
    cr_expect_not(tool(in(home, "dot")) || tool(in(home, "dot/missing")));
}

LATER(git_of_the_working_folder_is_held_with_what_its_configuration_names)
{
    static const char *const folders[] = { "r",       "r/.git", "r/.git/modules", "r/.git/modules/m",
                                           "r/a",     "r/a/b",  "hooks" };
    for (unsigned i = 0; i < sizeof folders / sizeof *folders; i++)
        folder(in(top, folders[i]));
    char text[512];
    snprintf(text, sizeof text, "[core]\n\thooksPath = \"%s\"\n\tbare = false\n[x]\n\tother = /bin/sh\n",
             in(top, "hooks"));
    put(in(top, "r/.git/config"), text);
    put(in(top, "r/.git/modules/m/HEAD"), "");
    put(in(top, "r/.git/modules/m/config"), "");
    put(in(home, ".gitconfig"), "[include]\n path = ~/more\n[credential]\n helper = !~/helper x\n");
    put(in(home, "more"), "");
    put(in(home, "helper"), "");
    cr_assert_eq(chdir(in(top, "r/a/b")), 0);
    find(NULL);
    cr_expect(tool(in(top, "r/.git/config")) && tool(in(top, "r/.git/hooks")));
    cr_expect(tool(in(top, "r/.git/commondir")), "it would lead to other hooks");
    cr_expect(tool(in(top, "r/.git/modules/m/config")) && tool(in(top, "r/.git/modules/m/hooks")));
    cr_expect(tool(in(top, "hooks")));
    cr_expect(tool(in(home, "more")) && tool(in(home, "helper")));
    cr_expect_not(tool("/bin/sh"));
    cr_assert_eq(chdir(top), 0);
}

LATER(worktree_is_held_with_the_folders_that_it_names)
{
    static const char *const folders[] = { "r", "r/.git", "r/.git/worktrees", "r/.git/worktrees/w",
                                           "w" };
    for (unsigned i = 0; i < sizeof folders / sizeof *folders; i++)
        folder(in(top, folders[i]));
    char text[256];
    snprintf(text, sizeof text, "gitdir: %s\n", in(top, "r/.git/worktrees/w"));
    put(in(top, "w/.git"), text);
    put(in(top, "r/.git/worktrees/w/commondir"), "../..\n");
    cr_assert_eq(chdir(in(top, "w")), 0);
    find(NULL);
    cr_expect(tool(in(top, "w/.git")));
    cr_expect(tool(in(top, "r/.git/worktrees/w/commondir")));
    cr_expect(tool(in(top, "r/.git/worktrees/w/../../config")));
    cr_expect(tool(in(top, "r/.git/worktrees/w/../../hooks")));
    cr_assert_eq(chdir(top), 0);
}

/* ---- what is made ---- */

static void start(struct eg_run_made *m)
{
    struct eg_err err = { 0 };
    cr_assert_eq(eg_run_made_begin(m, state, geteuid(), getegid(), &err), EG_OK, "%s", err.text);
}

static void make(struct eg_run_made *m)
{
    struct eg_err err = { 0 };
    cr_assert_eq(eg_run_made_file(m, in(home, ".zshenv"), ""), EG_OK);
    cr_assert_eq(eg_run_made_file(m, in(home, ".inputrc"), "# chain\n"), EG_OK);
    cr_assert_eq(eg_run_made_folder(m, in(home, ".config/git")), EG_OK);
    cr_assert_eq(eg_run_made_now(m, &err), EG_OK, "%s", err.text);
}

static bool made(void)
{
    return there(in(home, ".zshenv")) && holds(in(home, ".inputrc"), "# chain\n") &&
           there(in(home, ".config/git"));
}

static bool gone(void)
{
    return !there(in(home, ".zshenv")) && !there(in(home, ".inputrc")) &&
           !there(in(home, ".config"));
}

LATER(what_is_missing_is_made_and_removed)
{
    struct eg_run_made m;
    start(&m);
    make(&m);
    cr_expect(made());
    eg_run_made_end(&m);
    cr_expect(gone());
}

/* On ext4 to remove a folder costs more than all else of a run's mounts. */
LATER(empty_ones_are_kept_for_the_next_run)
{
    struct eg_run_made m;
    struct stat before, after;
    start(&m);
    make(&m);
    cr_assert_eq(stat(in(home, ".zshenv"), &before), 0);
    eg_run_made_end(&m);
    cr_expect(gone() && there(in(state, "spare/f0")) && there(in(state, "spare/d1")));
    cr_expect_not(there(in(state, "spare/f1")), "one with a text is made anew");
    start(&m);
    make(&m);
    cr_assert_eq(stat(in(home, ".zshenv"), &after), 0);
    cr_expect(made() && before.st_ino == after.st_ino);
    eg_run_made_end(&m);
    cr_expect(gone());
}

/* A child may own it where it is not held. */
LATER(what_is_no_more_as_it_was_made_is_not_kept)
{
    struct eg_run_made m;
    start(&m);
    make(&m);
    cr_assert_eq(chmod(in(home, ".zshenv"), 0666) | chmod(in(home, ".config/git"), 0777), 0);
    cr_assert_eq(link(in(home, ".inputrc"), in(home, "other")), 0);
    eg_run_made_end(&m);
    cr_expect(gone());
    cr_expect_not(there(in(state, "spare/f0")) || there(in(state, "spare/d1")));
    start(&m);
    make(&m);
    put(in(state, "spare/d0"), "no folder");
    put(in(state, "spare/f0"), "not empty");
    eg_run_made_end(&m);
    start(&m);
    make(&m);
    cr_expect(made() && holds(in(home, ".zshenv"), ""));
    eg_run_made_end(&m);
    cr_expect(gone());
}

LATER(what_was_there_or_was_written_to_stays)
{
    struct eg_run_made m;
    put(in(home, ".zshenv"), "mine");
    folder(in(home, ".config"));
    start(&m);
    make(&m);
    put(in(home, ".inputrc"), "edited meanwhile");
    put(in(home, ".config/git/config"), "new");
    eg_run_made_end(&m);
    cr_expect(holds(in(home, ".zshenv"), "mine"));
    cr_expect(holds(in(home, ".inputrc"), "edited meanwhile"));
    cr_expect(holds(in(home, ".config/git/config"), "new"));
}

/* A mount in the other's namespace ends when the file below it is removed. */
LATER(another_run_keeps_what_was_made)
{
    struct eg_run_made first, second;
    start(&first);
    make(&first);
    start(&second);
    make(&second);
    eg_run_made_end(&first);
    cr_expect(made());
    eg_run_made_end(&second);
    cr_expect(gone());
}

LATER(next_run_removes_what_a_killed_one_left)
{
    struct eg_run_made killed, next;
    start(&killed);
    make(&killed);
    close(killed.lock); /* as its end does */
    eg_buf_done(&killed.asked);
    cr_expect(made());
    start(&next);
    cr_expect(gone());
    eg_run_made_end(&next);
}

LATER(torn_record_is_no_fault)
{
    struct eg_run_made m;
    put(in(state, "other"), "x");
    start(&m);
    make(&m);
    close(m.lock);
    eg_buf_done(&m.asked);
    int fd = open(m.list, O_WRONLY | O_APPEND | O_CLOEXEC);
    cr_assert_eq(write(fd, "/etc/pass", 9), 9);
    close(fd);
    start(&m);
    cr_expect(gone());
    eg_run_made_end(&m);
}

LATER(link_in_the_place_of_what_was_made_is_not_followed)
{
    struct eg_run_made m;
    put(in(top, "precious"), "");
    start(&m);
    make(&m);
    cr_assert_eq(unlink(in(home, ".zshenv")) | symlink(in(top, "precious"), in(home, ".zshenv")), 0);
    eg_run_made_end(&m);
    cr_expect(there(in(top, "precious")) && there(in(home, ".zshenv")));
}

LATER(folder_that_can_not_be_written_to_is_passed_over)
{
    struct eg_run_made m;
    if (geteuid() == 0)
        skip("root writes everywhere");
    cr_assert_eq(chmod(home, 0500), 0);
    start(&m);
    make(&m);
    cr_expect(gone());
    eg_run_made_end(&m);
    cr_assert_eq(chmod(home, 0700), 0);
}

LATER(nothing_is_made_without_a_state_folder)
{
    struct eg_run_made m;
    struct eg_err err = { 0 };
    cr_assert_eq(eg_run_made_begin(&m, "", geteuid(), getegid(), &err), EG_OK);
    cr_assert_eq(eg_run_made_file(&m, in(home, ".zshenv"), ""), EG_OK);
    cr_assert_eq(eg_run_made_now(&m, &err), EG_OK);
    cr_expect(gone());
    eg_run_made_end(&m);
}

LATER(home_on_a_read_only_file_system_is_no_fault)
{
    struct eg_run_made m;
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", top, "tmpfs", 0, "mode=0755") < 0)
        skip("mounts are root's to make");
    folder(home);
    folder(state);
    cr_assert_eq(mount(NULL, top, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
    start(&m);
    make(&m);
    cr_expect(gone());
    eg_run_made_end(&m);
    umount2(top, MNT_DETACH);
}

/* As generated files: a clear fault, and nothing that stays. */
LATER(full_disk_is_told_and_leaves_nothing)
{
    struct eg_run_made m;
    struct eg_err err = { 0 };
    char path[128];
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", home, "tmpfs", 0, "mode=0755,size=64k,nr_inodes=12") < 0)
        skip("mounts are root's to make");
    start(&m);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(path, sizeof path, "%s/%u", home, i);
        cr_assert_eq(eg_run_made_file(&m, path, "x"), EG_OK);
    }
    cr_expect_eq(eg_run_made_now(&m, &err), EG_IO);
    cr_expect_eq(err.sys, ENOSPC);
    eg_run_made_end(&m);
    snprintf(path, sizeof path, "%s/0", home);
    cr_expect_not(there(path));
    umount2(home, MNT_DETACH);
}

LATER(tools_have_their_folders_where_nothing_new_can_be_made)
{
    struct eg_run_made made;
    struct eg_err err = { 0 };
    find(NULL);
    cr_assert_eq(eg_run_made_begin(&made, state, geteuid(), getegid(), &err), EG_OK, "%s", err.text);
    l.made = &made;
    cr_assert_eq(eg_later_tools(&l), EG_OK);
    cr_expect_not(there(in(home, ".npm")), "asked for, not made");
    cr_assert_eq(eg_run_made_now(&made, &err), EG_OK, "%s", err.text);
    cr_expect(there(in(home, ".codex")) && there(in(home, ".cargo/registry")));
    cr_expect_not(there(in(home, ".npm")), "there is no node");
    cr_expect_not(there(in(home, ".aws")) || there(in(home, ".kube")), "they name programs");
    put(in(home, ".codex/session"), "kept");
    eg_run_made_end(&made);
    cr_expect_not(there(in(home, ".cargo")) || there(in(home, ".cache")), "empty ones are gone");
    cr_expect(holds(in(home, ".codex/session"), "kept"));
}

LATER(bash_reads_what_it_read_before)
{
    struct eg_run_made m;
    char command[256];
    if (access("/bin/bash", X_OK) != 0)
        skip("no bash");
    put(in(home, ".profile"), "echo from the profile > \"$HOME/out\"\n");
    start(&m);
    find(&m);
    struct eg_err err = { 0 };
    cr_assert_eq(eg_run_made_now(&m, &err), EG_OK);
    cr_assert(there(in(home, ".bash_profile")) && there(in(home, ".bash_login")));
    snprintf(command, sizeof command, "HOME=%s exec /bin/bash --login -c true", home);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    int status;
    cr_assert(waitpid(pid, &status, 0) == pid && status == 0);
    cr_expect(holds(in(home, "out"), "from the profile\n"));
    eg_run_made_end(&m);
    cr_expect_not(there(in(home, ".bash_profile")) || there(in(home, ".local")));
}

Test(cmd_run_later, manual_page_names_every_one)
{
    static char page[1 << 18];
    const char *name;
    int fd = open(EG_SOURCE_DIR "/man/egressctl.1", O_RDONLY | O_CLOEXEC);
    cr_assert(fd >= 0 && read(fd, page, sizeof page - 1) > 0);
    close(fd);
    for (unsigned i = 0; (name = eg_later_name(i)); i++) {
        char part[96];
        size_t n = strlen(name) - 2;
        snprintf(part, sizeof part, "%.*s", (int)(n - (name[n + 1] == '/')), name + 2);
        cr_expect(strstr(page, part), "%s", name);
    }
}
