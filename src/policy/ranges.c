/* ranges.c - the IANA special-purpose address registries (IPv4 and IPv6, as of 2026) and metadata services, as tables.
 *
 * Everything in the registries is refused, also the few blocks that are marked globally reachable: nothing that a child needs
 * lives there. Outside of 2000::/3 IPv6 is unassigned and refused as a whole. Tables are literals in network order and are checked
 * by a test against their own texts. */
#include "policy/ranges.h"

#define V4(a, b, c, d)                                                                             \
    {                                                                                              \
        4,                                                                                         \
        {                                                                                          \
            a, b, c, d                                                                             \
        }                                                                                          \
    }
#define V6(a, b, c, d, e, f)                                                                       \
    {                                                                                              \
        6,                                                                                         \
        {                                                                                          \
            (a) >> 8, (a)&0xff, (b) >> 8, (b)&0xff, (c) >> 8, (c)&0xff, (d) >> 8, (d)&0xff,        \
                (e) >> 8, (e)&0xff, (f) >> 8, (f)&0xff                                             \
        }                                                                                          \
    }

static const struct eg_range ranges[] = {
    { V4(0, 0, 0, 0), 8, "this network (0.0.0.0/8)" },
    { V4(10, 0, 0, 0), 8, "private (10.0.0.0/8)" },
    { V4(100, 64, 0, 0), 10, "carrier-grade NAT (100.64.0.0/10)" },
    { V4(127, 0, 0, 0), 8, "loopback (127.0.0.0/8)" },
    { V4(168, 63, 129, 16), 32, "a cloud's platform service (168.63.129.16)" },
    { V4(169, 254, 0, 0), 16, "link-local (169.254.0.0/16)" },
    { V4(172, 16, 0, 0), 12, "private (172.16.0.0/12)" },
    { V4(192, 0, 0, 0), 24, "IETF protocol assignments (192.0.0.0/24)" },
    { V4(192, 0, 2, 0), 24, "documentation (192.0.2.0/24)" },
    { V4(192, 31, 196, 0), 24, "AS112 (192.31.196.0/24)" },
    { V4(192, 52, 193, 0), 24, "AMT relays (192.52.193.0/24)" },
    { V4(192, 88, 99, 0), 24, "6to4 relays (192.88.99.0/24)" },
    { V4(192, 168, 0, 0), 16, "private (192.168.0.0/16)" },
    { V4(192, 175, 48, 0), 24, "AS112 (192.175.48.0/24)" },
    { V4(198, 18, 0, 0), 15, "benchmarking (198.18.0.0/15)" },
    { V4(198, 51, 100, 0), 24, "documentation (198.51.100.0/24)" },
    { V4(203, 0, 113, 0), 24, "documentation (203.0.113.0/24)" },
    { V4(224, 0, 0, 0), 4, "multicast (224.0.0.0/4)" },
    { V4(255, 255, 255, 255), 32, "broadcast (255.255.255.255)" },
    { V4(240, 0, 0, 0), 4, "reserved (240.0.0.0/4)" },
    { { 6, { [15] = 0 } }, 128, "unspecified (::)" },
    { { 6, { [15] = 1 } }, 128, "loopback (::1)" },
    { { 6, { [10] = 0xff, [11] = 0xff } }, 96, "IPv4-mapped (::ffff:0:0/96)" },
    { { 6, { [8] = 0xff, [9] = 0xff } }, 96, "SIIT (::ffff:0:0:0/96)" },
    { { 6, { 0 } }, 96, "IPv4-compatible (::/96)" },
    { V6(0x0064, 0xff9b, 1, 0, 0, 0), 48, "local NAT64 (64:ff9b:1::/48)" },
    { V6(0x0100, 0, 0, 0, 0, 0), 64, "discard-only (100::/64)" },
    { V6(0x0100, 0, 0, 1, 0, 0), 64, "dummy prefix (100:0:0:1::/64)" },
    { V6(0x2001, 0, 0, 0, 0, 0), 32, "Teredo (2001::/32)" },
    { V6(0x2001, 0, 0, 0, 0, 0), 23, "IETF protocol assignments (2001::/23)" },
    { V6(0x2001, 0x0db8, 0, 0, 0, 0), 32, "documentation (2001:db8::/32)" },
    { V6(0x2002, 0, 0, 0, 0, 0), 16, "6to4 (2002::/16)" },
    { V6(0x2620, 0x004f, 0x8000, 0, 0, 0), 48, "AS112 (2620:4f:8000::/48)" },
    { V6(0x3fff, 0, 0, 0, 0, 0), 20, "documentation (3fff::/20)" },
    { V6(0x5f00, 0, 0, 0, 0, 0), 16, "segment routing (5f00::/16)" },
    { V6(0xfc00, 0, 0, 0, 0, 0), 7, "unique local (fc00::/7)" },
    { V6(0xfe80, 0, 0, 0, 0, 0), 10, "link-local (fe80::/10)" },
    { V6(0xfec0, 0, 0, 0, 0, 0), 10, "site-local (fec0::/10)" },
    { V6(0xff00, 0, 0, 0, 0, 0), 8, "multicast (ff00::/8)" },
    /* what is left outside of 2000::/3 */
    { V6(0, 0, 0, 0, 0, 0), 3, "unassigned (outside of 2000::/3)" },
    { V6(0x4000, 0, 0, 0, 0, 0), 2, "unassigned (outside of 2000::/3)" },
    { V6(0x8000, 0, 0, 0, 0, 0), 1, "unassigned (outside of 2000::/3)" },
};

