/* audit_sink.c - the trail: ring and file, full disks, limits, torn lines, what is left out. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/audit.h"
#include "audit/ring.h"

static char folder[64];

static void enter(void)
{
    snprintf(folder, sizeof folder, "/tmp/eg-audit-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
}

static void leave(void)
{
    static const char *const names[] = { "a.jsonl", "link", "fifo", "dir" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (unlink(names[i]) != 0)
            (void)rmdir(names[i]);
    cr_expect_eq(chdir("/"), 0);
    cr_expect_eq(rmdir(folder), 0);
}

static struct eg_trail trail(int file, bool strict)
{
    struct eg_trail t = { .file = file, .strict = strict, .writer = 3 };
    int fd;
    cr_assert_eq(egress_ring_create(16, &t.ring, &fd), EG_OK);
    return t;
}

static void done(struct eg_trail *t)
{
    egress_ring_free(t->ring);
    if (t->file >= 0)
        close(t->file);
}

static struct egress_event event(uint8_t kind)
{
    struct egress_event e;
    memset(&e, 0, sizeof e);
    e.kind = kind;
    e.allowed = 1;
    e.port = 443;
    e.id = 9;
    snprintf(e.host, sizeof e.host, "api.example.com");
    snprintf(e.address, sizeof e.address, "203.0.113.9");
    snprintf(e.path, sizeof e.path, "/v1");
    snprintf(e.detail, sizeof e.detail, "api.example.com is fine");
    snprintf(e.service, sizeof e.service, "svc");
    return e;
}

static int open_file(void)
{
    struct eg_err err = { 0 };
    int fd = -1;
    cr_assert_eq(eg_trail_open_file("a.jsonl", &fd, &err), EG_OK, "%s", err.text);
    return fd;
}

/* All of a.jsonl in a static buffer. */
static char *contents(void)
{
    static char text[65536];
    int fd = open("a.jsonl", O_RDONLY);
    cr_assert_geq(fd, 0);
    ssize_t n = read(fd, text, sizeof text - 1);
    cr_assert_geq(n, 0);
    text[n] = '\0';
    close(fd);
    return text;
}

/* How many lines parse as events; *bad the others. */
static unsigned events_of(char *text, unsigned *bad)
{
    struct egress_event e;
    unsigned good = 0;
    *bad = 0;
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        if (egress_event_parse(line, (size_t)(end - line), &e) == EG_OK)
            good++;
        else
            ++*bad;
    }
    return good;
}

Test(audit, sink_without_a_file_only_the_ring_is_written, .init = enter, .fini = leave)
{
    struct eg_trail t = trail(-1, true);
    struct egress_event e = event(EGRESS_EVENT_DECISION), got;
    cr_assert_eq(eg_trail_write(&t, &e), EG_OK);
    cr_expect_eq(e.seq, 1);
    cr_expect_neq(e.wall_us, 0);
    cr_assert_eq(egress_ring_read(t.ring, 0, &got, NULL), EG_OK);
    cr_expect_eq(got.writer, 3);
    cr_expect_eq(memcmp(&got, &e, sizeof e), 0);
    done(&t);
}

Test(audit, sink_file_gets_one_line_an_event, .init = enter, .fini = leave)
{
    struct eg_trail t = trail(open_file(), true);
    unsigned bad;
    for (unsigned i = 0; i < 5; i++) {
        struct egress_event e = event(i % 2 ? EGRESS_EVENT_END : EGRESS_EVENT_DECISION);
        cr_assert_eq(eg_trail_write(&t, &e), EG_OK);
    }
    cr_expect_eq(events_of(contents(), &bad), 5);
    cr_expect_eq(bad, 0);
    cr_expect_eq(t.unwritten, 0);
    done(&t);
}

