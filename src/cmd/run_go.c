/* run_go.c - the last steps before the command runs: what it must not see or change, given to launch as soon as
 * there is a policy; and once the proxy is ready its environment and the files that this names. What the command
 * holds of a credential is a phantom. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/run_state.h"

/* And the files that it names. */
static enum eg_status child_environment(struct eg_run *r, const struct eg_session_info *session,
                                        char ***ret, struct eg_err *err)
{
    const char **services = calloc(session->phantom_count + 1, sizeof *services);
    const char **texts = calloc(session->phantom_count + 1, sizeof *texts);
    enum eg_status status = services && texts ? EG_OK : EG_NOMEM;
    for (unsigned i = 0; status == EG_OK && i < session->phantom_count; i++) {
        services[i] = session->phantoms[i].service;
        texts[i] = session->phantoms[i].phantom;
    }
    const struct eg_child_env_spec spec = {
        .parent = r->user.environment,
        .policy = eg_supervisor_policy(r->supervisor),
        .listener = eg_launch_address(r->child, EG_ENTRY_PROXY),
        .open = eg_launch_address(r->child, EG_ENTRY_OPEN),
        .session = session->label,
        .token = session->token,
        .policy_path = r->places.policies[r->places.policy_count - 1].path,
        .strict = r->asked.strict,
        .files = r->files.path,
        .more = r->shell.variables,
        .phantom_count = session->phantom_count,
        .phantom_services = services,
        .phantom_texts = texts,
    };
    if (status == EG_OK)
        status = eg_child_files_write(&spec, r->user.uid, err);
    if (status == EG_OK && !r->asked.command)
        status = eg_run_shell_write(&r->shell, r->files.path, &r->user, err);
    if (status == EG_OK)
        status = eg_child_env_make(&spec, ret, err);
    free(services);
    free(texts);
    return status;
}

/* Without mounts the runtime folder is closed, where others have an empty one in its place: the command gets one
 * among its files, for the locks and such that tools keep there. */
static enum eg_status own_runtime(struct eg_run *r, struct eg_err *err)
{
    static const char key[] = "XDG_RUNTIME_DIR=";
    char **e = r->user.environment;
    while (*e && strncmp(*e, key, sizeof key - 1) != 0)
        e++;
    if (!*e || eg_launch_enforcement(r->child) != EG_ENFORCE_SECCOMP)
        return EG_OK;
    if (mkdirat(r->files.folder, "runtime", 0700) < 0 ||
        fchownat(r->files.folder, "runtime", r->user.uid, r->user.gid, AT_SYMLINK_NOFOLLOW) < 0)
        return eg_err_set(err, EG_IO, "run", errno, "no runtime folder for the command");
    if (asprintf(&r->user.runtime, "%s%s/runtime", key, r->files.path) < 0) {
        r->user.runtime = NULL;
        return eg_err_set(err, EG_NOMEM, "run", 0, "out of memory");
    }
    *e = r->user.runtime;
    return EG_OK;
}

/* Whatever source a key comes from, the parent may hold a copy of it under any name. */
static void drop_copies(const struct eg_run *r, char **environment)
{
    char **to = environment;
    for (char **e = environment; *e; e++)
        if (!eg_supervisor_holds_secret(r->supervisor, *e))
            *to++ = *e;
    *to = NULL;
}

/* What the command must not see or change. Mounts need something to stand on; where there are none,
 * tools need their folders, and can be run without. */
static enum eg_status begin_making(struct eg_run *r, struct eg_err *err)
{
    enum eg_enforcement how = eg_launch_enforcement(r->child);
    enum eg_status status = eg_run_made_begin(
        &r->made, how == EG_ENFORCE_NONE ? "" : r->places.state, r->user.uid, r->user.gid, err);
    if (status == EG_OK || how == EG_ENFORCE_NAMESPACES)
        return status;
    *err = (struct eg_err){ 0 };
    eg_run_made_end(&r->made);
    return eg_run_made_begin(&r->made, "", r->user.uid, r->user.gid, err);
}

static enum eg_status keep_paths(struct eg_run *r, struct eg_run_paths *ret, struct eg_err *err)
{
    const struct eg_run_child child = { .uid = r->user.uid,
                                        .enforcement = eg_launch_enforcement(r->child),
                                        .writable = r->asked.writable,
                                        .writable_count = r->asked.writable_count,
                                        .made = &r->made };
    enum eg_status status = begin_making(r, err);
    r->places.parts = eg_supervisor_policy_parts(r->supervisor, &r->places.part_count);
    if (status == EG_OK)
        status = eg_run_paths_make(&r->places, r->environment, eg_supervisor_policy(r->supervisor),
                                   &child, ret);
    if (status == EG_OK && child.enforcement == EG_ENFORCE_SECCOMP)
        status = eg_run_changes_begin(&r->changes, ret->lists.held, ret->lists.held_count);
    return status == EG_OK ? eg_run_made_now(&r->made, err) : status;
}

enum eg_status eg_run_cover(struct eg_run *r, struct eg_err *err)
{
    struct eg_run_paths paths = { 0 };
    enum eg_status status = keep_paths(r, &paths, err);
    for (unsigned i = 0; eg_run_enforced(r) && status == EG_OK && i < paths.exposed_count; i++)
        fprintf(stderr,
                "%s: warning: file:%s: whoever replaces it meanwhile shows it to the command: keep "
                "it in a folder (0700) of its own\n",
                r->asked.options->command, paths.exposed[i]);
    if (status == EG_OK)
        status = eg_launch_cover(r->child, &paths.lists, err);
    eg_run_paths_done(&paths);
    return status;
}

enum eg_status eg_run_let_go(struct eg_run *r, const struct eg_session_info *session,
                             struct eg_err *err)
{
    char **environment = NULL;
    drop_copies(r, r->user.environment);
    enum eg_status status = own_runtime(r, err);
    if (status == EG_OK)
        status = child_environment(r, session, &environment, err);
    if (status == EG_OK)
        status = eg_launch_go(r->child, environment, err);
    eg_child_env_free(environment);
    return status;
}
