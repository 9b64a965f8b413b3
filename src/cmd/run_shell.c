/* run_shell.c - the shell of `egressctl shell`. A prompt is set by the shell's own start-up files,
 * so that each shell is told in its own way to put "(egress)" before it once they are read; a
 * shell that is not known here gets the plain PS1 of POSIX. */
#include "cmd/run_shell.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/files.h"

static const char BASH_RC[] = "# made by egressctl shell, and removed at its end\n"
                              "[ ! -f ~/.bashrc ] || . ~/.bashrc\n"
                              "PS1=\"(egress) $PS1\"\n";

/* zsh finds this by ZDOTDIR, which is put back as it was; all other files are the user's own. */
static const char ZSH_ENV[] = "# made by egressctl shell, and removed at its end\n"
                              "if [[ -n ${EGRESS_ZDOTDIR-} ]]; then\n"
                              "    export ZDOTDIR=$EGRESS_ZDOTDIR\n"
                              "else\n"
                              "    unset ZDOTDIR\n"
                              "fi\n"
                              "unset EGRESS_ZDOTDIR\n"
                              "[[ ! -f ${ZDOTDIR-$HOME}/.zshenv ]] || . ${ZDOTDIR-$HOME}/.zshenv\n"
                              "if [[ -o interactive ]]; then\n"
                              "    _egress_prompt() {\n"
                              "        PROMPT=\"(egress) $PROMPT\"\n"
                              "        precmd_functions=(${precmd_functions:#_egress_prompt})\n"
                              "        unfunction _egress_prompt\n"
                              "    }\n"
                              "    precmd_functions+=(_egress_prompt)\n"
                              "fi\n";

static const char FISH_START[] =
    "functions -q fish_prompt; and functions -c fish_prompt _egress_prompt; "
    "function fish_prompt; echo -n '(egress) '; "
    "functions -q _egress_prompt; and _egress_prompt; end";

/* ---- which ---- */

static bool usable(const char *path)
{
    const char *name = path ? strrchr(path, '/') : NULL;
    return name && *path == '/' && strlen(path) < PATH_MAX && access(path, X_OK) == 0 &&
           strcmp(name, "/nologin") != 0 && strcmp(name, "/false") != 0;
}

/* That of the user whom root names, where it is one to work in; else the caller's. */
static const char *find(const char *user)
{
    const char *uid = getenv("SUDO_UID"), *own = getenv("SHELL");
    unsigned long long number;
    const struct passwd *p = NULL;
    if (geteuid() == 0 && user)
        p = getpwnam(user);
    else if (geteuid() == 0 && uid && eg_slice_u64(eg_slice_str(uid), &number) &&
             number < (uid_t)-1)
        p = getpwuid((uid_t)number);
    if (p && usable(p->pw_shell))
        return p->pw_shell;
    if (usable(own))
        return own;
    p = getpwuid(geteuid());
    if (p && usable(p->pw_shell))
        return p->pw_shell;
    return usable("/bin/sh") ? "/bin/sh" : NULL;
}

static bool is(const struct eg_run_shell *s, const char *name)
{
    return strcmp(strrchr(s->path, '/') + 1, name) == 0;
}

enum eg_status eg_run_shell_choose(struct eg_run_shell *s, const char *user, const char *folder,
                                   struct eg_err *err)
{
    const char *path = find(user);
    memset(s, 0, sizeof *s);
    if (!path)
        return eg_err_set(err, EG_NOT_FOUND, "shell", 0, "SHELL names no program that is here");
    snprintf(s->path, sizeof s->path, "%s", path);
    s->argv[0] = s->path;
    if (is(s, "bash")) {
        snprintf(s->rc, sizeof s->rc, "%s/bashrc", folder);
        s->argv[1] = (char *)(uintptr_t) "--rcfile";
        s->argv[2] = s->rc;
    } else if (is(s, "zsh")) {
        snprintf(s->rc, sizeof s->rc, "%s/.zshenv", folder);
    } else if (is(s, "fish")) {
        s->argv[1] = (char *)(uintptr_t) "-C";
        s->argv[2] = (char *)(uintptr_t)FISH_START;
    }
    return EG_OK;
}

/* ---- its start ---- */

static enum eg_status write_rc(const struct eg_run_shell *s, const char *text, uid_t owner,
                               struct eg_err *err)
{
    int fd = -1;
    enum eg_status status = eg_file_create(s->rc, false, &fd, err);
    if (status != EG_OK)
        return status;
    status = eg_file_write(fd, eg_slice_str(text), err);
    if (status == EG_OK &&
        (fchmod(fd, 0400) < 0 || (owner != geteuid() && fchown(fd, owner, (gid_t)-1) < 0)))
        status = eg_err_set(err, EG_IO, "shell", errno, "%.120s", s->rc);
    close(fd);
    return status;
}

static const char *value_of(char *const *environment, const char *name)
{
    size_t n = strlen(name);
    for (; *environment; environment++)
        if (strncmp(*environment, name, n) == 0 && (*environment)[n] == '=')
            return *environment + n + 1;
    return NULL;
}

enum eg_status eg_run_shell_write(struct eg_run_shell *s, const char *folder,
                                  const struct eg_run_user *user, struct eg_err *err)
{
    const char *old = value_of(user->environment, "ZDOTDIR");
    if (is(s, "fish"))
        return EG_OK;
    if (is(s, "bash"))
        return write_rc(s, BASH_RC, user->uid, err);
    if (!is(s, "zsh")) {
        s->variables[0] = (char *)(uintptr_t) "PS1=(egress) $ ";
        return EG_OK;
    }
    snprintf(s->first, sizeof s->first, "ZDOTDIR=%s", folder);
    s->variables[0] = s->first;
    if (old && strlen(old) < PATH_MAX) {
        snprintf(s->second, sizeof s->second, "EGRESS_ZDOTDIR=%s", old);
        s->variables[1] = s->second;
    }
    return write_rc(s, ZSH_ENV, user->uid, err);
}
