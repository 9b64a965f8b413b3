/* keyring.c - a session bus of the test's own, with gnome-keyring or a Secret Service that
 * misbehaves.
 *
 * Every process is killed with the test (PR_SET_PDEATHSIG). libsystemd is opened as the code
 * under test opens it, so that the test program needs no more libraries than the product. */
#include "support/keyring.h"

#include <stdio.h>

#ifndef HAVE_SDBUS
void keyring_bus_start(struct keyring_bus *b)
{
    *b = (struct keyring_bus){ .missing = "built without libsystemd's headers" };
}
void keyring_gnome_start(struct keyring_bus *b)
{
    (void)b;
}
bool keyring_gnome_store(const char *service, const char *account, const void *secret, size_t n)
{
    (void)service, (void)account, (void)secret, (void)n;
    return false;
}
bool keyring_gnome_lock(void)
{
    return false;
}
void keyring_stop(struct keyring_bus *b)
{
    (void)b;
}
void keyring_fake_start(struct keyring_bus *b, const struct fake_service *f)
{
    (void)b, (void)f;
}
bool keyring_fake_dismissed(struct keyring_bus *b)
{
    (void)b;
    return false;
}
#else

#include <dlfcn.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/clock.h"

#define SECRETS "org.freedesktop.secrets"
#define SECRETS_PATH "/org/freedesktop/secrets"
#define LOGIN SECRETS_PATH "/collection/login"
#define ITEM SECRETS_PATH "/collection/fake/1"
#define PROMPT SECRETS_PATH "/prompt/1"
#define FAKE_SESSION SECRETS_PATH "/session/1"

enum { START_MS = 20000 };

static void *sym(const char *name)
{
    void *lib = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);
    void *p = lib ? dlsym(lib, name) : NULL;
    if (!p)
        abort();
    return p;
}
#define SD(name) ((__typeof__(&name))sym(#name))

static bool installed(const char *program)
{
    char path[4096];
    const char *d = getenv("PATH");
    for (; d; d = strchr(d, ':') ? strchr(d, ':') + 1 : NULL) {
        snprintf(path, sizeof path, "%.*s/%s", (int)strcspn(d, ":"), d, program);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

/* A child that dies with us; in and out become its standard input and output. */
static pid_t spawn(char *const argv[], int in, int out)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int null = open("/dev/null", O_RDWR);
    dup2(in >= 0 ? in : null, 0);
    dup2(out >= 0 ? out : null, 1);
    dup2(null, 2);
    execvp(argv[0], argv);
    _exit(127);
}

static bool write_file(const char *folder, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return good;
}

/* One line from fd into text; false when none comes in time. */
static bool read_line(int fd, char *text, size_t cap)
{
    uint64_t deadline = eg_clock_ms() + START_MS;
    for (size_t n = 0; n + 1 < cap && eg_clock_ms() < deadline;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, (int)(deadline - eg_clock_ms())) <= 0 || read(fd, text + n, 1) != 1)
            return false;
        if (text[n] == '\n') {
            text[n] = '\0';
            return true;
        }
        n++;
    }
    return false;
}

void keyring_bus_start(struct keyring_bus *b)
{
    *b = (struct keyring_bus){ .bus = -1, .service = -1, .answers = -1 };
    snprintf(b->folder, sizeof b->folder, "/tmp/eg-bus-XXXXXX");
    if (!mkdtemp(b->folder))
        b->missing = "no temporary folder";
    else if (!installed("dbus-daemon"))
        b->missing = "dbus-daemon is not installed";
    if (b->missing)
        return;
    char text[1024], address[512], option[128];
    snprintf(text, sizeof text,
             "<busconfig><type>session</type><listen>unix:path=%s/bus</listen>"
             "<policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>"
             "<allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
             b->folder);
    snprintf(option, sizeof option, "--config-file=%s/conf", b->folder);
    char *argv[] = { (char *)"dbus-daemon", option, (char *)"--nofork", (char *)"--nopidfile",
                     (char *)"--print-address=1", NULL };
    int out[2];
    if (!write_file(b->folder, "conf", text) || pipe2(out, O_CLOEXEC) != 0) {
        b->missing = "no bus can be set up";
        return;
    }
    b->bus = spawn(argv, -1, out[1]);
    close(out[1]);
    if (!read_line(out[0], address, sizeof address))
        b->missing = "dbus-daemon does not start";
    else
        setenv("DBUS_SESSION_BUS_ADDRESS", address, 1);
    close(out[0]);
}

