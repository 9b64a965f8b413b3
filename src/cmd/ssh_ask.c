/* ssh_ask.c - a worker's side of channels through ssh gateways: it asks the supervisor, and hands
 * what comes back to the engine. It opens nothing itself and knows no gateway's state.
 *
 * Invariant: descriptors that came are the engine's or closed, whatever the answer says. */
#include "cmd/ssh_ask.h"

enum eg_status eg_ssh_ask_send(struct eg_link *link, const struct eg_channel_ask *ask)
{
    char gateway[EG_AUTHORITY_TEXT], to[EG_AUTHORITY_TEXT];
    if (ask->user.n > EG_SSH_USER_MAX)
        return EG_SSH_DOWN;
    eg_authority_format(ask->gateway, 0, gateway, sizeof gateway);
    eg_authority_format(ask->to, 0, to, sizeof to);
    struct eg_link_message m = { .kind = EG_LINK_CHANNEL_ASK,
                                 .id = ask->id,
                                 .a = eg_slice_str(gateway),
                                 .b = ask->user,
                                 .c = eg_slice_str(to) };
    return eg_link_send(link, &m, NULL, 0, NULL) == EG_OK ? EG_OK : EG_SSH_DOWN;
}

void eg_ssh_answer_take(struct eg_engine *engine, const struct eg_link_message *m, int *fds,
                        unsigned fd_count)
{
    bool open = m->status == EG_OK && fd_count == 2;
    enum eg_status status = m->status != EG_OK ? m->status : EG_SSH_DOWN;
    if (!open) {
        eg_engine_channel(engine, m->id, status, m->a.p, -1, -1);
        return;
    }
    int in = fds[0], out = fds[1];
    fds[0] = fds[1] = -1;
    eg_engine_channel(engine, m->id, EG_OK, m->a.p, in, out);
}
