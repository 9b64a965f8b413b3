/* cmd_docs.c - the manuals: every option is in its page, and the pages name none that is not
 * built. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/commands.h"
#include "cmd/run.h"

static char *page(const char *name)
{
    char path[4096];
    static char text[1 << 18];
    snprintf(path, sizeof path, "%s/man/%s", EG_SOURCE_DIR, name);
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return text;
}

/* The section that begins with that line, up to the next of its kind or higher; the whole page
 * for NULL. malloc'd. */
static char *section(const char *text, const char *line)
{
    if (!line)
        return strdup(text);
    const char *from = strstr(text, line);
    cr_assert_not_null(from, "%s", line);
    from += strlen(line);
    const char *a = strstr(from, "\n.Ss "), *b = strstr(from, "\n.Sh ");
    const char *end = a && (!b || a < b) ? a : b;
    return strndup(from, end ? (size_t)(end - from) : strlen(from));
}

static bool known(const struct eg_cmd_options *o, const char *flag)
{
    if (strcmp(flag, "-help") == 0 || strcmp(flag, "-version") == 0)
        return true;
    for (const struct eg_cmd_option *p = o->list; p->letter || p->name; p++)
        if ((p->name && flag[0] == '-' && strcmp(flag + 1, p->name) == 0) ||
            (p->letter == flag[0] && !flag[1]))
            return true;
    return false;
}

/* Is there an `.It` line with `Fl FLAG`? */
static bool listed(const char *text, const char *flag)
{
    char line[512];
    for (const char *at = text; (at = strstr(at, "\n.It ")); at++) {
        snprintf(line, sizeof line, "%.*s ", (int)strcspn(at + 1, "\n"), at + 1);
        char wanted[80];
        snprintf(wanted, sizeof wanted, " Fl %s ", flag);
        if (strstr(line, wanted))
            return true;
    }
    return false;
}

static void check(const struct eg_cmd_options *o, const char *file, const char *head)
{
    char *text = section(page(file), head), flag[80];
    for (const struct eg_cmd_option *p = o->list; p->letter || p->name; p++) {
        snprintf(flag, sizeof flag, "-%s", p->name ? p->name : "");
        if (p->name)
            cr_expect(listed(text, flag), "%s does not document --%s of %s", file, p->name,
                      o->command);
        flag[0] = p->letter;
        flag[1] = 0;
        if (p->letter)
            cr_expect(listed(text, flag), "%s does not document -%s of %s", file, flag, o->command);
    }
    for (const char *at = text; (at = strstr(at, "Fl ")); at += 3) {
        snprintf(flag, sizeof flag, "%.*s", (int)strcspn(at + 3, " \n,"), at + 3);
        const char *line = at;
        while (line > text && line[-1] != '\n')
            line--;
        if (strncmp(line, ".It", 3) == 0)
            cr_expect(known(o, flag), "%s documents -%s of %s, which is not built", file, flag,
                      o->command);
    }
    free(text);
}

Test(cmd_docs, egressd_page_names_every_option_and_no_other)
{
    check(&eg_egressd_options, "egressd.8", NULL);
}

/* A row of the table is in the page that is about it: what `policy` and `egressctl` both have is in egressctl(1). */
static unsigned check_table(const struct eg_command *table, const char *command, const char *file)
{
    unsigned seen = 0;
    for (; table->name; table++) {
        char head[80], full[80];
        cr_expect_null(eg_command_find(table + 1, table->name), "two rows of %s", table->name);
        snprintf(head, sizeof head, "\n.Ss %s %s\n", command, table->name);
        snprintf(full, sizeof full, "%s %s", command, table->name);
        cr_assert_not_null(strstr(page(file), head), "%s has no section %s", file, full);
        if (!table->options || table->options == &eg_shell_options)
            continue;
        if (strcmp(full, table->options->command) == 0)
            check(table->options, file, head);
        seen++;
    }
    return seen;
}

Test(cmd_docs, egressctl_page_names_every_option_and_no_other)
{
    cr_assert_gt(check_table(eg_commands, "egressctl", "egressctl.1"), 8);
}

Test(cmd_docs, policy_page_names_every_option_and_no_other)
{
    cr_assert_geq(check_table(eg_policy_commands, "egressctl policy", "egressctl-policy.1"), 1);
}

/* Its section sends the reader to run's. */
Test(cmd_docs, shell_has_the_options_of_run)
{
    cr_assert_eq(eg_shell_options.list, eg_run_options.list);
}

static bool known_to(const struct eg_command *table, const char *flag)
{
    for (; table->name; table++)
        if (table->options && known(table->options, flag))
            return true;
    return false;
}

static unsigned check_synopsis(const struct eg_command *table, const char *file)
{
    char *text = section(page(file), "\n.Sh SYNOPSIS"), flag[80];
    unsigned seen = 0;
    for (const char *at = text; (at = strstr(at, "Fl ")); at += 3) {
        snprintf(flag, sizeof flag, "%.*s", (int)strcspn(at + 3, " \n"), at + 3);
        cr_expect(strcmp(flag, "-") == 0 || known_to(table, flag), "%s: -%s", file, flag);
        seen++;
    }
    free(text);
    return seen;
}

Test(cmd_docs, synopses_name_no_option_that_is_not_built)
{
    cr_assert_gt(check_synopsis(eg_commands, "egressctl.1"), 10);
    check_synopsis(eg_policy_commands, "egressctl-policy.1");
}
