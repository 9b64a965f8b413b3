/* cmd_cred_life.c - what workers ask of the supervisor's credentials, and what they are told: a supervisor as far as credentials need one, two
 * workers whose far ends the test reads, real helper processes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/creds.h"
#include "net/sock.h"
#include "policy/compile.h"

enum { WORKERS = 2, SEEN = 4096, PATIENCE_MS = 60000 };

static struct eg_buf block;
static struct eg_sup_policy policy;
static struct eg_environ *environment;
static struct eg_supervisor *s;
static struct eg_link far[WORKERS];
static char seen[WORKERS][SEEN]; /* "kind name value;" of each message */
static char folder[64], file[96];

static void on_message(struct eg_link *l, const struct eg_link_message *m, int *fds,
                       unsigned fd_count)
{
    static const struct {
        enum eg_link_kind kind;
        const char *word;
    } words[] = { { EG_LINK_CREDENTIAL, "put" },
                  { EG_LINK_CREDENTIAL_FAILED, "fail" },
                  { EG_LINK_CREDENTIAL_DROP, "drop" },
                  { EG_LINK_CREDENTIAL_SETTLED, "settled" } };
    char *to = seen[l - far];
    (void)fds, (void)fd_count;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (m->kind == words[i].kind) {
            bool lazy = m->kind == EG_LINK_CREDENTIAL_FAILED && m->status == EG_AGAIN;
            cr_expect(m->flag || m->kind == EG_LINK_CREDENTIAL_SETTLED, "at once");
            snprintf(to + strlen(to), SEEN - strlen(to), "%s %s%s%.*s;",
                     lazy ? "lazy" : words[i].word, m->a.p,
                     m->kind == EG_LINK_CREDENTIAL ? " " : "",
                     m->kind == EG_LINK_CREDENTIAL ? (int)m->b.n : 0, m->b.p);
        }
}

static void on_closed(struct eg_link *l, enum eg_status why)
{
    (void)l, (void)why;
}

static void compile(const char *credentials)
{
    char text[2048];
    snprintf(text, sizeof text, "egress: 1\ncredentials:\n%s", credentials);
    const struct eg_policy_file f = { "p.yaml", eg_slice_str(text), EG_LAYER_USER, true };
    struct eg_diags *diags = NULL;
    eg_buf_init(&block, 1 << 20);
    cr_assert(eg_diags_new(&diags) == EG_OK &&
              eg_policy_compile(&f, 1, NULL, diags, &block, NULL) == EG_OK);
    eg_diags_free(diags);
    cr_assert_eq(eg_policy_open(block.data + block.off, block.len, &policy.policy, NULL), EG_OK);
}

static void link_worker(unsigned i)
{
    int fds[2];
    struct eg_sup_worker *w = &s->workers[i];
    *w = (struct eg_sup_worker){ .supervisor = s, .number = i + 1, .asked = 1 };
    cr_assert_eq(eg_sock_pair(fds, NULL), EG_OK);
    w->link.message = far[i].message = on_message;
    w->link.closed = far[i].closed = on_closed;
    cr_assert_eq(eg_link_open(&w->link, s->loop, fds[0], EG_LINK_FROM_WORKER_MAX, 0, 1 << 20, NULL),
                 EG_OK);
    cr_assert_eq(eg_link_open(&far[i], s->loop, fds[1], EG_LINK_TO_WORKER_MAX, 2, 1 << 20, NULL),
                 EG_OK);
    w->pid = getpid(); /* alive; nothing here kills it */
    w->furnished = true;
}

static void enter(void)
{
    cr_assert_geq(sodium_init(), 0);
    eg_log_set_level(EG_LOG_NONE);
    snprintf(folder, sizeof folder, "/tmp/eg-life-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/key", folder);
    s = calloc(1, sizeof *s);
    s->policy = &policy;
    s->phase = EG_SUP_RUNNING;
    s->worker_count = WORKERS;
    cr_assert_eq(eg_loop_new(&s->loop, NULL), EG_OK);
    cr_assert_eq(eg_vault_new(&s->vault, EG_SUP_VAULT, false, NULL, NULL), EG_OK);
    cr_assert_eq(egress_ring_create(64, &s->ring, &s->ring_fd), EG_OK);
    s->trail.ring = s->ring;
    s->trail.file = -1;
    for (unsigned i = 0; i < WORKERS; i++)
        link_worker(i);
}

