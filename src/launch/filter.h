/* filter.h - an assembler for the child's system call filter (classic BPF, seccomp(2)): blocks that run for one call,
 * with the call's number in the accumulator wherever a block begins. It knows no rule; seccomp.c and seccomp_alone.c do. */
#ifndef EG_LAUNCH_FILTER_H
#define EG_LAUNCH_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EG_FILTER_MAX = 512 };

struct eg_filter {
    struct sock_filter code[EG_FILTER_MAX];
    unsigned short n;
    bool overflow; /* it did not fit: not to be installed */
};

void eg_filter_add(struct eg_filter *f, struct sock_filter instruction);
void eg_filter_load(struct eg_filter *f, size_t offset);
/* The low half of an argument: the kernel takes int and unsigned int from there (both architectures are little-endian). */
void eg_filter_load_arg(struct eg_filter *f, unsigned i);
void eg_filter_ret(struct eg_filter *f, uint32_t action);
void eg_filter_errno(struct eg_filter *f, int sys);
/* The next `skip` instructions run only if the accumulator is k, or has any bit of it. */
void eg_filter_if_equal(struct eg_filter *f, uint32_t k, uint8_t skip);
/* The next `skip` instructions run only if it is not k. */
void eg_filter_if_other(struct eg_filter *f, uint32_t k, uint8_t skip);
void eg_filter_and(struct eg_filter *f, uint32_t k);
/* Opens a block that runs only for that system call; its end is not known yet. */
unsigned short eg_filter_begin(struct eg_filter *f, long call);
/* returns: no path leaves the block; else the accumulator holds the call's number again: the next block expects it. */
void eg_filter_end(struct eg_filter *f, unsigned short first, bool returns);
void eg_filter_deny(struct eg_filter *f, long call, int sys);
void eg_filter_deny_all(struct eg_filter *f, const int *calls, size_t n, int sys);
/* The call with any of these bits in argument i is refused. */
void eg_filter_deny_bits(struct eg_filter *f, long call, unsigned i, uint32_t bits, int sys);

#endif
