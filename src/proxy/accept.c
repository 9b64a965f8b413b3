/* accept.c - how a client is met: the user behind a Unix socket, the TLS handshake of a listener
 * that has one, which protocol it speaks, and whose session it is.
 *
 * A TLS listener takes TLS only: what does not shake hands is dropped and recorded, never read as
 * anything else. A handshake runs in its own flow, counts as a connection and ends at its deadline.
 * A client certificate stands for a session only through the listener's list; where a client needs no
 * token (EG_INGRESS_OPEN) the listener stands for one itself, and a token that is shown counts first. */
#include <stdio.h>
#include <unistd.h>

#include "policy/policy.h"
#include "proxy/flow.h"
#include "proxy/socks.h"

/* Over what it came by, TLS where the listener wants it. */
enum eg_status eg_accept_stack(struct eg_flow *f)
{
    if (!f->ingress->tls)
        return EG_OK;
    struct eg_stream *tls = NULL;
    enum eg_status status = eg_stream_tls_server(f->client.stream, f->ingress->tls, &tls, NULL);
    if (status == EG_OK)
        f->client.stream = tls;
    return status;
}

bool eg_accept_user(const struct eg_ingress *i, int fd)
{
    enum { NOBODY = 65534 }; /* also what the kernel calls users of another namespace */
    uid_t user;
    if (!eg_sock_peer_user(fd, &user))
        return false;
    if (user == NOBODY) /* one of them, when this process is that user itself */
        return i->owner == NOBODY && geteuid() == NOBODY;
    return user == 0 || user == i->owner || user == geteuid();
}

void eg_accept_stranger(const struct eg_ingress *i, int fd)
{
    struct eg_ticket t;
    char text[64] = "a process whose user is not known";
    uid_t user;
    if (eg_sock_peer_user(fd, &user))
        snprintf(text, sizeof text, "a process of user %u at a Unix socket", (unsigned)user);
    close(fd);
    eg_gate_begin(&i->engine->gate, &t, i->engine->current, NULL, EGRESS_VIA_NONE);
    eg_gate_refused(&i->engine->gate, &t, EG_PERMISSION, text);
}

/* ---- the handshake ---- */

void eg_accept_failed(struct eg_flow *f, enum eg_status reason, const char *detail)
{
    char text[sizeof f->ticket->event.detail];
    snprintf(text, sizeof text, "handshake with the client%s%s", detail ? ": " : "",
             detail ? detail : "");
    eg_flow_begin(f, EGRESS_VIA_NONE);
    eg_gate_refused(&f->engine->gate, f->ticket, reason, text);
    eg_flow_kill(f, reason);
}

static bool name_session(void *ctx, struct eg_slice san)
{
    struct eg_flow *f = ctx;
    for (unsigned i = 0; i < f->ingress->session_count; i++) {
        if (!eg_slice_eq(f->ingress->sessions[i].san, san))
            continue;
        f->certified = &f->ingress->sessions[i];
        return true;
    }
    return false;
}

/* What failed below TLS is the client's leaving; what failed in it has a name. */
static enum eg_status reason_of(enum eg_status status)
{
    return egress_status_class(status) == EG_CLASS_TLS ? status : EG_TLS_FAILED;
}

enum eg_step eg_accept_step(struct eg_flow *f)
{
    struct eg_err err = { 0 };
    enum eg_status status = eg_stream_connect(f->client.stream, &err);
    if (status == EG_AGAIN)
        return EG_STEP_WAIT;
    if (status != EG_OK) {
        eg_accept_failed(f, reason_of(status), err.text[0] ? err.text : NULL);
        return EG_STEP_WAIT;
    }
    if (f->ingress->session_count > 0)
        (void)eg_stream_tls_peer_sans(f->client.stream, name_session, f);
    eg_flow_move(f, EG_PHASE_OPENING, f->snapshot->limits->head_timeout, EG_HEAD_TIMEOUT);
    return EG_STEP_MORE;
}

/* ---- the protocol ---- */

static enum eg_step refuse_protocol(struct eg_flow *f, enum eg_status reason, const char *detail)
{
    eg_flow_begin(f, f->socks ? EGRESS_VIA_SOCKS : EGRESS_VIA_NONE);
    return eg_refuse(f, reason, false, detail);
}

static enum eg_step told_apart(struct eg_flow *f, unsigned char first)
{
    unsigned protocols = f->ingress->protocols;
    uint64_t patience = f->snapshot->limits->head_timeout;
    f->socks = first == EG_SOCKS_VERSION || first == 4;
    if (first == 4)
        return refuse_protocol(f, EG_NOT_SUPPORTED, "SOCKS version 4 is not supported");
    if (f->socks && !(protocols & EG_PROTOCOL_SOCKS))
        return refuse_protocol(f, EG_NOT_SUPPORTED, "this listener takes no SOCKS");
    if (!f->socks && !(protocols & EG_PROTOCOL_HTTP))
        return refuse_protocol(f, EG_BAD_REQUEST, "this listener takes SOCKS5 only");
    eg_flow_move(f, f->socks ? EG_PHASE_SOCKS_GREETING : EG_PHASE_HEAD, patience, EG_HEAD_TIMEOUT);
    return EG_STEP_MORE;
}

enum eg_step eg_opening_step(struct eg_flow *f)
{
    size_t n = 0;
    enum eg_status status = eg_side_read(&f->client, f->engine->scratch, EG_SCRATCH, &n, NULL);
    if (status == EG_AGAIN) {
        f->client.intent = EG_IN;
        return EG_STEP_WAIT;
    }
    if (status == EG_OK)
        status = eg_buf_append(&f->client.in, f->engine->scratch, n);
    if (status != EG_OK) {
        enum eg_status gone = status == EG_NOMEM ? EG_NOMEM : EG_CLIENT_GONE;
        eg_flow_kill(f, status == EG_EOF ? EG_OK : gone);
        return EG_STEP_WAIT;
    }
    return told_apart(f, (unsigned char)eg_buf_slice(&f->client.in).p[0]);
}

/* ---- whose session ---- */

enum eg_status eg_client_session(const struct eg_flow *f, struct eg_session **ret)
{
    struct eg_session *s =
        f->certified ? eg_sessions_by_label(f->engine->sessions, f->certified->label) : NULL;
    if (s) {
        *ret = s;
        return eg_session_usable(s);
    }
    return f->ingress->auth == EG_AUTH_NONE ? EG_OK : EG_TOKEN_MISSING;
}

enum eg_status eg_client_token(const struct eg_flow *f, enum eg_status status,
                               const struct eg_session *token)
{
    struct eg_session *certified = NULL;
    if (f->ingress->auth != EG_AUTH_CLIENT_CERT)
        return status;
    enum eg_status own = eg_client_session(f, &certified);
    if (own != EG_OK || status != EG_OK)
        return own != EG_OK ? own : status;
    return certified == token ? EG_OK : EG_TOKEN_INVALID;
}