Test(audit, sink_destinations_leave_out_what_they_say, .init = enter, .fini = leave)
{
    struct eg_trail t = trail(-1, false);
    struct egress_event e, got;
    t.destinations = EG_DEST_HOST;
    e = event(EGRESS_EVENT_DECISION);
    cr_assert_eq(eg_trail_write(&t, &e), EG_OK);
    cr_expect_str_eq(e.path, "/v1", "the caller's event stays as it was");
    cr_assert_eq(egress_ring_read(t.ring, 0, &got, NULL), EG_OK);
    cr_expect_str_eq(got.path, "");
    cr_expect_str_eq(got.host, "api.example.com");
    cr_expect_eq(got.port, 443);
    t.destinations = EG_DEST_NONE;
    e = event(EGRESS_EVENT_DECISION);
    cr_assert_eq(eg_trail_write(&t, &e), EG_OK);
    cr_assert_eq(egress_ring_read(t.ring, 1, &got, NULL), EG_OK);
    cr_expect_str_eq(got.path, "");
    cr_expect_str_eq(got.host, "");
    cr_expect_str_eq(got.address, "");
    cr_expect_str_eq(got.detail, "");
    cr_expect_eq(got.port, 0);
    e = event(EGRESS_EVENT_SYSTEM);
    cr_assert_eq(eg_trail_write(&t, &e), EG_OK);
    cr_assert_eq(egress_ring_read(t.ring, 2, &got, NULL), EG_OK);
    cr_expect_str_eq(got.detail, "api.example.com is fine");
    done(&t);
}

/* An event of that kind that says where it went in every text it has. */
static struct egress_event telling(uint8_t kind)
{
    struct egress_event e = event(kind);
    e.via = EGRESS_VIA_FORWARD;
    e.stage = EGRESS_STAGE_CONNECT;
    e.reason = EG_CONNECT_REFUSED;
    e.wall_us = UINT64_C(1700000000000000); /* the time of day may hold any digits */
    e.http_status = 502;
    e.bytes_up = 11;
    e.bytes_down = 22;
    e.duration_us = 33000;
    e.truncated = 1;
    snprintf(e.session, sizeof e.session, "s1");
    snprintf(e.rule, sizeof e.rule, "secret.yaml:7");
    snprintf(e.host, sizeof e.host, "secret.example");
    snprintf(e.address, sizeof e.address, "203.0.113.5");
    snprintf(e.method, sizeof e.method, "SECRET");
    snprintf(e.path, sizeof e.path, "/secret/path");
    snprintf(e.credential, sizeof e.credential, "secret-token");
    snprintf(e.service, sizeof e.service, "secret-service");
    snprintf(e.detail, sizeof e.detail, "203.0.113.5:443: Connection refused (secret.example)");
    return e;
}

/* The event as ring and file have it; the line in json. */
static struct egress_event kept(struct eg_trail *t, struct egress_event e, char *json, size_t cap)
{
    struct egress_event got;
    uint64_t newest;
    cr_assert_eq(ftruncate(t->file, 0), 0);
    cr_assert_eq(eg_trail_write(t, &e), EG_OK);
    egress_ring_stats(t->ring, &newest, NULL, NULL);
    cr_assert_eq(egress_ring_read(t->ring, newest - 1, &got, NULL), EG_OK);
    cr_assert_gt(egress_event_json(&got, json, cap), 0);
    size_t n = strlen(json);
    cr_expect(strncmp(contents(), json, n) == 0 && contents()[n] == '\n', "the file: %s",
              contents());
    return got;
}

Test(audit, sink_destinations_none_keeps_nothing_that_says_where, .init = enter, .fini = leave)
{
    static const uint8_t kinds[] = { EGRESS_EVENT_DECISION, EGRESS_EVENT_END, EGRESS_EVENT_CANARY };
    static const char *const words[] = { "secret", "SECRET",    "203.0.113.5",
                                         "443",    "refused (", "truncated" };
    struct eg_trail t = trail(open_file(), true);
    char json[EGRESS_EVENT_JSON_MAX];
    t.destinations = EG_DEST_NONE;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct egress_event got = kept(&t, telling(kinds[i]), json, sizeof json);
        for (size_t k = 0; k < sizeof words / sizeof *words; k++)
            cr_expect(!strstr(json, words[k]), "%s in %s", words[k], json);
        cr_expect_str_eq(got.host, "");
        cr_expect_str_eq(got.address, "");
        cr_expect_eq(got.port, 0);
        cr_expect_str_eq(got.method, "");
        cr_expect_str_eq(got.path, "");
        cr_expect_str_eq(got.service, "");
        cr_expect_str_eq(got.credential, "");
        cr_expect_str_eq(got.rule, "");
        cr_expect_str_eq(got.detail, "");
        cr_expect_str_eq(got.session, "s1");
        cr_expect(got.id == 9 && got.kind == kinds[i] && got.via == EGRESS_VIA_FORWARD &&
                  got.stage == EGRESS_STAGE_CONNECT && got.reason == EG_CONNECT_REFUSED &&
                  got.http_status == 502 && got.bytes_up == 11 && got.bytes_down == 22 &&
                  got.duration_us == 33000 && got.writer == 3);
    }
    done(&t);
}

