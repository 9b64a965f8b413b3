/* tunnel.c - CONNECT, HTTP's and SOCKS5's, and captured connections, step by step: judged, resolved, judged, recorded and
 * connected elsewhere; here the answer (none, to a client that does not know of us), the first flight, and what may flow.
 *
 * Under scheme https not a byte reaches the origin before the ClientHello is whole and names the
 * host that was judged. Bytes are read, never peeked. Under scheme http nothing is connected for
 * the tunnel: the requests inside are judged one by one, by the code that serves absolute-form. */
#include <stdlib.h>

#include "proxy/flow.h"

static enum eg_step say_connected(struct eg_flow *f)
{
    if (f->phase == EG_PHASE_DEAD)
        return EG_STEP_WAIT;
    f->engine->stats.tunnels++;
    f->engine->stats.open_tunnels++;
    bool captured = eg_flow_captured(f);
    f->ticket->event.http_status = f->socks || captured ? 0 : 200;
    enum eg_status status =
        captured   ? EG_OK
        : f->socks ? eg_socks_connected(f)
                   : eg_buf_put(&f->client.out,
                                EG_SLICE("HTTP/1.1 200 Connection established\r\n\r\n"));
    if (status != EG_OK) {
        eg_flow_kill(f, EG_NOMEM);
        return EG_STEP_WAIT;
    }
    return EG_STEP_MORE;
}

enum eg_step eg_tunnel_start(struct eg_flow *f, const struct eg_authority *to)
{
    f->want = EG_WANT_TUNNEL;
    enum eg_status status = eg_gate_tunnel(&f->engine->gate, f->ticket, to);
    if (status != EG_OK)
        return eg_refuse(f, status, true, NULL);
    if (f->ticket->verdict.scheme != EG_SCHEME_HTTP)
        return eg_upstream_open(f);
    status = eg_gate_inner(&f->engine->gate, f->ticket);
    if (status != EG_OK)
        return eg_refuse(f, status, true, NULL);
    eg_flow_move(f, EG_PHASE_ANSWER, f->snapshot->limits->head_timeout, EG_IDLE_TIMEOUT);
    return say_connected(f);
}

enum eg_step eg_tunnel_connected(struct eg_flow *f)
{
    eg_upstream_drop(f);
    eg_flow_move(f, EG_PHASE_ANSWER, f->snapshot->limits->head_timeout, EG_IDLE_TIMEOUT);
    return say_connected(f);
}

/* From here on the connection carries requests for that one authority. */
static enum eg_step serve_inner(struct eg_flow *f)
{
    f->inner_to = malloc(sizeof *f->inner_to);
    if (!f->inner_to) {
        eg_flow_kill(f, EG_NOMEM);
        return EG_STEP_WAIT;
    }
    f->inner = true;
    *f->inner_to = f->ticket->to;
    f->engine->stats.open_tunnels--;
    f->close_after = false;
    eg_gate_end(&f->engine->gate, f->ticket, EG_OK, f->ticket->event.http_status, 0, 0);
    f->mid_request = false;
    eg_msg_reset(f->request, EG_SLICE_NONE);
    eg_flow_move(f, EG_PHASE_HEAD, f->snapshot->limits->head_timeout, EG_HEAD_TIMEOUT);
    return EG_STEP_MORE;
}

enum eg_step eg_answer_step(struct eg_flow *f)
{
    enum eg_status status = eg_side_flush(&f->client, NULL);
    if (status == EG_AGAIN) {
        f->client.intent = EG_OUT;
        return EG_STEP_WAIT;
    }
    if (status != EG_OK) {
        eg_flow_kill(f, EG_CLIENT_GONE);
        return EG_STEP_WAIT;
    }
    if (f->ticket->verdict.scheme == EG_SCHEME_HTTP)
        return serve_inner(f);
    if (f->ticket->verdict.scheme == EG_SCHEME_TCP)
        return eg_relay_start(f);
    eg_flow_move(f, EG_PHASE_HELLO, f->snapshot->limits->head_timeout, EG_HEAD_TIMEOUT);
    return EG_STEP_MORE;
}

/* Reads one more piece of the first flight. EG_OK, EG_AGAIN, EG_EOF or the failure. */
static enum eg_status read_flight(struct eg_flow *f)
{
    size_t n = 0, room = EG_HELLO_MAX - f->client.in.len;
    enum eg_status status = eg_side_read(&f->client, f->engine->scratch, room, &n, NULL);
    return status == EG_OK ? eg_buf_append(&f->client.in, f->engine->scratch, n) : status;
}

enum eg_status eg_tunnel_flight(struct eg_flow *f, struct eg_hello *hello)
{
    for (;;) {
        struct eg_slice first = eg_buf_slice(&f->client.in);
        eg_hello_parse(first.p, first.n, hello);
        if (hello->kind != EG_HELLO_MORE || first.n >= EG_HELLO_MAX)
            return EG_OK;
        enum eg_status status = read_flight(f);
        if (status == EG_AGAIN)
            f->client.intent = EG_IN;
        if (status == EG_EOF && first.n > 0)
            return EG_OK; /* what came is no ClientHello */
        if (status != EG_OK)
            return status;
    }
}

enum eg_step eg_hello_step(struct eg_flow *f)
{
    struct eg_hello hello;
    enum eg_status status = eg_tunnel_flight(f, &hello);
    if (status != EG_OK) {
        if (status != EG_AGAIN)
            eg_flow_kill(f, status == EG_EOF ? EG_OK : EG_CLIENT_GONE);
        return EG_STEP_WAIT;
    }
    status = eg_gate_hello(&f->engine->gate, f->ticket, &hello);
    return status == EG_OK ? eg_relay_start(f) : eg_refuse(f, status, false, NULL);
}
