/* flow.c - the life of one client connection: the table of phases, the one function that moves
 * between them, deadlines, and the end.
 *
 * A flow is only ever freed through the loop's dead list; eg_flow_kill may be called anywhere,
 * and what runs afterwards sees EG_PHASE_DEAD. */
#include "proxy/flow.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "proxy/pool.h"

enum { QUOTA = 64 }; /* steps of one flow in a tick: nobody starves the others */

#define TO(name) (1u << EG_PHASE_##name)
static const struct phase {
    const char *name;
    enum eg_step (*step)(struct eg_flow *f);
    unsigned edges; /* phases that may follow; DEAD always may */
} phases[EG_PHASE_COUNT] = {
    [EG_PHASE_ACCEPT] = { "accept", eg_accept_step, TO(OPENING) },
    [EG_PHASE_OPENING] = { "opening", eg_opening_step, TO(HEAD) | TO(SOCKS_GREETING) | TO(REFUSE) },
    [EG_PHASE_SOCKS_GREETING] = { "socks-greeting", eg_socks_greeting_step,
                                  TO(SOCKS_LOGIN) | TO(SOCKS_REQUEST) | TO(REFUSE) },
    [EG_PHASE_SOCKS_LOGIN] = { "socks-login", eg_socks_login_step, TO(SOCKS_REQUEST) | TO(REFUSE) },
    [EG_PHASE_SOCKS_REQUEST] = { "socks-request", eg_socks_request_step,
                                 TO(RESOLVE) | TO(CONNECT) | TO(ANSWER) | TO(REFUSE) },
    [EG_PHASE_HEAD] = { "head", eg_request_step,
                        TO(HEAD) | TO(BODY) | TO(CREDENTIAL) | TO(RESOLVE) | TO(CONNECT) |
                            TO(ANSWER) | TO(EXCHANGE) | TO(REFUSE) },
    [EG_PHASE_BODY] = { "body", eg_body_step,
                        TO(CREDENTIAL) | TO(RESOLVE) | TO(CONNECT) | TO(EXCHANGE) | TO(REFUSE) },
    [EG_PHASE_CREDENTIAL] = { "credential", eg_credential_step,
                              TO(RESOLVE) | TO(CONNECT) | TO(EXCHANGE) | TO(REFUSE) },
    [EG_PHASE_CAPTURED] = { "captured", eg_capture_step,
                            TO(RESOLVE) | TO(CONNECT) | TO(ANSWER) | TO(UNTOLD) },
    [EG_PHASE_UNTOLD] = { "untold", eg_untold_step, TO(REFUSE) },
    [EG_PHASE_RESOLVE] = { "resolve", eg_resolve_step,
                           TO(RESOLVE) | TO(CONNECT) | TO(REFUSE) | TO(UNTOLD) },
    [EG_PHASE_CONNECT] = { "connect", eg_connect_step,
                           TO(SECURE) | TO(ANSWER) | TO(EXCHANGE) | TO(REFUSE) | TO(UNTOLD) },
    [EG_PHASE_SECURE] = { "secure", eg_secure_step, TO(EXCHANGE) | TO(REFUSE) },
    [EG_PHASE_ANSWER] = { "answer", eg_answer_step, TO(HELLO) | TO(RELAY) | TO(HEAD) },
    [EG_PHASE_HELLO] = { "hello", eg_hello_step, TO(RELAY) | TO(REFUSE) },
    [EG_PHASE_RELAY] = { "relay", eg_relay_step, 0 },
    [EG_PHASE_EXCHANGE] = { "exchange", eg_exchange_step,
                            TO(HEAD) | TO(CREDENTIAL) | TO(RESOLVE) | TO(CONNECT) | TO(EXCHANGE) |
                                TO(REFUSE) | TO(LINGER) | TO(RELAY) },
    [EG_PHASE_REFUSE] = { "refuse", eg_refuse_step, TO(HEAD) | TO(LINGER) },
    [EG_PHASE_LINGER] = { "linger", eg_linger_step, 0 },
    [EG_PHASE_DEAD] = { "dead", NULL, 0 },
};

/* ---- deadlines ---- */

/* The timer is moved only when it would fire too late: pushing a deadline costs nothing. */
static void arm(struct eg_flow *f, uint64_t at)
{
    uint64_t total = f->born_ms + f->snapshot->limits->total_timeout;
    if (at == 0 || at > total)
        at = total;
    if (f->timer.slot != 0 && f->timer.at_ms <= at)
        return;
    if (eg_timer_set(f->engine->loop, &f->timer, at) != EG_OK)
        eg_flow_kill(f, EG_NOMEM);
}

void eg_flow_move(struct eg_flow *f, enum eg_phase to, uint64_t deadline_ms, enum eg_status timeout)
{
    if (f->phase == EG_PHASE_DEAD)
        return;
    if (!(phases[f->phase].edges & 1u << to)) {
        char text[96];
        snprintf(text, sizeof text, "no way from phase %s to %s", phases[f->phase].name,
                 phases[to].name);
        if (f->engine->warn)
            f->engine->warn(f->engine->ctx, text);
        eg_flow_kill(f, EG_INTERNAL);
        return;
    }
    f->phase = to;
    f->timeout = timeout;
    f->client.intent = f->origin.intent = 0;
    f->deadline = deadline_ms ? eg_loop_now(f->engine->loop) + deadline_ms : 0;
    arm(f, f->deadline);
}