Test(audit, sink_destinations_none_leaves_no_bytes_behind_an_end, .init = enter, .fini = leave)
{
    struct eg_trail t = trail(open_file(), true);
    char json[EGRESS_EVENT_JSON_MAX];
    struct egress_event e = telling(EGRESS_EVENT_DECISION);
    t.destinations = EG_DEST_NONE;
    e.host[0] = e.path[0] = e.detail[0] = '\0'; /* what is behind is in the shared memory too */
    struct egress_event got = kept(&t, e, json, sizeof json);
    cr_expect_null(memmem(&got, sizeof got, "ecret", 5));
    cr_expect_null(memmem(&got, sizeof got, "03.0.113", 8));
    done(&t);
}

Test(audit, sink_destinations_none_of_a_system_event, .init = enter, .fini = leave)
{
    struct eg_trail t = trail(open_file(), true);
    char json[EGRESS_EVENT_JSON_MAX];
    struct egress_event e = telling(EGRESS_EVENT_SYSTEM);
    t.destinations = EG_DEST_NONE;
    snprintf(e.detail, sizeof e.detail, "worker 2: signal 11");
    kept(&t, e, json, sizeof json);
    cr_expect_null(strstr(json, "secret"), "%s", json);
    cr_expect_not_null(strstr(json, "\"detail\":\"worker 2: signal 11\""), "%s", json);
    done(&t);
}

Test(audit, sink_destinations_host_keeps_no_path_and_no_query, .init = enter, .fini = leave)
{
    static const char *const details[] = { "/secret/path is not allowed", "GET /other?key=secret" };
    struct eg_trail t = trail(open_file(), true);
    char json[EGRESS_EVENT_JSON_MAX];
    struct egress_event e = telling(EGRESS_EVENT_DECISION);
    t.destinations = EG_DEST_HOST;
    struct egress_event got = kept(&t, e, json, sizeof json);
    cr_expect_null(strstr(json, "path"), "%s", json);
    cr_expect_str_eq(got.detail, e.detail, "it names a host, no path");
    cr_expect(got.port == 443 && strcmp(got.host, e.host) == 0 &&
              strcmp(got.address, e.address) == 0 && strcmp(got.service, e.service) == 0 &&
              strcmp(got.rule, e.rule) == 0 && strcmp(got.method, e.method) == 0);
    for (size_t i = 0; i < 2; i++) {
        snprintf(e.detail, sizeof e.detail, "%s", details[i]);
        got = kept(&t, e, json, sizeof json);
        cr_expect_str_eq(got.detail, "");
    }
    e.path[1] = '\0'; /* "/" is in many a text */
    snprintf(e.detail, sizeof e.detail, "10.0.0.0/8");
    got = kept(&t, e, json, sizeof json);
    cr_expect_str_eq(got.detail, "10.0.0.0/8");
    done(&t);
}

Test(audit, sink_destinations_none_where_the_file_takes_nothing, .init = enter, .fini = leave)
{
    struct eg_trail t = trail(open("/dev/full", O_WRONLY | O_APPEND | O_CLOEXEC), true);
    struct egress_event e = telling(EGRESS_EVENT_DECISION), got;
    t.destinations = EG_DEST_NONE;
    cr_assert_eq(eg_trail_write(&t, &e), EG_AUDIT_UNWRITABLE);
    cr_assert_eq(egress_ring_read(t.ring, 1, &got, NULL), EG_OK);
    cr_expect_null(memmem(&got, sizeof got, "ecret", 5));
    cr_expect_str_eq(got.detail, "No space left on device");
    done(&t);
}

