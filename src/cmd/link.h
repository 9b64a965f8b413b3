/* link.h - one end of the socket pair between supervisor and worker, on a loop: packets in
 * order, with descriptors, never blocking. */
#ifndef EG_CMD_LINK_H
#define EG_CMD_LINK_H

#include "cmd/message.h"
#include "net/loop.h"

enum { EG_LINK_FDS = 4 };

struct eg_link_item;

/* embed it; zeroed, or after eg_link_close: not open (fd is then no descriptor of it) */
struct eg_link {
    struct eg_loop *loop;
    int fd; /* owned while open */
    bool open;
    struct eg_watch watch;
    char *in; /* one packet; wiped after each */
    size_t in_max, in_used;           /* in_used: of it, what may hold something now */
    unsigned fd_max;                  /* descriptors that the other side may send */
    struct eg_link_item *head, *tail; /* what the socket did not take yet */
    size_t queued, queue_max;         /* bytes */
    /* One message. Descriptors that the callee keeps it sets to -1; the others are closed. It
     * may close the link, not free it. */
    void (*message)(struct eg_link *l, const struct eg_link_message *m, int *fds,
                    unsigned fd_count);
    /* The end: EG_EOF, or EG_INVALID for something that is no message of ours, EG_IO. The link
     * is closed already. */
    void (*closed)(struct eg_link *l, enum eg_status why);
    void *ctx;
};

/* Takes fd. in_max: largest packet that the other side may send; queue_max: ceiling of what
 * waits to be sent. Callbacks are set before. */
enum eg_status eg_link_open(struct eg_link *l, struct eg_loop *loop, int fd, size_t in_max,
                            unsigned fd_max, size_t queue_max, struct eg_err *err) EG_MUST_USE;
/* Sends or queues; descriptors are duplicated when queued. Bytes are wiped once they are sent.
 * EG_CLOSED when it is not open, EG_TOO_BIG when the queue is full. */
enum eg_status eg_link_send(struct eg_link *l, const struct eg_link_message *m, const int *fds,
                            unsigned fd_count, struct eg_err *err) EG_MUST_USE;
/* Closes without a callback; wipes and frees the queue. Idempotent. */
void eg_link_close(struct eg_link *l);

#endif
