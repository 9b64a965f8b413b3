/* completion_bash.c - the completion of bash, 4.4 and later, without bash-completion's functions. Nothing in it is quoted: all words are of a-z 0-9 _ - */
#include "cmd/completion.h"

static const char begin[] =
    "# bash completion of egressctl, written by `egressctl completion bash`\n"
    "_egressctl()\n"
    "{\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} i\n"
    "    local key=${COMP_WORDS[1]-} first=2 options='' takes='' words='' files='' program='' "
    "value=''\n"
    "    COMPREPLY=()\n";

/* What is behind an option's = comes as a word of its own. */
static const char end[] =
    "    if [[ $cur == = ]]; then cur=''\n"
    "    elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}\n"
    "    fi\n"
    "    if [[ $program ]]; then\n"
    "        for ((i = first; i < COMP_CWORD; i++)); do\n"
    "            [[ ${COMP_WORDS[i]} == -- ]] && ((i++)) && break\n"
    "            [[ ${COMP_WORDS[i]} == -* ]] || break\n"
    "            [[ \" $takes \" == *\" ${COMP_WORDS[i]} \"* ]] && ((i++))\n"
    "        done\n"
    "        if ((i < COMP_CWORD)); then\n"
    "            compopt -o filenames 2>/dev/null\n"
    "            mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
    "            return\n"
    "        fi\n"
    "    fi\n"
    "    if [[ \" $takes \" == *\" $prev \"* ]]; then\n"
    "        _egressctl_value \"$key\" \"$prev\"\n"
    "        if [[ $value == @file ]]; then files=yes words='' options='' program=''\n"
    "        else mapfile -t COMPREPLY < <(compgen -W \"$value\" -- \"$cur\"); return\n"
    "        fi\n"
    "    fi\n"
    "    mapfile -t COMPREPLY < <(\n"
    "        if [[ $cur == -* ]]; then compgen -W \"$options\" -- \"$cur\"; exit; fi\n"
    "        [[ $words ]] && compgen -W \"$words\" -- \"$cur\"\n"
    "        [[ $program ]] && compgen -c -- \"$cur\"\n"
    "        [[ $files ]] && compgen -f -- \"$cur\")\n"
    "    [[ $files && $cur != -* ]] && compopt -o filenames 2>/dev/null\n"
    "    return 0\n"
    "}\n"
    "complete -F _egressctl egressctl\n";

static void put_names(FILE *out, const struct eg_command *table)
{
    for (; table->name; table++)
        fprintf(out, "%s ", table->name);
}

static void put_names_at(FILE *out, unsigned at, const struct eg_command *table, const char *more)
{
    fprintf(out, "if ((COMP_CWORD == %u)); then mapfile -t COMPREPLY < <(compgen -W '", at);
    put_names(out, table);
    fprintf(out, "%s' -- \"$cur\"); return; fi\n", more);
}

static enum eg_status put_value(FILE *out, const char *key, const struct eg_command *c)
{
    char words[256];
    for (const struct eg_cmd_option *p = c->options->list; p->letter || p->name; p++) {
        enum eg_completion_value v = eg_completion_of(p->arg, words, sizeof words);
        if (v == EG_VALUE_NONE)
            continue;
        fprintf(out, "    ");
        if (p->letter)
            fprintf(out, "'%s -%c'%s", key, p->letter, p->name ? "|" : "");
        if (p->name)
            fprintf(out, "'%s --%s'", key, p->name);
        fprintf(out, ") value='%s' ;;\n", v == EG_VALUE_FILE ? "@file" : words);
    }
    return EG_OK;
}

static void put_options(FILE *out, const struct eg_cmd_option *list, bool with_arg)
{
    for (const struct eg_cmd_option *p = list; p->letter || p->name; p++) {
        if (with_arg && !p->arg)
            continue;
        if (p->letter)
            fprintf(out, "-%c ", p->letter);
        if (p->name)
            fprintf(out, "--%s ", p->name);
    }
}

static enum eg_status put_command(FILE *out, const char *key, const struct eg_command *c)
{
    struct eg_operands o;
    enum eg_status st = eg_operands_read(c->options->operands, &o);
    if (st == EG_OK) {
        fprintf(out, "    '%s') options='", key);
        put_options(out, c->options->list, false);
        fprintf(out, "--help' takes='");
        put_options(out, c->options->list, true);
        fprintf(out, "' words='%s' files=%s program=%s ;;\n", eg_buf_slice(&o.words).p,
                o.files ? "yes" : "''", o.command ? "yes" : "''");
    }
    eg_operands_done(&o);
    return st;
}

enum eg_status eg_completion_bash(FILE *out)
{
    fprintf(out, "%s    ", begin);
    put_names_at(out, 1, eg_commands, "--help --version");
    for (const struct eg_command *c = eg_commands; c->name; c++) {
        if (!c->commands)
            continue;
        fprintf(out, "    if [[ $key == %s ]]; then\n        ", c->name);
        put_names_at(out, 2, c->commands, "--help");
        fprintf(out, "        key+=\" ${COMP_WORDS[2]}\" first=3\n    fi\n");
    }
    fprintf(out, "    case $key in\n");
    enum eg_status st = eg_completion_each(out, put_command);
    fprintf(out, "    *) return ;;\n    esac\n%s\n_egressctl_value()\n{\n    case \"$1 $2\" in\n",
            end);
    if (st == EG_OK)
        st = eg_completion_each(out, put_value);
    fprintf(out, "    esac\n}\n");
    return st;
}
