/* help.c - `egressctl help`: the page of a command, of a code that `policy check` prints, or of a reason that a refusal carries. */
#include <stdio.h>
#include <string.h>

#include "cmd/commands.h"
#include "cmd/help_reasons.h"
#include "policy/codes.h"

enum { WIDTH = 78 };

static const char NAME[] = "egressctl help";

static const struct eg_cmd_option list[] = {
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_help_options = {
    .command = NAME,
    .operands = "[COMMAND | CODE | REASON | codes | reasons]",
    .about = "Tells about a command, a code of `policy check`, or the reason of a refusal.",
    .list = list,
};

/* Text in lines; a line end within it begins a new paragraph. */
static void print_wrapped(const char *text)
{
    size_t column = 0;
    while (*text) {
        size_t n = strcspn(text, " \n");
        if (column > 0 && column + 1 + n > WIDTH) {
            putchar('\n');
            column = 0;
        }
        column += (size_t)printf("%s%.*s", column ? " " : "", (int)n, text);
        text += n;
        if (*text == '\n') {
            printf("\n\n");
            column = 0;
        }
        text += *text != '\0';
    }
    putchar('\n');
}

/* A policy as it would stand in a file; bytes that a terminal should not get as they are in messages. */
static void print_policy(const char *text)
{
    bool start = true;
    for (; *text; text++) {
        if (start)
            printf("    ");
        start = *text == '\n';
        if (*text == '\t')
            printf("<tab>");
        else if (*text == '\xff')
            printf("<FF>");
        else
            putchar(*text);
    }
}

static void print_code(const struct eg_code *c)
{
    printf("%s: %s\n\nPrinted by egressctl policy check, as %s.\n\n", c->name, c->about,
           c->severity == EG_DIAG_ERROR ? "an error" : "a warning");
    print_wrapped(c->page);
    if (c->example) {
        printf("\nFor example%s:\n\n", c->untrusted ? ", in a file that is not trusted"
                                       : c->layer == EG_LAYER_ORG ? ", in org.yaml"
                                                                  : "");
        print_policy(c->example);
    }
    if (c->instead) {
        printf("\nInstead:\n\n");
        print_policy(c->instead);
    }
}

static void print_reason(enum eg_status status)
{
    int http = egress_status_http(status);
    printf("%s: %s\n\nA reason code: of refusals (X-Egress-Reason), of the audit and of explain.",
           egress_status_name(status), egress_status_sentence(status));
    if (http >= 400)
        printf(" As an HTTP answer: %d.", http);
    printf("\n\n");
    print_wrapped(eg_help_reason(status));
}

static void list_codes(void)
{
    const struct eg_code *c;
    for (unsigned i = 0; (c = eg_code_each(i)) != NULL; i++)
        printf("%-22s %-8s %s\n", c->name, c->severity == EG_DIAG_ERROR ? "error" : "warning",
               c->about);
}

/* Two statuses may share a name: the first of them. */
static int reason_of(const char *name)
{
    for (int i = 0; i < EG_STATUS_COUNT; i++)
        if (strcmp(egress_status_name((enum eg_status)i), name) == 0)
            return i;
    return -1;
}

static void list_reasons(void)
{
    for (int i = 0; i < EG_STATUS_COUNT; i++) {
        const char *name = egress_status_name((enum eg_status)i);
        if (reason_of(name) == i)
            printf("%-22s %s\n", name, egress_status_sentence((enum eg_status)i));
    }
}

/* False: there is no such topic. */
static bool print_topic(const char *topic)
{
    const struct eg_code *c = eg_code_find(topic);
    int reason = reason_of(topic);
    if (c)
        print_code(c);
    else if (strcmp(topic, "codes") == 0)
        list_codes();
    else if (strcmp(topic, "reasons") == 0)
        list_reasons();
    else if (reason >= 0)
        print_reason((enum eg_status)reason);
    return c || reason >= 0 || strcmp(topic, "codes") == 0 || strcmp(topic, "reasons") == 0;
}

/* `help policy check` is `policy check --help`. */
static int print_command(const struct eg_command *c, const char *sub)
{
    if (c->commands && sub && !(c = eg_command_find(c->commands, sub)))
        return eg_cmd_usage(&eg_help_options, "there is no command %s", sub);
    if (c->commands)
        eg_command_list("egressctl policy", c->commands, stdout);
    else
        eg_cmd_help(c->options);
    return EG_EXIT_OK;
}

int eg_cmd_help_command(int argc, char **argv)
{
    const struct eg_cmd_options *o = &eg_help_options;
    struct eg_cmd_given g[EG_CMD_OPTIONS_MAX];
    unsigned n;
    int at, code = eg_cmd_parse(o, argc, argv, g, EG_CMD_OPTIONS_MAX, &n, &at);
    if (code >= 0)
        return code;
    if (at == argc) {
        eg_command_list("egressctl", eg_commands, stdout);
        printf("egressctl help codes, help reasons: what problems and refusals are called\n");
        return EG_EXIT_OK;
    }
    const struct eg_command *c = eg_command_find(eg_commands, argv[at]);
    if (c && argc - at <= (c->commands ? 2 : 1))
        return print_command(c, argc - at == 2 ? argv[at + 1] : NULL);
    if (argc - at > 1)
        return eg_cmd_usage(o, "one topic at a time");
    if (print_topic(argv[at]))
        return EG_EXIT_OK;
    return eg_cmd_usage(o,
                        "there is no command, code or reason %.64s; egressctl help codes, "
                        "and help reasons, list them",
                        argv[at]);
}