static void leave(void)
{
    eg_sup_creds_free(s->creds);
    for (unsigned i = 0; i < WORKERS; i++) {
        eg_link_close(&s->workers[i].link);
        eg_link_close(&far[i]);
    }
    eg_loop_free(s->loop);
    eg_vault_free(s->vault);
    egress_ring_free(s->ring);
    eg_policy_close(policy.policy);
    eg_environ_free(environment);
    eg_buf_done(&block);
    free(s);
    (void)unlink(file);
    cr_expect_eq(rmdir(folder), 0);
    while (waitpid(-1, NULL, 0) > 0) {
    }
}

#define LIFE(name) Test(cmd_cred_life, name, .init = enter, .fini = leave, .timeout = 120)

static void put_file(const char *text)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static unsigned helpers(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < EG_SUP_HELPERS; i++)
        n += s->creds->helpers[i] != NULL;
    return n;
}

/* Until no helper works and all messages have arrived. */
static void quiet(void)
{
    uint64_t until = eg_clock_ms() + PATIENCE_MS;
    do
        cr_assert_eq(eg_loop_tick(s->loop, helpers() ? 10 : 0, NULL), EG_OK);
    while (helpers() && eg_clock_ms() < until);
    cr_assert_eq(helpers(), 0);
    for (int i = 0; i < 16; i++)
        cr_assert_eq(eg_loop_tick(s->loop, 0, NULL), EG_OK);
}

static void forget(void)
{
    memset(seen, 0, sizeof seen);
}

/* Reads all; what workers were told meanwhile is forgotten. */
static void begin(const char *credentials)
{
    char text[1024] = "";
    for (const char *at = credentials; *at; at++) /* @ is the file */
        snprintf(text + strlen(text), sizeof text - strlen(text), "%.*s", *at == '@' ? 96 : 1,
                 *at == '@' ? file : at);
    compile(text);
    cr_assert_eq(eg_environ_take(&environment), EG_OK);
    s->options.environment = environment;
    cr_assert_eq(eg_sup_creds_new(s, policy.policy, &s->creds), EG_OK);
    eg_sup_creds_read(s->creds, NULL);
    quiet();
    cr_assert_eq(s->creds->open, 0);
}

static bool ask(unsigned worker, const char *name, bool refused)
{
    struct eg_link_message m = { .kind = EG_LINK_CREDENTIAL_ASK,
                                 .flag = refused,
                                 .a = eg_slice_str(name) };
    return eg_sup_creds_asked(&s->workers[worker], &m);
}

#define LAZY  "  k: {from: \"file:@\", hosts: [a.example], load: lazy}\n"
#define START "  k: {from: \"file:@\", hosts: [a.example]}\n"

LIFE(lazy_one_is_read_once_and_all_workers_are_told)
{
    put_file("sk-1\n");
    begin(LAZY);
    cr_expect_str_eq(seen[0], "", "nobody asked");
    for (int i = 0; i < 5; i++)
        cr_assert(ask(0, "k", false) && ask(1, "k", false));
    cr_expect_eq(helpers(), 1);
    quiet();
    for (int i = 0; i < WORKERS; i++)
        cr_expect_str_eq(seen[i], "put k sk-1;settled k;");
    forget();
    cr_assert(ask(1, "k", false));
    cr_expect_eq(helpers(), 0, "it is there");
    quiet();
    cr_expect_str_eq(seen[0], "");
    cr_expect_str_eq(seen[1], "settled k;");
}