static const struct eg_addr nat64 = V6(0x0064, 0xff9b, 0, 0, 0, 0);
static const struct eg_addr nat64_local = V6(0x0064, 0xff9b, 1, 0, 0, 0);
static const struct eg_addr sixtofour = V6(0x2002, 0, 0, 0, 0, 0);
static const struct eg_addr teredo = V6(0x2001, 0, 0, 0, 0, 0);

bool eg_range_nat64(const struct eg_addr *a)
{
    return eg_addr_in(a, &nat64, 96);
}

/* The first octet tells most of them apart. */
static bool may_hold(const struct eg_range *r, const struct eg_addr *a)
{
    return r->base.family == a->family && (r->bits < 8 || r->base.b[0] == a->b[0]);
}

const struct eg_range *eg_range_of(const struct eg_addr *a)
{
    if (eg_range_nat64(a))
        return NULL;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (may_hold(&ranges[i], a) && eg_addr_in(a, &ranges[i].base, ranges[i].bits))
            return &ranges[i];
    return NULL;
}

const struct eg_range *eg_range_overlap(const struct eg_addr *base, uint8_t bits)
{
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        const struct eg_range *r = &ranges[i];
        if (base->family != r->base.family)
            continue;
        if (eg_addr_in(base, &r->base, r->bits) || eg_addr_in(&r->base, base, bits))
            return r;
    }
    return NULL;
}

static struct eg_addr v4_at(const uint8_t *p, uint8_t invert)
{
    struct eg_addr a = { 4, { 0 } };
    for (int i = 0; i < 4; i++)
        a.b[i] = (uint8_t)(p[i] ^ invert);
    return a;
}

/* RFC 6052 section 2.2: the address around the octet 8, which is zero, for prefixes of 48, 56 and 64 bits. */
static struct eg_addr v4_split(const uint8_t *b, unsigned prefix_octets)
{
    struct eg_addr a = { 4, { 0 } };
    unsigned from = prefix_octets;
    for (int i = 0; i < 4; i++) {
        from += from == 8;
        a.b[i] = b[from++];
    }
    return a;
}