Test(audit, sink_full_disk_refuses_when_strict, .init = enter, .fini = leave)
{
    struct eg_trail t = trail(open("/dev/full", O_WRONLY | O_APPEND | O_CLOEXEC), true);
    struct egress_event e = event(EGRESS_EVENT_DECISION), got;
    cr_assert_geq(t.file, 0);
    cr_expect_eq(eg_trail_write(&t, &e), EG_AUDIT_UNWRITABLE);
    cr_expect_eq(t.unwritten, 1);
    cr_assert_eq(egress_ring_read(t.ring, 0, &got, NULL), EG_OK);
    cr_expect_eq(got.allowed, 1);
    cr_assert_eq(egress_ring_read(t.ring, 1, &got, NULL), EG_OK, "and one that says so");
    cr_expect_eq(got.kind, EGRESS_EVENT_DECISION);
    cr_expect_eq(got.allowed, 0);
    cr_expect_eq(got.reason, EG_AUDIT_UNWRITABLE);
    cr_expect_eq(got.id, 9);
    cr_expect_str_eq(got.detail, "No space left on device");

    e = event(EGRESS_EVENT_END);
    cr_expect_eq(eg_trail_write(&t, &e), EG_AUDIT_UNWRITABLE);
    cr_assert_eq(egress_ring_read(t.ring, 3, &got, NULL), EG_OK);
    cr_expect_eq(got.kind, EGRESS_EVENT_SYSTEM);
    cr_expect_eq(got.reason, EG_AUDIT_UNWRITABLE);

    close(t.file);
    t.file = open_file();
    e = event(EGRESS_EVENT_DECISION);
    cr_expect_eq(eg_trail_write(&t, &e), EG_OK, "it recovers with the disk");
    done(&t);
}

Test(audit, sink_full_disk_is_counted_when_not_strict, .init = enter, .fini = leave)
{
    struct eg_trail t = trail(open("/dev/full", O_WRONLY | O_APPEND | O_CLOEXEC), false);
    struct egress_event e = event(EGRESS_EVENT_DECISION), got;
    cr_expect_eq(eg_trail_write(&t, &e), EG_OK);
    cr_expect_eq(eg_trail_write(&t, &e), EG_OK);
    cr_expect_eq(t.unwritten, 2);
    cr_assert_eq(egress_ring_read(t.ring, 1, &got, NULL), EG_OK);
    cr_expect_eq(got.reason, EG_OK);
    cr_expect_eq(egress_ring_read(t.ring, 2, &got, NULL), EG_AGAIN);
    done(&t);
}

/* The file may grow to a size in the middle of a line: that line is torn, and the next begins
 * on its own. */
static void limited(size_t at, bool strict, unsigned good_before)
{
    struct eg_trail t = trail(open_file(), strict);
    struct rlimit old, new;
    unsigned bad;
    cr_assert_eq(signal(SIGXFSZ, SIG_IGN) == SIG_ERR, 0);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    new = old;
    new.rlim_cur = at;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &new), 0);
    struct egress_event e = event(EGRESS_EVENT_DECISION);
    enum eg_status s = EG_OK;
    unsigned tries = 0;
    while (s == EG_OK && t.unwritten == 0 && tries++ < 100)
        s = eg_trail_write(&t, &e);
    cr_expect_eq(s, strict ? EG_AUDIT_UNWRITABLE : EG_OK);
    cr_expect_eq(t.unwritten, 1);
    cr_expect_eq(eg_trail_write(&t, &e), strict ? EG_AUDIT_UNWRITABLE : EG_OK, "still full");
    cr_expect_eq(t.unwritten, 2);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    cr_expect_eq(eg_trail_write(&t, &e), EG_OK, "room again");
    cr_expect_eq(eg_trail_write(&t, &e), EG_OK);
    char *text = contents();
    cr_expect_eq(events_of(text, &bad), good_before + 2, "%s", text);
    cr_expect_leq(bad, 1, "only the torn line is spoiled: %s", text);
    cr_expect_null(strstr(text, "\n\n"), "no empty line: %s", text);
    cr_expect_eq(text[strlen(text) - 1], '\n');
    done(&t);
    unlink("a.jsonl");
}

