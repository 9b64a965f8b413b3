/* pool.c - idle origin connections and resumable TLS sessions.
 *
 * An idle connection that becomes readable is closed: its origin ended it, or said something
 * that nobody asked for. Sessions are kept serialised (2 KB), not live (37 KB), in our own
 * memory, and are wiped when they are replaced. */
#include "proxy/pool.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "proxy/hops.h"
#include "proxy/exchange.h"

enum { KEY_MAX = 768 };

struct idle {
    struct eg_pool *pool;
    struct origin *origin;
    struct idle *next;
    struct eg_stream *stream;
    struct eg_side_watch *watch; /* registered all the while; NULL: a stream in memory */
    struct eg_timer timer;
    struct eg_sockaddr peer;
};

struct origin { /* everything known of one key */
    struct idle *idle;
    unsigned count;
    unsigned char *ticket;
    size_t ticket_size;
    char session[48];
};

struct eg_pool {
    struct eg_engine *engine;
    struct eg_table *origins; /* key -> struct origin */
    unsigned count;
};

enum eg_status eg_pool_new(struct eg_engine *e, struct eg_pool **ret)
{
    struct eg_pool *p = calloc(1, sizeof *p);
    if (!p)
        return EG_NOMEM;
    p->engine = e;
    enum eg_status status = eg_table_new(&p->origins, EG_POOL_TICKETS);
    if (status != EG_OK) {
        free(p);
        return status;
    }
    *ret = p;
    return EG_OK;
}

static void forget_ticket(struct origin *o)
{
    if (o->ticket)
        sodium_memzero(o->ticket, o->ticket_size);
    free(o->ticket);
    o->ticket = NULL;
    o->ticket_size = 0;
}

static void unlink_idle(struct idle *i)
{
    struct idle **at = &i->origin->idle;
    while (*at != i)
        at = &(*at)->next;
    *at = i->next;
    i->origin->count--;
    i->pool->count--;
    eg_timer_clear(i->pool->engine->loop, &i->timer);
}

static void close_idle(struct idle *i)
{
    unlink_idle(i);
    if (i->watch)
        eg_watch_drop(i->pool->engine->loop, &i->watch->watch);
    free(i->watch);
    eg_stream_free(i->stream);
    free(i);
}

static void drop_origin(void *value)
{
    struct origin *o = value;
    while (o->idle)
        close_idle(o->idle);
    forget_ticket(o);
    free(o);
}

void eg_pool_free(struct eg_pool *p)
{
    if (!p)
        return;
    eg_table_free(p->origins, drop_origin);
    free(p);
}

static void clear_origin(struct origin *o)
{
    while (o->idle)
        close_idle(o->idle);
    forget_ticket(o);
}

void eg_pool_clear(struct eg_pool *p)
{
    size_t cursor = 0;
    void *value;
    while (eg_table_next(p->origins, &cursor, NULL, &value))
        clear_origin(value);
}

void eg_pool_clear_session(struct eg_pool *p, const char *session_id)
{
    size_t cursor = 0;
    void *value;
    while (eg_table_next(p->origins, &cursor, NULL, &value))
        if (strcmp(((struct origin *)value)->session, session_id) == 0)
            clear_origin(value);
}

unsigned eg_pool_count(const struct eg_pool *p)
{
    return p->count;
}

/* The hops, as one letter: connections of another snapshot's chains are never here. */
static char way_of(const struct eg_flow *f)
{
    const struct eg_way *way = eg_hops_way(f);
    if (!way)
        return 'd';
    if (eg_upstream_absolute(f)) /* the last hop itself answers */
        return 'a';
    return way == &f->snapshot->ways[EG_CHAIN_PLAIN] ? 'p' : 's';
}

/* Session, hops, origin, TLS identity and credential, as one text; false: this exchange shares
 * no connection. */
static bool key_of(const struct eg_flow *f, char key[KEY_MAX], struct eg_slice *ret)
{
    char authority[EG_AUTHORITY_TEXT];
    const struct eg_service *s = f->want == EG_WANT_ROUTE ? f->exchange->service : NULL;
    const char way[] = { way_of(f), s && s->tls ? '1' : '0' };
    const struct eg_slice parts[] = {
        eg_slice_str(f->session ? f->session->id : ""),
        eg_slice(way, sizeof way),
        eg_slice_str(eg_authority_format(&f->ticket->to, 0, authority, sizeof authority)),
        s ? s->name : EG_SLICE_NONE,
        s ? s->credential : EG_SLICE_NONE,
    };
    size_t n = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].n >= KEY_MAX - n)
            return false;
        if (parts[i].n > 0)
            memcpy(key + n, parts[i].p, parts[i].n);
        n += parts[i].n;
        key[n++] = '|';
    }
    *ret = eg_slice(key, n);
    return true;
}

/* Makes room by forgetting one origin that has (or has no) idle connection: the table's order is
 * random, so this is random replacement. */
static bool evict(struct eg_pool *p, const struct origin *but, bool with_idle)
{
    size_t cursor = 0;
    struct eg_slice key;
    void *value;
    while (eg_table_next(p->origins, &cursor, &key, &value)) {
        struct origin *o = value;
        if (o == but || (o->idle != NULL) != with_idle || key.n >= KEY_MAX)
            continue;
        char copy[KEY_MAX]; /* the table's own goes with the entry */
        memcpy(copy, key.p, key.n);
        (void)eg_table_take(p->origins, eg_slice(copy, key.n));
        drop_origin(o);
        return true;
    }
    return false;
}

