/* relay.c - bytes both ways until both ends have ended, with half-close carried across.
 *
 * Small traffic is read and written through the engine's scratch buffer, which costs a flow at
 * rest nothing. Once a read takes as much as is asked for, and both stacks are transparent down to TCP, the
 * direction changes to splice through a pooled pipe, and back when it runs dry. A full side
 * drops the read interest of the other. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy/flow.h"

enum { PIPE_BYTES = 1 << 20, READ = 65536 };

struct direction {
    struct eg_side *from, *to;
    uint64_t *bytes;
    enum eg_status from_gone, to_gone; /* what a failure of that end is called */
    int pipe[2];                       /* -1: not splicing */
    size_t piped;                      /* bytes in the pipe */
    bool done;                         /* EOF was read and carried across */
};

struct eg_relay {
    struct direction up, down;
};

static bool take_pipe(struct eg_engine *e, int pipe_fds[2])
{
    if (e->pipe_count > 0) {
        e->pipe_count--;
        pipe_fds[0] = e->pipes[e->pipe_count].fd[0];
        pipe_fds[1] = e->pipes[e->pipe_count].fd[1];
        return true;
    }
    if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) != 0) {
        pipe_fds[0] = pipe_fds[1] = -1;
        return false;
    }
    (void)fcntl(pipe_fds[1], F_SETPIPE_SZ, PIPE_BYTES); /* a smaller one works too */
    return true;
}

/* A pipe that still holds bytes would hand them to the next relay: it is closed. */
static void give_pipe(struct eg_engine *e, struct direction *d)
{
    if (d->pipe[0] < 0)
        return;
    if (d->piped == 0 && e->pipe_count < sizeof e->pipes / sizeof e->pipes[0]) {
        e->pipes[e->pipe_count].fd[0] = d->pipe[0];
        e->pipes[e->pipe_count].fd[1] = d->pipe[1];
        e->pipe_count++;
    } else {
        close(d->pipe[0]);
        close(d->pipe[1]);
    }
    d->pipe[0] = d->pipe[1] = -1;
    d->piped = 0;
}

void eg_relay_drop(struct eg_flow *f)
{
    if (!f->relay)
        return;
    give_pipe(f->engine, &f->relay->up);
    give_pipe(f->engine, &f->relay->down);
    free(f->relay);
    f->relay = NULL;
}

enum eg_step eg_relay_start(struct eg_flow *f)
{
    struct eg_relay *r = calloc(1, sizeof *r);
    if (!r) {
        eg_flow_kill(f, EG_NOMEM);
        return EG_STEP_WAIT;
    }
    r->up =
        (struct direction){ &f->client, &f->origin, &f->bytes_up, EG_CLIENT_GONE, EG_ORIGIN_GONE,
                            { -1, -1 }, 0,          false };
    r->down =
        (struct direction){ &f->origin, &f->client, &f->bytes_down, EG_ORIGIN_GONE, EG_CLIENT_GONE,
                            { -1, -1 }, 0,          false };
    f->relay = r;
    eg_flow_move(f, EG_PHASE_RELAY, f->snapshot->limits->idle_timeout, EG_IDLE_TIMEOUT);
    if (f->phase == EG_PHASE_DEAD)
        return EG_STEP_WAIT;
    eg_flow_rest(f);
    f->bytes_up += f->client.in.len;
    enum eg_status status = eg_side_send(&f->origin, eg_buf_slice(&f->client.in), NULL);
    eg_buf_done(&f->client.in);
    if (status != EG_OK) {
        eg_flow_kill(f, EG_ORIGIN_GONE);
        return EG_STEP_WAIT;
    }
    return EG_STEP_MORE;
}

static bool may_splice(const struct eg_flow *f, const struct direction *d)
{
    return f->engine->splice && eg_stream_raw_fd(d->from->stream) >= 0 &&
           eg_stream_raw_fd(d->to->stream) >= 0;
}

/* Pipe to target. EG_OK: the pipe is empty. */
static enum eg_status drain_pipe(struct direction *d)
{
    while (d->piped > 0) {
        ssize_t n = splice(d->pipe[0], NULL, eg_stream_raw_fd(d->to->stream), NULL, d->piped,
                           SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n > 0)
            d->piped -= (size_t)n;
        else if (n < 0 && errno == EINTR)
            continue;
        else
            return n < 0 && errno == EAGAIN ? EG_AGAIN : d->to_gone;
    }
    return EG_OK;
}

