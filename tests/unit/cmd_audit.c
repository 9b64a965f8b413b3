/* cmd_audit.c - `egressctl audit` on kept files, and what every command says when no proxy is there. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/commands.h"
#include "egress/audit.h"

static char folder[64], file_[128], text[65536];

static void put_event(FILE *f, uint64_t seq, bool allowed, const char *session, const char *host)
{
    char json[EGRESS_EVENT_JSON_MAX];
    struct egress_event e = { .seq = seq, .id = seq, .kind = EGRESS_EVENT_DECISION, .port = 443 };
    e.allowed = allowed;
    e.reason = allowed ? EG_OK : EG_HOST_NOT_ALLOWED;
    e.wall_us = 1700000000000000;
    snprintf(e.session, sizeof e.session, "%s", session);
    snprintf(e.host, sizeof e.host, "%s", host);
    cr_assert(egress_event_json(&e, json, sizeof json) > 0);
    fprintf(f, "%s\n", json);
}

static void setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/egress-audit-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    setenv("XDG_STATE_HOME", folder, 1);
    setenv("XDG_RUNTIME_DIR", folder, 1);
    snprintf(file_, sizeof file_, "%s/egress", folder);
    cr_assert_eq(mkdir(file_, 0700), 0);
    snprintf(file_, sizeof file_, "%s/egress/run-1.jsonl", folder);
    FILE *f = fopen(file_, "w");
    put_event(f, 1, true, "one", "good.example");
    put_event(f, 2, false, "one", "bad.example");
    put_event(f, 3, false, "two", "worse.example");
    fprintf(f, "{\"v\":1,\"seq\":4,\"ti"); /* torn by kill -9 */
    fclose(f);
    cr_redirect_stdout();
    cr_redirect_stderr();
}

static void teardown(void)
{
    char path[128];
    unlink(file_);
    snprintf(path, sizeof path, "%s/egress", folder);
    rmdir(path);
    rmdir(folder);
}

TestSuite(cmd_audit, .init = setup, .fini = teardown);

static int run(int (*command)(int, char **), const char *const *words)
{
    char *argv[8];
    int argc = 0;
    for (; words[argc]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc];
    argv[argc] = NULL;
    int code = command(argc, argv);
    fflush(NULL);
    return code;
}

static const char *slurp(FILE *f)
{
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    return text;
}

Test(cmd_audit, file_is_a_table_and_a_torn_line_is_told)
{
    const char *const words[] = { "audit", "--file", file_, NULL };
    cr_assert_eq(run(eg_cmd_audit, words), EG_EXIT_OK);
    slurp(cr_get_redirected_stdout());
    cr_assert(strstr(text, "good.example:443") && strstr(text, "worse.example:443"));
    cr_assert_null(strchr(text, 033), "no colours but on a terminal");
    cr_assert(strstr(slurp(cr_get_redirected_stderr()), "1 lines are no events"));
}

Test(cmd_audit, denied_and_session_filter_rows)
{
    const char *const words[] = { "audit", "--denied", "--session", "one", "--file", file_, NULL };
    cr_assert_eq(run(eg_cmd_audit, words), EG_EXIT_OK);
    slurp(cr_get_redirected_stdout());
    cr_assert(strstr(text, "bad.example") && !strstr(text, "good.example") &&
              !strstr(text, "worse.example"));
}

Test(cmd_audit, json_prints_events_only)
{
    const char *const words[] = { "audit", "--json", "--file", file_, NULL };
    cr_assert_eq(run(eg_cmd_audit, words), EG_EXIT_OK);
    slurp(cr_get_redirected_stdout());
    unsigned lines = 0;
    struct egress_event e;
    for (const char *at = text; *at; at = strchr(at, '\n') + 1, lines++)
        cr_assert_eq(egress_event_parse(at, strcspn(at, "\n"), &e), EG_OK);
    cr_assert_eq(lines, 3);
}

Test(cmd_audit, newest_kept_file_answers_when_no_proxy_runs)
{
    const char *const words[] = { "audit", NULL };
    cr_assert_eq(run(eg_cmd_audit, words), EG_EXIT_OK);
    cr_assert(strstr(slurp(cr_get_redirected_stdout()), "good.example"));
    cr_assert(strstr(slurp(cr_get_redirected_stderr()), file_));
}

Test(cmd_audit, missing_proxy_is_4_with_the_path_and_what_to_do)
{
    static const struct {
        int (*run)(int, char **);
        const char *words[4];
    } rows[] = { { eg_cmd_audit, { "audit", "--control", "/nonexistent/c.sock", NULL } },
                 { eg_cmd_status, { "status", "--control", "/nonexistent/c.sock", NULL } },
                 { eg_cmd_env, { "env", "--control", "/nonexistent/c.sock", NULL } } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_assert_eq(run(rows[i].run, rows[i].words), EG_EXIT_NO_PROXY);
    const char *const session[] = { "session", "list", "--control", "/nonexistent/c.sock", NULL };
    cr_assert_eq(run(eg_cmd_session, session), EG_EXIT_NO_PROXY);
    const char *const follow[] = { "audit", "--follow", NULL };
    cr_assert_eq(run(eg_cmd_audit, follow), EG_EXIT_NO_PROXY, "a file can't be followed");
    slurp(cr_get_redirected_stderr());
    cr_assert(strstr(text, "/nonexistent/c.sock") && strstr(text, "egressd --policy"));
}

Test(cmd_audit, usage_errors_are_2)
{
    static const char *const rows[][5] = { { "audit", "extra", NULL },
                                           { "audit", "--follow", "--file", "x", NULL },
                                           { "audit", "--bogus", NULL } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_assert_eq(run(eg_cmd_audit, rows[i]), EG_EXIT_USAGE);
    static const char *const session[][5] = { { "session", NULL },
                                              { "session", "revoke", NULL },
                                              { "session", "list", "x", NULL },
                                              { "session", "list", "--ttl", "1h", NULL },
                                              { "session", "create", "--ttl", "1y", NULL } };
    for (size_t i = 0; i < sizeof session / sizeof *session; i++)
        cr_assert_eq(run(eg_cmd_session, session[i]), EG_EXIT_USAGE);
    static const char *const env[] = { "env", "--format", "xml", NULL };
    cr_assert_eq(run(eg_cmd_env, env), EG_EXIT_USAGE);
    static const char *const trust[] = { "trust", NULL };
    cr_assert_eq(run(eg_cmd_trust, trust), EG_EXIT_USAGE);
}

Test(cmd_audit, what_is_no_file_is_refused)
{
    const char *const words[] = { "audit", "--file", folder, NULL };
    cr_assert_eq(run(eg_cmd_audit, words), EG_EXIT_FAILED);
}
