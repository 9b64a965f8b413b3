/* ssh.h - masters of OpenSSH, one for each gateway that the policy names, and the channels that
 * workers ask for. The supervisor's: it starts the processes, and passes two pipes for each channel.
 *
 * Keys, agents, known_hosts and jumps stay OpenSSH's business and the user's: a master runs with
 * BatchMode, so a key that known_hosts does not have is a failure and never a question. */
#ifndef EG_CMD_SSH_H
#define EG_CMD_SSH_H

#include <sys/types.h>

#include "base/uri.h"
#include "net/loop.h"
#include "policy/policy.h"

enum {
    EG_SSH_OWNERS = 65,       /* workers are numbered from 1 */
    EG_SSH_PENDING_MAX = 256, /* channels of one owner that are asked for and not answered */
    EG_SSH_GATEWAYS_MAX = 8,
    EG_SSH_BACKOFF_MS = 100,
    EG_SSH_BACKOFF_MAX_MS = 10000,
    EG_SSH_STABLE_MS = 10000, /* a session that lived so long begins with the least backoff again */
    EG_SSH_CONNECT_MS = 60000, /* for a session to be there: a person may have to touch a key */
};

struct eg_sup_ssh_gateway {
    struct eg_slice user; /* empty: as OpenSSH's configuration says */
    struct eg_authority at;
};

struct eg_sup_ssh_config {
    struct eg_loop *loop;     /* borrowed */
    char *const *environment; /* borrowed; what OpenSSH needs is taken from it */
    const char
        *folder;     /* copied; our private folder is made in it; NULL: where temporary files are */
    bool only_there; /* in no other place: a sandboxed child reaches that of temporary files */
    /* Once for each open that was EG_OK, unless it was cancelled. EG_OK: in is to be read from, out
     * to be written to; both are borrowed. detail is never NULL. */
    void (*answer)(void *ctx, uint32_t owner, uint64_t id, enum eg_status status,
                   const char *detail, int in, int out);
    /* A session is there (EG_OK) or not any more, or could not be had for another reason than
     * before (EG_SSH_DOWN). gateway: "ssh://host:port" */
    void (*changed)(void *ctx, const char *gateway, enum eg_status status, const char *detail);
    void *ctx;
};

struct eg_sup_ssh;
enum eg_status eg_sup_ssh_new(const struct eg_sup_ssh_config *config, struct eg_sup_ssh **ret,
                              struct eg_err *err) EG_MUST_USE;
/* Ends the masters, waits for them (bounded), removes the folder. */
void eg_sup_ssh_free(struct eg_sup_ssh *s);
/* Such a folder of sockets, by its path, if nobody holds its lock; no link is followed. */
void eg_ssh_folder_remove(const char *path);
/* From now on these and no others: masters are started, and ended with their channels. open_max:
 * channels that one owner may have at once. */
enum eg_status eg_sup_ssh_gateways(struct eg_sup_ssh *s, const struct eg_sup_ssh_gateway *list,
                                   unsigned count, unsigned open_max) EG_MUST_USE;
/* A channel to that target. What is not EG_OK is the answer: EG_SSH_DOWN (also for a gateway that is
 * none of the list), EG_TOO_MANY_CONNECTIONS; EG_EXISTS: the owner waits for that id already;
 * EG_NOMEM. */
enum eg_status eg_sup_ssh_open(struct eg_sup_ssh *s, uint32_t owner, uint64_t id,
                               const struct eg_sup_ssh_gateway *gateway,
                               const struct eg_authority *to, struct eg_err *err) EG_MUST_USE;
/* No answer is wanted any more. An unknown id is fine: the answer was faster. */
void eg_sup_ssh_cancel(struct eg_sup_ssh *s, uint32_t owner, uint64_t id);
/* An owner is gone: with it all its channels. */
void eg_sup_ssh_drop(struct eg_sup_ssh *s, uint32_t owner);
/* Was it a master? */
bool eg_sup_ssh_reaped(struct eg_sup_ssh *s, pid_t pid, int wait_status);

/* ---- ssh_hops.c: between the supervisor's policy, its workers and the above ---- */

struct eg_supervisor;
struct eg_sup_worker;
struct eg_link_message;
/* Is there an `ssh` for the gateways that this policy names? EG_NOT_FOUND with a text when not. */
enum eg_status eg_sup_ssh_check(const struct eg_supervisor *s, const struct eg_policy *policy,
                                struct eg_err *err) EG_MUST_USE;
/* The gateways of the current policy: at start, and when another one came into force. */
void eg_sup_ssh_follow(struct eg_supervisor *s);
/* CHANNEL_ASK and CHANNEL_CANCEL of a worker. False: nonsense, it is to be given up. */
bool eg_sup_ssh_asked(struct eg_sup_worker *w, const struct eg_link_message *m);

#endif
