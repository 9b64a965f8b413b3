/* secrets.c - where a real credential must not be: environments, command lines, the audit, logs, error pages, what egressctl prints, the token file.
 * And where it must be: at the origin, once, from a file that only its owner can read, the new one after a reload. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/daemon.h"

#define REAL      "sk-live-0123456789abcdefghijklmnopqrstuvwxyzABCD"
#define FROM_FILE "tok-file-9876543210-zyxwvutsrqponmlkjihgfedcba"
#define ROTATED   "tok-new-5555555555-qwertyuiopasdfghjklzxcvbnm12"
#define EXPOSED   "tok-open-1111111111-lllllllllllllllllllllllllll"

static const char POLICY[] =
    "egress: 1\n"
    "allow: [{address: 127.0.0.1, scheme: tcp, ports: [@PLAIN@]}]\n"
    "services:\n"
    "  api:\n"
    "    upstream: https://api.example.test:@ORIGIN@\n"
    "    credential: env-key\n"
    "    write: [\"header:Authorization: Bearer {}\"]\n"
    "    env: {base_url: API_BASE_URL, key: [TEST_REAL_KEY]}\n"
    "  filed:\n"
    "    upstream: https://api.example.test:@ORIGIN@\n"
    "    credential: file-key\n"
    "    write: [\"header:x-api-key: {}\"]\n"
    "    env: {base_url: FILED_BASE_URL, key: [FILED_KEY]}\n"
    "  exposed:\n"
    "    upstream: https://api.example.test:@ORIGIN@\n"
    "    credential: open-key\n"
    "    write: [\"header:x-api-key: {}\"]\n"
    "    env: {base_url: EXPOSED_BASE_URL, key: [EXPOSED_KEY]}\n"
    "credentials:\n"
    "  env-key: {from: env:TEST_REAL_KEY, hosts: [api.example.test]}\n"
    "  file-key: {from: \"file:@DIR@/secret\", hosts: [api.example.test]}\n"
    "  open-key: {from: \"file:@DIR@/open\", hosts: [api.example.test]}\n"
    "networks: {allow: [127.0.0.0/8]}\n"
    "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"
    "tls: {ca: \"@DIR@/ca.pem\", system: false}\n"
    "audit: {file: \"@DIR@/audit.jsonl\"}\n";
static const char *const ENVIRONMENT[] = { "TEST_REAL_KEY=" REAL, NULL };
static const char *const NAMES[] = { "api.example.test=127.0.0.1", NULL };
static const char *const TWO[] = { "--workers", "2", "--log", "debug", NULL };
static const char *const SECRETS[] = { REAL, FROM_FILE, ROTATED, EXPOSED };

static void put_secret(const struct eg_world *w, const char *name, const char *text, mode_t mode)
{
    eg_world_write(w, name, text);
    cr_assert(chmod(eg_world_path(w, name), mode) == 0);
}

static void setup(struct eg_world *w)
{
    eg_world_new(w);
    eg_world_origin(w, NULL);
    eg_world_plain(w);
    eg_world_dns(w, NAMES);
    put_secret(w, "secret", FROM_FILE "\n", 0600);
    put_secret(w, "open", EXPOSED "\n", 0644);
    eg_world_egressd(w, POLICY, TWO, ENVIRONMENT);
}

/* None of the secrets in n bytes of p. */
static void assert_none(const char *p, size_t n, const char *what)
{
    for (size_t i = 0; i < sizeof SECRETS / sizeof *SECRETS; i++)
        cr_assert(memmem(p, n, SECRETS[i], strlen(SECRETS[i])) == NULL, "secret %zu is in %s", i,
                  what);
}

static void assert_text_has_none(char *text, const char *what)
{
    cr_assert(text != NULL, "%s", what);
    assert_none(text, strlen(text), what);
    free(text);
}

static void assert_process_has_none(pid_t pid)
{
    static const char *const names[] = { "environ", "cmdline", "status", "comm" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *text = eg_proc_text(pid, names[i]);
        if (text) /* unreadable is as good */
            assert_text_has_none(text, names[i]);
        else
            cr_assert(geteuid() != 0 || i == 0, "%s", names[i]);
    }
}

static void phantom(const struct eg_world *w, const char *variable, char *out, size_t cap)
{
    char *text = NULL;
    cr_assert(eg_ctl_run(w, &text, "env", "--session", "default", "--format", "json", NULL) == 0,
              "%s", text);
    eg_json_text(text, variable, out, cap);
    free(text);
}