Test(audit, sink_file_limit_tears_one_line_only, .init = enter, .fini = leave)
{
    struct eg_trail t = trail(open_file(), true);
    struct egress_event e = event(EGRESS_EVENT_DECISION);
    cr_assert_eq(eg_trail_write(&t, &e), EG_OK);
    size_t line = strlen(contents());
    done(&t);
    unlink("a.jsonl");
    limited(line + 5, true, 1);
    limited(line + 5, false, 1);
    limited(2 * line - 1, true, 2); /* all but the newline, which comes with the next */
    limited(2 * line, true, 2);     /* at a border: nothing is torn */
    limited(1, true, 0);
}

/* The end of the torn line fits and nothing more: the next event must not end it twice. */
Test(audit, sink_file_limit_that_takes_the_newline_alone, .init = enter, .fini = leave)
{
    struct eg_trail t = trail(open_file(), true);
    struct rlimit old, new;
    unsigned bad;
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    new = old;
    struct egress_event e = event(EGRESS_EVENT_DECISION);
    for (new.rlim_cur = 10; new.rlim_cur <= 11; new.rlim_cur++) {
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &new), 0);
        cr_expect_eq(eg_trail_write(&t, &e), EG_AUDIT_UNWRITABLE);
    }
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    cr_expect_eq(eg_trail_write(&t, &e), EG_OK);
    char *text = contents();
    cr_expect_eq(text[10], '\n');
    cr_expect_eq(text[11], '{');
    cr_expect_eq(events_of(text, &bad), 1);
    cr_expect_eq(bad, 1);
    done(&t);
}

/* The line that one process tore is ended by the next event of another. */
Test(audit, sink_torn_line_of_another_process_spoils_nothing, .init = enter, .fini = leave)
{
    struct eg_trail t = trail(open_file(), true);
    struct egress_event e = event(EGRESS_EVENT_DECISION);
    unsigned bad;
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        struct rlimit small = { 20, 20 };
        signal(SIGXFSZ, SIG_IGN);
        _exit(setrlimit(RLIMIT_FSIZE, &small) == 0 && eg_trail_write(&t, &e) == EG_AUDIT_UNWRITABLE
                  ? 0
                  : 1);
    }
    int status = -1;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    cr_expect_eq(eg_trail_write(&t, &e), EG_OK);
    cr_expect_eq(events_of(contents(), &bad), 1);
    cr_expect_eq(bad, 1);
    done(&t);
}

Test(audit, sink_lines_of_two_processes_do_not_mix, .init = enter, .fini = leave)
{
    struct eg_trail t = trail(open_file(), true);
    unsigned bad;
    pid_t children[2];
    for (int c = 0; c < 2; c++) {
        children[c] = fork();
        cr_assert_geq(children[c], 0);
        if (children[c] == 0) {
            struct egress_event e = event(EGRESS_EVENT_DECISION);
            for (int i = 0; i < 60; i++)
                if (eg_trail_write(&t, &e) != EG_OK)
                    _exit(1);
            _exit(0);
        }
    }
    for (int c = 0; c < 2; c++) {
        int status = -1;
        cr_assert_eq(waitpid(children[c], &status, 0), children[c]);
        cr_expect_eq(status, 0);
    }
    cr_expect_eq(events_of(contents(), &bad), 120);
    cr_expect_eq(bad, 0);
    done(&t);
}

Test(audit, sink_open_makes_a_private_append_only_file, .init = enter, .fini = leave)
{
    struct stat st;
    umask(0);
    int fd = open_file();
    cr_assert_eq(fstat(fd, &st), 0);
    cr_expect_eq(st.st_mode & 07777, 0600);
    int flags = fcntl(fd, F_GETFL);
    cr_expect_eq(flags & O_APPEND, O_APPEND);
    cr_expect_eq(flags & O_ACCMODE, O_WRONLY, "a worker can't read what was there");
    cr_expect_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close(fd);
}

