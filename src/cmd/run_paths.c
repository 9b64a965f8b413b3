/* run_paths.c - what the child must not see (files of credentials, runtime folders, sockets) and what
 * it must not change (what it would be trusted by at the next start, what would run outside later).
 * Pure lists: launch does the mounting, or Landlock's rules. */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/run.h"
#include "cmd/run_later.h"

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

static enum eg_status hold(struct eg_run_paths *p, const char *path)
{
    return path ? add(p->held, &p->lists.held_count, path, strlen(path)) : EG_OK;
}

static enum eg_status cover_socket(struct eg_run_paths *p, const char *path, size_t n)
{
    return path && *path == '/' ? add(p->sockets, &p->lists.socket_count, path, n) : EG_OK;
}

/* A socket's path in an address such as unix:path=/run/x,guid=1 or unix:///run/x. */
static enum eg_status cover_address(struct eg_run_paths *p, const char *address)
{
    static const char *const forms[] = { "unix:path=", "unix://" };
    for (unsigned i = 0; address && i < sizeof forms / sizeof *forms; i++) {
        const char *path = strstr(address, forms[i]);
        if (path)
            return cover_socket(p, path + strlen(forms[i]), strcspn(path + strlen(forms[i]), ",;"));
    }
    return EG_OK;
}

static enum eg_status cover_home_sockets(struct eg_run_paths *p, const char *home)
{
    static const char *const known[] = { ".docker/run",          ".docker/desktop/docker.sock",
                                         ".gnupg/S.gpg-agent",   ".gnupg/S.gpg-agent.ssh",
                                         ".gnupg/S.gpg-agent.extra", ".gnupg/S.scdaemon",
                                         ".local/share/containers/podman/machine" };
    char path[PATH_MAX];
    enum eg_status status = EG_OK;
    for (unsigned i = 0; home && i < sizeof known / sizeof *known && status == EG_OK; i++) {
        int n = snprintf(path, sizeof path, "%s/%s", home, known[i]);
        if (n > 0 && (size_t)n < sizeof path)
            status = cover_socket(p, path, (size_t)n);
    }
    return status;
}

/* The sockets that lead to somebody with more rights. The filter refuses AF_UNIX anyway; this is
 * the second lock. */
static enum eg_status cover_sockets(struct eg_run_paths *p, const struct eg_environ *e, uid_t child,
                                    const char *home)
{
    static const char *const known[] = { "/run/docker.sock",
                                         "/run/docker",
                                         "/run/podman",
                                         "/run/containerd",
                                         "/run/crio",
                                         "/run/dbus/system_bus_socket",
                                         "/run/snapd.socket",
                                         "/run/snapd-snap.socket",
                                         "/run/libvirt",
                                         "/run/incus",
                                         "/var/lib/incus/unix.socket",
                                         "/var/lib/lxd/unix.socket",
                                         "/var/snap/lxd/common/lxd/unix.socket",
                                         "/run/pcscd",
                                         "/run/screen",
                                         "/run/systemd/private",
                                         "/tmp/.X11-unix",
                                         "/tmp/.ICE-unix",
                                         "/run/egress" };
    static const char *const addresses[] = { "DBUS_SESSION_BUS_ADDRESS", "DOCKER_HOST",
                                             "CONTAINER_HOST" };
    char path[64];
    const char *agent = eg_environ_get(e, "SSH_AUTH_SOCK");
    const char *tmux = eg_environ_get(e, "TMUX");
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < sizeof known / sizeof *known && status == EG_OK; i++)
        status = cover_socket(p, known[i], strlen(known[i]));
    for (unsigned i = 0; i < sizeof addresses / sizeof *addresses && status == EG_OK; i++)
        status = cover_address(p, eg_environ_get(e, addresses[i]));
    if (status == EG_OK)
        status = cover_socket(p, agent, agent ? strlen(agent) : 0);
    if (status == EG_OK)
        status = cover_socket(p, tmux, tmux ? strcspn(tmux, ",") : 0);
    int n = snprintf(path, sizeof path, "/tmp/tmux-%u", (unsigned)child);
    if (status == EG_OK)
        status = cover_socket(p, path, (size_t)n);
    return status == EG_OK ? cover_home_sockets(p, home) : status;
}

/* Devices that type for the person, or speak to the host's own sockets as a guest does. */
static enum eg_status cover_devices(struct eg_run_paths *p)
{
    static const char *const known[] = { "/dev/uinput", "/dev/input", "/dev/bus/usb",
                                         "/dev/vhost-vsock", "/dev/vhost-net" };
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < sizeof known / sizeof *known && status == EG_OK; i++)
        status = cover(p, known[i]);
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
    return status == EG_OK && last ? cover_socket(p, at->control, (size_t)(last - at->control))
                                   : status;
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

