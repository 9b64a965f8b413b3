/* run_paths.c - what the child must not see (files of credentials, runtime folders with their
 * sockets) and what it must not change (what it would be trusted by at the next start), and who
 * it is. Pure lists: launch does the mounting. */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/run.h"

static enum eg_status add(char **list, unsigned *count, const char *path, size_t n)
{
    if (n == 0)
        return EG_OK;
    if (*count == EG_RUN_PATHS)
        return EG_TOO_BIG;
    list[*count] = strndup(path, n);
    if (!list[*count])
        return EG_NOMEM;
    (*count)++;
    return EG_OK;
}

static enum eg_status cover(struct eg_run_paths *p, const char *path)
{
    return path ? add(p->covered, &p->lists.covered_count, path, strlen(path)) : EG_OK;
}

static enum eg_status fix(struct eg_run_paths *p, const char *path)
{
    return path ? add(p->read_only, &p->lists.read_only_count, path, strlen(path)) : EG_OK;
}

/* The sockets that lead to somebody with more rights. The filter refuses AF_UNIX anyway; this is
 * the second lock. */
static enum eg_status cover_sockets(struct eg_run_paths *p, const struct eg_environ *e)
{
    static const char *const known[] = { "/run/docker.sock",
                                         "/run/podman",
                                         "/run/containerd/containerd.sock",
                                         "/run/crio/crio.sock",
                                         "/run/dbus/system_bus_socket",
                                         "/run/snapd.socket",
                                         "/run/egress" };
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < sizeof known / sizeof *known && status == EG_OK; i++)
        status = cover(p, known[i]);
    if (status == EG_OK)
        status = cover(p, eg_environ_get(e, "SSH_AUTH_SOCK"));
    const char *bus = eg_environ_get(e, "DBUS_SESSION_BUS_ADDRESS");
    const char *path = bus ? strstr(bus, "unix:path=") : NULL;
    if (path && status == EG_OK)
        status = add(p->covered, &p->lists.covered_count, path + 10, strcspn(path + 10, ",;"));
    return status;
}

static enum eg_status cover_runtime(struct eg_run_paths *p, const struct eg_run_places *at,
                                    const struct eg_environ *e, uid_t child)
{
    char folder[PATH_MAX];
    const char *runtime = eg_environ_get(e, "XDG_RUNTIME_DIR");
    enum eg_status status = runtime && *runtime == '/' ? cover(p, runtime) : EG_OK;
    const uid_t ids[] = { child, geteuid() };
    for (unsigned i = 0; i < 2 && status == EG_OK; i++) {
        snprintf(folder, sizeof folder, "/run/user/%u", (unsigned)ids[i]);
        status = cover(p, folder);
    }
    const char *last = strrchr(at->control, '/');
    if (status == EG_OK && last)
        status =
            add(p->covered, &p->lists.covered_count, at->control, (size_t)(last - at->control));
    return status == EG_OK ? cover_sockets(p, e) : status;
}

/* Where a program keeps what it gives: many of them in clear text, readable by their user. */
static const struct {
    const char *program, *variable; /* the variable names the place, where it is set */
    const char *base, *beneath;     /* else: a variable, or HOME and where it points by default */
    const char *path;
    bool make; /* a child that could make it would name programs there, for us to run */
} stores[] = {
    { "secret-tool", NULL, "XDG_DATA_HOME", "/.local/share", "/keyrings", false },
    { "gh", "GH_CONFIG_DIR", "XDG_CONFIG_HOME", "/.config", "/gh", false },
    { "gcloud", "CLOUDSDK_CONFIG", NULL, "/.config", "/gcloud", false },
    { "aws", "AWS_SHARED_CREDENTIALS_FILE", NULL, "", "/.aws/credentials", false },
    { "aws", "AWS_CONFIG_FILE", NULL, "", "/.aws/config", false },
    { "aws", NULL, NULL, "", "/.aws", true },
    { "op", NULL, "XDG_CONFIG_HOME", "/.config", "/op", false },
    { "bw", "BITWARDENCLI_APPDATA_DIR", "XDG_CONFIG_HOME", "/.config", "/Bitwarden CLI", false },
    { "pass", "PASSWORD_STORE_DIR", NULL, "", "/.password-store", false },
    { "pass", "GNUPGHOME", NULL, "", "/.gnupg", false },
};

