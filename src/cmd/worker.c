/* worker.c - a worker process: gives up its privileges, then does what the supervisor's messages
 * say with the engine: the audit first of all, then a policy and what belongs to it. It opens no
 * file and starts no process; everything comes over the link (credentials: worker_creds.c). */
#include "cmd/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "cmd/confine.h"
#include "cmd/facts.h"
#include "cmd/files.h"
#include "cmd/link.h"
#include "cmd/ssh_ask.h"
#include "cmd/worker_creds.h"
#include "tls/aead.h"
#include "tls/context.h"

enum { VAULT = 128 * 1024, BLOCK_MAX = 1 << 30, QUEUE_MAX = 256 * 1024 };

struct mapping { /* of one policy; freed when the engine releases it */
    const void *block, *facts;
    size_t block_n, facts_n;
};

struct worker {
    const struct eg_worker_config *config;
    struct eg_trail trail; /* ring, file: none before AUDIT */
    struct eg_loop *loop;
    struct eg_vault *vault;
    struct eg_engine *engine;
    struct eg_link link;
    struct eg_worker_creds creds;
    bool stop, draining, has_policy, hastened;
    int urandom;
};

static void reply(struct worker *w, const struct eg_link_message *m)
{
    if (eg_link_send(&w->link, m, NULL, 0, NULL) != EG_OK)
        w->stop = true; /* a supervisor that does not read is gone, or will be */
}

static void reply_err(struct worker *w, enum eg_link_kind kind, uint32_t generation,
                      enum eg_status status, const struct eg_err *err)
{
    char text[256];
    struct eg_err bare = { .status = status };
    eg_err_format(err && err->status != EG_OK ? err : &bare, text, sizeof text);
    struct eg_link_message m = {
        .kind = kind, .generation = generation, .status = status, .a = eg_slice_str(text)
    };
    reply(w, &m);
}

static void warn(void *ctx, const char *text)
{
    struct eg_slice s = eg_slice_str(text);
    s.n = s.n > 240 ? 240 : s.n;
    reply(ctx, &(struct eg_link_message){ .kind = EG_LINK_WARN, .a = s });
}

/* ---- channels of ssh hops: the supervisor opens them ---- */

static enum eg_status channel_open(void *ctx, const struct eg_channel_ask *ask)
{
    return eg_ssh_ask_send(&((struct worker *)ctx)->link, ask);
}

static void channel_cancel(void *ctx, uint64_t id)
{
    reply(ctx, &(struct eg_link_message){ .kind = EG_LINK_CHANNEL_CANCEL, .id = id });
}

/* ---- credentials: the supervisor reads them ---- */

static enum eg_status credential_ask(void *ctx, struct eg_slice name, bool refused)
{
    return eg_worker_creds_ask(&((struct worker *)ctx)->creds, name, refused);
}

static void stored(struct worker *w, bool whole)
{
    if (!whole)
        warn(w, "a credential could not be stored");
}

/* ---- the audit, and the engine that writes to it ---- */

static enum eg_status begin_audit(struct worker *w, const struct eg_link_message *m, int *fds,
                                  unsigned fd_count, struct eg_err *err)
{
    if (w->engine || fd_count < 1 || fd_count > 2 || m->when_us > EG_DEST_NONE)
        return EG_INVALID;
    enum eg_status status = egress_ring_open(fds[0], &w->trail.ring);
    if (status != EG_OK)
        return eg_err_set(err, status, "audit", 0, "the ring can't be mapped");
    if (fd_count == 2) {
        w->trail.file = fds[1];
        fds[1] = -1;
    }
    w->trail.writer = w->config->number;
    w->trail.strict = m->flag;
    w->trail.destinations = (enum eg_destinations)m->when_us;
    struct eg_engine_config engine = { .loop = w->loop,
                                       .trail = w->trail,
                                       .vault = w->vault,
                                       .splice = w->config->splice,
                                       .channel_open = channel_open,
                                       .channel_cancel = channel_cancel,
                                       .credential_ask = credential_ask,
                                       .warn = warn,
                                       .ctx = w };
    w->creds.vault = w->vault;
    w->creds.link = &w->link;
    status = eg_worker_creds_init(&w->creds);
    if (status == EG_OK)
        status = eg_engine_new(&engine, &w->engine, err);
    w->creds.engine = w->engine;
    return status;
}

/* ---- policies ---- */

static void release(void *ctx)
{
    struct mapping *m = ctx;
    if (m->block)
        munmap((void *)(uintptr_t)m->block, m->block_n);
    if (m->facts)
        munmap((void *)(uintptr_t)m->facts, m->facts_n);
    free(m);
}

