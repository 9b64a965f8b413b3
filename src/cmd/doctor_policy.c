/* doctor_policy.c - what the policy needs of this machine, and whether it is there: the sources of its credentials, the programs and files that it
 * names. Values are read where that asks nobody (variables, files, the kernel's keyrings), and wiped at once. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/doctor.h"
#include "cred/cred.h"

#define SAY(d, state, check, fix, ...)                                                             \
    eg_doctor_say((d), (state), "policy", (check), (fix), __VA_ARGS__)

static const char *text_of(struct eg_slice s, char *out, size_t cap)
{
    snprintf(out, cap, "%.*s", (int)(s.n < cap ? s.n : cap - 1), s.n ? s.p : "");
    return out;
}

static void report(struct eg_doctor *d, const char *name, enum eg_status status,
                   const struct eg_err *err, const char *fix, const char *good)
{
    char text[300];
    struct eg_err why = *err;
    why.status = status;
    if (status == EG_OK)
        SAY(d, EG_DOCTOR_OK, name, NULL, "%s", good);
    else
        SAY(d, EG_DOCTOR_BAD, name, fix, "%s", eg_err_format(&why, text, sizeof text));
}

static void check_variable(struct eg_doctor *d, const char *name, const char *variable)
{
    char fix[160];
    const char *value = eg_environ_get(d->parent, variable);
    snprintf(fix, sizeof fix, "export %.100s before the run", variable);
    if (value && *value)
        SAY(d, EG_DOCTOR_OK, name, NULL, "%.100s is set", variable);
    else
        SAY(d, EG_DOCTOR_BAD, name, fix,
            "%.100s is not set: its services are not usable, and get no phantom", variable);
}

static void check_file(struct eg_doctor *d, const char *name, const char *path)
{
    char fix[300];
    struct eg_err err = { 0 };
    struct eg_buf value;
    eg_buf_init(&value, EG_CREDENTIAL_MAX + 2);
    enum eg_status status = eg_source_file(path, true, &value, &err);
    snprintf(fix, sizeof fix,
             status != EG_NOT_FOUND
                 ? "chmod 600 %.200s, which must be yours, in a folder of its own (0700)"
                 : "put it into %.200s, mode 0600",
             path);
    report(d, name, status, &err, fix, "its file can be read, by us alone");
    eg_buf_wipe(&value);
    eg_buf_done(&value);
}

static void check_kernel(struct eg_doctor *d, const char *name, const char *description)
{
    char fix[200];
    struct eg_err err = { 0 };
    struct eg_buf value;
    eg_buf_init(&value, EG_CREDENTIAL_MAX + 2);
    enum eg_status status = eg_source_kernel(description, true, &value, &err);
    snprintf(fix, sizeof fix, "keyctl padd user %.100s @u", description);
    report(d, name, status, &err, fix, "its key is in the kernel's keyrings");
    eg_buf_wipe(&value);
    eg_buf_done(&value);
}

static void check_systemd(struct eg_doctor *d, const char *name, const char *item)
{
    char path[2 * PATH_MAX];
    const char *folder = eg_environ_get(d->parent, "CREDENTIALS_DIRECTORY");
    snprintf(path, sizeof path, "%s/%s", folder ? folder : "", item);
    if (folder && access(path, R_OK) == 0)
        SAY(d, EG_DOCTOR_OK, name, NULL, "systemd has given it");
    else
        SAY(d, EG_DOCTOR_BAD, name,
            "LoadCredential= or SetCredentialEncrypted= of the unit that runs this",
            folder ? "systemd has given no credential %.100s"
                   : "this is no systemd unit with credentials (%.100s)",
            item);
}

/* Others than us and root could change what we would run. */
static bool is_ours(const struct stat *st)
{
    return (st->st_uid == 0 || st->st_uid == geteuid()) && !(st->st_mode & 022);
}

static void check_program(struct eg_doctor *d, const char *name, const char *program)
{
    char path[EG_PROGRAM_PATH], fix[300];
    struct eg_err err = { 0 };
    struct stat st;
    if (program[0] != '/') {
        enum eg_status status = eg_source_program(program, path, &err);
        snprintf(fix, sizeof fix, "install %.100s into the system's folders, as root", program);
        report(d, name, status, &err, fix, "its program is installed");
    } else if (stat(program, &st) < 0 || !S_ISREG(st.st_mode) || access(program, X_OK) < 0) {
        snprintf(fix, sizeof fix, "install it there, and chmod +x %.200s", program);
        SAY(d, EG_DOCTOR_BAD, name, fix, "its program is not there, or can't be executed: %.200s",
            program);
    } else if (!is_ours(&st)) {
        snprintf(fix, sizeof fix, "chown it to you or root, and chmod go-w %.200s", program);
        SAY(d, EG_DOCTOR_BAD, name, fix, "others could change its program: %.200s", program);
    } else {
        SAY(d, EG_DOCTOR_OK, name, NULL, "its program is there");
    }
}

