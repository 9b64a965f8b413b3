/* client.h - the other end of the control socket, for `egressctl`: blocking, with deadlines. */
#ifndef EG_CTL_CLIENT_H
#define EG_CTL_CLIENT_H

#include "ctl/wire.h"

struct eg_ctl_client;

/* Connects. EG_NOT_FOUND: nobody is there; EG_PERMISSION: it is not ours, or not a server of our
 * user or root; EG_TOO_BIG, EG_IO. */
enum eg_status eg_ctl_client_open(const char *path, struct eg_ctl_client **ret,
                                  struct eg_err *err) EG_MUST_USE;
void eg_ctl_client_free(struct eg_ctl_client *c);
/* Sends one request; "v" is added to the first. The reference stays the caller's. EG_CLOSED,
 * EG_IO, EG_TOO_BIG. */
enum eg_status eg_ctl_client_send(struct eg_ctl_client *c, json_t *request,
                                  struct eg_err *err) EG_MUST_USE;
/* The next message (the caller's reference) within timeout_ms (-1: for ever): EG_OK, EG_AGAIN
 * when the time is over, EG_EOF. */
enum eg_status eg_ctl_client_receive(struct eg_ctl_client *c, int timeout_ms, json_t **ret,
                                     struct eg_err *err) EG_MUST_USE;

#endif
