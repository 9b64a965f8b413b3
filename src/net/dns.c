/* dns.c - one answer a name: localhost and the hosts file first, then what is kept, then both
 * families over c-ares, merged into one ordered set. It judges nothing.
 *
 * A lookup is what is asked of the servers, a query is somebody who waits for it; several may.
 * Invariants: done is called at most once, from the loop's tasks only; a lookup lives until c-ares
 * has let go of it and nobody waits; one that is over is joined by nobody. */
#include "net/dns.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/table.h"
#include "net/ares.h"
#include "net/hosts.h"

enum { CHANNELS_MAX = 16, FAMILIES = 2, FLYING_MAX = 65536 };

struct family {
    struct eg_ares_question question; /* first: the callbacks get this */
    struct lookup *lookup;
    enum eg_status status; /* EG_AGAIN: not known yet */
    unsigned count;
    struct eg_addr addrs[EG_DNS_MAX_ADDRS];
};

struct lookup {
    struct eg_dns *dns;
    struct lookup *next, **link; /* of dns->lookups */
    struct eg_dns_query *waiters;
    unsigned flying; /* families that c-ares still has */
    bool over;       /* what is known is the answer */
    bool late;       /* the deadline came */
    uint64_t young_until_ms;
    struct eg_timer timer;
    struct family families[FAMILIES]; /* IPv6, IPv4 */
    uint8_t name_len;
    char name[EG_HOST_MAX + 2]; /* with a final dot: no search list */
};

struct eg_dns_query {
    struct lookup *lookup;
    struct eg_dns_query *next, **link; /* of lookup->waiters */
    void (*done)(void *ctx, const struct eg_dns_answer *answer);
    void *ctx;
    struct eg_task task;
};

struct eg_dns {
    struct eg_loop *loop;
    struct eg_hosts *hosts;
    struct eg_ares *ares;    /* NULL: there is no server */
    struct eg_cache *cache;  /* NULL: off */
    struct eg_table *flying; /* the newest lookup of each name that c-ares is at */
    uint32_t timeout_ms, second_family_ms;
    bool closing;
    struct lookup *lookups;
};

static enum eg_status open_parts(struct eg_dns *d, const struct eg_dns_config *config,
                                 struct eg_err *err)
{
    enum eg_status r = eg_hosts_new(config->hosts_text, &d->hosts);
    if (r == EG_OK && !config->cache_off)
        r = eg_cache_new(&config->cache, &d->cache);
    if (r == EG_OK)
        r = eg_table_new(&d->flying, FLYING_MAX);
    if (r != EG_OK)
        return eg_err_set(err, r, "dns", 0, "out of memory");
    if (config->server_count == 0)
        return EG_OK;
    return eg_ares_new(d->loop, config->servers, config->server_count, config->channels,
                       config->timeout_ms, &d->ares, err);
}

enum eg_status eg_dns_new(struct eg_loop *loop, const struct eg_dns_config *config,
                          struct eg_dns **ret, struct eg_err *err)
{
    if (config->channels < 1 || config->channels > CHANNELS_MAX || config->timeout_ms == 0)
        return eg_err_set(err, EG_INVALID, "dns", 0, "1 to %d channels and a time-out are needed",
                          CHANNELS_MAX);
    struct eg_dns *d = calloc(1, sizeof *d);
    if (!d)
        return eg_err_set(err, EG_NOMEM, "dns", 0, "out of memory");
    d->loop = loop;
    d->timeout_ms = config->timeout_ms;
    d->second_family_ms = config->second_family_ms;
    enum eg_status r = open_parts(d, config, err);
    if (r != EG_OK) {
        eg_dns_free(d);
        return r;
    }
    *ret = d;
    return EG_OK;
}

static void query_free(struct eg_dns_query *q)
{
    eg_loop_unmark(q->lookup->dns->loop, &q->task);
    *q->link = q->next;
    if (q->next)
        q->next->link = q->link;
    free(q);
}

static void lookup_free(struct lookup *l)
{
    struct eg_slice name = eg_slice(l->name, l->name_len);
    while (l->waiters)
        query_free(l->waiters);
    eg_timer_clear(l->dns->loop, &l->timer);
    if (eg_table_get(l->dns->flying, name) == l)
        eg_table_take(l->dns->flying, name);
    *l->link = l->next;
    if (l->next)
        l->next->link = l->link;
    free(l);
}

static void free_unless_needed(struct lookup *l)
{
    if (l->over && l->flying == 0 && !l->waiters)
        lookup_free(l);
}

/* What is under way goes on without anybody who waits: the next one finds it in the cache. */
void eg_dns_cancel(struct eg_dns_query *q)
{
    struct lookup *l = q->lookup;
    query_free(q);
    free_unless_needed(l);
}

