/* confine.c - takes every privilege from the calling process, for good: bounding, inheritable,
 * permitted, effective and ambient sets empty, securebits locked, no_new_privs. It does not
 * install the seccomp filter. Who is nobody special in its user namespace can't empty the bounding
 * set, and needs not: without new privileges nothing is ever taken from it. */
#include "launch/internal.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static enum eg_status failed(const char *what, struct eg_err *err)
{
    return eg_err_set(err, EG_IO, "launch", errno, "%s can't be given up", what);
}

enum eg_status eg_confine_capabilities(bool alone, struct eg_err *err)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
    const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                               SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                               SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && !(alone && errno == EPERM))
            return failed("a capability of the bounding set", err);
    if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0 && !(alone && errno == EPERM))
        return failed("root's special treatment", err);
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return failed("the ambient set", err);
    if (syscall(SYS_capset, &header, none) < 0)
        return failed("the capabilities", err);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return failed("the way to new privileges", err);
    return EG_OK;
}
