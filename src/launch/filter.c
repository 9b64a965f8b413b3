/* filter.c - the assembler of filter.h. */
#include "launch/filter.h"

#include <linux/seccomp.h>

void eg_filter_add(struct eg_filter *f, struct sock_filter instruction)
{
    if (f->n < EG_FILTER_MAX)
        f->code[f->n++] = instruction;
    else
        f->overflow = true;
}

void eg_filter_load(struct eg_filter *f, size_t offset)
{
    eg_filter_add(f, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

void eg_filter_load_arg(struct eg_filter *f, unsigned i)
{
    eg_filter_load(f, offsetof(struct seccomp_data, args) + i * sizeof(uint64_t));
}

void eg_filter_ret(struct eg_filter *f, uint32_t action)
{
    eg_filter_add(f, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

void eg_filter_errno(struct eg_filter *f, int sys)
{
    eg_filter_ret(f, SECCOMP_RET_ERRNO | ((uint32_t)sys & SECCOMP_RET_DATA));
}

void eg_filter_if_equal(struct eg_filter *f, uint32_t k, uint8_t skip)
{
    eg_filter_add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, 0, skip));
}

static void if_any_bit(struct eg_filter *f, uint32_t k, uint8_t skip)
{
    eg_filter_add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, k, 0, skip));
}

void eg_filter_if_other(struct eg_filter *f, uint32_t k, uint8_t skip)
{
    eg_filter_add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, skip, 0));
}

void eg_filter_and(struct eg_filter *f, uint32_t k)
{
    eg_filter_add(f, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, k));
}

unsigned short eg_filter_begin(struct eg_filter *f, long call)
{
    eg_filter_if_equal(f, (uint32_t)call, 0);
    return f->n;
}

void eg_filter_end(struct eg_filter *f, unsigned short first, bool returns)
{
    if (!returns)
        eg_filter_load(f, offsetof(struct seccomp_data, nr));
    if (f->n - first > UINT8_MAX)
        f->overflow = true;
    f->code[first - 1].jf = (uint8_t)(f->n - first);
}

void eg_filter_deny(struct eg_filter *f, long call, int sys)
{
    eg_filter_if_equal(f, (uint32_t)call, 1);
    eg_filter_errno(f, sys);
}

void eg_filter_deny_all(struct eg_filter *f, const int *calls, size_t n, int sys)
{
    for (size_t i = 0; i < n; i++)
        eg_filter_deny(f, calls[i], sys);
}

void eg_filter_deny_bits(struct eg_filter *f, long call, unsigned i, uint32_t bits, int sys)
{
    unsigned short first = eg_filter_begin(f, call);
    eg_filter_load_arg(f, i);
    if_any_bit(f, bits, 1);
    eg_filter_errno(f, sys);
    eg_filter_end(f, first, false);
}
