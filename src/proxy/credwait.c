/* credwait.c - exchanges that wait for a credential: one that is read at first use, or one that the
 * origin refused and that is read again.
 *
 * Whoever comes first asks the supervisor; all who want the same one wait for the one answer, each no
 * longer than response_timeout and 30 s. Nothing is connected for a lazy one meanwhile. An ask that is
 * never answered is forgotten after as long, so that the next exchange asks again. */
#include "proxy/credwait.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/replay.h"

struct eg_asked { /* one ask under way */
    struct eg_asked *next;
    uint64_t until_ms;
    size_t n;
    char name[EG_CREDWAIT_NAME];
};

static struct eg_asked **find(struct eg_engine *e, struct eg_slice name)
{
    struct eg_asked **at = &e->asked;
    while (*at && !eg_slice_eq(eg_slice((*at)->name, (*at)->n), name))
        at = &(*at)->next;
    return at;
}

static void forget(struct eg_asked **at)
{
    struct eg_asked *a = *at;
    *at = a->next;
    free(a);
}

void eg_credwait_free(struct eg_engine *e)
{
    while (e->asked)
        forget(&e->asked);
}

/* EG_OK: it is asked for, by this call or an earlier one. */
static enum eg_status ask(struct eg_engine *e, struct eg_slice name, bool refused)
{
    struct eg_asked **at = find(e, name);
    if (*at && (*at)->until_ms > eg_loop_now(e->loop))
        return EG_OK;
    if (*at)
        forget(at);
    if (!e->credential_ask || name.n > EG_CREDWAIT_NAME)
        return EG_CREDENTIAL_UNAVAILABLE;
    struct eg_asked *a = calloc(1, sizeof *a);
    if (!a)
        return EG_NOMEM;
    memcpy(a->name, name.p, name.n);
    a->n = name.n;
    a->until_ms = eg_loop_now(e->loop) + EG_CREDWAIT_MS;
    a->next = e->asked;
    e->asked = a; /* before the call: the answer may come within it */
    enum eg_status status = e->credential_ask(e->ctx, name, refused);
    at = find(e, name);
    if (status != EG_OK && *at == a)
        forget(at);
    return status;
}

void eg_engine_credential(struct eg_engine *e, struct eg_slice name)
{
    struct eg_asked **at = find(e, name);
    if (*at)
        forget(at);
    for (struct eg_flow *f = e->flows; f; f = f->next)
        if (f->phase == EG_PHASE_CREDENTIAL)
            eg_flow_wake(f);
}

bool eg_credwait_needed(const struct eg_flow *f)
{
    return f->want == EG_WANT_ROUTE &&
           eg_gate_ready(&f->engine->gate, f->exchange->service) == EG_AGAIN;
}

static void wait_for_it(struct eg_flow *f, enum eg_status timeout)
{
    uint64_t patience = f->snapshot->limits->response_timeout;
    eg_flow_move(f, EG_PHASE_CREDENTIAL, patience < EG_CREDWAIT_MS ? patience : EG_CREDWAIT_MS,
                 timeout);
}

enum eg_step eg_credwait_start(struct eg_flow *f)
{
    wait_for_it(f, EG_CREDENTIAL_UNAVAILABLE);
    if (ask(f->engine, f->exchange->service->credential, false) != EG_OK)
        return eg_refuse(f, EG_CREDENTIAL_UNAVAILABLE, true, EG_CREDWAIT_WHY);
    return EG_STEP_MORE;
}

enum eg_status eg_credwait_refused(struct eg_flow *f)
{
    enum eg_status status = ask(f->engine, f->exchange->service->credential, true);
    if (status == EG_OK)
        wait_for_it(f, EG_RESPONSE_TIMEOUT);
    return status;
}

enum eg_step eg_credential_step(struct eg_flow *f)
{
    struct eg_exchange *x = f->exchange;
    if (*find(f->engine, x->service->credential))
        return EG_STEP_WAIT;
    if (x->held)
        return eg_replay_go(f);
    enum eg_status status = eg_gate_ready(&f->engine->gate, x->service);
    if (status == EG_AGAIN && ask(f->engine, x->service->credential, false) == EG_OK)
        return EG_STEP_WAIT; /* it was made lazy again meanwhile */
    return status == EG_OK ? eg_exchange_connect(f)
                           : eg_refuse(f, EG_CREDENTIAL_UNAVAILABLE, true, EG_CREDWAIT_WHY);
}

void eg_credential_late(struct eg_flow *f)
{
    if (f->exchange->held)
        (void)eg_replay_go(f); /* it has not changed: the 401 is passed on */
    else
        (void)eg_refuse(f, EG_CREDENTIAL_UNAVAILABLE, true, EG_CREDWAIT_WHY);
    eg_flow_wake(f);
}
