/* run_later.c - the files of a home that run without being asked: by the next shell, the next login,
 * the next git or the next program of that name. A child that writes there is outside of its sandbox
 * a little later. They are read-only for it; those that are missing are made for the time of the run,
 * empty, or such that nothing changes for who starts a shell meanwhile.
 *
 * What runs only when somebody asks for it (a project's Makefile, an agent's own settings) is the
 * person's to review, and stays writable. */
#include "cmd/run_later.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EG_PATH_LINKS = 128 };

enum eg_later_flag {
    FOLDER = 1, /* a folder, all of it */
    MAKE = 2,   /* made where it is missing */
    TOOL = 4    /* in a folder that a tool goes on writing to: mounts can hold it, rules can't */
};

/* Where one that is there keeps another from being read, what is made leads on to that one. */
static const char bash_chain[] = "# made by egressctl run for the time of a run\n"
                                 "[ -r ~/.profile ] && . ~/.profile\n";
static const char input_chain[] = "# made by egressctl run for the time of a run\n"
                                  "$include /etc/inputrc\n";
static const char vim_chain[] =
    "\" made by egressctl run for the time of a run\n"
    "if filereadable(expand('~/.vim/vimrc')) | source ~/.vim/vimrc | else | "
    "source $VIMRUNTIME/defaults.vim | endif\n";