static enum eg_status cover_stores(struct eg_run_paths *p, const struct eg_environ *e,
                                   struct eg_slice program)
{
    char path[PATH_MAX];
    const char *home = eg_environ_get(e, "HOME");
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < sizeof stores / sizeof *stores && status == EG_OK; i++) {
        if (!eg_slice_eq(program, eg_slice_str(stores[i].program)))
            continue;
        const char *own = stores[i].variable ? eg_environ_get(e, stores[i].variable) : NULL;
        const char *base = stores[i].base ? eg_environ_get(e, stores[i].base) : NULL;
        if (own && *own)
            snprintf(path, sizeof path, "%s", own);
        else if (base && *base)
            snprintf(path, sizeof path, "%s%s", base, stores[i].path);
        else if (home)
            snprintf(path, sizeof path, "%s%s%s", home, stores[i].beneath, stores[i].path);
        else
            continue;
        if (stores[i].make)
            (void)mkdir(path, 0700); /* where this fails for us, it fails for the child */
        status = cover(p, path);
    }
    return status;
}

/* What its last part is: stores and keys are the program's, wherever it is. */
static struct eg_slice base_name(struct eg_slice program)
{
    const char *slash = program.n ? memrchr(program.p, '/', program.n) : NULL;
    return slash ? eg_slice_from(program, (size_t)(slash - program.p) + 1) : program;
}

static enum eg_status cover_file(struct eg_run_paths *p, const struct eg_environ *e,
                                 struct eg_slice place, uid_t child)
{
    char file[PATH_MAX], folder[PATH_MAX];
    if (place.n == 0 || place.n >= sizeof file)
        return EG_OK; /* nor can it be read */
    memcpy(file, place.p, place.n);
    file[place.n] = '\0';
    enum eg_status status = cover(p, file);
    if (status != EG_OK)
        return status;
    if (eg_run_private_folder(file, eg_environ_get(e, "HOME"), folder))
        return cover(p, folder);
    return eg_run_replaceable(file, child) ? add(p->exposed, &p->exposed_count, place.p, place.n)
                                           : EG_OK;
}

static enum eg_status cover_credentials(struct eg_run_paths *p, const struct eg_environ *e,
                                        const struct eg_policy *policy, uid_t child)
{
    enum eg_status status = EG_OK;
    struct eg_slice covered[EG_RUN_PATHS];
    unsigned count = 0;
    for (unsigned i = 0; i < eg_policy_credential_count(policy) && status == EG_OK; i++) {
        struct eg_credential c;
        eg_policy_credential(policy, i, &c);
        struct eg_slice program = c.kind == EG_SOURCE_KEYRING ? EG_SLICE("secret-tool")
                                  : c.arg_count > 0
                                      ? base_name(eg_policy_credential_arg(policy, i, 0))
                                      : EG_SLICE_NONE;
        bool seen = false;
        if (c.kind == EG_SOURCE_FILE)
            status = cover_file(p, e, c.place, child);
        else if (c.kind == EG_SOURCE_SYSTEMD)
            program = EG_SLICE("systemd");
        for (unsigned k = 0; k < count; k++)
            seen = seen || eg_slice_eq(covered[k], program);
        if (program.n == 0 || seen || count == EG_RUN_PATHS)
            continue;
        covered[count++] = program;
        status = c.kind == EG_SOURCE_SYSTEMD
                     ? cover(p, eg_environ_get(e, "CREDENTIALS_DIRECTORY"))
                     : cover_stores(p, e, program);
    }
    return status;
}

/* A program that gives a credential runs outside the sandbox, again and again: a child that could
 * write to it, or to a script among its arguments, would be outside too. Those that are named
 * without a slash are root's. */
static enum eg_status keep_programs(struct eg_run_paths *p, const struct eg_policy *policy)
{
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < eg_policy_credential_count(policy); i++) {
        struct eg_credential c;
        eg_policy_credential(policy, i, &c);
        for (unsigned k = 0; k < c.arg_count && status == EG_OK; k++) {
            struct eg_slice arg = eg_policy_credential_arg(policy, i, k);
            if (eg_slice_starts(arg, EG_SLICE("/")))
                status = add(p->programs, &p->lists.program_count, arg.p, arg.n);
        }
    }
    return status;
}

