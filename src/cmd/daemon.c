/* daemon.c - egressd's option table, and what its command line means. No process, no sockets. */
#include "cmd/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/commands.h"
#include "cmd/supervisor.h"

static const struct eg_cmd_option list[] = {
    { 'p', "policy", "FILE", "the policy; read anew on SIGHUP" },
    { 'l', "listen", "ADDR:PORT", "listen there, in place of what the policy says" },
    { 0, "allow-remote", NULL, "let listeners stand on other than loopback addresses" },
    { 0, "upstream-proxy", "URL", "go out through this proxy; repeated: a chain in that order" },
    { 0, "control", "PATH", "the control socket (default: $XDG_RUNTIME_DIR/egress/default.sock)" },
    { 'w', "workers", "N", "worker processes, 1 to 64 (default: 1)" },
    { 0, "token-file", "PATH", "write the default session's token there (0600)" },
    { 0, "no-splice", NULL, "relay by read and write only" },
    { 0, "log", "error|warn|info|debug", "error, warn (default), info or debug" },
    { 't', NULL, NULL, "check the policy and exit: 0, or 3 when it is invalid" },
    { 0, "version", NULL, "print the version" },
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_egressd_options = {
    .command = "egressd",
    .operands = "",
    .about = "The network of a sandbox: lets through what a policy allows, and records it.",
    .list = list,
};

bool eg_daemon_listen(const char *text, bool remote, struct eg_sockaddr *ret)
{
    const char *colon = strrchr(text, ':');
    unsigned long long port;
    if (!colon || !eg_slice_u64(eg_slice_str(colon + 1), &port) || port > 65535)
        return false;
    struct eg_slice host = eg_slice(text, (size_t)(colon - text));
    bool bracketed = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    if (bracketed)
        host = eg_slice(host.p + 1, host.n - 2);
    struct eg_addr a;
    if (!eg_addr_parse(host, &a) || bracketed != (a.family == 6))
        return false;
    static const struct eg_addr v4 = { .family = 4, .b = { 127 } };
    static const struct eg_addr v6 = { .family = 6, .b = { [15] = 1 } };
    if (!remote && (a.family == 4 ? !eg_addr_in(&a, &v4, 8) : !eg_addr_eq(&a, &v6)))
        return false;
    *ret = (struct eg_sockaddr){ a, (uint16_t)port };
    return true;
}

enum eg_status eg_daemon_passed(const struct eg_environ *e, int *out, unsigned cap, unsigned *count,
                                struct eg_err *err)
{
    enum { FIRST = 3 };
    unsigned long long pid, n;
    const char *whose = eg_environ_get(e, "LISTEN_PID"), *many = eg_environ_get(e, "LISTEN_FDS");
    *count = 0;
    if (!whose || !many || !eg_slice_u64(eg_slice_str(whose), &pid) ||
        pid != (unsigned long long)getpid())
        return EG_OK;
    if (!eg_slice_u64(eg_slice_str(many), &n))
        return eg_err_set(err, EG_INVALID, "listen", 0, "LISTEN_FDS is not a number");
    if (n > cap)
        return eg_err_set(err, EG_TOO_BIG, "listen", 0,
                          "%llu sockets were passed (LISTEN_FDS); there is room for %u", n, cap);
    for (unsigned i = 0; i < n; i++) {
        out[i] = FIRST + (int)i;
        if (fcntl(out[i], F_SETFD, FD_CLOEXEC) < 0)
            return eg_err_set(err, EG_INVALID, "listen", 0,
                              "descriptor %d is not open, and LISTEN_FDS says that it was passed",
                              out[i]);
    }
    *count = (unsigned)n;
    return EG_OK;
}

enum eg_status eg_daemon_default_folder(const char *control, struct eg_err *err)
{
    char folder[4096];
    struct stat st;
    const char *slash = strrchr(control, '/');
    size_t n = slash ? (size_t)(slash - control) : 0;
    if (n == 0 || n >= sizeof folder)
        return eg_err_set(err, EG_TOO_BIG, "control", 0, "the path is unusable");
    memcpy(folder, control, n);
    folder[n] = 0;
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return eg_err_set(err, EG_IO, "control", errno, "%.120s can't be made", folder);
    if (lstat(folder, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & 077))
        return eg_err_set(err, EG_PERMISSION, "control", 0,
                          "%.120s must be a folder of yours with mode 0700", folder);
    return EG_OK;
}
