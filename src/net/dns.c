/* dns.c - one question a name: localhost and the hosts file first, then both families over c-ares, merged into one ordered
 * set. It caches nothing and judges nothing. `localhost` and names below it never leave this process (RFC 6761 section 6.3):
 * they are the loopback addresses, which the policy refuses unless it is told otherwise.
 * Invariants: done is called at most once, from the loop's tasks only; a question that nobody waits for any more lives until
 * c-ares has let go of it. */
#include "net/dns.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/ares.h"
#include "net/hosts.h"

enum { CHANNELS_MAX = 16, FAMILIES = 2 };

struct family {
    struct eg_ares_question question; /* first: the callbacks get this */
    struct eg_dns_query *query;
    enum eg_status status;
    unsigned count;
    struct eg_addr addrs[EG_DNS_MAX_ADDRS];
};

struct eg_dns_query {
    struct eg_dns *dns;
    struct eg_dns_query *next, **link; /* of dns->queries */
    void (*done)(void *ctx, const struct eg_dns_answer *answer);
    void *ctx;
    bool silent;     /* nobody waits any more */
    unsigned flying; /* families that c-ares still has */
    bool late;       /* the deadline came */
    struct eg_timer timer;
    struct eg_task task;
    struct family families[FAMILIES]; /* IPv6, IPv4 */
};

struct eg_dns {
    struct eg_loop *loop;
    struct eg_hosts *hosts;
    struct eg_ares *ares; /* NULL: there is no server */
    uint32_t timeout_ms, second_family_ms;
    struct eg_dns_query *queries;
};

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
    enum eg_status r = eg_hosts_new(config->hosts_text, &d->hosts);
    if (r == EG_OK && config->server_count)
        r = eg_ares_new(loop, config->servers, config->server_count, config->channels,
                        config->timeout_ms, &d->ares, err);
    if (r != EG_OK) {
        eg_dns_free(d);
        return eg_err_set(err, r, "dns", 0, "out of memory");
    }
    *ret = d;
    return EG_OK;
}

static void query_free(struct eg_dns_query *q)
{
    *q->link = q->next;
    if (q->next)
        q->next->link = q->link;
    free(q);
}

static void silence(struct eg_dns_query *q)
{
    q->silent = true;
    eg_timer_clear(q->dns->loop, &q->timer);
    eg_loop_unmark(q->dns->loop, &q->task);
}

void eg_dns_cancel(struct eg_dns_query *q)
{
    silence(q);
    if (q->flying == 0)
        query_free(q);
}

void eg_dns_free(struct eg_dns *d)
{
    if (!d)
        return;
    for (struct eg_dns_query *q = d->queries; q; q = q->next)
        silence(q);
    eg_ares_free(d->ares); /* lets go of every question */
    while (d->queries)
        query_free(d->queries);
    eg_hosts_free(d->hosts);
    free(d);
}

/* ---- the answer ---- */

static enum eg_status worst(const struct eg_dns_query *q)
{
    enum eg_status status = EG_DNS_NOT_FOUND;
    for (unsigned i = 0; i < FAMILIES; i++) {
        enum eg_status s = q->families[i].status;
        if (s == EG_DNS_TIMEOUT || (s == EG_AGAIN && q->late))
            return EG_DNS_TIMEOUT;
        if (s != EG_DNS_NOT_FOUND)
            status = EG_DNS_FAILED;
    }
    return status;
}

/* RFC 8305 section 4: families alternate, IPv6 first. */
static void merge(const struct eg_dns_query *q, struct eg_dns_answer *answer)
{
    const struct family *six = &q->families[0];
    const struct family *four = &q->families[1];
    answer->count = 0;
    for (unsigned i = 0; i < EG_DNS_MAX_ADDRS; i++) {
        if (i < six->count && answer->count < EG_DNS_MAX_ADDRS)
            answer->addrs[answer->count++] = six->addrs[i];
        if (i < four->count && answer->count < EG_DNS_MAX_ADDRS)
            answer->addrs[answer->count++] = four->addrs[i];
    }
    answer->status = answer->count ? EG_OK : worst(q);
}

static void tell(struct eg_task *t)
{
    struct eg_dns_query *q = t->ctx;
    struct eg_dns_answer answer;
    void (*done)(void *, const struct eg_dns_answer *) = q->done;
    void *ctx = q->ctx;
    merge(q, &answer);
    eg_dns_cancel(q); /* first: done may free the resolver */
    done(ctx, &answer);
}

