/* doctor_system.c - what this system has of what `run` and the proxy use. What can be tried is tried, by the code that would use it. */
#include <dlfcn.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cmd/doctor.h"
#include "net/sock.h"
#include "tls/aead.h"
#include "tls/context.h"

#define SAY(d, state, check, fix, ...)                                                             \
    eg_doctor_say((d), (state), "system", (check), (fix), __VA_ARGS__)

static void check_kernel(struct eg_doctor *d)
{
    struct utsname u;
    int major = 0, minor = 0;
    if (uname(&u) < 0 || sscanf(u.release, "%d.%d", &major, &minor) != 2)
        return;
    bool good = major > 5 || (major == 5 && minor >= 14);
    SAY(d, good ? EG_DOCTOR_OK : EG_DOCTOR_NOTE, "kernel",
        good ? NULL
             : "Linux 5.14 or newer lets connections be made for a command without namespaces",
        "%s %.80s on %.40s", u.sysname, u.release, u.machine);
}

/* ---- sandboxes, by making one that runs nothing ---- */

/* What root's child would be, if nobody says: this is about the system, not about who. */
static struct eg_launch_spec trial(const struct eg_doctor *d, enum eg_enforcement only,
                                   bool capture)
{
    static char name[] = "true"; /* it is never started */
    static char *const argv[] = { name, NULL };
    const char *user = d->user;
    if (!user && geteuid() == 0 && !getenv("SUDO_UID"))
        user = "nobody";
    return (struct eg_launch_spec){ .argv = argv,
                                    .strongest = only,
                                    .weakest = only,
                                    .capture = capture,
                                    .user = user,
                                    .sudo_uid = getenv("SUDO_UID"),
                                    .sudo_gid = getenv("SUDO_GID") };
}

static bool try_launch(const struct eg_doctor *d, enum eg_enforcement only, bool capture, char *why,
                       size_t cap)
{
    struct eg_launch *l = NULL;
    struct eg_err err = { 0 };
    unsigned count = 0;
    const struct eg_launch_spec spec = trial(d, only, capture);
    enum eg_status status = eg_launch_prepare(&spec, &l, &err);
    snprintf(why, cap, "%s",
             status == EG_OK || err.text[0] ? err.text : egress_status_sentence(status));
    if (status != EG_OK)
        return false;
    const struct eg_launch_entry *entries = eg_launch_entries(l, &count);
    for (unsigned i = 0; i < count; i++)
        close(entries[i].fd);
    eg_launch_free(l);
    return true;
}

static void check_sandboxes(struct eg_doctor *d)
{
    char why[EG_DOCTOR_TEXT], weaker[EG_DOCTOR_TEXT], captured[EG_DOCTOR_TEXT];
    bool namespaces = try_launch(d, EG_ENFORCE_NAMESPACES, false, why, sizeof why);
    bool seccomp = try_launch(d, EG_ENFORCE_SECCOMP, false, weaker, sizeof weaker);
    d->enforcement = namespaces || !seccomp ? EG_ENFORCE_NAMESPACES : EG_ENFORCE_SECCOMP;
    SAY(d,
        namespaces ? EG_DOCTOR_OK
        : seccomp  ? EG_DOCTOR_NOTE
                   : EG_DOCTOR_BAD,
        "namespaces", namespaces ? NULL : why, "%s",
        namespaces ? "a command gets its own user, network, process, mount and IPC namespaces"
        : seccomp  ? "not to be had; a command is held by supervised system calls instead"
                   : "not to be had, and nothing else holds a command either: run refuses");
    SAY(d, seccomp ? EG_DOCTOR_OK : EG_DOCTOR_NOTE, "seccomp", seccomp ? NULL : weaker, "%s",
        seccomp ? "supervised system calls hold a command where namespaces are refused"
                : "supervised system calls, for where namespaces are refused, don't work here");
    if (!namespaces) {
        SAY(d, EG_DOCTOR_NOTE, "transparent", why, "run --transparent needs namespaces");
        return;
    }
    bool capture = try_launch(d, EG_ENFORCE_NAMESPACES, true, captured, sizeof captured);
    SAY(d, capture ? EG_DOCTOR_OK : EG_DOCTOR_NOTE, "transparent", capture ? NULL : captured, "%s",
        capture ? "run --transparent can catch what knows no proxy"
                : "run --transparent, for programs that know no proxy, is not to be had");
}

static void check_notify(struct eg_doctor *d)
{
    uint32_t action = SECCOMP_RET_USER_NOTIF;
    bool there = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
    SAY(d, there ? EG_DOCTOR_OK : EG_DOCTOR_NOTE, "seccomp-notify",
        there ? NULL
              : "Linux 5.0 or newer, built with seccomp; in a container, a profile that allows "
                "seccomp(2)",
        "%s",
        there ? "system calls can be supervised"
              : "the kernel can't hand a system call to a supervisor");
}

static void check_landlock(struct eg_doctor *d)
{
    unsigned abi = eg_landlock_abi();
    if (abi > 0)
        SAY(d, EG_DOCTOR_OK, "landlock", NULL, "ABI %u%s", abi,
            abi >= 6   ? ": files, network, and signals"
            : abi >= 4 ? ": files and network"
                       : ": files");
    else
        SAY(d, EG_DOCTOR_NOTE, "landlock",
            "a kernel with Landlock, started with landlock among lsm=",
            "not there: commands can't be held without namespaces");
}

static void check_user(struct eg_doctor *d)
{
    if (geteuid() != 0)
        return;
    if (d->who.uid != 0)
        SAY(d, EG_DOCTOR_OK, "user", NULL, "as root, a command runs as the user %u",
            (unsigned)d->who.uid);
    else
        SAY(d, EG_DOCTOR_NOTE, "user", "run and doctor take --user NAME, and sudo's caller",
            "a command can't run as root: what is said below is about root itself");
}