LIFE(lazy_one_that_fails_is_told_and_not_read_for_each_question)
{
    begin(LAZY);
    cr_assert(ask(0, "k", false));
    quiet();
    cr_expect_str_eq(seen[0], "fail k;settled k;");
    cr_expect_str_eq(seen[1], "fail k;settled k;");
    forget();
    cr_assert(ask(0, "k", false));
    cr_expect_eq(helpers(), 0);
    quiet();
    cr_expect_str_eq(seen[0], "settled k;");
    struct eg_sup_credential *e = &s->creds->list[0];
    cr_expect_eq(e->state, EG_SUP_CRED_FAILED);
    cr_expect(e->again_ms > eg_clock_ms(), "it will be lazy again");
    e->again_ms = 1;
    forget();
    eg_cred_timer_fired(&e->timer);
    quiet();
    cr_expect_eq(e->state, EG_SUP_CRED_LAZY);
    cr_expect_str_eq(seen[1], "lazy k;settled k;");
}

LIFE(refusal_reads_it_once_in_a_while)
{
    put_file("sk-1\n");
    begin(START);
    forget();
    put_file("sk-2\n");
    cr_assert(ask(0, "k", true));
    cr_expect_eq(helpers(), 1);
    cr_assert(ask(1, "k", true));
    cr_expect_eq(helpers(), 1);
    quiet();
    cr_expect_str_eq(seen[1], "put k sk-2;settled k;");
    forget();
    cr_assert(ask(0, "k", true));
    cr_expect_eq(helpers(), 0, "just read for that");
    quiet();
    cr_expect_str_eq(seen[0], "settled k;");
    cr_expect_str_eq(seen[1], "");
    s->creds->list[0].refused_ms -= EG_CRED_REFUSED_MS;
    cr_assert(ask(0, "k", true));
    cr_expect_eq(helpers(), 1);
    quiet();
}

LIFE(refusal_whose_read_fails_keeps_the_value)
{
    put_file("sk-1\n");
    begin(START);
    forget();
    cr_assert_eq(unlink(file), 0);
    cr_assert(ask(0, "k", true));
    quiet();
    cr_expect_str_eq(seen[0], "put k sk-1;settled k;");
    cr_expect_eq(s->creds->list[0].state, EG_SUP_CRED_LOADED);
    cr_expect_eq(s->creds->list[0].failures, 1);
}

LIFE(names_that_are_not_asked_for_by_honest_workers_cost_nothing)
{
    cr_assert_eq(setenv("CS", "client-secret", 1), 0);
    begin("  e: {from: \"env:CS\", hosts: [a.example]}\n"
          "  t: {oauth2: {grant: client_credentials, token_url: \"https://a.example/t\", "
          "client_id: c,\n"
          "               client_secret: \"file:@\"}, hosts: [a.example], load: lazy}\n");
    forget();
    static const char *const names[] = { "none", "", "t#client_secret", "e", "e#", "#" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cr_expect(ask(0, names[i], true) && ask(0, names[i], false), "%s", names[i]);
        cr_expect_eq(helpers(), 0, "%s", names[i]);
    }
    quiet();
    cr_expect_null(strstr(seen[0], "put"), "%s", seen[0]);
    cr_expect_null(strstr(seen[0], "client-secret"), "%s", seen[0]);
}

LIFE(flood_of_questions_is_the_end_of_that_worker)
{
    put_file("sk-1\n");
    begin(START);
    unsigned taken = 0;
    while (taken < 100000 && ask(0, "k", false))
        taken++;
    cr_expect_eq(taken, 1000);
    cr_expect(ask(1, "k", false), "not of the other");
    s->workers[0].asks_ms -= 1000;
    cr_expect(ask(0, "k", false), "a second later it is another second");
}

LIFE(value_and_fields_come_together_and_old_fields_go)
{
    put_file("{\"value\":\"v1\",\"user\":\"u1\",\"old\":\"o1\"}");
    begin("  k: {from: {cmd: [/bin/cat, \"@\"], json: true}, hosts: [a.example]}\n");
    cr_expect(strstr(seen[0], "put k#user u1;") && strstr(seen[0], "put k#old o1;") &&
                  strstr(seen[0], "put k v1;settled k;"),
              "%s", seen[0]);
    forget();
    put_file("{\"value\":\"v2\",\"user\":\"u2\"}");
    cr_assert(ask(0, "k", true));
    quiet();
    cr_expect_str_eq(seen[0], "drop k#user;drop k#old;put k#user u2;put k v2;settled k;");
}

