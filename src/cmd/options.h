/* options.h - command lines by one table: it drives getopt_long, --help and the test of the
 * manuals. And what all commands share. */
#ifndef EG_CMD_OPTIONS_H
#define EG_CMD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Exit codes of policy.md. */
enum {
    EG_EXIT_OK,
    EG_EXIT_FAILED,
    EG_EXIT_USAGE,
    EG_EXIT_POLICY,
    EG_EXIT_NO_PROXY,
    EG_EXIT_CREDENTIAL,
    EG_EXIT_REFUSED
};

struct eg_cmd_option {
    char letter;      /* short form; 0: none */
    const char *name; /* long form; NULL: none */
    /* its argument in --help: a name (FILE and PATH are completed as files), or its words, "a|b|c"; NULL: takes none */
    const char *arg;
    const char *help;
};
enum { EG_CMD_OPTIONS_MAX = 24 };

struct eg_cmd_options {
    const char *command;  /* "egressctl audit" */
    const char *operands; /* "[--] CMD..."; may be "" */
    const char *about;    /* one line */
    bool stop_at_operand; /* what follows the first operand is not ours */
    /* its end: letter 0 and name NULL. --help is always there and not listed */
    const struct eg_cmd_option *list;
};

struct eg_cmd_given { /* one option that was given */
    unsigned index;   /* in list */
    const char *value;
};

/* Parses argv; given has room for cap options in their order; *operand is the index of the first
 * operand. Returns -1 to go on, or the exit status: 0 after --help, 2 after a usage error (which
 * is on stderr). */
int eg_cmd_parse(const struct eg_cmd_options *o, int argc, char **argv, struct eg_cmd_given *given,
                 unsigned cap, unsigned *count, int *operand);
/* "COMMAND: TEXT" and where help is, on stderr; returns 2. */
int eg_cmd_usage(const struct eg_cmd_options *o, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The value of the last option of that long name; NULL when it was not given ("" when it takes
 * none). */
const char *eg_cmd_value(const struct eg_cmd_options *o, const struct eg_cmd_given *given,
                         unsigned count, const char *name);
/* For an option whose arg is words, "a|b|c": the index of the last value given, 0 where none was; -1 after a message where it is none of them. */
int eg_cmd_word(const struct eg_cmd_options *o, const struct eg_cmd_given *given, unsigned count,
                const char *name);
/* What --help prints. */
void eg_cmd_help(const struct eg_cmd_options *o);

/* "30", "30s", "15m", "2h", "7d" in seconds, 1 s to 365 d; false for anything else. */
bool eg_cmd_duration(const char *text, uint64_t *seconds);

/* Places, from the environment. EG_TOO_BIG, EG_NOT_FOUND (no HOME). */
/* $XDG_RUNTIME_DIR/egress/default.sock, else /run/egress for root, else /tmp/egress-UID. */
enum eg_status eg_cmd_control_path(char *out, size_t cap) EG_MUST_USE;
/* $XDG_STATE_HOME/egress, else ~/.local/state/egress: kept events (*.jsonl) and the trust file
 * live there. */
enum eg_status eg_cmd_state_dir(char *out, size_t cap) EG_MUST_USE;
/* Makes that folder and its parents (0700), checks that it is ours and nobody else may write
 * there. */
enum eg_status eg_cmd_state_make(const char *path, struct eg_err *err) EG_MUST_USE;

#endif
