/* load_git.c - a policy file as it was in a revision: `git cat-file` of the system, without a shell.
 *
 * The repository may have been written by whoever is held by the policy: cat-file runs no filter, no textconv, no pager and no hook, and no transport is
 * allowed to fetch what is missing. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/load.h"
#include "cred/cred.h"

enum { GIT_MAX = 8 << 20, GIT_MS = 20000, GIT_NAME = 4200, GIT_ENV = 16 };

/* Of the caller's environment: where the repository is, and whose settings say that it is safe. */
static void environment(char texts[GIT_ENV][PATH_MAX], const char *env[GIT_ENV + 1])
{
    static const char *const kept[] = { "HOME",          "XDG_CONFIG_HOME",      "GIT_DIR", "PATH",
                                        "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY", "SUDO_UID" };
    static const char *const ours[] = { "GIT_NO_LAZY_FETCH=1", "GIT_ALLOW_PROTOCOL=none",
                                        "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0",
                                        "LC_ALL=C" };
    unsigned n = 0;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        const char *value = getenv(kept[i]);
        int k = value ? snprintf(texts[n], PATH_MAX, "%s=%s", kept[i], value) : -1;
        if (k < 0 || k >= PATH_MAX)
            continue;
        env[n] = texts[n];
        n++;
    }
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        env[n++] = ours[i];
    env[n] = NULL;
}

/* "./" and "name/.." inside of a path are git's to refuse: they are folded, as what a file extends is named relative to it. */
static bool fold(const char *name, char out[GIT_NAME])
{
    size_t n = strcspn(name, ":") + 1, top = n;
    const char *p = name + n;
    if (strlen(name) >= GIT_NAME || p[-1] != ':')
        return false;
    memcpy(out, name, n);
    for (size_t k; (k = strncmp(p, "./", 2) == 0 ? 2 : strncmp(p, "../", 3) == 0 ? 3 : 0); p += k) {
        memcpy(out + n, p, k); /* from here: git knows */
        n = top = n + k;
    }
    while (*p) {
        size_t k = strcspn(p, "/");
        if (k == 2 && strncmp(p, "..", 2) == 0) {
            if (n == top)
                return false;
            for (n -= n > top; n > top && out[n - 1] != '/'; n--)
                ;
        } else if (k > 0 && !(k == 1 && *p == '.')) {
            memcpy(out + n, p, k);
            n += k;
            if (p[k])
                out[n++] = '/';
        }
        p += k + (p[k] == '/');
    }
    out[n] = '\0';
    return n > top;
}

enum eg_status eg_load_git(const char *name, struct eg_buf *out, struct eg_err *err)
{
    char git[EG_PROGRAM_PATH], folder[PATH_MAX], object[GIT_NAME], texts[GIT_ENV][PATH_MAX];
    const char *env[GIT_ENV + 1];
    struct eg_err why = { 0 };
    if (*name == '-' || *name == ':' || !fold(name, object))
        return eg_err_set(err, EG_INVALID, "git", 0, "%.120s names no file of a revision", name);
    if (!getcwd(folder, sizeof folder))
        return eg_err_set(err, EG_IO, "git", 0, "the working folder is not known");
    enum eg_status status = eg_source_program("git", git, err);
    if (status != EG_OK)
        return eg_err_set(err, status, "git", 0, "git is not installed");
    environment(texts, env);
    const char *const argv[] = {
        git, "--no-replace-objects", "-C", folder, "cat-file", "blob", object, NULL
    };
    const struct eg_source_command command = { .argv = argv,
                                               .env = env,
                                               .limit = eg_buf_room(out) < GIT_MAX
                                                            ? eg_buf_room(out) - 2
                                                            : GIT_MAX,
                                               .deadline_ms = eg_clock_ms() + GIT_MS };
    status = eg_source_cmd(&command, out, &why);
    if (status == EG_OK || status == EG_NOMEM)
        return status;
    if (status == EG_TOO_BIG)
        return eg_err_set(err, status, "git", 0, "%.120s is too large", name);
    return eg_err_set(
        err, EG_NOT_FOUND, "git", 0,
        "git has no %.120s (paths are from the top of the repository, or begin with ./)", name);
}
