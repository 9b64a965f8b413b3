/* run_stale.c - what killed runs left beside their control sockets: these, and folders of ssh's. A process that ends by SIGKILL
 * removes nothing, so its janitor does, or the next run. A socket is removed only if nobody listens on it and no process has the
 * number in its name: in another process namespace that number means nothing, and between bind and listen nobody listens yet. A
 * folder, in the same way, only if nobody has locked it. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmd/run.h"
#include "cmd/ssh.h"

/* The number in run-PID.sock or ssh-PID-XXXXXX; 0: another name. */
static pid_t number_in(const char *name, bool *folder)
{
    char *end;
    *folder = strncmp(name, "ssh-", 4) == 0;
    if ((!*folder && strncmp(name, "run-", 4) != 0) || name[4] < '1' || name[4] > '9')
        return 0;
    errno = 0;
    long pid = strtol(name + 4, &end, 10);
    bool ours = *folder ? *end == '-' : strcmp(end, ".sock") == 0;
    return errno == 0 && pid <= INT32_MAX && ours ? (pid_t)pid : 0;
}

static bool nobody_listens(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    size_t n = strlen(path);
    if (n >= sizeof at.sun_path)
        return false;
    memcpy(at.sun_path, path, n);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool refused = fd >= 0 && connect(fd, (const struct sockaddr *)&at, sizeof at) < 0 &&
                   errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return refused;
}

static bool is_over(pid_t pid)
{
    return kill(pid, 0) < 0 && errno == ESRCH;
}

void eg_run_drop_stale(const char *control, pid_t ended)
{
    char path[PATH_MAX];
    const char *slash = strrchr(control, '/');
    const struct dirent *d;
    snprintf(path, sizeof path, "%.*s", slash ? (int)(slash - control) : 0, control);
    DIR *list = slash ? opendir(path) : NULL;
    if (!list)
        return;
    while ((d = readdir(list))) {
        bool folder;
        pid_t pid = number_in(d->d_name, &folder);
        int n = snprintf(path, sizeof path, "%.*s/%s", (int)(slash - control), control, d->d_name);
        if (pid <= 0 || n < 0 || (size_t)n >= sizeof path ||
            (ended ? pid != ended : !is_over(pid)))
            continue;
        if (folder)
            eg_ssh_folder_remove(path);
        else if (nobody_listens(path))
            (void)unlink(path);
    }
    closedir(list);
}
