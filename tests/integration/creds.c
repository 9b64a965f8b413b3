/* creds.c - the life of credentials in a whole egressd: read at first use, before they expire, after a 401, over a reload; and what
 * egressctl creds says of them. The source is a program of the test that counts how often it was run. */
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/daemon.h"

enum { PATIENCE_MS = 60000, CLIENTS = 6 };

#define OLD "sk-old-0123456789abcdefghijklmnopqrstuvwxyz"
#define NEW "sk-new-zyxwvutsrqponmlkjihgfedcba9876543210"

/* Before the credential's own keys. */
#define HEAD                                                                                       \
    "egress: 1\n"                                                                                  \
    "services:\n"                                                                                  \
    "  api:\n"                                                                                     \
    "    upstream: https://api.example.test:@ORIGIN@\n"                                            \
    "    credential: key\n"                                                                        \
    "    write: [\"header:Authorization: Bearer {}\"]\n"                                           \
    "    env: {base_url: API_BASE_URL, key: [API_KEY]}\n"                                          \
    "networks: {allow: [127.0.0.0/8]}\n"                                                           \
    "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"                                                      \
    "tls: {ca: \"@DIR@/ca.pem\", system: false}\n"                                                 \
    "credentials:\n"                                                                               \
    "  key:\n"                                                                                     \
    "    hosts: [api.example.test]\n"
#define PROGRAM "    from: {cmd: [/bin/sh, \"@DIR@/get\"]}\n"

static const char *const NAMES[] = { "api.example.test=127.0.0.1", NULL };
static const char *const TWO[] = { "--workers", "2", NULL };

/* DIR/get prints DIR/value, once DIR/wait is gone, and fails where there is none. */
static void put_program(const struct eg_world *w)
{
    char text[1024];
    snprintf(text, sizeof text,
             "echo run >>%s/runs\nwhile [ -e %s/wait ]; do sleep 0.02; done\nexec cat %s/value\n",
             w->dir, w->dir, w->dir);
    eg_world_write(w, "get", text);
}

static void put_value(const struct eg_world *w, const char *value)
{
    char path[512];
    snprintf(path, sizeof path, "%s", eg_world_path(w, "value"));
    if (!value) {
        cr_assert_eq(unlink(path), 0);
        return;
    }
    eg_world_write(w, "next", value);
    cr_assert_eq(chmod(eg_world_path(w, "next"), 0600), 0);
    cr_assert_eq(rename(eg_world_path(w, "next"), path), 0);
}

static void origins(struct eg_world *w)
{
    eg_world_new(w);
    eg_world_origin(w, NULL);
    eg_world_dns(w, NAMES);
    put_program(w);
    eg_world_write(w, "want", OLD);
}

static void setup(struct eg_world *w, const char *policy, const char *value)
{
    origins(w);
    if (value)
        put_value(w, value);
    eg_world_egressd(w, policy, TWO, NULL);
}

static unsigned count(const char *text, const char *needle)
{
    unsigned n = 0;
    for (; (text = strstr(text, needle)); text++)
        n++;
    return n;
}

static unsigned runs(const struct eg_world *w)
{
    char *text = eg_world_read(w, "runs", NULL);
    unsigned n = count(text, "run\n");
    free(text);
    return n;
}

static bool exported(const struct eg_world *w, char *out, size_t cap)
{
    char *text = NULL;
    cr_assert_eq(eg_ctl_run(w, &text, "env", "--format", "json", NULL), 0, "%s", text);
    bool there = strstr(text, "\"API_KEY\":") != NULL;
    if (there)
        eg_json_text(text, "API_KEY", out, cap);
    free(text);
    return there;
}

static void phantom(const struct eg_world *w, char *out, size_t cap)
{
    cr_assert(exported(w, out, cap));
}

static void begin(const struct eg_world *w, struct eg_client *c, const char *path, const char *key)
{
    eg_client_open(c, w->proxy_port);
    eg_client_text(c, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAuthorization: Bearer %s\r\n\r\n",
                   path, w->proxy_port, key);
}

