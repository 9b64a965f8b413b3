/* yaml_reader.h - the state while events become a tree. Only yaml.c and yaml_events.c include it. */
#ifndef EG_POLICY_YAML_READER_H
#define EG_POLICY_YAML_READER_H

#include <libfyaml.h>

#include "base/table.h"
#include "policy/yaml.h"

struct eg_yaml_reader {
    struct eg_source *source;
    struct eg_arena *arena;
    struct eg_diags *diags;
    struct eg_yaml *root;
    struct eg_yaml *open[EG_YAML_DEPTH_MAX]; /* from the root to where we are */
    struct eg_table *keys[EG_YAML_DEPTH_MAX];
    struct eg_slice key[EG_YAML_DEPTH_MAX]; /* the key that waits for its value; p NULL: none */
    struct eg_place key_at[EG_YAML_DEPTH_MAX];
    bool key_bad[EG_YAML_DEPTH_MAX];
    unsigned depth;
    unsigned nodes;
    unsigned documents;
    unsigned skip; /* depth inside of a collection that stands as a key */
    bool stopped;
    enum eg_status status;
};

/* One event; problems become diagnostics. What can't go on sets r->stopped. */
void eg_yaml_on_event(struct eg_yaml_reader *r, struct fy_event *e);
/* Leaves the innermost open collection. */
void eg_yaml_on_end(struct eg_yaml_reader *r);
/* Takes no more events; the first status stays. */
void eg_yaml_stop(struct eg_yaml_reader *r, enum eg_status status);
/* NULL stops the reader. */
struct eg_yaml *eg_yaml_new_node(struct eg_yaml_reader *r, enum eg_yaml_kind kind,
                                 struct eg_place at);
void eg_yaml_report_depth(struct eg_diags *diags, struct eg_place at);

#endif