/* The whole answer, head and body, in *out. */
static int ask(const struct eg_world *w, const char *path, const char *key, char **out)
{
    struct eg_client c;
    char head[8192], *body = NULL;
    eg_client_open(&c, w->proxy_port);
    eg_client_text(&c, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAuthorization: Bearer %s\r\n\r\n",
                   path, w->proxy_port, key);
    int status = eg_client_response(&c, head, sizeof head, &body, NULL);
    cr_assert(asprintf(out, "%s%s", head, body ? body : "") >= 0);
    free(body);
    eg_client_close(&c);
    return status;
}

static unsigned count(const char *text, const char *needle)
{
    unsigned n = 0;
    for (; (text = strstr(text, needle)); text++)
        n++;
    return n;
}

static unsigned at_origin(const struct eg_world *w, const char *text)
{
    char *rec = eg_world_read(w, "origin.rec", NULL);
    unsigned n = count(rec, text);
    free(rec);
    return n;
}

/* All that egressd and egressctl ever say of it, after routes that worked and routes that did not. */
Test(secrets, are_nowhere_but_at_the_origin, .timeout = 90)
{
    static const char *const words[][4] = {
        { "status", NULL },
        { "status", "--json", NULL },
        { "session", "list", NULL },
        { "env", NULL },
        { "env", "--format", "json", NULL },
        { "session", "list", "--json", NULL },
        { "audit", "--json", NULL },
        { "audit", NULL },
    };
    struct eg_world w;
    struct eg_client c;
    char key[200], filed[200], *out = NULL;
    setup(&w);
    phantom(&w, "TEST_REAL_KEY", key, sizeof key);
    phantom(&w, "FILED_KEY", filed, sizeof filed);
    cr_assert(ask(&w, "/api/headers", key, &out) == 200, "%s", out);
    free(out); /* an origin that echoes: the engine's redaction is tested with routes */
    cr_assert(ask(&w, "/filed/status/204", filed, &out) == 204, "%s", out);
    assert_text_has_none(out, "an answer");
    cr_assert(at_origin(&w, REAL) == 1 && at_origin(&w, FROM_FILE) == 1 && at_origin(&w, key) == 0);
    static const char *const bad[] = { "/api/headers", "/filed/headers", "/exposed/headers",
                                       "/none/headers" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert(ask(&w, bad[i], "not-a-phantom", &out) >= 400, "%s", out);
        assert_text_has_none(out, bad[i]);
    }
    cr_assert(ask(&w, "/api/headers", REAL, &out) == 401); /* the child guessed it: still no echo */
    assert_text_has_none(out, "the refusal of the real key");
    cr_assert(eg_daemon_tunnel(&c, &w, w.token, 7, NULL, 0) == 403);
    eg_client_close(&c);
    assert_process_has_none(w.egressd.pid);
    for (unsigned n = 1; n <= 2; n++)
        assert_process_has_none(eg_daemon_worker(&w, n, 0));
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        cr_assert(eg_ctl_run(&w, &out, words[i][0], words[i][1], words[i][1] ? words[i][2] : NULL,
                             NULL) == 0,
                  "%s: %s", words[i][0], out);
        assert_text_has_none(out, words[i][0]);
    }
    kill(w.egressd.pid, SIGHUP);
    cr_assert(eg_world_await_event(&w, 1, "\"reason\":\"reloaded\"", "generation 2"));
    kill(eg_daemon_worker(&w, 1, 0), SIGKILL); /* and its successor */
    cr_assert(eg_world_await_event(&w, 1, "\"reason\":\"worker_died\"", "worker 1"));
    assert_process_has_none(eg_daemon_worker(&w, 1, 0));
    assert_text_has_none(eg_world_read(&w, "token", NULL), "the token file");
    eg_proc_end(&w.egressd, SIGTERM);
    assert_text_has_none(eg_world_read(&w, "egressd.err", NULL), "the log");
    assert_text_has_none(eg_world_read(&w, "audit.jsonl", NULL), "the audit's file");
    assert_text_has_none(strdup(w.egressd.ready), "the ready line");
    eg_world_done(&w);
}

/* One readable mapping: does it hold the text? */
static bool mapping_holds(int mem, unsigned long from, unsigned long to, const char *needle)
{
    enum { CHUNK = 1 << 20, OVERLAP = 4096 };
    char *chunk = malloc(CHUNK);
    bool found = false;
    cr_assert(chunk != NULL);
    while (from < to && !found) {
        size_t n = to - from < CHUNK ? to - from : CHUNK;
        ssize_t got = pread(mem, chunk, n, (off_t)from);
        if (got <= 0)
            break;
        found = memmem(chunk, (size_t)got, needle, strlen(needle)) != NULL;
        from += (size_t)got == CHUNK ? CHUNK - OVERLAP : (size_t)got;
    }
    free(chunk);
    return found;
}