static void put_file(const char *text, mode_t mode)
{
    unlink("a.jsonl");
    int fd = open("a.jsonl", O_WRONLY | O_CREAT | O_EXCL, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(fchmod(fd, mode), 0);
    close(fd);
}

Test(audit, sink_open_ends_the_torn_line_of_a_killed_run, .init = enter, .fini = leave)
{
    put_file("{\"v\":1,\"se", 0600);
    close(open_file());
    cr_expect_str_eq(contents(), "{\"v\":1,\"se\n");
    close(open_file());
    cr_expect_str_eq(contents(), "{\"v\":1,\"se\n", "once is enough");
    put_file("", 0600);
    close(open_file());
    cr_expect_str_eq(contents(), "");
}

static enum eg_status try_open(const char *path, struct eg_err *err)
{
    int fd = -7;
    eg_err_reset(err);
    enum eg_status s = eg_trail_open_file(path, &fd, err);
    if (s == EG_OK)
        close(fd);
    else
        cr_expect_eq(fd, -7);
    return s;
}

Test(audit, sink_open_refuses_what_is_not_ours, .init = enter, .fini = leave)
{
    struct eg_err err = { 0 };
    put_file("", 0620);
    cr_expect_eq(try_open("a.jsonl", &err), EG_PERMISSION);
    put_file("", 0602);
    cr_expect_eq(try_open("a.jsonl", &err), EG_PERMISSION);
    put_file("", 0644);
    cr_expect_eq(try_open("a.jsonl", &err), EG_OK, "others may read it where the operator says so");
    cr_assert_eq(symlink("a.jsonl", "link"), 0);
    cr_expect_eq(try_open("link", &err), EG_PERMISSION);
    cr_expect(strstr(err.text, "symbolic link"));
    cr_assert_eq(mkfifo("fifo", 0600), 0);
    cr_expect_eq(try_open("fifo", &err), EG_AUDIT_UNWRITABLE, "and it does not hang");
    int reader = open("fifo", O_RDONLY | O_NONBLOCK);
    cr_expect_eq(try_open("fifo", &err), EG_PERMISSION);
    close(reader);
    cr_assert_eq(mkdir("dir", 0700), 0);
    cr_expect_eq(try_open("dir", &err), EG_AUDIT_UNWRITABLE);
    cr_expect_eq(err.sys, EISDIR);
    cr_expect_eq(try_open("missing/a", &err), EG_AUDIT_UNWRITABLE);
    cr_expect_eq(err.sys, ENOENT);
    cr_expect_eq(try_open("/dev/full", &err), EG_PERMISSION);
    if (geteuid() == 0) {
        put_file("", 0600);
        cr_assert_eq(chown("a.jsonl", 12345, 12345), 0);
        cr_expect_eq(try_open("a.jsonl", &err), EG_PERMISSION);
        cr_expect(strstr(err.text, "another user"));
    }
}

Test(audit, sink_text_is_cut_and_marked, .init = enter, .fini = leave)
{
    struct egress_event e = event(EGRESS_EVENT_END);
    memset(e.method, 'x', sizeof e.method);
    eg_event_text(&e, e.method, sizeof e.method, EG_SLICE("GET"));
    cr_expect_str_eq(e.method, "GET");
    cr_expect_eq(e.method[sizeof e.method - 1], 0, "nothing of before is left");
    cr_expect_eq(e.truncated, 0);
    eg_event_text(&e, e.method, sizeof e.method, EG_SLICE_NONE);
    cr_expect_str_eq(e.method, "");
    eg_event_text(&e, e.method, sizeof e.method, EG_SLICE("12345678901234567890123"));
    cr_expect_eq(strlen(e.method), 23);
    cr_expect_eq(e.truncated, 0, "it fits exactly");
    eg_event_text(&e, e.method, sizeof e.method, EG_SLICE("123456789012345678901234"));
    cr_expect_eq(strlen(e.method), 23);
    cr_expect_eq(e.truncated, 1);
    e.truncated = 0;
    eg_event_text(&e, e.method, sizeof e.method, EG_SLICE("a\0b"));
    cr_expect_str_eq(e.method, "a");
    cr_expect_eq(e.truncated, 1, "a NUL cuts, and that is said");
}