void eg_dns_free(struct eg_dns *d)
{
    if (!d)
        return;
    d->closing = true;
    eg_ares_free(d->ares); /* lets go of every question */
    while (d->lookups)
        lookup_free(d->lookups);
    eg_table_free(d->flying, NULL);
    eg_cache_free(d->cache);
    eg_hosts_free(d->hosts);
    free(d);
}

/* ---- the answer ---- */

static enum eg_status worst(const struct lookup *l)
{
    enum eg_status status = EG_DNS_NOT_FOUND;
    for (unsigned i = 0; i < FAMILIES; i++) {
        enum eg_status s = l->families[i].status;
        if (s == EG_DNS_TIMEOUT || (s == EG_AGAIN && l->late))
            return EG_DNS_TIMEOUT;
        if (s != EG_DNS_NOT_FOUND)
            status = EG_DNS_FAILED;
    }
    return status;
}

/* RFC 8305 section 4: families alternate, IPv6 first. */
static void merge(const struct lookup *l, struct eg_dns_answer *answer)
{
    const struct family *six = &l->families[0];
    const struct family *four = &l->families[1];
    answer->count = 0;
    for (unsigned i = 0; i < EG_DNS_MAX_ADDRS; i++) {
        if (i < six->count && answer->count < EG_DNS_MAX_ADDRS)
            answer->addrs[answer->count++] = six->addrs[i];
        if (i < four->count && answer->count < EG_DNS_MAX_ADDRS)
            answer->addrs[answer->count++] = four->addrs[i];
    }
    answer->status = answer->count ? EG_OK : worst(l);
}

static void tell(struct eg_task *t)
{
    struct eg_dns_query *q = t->ctx;
    struct eg_dns_answer answer;
    void (*done)(void *, const struct eg_dns_answer *) = q->done;
    void *ctx = q->ctx;
    merge(q->lookup, &answer);
    eg_dns_cancel(q); /* first: done may free the resolver */
    done(ctx, &answer);
}

/* What is known now is the answer of all who wait. l may be gone afterwards. */
static void finish(struct lookup *l)
{
    l->over = true;
    eg_timer_clear(l->dns->loop, &l->timer);
    for (struct eg_dns_query *q = l->waiters; q; q = q->next)
        eg_loop_mark(l->dns->loop, &q->task);
    free_unless_needed(l);
}

static void on_timer(struct eg_timer *t)
{
    struct lookup *l = t->ctx;
    l->late = true;
    finish(l);
}

static void add_address(struct eg_ares_question *question, const struct eg_addr *addr)
{
    struct family *f = (struct family *)question;
    for (unsigned i = 0; i < f->count; i++)
        if (eg_addr_eq(&f->addrs[i], addr))
            return;
    if (f->count < EG_DNS_MAX_ADDRS)
        f->addrs[f->count++] = *addr;
}

static void keep(const struct lookup *l, const struct family *f)
{
    if (l->dns->cache)
        eg_cache_put(l->dns->cache, eg_slice(l->name, l->name_len), f->question.family,
                     eg_clock_ms(), f->status == EG_OK ? f->question.ttl_s : EG_CACHE_TTL_UNKNOWN,
                     f->status, f->addrs, f->count);
}

/* The second family gets little time once there is something to connect to (RFC 8305 section 3),
 * never more than is left. */
static void hurry(struct lookup *l)
{
    uint64_t soon = eg_clock_ms() + l->dns->second_family_ms;
    if (l->timer.slot && soon < l->timer.at_ms)
        (void)!eg_timer_set(l->dns->loop, &l->timer, soon); /* moves: can't fail */
}

static void answered(struct eg_ares_question *question, enum eg_status status)
{
    struct family *f = (struct family *)question;
    struct lookup *l = f->lookup;
    f->status = status;
    l->flying--;
    if (l->dns->closing) /* eg_dns_free walks the list itself */
        return;
    keep(l, f);
    if (l->over)
        free_unless_needed(l);
    else if (l->flying == 0)
        finish(l);
    else if (status == EG_OK)
        hurry(l);
}

/* ---- the question ---- */

static void add_known(void *ctx, const struct eg_addr *addr)
{
    struct lookup *l = ctx;
    add_address(&l->families[addr->family == 6 ? 0 : 1].question, addr);
}

/* Answers that need no question. */
static bool known(struct lookup *l)
{
    return eg_hosts_find(l->dns->hosts, eg_slice(l->name, l->name_len), add_known, l) > 0;
}