/* In how many mappings that a core would hold (open) and that none would (closed: MADV_DONTDUMP) is the text? False when the
 * system does not let us look. */
static bool memory_holds(pid_t pid, const char *needle, unsigned *in_open, unsigned *in_closed)
{
    char path[64], *save = NULL;
    bool held = false;
    *in_open = *in_closed = 0;
    char *maps = eg_proc_text(pid, "smaps");
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    int mem = open(path, O_RDONLY | O_CLOEXEC);
    for (char *line = maps ? strtok_r(maps, "\n", &save) : NULL; line && mem >= 0;
         line = strtok_r(NULL, "\n", &save)) {
        unsigned long from, to;
        char rights[8];
        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) == 3) {
            held =
                rights[0] == 'r' && to - from < 1ul << 30 && mapping_holds(mem, from, to, needle);
        } else if (strncmp(line, "VmFlags:", 8) == 0 && held) {
            *(strstr(line, " dd") ? in_closed : in_open) += 1;
        }
    }
    bool could = maps && mem >= 0;
    free(maps);
    if (mem >= 0)
        close(mem);
    return could;
}

Test(secrets, have_no_copy_outside_the_arena, .timeout = 90)
{
    struct eg_world w;
    char key[200], filed[200], *out = NULL;
    unsigned in_open, in_closed;
    if (EG_TESTS_ASAN)
        cr_skip_test("AddressSanitizer maps terabytes and keeps what was freed");
    setup(&w);
    phantom(&w, "TEST_REAL_KEY", key, sizeof key);
    phantom(&w, "FILED_KEY", filed, sizeof filed);
    for (int i = 0; i < 6; i++) {
        cr_assert(ask(&w, "/filed/status/204", filed, &out) == 204, "%s", out);
        free(out);
        cr_assert(ask(&w, "/api/status/204", key, &out) == 204, "%s", out);
        free(out);
    }
    cr_assert(eg_daemon_await_sum(&w, "open_flows", 0) == 0);
    pid_t pids[3] = { w.egressd.pid, eg_daemon_worker(&w, 1, 0), eg_daemon_worker(&w, 2, 0) };
    for (int i = 0; i < 3; i++) {
        if (!memory_holds(pids[i], w.token, &in_open, &in_closed)) {
            eg_world_done(&w);
            cr_skip_test("this system does not let us read another process' memory");
        }
        cr_assert(in_open > 0, "the search finds what is there: the session's token in process %d",
                  i);
        for (size_t k = 0; k < 2; k++) {
            cr_assert(memory_holds(pids[i], SECRETS[k], &in_open, &in_closed));
            cr_expect(in_open == 0 && in_closed > 0,
                      "process %d holds secret %zu in %u mappings that a core would hold, in %u "
                      "that none would",
                      i, k, in_open, in_closed);
        }
    }
    eg_world_done(&w);
}

Test(secrets, leave_no_core, .timeout = 60)
{
    static const char *const names[] = { "core" };
    struct eg_world w;
    setup(&w);
    pid_t pids[3] = { w.egressd.pid, eg_daemon_worker(&w, 1, 0), eg_daemon_worker(&w, 2, 0) };
    for (int i = 0; i < 3; i++) {
        char *limits = eg_proc_text(pids[i], "limits");
        cr_assert(limits && strstr(limits, "Max core file size        0                    0 "),
                  "%s", limits);
        free(limits);
    }
    kill(pids[1], SIGABRT);
    eg_daemon_worker(&w, 1, pids[1]);
    struct stat st;
    cr_assert(lstat(eg_world_path(&w, names[0]), &st) != 0 && lstat("core", &st) != 0);
    eg_world_done(&w);
}

/* ---- file: ---- */

