/* cache.c - answers of name servers by name and family, in a table with a ceiling and in the order
 * in which they came. It asks nobody and judges nothing: whoever takes an address out of it judges
 * it as a new one (policy may have changed, and a name may lie in its second answer). Invariants:
 * every entry is in the table and in the list; an entry is never given out after its time; the
 * table's key is SipHash with a key of its own, so that a peer can't choose names that collide. */
#include "net/cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/table.h"

struct entry {
    struct entry *older, *newer;
    uint64_t until_ms;
    enum eg_status status;
    unsigned count;
    uint8_t key_len;
    struct eg_addr addrs[]; /* then the key: the family, then the name */
};

struct eg_cache {
    struct eg_cache_limits limits;
    struct eg_table *table;
    struct entry *oldest, *newest;
};

static uint32_t either(uint32_t given, uint32_t usual)
{
    return given ? given : usual;
}

enum eg_status eg_cache_new(const struct eg_cache_limits *limits, struct eg_cache **ret)
{
    struct eg_cache *c = calloc(1, sizeof *c);
    if (!c)
        return EG_NOMEM;
    c->limits = (struct eg_cache_limits){
        .entries = either(limits->entries, EG_CACHE_ENTRIES),
        .positive_min_s = either(limits->positive_min_s, EG_CACHE_POSITIVE_MIN_S),
        .positive_max_s = either(limits->positive_max_s, EG_CACHE_POSITIVE_MAX_S),
        .negative_s = either(limits->negative_s, EG_CACHE_NEGATIVE_S),
        .negative_max_s = either(limits->negative_max_s, EG_CACHE_NEGATIVE_MAX_S),
    };
    enum eg_status r = eg_table_new(&c->table, c->limits.entries);
    if (r != EG_OK) {
        free(c);
        return r;
    }
    *ret = c;
    return EG_OK;
}

void eg_cache_free(struct eg_cache *c)
{
    if (!c)
        return;
    eg_table_free(c->table, free);
    free(c);
}

size_t eg_cache_count(const struct eg_cache *c)
{
    return eg_table_count(c->table);
}

static struct eg_slice make_key(char *out, struct eg_slice name, uint8_t family)
{
    out[0] = (char)family;
    memcpy(out + 1, name.p, name.n);
    return eg_slice(out, name.n + 1);
}

static struct eg_slice key_of(const struct entry *e)
{
    return eg_slice((const char *)(e->addrs + e->count), e->key_len);
}

static void drop(struct eg_cache *c, struct entry *e)
{
    eg_table_take(c->table, key_of(e));
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
    free(e);
}

bool eg_cache_get(struct eg_cache *c, struct eg_slice name, uint8_t family, uint64_t now_ms,
                  struct eg_cache_answer *ret)
{
    char key[EG_HOST_MAX + 1];
    if (name.n > EG_HOST_MAX)
        return false;
    struct entry *e = eg_table_get(c->table, make_key(key, name, family));
    if (!e)
        return false;
    if (e->until_ms <= now_ms) {
        drop(c, e);
        return false;
    }
    *ret = (struct eg_cache_answer){ e->status, e->count, e->addrs };
    return true;
}

static uint32_t bounded_ttl(const struct eg_cache_limits *l, enum eg_status status, uint32_t ttl_s)
{
    if (status != EG_OK) {
        uint32_t ttl = ttl_s == EG_CACHE_TTL_UNKNOWN ? l->negative_s : ttl_s;
        return ttl < l->negative_max_s ? ttl : l->negative_max_s;
    }
    if (ttl_s == EG_CACHE_TTL_UNKNOWN || ttl_s < l->positive_min_s)
        return l->positive_min_s;
    return ttl_s < l->positive_max_s ? ttl_s : l->positive_max_s;
}

static void add(struct eg_cache *c, struct entry *e)
{
    if (eg_table_add(c->table, key_of(e), e) != EG_OK) {
        free(e);
        return;
    }
    e->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

void eg_cache_put(struct eg_cache *c, struct eg_slice name, uint8_t family, uint64_t now_ms,
                  uint32_t ttl_s, enum eg_status status, const struct eg_addr *addrs,
                  unsigned count)
{
    char key[EG_HOST_MAX + 1];
    if (name.n > EG_HOST_MAX)
        return;
    struct eg_slice k = make_key(key, name, family);
    struct entry *old = eg_table_get(c->table, k);
    if (status != EG_DNS_NOT_FOUND && (status != EG_OK || count == 0))
        return;
    if (status == EG_DNS_NOT_FOUND)
        count = 0;
    if (old)
        drop(c, old);
    uint32_t ttl = bounded_ttl(&c->limits, status, ttl_s);
    if (ttl == 0) /* RFC 2308 section 3: a negative answer may say so */
        return;
    while (c->oldest &&
           (c->oldest->until_ms <= now_ms || eg_table_count(c->table) >= c->limits.entries))
        drop(c, c->oldest);
    struct entry *e = calloc(1, sizeof *e + count * sizeof e->addrs[0] + k.n);
    if (!e)
        return;
    e->until_ms = now_ms + (uint64_t)ttl * 1000;
    e->status = status;
    e->count = count;
    e->key_len = (uint8_t)k.n;
    if (count)
        memcpy(e->addrs, addrs, count * sizeof *addrs);
    memcpy(e->addrs + count, k.p, k.n);
    add(c, e);
}