static struct origin *origin_of(struct eg_flow *f, bool make)
{
    char key[KEY_MAX];
    struct eg_slice text;
    struct eg_pool *p = f->engine->pool;
    if (!key_of(f, key, &text))
        return NULL;
    struct origin *o = eg_table_get(p->origins, text);
    if (o || !make)
        return o;
    o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    if (f->session)
        memcpy(o->session, f->session->id, sizeof o->session);
    enum eg_status status = eg_table_add(p->origins, text, o);
    if (status == EG_TOO_BIG && (evict(p, NULL, false) || evict(p, NULL, true)))
        status = eg_table_add(p->origins, text, o);
    if (status == EG_OK)
        return o;
    free(o);
    return NULL;
}

/* Closed, or it said something: TLS 1.3 tickets and key updates are no data, reading tells. */
static bool spoke(const struct idle *i)
{
    char byte;
    size_t n = 0;
    return eg_stream_recv(i->stream, &byte, 1, &n, NULL) != EG_AGAIN;
}

bool eg_pool_take(struct eg_flow *f)
{
    /* what waited under an older policy takes no connection that the new one's trust verified */
    struct origin *o = f->snapshot == f->engine->current ? origin_of(f, false) : NULL;
    /* What the kernel had for it when this tick began, idle_ready has seen; what TLS holds already, the loop can't see. */
    while (o && o->idle && eg_stream_pending(o->idle->stream) && spoke(o->idle))
        close_idle(o->idle);
    if (!o || !o->idle)
        return false;
    struct idle *i = o->idle;
    unlink_idle(i);
    eg_side_adopt(&f->origin, i->stream, i->watch);
    f->peer = i->peer;
    free(i);
    return true;
}

static void idle_ready(struct eg_watch *w, unsigned events)
{
    (void)events;
    struct idle *i = w->ctx;
    if (spoke(i))
        close_idle(i);
}

static void idle_expired(struct eg_timer *t)
{
    close_idle(t->ctx);
}

void eg_pool_keep_ticket(struct eg_flow *f)
{
    unsigned char ticket[EG_TICKET_MAX];
    size_t n = 0;
    /* a session that an older policy's trust verified must not let a connection skip the new
     * one's */
    bool fit = f->origin.stream && f->want == EG_WANT_ROUTE && f->snapshot == f->engine->current;
    struct origin *o = fit ? origin_of(f, true) : NULL;
    if (!o || eg_stream_tls_save(f->origin.stream, ticket, sizeof ticket, &n) != EG_OK || n == 0)
        return;
    forget_ticket(o);
    o->ticket = malloc(n);
    if (o->ticket) {
        memcpy(o->ticket, ticket, n);
        o->ticket_size = n;
    }
    sodium_memzero(ticket, n);
}

struct eg_slice eg_pool_ticket(struct eg_flow *f)
{
    struct origin *o = origin_of(f, false);
    return o && o->ticket ? eg_slice(o->ticket, o->ticket_size) : EG_SLICE_NONE;
}

/* Takes the stream with its watch, which goes on waiting for EG_IN without a word to the kernel. */
static bool keep_idle(struct eg_flow *f, struct origin *o)
{
    struct eg_pool *p = f->engine->pool;
    struct eg_loop *loop = p->engine->loop;
    struct eg_side_watch *w = NULL;
    bool rests = eg_side_release(loop, &f->origin, &w);
    struct idle *i = rests ? calloc(1, sizeof *i) : NULL;
    if (!i)
        goto fail;
    i->pool = p;
    i->origin = o;
    i->stream = f->origin.stream;
    i->watch = w;
    i->peer = f->peer;
    i->timer.fire = idle_expired;
    i->timer.ctx = i;
    if (w) {
        w->watch.ready = idle_ready;
        w->watch.ctx = i;
    }
    if ((w && eg_watch_set(loop, &w->watch, w->watch.fd, w->watch.tag, EG_IN) != EG_OK) ||
        eg_timer_set(loop, &i->timer, eg_loop_now(loop) + EG_POOL_IDLE_MS) != EG_OK)
        goto fail;
    i->next = o->idle;
    o->idle = i;
    o->count++;
    p->count++;
    f->origin.stream = NULL;
    return true;
fail:
    if (w)
        eg_watch_drop(loop, &w->watch);
    free(w);
    free(i);
    return false;
}

void eg_pool_put(struct eg_flow *f)
{
    struct origin *o = origin_of(f, true);
    struct eg_pool *p = f->engine->pool;
    bool room = o && o->count < EG_POOL_PER_KEY && f->snapshot == f->engine->current &&
                (p->count < EG_POOL_MAX || evict(p, o, true));
    if (o && !o->ticket)
        eg_pool_keep_ticket(f);
    if (room)
        (void)keep_idle(f, o); /* or it is closed */
    eg_side_close(f->engine->loop, &f->origin, false);
}

bool eg_pool_resumed(const struct eg_flow *f)
{
    return eg_stream_tls_resumed(f->origin.stream);
}
