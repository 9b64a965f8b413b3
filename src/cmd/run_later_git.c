/* run_later_git.c - what git would run by itself the next time that somebody calls it: the hooks and
 * the configuration of the repository that the working folder is in, and the files and folders that
 * git's configurations name (hooks, templates, includes, helpers). Files of the project that git
 * knows are the project's, also where they are hooks (core.hooksPath inside of it): a review shows
 * them. git is not asked: it would run what stands there. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/files.h"
#include "cmd/run_later.h"

enum { EG_GIT_TEXT = 1 << 20, EG_GIT_MODULES = 64 };

static bool is(const char *path, mode_t type)
{
    struct stat st;
    return stat(path, &st) == 0 && (st.st_mode & S_IFMT) == type;
}

static bool join(char out[PATH_MAX], const char *folder, const char *name)
{
    int n = name[0] == '/' ? snprintf(out, PATH_MAX, "%s", name)
                           : snprintf(out, PATH_MAX, "%s/%s", folder, name);
    return n > 0 && n < PATH_MAX;
}

/* The first line of a small file, without what stands before it; false: it has none. */
static bool first_line(const char *path, const char *before, char out[PATH_MAX])
{
    struct eg_buf text;
    struct eg_err err = { 0 };
    eg_buf_init(&text, PATH_MAX);
    bool found = eg_file_read(path, &text, NULL, &err) == EG_OK;
    struct eg_slice s = eg_buf_slice(&text);
    size_t k = strlen(before);
    const char *end = s.n ? memchr(s.p, '\n', s.n) : NULL;
    size_t n = end ? (size_t)(end - s.p) : s.n;
    found = found && n > k && n - k < PATH_MAX && memcmp(s.p, before, k) == 0;
    if (found)
        snprintf(out, PATH_MAX, "%.*s", (int)(n - k), s.p + k);
    eg_buf_done(&text);
    return found;
}

/* ---- what a configuration names ---- */

static bool names_a_path(struct eg_slice key)
{
    static const char *const keys[] = { "hookspath",  "templatedir", "path",  "fsmonitor",
                                        "program",    "askpass",     "editor", "pager",
                                        "sshcommand", "helper" };
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++)
        if (eg_slice_caseeq(key, eg_slice_str(keys[i])))
            return true;
    return false;
}

/* A value's first word, as git would expand it. folder: of the file that it stands in. */
static enum eg_status add_named(struct eg_later *l, const char *folder, struct eg_slice value)
{
    char word[PATH_MAX], path[PATH_MAX];
    size_t n = 0;
    while (value.n > 0 && (*value.p == '!' || *value.p == '"'))
        value = eg_slice_from(value, 1);
    while (n < value.n && n + 1 < sizeof word && !isspace((unsigned char)value.p[n]) &&
           value.p[n] != '"')
        n++;
    snprintf(word, sizeof word, "%.*s", (int)n, value.n ? value.p : "");
    bool whole = strncmp(word, "~/", 2) == 0 && l->home ? join(path, l->home, word + 2)
                                                        : join(path, folder, word);
    if (!whole || n == 0 || (!is(path, S_IFREG) && !is(path, S_IFDIR)))
        return EG_OK;
    return eg_later_add(l, path, true);
}

static struct eg_slice trim(struct eg_slice s)
{
    while (s.n > 0 && isspace((unsigned char)*s.p))
        s = eg_slice_from(s, 1);
    while (s.n > 0 && isspace((unsigned char)s.p[s.n - 1]))
        s.n--;
    return s;
}

static enum eg_status add_line(struct eg_later *l, const char *folder, struct eg_slice line)
{
    line = trim(line);
    const char *equals = line.n ? memchr(line.p, '=', line.n) : NULL;
    if (!equals)
        return EG_OK;
    struct eg_slice key = trim(eg_slice(line.p, (size_t)(equals - line.p)));
    struct eg_slice value = trim(eg_slice_from(line, (size_t)(equals - line.p) + 1));
    return names_a_path(key) && value.n > 0 ? add_named(l, folder, value) : EG_OK;
}