Test(secrets, a_file_that_others_can_read_is_refused_and_not_exported, .timeout = 60)
{
    struct eg_world w;
    char *out = NULL;
    setup(&w);
    char *log = eg_world_read(&w, "egressd.err", NULL);
    cr_assert(strstr(log, "credential open-key") && strstr(log, "is open to other users") &&
                  strstr(log, "chmod 600"),
              "%s", log);
    cr_assert(strstr(log, EXPOSED) == NULL);
    free(log);
    cr_assert(eg_ctl_run(&w, &out, "env", "--session", "default", NULL) == 0);
    cr_assert(strstr(out, "EXPOSED_KEY=") == NULL, "no phantom for what did not load: %s", out);
    cr_assert(strstr(out, "EXPOSED_BASE_URL=") && strstr(out, "FILED_KEY="), "%s", out);
    free(out);
    cr_assert(eg_ctl_run(&w, &out, "status", "--json", NULL) == 0);
    cr_assert(strstr(out, "\"name\":\"open-key\",\"loaded\":false") &&
                  strstr(out, "\"name\":\"file-key\",\"loaded\":true"),
              "%s", out);
    free(out);
    char *events = eg_world_events(&w);
    cr_assert(eg_events_with(events, "\"reason\":\"credential_unavailable\"", "open-key", NULL) >=
                  1,
              "%s", events);
    free(events);
    cr_assert(ask(&w, "/exposed/headers", "anything", &out) >= 400);
    free(out);
    cr_assert(at_origin(&w, EXPOSED) == 0);
    put_secret(&w, "open", EXPOSED "\n", 0600); /* mended: a reload suffices */
    kill(w.egressd.pid, SIGHUP);
    cr_assert(eg_world_await_event(&w, 1, "\"reason\":\"reloaded\"", "generation 2"));
    char key[200];
    phantom(&w, "EXPOSED_KEY", key, sizeof key);
    cr_assert(ask(&w, "/exposed/status/204", key, &out) == 204, "%s", out);
    free(out);
    cr_assert(at_origin(&w, EXPOSED) == 1);
    eg_world_done(&w);
}

Test(secrets, a_file_is_read_anew_at_a_reload, .timeout = 60)
{
    struct eg_world w;
    char key[200], after[200], *out = NULL;
    setup(&w);
    phantom(&w, "FILED_KEY", key, sizeof key);
    cr_assert(strlen(key) == strlen(FROM_FILE) && ask(&w, "/filed/status/204", key, &out) == 204,
              "%s", out);
    free(out);
    cr_assert(at_origin(&w, "x-api-key: " FROM_FILE "\r\n") == 1);
    put_secret(&w, "secret", ROTATED "\n", 0600);
    kill(w.egressd.pid, SIGHUP);
    cr_assert(eg_world_await_event(&w, 1, "\"reason\":\"reloaded\"", "generation 2"));
    for (int i = 0; i < 6; i++) {
        cr_assert(ask(&w, "/filed/status/204", key, &out) == 204, "the phantom stays: %s", out);
        free(out);
    }
    cr_assert(at_origin(&w, "x-api-key: " ROTATED "\r\n") == 6 && at_origin(&w, FROM_FILE) == 1,
              "by every worker");
    phantom(&w, "FILED_KEY", after, sizeof after);
    cr_assert(strcmp(key, after) == 0);
    cr_assert(unlink(eg_world_path(&w, "secret")) ==
              0); /* gone: it fails closed, the old value does not stay */
    kill(w.egressd.pid, SIGHUP);
    cr_assert(eg_world_await_event(&w, 1, "\"reason\":\"reloaded\"", "generation 3"));
    int status = ask(&w, "/filed/status/204", key, &out);
    cr_assert(status == 502 || status == 401, "%d %s", status, out);
    free(out);
    cr_assert(at_origin(&w, ROTATED) == 6 && at_origin(&w, FROM_FILE) == 1);
    eg_world_done(&w);
}

/* Values at the edge of what is allowed, by way of a helper and of the environment. */
Test(secrets, of_the_greatest_length_work_and_longer_ones_are_refused, .timeout = 60)
{
    enum { MOST = 16384 };
    static char variable[MOST + 64], value[MOST + 8];
    struct eg_world w;
    char *out = NULL;
    memset(value, 'k', MOST);
    snprintf(variable, sizeof variable, "TEST_REAL_KEY=%.*s", MOST, value);
    const char *environment[] = { variable, NULL };
    eg_world_new(&w);
    eg_world_origin(&w, NULL);
    eg_world_plain(&w);
    eg_world_dns(&w, NAMES);
    memcpy(value + MOST, "\r\n", 3);
    put_secret(&w, "secret", value, 0600);
    memcpy(value + MOST, "k\n", 3);
    put_secret(&w, "open", value, 0600);
    eg_world_egressd(&w, POLICY, TWO, environment);
    cr_assert(eg_ctl_run(&w, &out, "status", "--json", NULL) == 0);
    cr_assert(strstr(out, "\"name\":\"env-key\",\"loaded\":true") &&
                  strstr(out, "\"name\":\"file-key\",\"loaded\":true") &&
                  strstr(out, "\"name\":\"open-key\",\"loaded\":false"),
              "%s", out);
    free(out);
    eg_world_done(&w);
}
