/* sshd.c - see sshd.h. */
#include "support/sshd.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <shadow.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/peer.h"

#define SSHD "/usr/sbin/sshd"

/* A server that is not root's lets in its own user only, and no account that is locked; whose password can't be seen is taken for one by its shell. */
static bool account_is_locked(void)
{
    const struct passwd *user = getpwuid(geteuid());
    if (geteuid() == 0)
        return false;
    const struct spwd *shadow = user ? getspnam(user->pw_name) : NULL;
    return !user || strstr(user->pw_shell, "nologin") || (shadow && shadow->sp_pwdp[0] == '!');
}

const char *eg_sshd_missing(void)
{
    if (access(SSHD, X_OK) < 0)
        return "openssh-server is not installed";
    if (access("/usr/bin/ssh", X_OK) < 0 || access("/usr/bin/ssh-keygen", X_OK) < 0)
        return "openssh-client is not installed";
    /* as root sshd wants its empty folder, which the system's service makes */
    if (geteuid() == 0 && mkdir("/run/sshd", 0755) < 0 && errno != EEXIST)
        return "sshd wants /run/sshd";
    return account_is_locked() ? "sshd lets nobody in as this user: the account is locked" : NULL;
}

static void make_key(const struct eg_world *w, const char *name)
{
    char *out = NULL;
    const char *argv[] = {
        "/usr/bin/ssh-keygen",  "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f",
        eg_world_path(w, name), NULL
    };
    cr_assert(eg_proc_run(w, argv, NULL, &out) == 0, "ssh-keygen: %s", out);
    free(out);
}

static _Noreturn void serve(const struct eg_world *w, int listener)
{
    char config[300], log[300];
    snprintf(config, sizeof config, "%s/sshd_config", w->dir);
    snprintf(log, sizeof log, "%s/sshd.log", w->dir);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGCHLD, SIG_IGN);
    (void)dup2(listener, 3); /* nothing else of the test's: it waits for the ends of its pipes */
    (void)close_range(4, ~0u, 0);
    for (;;) {
        int fd = accept(3, NULL, NULL);
        if (fd < 0)
            continue;
        if (fork() == 0) {
            signal(SIGCHLD, SIG_DFL);
            int null = open("/dev/null", O_WRONLY);
            if (dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(null, 2) < 0)
                _exit(127);
            (void)close_range(3, ~0u, 0);
            execl(SSHD, SSHD, "-i", "-f", config, "-E", log, (char *)NULL);
            _exit(127);
        }
        close(fd);
    }
}

static void write_files(struct eg_sshd *s, const struct eg_world *w, const char *more)
{
    char text[2048];
    snprintf(text, sizeof text,
             "HostKey %s/hostkey\nAuthorizedKeysFile %s/user.pub\nStrictModes no\nUsePAM no\n"
             "PasswordAuthentication no\nPermitRootLogin yes\nPidFile none\n%s\n",
             w->dir, w->dir, more ? more : "");
    eg_world_write(w, "sshd_config", text);
    char *key = eg_world_read(w, "hostkey.pub", NULL);
    snprintf(text, sizeof text, "[127.0.0.1]:%u %s", s->port, key);
    eg_world_write(w, "known_hosts", text);
    free(key);
    snprintf(text, sizeof text,
             "IdentityFile %s/user\nIdentitiesOnly yes\nUserKnownHostsFile %s/known_hosts\n"
             "GlobalKnownHostsFile none\n",
             w->dir, w->dir);
    eg_world_write(w, "ssh_config", text);
    cr_assert(mkdir(eg_world_path(w, "bin"), 0700) == 0 || errno == EEXIST);
    snprintf(text, sizeof text, "#!/bin/sh\nexec /usr/bin/ssh -F %s/ssh_config \"$@\"\n", w->dir);
    eg_world_write(w, "bin/ssh", text);
    cr_assert(chmod(eg_world_path(w, "bin/ssh"), 0700) == 0);
}

void eg_sshd_start(struct eg_sshd *s, const struct eg_world *w, const char *more)
{
    memset(s, 0, sizeof *s);
    int listener = eg_peer_listen(&s->port);
    make_key(w, "hostkey");
    make_key(w, "user");
    write_files(s, w, more);
    snprintf(s->path, sizeof s->path, "PATH=%s/bin:/usr/bin:/bin", w->dir);
    snprintf(s->home, sizeof s->home, "HOME=%s", w->dir);
    s->environment[0] = s->path;
    s->environment[1] = s->home;
    s->pid = fork();
    cr_assert(s->pid >= 0);
    if (s->pid == 0)
        serve(w, listener);
    close(listener);
}

void eg_sshd_stop(struct eg_sshd *s)
{
    struct eg_proc p = { .pid = s->pid, .out = -1 };
    if (s->pid > 0)
        (void)eg_proc_end(&p, SIGKILL);
    s->pid = 0;
}
