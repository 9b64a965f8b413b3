/* guard.c - the fallback has no pid namespace that ends with its first process. So init has a parent that does nothing but
 * wait: whatever init leaves behind when it is killed comes to the guard, which ends it, and takes init's exit status for its own.
 * Both are subreapers, in a process group of their own: a signal to the launcher's group reaches neither. */
#include "launch/broker.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void eg_guard_fork(void)
{
    int status = 124 << 8, now;
    pid_t pid, gone;
    setpgid(0, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* it is not inherited */
        return;
    }
    close_range(0, ~0U, 0);
    while (pid > 0 && (gone = waitpid(-1, &now, 0)) != pid)
        if (gone < 0 && errno != EINTR)
            break;
        else if (gone == pid)
            break;
    if (pid > 0)
        status = now;
    eg_descent_end();
    _exit(eg_launch_exit_code(status));
}