/* ---- what would run outside later ---- */

/* Below Landlock's rules the folder of a read-only file can't be written to: what stands where tools
 * go on writing is held by mounts only. */
static enum eg_status keep_later(struct eg_run_paths *p, const struct eg_environ *e,
                                 const struct eg_run_child *child, const char *home)
{
    static struct eg_later l; /* large; one run a process */
    l = (struct eg_later){ .environment = e,
                           .home = home,
                           .other_user = child->uid != geteuid(),
                           .writable = child->writable,
                           .writable_count = child->writable_count,
                           .made = child->enforcement == EG_ENFORCE_NAMESPACES ? child->made : NULL };
    enum eg_status status = eg_later_find(&l);
    l.made = child->made;
    if (status == EG_OK && child->enforcement == EG_ENFORCE_SECCOMP)
        status = eg_later_tools(&l);
    for (unsigned i = 0; i < l.held_count && status == EG_OK; i++)
        status = child->enforcement == EG_ENFORCE_SECCOMP ? fix(p, l.held[i]) : hold(p, l.held[i]);
    for (unsigned i = 0; i < l.tool_count && status == EG_OK; i++)
        status = hold(p, l.tools[i]);
    eg_later_done(&l);
    return status;
}

/* A repository's policy stands where the child works: rules would freeze that folder. */
static enum eg_status keep_own(struct eg_run_paths *p, const struct eg_run_places *at,
                               struct eg_slice audit)
{
    enum eg_status status = add(p->read_only, &p->lists.read_only_count, audit.p, audit.n);
    if (status == EG_OK)
        status = fix(p, at->state);
    if (status == EG_OK)
        status = fix(p, at->config);
    for (unsigned i = 0; i < at->policy_count && status == EG_OK; i++)
        status = at->policies[i].layer == EG_LAYER_REPO ? hold(p, at->policies[i].path)
                                                        : fix(p, at->policies[i].path);
    for (unsigned i = 0; i < at->part_count && status == EG_OK; i++)
        status = hold(p, at->parts[i]);
    return status;
}

static const char *home_of(const struct eg_environ *e, uid_t child)
{
    const struct passwd *p = child != geteuid() ? getpwuid(child) : NULL;
    const char *home = child == geteuid() ? eg_environ_get(e, "HOME") : p ? p->pw_dir : NULL;
    return home && *home == '/' && home[1] ? home : NULL;
}

enum eg_status eg_run_paths_make(const struct eg_run_places *at,
                                 const struct eg_environ *environment,
                                 const struct eg_policy *policy, const struct eg_run_child *child,
                                 struct eg_run_paths *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->lists.covered = (const char *const *)ret->covered;
    ret->lists.read_only = (const char *const *)ret->read_only;
    ret->lists.programs = (const char *const *)ret->programs;
    ret->lists.held = (const char *const *)ret->held;
    ret->lists.sockets = (const char *const *)ret->sockets;
    const char *home = home_of(environment, child->uid);
    enum eg_status status = cover_runtime(ret, at, environment, child->uid);
    if (status == EG_OK)
        status = cover_sockets(ret, environment, child->uid, home);
    if (status == EG_OK)
        status = cover_devices(ret);
    if (status == EG_OK)
        status = cover_credentials(ret, environment, policy, child->uid);
    if (status == EG_OK)
        status = keep_programs(ret, policy);
    if (status == EG_OK)
        status = keep_own(ret, at, eg_policy_settings(policy)->audit_file);
    if (status == EG_OK && child->enforcement == EG_ENFORCE_NAMESPACES)
        status = hold(ret, at->files);
    if (status == EG_OK && child->enforcement != EG_ENFORCE_NONE)
        status = keep_later(ret, environment, child, home);
    if (status != EG_OK)
        eg_run_paths_done(ret);
    return status;
}

static void drop(char **list, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(list[i]);
}

void eg_run_paths_done(struct eg_run_paths *p)
{
    drop(p->covered, p->lists.covered_count);
    drop(p->read_only, p->lists.read_only_count);
    drop(p->programs, p->lists.program_count);
    drop(p->held, p->lists.held_count);
    drop(p->sockets, p->lists.socket_count);
    drop(p->exposed, p->exposed_count);
    memset(p, 0, sizeof *p);
}
