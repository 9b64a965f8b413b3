/* diff_addresses.c - addresses: one of every region that prefixes cut out, as a literal and as what names may lead to.
 *
 * The borders are all prefixes of both policies, the special ranges, metadata services, and each of these that is about IPv4 once more in every IPv6 form
 * that embeds it in front of other bits (mapped, compatible, SIIT, 64:ff9b::/96, 6to4, a Teredo server). Within a region the two policies
 * say one thing, with two exceptions: a Teredo client and the forms of 64:ff9b:1::/48 embed addresses behind free bits. These are tried for every
 * IPv4 region, and where rules on them differ and nothing was found, the change is said to be possible. */
#include "policy/diff_state.h"
#include "policy/ranges.h"

#include <stdio.h>
#include <stdlib.h>

struct border {
    struct eg_addr base;
    uint8_t bits;
    bool embedded; /* an IPv4 prefix in another form */
};

struct borders {
    struct eg_diff *d;
    struct border *list;
    size_t count, room;
};

static const struct eg_addr nat64_local = { 6, { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 } };
static const struct eg_addr teredo = { 6, { 0x20, 0x01 } };

/* ---- borders ---- */

static void clear_host(struct eg_addr *a, unsigned bits)
{
    for (unsigned i = bits; i < (a->family == 4 ? 32u : 128u); i++)
        a->b[i / 8] &= (uint8_t) ~(0x80 >> (i % 8));
}

static void add(struct borders *o, const struct eg_addr *base, uint8_t bits, bool embedded)
{
    if (o->count++ >= o->room)
        return;
    struct border *b = &o->list[o->count - 1];
    *b = (struct border){ *base, bits, embedded };
    clear_host(&b->base, bits);
}

/* An IPv4 prefix, and the IPv6 ones that embed it. */
static void add_v4(struct borders *o, const struct eg_addr *base, uint8_t bits)
{
    static const struct {
        uint8_t at, head[12];
    } forms[] = {
        { 12, { [10] = 0xff, [11] = 0xff } },
        { 12, { 0 } },
        { 12, { [8] = 0xff, [9] = 0xff } },
        { 12, { 0x00, 0x64, 0xff, 0x9b } },
        { 2, { 0x20, 0x02 } },
        { 4, { 0x20, 0x01 } },
    };
    add(o, base, bits, false);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct eg_addr a = { 6, { 0 } };
        memcpy(a.b, forms[i].head, sizeof forms[i].head);
        memcpy(a.b + forms[i].at, base->b, 4);
        add(o, &a, (uint8_t)(8 * forms[i].at + bits), true);
    }
}

static void add_any(struct borders *o, const struct eg_addr *base, uint8_t bits)
{
    if (base->family == 4)
        add_v4(o, base, bits);
    else
        add(o, base, bits, false);
}

static struct eg_addr key_addr(struct eg_slice key, uint8_t *bits)
{
    struct eg_addr a = { (uint8_t)key.p[0], { 0 } };
    *bits = (uint8_t)key.p[1];
    memcpy(a.b, key.p + 2, sizeof a.b);
    return a;
}

static void add_all(struct borders *o)
{
    static const struct eg_addr all4 = { 4, { 0 } }, all6 = { 6, { 0 } };
    static const struct eg_addr nat64 = { 6, { 0x00, 0x64, 0xff, 0x9b } };
    const struct eg_range *range;
    const struct eg_addr *metadata;
    o->count = 0;
    add_any(o, &all4, 0);
    add(o, &all6, 0, false);
    add(o, &nat64, 96, false);
    for (unsigned i = 0; (range = eg_range_each(i)) != NULL; i++)
        add_any(o, &range->base, range->bits);
    for (unsigned i = 0; (metadata = eg_metadata_each_addr(i)) != NULL; i++)
        add_any(o, metadata, metadata->family == 4 ? 32 : 128);
    for (unsigned side = 0; side < 2; side++)
        for (uint32_t i = 0; i < o->d->p[side]->count[EG_BLOCK_TARGETS]; i++) {
            const struct eg_block_target *t = &o->d->p[side]->targets[i];
            uint8_t bits;
            if (t->kind != EG_PATTERN_PREFIX)
                continue;
            struct eg_addr a = key_addr(eg_block_slice(o->d->p[side], t->key), &bits);
            add_any(o, &a, bits);
        }
}

