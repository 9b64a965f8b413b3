/* ssh_hops.c - ssh hops as the supervisor sees them: the gateways of its policy, what its workers ask
 * for, what goes to the log and the audit. It knows neither processes nor sockets of OpenSSH.
 *
 * Invariants: what a worker sends is hostile: a channel goes through a gateway that the current policy
 * names, to what parses as an authority, and a worker that sends anything else is given up; the
 * user of a gateway is in no message. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cmd/ssh_state.h"
#include "cmd/state.h"

/* The hops that are dialled first: ssh can stand nowhere else in a chain. hops owns what list borrows. */
static unsigned gateways(const struct eg_policy *policy, struct eg_hop hops[2][EG_HOPS_MAX],
                         struct eg_sup_ssh_gateway list[2])
{
    unsigned count = 0;
    for (int chain = EG_CHAIN_SECURE; chain <= EG_CHAIN_PLAIN; chain++) {
        struct eg_hop *first = hops[chain];
        if (eg_policy_hops(policy, (enum eg_chain)chain, first) > 0 && first->kind == EG_HOP_SSH)
            list[count++] = (struct eg_sup_ssh_gateway){ first->user, first->at };
    }
    return count;
}

static char *const *environment(const struct eg_supervisor *s)
{
    return s->options.environment ? eg_environ_all(s->options.environment) : NULL;
}

enum eg_status eg_sup_ssh_check(const struct eg_supervisor *s, const struct eg_policy *policy,
                                struct eg_err *err)
{
    struct eg_hop hops[2][EG_HOPS_MAX];
    struct eg_sup_ssh_gateway list[2];
    char path[PATH_MAX];
    return gateways(policy, hops, list) == 0
               ? EG_OK
               : eg_ssh_program(environment(s), path, sizeof path, err);
}

/* ---- what comes of it ---- */

static void answer(void *ctx, uint32_t owner, uint64_t id, enum eg_status status,
                   const char *detail, int in, int out)
{
    struct eg_supervisor *s = ctx;
    int fds[2] = { in, out };
    struct eg_link_message m = {
        .kind = EG_LINK_CHANNEL, .id = id, .status = status, .a = eg_slice_str(detail)
    };
    for (unsigned i = 0; i < s->worker_count; i++)
        if (s->workers[i].number == owner && s->workers[i].pid > 0)
            eg_sup_worker_send(&s->workers[i], &m, fds, status == EG_OK ? 2 : 0);
}

static void changed(void *ctx, const char *gateway, enum eg_status status, const char *detail)
{
    struct eg_supervisor *s = ctx;
    if (status == EG_OK)
        eg_log(EG_LOG_INFO, "%s: connected again", gateway);
    else
        eg_log(EG_LOG_WARN, "%s: %s", gateway, detail);
    eg_sup_event(s, status, 0, "%s: %s", gateway, status == EG_OK ? "connected again" : detail);
}

static enum eg_status make(struct eg_supervisor *s, struct eg_err *err)
{
    char folder[PATH_MAX];
    const char *control = s->options.control_path, *slash = control ? strrchr(control, '/') : NULL;
    if (slash) /* run keeps that folder from the child */
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - control), control);
    struct eg_sup_ssh_config config = {
        .loop = s->loop,
        .environment = environment(s),
        .folder = slash ? folder
                  : s->options.environment
                      ? eg_environ_get(s->options.environment, "XDG_RUNTIME_DIR")
                      : NULL,
        .only_there = s->options.entry_count > 0,
        .answer = answer,
        .changed = changed,
        .ctx = s,
    };
    return eg_sup_ssh_new(&config, &s->ssh, err);
}

void eg_sup_ssh_follow(struct eg_supervisor *s)
{
    struct eg_hop hops[2][EG_HOPS_MAX];
    struct eg_sup_ssh_gateway list[2];
    struct eg_err err = { 0 };
    unsigned count = gateways(s->policy->policy, hops, list);
    if (count == 0 && !s->ssh)
        return;
    enum eg_status status = s->ssh ? EG_OK : make(s, &err);
    if (status == EG_OK)
        status = eg_sup_ssh_gateways(s->ssh, list, count,
                                     eg_policy_limits(s->policy->policy)->connections);
    if (status != EG_OK)
        eg_log(EG_LOG_ERROR, "ssh: %s", err.text[0] ? err.text : egress_status_sentence(status));
}

/* ---- what workers ask ---- */

static bool of_policy(const struct eg_supervisor *s, const struct eg_sup_ssh_gateway *asked)
{
    struct eg_hop hops[2][EG_HOPS_MAX];
    struct eg_sup_ssh_gateway list[2];
    unsigned count = gateways(s->policy->policy, hops, list);
    for (unsigned i = 0; i < count; i++)
        if (eg_slice_eq(list[i].user, asked->user) && eg_authority_eq(&list[i].at, &asked->at))
            return true;
    return false;
}

static bool open_channel(struct eg_sup_worker *w, const struct eg_link_message *m)
{
    struct eg_supervisor *s = w->supervisor;
    struct eg_sup_ssh_gateway gateway = { .user = m->b };
    struct eg_authority to;
    struct eg_err err = { 0 };
    if (m->b.n > EG_SSH_USER_MAX || (m->b.n > 0 && memchr(m->b.p, 0, m->b.n)) ||
        eg_authority_parse(m->a, 0, &gateway.at, NULL) != EG_OK ||
        eg_authority_parse(m->c, 0, &to, NULL) != EG_OK)
        return false;
    enum eg_status status =
        s->ssh && of_policy(s, &gateway)
            ? eg_sup_ssh_open(s->ssh, w->number, m->id, &gateway, &to, &err)
            /* a worker may not have heard of a new policy yet */
            : eg_err_set(&err, EG_SSH_DOWN, "ssh", 0, "the policy names this gateway no more");
    if (status == EG_EXISTS)
        return false;
    if (status != EG_OK)
        answer(s, w->number, m->id, status, err.text, -1, -1);
    return true;
}

bool eg_sup_ssh_asked(struct eg_sup_worker *w, const struct eg_link_message *m)
{
    if (m->kind == EG_LINK_CHANNEL_ASK)
        return open_channel(w, m);
    if (w->supervisor->ssh)
        eg_sup_ssh_cancel(w->supervisor->ssh, w->number, m->id);
    return true;
}