void eg_flow_touch(struct eg_flow *f, uint64_t deadline_ms)
{
    f->deadline = eg_loop_now(f->engine->loop) + deadline_ms;
}

static void timed_out(struct eg_flow *f, enum eg_status reason)
{
    switch (f->phase) {
    case EG_PHASE_ACCEPT:
        eg_accept_failed(f, reason, NULL);
        return;
    case EG_PHASE_OPENING:
        eg_flow_kill(f, EG_OK); /* it never said a word */
        return;
    case EG_PHASE_SOCKS_GREETING:
    case EG_PHASE_SOCKS_LOGIN:
    case EG_PHASE_SOCKS_REQUEST:
        eg_flow_begin(f, EGRESS_VIA_SOCKS);
        break;
    case EG_PHASE_HEAD:
        if (eg_msg_begun(f->request) == 0 && f->client.in.len == 0) {
            eg_flow_kill(f, EG_OK); /* idle between two requests */
            return;
        }
        eg_flow_begin(f, EGRESS_VIA_NONE);
        break;
    case EG_PHASE_CREDENTIAL:
        eg_credential_late(f);
        return;
    case EG_PHASE_BODY:
    case EG_PHASE_RESOLVE:
    case EG_PHASE_CONNECT:
    case EG_PHASE_SECURE:
    case EG_PHASE_EXCHANGE:
        break;
    default:
        eg_flow_kill(f, reason);
        return;
    }
    char text[400];
    const char *hop = eg_upstream_late(f, &reason, text, sizeof text);
    (void)eg_refuse(f, reason, true, hop); /* kept only if its request was read */
    eg_flow_wake(f);
}

static void fired(struct eg_timer *t)
{
    struct eg_flow *f = t->ctx;
    uint64_t now = eg_loop_now(f->engine->loop);
    if (now >= f->born_ms + f->snapshot->limits->total_timeout)
        eg_flow_kill(f, EG_TOTAL_TIMEOUT);
    else if (f->deadline != 0 && now >= f->deadline)
        timed_out(f, f->timeout);
    else
        eg_flow_wake(f); /* the deadline was pushed, or an address is due */
}

/* ---- running ---- */

void eg_flow_wake(struct eg_flow *f)
{
    eg_loop_mark(f->engine->loop, &f->task);
}

static void run(struct eg_task *t)
{
    struct eg_flow *f = t->ctx;
    unsigned quota = QUOTA;
    while (quota > 0 && f->phase != EG_PHASE_DEAD && phases[f->phase].step(f) == EG_STEP_MORE)
        quota--;
    if (f->phase == EG_PHASE_DEAD)
        return;
    bool now = quota == 0;
    uint64_t wake_ms = f->deadline;
    eg_side_sync(f->engine->loop, &f->client, &now, &wake_ms);
    eg_side_sync(f->engine->loop, &f->origin, &now, &wake_ms);
    if (now)
        eg_flow_wake(f);
    arm(f, wake_ms);
}

/* ---- birth and death ---- */

static void free_flow(struct eg_dead *d)
{
    struct eg_flow *f = (struct eg_flow *)((char *)d - offsetof(struct eg_flow, dead));
    free(f->ticket);
    free(f->rest);
    free(f->inner_to);
    free(f);
}

static void link_flow(struct eg_flow *f)
{
    struct eg_engine *e = f->engine;
    f->next = e->flows;
    if (e->flows)
        e->flows->prev = f;
    e->flows = f;
    e->stats.open_flows++;
    e->stats.connections++;
}

static void unlink_flow(struct eg_flow *f)
{
    struct eg_engine *e = f->engine;
    if (f->prev)
        f->prev->next = f->next;
    else
        e->flows = f->next;
    if (f->next)
        f->next->prev = f->prev;
    e->stats.open_flows--;
}

void eg_flow_start(const struct eg_ingress *ingress, int fd)
{
    struct eg_stream *client;
    if (eg_stream_tcp(fd, &client) == EG_OK)
        eg_flow_serve(ingress, client);
    else
        close(fd);
}