LIFE(signing_keys_are_their_parts)
{
    cr_assert_eq(setenv("AK", "AKIAEXAMPLE", 1), 0);
    put_file("signing-secret\n");
    begin("  s3: {aws_sigv4: {access_key: \"env:AK\", secret_key: \"file:@\"}, hosts: "
          "[s3.example]}\n");
    cr_expect(strstr(seen[0], "put s3#access_key AKIAEXAMPLE;") &&
                  strstr(seen[0], "put s3#secret_key signing-secret;") &&
                  strstr(seen[0], "drop s3;settled s3;"),
              "%s", seen[0]);
    struct eg_sup_credential *e = eg_sup_creds_find(s->creds, EG_SLICE("s3"));
    cr_expect_eq(e->state, EG_SUP_CRED_LOADED);
    cr_assert_eq(unlink(file), 0);
    forget();
    eg_cred_want(e);
    eg_sup_creds_more(s->creds);
    quiet();
    cr_expect_gt(e->creds->list[0].read_ms, 0);
    cr_expect_eq(eg_sup_creds_find(s->creds, EG_SLICE("s3#secret_key"))->state, EG_SUP_CRED_LOADED,
                 "what was there is good");
}

LIFE(signing_keys_of_a_program)
{
    put_file("{\"Version\":1,\"AccessKeyId\":\"AKIA2\",\"SecretAccessKey\":\"s2\",\"SessionToken\":"
             "\"t2\"}");
    begin("  s3: {aws_sigv4: {from: {cmd: [/bin/cat, \"@\"]}}, hosts: [s3.example]}\n");
    cr_expect_str_eq(seen[0], "put s3#access_key AKIA2;put s3#secret_key s2;put s3#session_token "
                              "t2;drop s3;settled s3;");
}

LIFE(ttl_is_planned_early_and_expiry_is_the_end)
{
    put_file("sk-1\n");
    begin("  k: {from: \"file:@\", hosts: [a.example], ttl: 100s}\n");
    struct eg_sup_credential *e = &s->creds->list[0];
    cr_expect_eq(e->expires_ms, e->loaded_ms + 100000);
    cr_expect(e->again_ms >= e->loaded_ms + 80000 && e->again_ms <= e->loaded_ms + 90000);
    cr_assert_eq(unlink(file), 0);
    e->again_ms = 1;
    forget();
    eg_cred_timer_fired(&e->timer);
    quiet();
    cr_expect_eq(e->state, EG_SUP_CRED_LOADED);
    cr_expect(e->again_ms > e->read_ms && e->again_ms <= e->read_ms + 30000, "tried again soon");
    e->expires_ms = 1;
    forget();
    eg_cred_timer_fired(&e->timer);
    quiet();
    cr_expect_eq(e->state, EG_SUP_CRED_FAILED);
    cr_expect_null(e->secret);
    cr_expect_str_eq(seen[1], "fail k;settled k;");
    put_file("sk-3\n");
    e->again_ms = 1;
    forget();
    eg_cred_timer_fired(&e->timer);
    quiet();
    cr_expect_eq(e->state, EG_SUP_CRED_LOADED);
    cr_expect_str_eq(seen[1], "put k sk-3;settled k;");
}

LIFE(value_that_could_not_be_written_back_outlives_a_reload)
{
    put_file("rt-1\n");
    begin(START);
    struct eg_sup_creds *now = NULL, *old = s->creds;
    cr_assert_eq(eg_sup_creds_new(s, policy.policy, &now), EG_OK);
    eg_secret_free(old->list[0].secret);
    cr_assert_eq(eg_secret_new(s->vault, "rt-2", 4, &old->list[0].secret, NULL), EG_OK);
    old->list[0].newer = true;
    eg_sup_creds_inherit(now, old);
    cr_assert_not_null(now->list[0].secret);
    cr_expect(eg_secret_equal(now->list[0].secret, "rt-2", 4));
    cr_expect(now->list[0].newer);
    eg_sup_creds_free(now);
}
