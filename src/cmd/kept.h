/* kept.h - events from where they are: a running proxy, or a file that `run` kept. For the commands that read events. */
#ifndef EG_CMD_KEPT_H
#define EG_CMD_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "egress/status.h"

struct eg_kept {
    const char *command; /* for messages: "egressctl audit" */
    bool follow;         /* go on with events of a proxy as they happen */
    /* One event as JSON text, which may be damaged. EG_CLOSED ends the reading without an error. */
    enum eg_status (*take)(void *ctx, const char *text, size_t n);
    void *ctx;
    uint64_t lost;   /* events that were overwritten before they were read */
    uint64_t broken; /* lines that are too long to be events */
};

/* file: that one; control: that proxy; else a proxy that runs, else (not with follow) the newest kept file. Returns the exit status, after a message where it is not 0. */
int eg_kept_read(struct eg_kept *k, const char *control, const char *file);

#endif