static int end(struct eg_client *c, char *head, size_t cap)
{
    int status = eg_client_response(c, head, cap, NULL, NULL);
    eg_client_close(c);
    return status;
}

/* /api/secret is 200 where the origin gets what DIR/want holds, else 401. */
static int ask(const struct eg_world *w, const char *key)
{
    struct eg_client c;
    char head[8192];
    begin(w, &c, "/api/secret", key);
    return end(&c, head, sizeof head);
}

static bool unavailable(const struct eg_world *w, const char *key)
{
    struct eg_client c;
    char head[8192];
    begin(w, &c, "/api/secret", key);
    return end(&c, head, sizeof head) == 502 &&
           eg_head_has(head, "X-Egress-Reason", "credential_unavailable");
}

/* The exit code; that the one line says so. */
static int listed(const struct eg_world *w, const char *verb, const char *says)
{
    char *text = NULL;
    int code = eg_ctl_run(w, &text, "creds", verb, "--json", NULL);
    cr_expect(strstr(text, says), "%s: %s in %s", verb, says, text);
    cr_expect(!strstr(text, OLD) && !strstr(text, NEW), "%s", text);
    free(text);
    return code;
}

static bool await(const struct eg_world *w, bool (*there)(const struct eg_world *w, unsigned n),
                  unsigned n)
{
    for (uint64_t until = eg_clock_ms() + PATIENCE_MS; eg_clock_ms() < until; poll(NULL, 0, 10))
        if (there(w, n))
            return true;
    return false;
}

static bool has_run(const struct eg_world *w, unsigned n)
{
    return runs(w) >= n;
}

static bool is_listed_failed(const struct eg_world *w, unsigned n)
{
    char *text = NULL;
    (void)n;
    (void)!eg_ctl_run(w, &text, "creds", "list", "--json", NULL);
    bool failed = strstr(text, "\"state\":\"failed\"") != NULL;
    free(text);
    return failed;
}

Test(creds, lazy_one_is_read_once_for_all_who_wait, .timeout = 120)
{
    struct eg_world w;
    struct eg_client c[CLIENTS];
    char key[600], head[8192];
    setup(&w, HEAD PROGRAM "    load: lazy\n", OLD);
    eg_world_write(&w, "wait", "");
    cr_expect_eq(runs(&w), 0, "nobody has wanted it");
    cr_expect_eq(listed(&w, "list", "\"state\":\"lazy\""), 0);
    phantom(&w, key, sizeof key);
    cr_expect_eq(strlen(key), 40, "%s", key);
    for (int i = 0; i < CLIENTS; i++)
        begin(&w, &c[i], "/api/secret", key);
    cr_assert(await(&w, has_run, 1));
    cr_assert_eq(unlink(eg_world_path(&w, "wait")), 0);
    for (int i = 0; i < CLIENTS; i++)
        cr_expect_eq(end(&c[i], head, sizeof head), 200, "%d: %s", i, head);
    for (int i = 0; i < CLIENTS; i++) /* whichever worker */
        cr_expect_eq(ask(&w, key), 200);
    cr_expect_eq(runs(&w), 1);
    cr_expect_eq(listed(&w, "list", "\"state\":\"loaded\""), 0);
    char again[600];
    phantom(&w, again, sizeof again);
    cr_expect_str_eq(again, key, "a child holds it");
    eg_world_done(&w);
}

