/* worker.h - one worker process: the engine on a loop, driven by the supervisor's messages. */
#ifndef EG_CMD_WORKER_H
#define EG_CMD_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct eg_worker_config {
    uint32_t number; /* from 1: the audit's writer */
    int link;        /* its end of the pair */
    bool splice;
};

/* In the child, right after fork. Gives up what it must not have, works until told to stop or
 * until the link ends, and never returns: exit status 0, or 1 when it could not begin. */
_Noreturn void eg_worker_run(const struct eg_worker_config *config);

/* worker_tls.c: eg_tls_hasten, once, when the policy in block is the first that uses TLS; *done is kept by the caller. Not EG_OK: TLS
 * goes on without, and err says why. */
enum eg_status eg_worker_hasten(const void *block, size_t n, bool *done,
                                struct eg_err *err) EG_MUST_USE;

#endif
