/* extends.h - the files of one compilation with all that they extend, read, typed and in order. Internal to the room.
 *
 * What a file extends has its layer and its trust and counts as less specific. An untrusted file reaches only what lies below its own folder. */
#ifndef EG_POLICY_EXTENDS_H
#define EG_POLICY_EXTENDS_H

#include "policy/yaml.h"

enum {
    EG_EXTENDS_DEPTH = 8,
    EG_EXTENDS_COUNT = 32, /* of one file, directly or not */
    EG_EXTENDS_BYTES = 8 << 20,
    EG_EXTENDS_NAME = 1024,
    EG_SOURCES_MAX = 512,
};

struct eg_sources {
    struct eg_source list[EG_SOURCES_MAX];
    struct eg_yaml *roots[EG_SOURCES_MAX]; /* NULL: no tree could be had, which is reported */
    unsigned count;
    unsigned order[EG_SOURCES_MAX]; /* what is extended stands before what extends it */
    unsigned ordered;
};

/* extends_name.c: a file, as the naming file's folder and the name give it, without empty and "." segments. */
struct eg_extends_name {
    char *path;
    bool leaves; /* it is absolute, or has a .. */
};
/* from: path of the naming file. False: the name can't be one of a file, or there is no memory. */
bool eg_extends_name(struct eg_arena *arena, const char *from, struct eg_slice name,
                     struct eg_extends_name *ret);

/* Length of the folder in a file's path, with what ends it. */
size_t eg_extends_folder(const char *from);

/* Adds a file and all that it extends; problems become diagnostics. Its trust, and what it may read, are found on the way. EG_NOMEM, EG_TOO_BIG. */
enum eg_status eg_sources_add(struct eg_sources *s, const struct eg_policy_file *file,
                              const struct eg_policy_reader *reader, struct eg_arena *arena,
                              struct eg_diags *diags) EG_MUST_USE;

#endif