static enum eg_status prepare(struct worker *w, const int *fds, unsigned fd_count,
                              struct eg_err *err)
{
    struct eg_facts facts;
    struct mapping *m = calloc(1, sizeof *m);
    if (!m)
        return EG_NOMEM;
    enum eg_status status = fd_count == 2 ? EG_OK : EG_INVALID;
    if (status == EG_OK)
        status = eg_file_map(fds[0], BLOCK_MAX, &m->block, &m->block_n, err);
    if (status == EG_OK)
        status = eg_file_map(fds[1], EG_FACTS_MAX, &m->facts, &m->facts_n, err);
    if (status == EG_OK)
        status = eg_facts_decode(m->facts, m->facts_n, &facts);
    if (status != EG_OK) {
        release(m);
        return status;
    }
    struct eg_err slow = { 0 }; /* before the contexts are made */
    if (eg_worker_hasten(m->block, m->block_n, &w->hastened, &slow) != EG_OK &&
        w->config->number == 1)
        eg_log(EG_LOG_WARN, "TLS runs without AES instructions: %s", slow.text);
    return eg_engine_prepare(w->engine, m->block, m->block_n, &facts, release, m, err);
}

/* ---- messages ---- */

static void listen_on(struct worker *w, const struct eg_link_message *m, int *fds,
                      unsigned fd_count)
{
    struct eg_err err = { 0 };
    enum eg_status status = EG_INVALID;
    struct eg_listen_session sessions[EG_LINK_PAIRS];
    struct eg_listen_config config = { .self = m->at,
                                       .kind = m->ingress,
                                       .protocols = m->protocols,
                                       .auth = m->auth,
                                       .cert_pem = m->a,
                                       .key_pem = m->b,
                                       .client_ca_pem = m->c,
                                       .require_client = m->flag,
                                       .sessions = sessions,
                                       .session_count = m->pair_count };
    for (unsigned i = 0; i < m->pair_count; i++)
        sessions[i] = (struct eg_listen_session){ eg_slice_str(m->pairs[i].service),
                                                  eg_slice_str(m->pairs[i].phantom) };
    if (fd_count == 1) {
        int fd = fds[0];
        fds[0] = -1;
        status = eg_engine_listen(w->engine, fd, &config, &err);
    }
    if (status != EG_OK)
        reply_err(w, EG_LINK_FAILED, m->generation, status, &err);
}

static void put_session(struct worker *w, const struct eg_link_message *m)
{
    struct eg_err err = { 0 };
    struct eg_session_spec spec = { .id = m->a.p,
                                    .label = m->b.p,
                                    .token = m->c.p,
                                    .expires_wall_us = m->when_us,
                                    .phantoms = m->pairs,
                                    .phantom_count = m->pair_count };
    enum eg_status status = eg_engine_session_put(w->engine, &spec, &err);
    if (status != EG_OK)
        warn(w, *err.text ? err.text : "a session could not be stored");
}

/* Who waits at its other end sees it closed when it can't be served. */
static void take_client(struct worker *w, int *fds, unsigned fd_count)
{
    struct eg_err err = { 0 };
    if (fd_count != 1)
        return;
    int fd = fds[0];
    fds[0] = -1;
    if (eg_engine_client(w->engine, fd, &err) != EG_OK)
        warn(w, *err.text ? err.text : "a client of our own could not be served");
}

static void drive(struct worker *w, const struct eg_link_message *m)
{
    struct eg_link_message answer = { .generation = m->generation };
    switch (m->kind) {
    case EG_LINK_SWITCH:
        stored(w, eg_worker_creds_switch(&w->creds, true));
        eg_engine_switch(w->engine);
        break;
    case EG_LINK_ABANDON:
        stored(w, eg_worker_creds_switch(&w->creds, false));
        eg_engine_abandon(w->engine);
        break;
    case EG_LINK_GO:
        answer.kind = EG_LINK_READY;
        reply(w, &answer);
        break;
    case EG_LINK_DRAIN:
        if (!w->draining)
            eg_engine_drain(w->engine);
        w->draining = true;
        break;
    case EG_LINK_STATS_ASK:
        answer.kind = EG_LINK_STATS;
        eg_engine_stats(w->engine, &answer.stats);
        reply(w, &answer);
        break;
    default:
        w->stop = true;
    }
}

