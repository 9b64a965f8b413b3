/* broker.h - what the files of the broker share, and what init asks of it.
 *
 * The broker is the part of init that answers the system calls which the filter hands over (seccomp_alone.c): it makes the
 * child's sockets, bound to the loopback device, and its connections, and puts them into the child (SECCOMP_IOCTL_NOTIF_ADDFD). It
 * never lets the child's own call go on where a pointer is involved: what it has read could be another text by then. It is a process
 * of the child's user with no capability, undumpable, from before any secret was read. */
#ifndef EG_LAUNCH_BROKER_H
#define EG_LAUNCH_BROKER_H

#include <linux/seccomp.h>
#include <sys/socket.h>

#include "launch/internal.h"

enum {
    EG_BROKER_MADE = 8192,   /* sockets that it knows as its own */
    EG_BROKER_PENDING = 64,    /* connections that wait for a full backlog, */
    EG_BROKER_WAIT_MS = 60000, /* so long at most, */
    EG_BROKER_HOLD_MS = 100,   /* for who does not block: a little, */
    EG_BROKER_AGAIN_MS = 5     /* and are tried again after that */
};

struct eg_broker_made { /* a socket that was made for the child */
    uint64_t inode, cookie;
    int domain, type;
    bool connected;
};

struct eg_broker_call { /* one call, copied; valid while its id is */
    uint64_t id;
    pid_t task; /* the calling thread */
    int nr;
    uint64_t args[6];
};

struct eg_broker_target { /* where a connect goes */
    struct sockaddr_storage at;
    socklen_t n;
    uint16_t port; /* host's order */
    bool checked;  /* a server of the child's own: looked at before and after */
};

enum { EG_BROKER_OPTIONS = 12 };
struct eg_broker_options { /* of the socket that the child had */
    struct {
        char value[16];
        socklen_t n; /* 0: not known */
    } list[EG_BROKER_OPTIONS];
};

struct eg_broker_pending {
    bool used;
    int fd;       /* ours, connecting; -1: to be tried again */
    uint64_t id;
    uint64_t until_ms, again_ms;
    int type;
    int number;   /* the child's descriptor, */
    bool cloexec, blocking;
    uint64_t inode; /* and the socket that is under it */
    struct eg_broker_target to;
    struct eg_broker_options options;
};

struct eg_broker {
    int notify, epoll;
    int diag;          /* asks the kernel about sockets; -1: not to be had, /proc/net is read */
    int lo;            /* its number */
    bool alone;
    uint16_t port;     /* the proxy's, on 127.0.0.1 */
    const int *sockets; /* let in by name: O_PATH; paths in the same order */
    char *const *paths;
    unsigned socket_count;
    struct seccomp_notif *note;
    struct seccomp_notif_resp *reply;
    size_t note_n, reply_n;
    struct eg_broker_made *made; /* the newest last */
    unsigned made_count;
    struct eg_broker_pending pending[EG_BROKER_PENDING];
};

struct eg_broker_spec {
    int notify; /* the filter's listener; taken */
    bool alone;
    uint16_t port;
    const int *sockets; /* borrowed, as the paths are */
    char *const *paths;
    unsigned socket_count;
};

/* ---- broker.c ---- */
enum eg_status eg_broker_new(const struct eg_broker_spec *spec, struct eg_broker **ret,
                             struct eg_err *err) EG_MUST_USE;
void eg_broker_free(struct eg_broker *b);
/* Readable when there is something to do. */
int eg_broker_fd(const struct eg_broker *b);
/* Milliseconds until something has waited long enough; -1: nothing waits. */
int eg_broker_timeout(const struct eg_broker *b);
/* Answers what is there, a bounded number of calls. False: nobody is left who could call. */
bool eg_broker_turn(struct eg_broker *b) EG_MUST_USE;
/* 0, or the errno (positive) that the call ends with. */
void eg_broker_answer(const struct eg_broker *b, uint64_t id, int sys);
/* The kernel goes on with the call as it is in the registers. */
void eg_broker_go_on(const struct eg_broker *b, uint64_t id);
/* Has the calling task not gone, so that what was read by its number was its own? */
bool eg_broker_valid(const struct eg_broker *b, uint64_t id);
/* Puts fd into the caller: as a new one that the call returns (number -1), or in the place of
 * its own of that number. 0 or an errno. */
int eg_broker_give(const struct eg_broker *b, uint64_t id, int fd, int number, bool cloexec);

/* ---- broker_net.c ---- */
void eg_broker_socket(struct eg_broker *b, const struct eg_broker_call *c);
void eg_broker_connect(struct eg_broker *b, const struct eg_broker_call *c);
/* One that waits: is there, has failed, has waited too long or is tried again. */
void eg_broker_settle(struct eg_broker *b, struct eg_broker_pending *p);

/* ---- broker_task.c: what a call means, read from the caller ---- */
/* The address of a connect: copied once. 0 or an errno. */
int eg_broker_address(const struct eg_broker *b, const struct eg_broker_call *c,
                      struct sockaddr_storage *at, socklen_t *n);
/* Descriptor number of the caller: its flags (O_NONBLOCK, O_CLOEXEC) and inode. 0 or an errno. */
int eg_broker_descriptor(const struct eg_broker *b, const struct eg_broker_call *c, int number,
                         int *flags, uint64_t *inode);

/* Whose thread the caller is; 0: not known. */
pid_t eg_broker_process(const struct eg_broker_call *c);

/* ---- broker_options.c ---- */
/* Of that descriptor of the caller, if it is that socket; where we may not look, none. */
void eg_broker_options_read(const struct eg_broker *b, const struct eg_broker_call *c, int number,
                            uint64_t inode, struct eg_broker_options *ret);
/* Those that differ; one that is refused stays as it is. */
void eg_broker_options_set(int fd, const struct eg_broker_options *o);

/* ---- broker_made.c: which sockets are the child's ---- */
int eg_broker_remember(struct eg_broker *b, int fd, int domain, int type, bool connected);
struct eg_broker_made *eg_broker_find(const struct eg_broker *b, uint64_t inode);
void eg_broker_forget(struct eg_broker *b, uint64_t inode);
/* Is who listens at that loopback address a socket of the child's? Not: somebody else, or nobody. */
bool eg_broker_owns(const struct eg_broker *b, const struct eg_broker_target *to);

/* ---- broker_signal.c: kill, tkill and tgkill for descendants of ours ---- */
void eg_broker_kill(struct eg_broker *b, const struct eg_broker_call *c);
/* Limits, priority or processors of a process that the call names. */
void eg_broker_change(struct eg_broker *b, const struct eg_broker_call *c);

/* ---- descent.c ---- */
struct eg_descent_task {
    pid_t pid, parent, group;
};
/* Every process below ancestor (not itself), in no order; freed by the caller. */
enum eg_status eg_descent_list(pid_t ancestor, struct eg_descent_task **ret,
                               unsigned *count) EG_MUST_USE;
bool eg_descent_is(pid_t pid, pid_t ancestor);
bool eg_descent_read(pid_t pid, struct eg_descent_task *ret);
/* Kills and reaps all below the calling process, which must be their subreaper, until none is left; processes that only fork and
 * end are chased by their numbers. Gives up after EG_DESCENT_END_MS. */
enum { EG_DESCENT_END_MS = 20000 };
void eg_descent_end(void);

#endif
