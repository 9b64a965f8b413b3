/* naive_parts.h - what the files of the naive evaluator share. */
#ifndef EG_TESTS_SUPPORT_NAIVE_PARTS_H
#define EG_TESTS_SUPPORT_NAIVE_PARTS_H

#include "support/naive.h"

/* Is the address (as inet_pton reads it) in base/bits? Never across families. */
bool eg_naive_in(const char *base, unsigned bits, const char *addr);
/* IPv4 addresses that the IPv6 address carries, as texts; returns how many. */
enum { EG_NAIVE_INSIDE = 8 };
unsigned eg_naive_inside(const char *addr, char out[EG_NAIVE_INSIDE][EG_RANDOM_HOST]);
/* Is it outside of what may be reached from a name, but for what p's networks name? With what it carries. */
bool eg_naive_forbidden(const struct eg_random_policy *p, const char *addr);
bool eg_naive_metadata_addr(const char *addr);
bool eg_naive_metadata_name(const char *host);

#endif
