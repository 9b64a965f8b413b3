/* seccomp_alone.c - what the filter must do where no namespace does it: the child is in the host's network and among the
 * host's processes. Sockets and connections are its supervisor's to make (broker.c); signals too where Landlock does not keep
 * them inside. What reaches other processes of the same user in other ways is refused. What a filter can't see, it hands over:
 * a pointer is never judged here. New processes are not handed over: a call that waits for its supervisor ends with EINTR when a
 * signal comes, which fork(2) never does, and shells take it for the end of the machine. */
#include "launch/filter.h"
#include "launch/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* asm/sockios.h has them by other names on other architectures, with the same numbers here. */
enum { EG_FIOSETOWN = 0x8901, EG_SIOCSPGRP = 0x8902, EG_IOPRIO_WHO_PROCESS = 1 };

static void notify(struct eg_filter *f, long call)
{
    eg_filter_if_equal(f, (uint32_t)call, 1);
    eg_filter_ret(f, SECCOMP_RET_USER_NOTIF);
}

bool eg_seccomp_supervised(const struct eg_seccomp_rules *rules)
{
    return rules->alone || rules->sockets;
}

/* Data that rides on the first packet names its receiver without connect(2). */
void eg_seccomp_connect(struct eg_filter *f)
{
    notify(f, SYS_connect);
    eg_filter_deny_bits(f, SYS_sendto, 3, MSG_FASTOPEN, EOPNOTSUPP);
    eg_filter_deny_bits(f, SYS_sendmsg, 2, MSG_FASTOPEN, EOPNOTSUPP);
    eg_filter_deny_bits(f, SYS_sendmmsg, 3, MSG_FASTOPEN, EOPNOTSUPP);
}

/* Argument i names a process: oneself (0), or the supervisor finds out whose it is. */
static void check_process(struct eg_filter *f, unsigned i)
{
    eg_filter_load_arg(f, i);
    eg_filter_if_other(f, 0, 1);
    eg_filter_ret(f, SECCOMP_RET_USER_NOTIF);
}

/* Limits, priorities, processors and pages of others. Whole groups and users are nobody's. */
static void check_others(struct eg_filter *f)
{
    static const int refused[] = { SYS_process_madvise, SYS_process_mrelease, SYS_migrate_pages,
                                   SYS_move_pages };
    static const int by_process[] = { SYS_prlimit64, SYS_sched_setscheduler, SYS_sched_setparam,
                                      SYS_sched_setattr, SYS_sched_setaffinity };
    static const struct {
        int call;
        uint32_t which;
    } by_which[] = { { SYS_setpriority, PRIO_PROCESS }, { SYS_ioprio_set, EG_IOPRIO_WHO_PROCESS } };
    unsigned short first;
    for (size_t i = 0; i < sizeof by_process / sizeof *by_process; i++) {
        first = eg_filter_begin(f, by_process[i]);
        check_process(f, 0);
        eg_filter_end(f, first, false);
    }
    for (size_t i = 0; i < sizeof by_which / sizeof *by_which; i++) {
        first = eg_filter_begin(f, by_which[i].call);
        eg_filter_load_arg(f, 0);
        eg_filter_if_other(f, by_which[i].which, 1);
        eg_filter_errno(f, EPERM);
        check_process(f, 1);
        eg_filter_end(f, first, false);
    }
    eg_filter_deny_all(f, refused, sizeof refused / sizeof *refused, EPERM);
}

/* Memory and queues that all of the user's processes share by number or name. */
static void check_ipc(struct eg_filter *f)
{
    static const int refused[] = { SYS_shmget, SYS_shmat,  SYS_shmctl,     SYS_msgget,  SYS_msgsnd,
                                   SYS_msgrcv, SYS_msgctl, SYS_semget,     SYS_semop,   SYS_semtimedop,
                                   SYS_semctl, SYS_mq_open, SYS_mq_unlink };
    eg_filter_deny_all(f, refused, sizeof refused / sizeof *refused, EPERM);
}

/* Who is told of input by a signal: any process of the user, and any signal. */
static void check_owners(struct eg_filter *f)
{
    static const uint32_t orders[] = { F_SETOWN, F_SETOWN_EX, F_SETSIG };
    static const uint32_t requests[] = { EG_FIOSETOWN, EG_SIOCSPGRP };
    unsigned short first = eg_filter_begin(f, SYS_fcntl);
    eg_filter_load_arg(f, 1);
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        eg_filter_if_equal(f, orders[i], 1);
        eg_filter_errno(f, EPERM);
    }
    eg_filter_end(f, first, false);
    first = eg_filter_begin(f, SYS_ioctl);
    eg_filter_load_arg(f, 1);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        eg_filter_if_equal(f, requests[i], 1);
        eg_filter_errno(f, EPERM);
    }
    eg_filter_end(f, first, false);
}

static void check_signals(struct eg_filter *f)
{
    static const int refused[] = { SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo };
    notify(f, SYS_kill);
    notify(f, SYS_tkill);
    notify(f, SYS_tgkill);
    eg_filter_deny_all(f, refused, sizeof refused / sizeof *refused, EPERM);
    eg_filter_deny(f, SYS_pidfd_send_signal, ENOSYS); /* callers fall back to kill */
    check_owners(f);
}

void eg_seccomp_alone(struct eg_filter *f, const struct eg_seccomp_rules *rules)
{
    check_others(f);
    check_ipc(f);
    if (!rules->scoped)
        check_signals(f);
    if (rules->truncate)
        eg_filter_deny(f, SYS_truncate, EPERM);
}