static void check_keyring(struct eg_doctor *d, const char *name)
{
    const char *bus = eg_environ_get(d->parent, "DBUS_SESSION_BUS_ADDRESS");
    const char *runtime = eg_environ_get(d->parent, "XDG_RUNTIME_DIR");
    char path[300] = "";
    if (runtime)
        snprintf(path, sizeof path, "%s/bus", runtime);
    if ((bus && *bus) || (*path && access(path, F_OK) == 0))
        SAY(d, EG_DOCTOR_OK, name, NULL,
            "it is asked for when it is read; egressctl creds test tries it");
    else
        SAY(d, EG_DOCTOR_BAD, name,
            "log in with a session bus and a Secret Service, or use another source",
            "there is no session bus to ask a keyring by");
}

static void check_credential(struct eg_doctor *d, unsigned index)
{
    struct eg_credential c;
    char name[64], place[PATH_MAX];
    eg_policy_credential(d->policy, index, &c);
    text_of(c.name, name, sizeof name);
    text_of(c.arg_count > 0 ? eg_policy_credential_arg(d->policy, index, 0) : c.place, place,
            sizeof place);
    if (c.arg_count > 0)
        check_program(d, name, place);
    else if (c.kind == EG_SOURCE_ENV)
        check_variable(d, name, place);
    else if (c.kind == EG_SOURCE_FILE)
        check_file(d, name, place);
    else if (c.kind == EG_SOURCE_KERNEL)
        check_kernel(d, name, place);
    else if (c.kind == EG_SOURCE_SYSTEMD)
        check_systemd(d, name, place);
    else if (c.kind == EG_SOURCE_KEYRING)
        check_keyring(d, name);
}

static void check_ways_out(struct eg_doctor *d)
{
    struct eg_hop hops[EG_HOPS_MAX];
    char path[EG_PROGRAM_PATH];
    struct eg_err err = { 0 };
    unsigned n = eg_policy_hops(d->policy, EG_CHAIN_SECURE, hops);
    for (unsigned i = 0; i < n; i++)
        if (hops[i].kind == EG_HOP_SSH)
            report(d, "ssh", eg_source_program("ssh", path, &err), &err, "install openssh-client",
                   "ssh, for the way out, is installed");
}

static void check_settings(struct eg_doctor *d)
{
    const struct eg_settings *s = eg_policy_settings(d->policy);
    char file[PATH_MAX], folder[PATH_MAX], fix[200];
    if (s->observe)
        SAY(d, EG_DOCTOR_NOTE, "mode", "mode: enforce, once the rules are written",
            "observe: next to nothing is refused");
    if (s->audit_file.n == 0)
        return;
    text_of(s->audit_file, file, sizeof file);
    snprintf(folder, sizeof folder, "%s", file);
    char *slash = strrchr(folder, '/');
    if (slash)
        *(slash == folder ? slash + 1 : slash) = '\0';
    else
        snprintf(folder, sizeof folder, ".");
    bool good =
        access(file, F_OK) == 0 ? access(file, W_OK) == 0 : access(folder, W_OK | X_OK) == 0;
    snprintf(fix, sizeof fix, "make its folder, and let it be writable for who runs this");
    SAY(d, good ? EG_DOCTOR_OK : EG_DOCTOR_BAD, "audit.file", good ? NULL : fix,
        good ? "%.200s can be written"
             : "%.200s can't be written: every decision would be a refusal",
        file);
}

void eg_doctor_policy(struct eg_doctor *d)
{
    SAY(d, EG_DOCTOR_OK, "file", NULL, "%s%s is valid",
        d->places->policies[d->places->policy_count - 1].path,
        d->places->policy_count > 1 ? ", with the layers beneath," : "");
    for (unsigned i = 0; i < eg_policy_credential_count(d->policy); i++)
        check_credential(d, i);
    check_ways_out(d);
    check_settings(d);
}