Test(creds, lazy_one_that_fails_is_unavailable_and_comes_back, .timeout = 120)
{
    struct eg_world w;
    char key[600];
    setup(&w, HEAD PROGRAM "    load: lazy\n", NULL);
    phantom(&w, key, sizeof key);
    cr_expect(unavailable(&w, key));
    cr_expect(unavailable(&w, key));
    cr_expect_eq(runs(&w), 1, "who comes at once does not make it run again");
    cr_expect_eq(listed(&w, "list", "exit status 1"), 5);
    char other[600];
    cr_expect_not(exported(&w, other, sizeof other));
    put_value(&w, OLD);
    cr_expect_eq(listed(&w, "test", "\"state\":\"loaded\""), 0);
    cr_expect_eq(ask(&w, key), 200, "the phantom that was given out");
    phantom(&w, other, sizeof other);
    cr_expect_str_eq(other, key);
    eg_world_done(&w);
}

Test(creds, reload_answers_who_waits_for_a_lazy_one, .timeout = 120)
{
    struct eg_world w;
    struct eg_client c;
    char key[600], head[8192];
    setup(&w, HEAD PROGRAM "    load: lazy\n", OLD);
    eg_world_write(&w, "wait", "");
    phantom(&w, key, sizeof key);
    begin(&w, &c, "/api/secret", key);
    cr_assert(await(&w, has_run, 1));
    cr_assert_eq(kill(w.egressd.pid, SIGHUP), 0);
    cr_assert(await(&w, has_run, 2), "the new policy's one is read for it");
    cr_assert_eq(unlink(eg_world_path(&w, "wait")), 0);
    cr_expect_eq(end(&c, head, sizeof head), 200, "%s", head);
    eg_world_done(&w);
}

Test(creds, refusal_reads_it_again_once_and_the_client_sees_none, .timeout = 120)
{
    struct eg_world w;
    char key[600];
    setup(&w, HEAD PROGRAM, OLD);
    phantom(&w, key, sizeof key);
    cr_expect_eq(strlen(key), strlen(OLD));
    cr_expect_eq(ask(&w, key), 200);
    cr_expect_eq(runs(&w), 1);
    put_value(&w, NEW);
    eg_world_write(&w, "want", NEW);
    cr_expect_eq(ask(&w, key), 200, "the origin's 401 was for the old one");
    cr_expect_eq(runs(&w), 2);
    eg_world_write(&w, "want", "another");
    for (int i = 0; i < 4; i++)
        cr_expect_eq(ask(&w, key), 401, "passed on");
    cr_expect_leq(runs(&w), 4, "each of them asked once in a while at most");
    eg_world_done(&w);
}

Test(creds, ttl_reads_it_again_without_stopping_traffic, .timeout = 180)
{
    struct eg_world w;
    char key[600];
    setup(&w, HEAD PROGRAM "    ttl: 20s\n",
          OLD); /* the old one is good for 2 s at least when it is read again */
    phantom(&w, key, sizeof key);
    cr_expect_eq(listed(&w, "list", "\"ttl\":20"), 0);
    unsigned fds = eg_proc_fds(w.egressd.pid);
    eg_world_write(&w, "wait", "");
    cr_expect_eq(runs(&w), 1);
    cr_assert(await(&w, has_run, 2), "it is not read before it expires");
    uint64_t seen = eg_clock_ms();
    int status = ask(&w, key); /* a machine that takes so long has seen it expire */
    cr_expect(status == 200 || eg_clock_ms() - seen > 1500,
              "%d with the old one, while the new one is waited for", status);
    put_value(&w, NEW);
    eg_world_write(&w, "want", NEW);
    cr_assert_eq(unlink(eg_world_path(&w, "wait")), 0);
    cr_expect_eq(listed(&w, "test", "\"state\":\"loaded\""), 0);
    cr_expect_eq(ask(&w, key), 200, "with the new one");
    eg_proc_settled(w.egressd.pid, fds);
    eg_world_done(&w);
}