/* Source to pipe. EG_OK: bytes came; EG_AGAIN: it ran dry. */
static enum eg_status fill_pipe(struct direction *d)
{
    ssize_t n;
    do
        n = splice(eg_stream_raw_fd(d->from->stream), NULL, d->pipe[1], NULL, PIPE_BYTES,
                   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? EG_AGAIN : d->from_gone;
    if (n == 0) {
        d->from->eof = true;
        return EG_EOF;
    }
    d->piped += (size_t)n;
    *d->bytes += (uint64_t)n;
    return EG_OK;
}

static enum eg_status copy_once(struct eg_flow *f, struct direction *d)
{
    size_t n = 0;
    enum eg_status status = eg_side_read(d->from, f->engine->scratch, READ, &n, NULL);
    if (status != EG_OK)
        return status == EG_AGAIN || status == EG_EOF ? status : d->from_gone;
    *d->bytes += n;
    if (eg_side_send(d->to, eg_slice(f->engine->scratch, n), NULL) != EG_OK)
        return d->to_gone;
    if (n == READ && d->to->out.len == 0 && may_splice(f, d))
        (void)take_pipe(f->engine, d->pipe); /* without one, copying goes on */
    return EG_OK;
}

/* What was read before is out. EG_OK, EG_AGAIN (the target is full) or the failure. */
static enum eg_status drain(struct direction *d, bool other_done)
{
    enum eg_status status = drain_pipe(d);
    if (status == EG_OK)
        status = eg_side_flush(d->to, NULL);
    if (status == EG_OK && d->from->eof) {
        /* the other way has ended too: the close that follows says the same on plain TCP */
        bool closing = other_done && eg_stream_raw_fd(d->to->stream) >= 0;
        status = closing ? EG_OK : eg_side_shut(d->to->flow->engine->loop, d->to);
        d->done = status == EG_OK;
    }
    if (status == EG_AGAIN)
        d->to->intent |= EG_OUT;
    return status == EG_OK || status == EG_AGAIN ? status : d->to_gone;
}

/* EG_OK: more may be possible; EG_AGAIN: waits; else why the flow ends. */
static enum eg_status pump(struct eg_flow *f, struct direction *d)
{
    const struct eg_relay *r = f->relay;
    enum eg_status status = drain(d, d == &r->up ? r->down.done : r->up.done);
    if (status != EG_OK || d->done)
        return d->done ? EG_AGAIN : status;
    bool spliced = d->pipe[0] >= 0;
    status = spliced ? fill_pipe(d) : copy_once(f, d);
    if (status == EG_AGAIN) {
        give_pipe(f->engine, d);
        d->from->intent |= EG_IN;
    }
    return status == EG_EOF ? EG_OK : status;
}

/* Changes with every byte that was read or sent. */
static uint64_t movement(const struct eg_flow *f)
{
    const struct eg_relay *r = f->relay;
    return 2 * (f->bytes_up + f->bytes_down) - f->client.out.len - f->origin.out.len - r->up.piped -
           r->down.piped;
}

enum eg_step eg_relay_step(struct eg_flow *f)
{
    struct eg_relay *r = f->relay;
    uint64_t before = movement(f);
    enum eg_status up = EG_OK, down = EG_OK;
    f->client.intent = f->origin.intent = 0;
    for (unsigned i = 0; i < EG_ROUNDS && (up == EG_OK || down == EG_OK); i++) {
        if (up == EG_OK)
            up = pump(f, &r->up);
        if (down == EG_OK)
            down = pump(f, &r->down);
    }
    enum eg_status failed = up != EG_OK && up != EG_AGAIN       ? up
                            : down != EG_OK && down != EG_AGAIN ? down
                                                                : EG_OK;
    if (failed == EG_OK && f->exchange)
        failed = eg_route_count(f);
    if (failed != EG_OK || (r->up.done && r->down.done)) {
        eg_flow_kill(f, failed);
        return EG_STEP_WAIT;
    }
    if (movement(f) != before)
        eg_flow_touch(f, f->snapshot->limits->idle_timeout);
    if (up == EG_OK || down == EG_OK) { /* fairness: others first, then here again at once */
        eg_flow_wake(f);
        f->client.intent |= EG_IN;
        f->origin.intent |= EG_IN;
    }
    return EG_STEP_WAIT;
}
