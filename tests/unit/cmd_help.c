/* cmd_help.c - `egressctl help`: there is a page for every code and every reason, and none is empty or too wide. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/commands.h"
#include "cmd/help_reasons.h"
#include "policy/codes.h"

Test(help, every_reason_has_its_page)
{
    for (int i = 0; i < EG_STATUS_COUNT; i++) {
        const char *page = eg_help_reason((enum eg_status)i);
        cr_expect_not_null(page, "%s", egress_status_name((enum eg_status)i));
        cr_expect(page && strlen(page) > 30 && page[strlen(page) - 1] == '.', "%s",
                  egress_status_name((enum eg_status)i));
    }
    cr_assert_null(eg_help_reason((enum eg_status)EG_STATUS_COUNT));
}

/* What `help A B` prints; its status in *code. malloc'd. */
static char *page(const char *a, const char *b, int *code)
{
    char name[] = "help", one[64], two[64];
    char *text = NULL;
    size_t n = 0;
    snprintf(one, sizeof one, "%s", a ? a : "");
    snprintf(two, sizeof two, "%s", b ? b : "");
    char *argv[] = { name, a ? one : NULL, b ? two : NULL, NULL };
    FILE *mine = open_memstream(&text, &n), *before = stdout;
    cr_assert_not_null(mine);
    fflush(stdout);
    stdout = mine;
    *code = eg_cmd_help_command(1 + (a != NULL) + (b != NULL), argv);
    stdout = before;
    fclose(mine);
    return text;
}

static void expect_page(const char *topic, const char *about)
{
    int code;
    char *text = page(topic, NULL, &code);
    cr_expect_eq(code, 0, "%s", topic);
    cr_expect_not_null(strstr(text, about), "%s:\n%s", topic, text);
    bool policy = false;
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL) {
        policy = policy || strncmp(line, "    ", 4) == 0;
        size_t n = strcspn(line, "\n");
        cr_expect(n <= 110 || policy, "%s: %.*s", topic, (int)n, line);
    }
    free(text);
}

Test(help, prints_every_code_and_reason)
{
    const struct eg_code *c;
    for (unsigned i = 0; (c = eg_code_each(i)) != NULL; i++)
        expect_page(c->name, c->about);
    for (int i = 0; i < EG_STATUS_COUNT; i++)
        if (i != EG_VERSION_NOT_SUPPORTED) /* shares its name */
            expect_page(egress_status_name((enum eg_status)i),
                        egress_status_sentence((enum eg_status)i));
}

Test(help, knows_lists_and_commands)
{
    static const struct {
        const char *a, *b, *text;
        int code;
    } rows[] = { { NULL, NULL, "policy ", 0 },
                 { "codes", NULL, "unknown-key ", 0 },
                 { "reasons", NULL, "host_not_allowed ", 0 },
                 { "run", NULL, "usage: egressctl run", 0 },
                 { "policy", NULL, "egressctl policy COMMAND", 0 },
                 { "policy", "check", "--format", 0 },
                 { "policy", "nothing", "", 2 },
                 { "nothing", NULL, "", 2 },
                 { "", NULL, "", 2 },
                 { "run", "shell", "", 2 } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int code;
        char *text = page(rows[i].a, rows[i].b, &code);
        cr_expect_eq(code, rows[i].code, "row %zu: %d", i, code);
        cr_expect_not_null(strstr(text, rows[i].text), "row %zu:\n%s", i, text);
        free(text);
    }
}