/* By address, a wider prefix before those in it; of equal ones that which is written so. */
static int compare(const void *x, const void *y)
{
    const struct border *a = x, *b = y;
    int c = (int)a->base.family - (int)b->base.family;
    if (c == 0)
        c = memcmp(a->base.b, b->base.b, sizeof a->base.b);
    if (c == 0)
        c = (int)a->bits - (int)b->bits;
    return c ? c : (int)a->embedded - (int)b->embedded;
}

static bool list_borders(struct borders *o)
{
    size_t kept = 0;
    add_all(o);
    o->room = o->count;
    o->list = eg_diff_alloc(o->d, &o->d->lists, o->room * sizeof *o->list);
    if (!o->list)
        return false;
    add_all(o);
    qsort(o->list, o->count, sizeof *o->list, compare);
    for (size_t i = 0; i < o->count; i++)
        if (i == 0 || o->list[i].bits != o->list[kept - 1].bits ||
            !eg_addr_eq(&o->list[i].base, &o->list[kept - 1].base))
            o->list[kept++] = o->list[i];
    o->count = kept;
    return true;
}

/* ---- an address of a region ---- */

static bool next_addr(struct eg_addr *a)
{
    for (int i = (a->family == 4 ? 4 : 16) - 1; i >= 0; i--)
        if (++a->b[i] != 0)
            return true;
    return false; /* it was the last one */
}

/* The first address behind the prefix; false: there is none. */
static bool behind(const struct border *b, struct eg_addr *ret)
{
    *ret = b->base;
    for (unsigned i = b->bits; i < (b->base.family == 4 ? 32u : 128u); i++)
        ret->b[i / 8] |= (uint8_t)(0x80 >> (i % 8));
    return next_addr(ret);
}

/* An address of prefix i that no prefix within it has. False: they cover it. */
static bool address_of(const struct borders *o, size_t i, struct eg_addr *ret)
{
    const struct border *own = &o->list[i];
    struct eg_addr at = own->base;
    size_t k = i + 1;
    for (; k < o->count && o->list[k].base.family == own->base.family &&
           eg_addr_in(&o->list[k].base, &own->base, own->bits);
         k++) {
        if (memcmp(at.b, o->list[k].base.b, sizeof at.b) < 0)
            break; /* a hole before it */
        if (eg_addr_in(&at, &o->list[k].base, o->list[k].bits) && !behind(&o->list[k], &at))
            return false;
    }
    *ret = at;
    if (!eg_addr_in(&at, &own->base, own->bits))
        return false;
    /* the next one reads better than a network's own, where it is as good */
    if (next_addr(&at) && eg_addr_in(&at, &own->base, own->bits) &&
        (k == o->count || !eg_addr_in(&at, &o->list[k].base, o->list[k].bits)))
        *ret = at;
    return true;
}

/* ---- what is asked of it ---- */

static void ports_of(struct eg_diff *d, const struct eg_addr *a)
{
    struct eg_addr inside[EG_EMBEDDED_MAX];
    struct eg_decide_hits h;
    unsigned n = eg_range_embedded(a, inside);
    eg_diff_ports_reset(d);
    for (unsigned side = 0; side < 2; side++) {
        eg_decide_find_addr(d->p[side], a, eg_decide_full_length(a), &h);
        eg_diff_ports_of(d, d->p[side], &h);
        for (unsigned i = 0; i < n; i++) {
            eg_decide_find_addr(d->p[side], &inside[i], 32, &h);
            eg_diff_ports_of(d, d->p[side], &h);
        }
    }
    eg_diff_ports_finish(d);
}