static void on_timer(struct eg_timer *t)
{
    struct eg_dns_query *q = t->ctx;
    q->late = true;
    eg_loop_mark(q->dns->loop, &q->task);
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

static void answered(struct eg_ares_question *question, enum eg_status status)
{
    struct family *f = (struct family *)question;
    struct eg_dns_query *q = f->query;
    f->status = status;
    q->flying--;
    if (q->silent) {
        if (q->flying == 0 &&
            status != EG_CLOSED) /* EG_CLOSED: eg_dns_free walks the list itself */
            query_free(q);
        return;
    }
    if (q->flying == 0) {
        eg_loop_mark(q->dns->loop, &q->task);
        return;
    }
    /* The second family gets little time once there is something to connect to (RFC 8305 section 3), never more than is left. */
    uint64_t soon = eg_clock_ms() + q->dns->second_family_ms;
    if (status == EG_OK && q->timer.slot && soon < q->timer.at_ms)
        (void)!eg_timer_set(q->dns->loop, &q->timer, soon); /* moves: can't fail */
}

/* ---- the question ---- */

static bool is_localhost(struct eg_slice host)
{
    static const struct eg_slice name = { "localhost", 9 };
    if (host.n < name.n || memcmp(host.p + host.n - name.n, name.p, name.n) != 0)
        return false;
    return host.n == name.n || host.p[host.n - name.n - 1] == '.';
}

static void add_known(void *ctx, const struct eg_addr *addr)
{
    struct eg_dns_query *q = ctx;
    add_address(&q->families[addr->family == 6 ? 0 : 1].question, addr);
}

/* Answers that need no question. */
static bool known(struct eg_dns_query *q, struct eg_slice host)
{
    if (is_localhost(host)) {
        static const struct eg_addr six = { .family = 6, .b = { [15] = 1 } };
        static const struct eg_addr four = { .family = 4, .b = { 127, 0, 0, 1 } };
        add_known(q, &six);
        add_known(q, &four);
        return true;
    }
    return eg_hosts_find(q->dns->hosts, host, add_known, q) > 0;
}

static struct eg_dns_query *
query_new(struct eg_dns *d, void (*done)(void *ctx, const struct eg_dns_answer *answer), void *ctx)
{
    struct eg_dns_query *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->dns = d;
    q->done = done;
    q->ctx = ctx;
    q->timer = (struct eg_timer){ .fire = on_timer, .ctx = q };
    q->task = (struct eg_task){ .run = tell, .ctx = q };
    for (unsigned i = 0; i < FAMILIES; i++) {
        q->families[i].query = q;
        q->families[i].status = EG_DNS_FAILED;
        q->families[i].question.family = i == 0 ? 6 : 4;
        q->families[i].question.answered = answered;
        q->families[i].question.add = add_address;
    }
    q->next = d->queries;
    q->link = &d->queries;
    if (q->next)
        q->next->link = &q->next;
    d->queries = q;
    return q;
}

static void ask_both(struct eg_dns_query *q, struct eg_slice host)
{
    char name[EG_HOST_MAX + 2]; /* with the final dot: no search list */
    memcpy(name, host.p, host.n);
    memcpy(name + host.n, ".", 2);
    q->flying = FAMILIES; /* before: an answer may come from inside */
    for (unsigned i = 0; i < FAMILIES; i++)
        q->families[i].status = EG_AGAIN;
    for (unsigned i = 0; i < FAMILIES; i++) {
        q->families[i].question.channel = eg_ares_pick(q->dns->ares);
        eg_ares_ask(q->dns->ares, &q->families[i].question, name);
    }
}

enum eg_status eg_dns_ask(struct eg_dns *d, struct eg_slice host,
                          void (*done)(void *ctx, const struct eg_dns_answer *answer), void *ctx,
                          struct eg_dns_query **ret, struct eg_err *err)
{
    if (host.n == 0 || host.n > EG_HOST_MAX)
        return eg_err_set(err, EG_INVALID, "dns", 0, "no name");
    struct eg_dns_query *q = query_new(d, done, ctx);
    if (!q)
        return eg_err_set(err, EG_NOMEM, "dns", 0, "out of memory");
    if (known(q, host) || !d->ares) {
        eg_loop_mark(d->loop, &q->task);
        *ret = q;
        return EG_OK;
    }
    if (eg_timer_set(d->loop, &q->timer, eg_clock_ms() + d->timeout_ms) != EG_OK) {
        query_free(q);
        return eg_err_set(err, EG_NOMEM, "dns", 0, "out of memory");
    }
    ask_both(q, host);
    *ret = q;
    return EG_OK;
}
