/* escape_file.c - attempts on files: what holds a credential, what the proxy would trust at its next start, and what runs outside the sandbox the next time that a person logs in, opens a shell or uses git.
 * Each target is a path of its own in a home folder that is made for the run; what stands in it afterwards is looked at from outside too. */
#include "support/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool full_path(const char *arg, char *path, size_t n)
{
    char base[32], rest[128] = "";
    if (sscanf(arg, "%31s %127s", base, rest) < 1 || !escape_target(base))
        return false;
    return (size_t)snprintf(path, n, "%s%s%s", escape_target(base), *rest ? "/" : "", rest) < n;
}

#define PATH(arg, path)                                                                            \
    char path[1024];                                                                               \
    if (!full_path(arg, path, sizeof path))                                                        \
    return ESCAPE_NO_TARGET

static int read_it(const char *arg)
{
    PATH(arg, path);
    return escape_read_proof(path);
}

static int write_flags(const char *path, int flags)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0755);
    if (fd < 0)
        return errno;
    int result = escape_result(write(fd, "# " ESCAPE_PROOF "\n", sizeof ESCAPE_PROOF + 2));
    close(fd);
    return result;
}

static int append(const char *arg)
{
    PATH(arg, path);
    return write_flags(path, O_APPEND);
}

/* What is not there is made, with the folders above it: the next start would take it for the person's. */
static int make(const char *arg)
{
    PATH(arg, path);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0755);
        *slash = '/';
    }
    return write_flags(path, O_CREAT | O_EXCL);
}

/* The file's folder is let alone, the file is not: one of ours takes its name. */
static int replace(const char *arg)
{
    PATH(arg, path);
    char ours[1100];
    snprintf(ours, sizeof ours, "%s.escape", path);
    int result = write_flags(ours, O_CREAT);
    if (result)
        return result;
    result = escape_result(rename(ours, path));
    if (result)
        unlink(ours);
    return result;
}

static int remove_it(const char *arg)
{
    PATH(arg, path);
    return escape_result(unlink(path));
}

static int shorten(const char *arg)
{
    PATH(arg, path);
    return escape_result(truncate(path, 0));
}

static int change_mode(const char *arg)
{
    PATH(arg, path);
    return escape_result(chmod(path, 0777));
}

/* A folder above it moves away and takes the protection with it. */
static int move_parent(const char *arg)
{
    PATH(arg, path);
    char away[1100];
    char *slash = strrchr(path, '/');
    if (!slash)
        return ESCAPE_NO_TARGET;
    *slash = '\0';
    snprintf(away, sizeof away, "%s.moved", path);
    int result = escape_result(rename(path, away));
    if (result == ESCAPE_OUT && rename(away, path) < 0)
        return ESCAPE_NO_PROOF;
    return result;
}

/* A second name, where nothing protects it. */
static int hard_link(const char *arg)
{
    PATH(arg, path);
    char name[1100];
    const char *work = escape_target("work");
    if (!work)
        return ESCAPE_NO_TARGET;
    snprintf(name, sizeof name, "%s/link-%d", work, (int)getpid());
    if (link(path, name) < 0)
        return errno;
    int result = write_flags(name, O_APPEND);
    if (result)
        result = escape_read_proof(name);
    unlink(name);
    return result;
}

/* By a link to it, and by way of another process' root. */
static int by_symlink(const char *arg)
{
    PATH(arg, path);
    char name[1100];
    const char *work = escape_target("work");
    if (!work)
        return ESCAPE_NO_TARGET;
    snprintf(name, sizeof name, "%s/symlink-%d", work, (int)getpid());
    if (symlink(path, name) < 0)
        return errno;
    int result = escape_read_proof(name);
    unlink(name);
    return result;
}

static int by_own_root(const char *arg)
{
    PATH(arg, path);
    char name[1200];
    snprintf(name, sizeof name, "/proc/self/root%s", path);
    return escape_read_proof(name);
}

static int list_folder(const char *arg)
{
    PATH(arg, path);
    return access(path, F_OK) == 0 ? ESCAPE_OUT : errno;
}