enum eg_status eg_run_paths_make(const struct eg_run_places *at,
                                 const struct eg_environ *environment,
                                 const struct eg_policy *policy, uid_t child,
                                 struct eg_run_paths *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->lists.covered = (const char *const *)ret->covered;
    ret->lists.read_only = (const char *const *)ret->read_only;
    ret->lists.programs = (const char *const *)ret->programs;
    struct eg_slice audit = eg_policy_settings(policy)->audit_file;
    enum eg_status status = cover_runtime(ret, at, environment, child);
    if (status == EG_OK)
        status = cover_credentials(ret, environment, policy, child);
    if (status == EG_OK)
        status = keep_programs(ret, policy);
    if (status == EG_OK)
        status = add(ret->read_only, &ret->lists.read_only_count, audit.p, audit.n);
    if (status == EG_OK)
        status = fix(ret, at->state);
    if (status == EG_OK)
        status = fix(ret, at->config);
    for (unsigned i = 0; i < at->policy_count && status == EG_OK; i++)
        status = fix(ret, at->policies[i].path);
    if (status != EG_OK)
        eg_run_paths_done(ret);
    return status;
}

void eg_run_paths_done(struct eg_run_paths *p)
{
    for (unsigned i = 0; i < p->lists.covered_count; i++)
        free(p->covered[i]);
    for (unsigned i = 0; i < p->lists.read_only_count; i++)
        free(p->read_only[i]);
    for (unsigned i = 0; i < p->lists.program_count; i++)
        free(p->programs[i]);
    for (unsigned i = 0; i < p->exposed_count; i++)
        free(p->exposed[i]);
    memset(p, 0, sizeof *p);
}

/* ---- who the child is ---- */

static const struct passwd *other_user(const char *name, char *const *parent)
{
    if (geteuid() != 0)
        return NULL;
    if (name)
        return getpwnam(name);
    for (; *parent; parent++) {
        unsigned long long uid;
        if (strncmp(*parent, "SUDO_UID=", 9) == 0 &&
            eg_slice_u64(eg_slice_str(*parent + 9), &uid) && uid < (uid_t)-1)
            return getpwuid((uid_t)uid);
    }
    return NULL;
}

static bool of_caller(const char *item)
{
    static const char *const names[] = { "HOME=",
                                         "USER=",
                                         "LOGNAME=",
                                         "MAIL=",
                                         "XDG_RUNTIME_DIR=",
                                         "XDG_CONFIG_HOME=",
                                         "XDG_STATE_HOME=",
                                         "XDG_DATA_HOME=",
                                         "XDG_CACHE_HOME=",
                                         "DBUS_SESSION_BUS_ADDRESS=",
                                         "SSH_AUTH_SOCK=" };
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(item, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

enum eg_status eg_run_user_make(const char *name, char *const *parent, struct eg_run_user *ret,
                                struct eg_err *err)
{
    const struct passwd *p = other_user(name, parent);
    size_t n = 0, count = 0;
    memset(ret, 0, sizeof *ret);
    ret->uid = p ? p->pw_uid : geteuid();
    while (parent[count])
        count++;
    ret->environment = calloc(count + 4, sizeof *ret->environment);
    if (!ret->environment)
        return eg_err_set(err, EG_NOMEM, "run", 0, "out of memory");
    for (size_t i = 0; i < count; i++)
        if (!p || !of_caller(parent[i]))
            ret->environment[n++] = parent[i];
    if (!p)
        return EG_OK;
    if (asprintf(&ret->own[0], "HOME=%s", p->pw_dir) < 0 ||
        asprintf(&ret->own[1], "USER=%s", p->pw_name) < 0 ||
        asprintf(&ret->own[2], "LOGNAME=%s", p->pw_name) < 0) {
        eg_run_user_done(ret);
        return eg_err_set(err, EG_NOMEM, "run", 0, "out of memory");
    }
    for (unsigned i = 0; i < 3; i++)
        ret->environment[n++] = ret->own[i];
    return EG_OK;
}

void eg_run_user_done(struct eg_run_user *u)
{
    for (unsigned i = 0; i < 3; i++)
        free(u->own[i]);
    free(u->environment);
    memset(u, 0, sizeof *u);
}
