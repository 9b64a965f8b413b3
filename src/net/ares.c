/* ares.c - c-ares on the loop: its sockets become watches, its time-outs one timer a channel. It
 * knows questions of one family and nothing of what they are for. c-ares checks id, question and
 * sender of answers and repeats over TCP when they are cut. Invariant: a watch exists for a socket
 * from the moment that c-ares names it until it says that it closes it. */
#define CARES_NO_DEPRECATED 1 /* 1.34 deprecates what 1.18 needs */
#include "net/ares.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum {
    TRIES = 3,
    TRIES_SUM = 7,
    TRY_MIN_MS = 100, /* each round of tries waits twice as long: 1 + 2 + 4 */
    WARM_MS = 20,     /* a start is over by then */
};

struct sock {
    struct sock *next;
    struct eg_watch watch;
};

struct channel {
    struct eg_ares *owner;
    ares_channel ares;
    unsigned flying;
    struct sock *socks;
    struct eg_timer timer;
};

struct eg_ares {
    struct eg_loop *loop;
    bool library;
    bool closing;
    unsigned count; /* opened: the first soon after the start, the others when their turn comes */
    struct eg_timer warm;
    unsigned wanted;
    bool asked;
    unsigned turn;
    struct eg_sockaddr *servers;
    unsigned server_count;
    uint32_t timeout_ms;
    struct channel channels[];
};

/* ---- sockets and time ---- */

static void rearm(struct channel *c)
{
    struct timeval tv;
    if (c->owner->closing || !ares_timeout(c->ares, NULL, &tv)) {
        eg_timer_clear(c->owner->loop, &c->timer);
        return;
    }
    uint64_t ms = (uint64_t)tv.tv_sec * 1000 + ((uint64_t)tv.tv_usec + 999) / 1000;
    /* No room in the heap: the question's own deadline still ends it. */
    (void)!eg_timer_set(c->owner->loop, &c->timer, eg_clock_ms() + ms);
}

static void process(struct channel *c, ares_socket_t in, ares_socket_t out)
{
    ares_process_fd(c->ares, in, out);
    if (c->flying == 0) /* 1.34 closes sockets that have become idle only when it is called again */
        ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    rearm(c);
}

