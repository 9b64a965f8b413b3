/* diag.h - how this room reports: a place in a source, a stable code, one sentence, a fix. Internal to the room.
 *
 * Texts are formatted here and copied; what a user wrote goes through eg_quote, so that control bytes are
 * escaped and nothing that looks like a secret is repeated. */
#ifndef EG_POLICY_DIAG_H
#define EG_POLICY_DIAG_H

#include <stdint.h>

#include "base/arena.h"
#include "policy/compile.h"

/* One policy file while it is compiled. Borrowed from the caller but for the line table. */
struct eg_source {
    const char *path;
    const char *root; /* path of the file whose trust it has: its own, or of what extends it; NULL: not known */
    struct eg_slice text;
    enum eg_layer layer;
    bool trusted;
    uint32_t *lines; /* offset of the first byte of every line; NULL before eg_source_index */
    uint32_t line_count;
};

/* A place: bytes of a source. source NULL or width 0: the file as a whole. */
struct eg_place {
    const struct eg_source *source;
    uint32_t offset;
    uint32_t width;
    bool hide; /* these bytes may be a secret: shown as asterisks */
};

static inline struct eg_place eg_place_at(const struct eg_source *source, uint32_t offset,
                                          uint32_t width)
{
    return (struct eg_place){ source, offset, width, false };
}

/* Makes the line table in the arena. EG_NOMEM. */
enum eg_status eg_source_index(struct eg_source *s, struct eg_arena *arena) EG_MUST_USE;
/* Line and column (in code points; behind the first 64 KiB of a line what is before counts in bytes), both from 1. */
void eg_source_position(const struct eg_source *s, uint32_t offset, uint32_t *line,
                        uint32_t *column);
/* The line alone, which costs nothing where a line is long. */
uint32_t eg_source_line(const struct eg_source *s, uint32_t offset);
/* The byte at that line and column, clamped into the text. */
uint32_t eg_source_offset(const struct eg_source *s, uint32_t line, uint32_t column);

/* Adds one problem. code is static; fix may be NULL. Running out of memory is remembered: eg_diags_broken. */
void eg_diag_error(struct eg_diags *d, const char *code, struct eg_place at, const char *fix,
                   const char *format, ...) __attribute__((format(printf, 5, 6)));
void eg_diag_warning(struct eg_diags *d, const char *code, struct eg_place at, const char *fix,
                     const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Memory ran out while a problem was added: the list is not whole. */
bool eg_diags_broken(const struct eg_diags *d);

/* No more problems are stored: whoever walks a file may stop. */
bool eg_diags_full(const struct eg_diags *d);

enum { EG_QUOTED = 96 };
struct eg_quoted {
    char text[EG_QUOTED];
};
/* 'text' for a sentence: printable ASCII, cut at a length, and <hidden> where it looks like a secret. */
struct eg_quoted eg_quote(struct eg_slice text);

/* Does one word of the text look like a key: a vendor's prefix, or long and random? (inline-secret) */
bool eg_secret_like(struct eg_slice text);
/* Overwrites words that look like a secret with asterisks. */
void eg_secret_mask(char *text, size_t n);
/* The same for what has a vendor's prefix, wherever in the word: for sentences, in which a name that is long and random may stand. */
void eg_secret_mask_known(char *text, size_t n);

#endif
