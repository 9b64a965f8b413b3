/* emit.h - what the files that write a block share. Internal to the room. */
#ifndef EG_POLICY_EMIT_H
#define EG_POLICY_EMIT_H

#include "policy/block.h"

enum { EG_EMIT_SHARED = 16 };
/* Lists of ports, and texts that tell of them, are the same ones over and over: those that came first are shared, so that a large policy stays in
 * the caches. */
struct eg_emit_shared {
    const uint16_t *ports[EG_EMIT_SHARED]; /* of the model */
    struct eg_block_range ranges[EG_EMIT_SHARED];
    unsigned range_count;
    struct eg_block_text texts[EG_EMIT_SHARED];
    unsigned text_count;
};

struct eg_emit {
    struct eg_model *m;
    struct eg_emit_shared shared;
    struct eg_buf part[EG_BLOCK_SECTIONS];
    struct eg_block_head head;
    enum eg_status status; /* the first failure; after it nothing is written */
};

/* Records of the section so far. */
uint32_t eg_emit_count(const struct eg_emit *e, enum eg_block_section s);
/* One record, of the section's size. */
void eg_emit_put(struct eg_emit *e, enum eg_block_section s, const void *record);
struct eg_block_text eg_emit_text(struct eg_emit *e, struct eg_slice s);
struct eg_block_addr eg_emit_authority(struct eg_emit *e, const struct eg_authority *a, bool tls);

struct eg_block_range eg_emit_names(struct eg_emit *e, const struct eg_slice *names,
                                    unsigned count);
/* why: what a request that a deny rule names is told; empty: the rule itself. */
struct eg_block_paths eg_emit_paths(struct eg_emit *e, const struct eg_model_paths *paths,
                                    bool deny, struct eg_slice why);
/* The index over a list of paths whose first record is `first`; 0: they are few. */
uint32_t eg_emit_steps(struct eg_emit *e, const struct eg_model_paths *paths, uint32_t first,
                       bool deny);
/* The tables of targets and steps, and the head's key; once all texts are in. */
void eg_emit_hashes(struct eg_emit *e);

void eg_emit_origins(struct eg_emit *e);
void eg_emit_service(struct eg_emit *e, const struct eg_model_service *service);
void eg_emit_credential(struct eg_emit *e, const struct eg_model_credential *c);

#endif