/* What is kept of both families; true when one has addresses. */
static bool recall(struct lookup *l)
{
    struct eg_cache_answer a;
    bool some = false;
    for (unsigned i = 0; l->dns->cache && i < FAMILIES; i++) {
        struct family *f = &l->families[i];
        if (!eg_cache_get(l->dns->cache, eg_slice(l->name, l->name_len), f->question.family,
                          eg_clock_ms(), &a))
            continue;
        f->status = a.status;
        f->count = a.count;
        if (a.count)
            memcpy(f->addrs, a.addrs, a.count * sizeof *a.addrs);
        some = some || a.count > 0;
    }
    return some;
}

static struct lookup *lookup_new(struct eg_dns *d, struct eg_slice host)
{
    struct lookup *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->dns = d;
    l->timer = (struct eg_timer){ .fire = on_timer, .ctx = l };
    for (unsigned i = 0; i < FAMILIES; i++) {
        l->families[i].lookup = l;
        l->families[i].status = d->ares ? EG_AGAIN : EG_DNS_FAILED;
        l->families[i].question.family = i == 0 ? 6 : 4;
        l->families[i].question.answered = answered;
        l->families[i].question.add = add_address;
    }
    l->name_len = (uint8_t)host.n;
    memcpy(l->name, host.p, host.n);
    memcpy(l->name + host.n, ".", 2);
    l->next = d->lookups;
    l->link = &d->lookups;
    if (l->next)
        l->next->link = &l->next;
    d->lookups = l;
    return l;
}

static enum eg_status wait_for(struct lookup *l,
                               void (*done)(void *ctx, const struct eg_dns_answer *answer),
                               void *ctx, struct eg_dns_query **ret)
{
    struct eg_dns_query *q = calloc(1, sizeof *q);
    if (!q)
        return EG_NOMEM;
    q->lookup = l;
    q->done = done;
    q->ctx = ctx;
    q->task = (struct eg_task){ .run = tell, .ctx = q };
    q->next = l->waiters;
    q->link = &l->waiters;
    if (q->next)
        q->next->link = &q->next;
    l->waiters = q;
    *ret = q;
    return EG_OK;
}

/* Asks the servers for what is not known. some: of the other family there are addresses already. */
static enum eg_status ask_servers(struct lookup *l, bool some)
{
    struct eg_dns *d = l->dns;
    struct eg_slice name = eg_slice(l->name, l->name_len);
    uint64_t now = eg_clock_ms();
    uint32_t patience = some ? d->second_family_ms : d->timeout_ms;
    if (eg_timer_set(d->loop, &l->timer, now + patience) != EG_OK)
        return EG_NOMEM;
    l->young_until_ms = now + d->timeout_ms / 2;
    eg_table_take(d->flying, name);
    (void)!eg_table_add(d->flying, name, l); /* else nobody joins it */
    bool wanted[FAMILIES];
    for (unsigned i = 0; i < FAMILIES; i++) {
        wanted[i] = l->families[i].status == EG_AGAIN;
        l->flying += wanted[i]; /* all before the first: an answer may come from inside */
    }
    for (unsigned i = 0; i < FAMILIES; i++) {
        if (!wanted[i])
            continue;
        l->families[i].question.channel = eg_ares_pick(d->ares);
        eg_ares_ask(d->ares, &l->families[i].question, l->name);
    }
    return EG_OK;
}

static bool complete(const struct lookup *l)
{
    return l->families[0].status != EG_AGAIN && l->families[1].status != EG_AGAIN;
}

/* A lookup of its own. before: the one of the same name that c-ares is still at, if any. */
static enum eg_status begin(struct lookup *l, const struct lookup *before)
{
    if (known(l) || !l->dns->ares) {
        finish(l);
        return EG_OK;
    }
    bool some = recall(l);
    /* The other family has had its time already and its answer will be kept: nobody waits for it
     * once more. */
    if (complete(l) || (some && before && before->over)) {
        finish(l);
        return EG_OK;
    }
    return ask_servers(l, some);
}

enum eg_status eg_dns_ask(struct eg_dns *d, struct eg_slice host,
                          void (*done)(void *ctx, const struct eg_dns_answer *answer), void *ctx,
                          struct eg_dns_query **ret, struct eg_err *err)
{
    if (host.n == 0 || host.n > EG_HOST_MAX)
        return eg_err_set(err, EG_INVALID, "dns", 0, "no name");
    struct lookup *before = eg_table_get(d->flying, host);
    /* One that is old already would hand on a time-out that is not the newcomer's. */
    bool join = before && !before->over && eg_clock_ms() < before->young_until_ms;
    struct lookup *l = join ? before : lookup_new(d, host);
    struct eg_dns_query *q = NULL;
    enum eg_status r = l ? wait_for(l, done, ctx, &q) : EG_NOMEM;
    if (r == EG_OK && !join)
        r = begin(l, before);
    if (r != EG_OK) {
        if (l && !join)
            lookup_free(l);
        return eg_err_set(err, r, "dns", 0, "out of memory");
    }
    *ret = q;
    return EG_OK;
}
