/* completion_fish.c - the completion of fish: one `complete` line for each command, option and kind of operand. Texts stand in single quotes. */
#include "cmd/completion.h"

static void put_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void put_commands(FILE *out, const char *key, const struct eg_command *table)
{
    for (; table->name; table++) {
        fprintf(out, "complete -c egressctl -n '__egressctl_is \"%s\"' -a %s -d '", key,
                table->name);
        put_text(out, table->about);
        fprintf(out, "'\n");
    }
}

static void put_option(FILE *out, const char *key, const struct eg_cmd_option *p)
{
    char words[256];
    enum eg_completion_value v = eg_completion_of(p->arg, words, sizeof words);
    fprintf(out, "complete -c egressctl -n '__egressctl_is \"%s\"'", key);
    if (p->letter)
        fprintf(out, " -s %c", p->letter);
    if (p->name)
        fprintf(out, " -l %s", p->name);
    if (v == EG_VALUE_FILE)
        fprintf(out, " -rF");
    else if (p->arg)
        fprintf(out, " -x");
    if (v == EG_VALUE_WORDS)
        fprintf(out, " -a '%s'", words);
    fprintf(out, " -d '");
    put_text(out, p->help);
    fprintf(out, "'\n");
}

static enum eg_status put_command(FILE *out, const char *key, const struct eg_command *c)
{
    struct eg_operands o;
    enum eg_status st = eg_operands_read(c->options->operands, &o);
    for (const struct eg_cmd_option *p = c->options->list; p->letter || p->name; p++)
        put_option(out, key, p);
    fprintf(out, "complete -c egressctl -n '__egressctl_is \"%s\"' -l help -d 'this text'\n", key);
    if (st == EG_OK && o.words.len > 1)
        fprintf(out, "complete -c egressctl -n '__egressctl_is \"%s\"' -a '%s'\n", key,
                eg_buf_slice(&o.words).p);
    if (st == EG_OK && o.command)
        fprintf(out,
                "complete -c egressctl -n '__egressctl_is \"%s\"' -a '(__egressctl_program)'\n",
                key);
    if (st == EG_OK && (o.files || o.command))
        fprintf(out, "complete -c egressctl -n '__egressctl_is \"%s\"' -F\n", key);
    eg_operands_done(&o);
    return st;
}

enum eg_status eg_completion_fish(FILE *out)
{
    fprintf(out, "# fish completion of egressctl, written by `egressctl completion fish`\n"
                 "function __egressctl_is\n"
                 "    set -l words (commandline -opc) ''\n"
                 "    set -l key \"$words[2]\"\n"
                 "    contains -- \"$key\"");
    for (const struct eg_command *c = eg_commands; c->name; c++)
        if (c->commands)
            fprintf(out, " %s", c->name);
    fprintf(out, "\n    and set -q words[3]\n    and test -n \"$words[3]\"\n"
                 "    and set key \"$key $words[3]\"\n"
                 "    test \"$key\" = \"$argv[1]\"\n"
                 "end\n"
                 "function __egressctl_program\n"
                 "    complete -C(commandline -ct)\n"
                 "end\n"
                 "complete -c egressctl -e\n"
                 "complete -c egressctl -f\n");
    put_commands(out, "", eg_commands);
    fprintf(
        out,
        "complete -c egressctl -n '__egressctl_is \"\"' -l version -d 'which version this is'\n");
    for (const struct eg_command *c = eg_commands; c->name; c++)
        if (c->commands)
            put_commands(out, c->name, c->commands);
    return eg_completion_each(out, put_command);
}