void eg_flow_serve(const struct eg_ingress *ingress, struct eg_stream *client)
{
    struct eg_engine *e = ingress->engine;
    const struct eg_limits *limits = e->current->limits;
    struct eg_flow *f = e->stats.open_flows < 2 * limits->connections ? calloc(1, sizeof *f) : NULL;
    struct eg_ticket *ticket = f ? calloc(1, sizeof *ticket) : NULL;
    if (!ticket) {
        free(f);
        eg_stream_free(client);
        return;
    }
    f->ticket = ticket;
    f->engine = e;
    f->ingress = ingress;
    f->certified = ingress->everyone;
    f->task.run = run;
    f->task.ctx = f;
    f->timer.fire = fired;
    f->timer.ctx = f;
    f->dead.free = free_flow;
    f->born_ms = eg_loop_now(e->loop);
    f->snapshot = eg_snapshot_ref(e->current);
    eg_side_init(&f->client, f);
    eg_side_init(&f->origin, f);
    f->client.stream = client;
    f->client.readable = true; /* a client speaks first: try before the kernel is asked */
    f->client.out.max += limits->head_bytes; /* a whole head fits beside what is queued */
    f->origin.out.max += limits->head_bytes;
    link_flow(f);
    struct eg_msg_limits heads = { limits->head_bytes, limits->headers, limits->target_bytes };
    if (eg_accept_stack(f) != EG_OK ||
        eg_msg_new(&f->request, EG_MSG_REQUEST, &heads) != EG_OK) {
        eg_flow_kill(f, EG_NOMEM);
        return;
    }
    if (ingress->tls) {
        f->phase = EG_PHASE_ACCEPT;
        f->timeout = EG_TLS_TIMEOUT;
        f->deadline = f->born_ms + limits->tls_timeout;
    } else {
        f->phase = ingress->kind == EG_INGRESS_CAPTURE ? EG_PHASE_CAPTURED : EG_PHASE_OPENING;
        f->timeout = EG_HEAD_TIMEOUT;
        f->deadline = f->born_ms + limits->head_timeout;
    }
    arm(f, f->deadline);
    eg_flow_wake(f);
}

static void count_bytes(struct eg_flow *f)
{
    f->engine->stats.bytes_up += f->bytes_up;
    f->engine->stats.bytes_down += f->bytes_down;
    f->bytes_up = f->bytes_down = 0;
}

void eg_flow_renew(struct eg_flow *f)
{
    if (f->snapshot == f->engine->current)
        return;
    eg_snapshot_unref(f->snapshot);
    f->snapshot = eg_snapshot_ref(f->engine->current);
}

void eg_flow_begin(struct eg_flow *f, enum egress_event_via via)
{
    eg_gate_begin(&f->engine->gate, f->ticket, f->snapshot, f->session, via);
    count_bytes(f);
    f->peer = (struct eg_sockaddr){ 0 };
}

/* The connection's last answer is out: the client is left time to read it. */
static enum eg_step last_answer_sent(struct eg_flow *f)
{
    f->close_after = true;
    eg_flow_move(f, EG_PHASE_LINGER, EG_LINGER_MS, EG_OK);
    return EG_STEP_MORE;
}

enum eg_step eg_flow_next(struct eg_flow *f)
{
    eg_exchange_drop(f);
    eg_upstream_drop(f);
    f->want = EG_WANT_NOTHING;
    f->mid_request = false;
    if (f->close_after || f->engine->draining || f->client.eof)
        return last_answer_sent(f);
    if (!f->inner) { /* a tunnel keeps its session; a client shows its token with each request */
        eg_session_unref(f->session);
        f->session = NULL;
    }
    if (f->response)
        eg_msg_release(f->response);
    eg_msg_release(f->request); /* a connection at rest holds no head */
    /* between two requests the idle time counts; once a byte of a head is there, the head's */
    bool begun = f->client.in.len > 0;
    eg_flow_move(f, EG_PHASE_HEAD,
                 begun ? f->snapshot->limits->head_timeout : f->snapshot->limits->idle_timeout,
                 EG_HEAD_TIMEOUT);
    return EG_STEP_MORE;
}

void eg_flow_kill(struct eg_flow *f, enum eg_status reason)
{
    if (f->phase == EG_PHASE_DEAD)
        return;
    struct eg_loop *loop = f->engine->loop;
    bool cut = reason != EG_OK && (f->phase == EG_PHASE_EXCHANGE || f->phase == EG_PHASE_RELAY);
    if (f->phase == EG_PHASE_RELAY || f->phase == EG_PHASE_HELLO || f->phase == EG_PHASE_ANSWER)
        f->engine->stats.open_tunnels--;
    struct eg_ticket *ticket = eg_flow_ticket(f);
    eg_gate_end(&f->engine->gate, ticket, reason, ticket->event.http_status, f->bytes_up,
                f->bytes_down);
    count_bytes(f);
    f->phase = EG_PHASE_DEAD;
    eg_upstream_drop(f);
    eg_exchange_drop(f);
    eg_relay_drop(f);
    eg_side_close(loop, &f->client, cut);
    eg_side_close(loop, &f->origin, cut);
    if (f->ingress->internal) { /* client.c: a secret went through all of them */
        sodium_memzero(f->engine->scratch, EG_SCRATCH);
        eg_msg_wipe(f->request);
        eg_msg_wipe(f->response);
    }
    eg_timer_clear(loop, &f->timer);
    eg_loop_unmark(loop, &f->task);
    eg_msg_free(f->request);
    eg_msg_free(f->response);
    f->request = f->response = NULL;
    eg_session_unref(f->session);
    f->session = NULL;
    eg_snapshot_unref(f->snapshot);
    unlink_flow(f);
    eg_loop_bury(loop, &f->dead);
}