const struct escape_attempt escape_files[] = {
    { "file.credential", "the file of a credential", read_it, "credential" },
    { "file.credential-link", "the same by a symbolic link", by_symlink, "credential" },
    { "file.credential-root", "the same by /proc/self/root", by_own_root, "credential" },
    { "file.credential-hard", "the same by a hard link", hard_link, "credential" },
    { "file.credential-mode", "its mode", change_mode, "credential" },
    { "file.credential-replace", "another in its place", replace, "credential" },
    { "file.control", "the proxy's runtime folder", list_folder, "runtime egress" },
    { "trust.file", "the policies that are trusted", append, "state trust" },
    { "trust.replace", "another list of them", replace, "state trust" },
    { "trust.hard-link", "the list by a hard link", hard_link, "state trust" },
    { "trust.parent", "another state folder", move_parent, "state trust" },
    { "trust.shorten", "an empty list", shorten, "state trust" },
    { "trust.user-policy", "a user policy of one's own", make, "config user.yaml" },
    { "trust.user-policy-parent", "another configuration folder", move_parent, "config user.yaml" },
    { "trust.policy", "the policy of this run", append, "policy" },
    { "trust.policy-replace", "another in its place", replace, "policy" },
    { "trust.events", "what earlier runs have kept", remove_it,
      "state run-20200101T000000-1.jsonl" },
    { "later.bashrc", "~/.bashrc", append, "home .bashrc" },
    { "later.bashrc-replace", "another ~/.bashrc", replace, "home .bashrc" },
    { "later.profile", "~/.profile", append, "home .profile" },
    { "later.bash-profile", "a ~/.bash_profile", make, "home .bash_profile" },
    { "later.bash-login", "a ~/.bash_login", make, "home .bash_login" },
    { "later.zshrc", "~/.zshrc", append, "home .zshrc" },
    { "later.zshenv", "a ~/.zshenv", make, "home .zshenv" },
    { "later.fish", "fish's start-up file", append, "home .config/fish/config.fish" },
    { "later.ssh-keys", "who may log in by ssh", append, "home .ssh/authorized_keys" },
    { "later.ssh-config", "ssh's configuration", append, "home .ssh/config" },
    { "later.ssh-rc", "what sshd runs at a login", make, "home .ssh/rc" },
    { "later.ssh-parent", "another ~/.ssh", move_parent, "home .ssh/config" },
    { "later.gitconfig", "git's configuration", append, "home .gitconfig" },
    { "later.git-config-folder", "git's other configuration", make, "home .config/git/config" },
    { "later.systemd", "a unit of the person's systemd", make,
      "home .config/systemd/user/escape.service" },
    { "later.autostart", "a program of the desktop's start", make,
      "home .config/autostart/escape.desktop" },
    { "later.environment", "a variable of the next session", make,
      "home .config/environment.d/escape.conf" },
    { "later.local-bin", "a program in ~/.local/bin", make, "home .local/bin/ls" },
    { "later.local-bin-replace", "another program in ~/.local/bin", replace,
      "home .local/bin/tool" },
    { "later.vimrc", "~/.vimrc", append, "home .vimrc" },
    { "later.vim-plugin", "a plugin of vim", make, "home .vim/plugin/escape.vim" },
    { "later.tmux", "a ~/.tmux.conf", make, "home .tmux.conf" },
    { "later.direnv", "which folders direnv trusts", make,
      "home .local/share/direnv/allow/escape" },
    { "later.bus-service", "a service that the session bus starts", make,
      "home .local/share/dbus-1/services/escape.service" },
    { "later.python", "what every Python of the person's loads", make,
      "home .local/lib/python3.11/site-packages/usercustomize.py" },
    { "later.gpg", "gpg's configuration", make, "home .gnupg/gpg.conf" },
    { "later.git-hook", "a hook of the repository", make, "work .git/hooks/pre-commit" },
    { "later.git-hook-parent", "other hooks", move_parent, "work .git/hooks/sample" },
    { "later.git-repository", "the repository's configuration", append, "work .git/config" },
    { "later.git-repository-replace", "another in its place", replace, "work .git/config" },
    { "later.npmrc", "~/.npmrc", append, "home .npmrc" },
    { "later.pip", "pip's configuration", append, "home .config/pip/pip.conf" },
    { NULL, NULL, NULL, NULL },
};
