/* yaml.h - a policy file as a tree: text with a place, lists and maps. Internal to the room.
 *
 * YAML 1.2 without anchors, aliases, merge keys, tags, directives and several documents; scalars stay text. */
#ifndef EG_POLICY_YAML_H
#define EG_POLICY_YAML_H

#include "policy/diag.h"

enum {
    EG_YAML_FILE_MAX = 4 << 20,
    EG_YAML_DEPTH_MAX = 32,
    EG_YAML_NODES_MAX = 400000,
};

enum eg_yaml_kind { EG_YAML_TEXT, EG_YAML_LIST, EG_YAML_MAP };

struct eg_yaml { /* lives in the arena it was read into */
    enum eg_yaml_kind kind;
    bool plain;           /* text without quotes */
    bool bad;             /* a problem is reported already: skip it, say nothing more */
    struct eg_slice text; /* decoded; NUL-terminated in the arena */
    struct eg_slice name; /* under a map: this child's key */
    struct eg_place at;   /* of the value */
    struct eg_place name_at;
    uint32_t count;  /* children */
    uint32_t schema; /* index + 1 of the row of the schema that types it; 0: none */
    uint64_t
        number; /* what the schema made of the text: bool, number, bytes, milliseconds, index of a word */
    struct eg_yaml *first; /* children in the order of the file */
    struct eg_yaml *last;
    struct eg_yaml *next;
};

/* Reads source (indexed here) into *ret. Problems become diagnostics: then EG_INVALID where no tree can be had, EG_OK with the
 * damaged parts marked bad otherwise. An empty file is an empty map. EG_NOMEM, EG_TOO_BIG when the arena is full. */
enum eg_status eg_yaml_read(struct eg_source *source, struct eg_arena *arena,
                            struct eg_diags *diags, struct eg_yaml **ret) EG_MUST_USE;
/* The child of that name; NULL when absent or node is NULL or no map. */
struct eg_yaml *eg_yaml_get(const struct eg_yaml *node, const char *name);

/* Bytes that no policy file may hold: NUL, control bytes, tabs, broken UTF-8. False when the parser should not see it. */
bool eg_yaml_scan(const struct eg_source *source, struct eg_diags *diags);
/* Length of the character at p when a terminal may see it; 0 for control bytes, broken UTF-8 and what hides or turns text. */
size_t eg_yaml_visible(const char *p, size_t n);
/* Why libfyaml (seen in 0.7.12) can't be asked for the quoted text that opens at i, or NULL. It miscounts the length of such a text, then
 * cuts it or pads it with stray heap bytes, and loses memory. NULL where no quote opens. i < text.n. */
const char *eg_yaml_quoted_fault(struct eg_slice text, size_t i);
/* Offset of the innermost bracket or brace that is still open at the end of the text, or -1. Best effort, for messages. */
long eg_yaml_open_bracket(struct eg_slice text);
/* Offset of a bracket at a depth that is far beyond the ceiling, or -1: libfyaml would queue all of them before its first event. */
long eg_yaml_too_deep(struct eg_slice text);

#endif
