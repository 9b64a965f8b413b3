/* cmd_docs.c - the manuals: every option is in its page, and the pages name none that is not
 * built. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/commands.h"
#include "cmd/run.h"

extern const struct eg_cmd_options eg_run_options;

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

Test(cmd_docs, egressctl_page_names_every_option_and_no_other)
{
    static const struct {
        const struct eg_cmd_options *o;
        const char *head;
    } rows[] = { { &eg_run_options, "\n.Ss egressctl run" },
                 { &eg_session_options, "\n.Ss egressctl session" },
                 { &eg_audit_options, "\n.Ss egressctl audit" },
                 { &eg_env_options, "\n.Ss egressctl env" },
                 { &eg_status_options, "\n.Ss egressctl status" },
                 { &eg_creds_options, "\n.Ss egressctl creds" },
                 { &eg_explain_options, "\n.Ss egressctl explain" },
                 { &eg_doctor_options, "\n.Ss egressctl doctor" },
                 { &eg_trust_options, "\n.Ss egressctl trust" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check(rows[i].o, "egressctl.1", rows[i].head);
}

/* Its section sends the reader to run's. */
Test(cmd_docs, shell_has_the_options_of_run)
{
    cr_assert_eq(eg_shell_options.list, eg_run_options.list);
}

Test(cmd_docs, synopses_name_no_option_that_is_not_built)
{
    static const struct eg_cmd_options *const all[] = { &eg_run_options,    &eg_session_options,
                                                        &eg_audit_options,  &eg_env_options,
                                                        &eg_status_options, &eg_creds_options,
                                                        &eg_explain_options, &eg_doctor_options,
                                                        &eg_trust_options };
    char *text = section(page("egressctl.1"), "\n.Sh SYNOPSIS"), flag[80];
    unsigned seen = 0;
    for (const char *at = text; (at = strstr(at, "Fl ")); at += 3) {
        snprintf(flag, sizeof flag, "%.*s", (int)strcspn(at + 3, " \n"), at + 3);
        bool found = strcmp(flag, "-") == 0;
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            found = found || known(all[i], flag);
        cr_expect(found, "-%s", flag);
        seen++;
    }
    cr_assert(seen > 10);
    free(text);
}