/* Do both have the same rules on it, and on what it embeds? */
static bool same_rules(const struct eg_diff *d, const struct eg_addr *a)
{
    struct eg_addr inside[EG_EMBEDDED_MAX + 1];
    struct eg_decide_hits h, k;
    unsigned n = eg_range_embedded(a, inside);
    inside[n++] = *a;
    for (unsigned i = 0; i < n; i++) {
        eg_decide_find_addr(d->p[0], &inside[i], eg_decide_full_length(&inside[i]), &h);
        eg_decide_find_addr(d->p[1], &inside[i], eg_decide_full_length(&inside[i]), &k);
        if (!eg_diff_same_hits(d->p[0], &h, d->p[1], &k))
            return false;
    }
    return d->p[0]->head->settings.allow_metadata == d->p[1]->head->settings.allow_metadata ||
           !eg_metadata_addr(a);
}

/* What a name may lead to: judged without the name. */
static void judge(const struct eg_diff *d, const struct eg_addr *a, uint16_t port,
                  struct eg_verdict v[2])
{
    const struct eg_verdict by_name = { .status = EG_OK };
    for (unsigned side = 0; side < 2; side++)
        eg_policy_judge_address(d->p[side], &by_name, a, port, &v[side]);
}

/* Is what changes for an embedding form but what changes for the IPv4 address in it? */
static bool is_echo(const struct eg_diff *d, const struct eg_addr *a, uint16_t port)
{
    struct eg_addr inside[EG_EMBEDDED_MAX];
    struct eg_verdict v[2], w[2];
    if (eg_range_embedded(a, inside) == 0)
        return false;
    judge(d, a, port, v);
    judge(d, &inside[0], port, w);
    return (v[0].status == EG_OK) == (w[0].status == EG_OK) &&
           (v[1].status == EG_OK) == (w[1].status == EG_OK);
}

static void try_name(struct eg_diff *d, const struct eg_addr *a, int port)
{
    struct eg_finding f = { .kind = EG_CHANGE_ADDRESS, .last_port = -1 };
    struct eg_addr *kept = eg_diff_alloc(d, &d->scratch, sizeof *kept);
    if (!kept)
        return;
    *kept = *a;
    for (unsigned side = 0; side < 2; side++) {
        f.asked[side] = true;
        f.ask[side] = (struct eg_ask){ .kind = EG_ASK_TUNNEL, .addr = kept };
        f.ask[side].to.port = d->ports.list[port];
    }
    judge(d, a, d->ports.list[port], f.verdict);
    eg_diff_keep(d, &f, port);
}

static void one_address(struct eg_diff *d, const struct eg_addr *a, const char *subject,
                        bool embedded)
{
    struct eg_authority to;
    if (!d->observe && same_rules(d, a))
        return;
    ports_of(d, a);
    for (uint32_t i = 0; i < d->ports.count && d->status == EG_OK; i++) {
        if (!embedded || !is_echo(d, a, d->ports.list[i]))
            try_name(d, a, (int)i);
    }
    eg_diff_report(d, subject, EG_CHANGE_ADDRESS);
    eg_authority_from_addr(a, 443, &to);
    eg_diff_flows(d, &to);
    eg_diff_report(d, subject, EG_CHANGE_TUNNEL);
}

/* ---- forms that embed addresses behind free bits ---- */

static void put_octets(struct eg_addr *a, const struct eg_addr *v4, const uint8_t at[4],
                       uint8_t invert)
{
    for (int i = 0; i < 4; i++)
        a->b[at[i]] = v4->b[i] ^ invert;
}

static void odd_forms(struct eg_diff *d, const struct eg_addr *v4, const struct eg_addr *harmless)
{
    static const uint8_t server[4] = { 4, 5, 6, 7 }, client[4] = { 12, 13, 14, 15 };
    static const uint8_t split[3][4] = { { 6, 7, 9, 10 }, { 7, 9, 10, 11 }, { 9, 10, 11, 12 } };
    struct eg_addr a = teredo;
    put_octets(&a, harmless, server, 0);
    put_octets(&a, v4, client, 0xff);
    one_address(d, &a, "Teredo clients (2001::/32)", false);
    put_octets(&a, v4, server, 0);
    one_address(d, &a, "Teredo (2001::/32)", false);
    a = nat64_local;
    put_octets(&a, v4, client, 0);
    one_address(d, &a, "local NAT64 (64:ff9b:1::/48)", false);
    for (unsigned i = 0; i < 3; i++) {
        a = nat64_local;
        put_octets(&a, harmless, client, 0);
        put_octets(&a, v4, split[i], 0);
        one_address(d, &a, "local NAT64 (64:ff9b:1::/48)", false);
    }
}

