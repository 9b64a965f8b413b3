/* internal.h - what the files of this room share: the plan a namespace's init is born with, and
 * the short conversation between it and the launcher over one stream socket pair. */
#ifndef EG_LAUNCH_INTERNAL_H
#define EG_LAUNCH_INTERNAL_H

#include <sys/types.h>

#include "base/buf.h"
#include "launch/launch.h"

enum { EG_GO_MAX = 8 * 1024 * 1024, EG_REPORT_DEADLINE_S = 30, EG_SOCKETS_MAX = 16 };

/* Who the child is. */
struct eg_who {
    bool change; /* as root: ids are to be changed */
    uid_t uid;
    gid_t gid;
};

struct eg_plan { /* copied into init by clone; pointers stay the launcher's */
    char *const *argv;
    enum eg_enforcement enforcement;
    bool capture;
    char *const *sockets; /* as in the spec */
    int socket_fds[EG_SOCKETS_MAX]; /* O_PATH, opened by init */
    unsigned socket_count;
    unsigned landlock_abi; /* use no more of Landlock than that */
    uint16_t port;         /* the proxy's in the fallback */
    struct eg_who who;
    int sock;        /* init's end */
    int tty;         /* the controlling terminal, -1: none */
    bool foreground; /* the launcher is its foreground job */
};

enum eg_report_kind {
    EG_REPORT_ENTRY = 1, /* a listening socket, beside it; any number of them, then READY */
    EG_REPORT_READY,
    EG_REPORT_RUNNING,
    EG_REPORT_FAILED,
    EG_REPORT_EXEC,
    EG_REPORT_STOPPED,
    EG_REPORT_KILLED,  /* the command ended by a signal: sys */
    EG_REPORT_LISTENER /* the command to init: the filter's listener, beside it */
};
struct eg_report { /* init to launcher; fixed size, so that a stream needs no framing */
    int32_t kind;
    int32_t status; /* enum eg_status of FAILED, enum eg_entry of ENTRY */
    int32_t sys;
    uint32_t port; /* of ENTRY, on 127.0.0.1 */
    char text[200];
};
enum eg_order {
    EG_ORDER_MAPPED = 'M',
    EG_ORDER_FOREGROUND = 'F',
    EG_ORDER_BACKGROUND = 'B',
    EG_ORDER_SIGNAL = 'S' /* its number follows, one byte */
};

struct eg_go { /* what eg_launch_cover sends, and then eg_launch_go (the environment): pointers into a block each */
    char **environment, **covered, **read_only, **programs, **held, **sockets; /* NULL-terminated */
};

/* ---- launch.c, and of the terminal job.c ---- */
struct eg_launch {
    pid_t pid; /* init's, as we see it */
    int sock;
    int tty;
    bool foreground; /* the command's group has the terminal */
    bool had;        /* it had it when it stopped */
    int killed_by;   /* the signal that ended the command; 0: none */
    bool gone;       /* waited for here, since it failed before it ran */
    bool covered;    /* init has its paths */
    struct eg_report failure; /* init's last word, where it ended while nobody waited for one */
    enum eg_enforcement enforcement;
    char weaker_because[256];
    struct eg_launch_entry entries[EG_ENTRY_MAX];
    unsigned entry_count;
};
/* Its terminal, and whether the command is to have it. */
void eg_launch_find_terminal(struct eg_launch *l);
/* What init said next, and notes of it; false: nothing yet, or it is gone. */
bool eg_launch_next_report(struct eg_launch *l, struct eg_report *r);

/* ---- wire.c ---- */
/* The whole of it or an error; a peer that is gone is EG_CLOSED. */
enum eg_status eg_wire_write(int fd, const void *p, size_t n) EG_MUST_USE;
enum eg_status eg_wire_read(int fd, void *p, size_t n) EG_MUST_USE;
/* One report, with a descriptor beside it (-1: none). */
enum eg_status eg_wire_report(int fd, const struct eg_report *r, int pass) EG_MUST_USE;
enum eg_status eg_wire_read_report(int fd, struct eg_report *r, int *passed) EG_MUST_USE;
/* One block; either may be NULL. */
enum eg_status eg_wire_send_go(int fd, char *const *environment,
                               const struct eg_launch_paths *paths, struct eg_err *err) EG_MUST_USE;
/* The next block. Never freed: init keeps it until it ends. */
enum eg_status eg_wire_read_go(int fd, struct eg_go *ret, struct eg_err *err) EG_MUST_USE;

/* ---- namespace.c ---- */
enum eg_status eg_who_find(const struct eg_launch_spec *spec, struct eg_who *ret,
                           struct eg_err *err) EG_MUST_USE;
/* clone(2) like fork(2): 0 in the new init. */
pid_t eg_namespace_clone(enum eg_enforcement enforcement);
/* Ids map to themselves, and only these. Needs us dumpable. */
enum eg_status eg_namespace_map(pid_t pid, const struct eg_who *who,
                                struct eg_err *err) EG_MUST_USE;
/* Fills err with what to change on this system when the kernel refused namespaces with that
 * errno. */
enum eg_status eg_namespace_refused(int sys, const char *step, struct eg_err *err) EG_MUST_USE;
/* Loopback up in this network namespace (127.0.0.1, and ::1 where the kernel has IPv6). */
enum eg_status eg_namespace_loopback(struct eg_err *err) EG_MUST_USE;
/* Listens on 127.0.0.1, port of the kernel. */
enum eg_status eg_namespace_listen(int *fd, uint16_t *port, struct eg_err *err) EG_MUST_USE;