/* ---- what credentials and TLS use ---- */

static void check_keyring(struct eg_doctor *d)
{
    struct stat st;
    char path[300] = "";
    const char *bus = eg_environ_get(d->parent, "DBUS_SESSION_BUS_ADDRESS");
    const char *runtime = eg_environ_get(d->parent, "XDG_RUNTIME_DIR");
    void *lib = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);
    if (runtime)
        snprintf(path, sizeof path, "%s/bus", runtime);
    bool there = (bus && *bus) || (*path && stat(path, &st) == 0 && S_ISSOCK(st.st_mode));
    if (!lib)
        SAY(d, EG_DOCTOR_NOTE, "keyring", "install libsystemd0",
            "libsystemd.so.0 can't be loaded: no keyring: credentials");
    else
        SAY(d, there ? EG_DOCTOR_OK : EG_DOCTOR_NOTE, "keyring",
            there ? NULL : "log in with a session bus and a Secret Service, such as gnome-keyring",
            "%s",
            there ? "there is a session bus to ask for a Secret Service"
                  : "there is no session bus: no keyring: credentials");
    if (lib)
        dlclose(lib);
    long ring = syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -4 /* the user's */, 0, 0, 0);
    SAY(d, ring >= 0 ? EG_DOCTOR_OK : EG_DOCTOR_NOTE, "kernel-keyring",
        ring >= 0 ? NULL : "a container must allow keyctl(2)", "%s",
        ring >= 0 ? "the kernel's keyrings can be asked"
                  : "the kernel's keyrings can't be asked: no kernel: credentials");
}

static void check_memory(struct eg_doctor *d)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_MEMLOCK, &r) < 0)
        return;
    bool enough = r.rlim_cur == RLIM_INFINITY || r.rlim_cur >= 2 * EG_SUP_VAULT;
    SAY(d, enough ? EG_DOCTOR_OK : EG_DOCTOR_NOTE, "memory-lock",
        enough ? NULL : "raise it: ulimit -l 1024, or memlock in /etc/security/limits.conf",
        enough ? "credentials can be kept out of swap"
               : "the limit is low (RLIMIT_MEMLOCK): credentials may be swapped out");
}

static void check_tls(struct eg_doctor *d)
{
    static const char bundle[] = "/etc/ssl/certs/ca-certificates.crt";
    struct eg_err err = { 0 };
    const char *file = eg_environ_get(d->parent, "SSL_CERT_FILE");
    bool ca = access(file ? file : bundle, R_OK) == 0;
    SAY(d, ca ? EG_DOCTOR_OK : EG_DOCTOR_NOTE, "ca-bundle",
        ca ? NULL : "install ca-certificates, or name a CA with tls.ca of the policy",
        ca ? "the system's CAs are readable"
           : "the system's CAs are not there: services over TLS trust nobody");
    eg_tls_load();
    enum eg_status status = eg_tls_start(&err);
    if (status == EG_OK) {
        status = eg_tls_hasten(&err);
        eg_tls_stop();
    }
    SAY(d, status == EG_OK ? EG_DOCTOR_OK : EG_DOCTOR_NOTE, "aes",
        status == EG_OK ? NULL : "install libipsec-mb, for processors that have AES-NI", "%s%.200s",
        status == EG_OK ? "AES-GCM of services is fast" : "AES-GCM of services is slow: ",
        status == EG_OK ? "" : err.text);
}

static void check_network(struct eg_doctor *d)
{
    static const struct eg_sockaddr loop6 = { { 6, { [15] = 1 } }, 0 };
    struct eg_sockaddr bound;
    struct eg_err err = { 0 };
    int fd = -1;
    bool there = eg_sock_listen(&loop6, &fd, &bound, &err) == EG_OK;
    if (fd >= 0)
        close(fd);
    SAY(d, there ? EG_DOCTOR_OK : EG_DOCTOR_NOTE, "ipv6",
        there ? NULL : "sysctl net.ipv6.conf.lo.disable_ipv6=0, where it is wanted",
        there ? "the loopback has ::1" : "there is no ::1: origins are reached by IPv4");
}

static void check_state(struct eg_doctor *d)
{
    char path[PATH_MAX], up[PATH_MAX];
    struct stat st;
    if (eg_cmd_state_dir(path, sizeof path) != EG_OK) {
        SAY(d, EG_DOCTOR_NOTE, "state", "set HOME or XDG_STATE_HOME",
            "there is no home folder: events and trust are not kept");
        return;
    }
    snprintf(up, sizeof up, "%s", path);
    while (stat(up, &st) < 0 && strrchr(up, '/') > up)
        *strrchr(up, '/') = '\0';
    bool own = strcmp(up, path) != 0 || (st.st_uid == geteuid() && !(st.st_mode & 022));
    bool good = own && access(up, W_OK | X_OK) == 0;
    SAY(d, good ? EG_DOCTOR_OK : EG_DOCTOR_NOTE, "state",
        good ? NULL : "make it yours, mode 0700; or set XDG_STATE_HOME",
        good ? "events and trust are kept in %.200s"
             : "%.200s can't be used: events and trust are not kept",
        path);
}

void eg_doctor_system(struct eg_doctor *d)
{
    check_kernel(d);
    check_user(d);
    check_sandboxes(d);
    check_notify(d);
    check_landlock(d);
    check_keyring(d);
    check_memory(d);
    check_tls(d);
    check_network(d);
    check_state(d);
}