/* Below home; ~/.config and ~/.local/share are where the XDG variables say. */
static const struct eg_later_row {
    const char *path;
    unsigned flags;
    const char *text;
    const char *program; /* made only where it can be found; NULL: always */
} rows[] = {
    /* shells */
    { ".bashrc", MAKE, "", "bash" },
    { ".profile", MAKE, "", NULL },
    { ".bash_profile", MAKE, bash_chain, "bash" },
    { ".bash_login", MAKE, "", "bash" }, /* never read where the one above is */
    { ".bash_logout", MAKE, "", "bash" },
    { ".bash_aliases", MAKE, "", "bash" },
    { ".zshenv", MAKE, "", "zsh" },
    { ".zprofile", MAKE, "", "zsh" },
    { ".zshrc", MAKE, "", "zsh" },
    { ".zlogin", MAKE, "", "zsh" },
    { ".zlogout", 0, NULL, NULL },
    { ".kshrc", 0, NULL, NULL },
    { ".mkshrc", 0, NULL, NULL },
    { ".cshrc", 0, NULL, NULL },
    { ".tcshrc", 0, NULL, NULL },
    { ".login", 0, NULL, NULL },
    { ".inputrc", MAKE, input_chain, "bash" },
    { ".p10k.zsh", 0, NULL, NULL },
    { ".fzf.bash", 0, NULL, NULL },
    { ".fzf.zsh", 0, NULL, NULL },
    { ".oh-my-zsh", FOLDER, NULL, NULL },
    { ".zprezto", FOLDER, NULL, NULL },
    { ".config/fish", FOLDER | MAKE, NULL, "fish" },
    { ".config/zsh", FOLDER, NULL, NULL },
    { ".config/nushell", FOLDER, NULL, NULL },
    { ".config/powershell", FOLDER, NULL, NULL },
    { ".config/direnv", FOLDER | MAKE, NULL, "direnv" },
    { ".local/share/direnv", FOLDER | MAKE, NULL, NULL }, /* which .envrc is allowed */
    { ".config/starship.toml", 0, NULL, NULL },
    { ".config/mise", FOLDER, NULL, NULL },
    /* logins and the desktop's start */
    { ".pam_environment", MAKE, "", NULL },
    { ".xprofile", MAKE, "", "startx" },
    { ".xsessionrc", MAKE, "", "startx" },
    { ".xsession", 0, NULL, NULL },
    { ".xinitrc", 0, NULL, NULL },
    { ".forward", 0, NULL, NULL },
    { ".procmailrc", 0, NULL, NULL },
    { ".config/environment.d", FOLDER | MAKE, NULL, "systemctl" },
    { ".config/systemd", FOLDER | MAKE, NULL, "systemctl" },
    { ".local/share/systemd", FOLDER | MAKE, NULL, "systemctl" },
    { ".config/user-tmpfiles.d", FOLDER | MAKE, NULL, "systemd-tmpfiles" },
    { ".config/autostart", FOLDER | MAKE, NULL, NULL },
    { ".config/autostart-scripts", FOLDER | MAKE, NULL, "plasmashell" },
    { ".config/plasma-workspace", FOLDER | MAKE, NULL, "plasmashell" },
    { ".local/share/dbus-1", FOLDER | MAKE, NULL, "dbus-daemon" },
    { ".local/share/applications", FOLDER | MAKE, NULL, "xdg-open" },
    { ".config/i3", FOLDER, NULL, NULL },
    { ".config/sway", FOLDER, NULL, NULL },
    { ".config/hypr", FOLDER, NULL, NULL },
    /* ssh, git, gpg */
    { ".ssh", FOLDER | MAKE, NULL, NULL },
    { ".gitconfig", MAKE, "", NULL },
    { ".config/git", FOLDER | MAKE, NULL, NULL },
    { ".gnupg/gpg.conf", MAKE | TOOL, "", "gpg" },
    { ".gnupg/gpg-agent.conf", MAKE | TOOL, "", "gpg" },
    { ".gnupg/dirmngr.conf", MAKE | TOOL, "", "gpg" },
    { ".gnupg/scdaemon.conf", MAKE | TOOL, "", "gpg" },
    /* programs found by PATH, and what every Python loads */
    { ".local/bin", FOLDER | MAKE, NULL, NULL },
    { "bin", FOLDER | MAKE, NULL, NULL },
    { ".local/lib", FOLDER | MAKE, NULL, "python3" },
    { ".cargo/bin", FOLDER | TOOL, NULL, NULL },
    { ".cargo/env", TOOL, NULL, NULL },
    { ".cargo/config.toml", TOOL, NULL, NULL },
    { ".cargo/config", TOOL, NULL, NULL },
    { ".rustup/toolchains", FOLDER | TOOL, NULL, NULL },
    { ".nvm/nvm.sh", TOOL, NULL, NULL },
    { ".nvm/bash_completion", TOOL, NULL, NULL },
    { ".nvm/versions", FOLDER | TOOL, NULL, NULL },
    { ".pyenv/versions", FOLDER | TOOL, NULL, NULL },
    { ".sdkman/bin", FOLDER | TOOL, NULL, NULL },
    { ".sdkman/candidates", FOLDER | TOOL, NULL, NULL },
    { ".asdf/installs", FOLDER | TOOL, NULL, NULL },
    { ".local/share/mise/installs", FOLDER | TOOL, NULL, NULL },
    /* editors, terminals, pagers */
    { ".vimrc", MAKE, vim_chain, "vi" },
    { ".vim", FOLDER | MAKE, NULL, "vi" },
    { ".config/nvim", FOLDER | MAKE, NULL, "nvim" },
    { ".local/share/nvim/site", FOLDER | TOOL, NULL, NULL },
    { ".local/share/nvim/lazy", FOLDER | TOOL, NULL, NULL },
    { ".nanorc", MAKE, "", "nano" },
    { ".emacs", 0, NULL, NULL },
    { ".emacs.d", FOLDER, NULL, NULL },
    { ".config/emacs", FOLDER, NULL, NULL },
    { ".config/Code/User", FOLDER, NULL, NULL },
    { ".config/VSCodium/User", FOLDER, NULL, NULL },
    { ".vscode/extensions", FOLDER, NULL, NULL },
    { ".tmux.conf", MAKE, "", NULL },
    { ".config/tmux", FOLDER | MAKE, NULL, "tmux" },
    { ".screenrc", 0, NULL, NULL },
    { ".lesskey", MAKE, "", "less" },
    { ".config/kitty", FOLDER, NULL, NULL },
    { ".config/alacritty", FOLDER, NULL, NULL },
    /* tools that run what their configuration names */
    { ".npmrc", MAKE, "", "npm" },
    { ".yarnrc", 0, NULL, NULL },
    { ".yarnrc.yml", 0, NULL, NULL },
    { ".bunfig.toml", 0, NULL, NULL },
    { ".config/pip", FOLDER | MAKE, NULL, "pip3" },
    { ".pip", FOLDER | MAKE, NULL, "pip3" },
    { ".mavenrc", 0, NULL, NULL },
    { ".m2/settings.xml", TOOL, NULL, NULL },
    { ".gradle/init.d", FOLDER | TOOL, NULL, NULL },
    { ".gradle/init.gradle", TOOL, NULL, NULL },
    { ".gradle/gradle.properties", TOOL, NULL, NULL },
    { ".docker/config.json", TOOL, NULL, NULL },
    { ".docker/cli-plugins", FOLDER | TOOL, NULL, NULL },
    { ".config/containers", FOLDER, NULL, NULL },
    { ".kube/config", TOOL, NULL, NULL },
    { ".aws/config", TOOL, NULL, NULL },
    { ".aws/credentials", TOOL, NULL, NULL },
    { ".gdbinit", 0, NULL, NULL },
    { ".config/gdb", FOLDER, NULL, NULL },
    { ".lldbinit", 0, NULL, NULL },
    { ".psqlrc", 0, NULL, NULL },
    { ".sqliterc", 0, NULL, NULL },
    { ".irbrc", 0, NULL, NULL },
    { ".pryrc", 0, NULL, NULL },
    { ".Rprofile", 0, NULL, NULL },
};

