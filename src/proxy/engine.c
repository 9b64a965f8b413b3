/* engine.c - the data path of one worker, put together: listeners accept, sessions are known,
 * snapshots change, flows drain. */
#include "proxy/engine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/sock.h"
#include "proxy/credwait.h"
#include "proxy/flow.h"
#include "proxy/pool.h"
#include "proxy/redaction.h"

static void drain_over(struct eg_timer *t);

enum eg_status eg_engine_new(const struct eg_engine_config *config, struct eg_engine **ret,
                             struct eg_err *err)
{
    struct eg_engine *e = calloc(1, sizeof *e);
    if (!e)
        return eg_err_set(err, EG_NOMEM, "engine", 0, "out of memory");
    e->loop = config->loop;
    e->vault = config->vault;
    e->splice = config->splice;
    e->warn = config->warn;
    e->ctx = config->ctx;
    e->channel_open = config->channel_open;
    e->channel_cancel = config->channel_cancel;
    e->credential_ask = config->credential_ask;
    e->dial = config->dial;
    e->wanted = config->wanted;
    e->gate.trail = config->trail;
    e->drain_timer.fire = drain_over;
    e->drain_timer.ctx = e;
    e->scratch = malloc(EG_SCRATCH);
    enum eg_status status = e->scratch ? eg_creds_new(e->vault, &e->creds) : EG_NOMEM;
    if (status == EG_OK)
        status = eg_sessions_new(&e->sessions);
    if (status == EG_OK)
        status = eg_pool_new(e, &e->pool);
    if (status != EG_OK) {
        eg_engine_free(e);
        return eg_err_set(err, status, "engine", 0, "out of memory");
    }
    e->gate.creds = e->creds;
    *ret = e;
    return EG_OK;
}

static void close_listeners(struct eg_engine *e)
{
    while (e->ingresses) {
        struct eg_ingress *i = e->ingresses;
        e->ingresses = i->next;
        eg_listener_stop(&i->listener);
        close(i->fd);
        i->fd = -1;
        i->next = e->closed;
        e->closed = i; /* flows still point to it */
    }
}

static void ingress_free(struct eg_ingress *i)
{
    eg_tls_ctx_unref(i->tls);
    for (unsigned k = 0; k < i->session_count; k++) {
        free((char *)(uintptr_t)i->sessions[k].san.p);
        free((char *)(uintptr_t)i->sessions[k].label.p);
    }
    free(i->sessions);
    free(i);
}

void eg_engine_free(struct eg_engine *e)
{
    if (!e)
        return;
    close_listeners(e);
    while (e->flows)
        eg_flow_kill(e->flows, EG_SHUTTING_DOWN);
    eg_client_drop(e);
    eg_capture_drop(e);
    eg_pool_free(e->pool);
    eg_timer_clear(e->loop, &e->drain_timer);
    eg_snapshot_unref(e->pending);
    eg_snapshot_unref(e->current);
    eg_sessions_free(e->sessions);
    eg_creds_free(e->creds);
    eg_credwait_free(e);
    eg_redaction_free(e);
    while (e->pipe_count > 0) {
        e->pipe_count--;
        close(e->pipes[e->pipe_count].fd[0]);
        close(e->pipes[e->pipe_count].fd[1]);
    }
    while (e->closed) {
        struct eg_ingress *i = e->closed;
        e->closed = i->next;
        ingress_free(i);
    }
    free(e->spare);
    free(e->scratch);
    free(e);
}

/* ---- policy ---- */

enum eg_status eg_engine_prepare(struct eg_engine *e, const void *block, size_t n,
                                 const struct eg_facts *facts, void (*release)(void *ctx),
                                 void *ctx, struct eg_err *err)
{
    eg_engine_abandon(e);
    return eg_snapshot_new(e->loop, block, n, facts, release, ctx, &e->pending, err);
}

void eg_engine_abandon(struct eg_engine *e)
{
    eg_snapshot_unref(e->pending);
    e->pending = NULL;
}