Test(creds, old_value_stays_until_it_expires, .timeout = 180)
{
    struct eg_world w;
    char key[600];
    uint64_t from = eg_clock_ms();
    setup(&w, HEAD PROGRAM "    ttl: 12s\n", OLD);
    phantom(&w, key, sizeof key);
    put_value(&w, NULL);
    cr_expect_eq(listed(&w, "test", "exit status 1"), 5, "the source has failed");
    bool is_good = !is_listed_failed(&w, 0) &&
                   ask(&w, key) == 200; /* a machine that takes so long has seen it expire */
    cr_expect(is_good || eg_clock_ms() - from > 11000);
    cr_assert(await(&w, is_listed_failed, 0));
    cr_expect(unavailable(&w, key));
    cr_expect(eg_world_await_event(&w, 1, "credential_unavailable", "exit status 1"));
    put_value(&w, OLD);
    cr_expect_eq(listed(&w, "test", "\"state\":\"loaded\""), 0);
    cr_expect_eq(ask(&w, key), 200);
    eg_world_done(&w);
}

Test(creds, late_success_makes_the_phantom, .timeout = 120)
{
    struct eg_world w;
    char key[600];
    setup(&w, HEAD "    from: \"file:@DIR@/value\"\n", NULL);
    cr_expect_not(exported(&w, key, sizeof key));
    char *text = NULL;
    cr_assert_eq(eg_ctl_run(&w, &text, "env", NULL), 0);
    cr_expect(strstr(text, "unset API_KEY\n"), "the caller's may be the real one: %s", text);
    free(text);
    cr_expect_eq(listed(&w, "list", "\"state\":\"failed\""), 5);
    put_value(&w, OLD);
    cr_expect_eq(chmod(eg_world_path(&w, "value"), 0644), 0);
    cr_expect_eq(listed(&w, "test", "chmod 600"), 5);
    cr_expect_eq(chmod(eg_world_path(&w, "value"), 0600), 0);
    cr_expect_eq(listed(&w, "test", "\"state\":\"loaded\""), 0);
    phantom(&w, key, sizeof key);
    cr_expect_eq(ask(&w, key), 200);
    eg_world_done(&w);
}

Test(creds, list_says_where_they_come_from_and_go, .timeout = 120)
{
    struct eg_world w;
    char *text = NULL;
    setup(&w, HEAD PROGRAM "    ttl: 1h\n", OLD);
    cr_expect_eq(eg_ctl_run(&w, &text, "creds", "list", NULL), 0);
    cr_expect(strstr(text, "key ") && strstr(text, "loaded") && strstr(text, "cmd:/bin/sh") &&
                  strstr(text, "services: api") && strstr(text, "hosts: api.example.test"),
              "%s", text);
    cr_expect_not(strstr(text, "/get"), "arguments are not shown: %s", text);
    free(text);
    cr_expect_eq(eg_ctl_run(&w, &text, "creds", "test", "key", NULL), 0);
    cr_expect(strstr(text, "loaded"), "%s", text);
    free(text);
    cr_expect_eq(eg_ctl_run(&w, &text, "creds", "test", "none", NULL), 1);
    cr_expect(strstr(text, "no such credential"), "%s", text);
    free(text);
    cr_expect_eq(eg_ctl_run(&w, &text, "creds", "show", NULL), 2);
    free(text);
    put_value(&w, NULL);
    cr_expect_eq(eg_ctl_run(&w, &text, "creds", "test", "key", NULL), 5);
    cr_expect(strstr(text, "why:") && strstr(text, "next:"), "%s", text);
    free(text);
    eg_world_done(&w);
}

/* What `check` can't know. */
Test(creds, a_value_too_short_to_be_looked_for_is_told, .timeout = 120)
{
    for (int i = 0; i < 2; i++) {
        struct eg_world w;
        setup(&w, HEAD PROGRAM, i == 0 ? "fifteen-bytes-o" : "sixteen-bytes-of");
        char *log = eg_world_read(&w, "egressd.err", NULL);
        cr_expect_eq(strstr(log, "credential key: 15 bytes are too few") != NULL, i == 0, "%s",
                     log);
        cr_expect(!strstr(log, "teen-bytes"), "%s", log);
        free(log);
        eg_world_done(&w);
    }
}