const char *eg_later_name(unsigned i)
{
    static char name[96];
    if (i >= sizeof rows / sizeof *rows)
        return NULL;
    snprintf(name, sizeof name, "~/%s%s", rows[i].path, rows[i].flags & FOLDER ? "/" : "");
    return name;
}

/* ---- the lists ---- */

static bool let(const struct eg_later *l, const char *path)
{
    for (unsigned i = 0; i < l->writable_count; i++) {
        size_t n = strlen(l->writable[i]);
        while (n > 1 && l->writable[i][n - 1] == '/')
            n--;
        if (strncmp(path, l->writable[i], n) == 0 && (path[n] == '/' || path[n] == '\0'))
            return true;
    }
    return false;
}

enum eg_status eg_later_add(struct eg_later *l, const char *path, bool tool)
{
    char **list = tool ? l->tools : l->held;
    unsigned *count = tool ? &l->tool_count : &l->held_count;
    if (let(l, path))
        return EG_OK;
    if (*count == EG_LATER_MAX)
        return EG_TOO_BIG;
    list[*count] = strdup(path);
    if (!list[*count])
        return EG_NOMEM;
    (*count)++;
    return EG_OK;
}

void eg_later_done(struct eg_later *l)
{
    for (unsigned i = 0; i < l->held_count; i++)
        free(l->held[i]);
    for (unsigned i = 0; i < l->tool_count; i++)
        free(l->tools[i]);
    l->held_count = l->tool_count = 0;
}

static bool there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static const char *variable(const struct eg_later *l, const char *name)
{
    const char *value = l->other_user ? NULL : eg_environ_get(l->environment, name);
    return value && *value == '/' ? value : NULL;
}

bool eg_later_place(const struct eg_later *l, const char *path, char out[PATH_MAX])
{
    static const struct {
        const char *beneath, *variable;
    } bases[] = { { ".config/", "XDG_CONFIG_HOME" }, { ".local/share/", "XDG_DATA_HOME" } };
    int n = -1;
    for (unsigned i = 0; i < sizeof bases / sizeof *bases; i++) {
        size_t k = strlen(bases[i].beneath);
        const char *base =
            strncmp(path, bases[i].beneath, k) == 0 ? variable(l, bases[i].variable) : NULL;
        if (base)
            n = snprintf(out, PATH_MAX, "%s/%s", base, path + k);
    }
    if (n < 0)
        n = snprintf(out, PATH_MAX, "%s/%s", l->home, path);
    return n > 0 && n < PATH_MAX;
}

static bool in_path(const struct eg_later *l, const char *program)
{
    char file[PATH_MAX];
    const char *path = eg_environ_get(l->environment, "PATH");
    while (path && *path) {
        size_t n = strcspn(path, ":");
        int k = snprintf(file, sizeof file, "%.*s/%s", (int)n, path, program);
        if (k > 0 && (size_t)k < sizeof file && access(file, X_OK) == 0)
            return true;
        path += n + (path[n] == ':');
    }
    return false;
}

bool eg_later_installed(struct eg_later *l, const char *program)
{
    if (!program)
        return true;
    for (unsigned i = 0; i < l->program_count; i++)
        if (strcmp(l->programs[i].name, program) == 0)
            return l->programs[i].there;
    bool there = in_path(l, program);
    if (l->program_count < EG_LATER_PROGRAMS)
        l->programs[l->program_count++] = (struct eg_later_program){ program, there };
    return there;
}

/* Without ~/.profile, ~/.bash_profile has nothing to lead on to but what a child may have put there
 * before; with ~/.bash_login it would hide that one. */
static const char *text_of(const struct eg_later *l, const struct eg_later_row *row)
{
    char path[PATH_MAX];
    if (row->text != bash_chain)
        return row->text;
    if (eg_later_place(l, ".bash_login", path) && there(path))
        return "# made by egressctl run for the time of a run\n"
               "[ -r ~/.bash_login ] && . ~/.bash_login\n";
    return bash_chain;
}