/* Tunnels and exchanges under way are judged by the new policy; what it denies is cut. */
static void judge_again(struct eg_engine *e)
{
    struct eg_flow *next;
    for (struct eg_flow *f = e->flows; f; f = next) {
        next = f->next;
        if (eg_flow_ticket(f)->open && !eg_upstream_still_allowed(f))
            eg_flow_kill(f, EG_POLICY_CUT);
    }
}

void eg_engine_switch(struct eg_engine *e)
{
    if (!e->pending)
        return;
    struct eg_snapshot *old = e->current;
    e->current = e->pending;
    e->pending = NULL;
    eg_pool_clear(e->pool);
    eg_redaction_free(e);
    if (old)
        judge_again(e);
    eg_snapshot_unref(old);
}

/* ---- listeners ---- */

static void accepted(struct eg_listener *l, int fd, const struct eg_sockaddr *peer)
{
    const struct eg_ingress *i = l->ctx;
    (void)peer; /* who it is, its token tells */
    if (i->self.addr.family != 0 || eg_accept_user(i, fd))
        eg_flow_start(i, fd);
    else
        eg_accept_stranger(i, fd);
}

static void starved(struct eg_listener *l, int error)
{
    const struct eg_ingress *i = l->ctx;
    (void)error;
    if (i->engine->warn)
        i->engine->warn(i->engine->ctx,
                        "no descriptor is left: accepting pauses (raise the limit of open files)");
}

static bool copy_text(struct eg_slice from, struct eg_slice *to)
{
    char *p = eg_slice_dup(from);
    if (p)
        *to = eg_slice(p, from.n);
    return p != NULL;
}

static enum eg_status copy_sessions(struct eg_ingress *i, const struct eg_listen_config *config)
{
    i->sessions = calloc(config->session_count + 1, sizeof *i->sessions);
    if (!i->sessions)
        return EG_NOMEM;
    for (unsigned k = 0; k < config->session_count; k++) {
        i->session_count = k + 1;
        if (!copy_text(config->sessions[k].san, &i->sessions[k].san) ||
            !copy_text(config->sessions[k].label, &i->sessions[k].label))
            return EG_NOMEM;
    }
    return EG_OK;
}

static enum eg_status listen_tls(struct eg_ingress *i, const struct eg_listen_config *config,
                                 struct eg_err *err)
{
    struct eg_tls_server_config tls = { .cert_pem = config->cert_pem,
                                        .key_pem = config->key_pem,
                                        .client_ca_pem = config->client_ca_pem,
                                        .require_client = config->require_client };
    bool wants = config->client_ca_pem.n > 0 || config->require_client ||
                 config->auth == EG_AUTH_CLIENT_CERT;
    if (config->cert_pem.n > 0 &&
        (config->auth != EG_AUTH_CLIENT_CERT || config->client_ca_pem.n > 0))
        return eg_tls_server_ctx(&tls, &i->tls, err);
    if (!wants)
        return EG_OK; /* a plain one */
    return eg_err_set(err, EG_INVALID, "engine", 0,
                      "client certificates need a listener with TLS and a CA for them");
}

static enum eg_status ingress_fill(struct eg_ingress *i, struct eg_engine *e, int fd,
                                   const struct eg_listen_config *config, struct eg_err *err)
{
    i->engine = e;
    i->fd = fd;
    i->self = config->self;
    i->kind = config->kind;
    i->protocols = config->protocols ? config->protocols : EG_PROTOCOL_HTTP | EG_PROTOCOL_SOCKS;
    i->auth = config->auth;
    i->listener.accepted = accepted;
    i->listener.starved = starved;
    i->listener.ctx = i;
    if (i->self.addr.family == 0 && !eg_sock_peer_user(fd, &i->owner))
        return eg_err_set(err, EG_INVALID, "engine", 0, "a listener without an address");
    enum eg_status status = copy_sessions(i, config);
    if (status == EG_OK && config->kind != EG_INGRESS_PROXY) {
        if (i->session_count != 1)
            return eg_err_set(err, EG_INVALID, "engine", 0, "a listener for nobody's session");
        i->everyone = &i->sessions[0];
    }
    return status == EG_OK ? listen_tls(i, config, err) : status;
}

