/* err.h - the caller-owned detail of a failure. The lowest layer that knows fills it, once.
 * It holds no peer bytes, no secrets and allocates nothing. */
#ifndef EG_BASE_ERR_H
#define EG_BASE_ERR_H

#include "egress/status.h"

struct eg_err {
    enum eg_status status;
    const char *layer; /* static string: "dns", "tcp", "tls", "http_connect", ... */
    int sys;           /* errno, or 0 */
    char text[200];    /* NUL-terminated sentence for people, may be empty */
};

/* Fills err (NULL is allowed) and returns status, so that `return eg_err_set(...)` reads as one
 * step. The first caller wins: an err whose status is already set (not EG_OK) keeps its text. */
enum eg_status eg_err_set(struct eg_err *err, enum eg_status status, const char *layer, int sys,
                          const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Makes err empty again. NULL is allowed. */
void eg_err_reset(struct eg_err *err);
/* "layer: text" or, without a text, the status' sentence; with strerror(sys) where sys is set.
 * Writes at most cap bytes with the NUL; returns buffer. */
const char *eg_err_format(const struct eg_err *err, char *buffer, unsigned long cap);

#endif
