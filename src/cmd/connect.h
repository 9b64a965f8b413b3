/* connect.h - how the subcommands reach a running proxy. */
#ifndef EG_CMD_CONNECT_H
#define EG_CMD_CONNECT_H

#include "ctl/client.h"

/* path NULL: the default socket, or else the newest of a `run` beside it that answers. Returns
 * -1 with *ret, or the exit status (4: nobody is there) after a message on stderr; quiet: no
 * message. */
int eg_cmd_connect(const char *command, const char *path, bool quiet, struct eg_ctl_client **ret);
/* Sends and receives one answer within 10 s. -1 with *reply, or the exit status after a message;
 * an error answer is printed and is 1. */
int eg_cmd_ask(const char *command, struct eg_ctl_client *c, json_t *request, json_t **reply);
/* The next message of a stream, the same way. timeout_ms -1: for ever. */
int eg_cmd_next(const char *command, struct eg_ctl_client *c, int timeout_ms, json_t **reply);

#endif