static void on_timer(struct eg_timer *t)
{
    process(t->ctx, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void on_ready(struct eg_watch *w, unsigned events)
{
    struct channel *c = w->ctx; /* w may be gone after process */
    int fd = w->fd;
    process(c, events & EG_IN ? fd : ARES_SOCKET_BAD, events & EG_OUT ? fd : ARES_SOCKET_BAD);
}

static void drop_sock(struct channel *c, struct sock **at)
{
    struct sock *s = *at;
    *at = s->next;
    eg_watch_drop(c->owner->loop, &s->watch);
    free(s);
}

static void on_sock_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
    struct channel *c = ctx;
    unsigned interest = (readable ? EG_IN : 0u) | (writable ? EG_OUT : 0u);
    struct sock **at = &c->socks;
    while (*at && (*at)->watch.fd != fd)
        at = &(*at)->next;
    if (!interest) {
        if (*at)
            drop_sock(c, at);
        return;
    }
    if (!*at) {
        struct sock *s = calloc(1, sizeof *s);
        if (!s)
            return; /* the question times out */
        s->watch = (struct eg_watch){ .fd = fd, .ready = on_ready, .ctx = c };
        *at = s;
    }
    (void)!eg_watch_set(c->owner->loop, &(*at)->watch, fd, 0, interest);
}

/* ---- channels ---- */

static bool set_servers(ares_channel channel, const struct eg_sockaddr *servers, unsigned count)
{
    struct eg_buf csv;
    eg_buf_init(&csv, 4096);
    bool good = true;
    for (unsigned i = 0; i < count && good; i++) {
        struct eg_authority at;
        char text[EG_AUTHORITY_TEXT];
        eg_authority_from_addr(&servers[i].addr, servers[i].port ? servers[i].port : 53, &at);
        good = eg_buf_printf(&csv, "%s%s", i ? "," : "",
                             eg_authority_format(&at, 0, text, sizeof text)) == EG_OK;
    }
    good = good && eg_buf_append(&csv, "", 1) == EG_OK &&
           ares_set_servers_ports_csv(channel, eg_buf_slice(&csv).p) == ARES_SUCCESS;
    eg_buf_done(&csv);
    return good;
}

static bool channel_open(struct channel *c, const struct eg_sockaddr *servers,
                         unsigned server_count, uint32_t timeout_ms)
{
    static char no_file[] = "/dev/null";
    static char dns_only[] = "b";
    uint32_t each = timeout_ms / TRIES_SUM / (server_count ? server_count : 1);
    struct ares_options o = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
        .timeout = (int)(each < TRY_MIN_MS ? TRY_MIN_MS : each),
        .tries = TRIES,
        .ndots = 1,
        .lookups = dns_only,
        .resolvconf_path = no_file,
        .sock_state_cb = on_sock_state,
        .sock_state_cb_data = c,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
               ARES_OPT_LOOKUPS | ARES_OPT_DOMAINS | ARES_OPT_RESOLVCONF | ARES_OPT_SOCK_STATE_CB |
               ARES_OPT_NOROTATE;
#ifdef ARES_OPT_UDP_MAX_QUERIES
    o.udp_max_queries = 1; /* a port for each question, where c-ares can */
    mask |= ARES_OPT_UDP_MAX_QUERIES;
#endif
#ifdef ARES_OPT_QUERY_CACHE
    o.qcache_max_ttl = 0; /* cache.c knows bounds and goes with the policy */
    mask |= ARES_OPT_QUERY_CACHE;
#endif
    if (ares_init_options(&c->ares, &o, mask) != ARES_SUCCESS)
        return false;
    return set_servers(c->ares, servers, server_count);
}

static bool open_next(struct eg_ares *a)
{
    struct channel *c = &a->channels[a->count];
    c->owner = a;
    c->timer = (struct eg_timer){ .fire = on_timer, .ctx = c };
    bool opened = channel_open(c, a->servers, a->server_count, a->timeout_ms);
    if (!opened && c->ares)
        ares_destroy(c->ares);
    if (!opened)
        c->ares = NULL;
    a->count += opened;
    return opened;
}

/* The first question should not wait for c-ares to set itself up, and neither should the start. */
static void warm_up(struct eg_timer *t)
{
    struct eg_ares *a = t->ctx;
    if (a->count == 0)
        (void)open_next(a); /* tried again by the first question */
}

enum eg_status eg_ares_new(struct eg_loop *loop, const struct eg_sockaddr *servers,
                           unsigned server_count, unsigned channels, uint32_t timeout_ms,
                           struct eg_ares **ret, struct eg_err *err)
{
    struct eg_ares *a = calloc(1, sizeof *a + channels * sizeof a->channels[0]);
    if (!a)
        return eg_err_set(err, EG_NOMEM, "dns", 0, "out of memory");
    a->loop = loop;
    a->wanted = channels;
    a->timeout_ms = timeout_ms;
    a->servers = calloc(server_count + 1, sizeof *a->servers);
    if (!a->servers)
        goto fail;
    if (server_count > 0)
        memcpy(a->servers, servers, server_count * sizeof *servers);
    a->server_count = server_count;
    a->library = ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS;
    a->warm = (struct eg_timer){ .fire = warm_up, .ctx = a };
    if (!a->library || eg_timer_set(loop, &a->warm, eg_clock_ms() + WARM_MS) != EG_OK)
        goto fail;
    *ret = a;
    return EG_OK;
fail:
    eg_ares_free(a);
    return eg_err_set(err, EG_INTERNAL, "dns", 0, "c-ares can't be set up");
}

void eg_ares_free(struct eg_ares *a)
{
    if (!a)
        return;
    a->closing = true;
    for (unsigned i = 0; i < a->count; i++) {
        struct channel *c = &a->channels[i];
        ares_destroy(c->ares);
        while (c->socks)
            drop_sock(c, &c->socks);
        eg_timer_clear(a->loop, &c->timer);
    }
    eg_timer_clear(a->loop, &a->warm);
    if (a->library)
        ares_library_cleanup();
    free(a->servers);
    free(a);
}

unsigned eg_ares_open(const struct eg_ares *a)
{
    return a->count;
}

unsigned eg_ares_pick(struct eg_ares *a)
{
    bool first = !a->asked;
    a->asked = true;
    if (first && a->count > 0)
        return 0;
    if (a->count < a->wanted && open_next(a))
        return a->turn = a->count - 1;
    if (a->count == 0)
        return 0; /* what is asked there fails */
    unsigned best = a->turn = (a->turn + 1) % a->count;
    for (unsigned i = 0; i < a->count; i++)
        if (a->channels[i].flying < a->channels[best].flying)
            best = i;
    return best;
}

/* ---- questions ---- */

static enum eg_status status_of(int code)
{
    switch (code) {
    case ARES_SUCCESS:
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
        return EG_DNS_NOT_FOUND; /* unless there are addresses */
    case ARES_ETIMEOUT:
        return EG_DNS_TIMEOUT;
    case ARES_EDESTRUCTION:
    case ARES_ECANCELLED:
        return EG_CLOSED;
    default:
        return EG_DNS_FAILED;
    }
}

/* RFC 2181 section 8: a TTL with the high bit set is 0. */
static void shorten(struct eg_ares_question *q, int ttl)
{
    uint32_t seconds = ttl > 0 ? (uint32_t)ttl : 0;
    if (seconds < q->ttl_s)
        q->ttl_s = seconds;
}

static void on_answer(void *ctx, int code, int timeouts, struct ares_addrinfo *info)
{
    struct eg_ares_question *q = ctx;
    (void)timeouts;
    enum eg_status status = status_of(code);
    q->ares->channels[q->channel].flying--;
    q->ttl_s = INT32_MAX;
    for (struct ares_addrinfo_node *n = code == ARES_SUCCESS && info ? info->nodes : NULL; n;
         n = n->ai_next) {
        struct eg_sockaddr sa;
        if (!eg_sockaddr_from(n->ai_addr, n->ai_addrlen, &sa) || sa.addr.family != q->family)
            continue;
        q->add(q, &sa.addr);
        shorten(q, n->ai_ttl);
        status = EG_OK;
    }
    for (struct ares_addrinfo_cname *c = info ? info->cnames : NULL; c; c = c->next)
        shorten(q, c->ttl);
    if (info)
        ares_freeaddrinfo(info);
    q->answered(q, status);
}

void eg_ares_ask(struct eg_ares *a, struct eg_ares_question *q, const char *name)
{
    struct ares_addrinfo_hints hints = {
        .ai_family = q->family == 4 ? AF_INET : AF_INET6,
        .ai_socktype = SOCK_STREAM,
        .ai_flags =
            ARES_AI_NOSORT, /* sorting opens sockets to every address: nothing was judged yet */
    };
    struct channel *c = &a->channels[q->channel];
    q->ares = a;
    if (!c->ares) {
        q->answered(q, EG_DNS_FAILED);
        return;
    }
    c->flying++;
    ares_getaddrinfo(c->ares, name, NULL, &hints, on_answer, q);
    rearm(c);
}