enum eg_status eg_engine_listen(struct eg_engine *e, int fd, const struct eg_listen_config *config,
                                struct eg_err *err)
{
    if (config->kind == EG_INGRESS_NAMES_UDP || config->kind == EG_INGRESS_NAMES_TCP)
        return eg_capture_names(e, fd, config->kind == EG_INGRESS_NAMES_TCP, err);
    struct eg_ingress *i = e->gate.own_count < sizeof e->gate.own / sizeof e->gate.own[0]
                               ? calloc(1, sizeof *i)
                               : NULL;
    if (!i) {
        close(fd);
        return eg_err_set(err, EG_TOO_BIG, "engine", 0, "too many listeners");
    }
    enum eg_status status = ingress_fill(i, e, fd, config, err);
    if (status == EG_OK)
        status = eg_listener_start(&i->listener, e->loop, fd, true, err);
    if (status != EG_OK) {
        close(fd);
        ingress_free(i);
        return status;
    }
    e->gate.own[e->gate.own_count++] = config->self; /* a Unix socket's is like no address */
    i->next = e->ingresses;
    e->ingresses = i;
    return EG_OK;
}

void eg_engine_serve(struct eg_engine *e, struct eg_stream *client)
{
    if (e->ingresses && e->current)
        eg_flow_serve(e->ingresses, client);
    else
        eg_stream_free(client);
}

void eg_engine_wake(struct eg_engine *e)
{
    for (struct eg_flow *f = e->flows; f; f = f->next)
        eg_flow_wake(f);
}

/* ---- sessions and credentials ---- */

enum eg_status eg_engine_session_put(struct eg_engine *e, const struct eg_session_spec *spec,
                                     struct eg_err *err)
{
    return eg_sessions_put(e->sessions, spec, err);
}

void eg_engine_session_revoke(struct eg_engine *e, const char *id)
{
    struct eg_flow *next;
    if (!eg_sessions_revoke(e->sessions, id))
        return;
    eg_pool_clear_session(e->pool, id);
    for (struct eg_flow *f = e->flows; f; f = next) {
        next = f->next;
        if (f->session && strcmp(f->session->id, id) == 0)
            eg_flow_kill(f, EG_TOKEN_REVOKED);
    }
}

struct eg_creds *eg_engine_creds(struct eg_engine *e)
{
    return e->creds;
}

/* ---- the end ---- */

static void drain_over(struct eg_timer *t)
{
    struct eg_engine *e = t->ctx;
    while (e->flows)
        eg_flow_kill(e->flows, EG_SHUTTING_DOWN);
}

void eg_engine_drain(struct eg_engine *e)
{
    struct eg_flow *next;
    uint64_t patience = e->current ? e->current->limits->drain_timeout : 0;
    if (e->draining)
        return;
    e->draining = true;
    close_listeners(e);
    eg_pool_clear(e->pool);
    for (struct eg_flow *f = e->flows; f; f = next) {
        next = f->next;
        if (f->phase == EG_PHASE_OPENING ||
            (f->phase == EG_PHASE_HEAD && eg_msg_begun(f->request) == 0 && f->client.in.len == 0))
            eg_flow_kill(f, EG_OK);
    }
    if (eg_timer_set(e->loop, &e->drain_timer, eg_loop_now(e->loop) + patience) != EG_OK)
        drain_over(&e->drain_timer);
}

bool eg_engine_idle(const struct eg_engine *e)
{
    return e->flows == NULL;
}

void eg_engine_stats(const struct eg_engine *e, struct eg_engine_stats *ret)
{
    *ret = e->stats;
    ret->pooled = eg_pool_count(e->pool);
    ret->sessions = eg_sessions_count(e->sessions);
}
