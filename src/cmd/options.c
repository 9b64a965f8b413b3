/* options.c - command lines by table, durations, and the places of files. It reads the
 * environment and never a file's content. */
#include "cmd/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HELP = 1000 };

int eg_cmd_usage(const struct eg_cmd_options *o, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fprintf(stderr, "%s: ", o->command);
    vfprintf(stderr, format, ap);
    fprintf(stderr, "\nsee %s --help\n", o->command);
    va_end(ap);
    return EG_EXIT_USAGE;
}

void eg_cmd_help(const struct eg_cmd_options *o)
{
    printf("usage: %s [options]%s%s\n%s\n\n", o->command, *o->operands ? " " : "", o->operands,
           o->about);
    for (const struct eg_cmd_option *p = o->list; p->letter || p->name; p++) {
        char left[64];
        snprintf(left, sizeof left, "%c%c%s%s%s%s%s", p->letter ? '-' : ' ',
                 p->letter ? p->letter : ' ', p->letter && p->name ? ", " : "  ",
                 p->name ? "--" : "", p->name ? p->name : "", p->arg ? " " : "",
                 p->arg ? p->arg : "");
        if (strlen(left) > 30) /* then the text has a line of its own */
            printf("  %s\n  %30s", left, "");
        else
            printf("  %-30s", left);
        printf(" %s\n", p->help);
    }
    printf("      %-26s %s\n", "--help", "this text");
}

/* getopt's two forms of the table; the long options' values are their index + 256. */
static void getopt_tables(const struct eg_cmd_options *o, struct option *lng, char *shrt)
{
    unsigned n = 0;
    if (o->stop_at_operand)
        *shrt++ = '+';
    *shrt++ = ':';
    for (unsigned i = 0; i < EG_CMD_OPTIONS_MAX && (o->list[i].letter || o->list[i].name); i++) {
        const struct eg_cmd_option *p = &o->list[i];
        if (p->name)
            lng[n++] = (struct option){ p->name, p->arg ? required_argument : no_argument, NULL,
                                        256 + (int)i };
        if (p->letter) {
            *shrt++ = p->letter;
            if (p->arg)
                *shrt++ = ':';
        }
    }
    lng[n++] = (struct option){ "help", no_argument, NULL, HELP };
    lng[n] = (struct option){ 0 };
    *shrt = 0;
}

static unsigned index_of(const struct eg_cmd_options *o, int c)
{
    if (c >= 256)
        return (unsigned)c - 256;
    unsigned i = 0;
    while (o->list[i].letter != c)
        i++;
    return i;
}

int eg_cmd_parse(const struct eg_cmd_options *o, int argc, char **argv, struct eg_cmd_given *given,
                 unsigned cap, unsigned *count, int *operand)
{
    struct option lng[EG_CMD_OPTIONS_MAX + 2];
    char shrt[2 * EG_CMD_OPTIONS_MAX + 4];
    getopt_tables(o, lng, shrt);
    *count = 0;
    optind = 0; /* glibc: starts anew */
    opterr = 0;
    int c;
    while ((c = getopt_long(argc, argv, shrt, lng, NULL)) != -1) {
        if (c == HELP) {
            eg_cmd_help(o);
            return EG_EXIT_OK;
        }
        const char *at = optind > 0 && optind <= argc ? argv[optind - 1] : "";
        if (c == ':')
            return eg_cmd_usage(o, "%s needs a value", at);
        if (c == '?' && optopt >= 256)
            return eg_cmd_usage(o, "%.*s takes no value", (int)strcspn(at, "="), at);
        if (c == '?')
            return optopt > 0 ? eg_cmd_usage(o, "there is no option -%c", optopt)
                                              /* what is behind a = may be a login */
                                              : eg_cmd_usage(o, "there is no option %.*s",
                                                             (int)strcspn(at, "="), at);
        if (*count == cap)
            return eg_cmd_usage(o, "too many options");
        given[(*count)++] = (struct eg_cmd_given){ index_of(o, c), optarg ? optarg : "" };
    }
    *operand = optind;
    return -1;
}

const char *eg_cmd_value(const struct eg_cmd_options *o, const struct eg_cmd_given *given,
                         unsigned count, const char *name)
{
    const char *found = NULL;
    for (unsigned i = 0; i < count; i++) {
        const struct eg_cmd_option *p = &o->list[given[i].index];
        if (p->name && strcmp(p->name, name) == 0)
            found = given[i].value;
    }
    return found;
}

/* The index of the word in "a|b|c", or -1. */
static int word_index(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (int i = 0; words; i++) {
        size_t length = strcspn(words, "|");
        if (length == n && memcmp(words, word, n) == 0)
            return i;
        words = words[length] ? words + length + 1 : NULL;
    }
    return -1;
}

int eg_cmd_word(const struct eg_cmd_options *o, const struct eg_cmd_given *given, unsigned count,
                const char *name)
{
    const char *word = eg_cmd_value(o, given, count, name), *words = "";
    for (const struct eg_cmd_option *p = o->list; p->letter || p->name; p++)
        if (p->name && strcmp(p->name, name) == 0)
            words = p->arg;
    int index = word ? word_index(words, word) : 0;
    if (index < 0)
        eg_cmd_usage(o, "--%s takes %s", name, words);
    return index;
}

bool eg_cmd_duration(const char *text, uint64_t *seconds)
{
    static const struct {
        char unit;
        uint64_t factor;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 9)
        return false;
    uint64_t value = strtoull(text, NULL, 10), factor = text[n] ? 0 : 1;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (text[n] && text[n] == units[i].unit && text[n + 1] == 0)
            factor = units[i].factor;
    value *= factor;
    if (value == 0 || value > 365ull * 86400)
        return false;
    *seconds = value;
    return true;
}

static enum eg_status place(char *out, size_t cap, const char *a, const char *b)
{
    int n = snprintf(out, cap, "%s%s", a, b);
    return n < 0 || (size_t)n >= cap ? EG_TOO_BIG : EG_OK;
}

enum eg_status eg_cmd_control_path(char *out, size_t cap)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (runtime && *runtime == '/')
        return place(out, cap, runtime, "/egress/default.sock");
    if (geteuid() == 0)
        return place(out, cap, "/run/egress", "/default.sock");
    char folder[64];
    snprintf(folder, sizeof folder, "/tmp/egress-%u", (unsigned)geteuid());
    return place(out, cap, folder, "/default.sock");
}

enum eg_status eg_cmd_state_dir(char *out, size_t cap)
{
    const char *state = getenv("XDG_STATE_HOME");
    if (state && *state == '/')
        return place(out, cap, state, "/egress");
    const char *home = getenv("HOME");
    if (!home || *home != '/')
        return EG_NOT_FOUND;
    return place(out, cap, home, "/.local/state/egress");
}

enum eg_status eg_cmd_state_make(const char *path, struct eg_err *err)
{
    char part[4096];
    size_t n = strlen(path);
    if (n >= sizeof part || *path != '/')
        return eg_err_set(err, EG_TOO_BIG, "state", 0, "the state folder's path is unusable");
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0700) < 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
            return eg_err_set(err, EG_IO, "state", errno, "%.120s can't be made", part);
    }
    struct stat st;
    if (stat(path, &st) < 0)
        return eg_err_set(err, EG_IO, "state", errno, "%.120s", path);
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
        return eg_err_set(err, EG_PERMISSION, "state", 0,
                          "%.120s must be a folder of yours that nobody else may write to", path);
    return EG_OK;
}
