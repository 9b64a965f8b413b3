/* server.h - the control socket: requests of `egressctl` to a table of handlers. It knows no
 * supervisor. */
#ifndef EG_CTL_SERVER_H
#define EG_CTL_SERVER_H

#include <sys/stat.h>

#include "ctl/wire.h"
#include "net/loop.h"

enum { EG_CTL_CLIENTS = 16 }; /* more are turned away */

/* What a handler gives back: one message, or a stream of messages. */
struct eg_ctl_answer {
    json_t *reply; /* one message (the server takes the reference) */
    /* A stream, when reply is NULL: called while the client takes more. EG_OK with *ret (a new
     * reference), EG_AGAIN: nothing now (asked again after eg_ctl_server_poke, and every 100
     * ms), EG_EOF: the end. */
    enum eg_status (*next)(void *stream, json_t **ret);
    void (*done)(void *stream); /* once, in any case */
    void *stream;
};

struct eg_ctl_handler {
    const char *op; /* value of "op" */
    /* EG_OK with *answer filled, or a failure with err, which the client is told. Never blocks. */
    enum eg_status (*handle)(void *ctx, const json_t *request, struct eg_ctl_answer *answer,
                             struct eg_err *err);
};

struct eg_ctl_config {
    struct eg_loop *loop;                  /* borrowed */
    const char *path;                      /* copied */
    const struct eg_ctl_handler *handlers; /* borrowed; its end is op NULL */
    void *ctx;                             /* for the handlers */
    uint32_t request_ms; /* for the first request, and for any that has begun; 0: 5,000 */
    uint32_t idle_ms;    /* between requests, and for a client that does not read; 0: 60,000 */
};

struct eg_ctl_server;

/* Listens at path, mode 0600. A missing folder is made with mode 0700; one that others may write
 * to is refused (EG_PERMISSION). What a killed run left there is removed: a socket of ours that
 * nobody answers. EG_EXISTS when somebody does, or when it is something else. EG_TOO_BIG for a
 * path that no socket can have. */
enum eg_status eg_ctl_server_new(const struct eg_ctl_config *config, struct eg_ctl_server **ret,
                                 struct eg_err *err) EG_MUST_USE;
/* Cuts the clients, removes the socket if it is still ours. */
void eg_ctl_server_free(struct eg_ctl_server *s);
/* Streams that had nothing are asked again in this tick. */
void eg_ctl_server_poke(struct eg_ctl_server *s);
unsigned eg_ctl_server_clients(const struct eg_ctl_server *s);

/* One request to its handler; for the server and its fuzzer. first: "v" is required. Returns
 * what to answer at once (the caller's reference), or NULL with *answer filled with a stream, or
 * NULL with answer->next NULL when out of memory. */
json_t *eg_ctl_dispatch(const struct eg_ctl_handler *handlers, void *ctx, const json_t *request,
                        bool first, struct eg_ctl_answer *answer);

/* Makes and checks the folder of that socket path as above. */
enum eg_status eg_ctl_folder(const char *path, struct eg_err *err) EG_MUST_USE;
/* A listening socket at path, as eg_ctl_server_new makes it. */
enum eg_status eg_ctl_listen(const char *path, int *fd, struct eg_err *err) EG_MUST_USE;

struct eg_unix_place { /* of a listening socket */
    const char *path, *layer; /* layer: of errors */
    int backlog;
    bool own; /* its folder must be ours, and nobody else may write there, sticky or not */
};
/* A listening socket there, as eg_ctl_server_new makes its own. made (may be NULL): what
 * eg_unix_remove needs to know it again. */
enum eg_status eg_unix_listen(const struct eg_unix_place *place, int *fd, struct stat *made,
                              struct eg_err *err) EG_MUST_USE;
/* Removes that very socket file; one that somebody put in its place stays. To be called before the
 * socket is closed: until then its inode number is not given to another file. */
void eg_unix_remove(const char *path, const struct stat *made);

#endif