static int name_changed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    (void)m, (void)error;
    *(bool *)userdata = true;
    return 0;
}

static bool owned(sd_bus *bus)
{
    sd_bus_message *reply = NULL;
    int yes = 0;
    if (SD(sd_bus_call_method)(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                               "org.freedesktop.DBus", "NameHasOwner", NULL, &reply, "s",
                               SECRETS) >= 0)
        SD(sd_bus_message_read)(reply, "b", &yes);
    SD(sd_bus_message_unref)(reply);
    return yes;
}

static bool await_name(void)
{
    sd_bus *bus = NULL;
    bool changed = true, good = false;
    uint64_t deadline = eg_clock_ms() + START_MS;
    if (SD(sd_bus_open_user)(&bus) < 0)
        return false;
    if (SD(sd_bus_match_signal)(bus, NULL, "org.freedesktop.DBus", NULL, "org.freedesktop.DBus",
                                "NameOwnerChanged", name_changed, &changed) >= 0)
        while (eg_clock_ms() < deadline) {
            if (changed && (good = owned(bus)))
                break;
            changed = false;
            if (SD(sd_bus_process)(bus, NULL) == 0)
                SD(sd_bus_wait)(bus, (deadline - eg_clock_ms()) * 1000);
        }
    SD(sd_bus_close_unref)(bus);
    return good;
}

void keyring_gnome_start(struct keyring_bus *b)
{
    if (b->missing)
        return;
    if (!installed("gnome-keyring-daemon")) {
        b->missing = "gnome-keyring-daemon is not installed";
        return;
    }
    setenv("HOME", b->folder, 1);
    setenv("XDG_DATA_HOME", b->folder, 1);
    setenv("XDG_RUNTIME_DIR", b->folder, 1);
    unsetenv("DISPLAY");
    char *argv[] = { (char *)"gnome-keyring-daemon", (char *)"--unlock", (char *)"--foreground",
                     (char *)"--components=secrets", NULL };
    int in[2];
    if (pipe2(in, O_CLOEXEC) != 0 || write(in[1], "password", 8) != 8) {
        b->missing = "no pipe";
        return;
    }
    b->service = spawn(argv, in[0], -1);
    close(in[0]);
    close(in[1]); /* its end is the password's */
    if (!await_name())
        b->missing = "gnome-keyring-daemon does not start";
}

static sd_bus *own_bus(void)
{
    sd_bus *bus = NULL;
    return SD(sd_bus_open_user)(&bus) < 0 ? NULL : bus;
}

bool keyring_gnome_store(const char *service, const char *account, const void *secret, size_t n)
{
    sd_bus *bus = own_bus();
    sd_bus_message *reply = NULL, *m = NULL, *done = NULL;
    const char *session = NULL;
    bool good =
        bus &&
        SD(sd_bus_call_method)(bus, SECRETS, SECRETS_PATH, "org.freedesktop.Secret.Service",
                               "OpenSession", NULL, &reply, "sv", "plain", "s", "") >= 0 &&
        SD(sd_bus_message_skip)(reply, "v") >= 0 &&
        SD(sd_bus_message_read)(reply, "o", &session) >= 0 &&
        SD(sd_bus_message_new_method_call)(bus, &m, SECRETS, LOGIN,
                                           "org.freedesktop.Secret.Collection",
                                           "CreateItem") >= 0 &&
        SD(sd_bus_message_append)(m, "a{sv}", 2, "org.freedesktop.Secret.Item.Label", "s", "test",
                                  "org.freedesktop.Secret.Item.Attributes", "a{ss}", 3, "service",
                                  service, "account", account, "xdg:schema",
                                  "org.freedesktop.Secret.Generic") >= 0 &&
        SD(sd_bus_message_open_container)(m, 'r', "oayays") >= 0 &&
        SD(sd_bus_message_append)(m, "o", session) >= 0 &&
        SD(sd_bus_message_append_array)(m, 'y', NULL, 0) >= 0 &&
        SD(sd_bus_message_append_array)(m, 'y', secret, n) >= 0 &&
        SD(sd_bus_message_append)(m, "s", "text/plain") >= 0 &&
        SD(sd_bus_message_close_container)(m) >= 0 &&
        SD(sd_bus_message_append)(m, "b", 1) >= 0 &&
        SD(sd_bus_call)(bus, m, START_MS * 1000, NULL, &done) >= 0;
    SD(sd_bus_message_unref)(reply);
    SD(sd_bus_message_unref)(m);
    SD(sd_bus_message_unref)(done);
    if (bus)
        SD(sd_bus_close_unref)(bus);
    return good;
}

