/* ssh_state.h - what ssh.c, ssh_master.c and ssh_channel.c share; nobody else includes it. */
#ifndef EG_CMD_SSH_STATE_H
#define EG_CMD_SSH_STATE_H

#include <limits.h>

#include "cmd/ssh.h"
#include "cmd/ssh_ask.h"
#include "cmd/ssh_mux.h"

enum { EG_SSH_PATH = 108 }; /* sun_path */

struct eg_ssh_channel;
struct eg_ssh_list {
    struct eg_ssh_channel *first, *last;
};

struct eg_ssh_master {
    struct eg_sup_ssh *ssh;
    struct eg_ssh_master *next;
    char user[EG_SSH_USER_MAX + 1];
    struct eg_authority at;
    char text[EG_AUTHORITY_TEXT + 8]; /* "ssh://host:port" */
    enum { EG_SSH_IDLE, EG_SSH_STARTING, EG_SSH_UP, EG_SSH_ENDING } state;
    bool wanted, told; /* told: that it is down */
    pid_t pid;         /* 0: none */
    char path[EG_SSH_PATH];
    int err; /* its stderr, -1 */
    struct eg_watch err_watch;
    struct eg_timer timer; /* IDLE: start again; STARTING: is the socket there; ENDING: kill */
    struct eg_timer retry; /* UP: the socket's queue was full */
    uint64_t since_ms;     /* of the state */
    uint32_t backoff_ms;
    struct eg_ssh_said said;
    uint64_t heard_ms;
    char why[EG_SSH_DETAIL_MAX + 1];         /* it is down */
    struct eg_ssh_list waiting, asked, open; /* waiting: for the session, or for their turn */
    unsigned greeting;                       /* of asked: not taken by the master's accept yet */
    struct eg_dead dead;
};

struct eg_ssh_channel {
    struct eg_ssh_channel *next, *prev;
    struct eg_ssh_list *list;
    struct eg_ssh_master *master;
    uint32_t owner;
    uint64_t id;
    bool orphan;   /* cancelled: its answer is awaited, nobody is told */
    bool greeting; /* HELLO has not come */
    int sock, in, out,
        probe; /* in, out: the owner's ends until it has them; probe: see ssh_channel.c */
    struct eg_watch watch;
    struct eg_buf answer;
    struct eg_authority to;
    struct eg_dead dead;
};

struct eg_sup_ssh {
    struct eg_sup_ssh_config config;
    char base[PATH_MAX];      /* where the folder is made */
    char folder[EG_SSH_PATH]; /* empty: not made yet */
    int lock;                 /* on it, while we live; -1 */
    char program[PATH_MAX];
    char **environment; /* of the masters; owned texts */
    unsigned serial;    /* of the next control socket */
    struct eg_ssh_master *masters;
    struct {
        unsigned pending, open;
    } owners[EG_SSH_OWNERS];
    unsigned open_max;
    struct eg_timer sweep;
};

/* ---- ssh.c ---- */
/* The private folder (0700). */
enum eg_status eg_ssh_folder(struct eg_sup_ssh *s, struct eg_err *err) EG_MUST_USE;
/* `ssh` in the PATH of that environment. EG_NOT_FOUND. */
enum eg_status eg_ssh_program(char *const *environment, char *out, size_t cap,
                              struct eg_err *err) EG_MUST_USE;

/* ---- ssh_master.c ---- */
struct eg_ssh_master *eg_ssh_master_new(struct eg_sup_ssh *s,
                                        const struct eg_sup_ssh_gateway *gateway);
/* Ends it and its channels; it frees itself once it is reaped. */
void eg_ssh_master_end(struct eg_ssh_master *m);
void eg_ssh_master_reaped(struct eg_ssh_master *m, int wait_status);
/* Without waiting for anything: all of it is gone at the end of the tick. */
void eg_ssh_master_free(struct eg_ssh_master *m);
/* Reads what is on its stderr now. */
void eg_ssh_master_hear(struct eg_ssh_master *m);

/* ---- ssh_channel.c ---- */
enum eg_status eg_ssh_channel_new(struct eg_ssh_master *m, uint32_t owner, uint64_t id,
                                  const struct eg_authority *to) EG_MUST_USE;
/* Starts those that wait, as far as the master's socket takes them. */
void eg_ssh_channels_start(struct eg_ssh_master *m);
/* Ends all of the master: those that were not answered are answered with this. */
void eg_ssh_channels_end(struct eg_ssh_master *m, enum eg_status status, const char *detail);
void eg_ssh_channel_cancel(struct eg_ssh_channel *c);
/* Without an answer. */
void eg_ssh_channel_drop(struct eg_ssh_channel *c);
/* Drops at most max open channels of m whose owner has closed its ends, and turns their list. */
void eg_ssh_channels_sweep(struct eg_ssh_master *m, unsigned max);

#endif