/* A configuration that can't be read is passed over: git could not either. */
static enum eg_status add_configuration(struct eg_later *l, const char *path)
{
    struct eg_buf text;
    struct eg_err err = { 0 };
    char folder[PATH_MAX];
    enum eg_status status = EG_OK;
    eg_buf_init(&text, EG_GIT_TEXT);
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash && eg_file_read(path, &text, NULL, &err) == EG_OK) {
        *slash = '\0';
        struct eg_slice rest = eg_buf_slice(&text);
        while (rest.n > 0 && status == EG_OK) {
            const char *end = memchr(rest.p, '\n', rest.n);
            size_t n = end ? (size_t)(end - rest.p) + 1 : rest.n;
            status = add_line(l, folder, eg_slice(rest.p, n));
            rest = eg_slice_from(rest, n);
        }
    }
    eg_buf_done(&text);
    return status;
}

/* ---- the repository ---- */

/* Made where it is missing: git would read it as soon as it is there. */
static enum eg_status add_made(struct eg_later *l, const char *folder, const char *name,
                               const char *text)
{
    char path[PATH_MAX];
    if (!join(path, folder, name))
        return EG_OK;
    enum eg_status status = l->made ? eg_run_made_file(l->made, path, text) : EG_OK;
    return status == EG_OK ? eg_later_add(l, path, true) : status;
}

static enum eg_status add_common(struct eg_later *l, const char *folder)
{
    char path[PATH_MAX];
    enum eg_status status = add_made(l, folder, "config.worktree", "");
    if (status == EG_OK && join(path, folder, "hooks") && l->made)
        status = eg_run_made_folder(l->made, path);
    if (status == EG_OK)
        status = eg_later_add(l, path, true);
    if (status != EG_OK || !join(path, folder, "config"))
        return status;
    status = eg_later_add(l, path, true);
    return status == EG_OK ? add_configuration(l, path) : status;
}

/* commondir leads to another folder with configuration and hooks: in a worktree's, and in any other
 * one too if it is there. "." is what it means to be missing. */
static enum eg_status add_git_folder(struct eg_later *l, const char *folder)
{
    char path[PATH_MAX], text[PATH_MAX], common[PATH_MAX];
    enum eg_status status = add_made(l, folder, "commondir", ".\n");
    if (status == EG_OK && join(path, folder, "commondir") && first_line(path, "", text) &&
        strcmp(text, ".") != 0 && join(common, folder, text)) {
        status = add_made(l, folder, "config.worktree", "");
        return status == EG_OK ? add_common(l, common) : status;
    }
    return status == EG_OK ? add_common(l, folder) : status;
}

static enum eg_status add_modules(struct eg_later *l, const char *folder)
{
    char modules[PATH_MAX], one[PATH_MAX], head[PATH_MAX];
    const struct dirent *d;
    enum eg_status status = EG_OK;
    unsigned count = 0;
    DIR *list = join(modules, folder, "modules") ? opendir(modules) : NULL;
    while (list && status == EG_OK && count < EG_GIT_MODULES && (d = readdir(list)))
        if (d->d_name[0] != '.' && join(one, modules, d->d_name) && join(head, one, "HEAD") &&
            is(head, S_IFREG)) {
            status = add_git_folder(l, one);
            count++;
        }
    if (list)
        closedir(list);
    return status;
}

/* A worktree's .git, and a submodule's, is a file that names its folder. */
static enum eg_status add_repository(struct eg_later *l, const char *top)
{
    char git[PATH_MAX], own[PATH_MAX], text[PATH_MAX];
    enum eg_status status = EG_OK;
    if (!join(git, top, ".git"))
        return EG_OK;
    snprintf(own, sizeof own, "%s", git);
    if (is(git, S_IFREG)) {
        status = eg_later_add(l, git, true);
        if (!first_line(git, "gitdir: ", text) || !join(own, top, text))
            return status;
    }
    if (status == EG_OK)
        status = add_git_folder(l, own);
    return status == EG_OK ? add_modules(l, own) : status;
}

enum eg_status eg_later_git(struct eg_later *l)
{
    char top[PATH_MAX], path[PATH_MAX];
    enum eg_status status = EG_OK;
    static const char *const global[] = { ".gitconfig", ".config/git/config" };
    for (unsigned i = 0; i < 2 && l->home && status == EG_OK; i++)
        if (join(path, l->home, global[i]))
            status = add_configuration(l, path);
    if (status != EG_OK || !getcwd(top, sizeof top))
        return status;
    for (char *slash; (slash = strrchr(top, '/')); *slash = '\0')
        if (join(path, top, ".git") && (is(path, S_IFDIR) || is(path, S_IFREG)))
            return add_repository(l, top);
    return EG_OK;
}