bool keyring_gnome_lock(void)
{
    sd_bus *bus = own_bus();
    sd_bus_message *reply = NULL;
    bool good = bus && SD(sd_bus_call_method)(bus, SECRETS, SECRETS_PATH,
                                              "org.freedesktop.Secret.Service", "Lock", NULL,
                                              &reply, "ao", 1, LOGIN) >= 0;
    SD(sd_bus_message_unref)(reply);
    if (bus)
        SD(sd_bus_close_unref)(bus);
    return good;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

void keyring_stop(struct keyring_bus *b)
{
    const pid_t all[] = { b->service, b->bus };
    for (size_t i = 0; i < 2; i++)
        if (all[i] > 0) {
            kill(all[i], SIGKILL);
            waitpid(all[i], NULL, 0);
        }
    if (b->answers >= 0)
        close(b->answers);
    nftw(b->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- the one that misbehaves ---- */

struct fake {
    struct fake_service f;
    sd_bus *bus;
    int tell; /* a pipe to the test */
    char path[512];
};

/* Are the attributes asked for those of our item? */
static bool attributes_match(sd_bus_message *m)
{
    bool match = true;
    const char *key, *value;
    SD(sd_bus_message_enter_container)(m, 'a', "{ss}");
    while (SD(sd_bus_message_read)(m, "{ss}", &key, &value) > 0)
        if (!(strcmp(key, "service") == 0 && strcmp(value, "svc") == 0) &&
            !(strcmp(key, "account") == 0 && strcmp(value, "acc") == 0))
            match = false;
    SD(sd_bus_message_exit_container)(m);
    return match;
}

static void reply_secret(struct fake *k, sd_bus_message *m)
{
    sd_bus_message *r = NULL;
    const char *session = "";
    SD(sd_bus_message_read)(m, "o", &session);
    if (k->f.locked || strcmp(session, FAKE_SESSION) != 0) {
        SD(sd_bus_reply_method_errorf)(m, "org.freedesktop.Secret.Error.IsLocked", "locked");
        return;
    }
    SD(sd_bus_message_new_method_return)(m, &r);
    SD(sd_bus_message_open_container)(r, 'r', "oayays");
    SD(sd_bus_message_append)(r, "o", FAKE_SESSION);
    SD(sd_bus_message_append_array)(r, 'y', "", 0);
    SD(sd_bus_message_append_array)(r, 'y', k->f.secret, k->f.secret_len);
    SD(sd_bus_message_append)(r, "s", "text/plain");
    SD(sd_bus_message_close_container)(r);
    SD(sd_bus_send)(k->bus, r, NULL);
    SD(sd_bus_message_unref)(r);
}

static void complete(struct fake *k)
{
    static const char iface[] = "org.freedesktop.Secret.Prompt";
    if (k->f.prompt == PROMPT_GRANTED)
        k->f.locked = false;
    if (k->f.prompt == PROMPT_GARBLED)
        SD(sd_bus_emit_signal)(k->bus, PROMPT, iface, "Completed", "s", "garbled");
    else if (k->f.prompt != PROMPT_NEVER)
        SD(sd_bus_emit_signal)(k->bus, PROMPT, iface, "Completed", "bv",
                               k->f.prompt == PROMPT_DISMISSED, "s", "");
}

static void by_the_book(struct fake *k, sd_bus_message *m, const char *member)
{
    if (strcmp(member, "OpenSession") == 0) {
        const char *algorithm = "";
        SD(sd_bus_message_read)(m, "s", &algorithm);
        if (strcmp(algorithm, "plain") == 0)
            SD(sd_bus_reply_method_return)(m, "vo", "s", "", FAKE_SESSION);
    } else if (strcmp(member, "SearchItems") == 0) {
        bool match = attributes_match(m) && k->f.found;
        unsigned open = match && !k->f.locked, shut = match && k->f.locked;
        if (open)
            SD(sd_bus_reply_method_return)(m, "aoao", 2, k->path, ITEM "2", 1, ITEM "3");
        else
            SD(sd_bus_reply_method_return)(m, "aoao", 0, shut, k->path);
    } else if (strcmp(member, "Unlock") == 0) {
        if (k->f.prompt == PROMPT_NONE) {
            k->f.locked = false;
            SD(sd_bus_reply_method_return)(m, "aoo", 1, k->path, "/");
        } else {
            SD(sd_bus_reply_method_return)(m, "aoo", 0, PROMPT);
        }
    } else if (strcmp(member, "Prompt") == 0) {
        SD(sd_bus_reply_method_return)(m, "");
        complete(k);
    } else if (strcmp(member, "Dismiss") == 0) {
        if (write(k->tell, "D", 1) != 1)
            _exit(3);
    } else if (strcmp(member, "GetSecret") == 0) {
        reply_secret(k, m);
    }
}

static void answer(struct fake *k, sd_bus_message *m)
{
    static const char *const members[] = { "OpenSession", "SearchItems", "Unlock",
                                           "Prompt",      "Dismiss",     "GetSecret" };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const char *member = members[i];
        if (!SD(sd_bus_message_is_method_call)(m, NULL, member))
            continue;
        if (k->f.silent_on && strcmp(k->f.silent_on, member) == 0)
            return;
        if (k->f.error_on && strcmp(k->f.error_on, member) == 0)
            SD(sd_bus_reply_method_errorf)(m, k->f.error_name, "text of the peer");
        else if (k->f.garbage_on && strcmp(k->f.garbage_on, member) == 0)
            SD(sd_bus_reply_method_return)(m, "s", "garbage");
        else
            by_the_book(k, m, member);
    }
}

static void fake_run(struct fake *k)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(k->path, sizeof k->path, "%s", ITEM);
    if (k->f.long_path) {
        size_t n = strlen(k->path);
        memset(k->path + n, 'x', 300);
        k->path[n + 300] = '\0';
    }
    if (SD(sd_bus_open_user)(&k->bus) < 0 || SD(sd_bus_request_name)(k->bus, SECRETS, 0) < 0 ||
        write(k->tell, "R\n", 2) != 2)
        _exit(1);
    for (;;) {
        sd_bus_message *m = NULL;
        int r = SD(sd_bus_process)(k->bus, &m);
        if (r < 0)
            _exit(2);
        if (m) {
            answer(k, m);
            SD(sd_bus_message_unref)(m);
        } else if (r == 0) {
            SD(sd_bus_wait)(k->bus, UINT64_MAX);
        }
    }
}

void keyring_fake_start(struct keyring_bus *b, const struct fake_service *f)
{
    int tell[2];
    char line[8];
    if (b->missing)
        return;
    if (pipe2(tell, O_CLOEXEC) != 0) {
        b->missing = "no pipe";
        return;
    }
    b->service = fork();
    if (b->service == 0) {
        struct fake k = { .f = *f, .tell = tell[1] };
        fake_run(&k);
    }
    close(tell[1]);
    b->answers = tell[0];
    if (!read_line(tell[0], line, sizeof line))
        b->missing = "the false service does not start";
}

bool keyring_fake_dismissed(struct keyring_bus *b)
{
    char c = 0;
    struct pollfd p = { .fd = b->answers, .events = POLLIN };
    return poll(&p, 1, START_MS) == 1 && read(b->answers, &c, 1) == 1 && c == 'D';
}
#endif
