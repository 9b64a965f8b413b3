/* ssh_ask.h - how a worker asks for a channel of an ssh gateway and takes the answer: the two
 * messages, on the worker's side of the link. */
#ifndef EG_CMD_SSH_ASK_H
#define EG_CMD_SSH_ASK_H

#include "cmd/link.h"

enum { EG_SSH_USER_MAX = 255, EG_SSH_DETAIL_MAX = 200 };

/* Sends CHANNEL_ASK. EG_SSH_DOWN where the supervisor can't be asked. */
enum eg_status eg_ssh_ask_send(struct eg_link *link, const struct eg_channel_ask *ask) EG_MUST_USE;
/* Gives the engine what CHANNEL says; takes the descriptors. */
void eg_ssh_answer_take(struct eg_engine *engine, const struct eg_link_message *m, int *fds,
                        unsigned fd_count);

#endif
