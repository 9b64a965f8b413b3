/* completion.h - what the completions of all shells are made of: the commands, their options and what their operands may be. Internal to completion*.c. */
#ifndef EG_CMD_COMPLETION_H
#define EG_CMD_COMPLETION_H

#include <stdio.h>

#include "base/buf.h"
#include "cmd/commands.h"

enum eg_completion_value {                /* what stands behind an option, or as an operand */
                           EG_VALUE_NONE, /* nothing that can be known */
                           EG_VALUE_FILE,
                           EG_VALUE_WORDS,
};

struct eg_operands {
    struct eg_buf words; /* with blanks between */
    bool files;
    bool command; /* a program and its arguments */
};

/* What an option's argument is; words: "a b c" into out. */
enum eg_completion_value eg_completion_of(const char *arg, char *out, size_t cap);
/* Reads "create | list | revoke ID", "[FILE...]": words are lower-case, names in capitals stand for files, codes, presets ... EG_NOMEM, EG_TOO_BIG. */
enum eg_status eg_operands_read(const char *text, struct eg_operands *ret) EG_MUST_USE;
void eg_operands_done(struct eg_operands *o);

/* Calls for every command that has options, with its words: "run", "policy check". */
typedef enum eg_status eg_completion_fn(FILE *out, const char *key, const struct eg_command *c);
enum eg_status eg_completion_each(FILE *out, eg_completion_fn *take) EG_MUST_USE;

/* The scripts: bash, zsh, fish. EG_NOMEM, EG_TOO_BIG. */
enum eg_status eg_completion_bash(FILE *out) EG_MUST_USE;
enum eg_status eg_completion_zsh(FILE *out) EG_MUST_USE;
enum eg_status eg_completion_fish(FILE *out) EG_MUST_USE;

#endif