static bool overlaps(const struct eg_addr *a, uint8_t bits, const struct eg_addr *b, uint8_t more)
{
    return a->family == b->family && (eg_addr_in(a, b, more) || eg_addr_in(b, a, bits));
}

/* Has the policy a rule that opens some of these forms? All are special ranges. */
static bool opens_odd(const struct eg_policy *p)
{
    for (uint32_t i = 0; i < p->count[EG_BLOCK_TARGETS]; i++) {
        const struct eg_block_target *t = &p->targets[i];
        uint8_t bits;
        if (t->kind != EG_PATTERN_PREFIX)
            continue;
        struct eg_addr a = key_addr(eg_block_slice(p, t->key), &bits);
        if (!overlaps(&a, bits, &teredo, 32) && !overlaps(&a, bits, &nat64_local, 48))
            continue;
        for (uint32_t k = 0; k < t->rules.count; k++)
            if (p->rules[t->rules.first + k].action != EG_ACTION_DENY)
                return true;
    }
    return false;
}

struct counting {
    eg_take_change *take;
    void *ctx;
    unsigned count, most; /* handed on */
};

static void count_one(void *ctx, const struct eg_change *c)
{
    struct counting *n = ctx;
    if (n->count++ < n->most)
        n->take(n->ctx, c);
}

static bool is_odd(const struct border *b)
{
    return overlaps(&b->base, b->bits, &teredo, 32) ||
           overlaps(&b->base, b->bits, &nat64_local, 48);
}

/* Where rules on these forms, or on the addresses in them, differ, and the regions showed nothing. */
static void odd_addresses(struct eg_diff *d, const struct borders *o)
{
    static const struct eg_addr harmless = { 4, { 8, 8, 8, 8 } };
    struct counting n = { d->take, d->ctx, 0, 2 }; /* many IPv4 regions, one thing to say */
    struct eg_addr a;
    bool differ = false;
    for (size_t i = 0; i < o->count && !differ; i++)
        differ = (o->list[i].base.family == 4 || is_odd(&o->list[i])) && address_of(o, i, &a) &&
                 !same_rules(d, &a);
    if (!differ)
        return;
    d->take = count_one;
    d->ctx = &n;
    for (size_t i = 0; i < o->count && d->status == EG_OK && n.count < n.most; i++)
        if (o->list[i].base.family == 4 && address_of(o, i, &a))
            odd_forms(d, &a, &harmless);
    d->take = n.take;
    d->ctx = n.ctx;
    d->may = n.count == 0;
    eg_diff_report(d, "addresses in 2001::/32 or 64:ff9b:1::/48", EG_CHANGE_ADDRESS);
}

void eg_diff_addresses(struct eg_diff *d)
{
    struct borders o = { .d = d };
    struct counting odd = { d->take, d->ctx, 0, UINT32_MAX };
    struct eg_addr a;
    if (!list_borders(&o))
        return;
    for (size_t i = 0; i < o.count && d->status == EG_OK; i++) {
        char text[EG_ADDR_TEXT], subject[EG_ADDR_TEXT + 8];
        const struct border *b = &o.list[i];
        if (!address_of(&o, i, &a))
            continue;
        snprintf(subject, sizeof subject, "%s/%u", eg_addr_format(&b->base, text, sizeof text),
                 (unsigned)b->bits);
        d->take = is_odd(b) ? count_one : odd.take;
        d->ctx = is_odd(b) ? &odd : odd.ctx;
        one_address(d, &a, subject, b->embedded);
    }
    d->take = odd.take;
    d->ctx = odd.ctx;
    if (odd.count == 0 && (opens_odd(d->p[0]) || opens_odd(d->p[1])))
        odd_addresses(d, &o);
}
