/* completion_zsh.c - the completion of zsh, through its own _arguments, _describe and _files. Texts of the tables stand in single quotes, with what _arguments
 * would read in them escaped. */
#include "cmd/completion.h"

/* Within '...', as a description of _arguments or _describe. */
static void put_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            fprintf(out, "'\\'");
        else if (*text == '[' || *text == ']' || *text == ':' || *text == '\\')
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void put_commands(FILE *out, const struct eg_command *table)
{
    fprintf(out, "commands=(");
    for (; table->name; table++) {
        fprintf(out, " '%s:", table->name);
        put_text(out, table->about);
        fprintf(out, "'");
    }
    fprintf(out, " )\n");
}

static void put_value(FILE *out, const char *arg)
{
    char words[256];
    enum eg_completion_value v = eg_completion_of(arg, words, sizeof words);
    fprintf(out, ":");
    put_text(out, v == EG_VALUE_WORDS ? "word" : arg);
    fprintf(out, ":%s%s%s", v == EG_VALUE_WORDS ? "(" : "",
            v == EG_VALUE_FILE    ? "_files"
            : v == EG_VALUE_WORDS ? words
                                  : " ",
            v == EG_VALUE_WORDS ? ")" : "");
}

static void put_form(FILE *out, const struct eg_cmd_option *p, bool letter)
{
    fprintf(out, " \\\n        '*");
    if (letter)
        fprintf(out, "-%c%s", p->letter, p->arg ? "+" : "");
    else
        fprintf(out, "--%s%s", p->name, p->arg ? "=" : "");
    fprintf(out, "[");
    put_text(out, p->help);
    fprintf(out, "]");
    if (p->arg)
        put_value(out, p->arg);
    fprintf(out, "'");
}

static enum eg_status put_command(FILE *out, const char *key, const struct eg_command *c)
{
    struct eg_operands o;
    enum eg_status st = eg_operands_read(c->options->operands, &o);
    fprintf(out, "    '%s')\n      _arguments -s%s '--help[this text]'", key,
            c->options->stop_at_operand ? " -S" : "");
    for (const struct eg_cmd_option *p = c->options->list; p->letter || p->name; p++) {
        if (p->letter)
            put_form(out, p, true);
        if (p->name)
            put_form(out, p, false);
    }
    if (st == EG_OK && o.command)
        fprintf(out, " \\\n        '(-)1:command: _command_names -e' '*::arguments: _normal'");
    else if (st == EG_OK && (o.words.len > 1 || o.files))
        fprintf(out, " \\\n        '*:operand:{%s%s%s%s%s}'", o.words.len > 1 ? "compadd " : "",
                o.words.len > 1 ? eg_buf_slice(&o.words).p : "",
                o.words.len > 1 && o.files ? "; " : "", o.files ? "_files" : "", "");
    fprintf(out, " ;;\n");
    eg_operands_done(&o);
    return st;
}

enum eg_status eg_completion_zsh(FILE *out)
{
    fprintf(out, "#compdef egressctl\n"
                 "# zsh completion of egressctl, written by `egressctl completion zsh`\n"
                 "_egressctl() {\n"
                 "  local -a commands\n"
                 "  local key\n"
                 "  if (( CURRENT == 2 )); then\n    ");
    put_commands(out, eg_commands);
    fprintf(out, "    _describe -t commands command commands\n    return\n  fi\n"
                 "  shift words\n  (( CURRENT-- ))\n  key=$words[1]\n");
    for (const struct eg_command *c = eg_commands; c->name; c++) {
        if (!c->commands)
            continue;
        fprintf(out, "  if [[ $key == %s ]]; then\n    if (( CURRENT == 2 )); then\n      ",
                c->name);
        put_commands(out, c->commands);
        fprintf(out, "      _describe -t commands command commands\n      return\n    fi\n"
                     "    shift words\n    (( CURRENT-- ))\n    key+=\" $words[1]\"\n  fi\n");
    }
    fprintf(out, "  case $key in\n");
    enum eg_status st = eg_completion_each(out, put_command);
    fprintf(out, "  esac\n}\n"
                 "if [[ $funcstack[1] == _egressctl ]]; then\n  _egressctl \"$@\"\n"
                 "else\n  compdef _egressctl egressctl\nfi\n");
    return st;
}