static enum eg_status add_row(struct eg_later *l, const struct eg_later_row *row)
{
    char path[PATH_MAX];
    enum eg_status status = EG_OK;
    if (!eg_later_place(l, row->path, path) || let(l, path))
        return EG_OK;
    bool present = there(path), make = !present && row->flags & MAKE && eg_later_installed(l, row->program);
    if (!present && !make)
        return EG_OK;
    if (l->made && make)
        status = row->flags & FOLDER ? eg_run_made_folder(l->made, path)
                                     : eg_run_made_file(l->made, path, text_of(l, row));
    return status == EG_OK ? eg_later_add(l, path, row->flags & TOOL) : status;
}

/* Files that a variable of the environment names in the place of one of those. */
static enum eg_status add_variables(struct eg_later *l)
{
    static const char *const names[] = { "BASH_ENV",          "ENV",           "INPUTRC",
                                         "PYTHONSTARTUP",     "GIT_CONFIG_GLOBAL",
                                         "GIT_TEMPLATE_DIR",  "LESSKEYIN",     "NPM_CONFIG_USERCONFIG",
                                         "npm_config_userconfig", "MYVIMRC",   "SCREENRC",
                                         "GDBINIT",           "PSQLRC" };
    static const char *const zsh[] = { ".zshenv", ".zprofile", ".zshrc", ".zlogin", ".zlogout" };
    char path[PATH_MAX];
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < sizeof names / sizeof *names && status == EG_OK; i++)
        if (variable(l, names[i]) && there(variable(l, names[i])))
            status = eg_later_add(l, variable(l, names[i]), false);
    const char *dots = variable(l, "ZDOTDIR");
    for (unsigned i = 0; dots && i < sizeof zsh / sizeof *zsh && status == EG_OK; i++)
        if (snprintf(path, sizeof path, "%s/%s", dots, zsh[i]) < (int)sizeof path && there(path))
            status = eg_later_add(l, path, false);
    return status;
}

/* ---- PATH ---- */

static bool beneath(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* Programs of the project that is worked on are the project's. */
static bool of_project(const struct eg_later *l, const char *folder)
{
    char cwd[PATH_MAX], home[PATH_MAX];
    return getcwd(cwd, sizeof cwd) && beneath(folder, cwd) &&
           !(realpath(l->home, home) && beneath(home, cwd));
}

static enum eg_status add_folder_of_path(struct eg_later *l, const char *folder)
{
    char real[PATH_MAX], beside[PATH_MAX];
    if (folder[0] != '/' || (realpath(folder, real) && of_project(l, real)) || let(l, folder))
        return EG_OK;
    enum eg_status status =
        l->made && !there(folder) ? eg_run_made_folder(l->made, folder) : EG_OK;
    if (status == EG_OK)
        status = eg_later_add(l, folder, false);
    /* PREFIX/bin holds links to what is in PREFIX/lib, as npm and others lay them */
    const char *slash = strrchr(folder, '/');
    if (status == EG_OK && strcmp(slash, "/bin") == 0 &&
        snprintf(beside, sizeof beside, "%.*s/lib", (int)(slash - folder), folder) <
            (int)sizeof beside &&
        there(beside))
        status = eg_later_add(l, beside, true);
    return status;
}

static enum eg_status add_path(struct eg_later *l)
{
    char folder[PATH_MAX];
    const char *path = eg_environ_get(l->environment, "PATH");
    enum eg_status status = EG_OK;
    while (path && *path && status == EG_OK) {
        size_t n = strcspn(path, ":"), k = n;
        while (k > 1 && path[k - 1] == '/')
            k--;
        if (k > 0 && k < sizeof folder) {
            snprintf(folder, sizeof folder, "%.*s", (int)k, path);
            status = add_folder_of_path(l, folder);
        }
        path += n + (path[n] == ':');
    }
    return status;
}

enum eg_status eg_later_find(struct eg_later *l)
{
    enum eg_status status = EG_OK;
    l->held_count = l->tool_count = 0;
    for (unsigned i = 0; l->home && i < sizeof rows / sizeof *rows && status == EG_OK; i++)
        status = add_row(l, &rows[i]);
    if (status == EG_OK)
        status = add_variables(l);
    if (status == EG_OK)
        status = add_path(l);
    if (status == EG_OK)
        status = eg_later_shell(l);
    if (status == EG_OK)
        status = eg_later_git(l);
    if (status != EG_OK)
        eg_later_done(l);
    return status;
}