unsigned eg_range_embedded(const struct eg_addr *a, struct eg_addr out[EG_EMBEDDED_MAX])
{
    static const uint8_t zero[12];
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    static const uint8_t siit[12] = { [8] = 0xff, [9] = 0xff };
    unsigned n = 0;
    if (a->family != 6)
        return 0;
    bool self = !memcmp(a->b, zero, 12) && !a->b[12] && !a->b[13] && !a->b[14] &&
                a->b[15] < 2; /* :: and ::1 */
    if ((!memcmp(a->b, zero, 12) && !self) || !memcmp(a->b, mapped, 12) ||
        !memcmp(a->b, siit, 12) || eg_range_nat64(a))
        out[n++] = v4_at(a->b + 12, 0);
    if (eg_addr_in(a, &nat64_local, 48)) {
        out[n++] = v4_at(a->b + 12, 0);
        out[n++] = v4_split(a->b, 6);
        out[n++] = v4_split(a->b, 7);
        out[n++] = v4_split(a->b, 8);
    }
    if (eg_addr_in(a, &sixtofour, 16))
        out[n++] = v4_at(a->b + 2, 0);
    if (eg_addr_in(a, &teredo, 32)) {
        out[n++] = v4_at(a->b + 4, 0);
        out[n++] = v4_at(a->b + 12,
                         0xff); /* RFC 4380 section 4: the client's address is stored inverted */
    }
    return n;
}

static const struct eg_addr metadata[] = {
    V4(169, 254, 169, 254),
    V4(169, 254, 170, 2),
    V4(169, 254, 170, 23),
    V4(168, 63, 129, 16),
    V4(100, 100, 100, 200),
    V4(192, 0, 0, 192),
    V4(169, 254, 0, 23),
    { 6, { 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 } }, /* fd00:ec2::254 */
    { 6, { 0xfd, 0x00, 0x0e, 0xc2, [15] = 0x23 } },              /* fd00:ec2::23 */
    { 6, { 0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54 } }, /* fd20:ce::254 */
    { 6, { 0xfe, 0x80, [12] = 0xa9, 0xfe, 0xa9, 0xfe } },        /* fe80::a9fe:a9fe */
};

static bool is_metadata(const struct eg_addr *a)
{
    for (size_t i = 0; i < sizeof metadata / sizeof *metadata; i++)
        if (a->b[0] == metadata[i].b[0] && eg_addr_eq(a, &metadata[i]))
            return true;
    return false;
}

bool eg_metadata_addr(const struct eg_addr *a)
{
    struct eg_addr inside[EG_EMBEDDED_MAX];
    unsigned n = eg_range_embedded(a, inside);
    for (unsigned i = 0; i < n; i++)
        if (is_metadata(&inside[i]))
            return true;
    return is_metadata(a);
}

#define NAME(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static const struct eg_slice metadata_names[] = {
    NAME("metadata"),
    NAME("metadata.google.internal"),
    NAME("metadata.goog"),
    NAME("metadata.azure.internal"),
    NAME("metadata.azure.com"),
    NAME("metadata.tencentyun.com"),
    NAME("metadata.platformequinix.com"),
    NAME("metadata.packet.net"),
    NAME("api.metadata.cloud.ibm.com"),
    NAME("instance-data"),
    NAME("instance-data.ec2.internal"),
    NAME("rancher-metadata"),
    NAME("rancher-metadata.rancher.internal"),
};

bool eg_metadata_name(struct eg_slice host)
{
    for (size_t i = 0; i < sizeof metadata_names / sizeof *metadata_names; i++) {
        const struct eg_slice *name = &metadata_names[i];
        if (host.n < name->n || host.p[host.n - name->n] != name->p[0] ||
            memcmp(host.p + host.n - name->n, name->p, name->n) != 0)
            continue;
        /* the name itself, or anything below one that has a dot */
        if (host.n == name->n ||
            (host.p[host.n - name->n - 1] == '.' && eg_slice_index(*name, '.') >= 0))
            return true;
    }
    return false;
}

const struct eg_range *eg_range_each(unsigned i)
{
    return i < sizeof ranges / sizeof *ranges ? &ranges[i] : NULL;
}

const struct eg_addr *eg_metadata_each_addr(unsigned i)
{
    return i < sizeof metadata / sizeof *metadata ? &metadata[i] : NULL;
}

const struct eg_slice *eg_metadata_each_name(unsigned i)
{
    return i < sizeof metadata_names / sizeof *metadata_names ? &metadata_names[i] : NULL;
}
