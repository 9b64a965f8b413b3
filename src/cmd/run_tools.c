/* run_tools.c - the folders that tools make in a home for what they keep: caches, stores, sessions.
 * Where Landlock takes the place of mounts nothing new can be made in a home, so those that are
 * missing are made before its rules, which then let the child write to them; the ones that stay
 * empty go with the run.
 *
 * None of them is read by the next shell or login. Folders whose files name programs for a later
 * time (.aws, .kube, .docker, .m2, .gradle) are left to the person to make. */
#include "cmd/run_later.h"

static const struct eg_tool_row {
    const char *path;    /* below home */
    const char *program; /* made only where it can be found; NULL: always */
} rows[] = {
    { ".cache", NULL },
    { ".local/state", NULL },
    { ".npm", "node" },
    { ".local/share/pnpm", "node" },
    { ".yarn/berry", "yarn" },
    { ".bun/install/cache", "bun" },
    { ".cargo/registry", NULL },
    { ".cargo/git", NULL },
    { "go/pkg", "go" },
    { ".local/share/uv", "uv" },
    /* agents, which are often started by a path of their own */
    { ".claude", NULL },
    { ".codex", NULL },
    { ".gemini", NULL },
    { ".config/opencode", "opencode" },
    { ".local/share/opencode", "opencode" },
};

enum eg_status eg_later_tools(struct eg_later *l)
{
    char path[PATH_MAX];
    enum eg_status status = EG_OK;
    for (unsigned i = 0; l->home && l->made && i < sizeof rows / sizeof *rows && status == EG_OK;
         i++)
        if (eg_later_installed(l, rows[i].program) && eg_later_place(l, rows[i].path, path))
            status = eg_run_made_folder(l->made, path);
    return status;
}
