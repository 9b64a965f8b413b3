/* confine.c - descriptors, user and capabilities of a worker. System calls are in filter.c.
 *
 * Invariant: the order is descriptors, privileges, calls; each step works only with what the one
 * before has left. */
#include "cmd/confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NOBODY = 65534 };

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

enum eg_status eg_confine_descriptors(int *keep, unsigned count, struct eg_err *err)
{
    qsort(keep, count, sizeof *keep, by_number);
    unsigned from = 3;
    for (unsigned i = 0; i <= count; i++) {
        if (i < count && keep[i] < (int)from)
            continue;
        unsigned to = i < count ? (unsigned)keep[i] - 1 : ~0u;
        if (to >= from && (i == count || to != from - 1) && close_range(from, to, 0) < 0)
            return eg_err_set(err, EG_PERMISSION, "worker", errno, "close_range");
        if (i < count)
            from = (unsigned)keep[i] + 1;
    }
    return EG_OK;
}

static enum eg_status drop_capabilities(struct eg_err *err)
{
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct none[2] = { { 0 } };
    if (syscall(SYS_capset, &head, none) < 0)
        return eg_err_set(err, EG_PERMISSION, "worker", errno, "capset");
    return EG_OK;
}

static enum eg_status leave_root(bool *weak, struct eg_err *err)
{
    for (int c = 0; c <= CAP_LAST_CAP; c++)
        (void)prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
    bool groups = setgroups(0, NULL) == 0;
    if (groups && setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0)
        return EG_OK;
    if (errno != EINVAL && errno != EPERM)
        return eg_err_set(err, EG_PERMISSION, "worker", errno, "root can't be left");
    /* EINVAL: the id does not exist in this namespace; EPERM: it lets nobody change */
    *weak = true;
    return EG_OK;
}

enum eg_status eg_confine_privileges(bool *weak, struct eg_err *err)
{
    *weak = false;
    pid_t parent = getppid();
    if (geteuid() == 0) {
        enum eg_status status = leave_root(weak, err);
        if (status != EG_OK)
            return status;
    }
    enum eg_status status = drop_capabilities(err);
    if (status != EG_OK)
        return status;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return eg_err_set(err, EG_PERMISSION, "worker", errno, "prctl");
    /* A change of user forgets the death signal, so it is asked for last; the parent may have
     * died before. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
        return eg_err_set(err, EG_CLOSED, "worker", errno, "the supervisor is gone");
    return EG_OK;
}