/* ---- capture.c: in init, with capabilities over its own namespaces ---- */
enum { EG_CAPTURE_SOCKETS = 4 };
struct eg_capture_socket {
    enum eg_entry kind;
    int fd;
    uint16_t port;
};
/* Address, routes, redirect and the sockets for it; before loopback's last user is there. EG_IO with what to change on
 * this system. */
enum eg_status eg_capture_open(struct eg_capture_socket ret[EG_CAPTURE_SOCKETS], unsigned *count,
                               struct eg_err *err) EG_MUST_USE;
/* After eg_mounts_apply: resolv.conf and hosts are ours. */
enum eg_status eg_capture_files(struct eg_err *err) EG_MUST_USE;

/* ---- mounts.c: in init, with capabilities over its own mount namespace ---- */
/* Nothing of ours goes back to the host; /proc shows this pid namespace only. */
enum eg_status eg_mounts_begin(struct eg_err *err) EG_MUST_USE;
/* What is to be covered whatever the lists say, NUL after each: other mounts of a proc, other terminals. */
enum eg_status eg_mounts_look(struct eg_buf *found, struct eg_err *err) EG_MUST_USE;
/* Covers, those too, and makes read-only. A path that does not exist, or that the child could not reach
 * either, is passed over. */
enum eg_status eg_mounts_apply(const struct eg_go *go, struct eg_slice found,
                               struct eg_err *err) EG_MUST_USE;

/* ---- landlock.c: in the command of the fallback, after eg_confine_capabilities, before the filter ---- */
/* From these on it keeps signals inside, and files from truncate(2). */
enum { EG_LANDLOCK_SCOPE = 6, EG_LANDLOCK_TRUNCATE = 3 };
enum { EG_LANDLOCK_NEWEST = 7 }; /* the newest ABI that it was tried with */
/* Nothing of the file system but what the lists leave, for good: covered paths can't be opened, read_only ones and
 * programs can't be written to, and in the folders above them nothing can be made, removed or renamed. No TCP connection of
 * its own (ABI 4), no signal and no abstract socket to who is outside (ABI 6). max_abi: use no more than that. */
enum eg_status eg_landlock_apply(const struct eg_go *go, unsigned max_abi, struct eg_err *err) EG_MUST_USE;

/* ---- confine.c, seccomp*.c: in the child, before exec ---- */
/* No capability in any set, none to be had again, no new privileges. alone: with no namespace of its
 * own the bounding set may stay, since nothing can be had from it any more. */
enum eg_status eg_confine_capabilities(bool alone, struct eg_err *err) EG_MUST_USE;

struct eg_filter;
struct eg_seccomp_rules {
    bool alone;    /* the fallback: no namespaces; a broker makes sockets, connections, processes */
    bool scoped;   /* alone: Landlock keeps signals inside; else the broker sends them */
    bool truncate; /* alone: Landlock does not hold truncate(2): it is refused */
    bool sockets;  /* Unix sockets are let in: a broker connects to them */
};
/* For good. listener: of the calls that a broker answers (close-on-exec); -1: there are none.
 * EG_PERMISSION: a sandbox around this one supervises it already. */
enum eg_status eg_seccomp_install(const struct eg_seccomp_rules *rules, int *listener,
                                  struct eg_err *err) EG_MUST_USE;
/* Does a broker answer calls? */
bool eg_seccomp_supervised(const struct eg_seccomp_rules *rules);
/* Rules that seccomp.c adds to its own. */
void eg_seccomp_connect(struct eg_filter *f);
void eg_seccomp_alone(struct eg_filter *f, const struct eg_seccomp_rules *rules);

/* ---- command.c: from init's fork to the exec ---- */
struct eg_broker;
/* broker: NULL where no call is supervised. A command that can't be executed is reported to the launcher, and we exit. */
enum eg_status eg_command_start(const struct eg_plan *plan, const struct eg_go *go,
                                struct eg_broker **broker, pid_t *ret, struct eg_err *err) EG_MUST_USE;
struct eg_seccomp_rules eg_command_rules(const struct eg_plan *plan);
/* In the process that is to be supervised: installs the filter and passes its listener over that socket. */
enum eg_status eg_command_supervise(const struct eg_seccomp_rules *rules, int report,
                                    struct eg_err *err) EG_MUST_USE;
/* The other end: a broker for it. EG_NOT_FOUND: something else was said; EG_CLOSED: nothing. */
enum eg_status eg_command_listener(const struct eg_plan *plan, int from, struct eg_report *said,
                                   struct eg_broker **ret, struct eg_err *err) EG_MUST_USE;

/* ---- guard.c, probe.c: the fallback ---- */
/* Returns in a new process, which is init; the calling one stays as its guard and never returns. */
void eg_guard_fork(void);
/* EG_PERMISSION with what to change, where supervised calls don't work here. */
enum eg_status eg_probe(const struct eg_plan *plan, struct eg_err *err) EG_MUST_USE;

/* ---- init.c ---- */
/* The signal that we get when the parent ends; over at once when it has already. */
enum eg_status eg_init_die_with_parent(int sock, int signal, struct eg_err *err) EG_MUST_USE;
_Noreturn void eg_init_main(const struct eg_plan *plan);

#endif
