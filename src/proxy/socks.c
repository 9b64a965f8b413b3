/* socks.c - the SOCKS5 server (RFC 1928, RFC 1929): greeting, login, request, each a phase; then
 * the tunnel's own path, which is CONNECT's.
 *
 * Who has no token learns nothing of the rules: the login comes before the request is read. What
 * the client sent ahead stays in its buffer and becomes the first flight. Every refusal is the
 * octet that the protocol has for it at that point, and then the close. */
#include "proxy/socks.h"

#include "proxy/flow.h"

static enum eg_step refuse(struct eg_flow *f, enum eg_status reason, const char *detail)
{
    eg_flow_begin(f, EGRESS_VIA_SOCKS);
    return eg_refuse(f, reason, false, detail);
}

/* One more piece of the handshake into client.in. EG_OK, or *step is what the phase's step answers. */
static enum eg_status read_more(struct eg_flow *f, enum eg_step *step)
{
    size_t n = 0;
    enum eg_status status = eg_side_read(&f->client, f->engine->scratch, EG_SCRATCH, &n, NULL);
    if (status == EG_OK)
        status = eg_buf_append(&f->client.in, f->engine->scratch, n);
    *step = EG_STEP_WAIT;
    if (status == EG_AGAIN)
        f->client.intent = EG_IN;
    else if (status == EG_EOF)
        *step = refuse(f, EG_BAD_REQUEST, "the connection ended inside the SOCKS handshake");
    else if (status != EG_OK)
        eg_flow_kill(f, status == EG_NOMEM ? EG_NOMEM : EG_CLIENT_GONE);
    return status;
}

/* Sends what the last phase said, then reads until the message is whole. EG_OK: *said borrows from
 * client.in, and *used bytes are to be consumed; else *step is the answer. */
static enum eg_status receive(struct eg_flow *f, enum eg_socks_part part,
                              struct eg_socks_said *said, size_t *used, enum eg_step *step)
{
    struct eg_err err = { 0 };
    enum eg_status status = eg_side_flush(&f->client, NULL);
    if (status != EG_OK) {
        *step = EG_STEP_WAIT;
        if (status == EG_AGAIN)
            f->client.intent = EG_OUT;
        else
            eg_flow_kill(f, EG_CLIENT_GONE);
        return status;
    }
    do {
        status = eg_socks_parse(part, eg_buf_slice(&f->client.in), used, said, &err);
        if (status != EG_AGAIN)
            break;
        status = read_more(f, step);
        if (status != EG_OK)
            return status;
    } while (true);
    if (status != EG_OK) {
        f->socks_reply = said->reply;
        *step = refuse(f, status, err.text);
    }
    return status;
}

/* Answers with two octets and goes on; they are sent before the next message is read. */
static enum eg_step go_on(struct eg_flow *f, size_t used, const char answer[2], enum eg_phase to)
{
    eg_buf_consume(&f->client.in, used);
    if (eg_buf_append(&f->client.out, answer, 2) != EG_OK) {
        eg_flow_kill(f, EG_NOMEM);
        return EG_STEP_WAIT;
    }
    uint64_t left =
        f->deadline > eg_loop_now(f->engine->loop) ? f->deadline - eg_loop_now(f->engine->loop) : 1;
    eg_flow_move(f, to, left, EG_HEAD_TIMEOUT); /* one deadline for the whole handshake */
    return EG_STEP_MORE;
}

enum eg_step eg_socks_greeting_step(struct eg_flow *f)
{
    struct eg_socks_said said;
    struct eg_session *session = NULL;
    enum eg_step step;
    size_t used;
    if (receive(f, EG_SOCKS_GREETING, &said, &used, &step) != EG_OK)
        return step;
    enum eg_status status = eg_client_session(f, &session);
    if (status == EG_OK && said.no_auth) {
        f->session = eg_session_ref(session);
        return go_on(f, used, "\x05\x00", EG_PHASE_SOCKS_REQUEST);
    }
    bool by_token = f->ingress->auth != EG_AUTH_CLIENT_CERT || status == EG_OK;
    if (said.password_auth && by_token)
        return go_on(f, used, "\x05\x02", EG_PHASE_SOCKS_LOGIN);
    if (session)
        f->session = eg_session_ref(session);
    if (status == EG_OK)
        return refuse(f, EG_NOT_SUPPORTED, "the client offers no method that is known here");
    return refuse(f, status, status == EG_TOKEN_MISSING ? "the client offers no login" : NULL);
}

enum eg_step eg_socks_login_step(struct eg_flow *f)
{
    struct eg_socks_said said;
    struct eg_session *session = NULL;
    enum eg_step step;
    size_t used;
    if (receive(f, EG_SOCKS_LOGIN, &said, &used, &step) != EG_OK)
        return step;
    enum eg_status status = eg_sessions_by_token(f->engine->sessions, said.password, &session);
    status = eg_client_token(f, status, session);
    f->session = eg_session_ref(session);
    if (status != EG_OK)
        return refuse(f, status, NULL);
    return go_on(f, used, "\x01\x00", EG_PHASE_SOCKS_REQUEST);
}

enum eg_step eg_socks_request_step(struct eg_flow *f)
{
    struct eg_socks_said said;
    enum eg_step step;
    size_t used;
    if (receive(f, EG_SOCKS_REQUEST, &said, &used, &step) != EG_OK)
        return step;
    eg_buf_consume(&f->client.in, used);
    if (f->client.in.len == 0)
        eg_buf_done(&f->client.in);
    if (f->engine->stats.open_flows > f->snapshot->limits->connections)
        return refuse(f, EG_TOO_MANY_CONNECTIONS, NULL);
    eg_flow_renew(f);
    eg_flow_begin(f, EGRESS_VIA_SOCKS);
    return eg_tunnel_start(f, &said.to);
}

/* RFC 1928 section 6, with the address that no client needs. */
static enum eg_status put_reply(struct eg_flow *f, uint8_t reply)
{
    const char answer[] = { EG_SOCKS_VERSION, (char)reply, 0, 1, 0, 0, 0, 0, 0, 0 };
    return eg_buf_append(&f->client.out, answer, sizeof answer);
}

enum eg_status eg_socks_connected(struct eg_flow *f)
{
    return put_reply(f, 0);
}

enum eg_status eg_socks_refused(struct eg_flow *f, enum eg_status reason)
{
    struct eg_slice in = eg_buf_slice(&f->client.in);
    int octet = f->socks_reply ? f->socks_reply : egress_status_socks(reason);
    if (reason == EG_HEAD_TIMEOUT) /* nobody listens who did not speak */
        return EG_OK;
    switch (f->phase) {
    case EG_PHASE_OPENING: /* version 4 hears its own "rejected"; version 5 where only HTTP is spoken */
        if (in.n > 0 && in.p[0] == 4)
            return eg_buf_append(&f->client.out, "\0\x5b\0\0\0\0\0\0", 8);
        return eg_buf_append(&f->client.out, "\x05\xff", 2);
    case EG_PHASE_SOCKS_GREETING:
        return eg_buf_append(&f->client.out, "\x05\xff", 2);
    case EG_PHASE_SOCKS_LOGIN:
        return eg_buf_append(&f->client.out, "\x01\x01", 2);
    default:
        return put_reply(f, octet > 0 && octet < 0xff ? (uint8_t)octet : EG_SOCKS_GENERAL);
    }
}
