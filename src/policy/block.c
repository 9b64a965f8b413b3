/* block.c - what the writer and the reader of a block share: sizes of records, keys and their hash. */
#include "policy/block.h"

#include <sodium.h>

const uint32_t eg_block_record[EG_BLOCK_SECTIONS] = {
    [EG_BLOCK_SLOTS_HASH] = sizeof(struct eg_block_entry),
    [EG_BLOCK_TARGETS] = sizeof(struct eg_block_target),
    [EG_BLOCK_RULES] = sizeof(struct eg_block_rule),
    [EG_BLOCK_PORTS] = sizeof(uint16_t),
    [EG_BLOCK_PATHS] = sizeof(struct eg_block_path),
    [EG_BLOCK_SEGMENTS] = sizeof(struct eg_block_segment),
    [EG_BLOCK_STEPS_HASH] = sizeof(struct eg_block_entry),
    [EG_BLOCK_NODES] = sizeof(struct eg_block_node),
    [EG_BLOCK_EDGES] = sizeof(struct eg_block_edge),
    [EG_BLOCK_ENDS] = sizeof(uint32_t),
    [EG_BLOCK_SERVICES] = sizeof(struct eg_block_service),
    [EG_BLOCK_SLOTS] = sizeof(struct eg_block_slot),
    [EG_BLOCK_WRITES] = sizeof(struct eg_block_write),
    [EG_BLOCK_NAMES] = sizeof(struct eg_block_text),
    [EG_BLOCK_CREDENTIALS] = sizeof(struct eg_block_credential),
    [EG_BLOCK_HOSTS] = sizeof(struct eg_block_host),
    [EG_BLOCK_LISTEN] = sizeof(struct eg_block_listen),
    [EG_BLOCK_PAIRS] = sizeof(struct eg_block_pair),
    [EG_BLOCK_HOPS] = sizeof(struct eg_block_hop),
    [EG_BLOCK_BYPASS] = sizeof(struct eg_block_bypass),
    [EG_BLOCK_ORIGINS] = sizeof(struct eg_block_origin),
    [EG_BLOCK_POOL] = 1,
};

uint64_t eg_block_hash(const unsigned char key[16], enum eg_pattern_kind kind, struct eg_slice text)
{
    union {
        unsigned char bytes[crypto_shorthash_BYTES];
        uint64_t number;
    } out;
    unsigned char in[EG_HOST_MAX + 1];
    in[0] = (unsigned char)kind;
    size_t n = text.n < EG_HOST_MAX ? text.n : EG_HOST_MAX;
    memcpy(in + 1, text.p, n);
    crypto_shorthash(out.bytes, in, n + 1, key);
    return out.number;
}

void eg_block_prefix_key(const struct eg_addr *a, uint8_t bits,
                         unsigned char out[EG_BLOCK_PREFIX_KEY])
{
    memset(out, 0, EG_BLOCK_PREFIX_KEY);
    out[0] = a->family;
    out[1] = bits;
    memcpy(out + 2, a->b, bits / 8);
    if (bits % 8)
        out[2 + bits / 8] = (unsigned char)(a->b[bits / 8] & (0xff00 >> (bits % 8)));
}
