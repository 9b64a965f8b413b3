/* ranges.h - addresses that are not the public internet (policy.md point 6, security.md T3), and cloud metadata. Pure. */
#ifndef EG_POLICY_RANGES_H
#define EG_POLICY_RANGES_H

#include "base/uri.h"

struct eg_range {
    struct eg_addr base;
    uint8_t bits;
    const char *text; /* a static sentence: "the address is ...", e.g. "loopback (127.0.0.0/8)" */
};

/* The special range that holds the address, NULL when there is none. 64:ff9b::/96 is no special range: its embedded address is judged. */
const struct eg_range *eg_range_of(const struct eg_addr *a);
/* The first special range that has an address in common with base/bits; NULL when none. 64:ff9b::/96 counts here. */
const struct eg_range *eg_range_overlap(const struct eg_addr *base, uint8_t bits);

enum { EG_EMBEDDED_MAX = 8 };
/* IPv4 addresses that an IPv6 address carries (mapped, compatible, SIIT, 64:ff9b::/96, 64:ff9b:1::/48, 6to4, Teredo); returns how many. */
unsigned eg_range_embedded(const struct eg_addr *a, struct eg_addr out[EG_EMBEDDED_MAX]);
/* Is it in 64:ff9b::/96, the NAT64 prefix whose addresses are as good as what they embed? */
bool eg_range_nat64(const struct eg_addr *a);

/* A cloud's metadata service, by address (also embedded in IPv6) or by canonical name. */
bool eg_metadata_addr(const struct eg_addr *a);
bool eg_metadata_name(struct eg_slice host);

/* All of the tables, one by one from 0; NULL behind the last. */
const struct eg_range *eg_range_each(unsigned i);
const struct eg_addr *eg_metadata_each_addr(unsigned i);
const struct eg_slice *eg_metadata_each_name(unsigned i);

#endif