static void message(struct eg_link *l, const struct eg_link_message *m, int *fds, unsigned fd_count)
{
    struct worker *w = l->ctx;
    struct eg_err err = { 0 };
    enum eg_status status;
    w->stop = w->stop || (!w->engine && m->kind != EG_LINK_AUDIT); /* no work without a record */
    if (w->stop)
        return;
    switch (m->kind) {
    case EG_LINK_AUDIT:
        status = begin_audit(w, m, fds, fd_count, &err);
        if (status != EG_OK)
            reply_err(w, EG_LINK_FAILED, m->generation, status, &err);
        w->stop = w->stop || status != EG_OK;
        break;
    case EG_LINK_POLICY:
        status = prepare(w, fds, fd_count, &err);
        reply_err(w, status == EG_OK ? EG_LINK_ACCEPTED : EG_LINK_REFUSED, m->generation, status,
                  &err);
        w->has_policy = w->has_policy || status == EG_OK;
        w->stop = w->stop || !w->has_policy; /* listeners follow: nothing may judge by nothing */
        break;
    case EG_LINK_LISTENER:
        listen_on(w, m, fds, fd_count);
        break;
    case EG_LINK_SESSION_PUT:
        put_session(w, m);
        break;
    case EG_LINK_SESSION_REVOKE:
        eg_engine_session_revoke(w->engine, m->a.p);
        break;
    case EG_LINK_CHANNEL:
        eg_ssh_answer_take(w->engine, m, fds, fd_count);
        break;
    case EG_LINK_CLIENT:
        take_client(w, fds, fd_count);
        break;
    case EG_LINK_CREDENTIAL:
    case EG_LINK_CREDENTIAL_FAILED:
    case EG_LINK_CREDENTIAL_DROP:
        w->stop = eg_worker_creds_take(&w->creds, m) != EG_OK;
        break;
    case EG_LINK_CREDENTIAL_SETTLED:
        stored(w, eg_worker_creds_settled(&w->creds, m->a));
        break;
    default:
        drive(w, m);
    }
}

static void link_closed(struct eg_link *l, enum eg_status why)
{
    (void)why;
    ((struct worker *)l->ctx)->stop = true;
}

/* ---- the process ---- */

static void signals(void)
{
    static const int ignored[] = { SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,
                                   SIGPIPE, SIGXFSZ, SIGUSR1, SIGUSR2, SIGTSTP };
    struct sigaction ignore = { .sa_handler = SIG_IGN }, plain = { .sa_handler = SIG_DFL };
    sigset_t none;
    /* the supervisor decides what they mean */
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        sigaction(ignored[i], &ignore, NULL);
    sigaction(SIGCHLD, &plain, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static enum eg_status leave(struct worker *w, const struct eg_worker_config *config,
                            struct eg_err *err)
{
    int keep[1] = { config->link };
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
        return eg_err_set(err, EG_IO, "worker", errno, "/dev/null");
    enum eg_status status = eg_confine_descriptors(keep, 1, err);
    if (status != EG_OK)
        return status;
    (void)clearenv();
    w->urandom = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (w->urandom < 0)
        return eg_err_set(err, EG_IO, "worker", errno, "/dev/urandom");
    bool locked = false, weak = false;
    status = eg_vault_new(&w->vault, VAULT, false, &locked, err);
    if (status == EG_OK)
        status = eg_tls_start(err);
    if (status == EG_OK)
        eg_tls_load(); /* the last file of this process */
    if (status == EG_OK)
        status = eg_confine_privileges(&weak, err);
    if (status == EG_OK && weak)
        eg_log(EG_LOG_WARN, "worker %u keeps its user id: this system lets root not change it",
               config->number);
    if (status == EG_OK)
        status = eg_confine_calls(w->urandom, err);
    return status;
}

static enum eg_status begin(struct worker *w, const struct eg_worker_config *config,
                            struct eg_err *err)
{
    enum eg_status status = eg_loop_new(&w->loop, err);
    w->link.message = message;
    w->link.closed = link_closed;
    w->link.ctx = w;
    if (status == EG_OK)
        status =
            eg_link_open(&w->link, w->loop, config->link, EG_LINK_TO_WORKER_MAX, 2, QUEUE_MAX, err);
    return status;
}

_Noreturn void eg_worker_run(const struct eg_worker_config *config)
{
    struct eg_err err = { 0 };
    struct worker w = { .config = config, .trail.file = -1, .urandom = -1 };
    char text[256];
    signals();
    enum eg_status status = leave(&w, config, &err);
    if (status == EG_OK)
        status = begin(&w, config, &err);
    if (status != EG_OK) {
        struct eg_err bare = { .status = status };
        eg_log(EG_LOG_ERROR, "worker %u: %s", config->number,
               eg_err_format(err.status != EG_OK ? &err : &bare, text, sizeof text));
        _exit(1);
    }
    while (!w.stop && !(w.draining && (!w.engine || eg_engine_idle(w.engine)))) {
        status = eg_loop_tick(w.loop, -1, &err);
        if (status != EG_OK)
            break;
    }
    eg_worker_creds_done(&w.creds);
    eg_engine_free(w.engine); /* writes the `end` events of what it cuts */
    egress_ring_free(w.trail.ring);
    eg_link_close(&w.link);
    eg_loop_free(w.loop);
    eg_vault_free(w.vault);
    _exit(status == EG_OK ? 0 : 1);
}
