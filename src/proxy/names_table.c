/* names_table.c - which address of 198.18.0.0/15 stands for which name, and what a question is answered.
 *
 * Addresses are given out in turn through the whole range, so that one which fell out is not another name's soon; the
 * name is what is judged in any case, so a child that fills the table hurts itself alone. Invariant: every entry is in
 * both tables and in the list, from the least to the most recently used. */
#include "proxy/names.h"

#include <stdlib.h>

#include "base/table.h"

/* 198.18.1.0 to 198.19.254.255, without those that end in 0 or 255: some programs take them for a network's own. The
 * first 256 are left to the child's own interface. */
enum { BASE = 198u << 24 | 18u << 16, FIRST = 256, LAST = (1 << 17) - 257, RANGE_BITS = 15 };

struct entry {
    struct entry *older, *newer;
    struct eg_addr addr;
    uint8_t len;
    char name[];
};

struct eg_names {
    struct eg_table *by_name, *by_addr;
    struct entry *oldest, *newest;
    uint32_t next; /* offset in the range */
};

enum eg_status eg_names_new(struct eg_names **ret)
{
    struct eg_names *t = calloc(1, sizeof *t);
    if (!t)
        return EG_NOMEM;
    t->next = FIRST;
    enum eg_status status = eg_table_new(&t->by_name, EG_NAMES_MAX);
    if (status == EG_OK)
        status = eg_table_new(&t->by_addr, EG_NAMES_MAX);
    if (status != EG_OK) {
        eg_names_free(t);
        return status;
    }
    *ret = t;
    return EG_OK;
}

void eg_names_free(struct eg_names *t)
{
    if (!t)
        return;
    eg_table_free(t->by_addr, NULL);
    eg_table_free(t->by_name, free);
    free(t);
}

size_t eg_names_count(const struct eg_names *t)
{
    return eg_table_count(t->by_name);
}

bool eg_names_covers(const struct eg_addr *addr)
{
    static const struct eg_addr base = { .family = 4, .b = { 198, 18 } };
    return addr->family == 4 && eg_addr_in(addr, &base, RANGE_BITS);
}

static struct eg_slice addr_key(const struct eg_addr *addr)
{
    return eg_slice(addr->b, 4);
}

static void unlink_entry(struct eg_names *t, struct entry *e)
{
    *(e->older ? &e->older->newer : &t->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &t->newest) = e->older;
    e->older = e->newer = NULL;
}

static void link_newest(struct eg_names *t, struct entry *e)
{
    e->older = t->newest;
    *(t->newest ? &t->newest->newer : &t->oldest) = e;
    t->newest = e;
}

static void used(struct eg_names *t, struct entry *e)
{
    unlink_entry(t, e);
    link_newest(t, e);
}

static void drop(struct eg_names *t, struct entry *e)
{
    unlink_entry(t, e);
    (void)eg_table_take(t->by_name, eg_slice(e->name, e->len));
    (void)eg_table_take(t->by_addr, addr_key(&e->addr));
    free(e);
}

/* The next one that is free: fewer are taken than there are. */
static struct eg_addr next_address(struct eg_names *t)
{
    struct eg_addr a = { .family = 4 };
    do {
        uint32_t v = BASE + t->next;
        t->next = t->next == LAST ? FIRST : t->next + 1;
        for (int i = 0; i < 4; i++)
            a.b[i] = (uint8_t)(v >> (24 - 8 * i));
    } while (a.b[3] == 0 || a.b[3] == 255 || eg_table_get(t->by_addr, addr_key(&a)));
    return a;
}

enum eg_status eg_names_address(struct eg_names *t, const struct eg_authority *name,
                                struct eg_addr *ret)
{
    struct eg_slice host = eg_authority_host(name);
    struct entry *e = eg_table_get(t->by_name, host);
    if (e) {
        used(t, e);
        *ret = e->addr;
        return EG_OK;
    }
    if (eg_names_count(t) >= EG_NAMES_MAX)
        drop(t, t->oldest);
    e = calloc(1, sizeof *e + host.n);
    if (!e)
        return EG_NOMEM;
    e->len = (uint8_t)host.n;
    memcpy(e->name, host.p, host.n);
    e->addr = next_address(t);
    link_newest(t, e);
    enum eg_status status = eg_table_add(t->by_name, host, e);
    if (status == EG_OK)
        status = eg_table_add(t->by_addr, addr_key(&e->addr), e);
    *ret = e->addr;
    if (status != EG_OK)
        drop(t, e);
    return status;
}

bool eg_names_name(struct eg_names *t, const struct eg_addr *addr, struct eg_authority *ret)
{
    struct entry *e = eg_names_covers(addr) ? eg_table_get(t->by_addr, addr_key(addr)) : NULL;
    if (!e)
        return false;
    used(t, e);
    *ret = (struct eg_authority){ .host_len = e->len };
    memcpy(ret->host, e->name, e->len);
    return true;
}

/* ---- what is answered ---- */

/* The host itself, or one below it. */
static bool ends_in(const struct eg_authority *name, const char *zone)
{
    size_t n = strlen(zone);
    return name->host_len >= n && memcmp(name->host + name->host_len - n, zone, n) == 0 &&
           (name->host_len == n || name->host[name->host_len - n - 1] == '.');
}

static void set_host(struct eg_authority *to, const char *host)
{
    *to = (struct eg_authority){ .host_len = (uint8_t)strlen(host) };
    memcpy(to->host, host, to->host_len);
}

/* RFC 6761 6.3. */
static void localhost(uint16_t type, struct eg_names_answer *ret)
{
    if (type == EG_NAMES_A || type == EG_NAMES_ANY)
        ret->addr = (struct eg_addr){ .family = 4, .b = { 127, 0, 0, 1 } };
    else if (type == EG_NAMES_AAAA)
        ret->addr = (struct eg_addr){ .family = 6, .b = { [15] = 1 } };
}

static void reverse(struct eg_names *t, const struct eg_names_question *q,
                    struct eg_names_answer *ret)
{
    if (q->reverse.family == 4 && q->reverse.b[0] == 127)
        set_host(&ret->name, "localhost");
    else if (!eg_names_name(t, &q->reverse, &ret->name))
        ret->rcode = EG_NAMES_NXDOMAIN;
    if (q->type != EG_NAMES_PTR)
        ret->name.host_len = 0; /* the name is there, and has no such record */
}

void eg_names_answer_to(struct eg_names *t, const struct eg_names_question *q,
                        struct eg_names_answer *ret)
{
    *ret = (struct eg_names_answer){ .rcode = EG_NAMES_NOERROR };
    /* arpa: only what this table holds; the others can't be names of hosts (RFC 6761 6.4, RFC 7686) */
    if (q->host && ends_in(&q->name, "arpa"))
        reverse(t, q, ret);
    else if (!q->host || ends_in(&q->name, "invalid") || ends_in(&q->name, "onion"))
        ret->rcode = EG_NAMES_NXDOMAIN;
    else if (ends_in(&q->name, "localhost"))
        localhost(q->type, ret);
    else if ((q->type == EG_NAMES_A || q->type == EG_NAMES_ANY) &&
             eg_names_address(t, &q->name, &ret->addr) != EG_OK)
        ret->addr.family = 0;
}
