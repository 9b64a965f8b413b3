/* completion.c - `egressctl completion SHELL`: a script that completes commands, options, words and files, made from the very tables that are parsed.
 *
 * The scripts need no other package and ask nobody: they are static text, and a newer egressctl writes newer ones. */
#include "cmd/completion.h"

#include <string.h>

#include "policy/codes.h"
#include "policy/preset.h"

enum { WORDS_MAX = 1 << 16 };

static const char NAME[] = "egressctl completion";

static const struct eg_cmd_option list[] = {
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_completion_options = {
    .command = NAME,
    .operands = "bash | zsh | fish",
    .about =
        "Prints what makes that shell complete egressctl: source <(egressctl completion bash).",
    .list = list,
};

enum eg_completion_value eg_completion_of(const char *arg, char *out, size_t cap)
{
    out[0] = '\0';
    if (!arg)
        return EG_VALUE_NONE;
    if (strncmp(arg, "FILE", 4) == 0 || strcmp(arg, "PATH") == 0 || strcmp(arg, "EVENTS") == 0)
        return EG_VALUE_FILE;
    if (!strchr(arg, '|'))
        return EG_VALUE_NONE;
    snprintf(out, cap, "%s", arg);
    for (char *p = out; *p; p++)
        if (*p == '|')
            *p = ' ';
    return EG_VALUE_WORDS;
}

/* ---- operands ---- */

static enum eg_status add_word(struct eg_operands *o, const char *word, size_t n)
{
    return eg_buf_printf(&o->words, "%s%.*s", o->words.len ? " " : "", (int)n, word);
}

static enum eg_status add_reasons(struct eg_operands *o)
{
    enum eg_status st = EG_OK;
    for (int i = 0; st == EG_OK && i < EG_STATUS_COUNT; i++) {
        const char *name = egress_status_name((enum eg_status)i);
        if (i != EG_VERSION_NOT_SUPPORTED) /* its name is another's too */
            st = add_word(o, name, strlen(name));
    }
    return st;
}

/* Names in capitals that stand for what the program has in tables. */
static enum eg_status add_named(struct eg_operands *o, struct eg_slice name)
{
    const struct eg_code *code;
    const struct eg_preset *preset;
    enum eg_status st = EG_OK;
    if (eg_slice_eq(name, EG_SLICE("CODE")))
        for (unsigned i = 0; st == EG_OK && (code = eg_code_each(i)) != NULL; i++)
            st = add_word(o, code->name, strlen(code->name));
    if (eg_slice_eq(name, EG_SLICE("PRESET")))
        for (unsigned i = 0; st == EG_OK && (preset = eg_preset_each(i)) != NULL; i++)
            st = add_word(o, preset->name, strlen(preset->name));
    if (eg_slice_eq(name, EG_SLICE("COMMAND")))
        for (const struct eg_command *c = eg_commands; st == EG_OK && c->name; c++)
            st = add_word(o, c->name, strlen(c->name));
    if (eg_slice_eq(name, EG_SLICE("REASON")))
        st = add_reasons(o);
    o->files =
        o->files || eg_slice_eq(name, EG_SLICE("FILE")) || eg_slice_eq(name, EG_SLICE("PATH"));
    o->command = o->command || eg_slice_eq(name, EG_SLICE("CMD"));
    return st;
}

enum eg_status eg_operands_read(const char *text, struct eg_operands *ret)
{
    static const char small[] = "abcdefghijklmnopqrstuvwxyz",
                      large[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    enum eg_status st = EG_OK;
    *ret = (struct eg_operands){ .files = false };
    eg_buf_init(&ret->words, WORDS_MAX);
    while (st == EG_OK && *text) {
        size_t n = strspn(text, small), capitals = strspn(text, large);
        if (n > 1)
            st = add_word(ret, text, n);
        else if (capitals > 1)
            st = add_named(ret, eg_slice(text, capitals));
        text += n + capitals > 0 ? n + capitals : 1;
    }
    return st == EG_OK ? eg_buf_append(&ret->words, "", 1) : st;
}

void eg_operands_done(struct eg_operands *o)
{
    eg_buf_done(&o->words);
}

/* ---- commands ---- */

enum eg_status eg_completion_each(FILE *out, eg_completion_fn *take)
{
    enum eg_status st = EG_OK;
    for (const struct eg_command *c = eg_commands; st == EG_OK && c->name; c++) {
        if (c->options)
            st = take(out, c->name, c);
        for (const struct eg_command *s = c->commands; st == EG_OK && s && s->name; s++) {
            char key[80];
            snprintf(key, sizeof key, "%s %s", c->name, s->name);
            st = take(out, key, s);
        }
    }
    return st;
}

int eg_cmd_completion(int argc, char **argv)
{
    static const struct {
        const char *shell;
        enum eg_status (*print)(FILE *out);
    } shells[] = { { "bash", eg_completion_bash },
                   { "zsh", eg_completion_zsh },
                   { "fish", eg_completion_fish } };
    const struct eg_cmd_options *o = &eg_completion_options;
    struct eg_cmd_given g[EG_CMD_OPTIONS_MAX];
    unsigned n;
    int at, code = eg_cmd_parse(o, argc, argv, g, EG_CMD_OPTIONS_MAX, &n, &at);
    if (code >= 0)
        return code;
    for (size_t i = 0; argc - at == 1 && i < sizeof shells / sizeof *shells; i++)
        if (strcmp(argv[at], shells[i].shell) == 0)
            return shells[i].print(stdout) == EG_OK && fflush(stdout) == 0 ? EG_EXIT_OK
                                                                           : EG_EXIT_FAILED;
    return eg_cmd_usage(o, "which shell: bash, zsh or fish?");
}
