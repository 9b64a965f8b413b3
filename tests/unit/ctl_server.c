/* ctl_server.c - the control socket against clients of every kind, and its place in the file
 * system. Server and clients share one loop: nothing waits. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/client.h"
#include "ctl/server.h"

enum { TICKS = 400 };

static char folder[64], path[128];
static struct eg_loop *loop;
static struct eg_ctl_server *server;
static unsigned streams_open, streams_done;
static uint64_t stream_length; /* messages of a stream; UINT64_MAX: for ever */
static bool stream_quiet;

static enum eg_status op_echo(void *ctx, const json_t *request, struct eg_ctl_answer *answer,
                              struct eg_err *err)
{
    (void)ctx;
    (void)err;
    answer->reply =
        json_pack("{s:O}", "echo",
                  json_object_get(request, "n") ? json_object_get(request, "n") : json_null());
    return answer->reply ? EG_OK : EG_NOMEM;
}

static enum eg_status op_fail(void *ctx, const json_t *request, struct eg_ctl_answer *answer,
                              struct eg_err *err)
{
    (void)ctx;
    (void)request;
    (void)answer;
    return eg_err_set(err, EG_NOT_FOUND, "test", 0, "not here");
}

static enum eg_status op_big(void *ctx, const json_t *request, struct eg_ctl_answer *answer,
                             struct eg_err *err)
{
    (void)ctx;
    (void)request;
    (void)err;
    char *text = malloc(EG_CTL_MESSAGE_MAX + 1);
    memset(text, 'x', EG_CTL_MESSAGE_MAX);
    text[EG_CTL_MESSAGE_MAX] = 0;
    answer->reply = json_pack("{s:s}", "big", text);
    free(text);
    return EG_OK;
}

static enum eg_status next(void *stream, json_t **ret)
{
    uint64_t *at = stream;
    if (stream_quiet)
        return EG_AGAIN;
    if (*at >= stream_length)
        return EG_EOF;
    *ret = json_pack("{s:I,s:s}", "at", (json_int_t)(*at)++, "pad",
                     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    return EG_OK;
}

static void done(void *stream)
{
    free(stream);
    streams_done++;
}

static enum eg_status op_stream(void *ctx, const json_t *request, struct eg_ctl_answer *answer,
                                struct eg_err *err)
{
    (void)ctx;
    (void)request;
    (void)err;
    streams_open++;
    *answer =
        (struct eg_ctl_answer){ .next = next, .done = done, .stream = calloc(1, sizeof(uint64_t)) };
    return EG_OK;
}

static const struct eg_ctl_handler handlers[] = {
    { "echo", op_echo },     { "fail", op_fail }, { "big", op_big },
    { "stream", op_stream }, { NULL, NULL },
};

static enum eg_status open_server(uint32_t request_ms, uint32_t idle_ms, struct eg_err *err)
{
    struct eg_ctl_config config = { .loop = loop,
                                    .path = path,
                                    .handlers = handlers,
                                    .request_ms = request_ms,
                                    .idle_ms = idle_ms };
    return eg_ctl_server_new(&config, &server, err);
}

static void setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/egress-ctl-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/c.sock", folder);
    cr_assert_eq(eg_loop_new(&loop, NULL), EG_OK);
    stream_length = 3;
}

static void teardown(void)
{
    eg_ctl_server_free(server);
    eg_loop_free(loop);
    server = NULL;
    unlink(path);
    rmdir(folder);
    cr_assert_eq(streams_open, streams_done);
}

static int dial(void)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    snprintf(at.sun_path, sizeof at.sun_path, "%.100s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static void tick(int n)
{
    for (int i = 0; i < n; i++)
        cr_assert_eq(eg_loop_tick(loop, 0, NULL), EG_OK);
}

static void say(int fd, const char *text)
{
    char frame[4096];
    uint32_t n = htonl((uint32_t)strlen(text));
    memcpy(frame, &n, 4);
    memcpy(frame + 4, text, strlen(text));
    cr_assert_eq(send(fd, frame, strlen(text) + 4, MSG_NOSIGNAL), (ssize_t)strlen(text) + 4);
}

/* The next answer, or NULL when the server closed. */
static json_t *hear(int fd, struct eg_buf *in)
{
    for (int i = 0; i < TICKS; i++) {
        json_t *m = NULL;
        char *p;
        if (eg_ctl_wire_take(in, &m, NULL) == EG_OK)
            return m;
        cr_assert_eq(eg_loop_tick(loop, 5, NULL), EG_OK);
        size_t room = eg_buf_room(in);
        cr_assert_eq(eg_buf_reserve(in, room, &p), EG_OK);
        ssize_t n = recv(fd, p, room, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return NULL;
        if (n > 0)
            eg_buf_commit(in, (size_t)n);
    }
    cr_assert_fail("no answer");
    return NULL;
}

static void expect(int fd, struct eg_buf *in, const char *text)
{
    json_t *m = hear(fd, in);
    cr_assert_not_null(m);
    char *got = json_dumps(m, JSON_COMPACT | JSON_ENSURE_ASCII);
    cr_assert(strstr(got, text), "%s has no %s", got, text);
    free(got);
    json_decref(m);
}

static void expect_closed(int fd)
{
    struct eg_buf in;
    eg_buf_init(&in, EG_CTL_IN_MAX);
    json_t *m = hear(fd, &in);
    cr_assert_null(m);
    eg_buf_done(&in);
    close(fd);
}

TestSuite(ctl_server, .init = setup, .fini = teardown);

Test(ctl_server, socket_is_0600_in_a_folder_of_0700)
{
    struct stat st;
    rmdir(folder);
    cr_assert_eq(open_server(0, 0, NULL), EG_OK);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert(S_ISSOCK(st.st_mode));
    cr_assert_eq(st.st_mode & 07777, 0600);
    cr_assert_eq(stat(folder, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0700);
    eg_ctl_server_free(server);
    server = NULL;
    cr_assert_eq(access(path, F_OK), -1, "the socket is removed at the end");
}

Test(ctl_server, folder_that_others_may_write_to_is_refused)
{
    cr_assert_eq(chmod(folder, 0777), 0);
    cr_assert_eq(open_server(0, 0, NULL), EG_PERMISSION);
    cr_assert_eq(access(path, F_OK), -1);
}

Test(ctl_server, stale_socket_of_a_killed_run_is_taken_over)
{
    int fd;
    cr_assert_eq(eg_ctl_listen(path, &fd, NULL), EG_OK);
    close(fd); /* as kill -9 leaves it: the file is there, nobody listens */
    cr_assert_eq(access(path, F_OK), 0);
    cr_assert_eq(open_server(0, 0, NULL), EG_OK);
}

Test(ctl_server, live_socket_of_another_is_left_alone)
{
    int fd;
    struct stat before, after;
    cr_assert_eq(eg_ctl_listen(path, &fd, NULL), EG_OK);
    stat(path, &before);
    cr_assert_eq(open_server(0, 0, NULL), EG_EXISTS);
    cr_assert_eq(stat(path, &after), 0);
    cr_assert_eq(before.st_ino, after.st_ino);
    close(fd);
}

Test(ctl_server, what_is_no_socket_is_left_alone)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    cr_assert_eq(open_server(0, 0, NULL), EG_EXISTS);
    cr_assert_eq(access(path, F_OK), 0);
}

Test(ctl_server, path_longer_than_a_socket_takes_is_refused)
{
    struct eg_err err = { 0 };
    memset(path, 'x', 120);
    path[0] = '/';
    path[120] = 0;
    cr_assert_eq(open_server(0, 0, &err), EG_TOO_BIG);
    cr_assert(strstr(err.text, "107"));
}

Test(ctl_server, answers_in_order_and_keeps_the_connection)
{
    struct eg_buf in;
    eg_buf_init(&in, EG_CTL_IN_MAX);
    cr_assert_eq(open_server(0, 0, NULL), EG_OK);
    int fd = dial();
    say(fd, "{\"v\":1,\"op\":\"echo\",\"n\":1}");
    say(fd, "{\"op\":\"fail\"}"); /* pipelined */
    say(fd, "{\"op\":\"echo\",\"n\":2}");
    expect(fd, &in, "{\"echo\":1}");
    expect(fd, &in, "not here");
    expect(fd, &in, "{\"echo\":2}");
    say(fd, "{\"op\":\"nothing\"}");
    expect(fd, &in, "there is no such request");
    close(fd);
    tick(3);
    cr_assert_eq(eg_ctl_server_clients(server), 0);
    eg_buf_done(&in);
}

Test(ctl_server, first_message_must_carry_the_version)
{
    static const char *const bad[] = { "{\"op\":\"echo\"}", "{\"v\":2,\"op\":\"echo\"}",
                                       "{\"v\":\"1\",\"op\":\"echo\"}" };
    cr_assert_eq(open_server(0, 0, NULL), EG_OK);
    for (int i = 0; i < 3; i++) {
        struct eg_buf in;
        eg_buf_init(&in, EG_CTL_IN_MAX);
        int fd = dial();
        say(fd, bad[i]);
        expect(fd, &in, "version 1");
        close(fd);
        eg_buf_done(&in);
    }
}

Test(ctl_server, garbage_gets_one_error_and_the_end)
{
    struct eg_buf in;
    eg_buf_init(&in, EG_CTL_IN_MAX);
    cr_assert_eq(open_server(0, 0, NULL), EG_OK);
    int fd = dial();
    cr_assert_eq(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 18);
    expect(fd, &in, "\"code\":\"too_big\"");
    expect_closed(fd);
    fd = dial();
    say(fd, "{\"v\":1,\"op\":");
    expect(fd, &in, "not a JSON object");
    expect_closed(fd);
    eg_buf_done(&in);
}

Test(ctl_server, answer_above_the_limit_is_an_error)
{
    struct eg_buf in;
    eg_buf_init(&in, EG_CTL_IN_MAX);
    cr_assert_eq(open_server(0, 0, NULL), EG_OK);
    int fd = dial();
    say(fd, "{\"v\":1,\"op\":\"big\"}");
    expect(fd, &in, "larger than a message");
    close(fd);
    eg_buf_done(&in);
}

Test(ctl_server, more_clients_than_the_ceiling_are_turned_away)
{
    int fds[EG_CTL_CLIENTS + 3];
    cr_assert_eq(open_server(0, 0, NULL), EG_OK);
    for (int i = 0; i < EG_CTL_CLIENTS + 3; i++) {
        fds[i] = dial();
        tick(2);
    }
    cr_assert_eq(eg_ctl_server_clients(server), EG_CTL_CLIENTS);
    for (int i = EG_CTL_CLIENTS; i < EG_CTL_CLIENTS + 3; i++)
        expect_closed(fds[i]);
    for (int i = 0; i < EG_CTL_CLIENTS; i++)
        close(fds[i]);
    tick(3);
    cr_assert_eq(eg_ctl_server_clients(server), 0);
}

Test(ctl_server, client_that_says_nothing_is_cut)
{
    cr_assert_eq(open_server(20, 10000, NULL), EG_OK);
    expect_closed(dial());
}

Test(ctl_server, half_a_request_is_cut_even_when_it_dribbles)
{
    cr_assert_eq(open_server(500, 10000, NULL), EG_OK);
    int fd = dial();
    char c;
    ssize_t n = -1;
    unsigned sent = 0;
    enum { ALL = 0xff00 };
    cr_assert_eq(send(fd, "\0\0\xff\0", 4, MSG_NOSIGNAL), 4); /* as many bytes are to come */
    uint64_t until = eg_clock_ms() + 20000;
    while (n != 0 && eg_clock_ms() < until) { /* a byte each tick does not extend the deadline */
        if (sent < ALL - 1)                   /* a fast machine would get all of it in */
            sent += send(fd, "x", 1, MSG_NOSIGNAL) == 1;
        cr_assert_eq(eg_loop_tick(loop, 2, NULL), EG_OK);
        n = recv(fd, &c, 1, 0);
        n = n < 0 && errno == ECONNRESET ? 0 : n; /* bytes of ours were unread */
    }
    cr_assert_eq(n, 0);
    cr_assert(sent > 1);
    close(fd);
}

Test(ctl_server, idle_client_is_cut)
{
    struct eg_buf in;
    eg_buf_init(&in, EG_CTL_IN_MAX);
    cr_assert_eq(open_server(10000, 20, NULL), EG_OK);
    int fd = dial();
    say(fd, "{\"v\":1,\"op\":\"echo\"}");
    expect(fd, &in, "echo");
    expect_closed(fd);
    eg_buf_done(&in);
}

Test(ctl_server, stream_goes_to_its_end_and_then_requests_go_on)
{
    struct eg_buf in;
    eg_buf_init(&in, EG_CTL_IN_MAX);
    cr_assert_eq(open_server(0, 0, NULL), EG_OK);
    int fd = dial();
    say(fd, "{\"v\":1,\"op\":\"stream\"}");
    say(fd, "{\"op\":\"echo\",\"n\":9}");
    expect(fd, &in, "\"at\":0");
    expect(fd, &in, "\"at\":1");
    expect(fd, &in, "\"at\":2");
    expect(fd, &in, "{\"echo\":9}");
    close(fd);
    eg_buf_done(&in);
}

Test(ctl_server, long_stream_is_whole)
{
    struct eg_buf in;
    eg_buf_init(&in, EG_CTL_IN_MAX);
    stream_length = 5000;
    cr_assert_eq(open_server(0, 0, NULL), EG_OK);
    int fd = dial();
    say(fd, "{\"v\":1,\"op\":\"stream\"}");
    for (int i = 0; i < 5000; i++) {
        json_t *m = hear(fd, &in);
        cr_assert_eq(json_integer_value(json_object_get(m, "at")), i);
        json_decref(m);
    }
    close(fd);
    eg_buf_done(&in);
}

Test(ctl_server, follower_hears_at_once_when_poked)
{
    struct eg_buf in;
    eg_buf_init(&in, EG_CTL_IN_MAX);
    stream_quiet = true;
    cr_assert_eq(open_server(10, 10, NULL), EG_OK);
    int fd = dial();
    say(fd, "{\"v\":1,\"op\":\"stream\"}");
    for (int i = 0; i < 20; i++) /* longer than both deadlines: a quiet follower stays */
        cr_assert_eq(eg_loop_tick(loop, 2, NULL), EG_OK);
    cr_assert_eq(eg_ctl_server_clients(server), 1);
    stream_quiet = false;
    eg_ctl_server_poke(server);
    expect(fd, &in, "\"at\":0");
    close(fd);
    eg_buf_done(&in);
}

Test(ctl_server, follower_that_leaves_is_forgotten)
{
    stream_quiet = true;
    cr_assert_eq(open_server(0, 0, NULL), EG_OK);
    int fd = dial();
    say(fd, "{\"v\":1,\"op\":\"stream\"}");
    tick(3);
    cr_assert_eq(streams_open, 1);
    close(fd);
    tick(3);
    cr_assert_eq(streams_done, 1);
    cr_assert_eq(eg_ctl_server_clients(server), 0);
}

Test(ctl_server, client_that_does_not_read_is_bounded_and_cut)
{
    stream_length = UINT64_MAX;
    cr_assert_eq(open_server(10000, 50, NULL), EG_OK);
    int fd = dial();
    say(fd, "{\"v\":1,\"op\":\"stream\"}");
    for (int i = 0; i < TICKS && streams_done == 0; i++)
        cr_assert_eq(eg_loop_tick(loop, 5, NULL), EG_OK);
    cr_assert_eq(streams_done, 1);
    close(fd);
}

Test(ctl_server, flood_behind_a_stream_is_cut)
{
    char junk[4096];
    stream_quiet = true;
    cr_assert_eq(open_server(0, 0, NULL), EG_OK);
    int fd = dial();
    say(fd, "{\"v\":1,\"op\":\"stream\"}");
    memset(junk, 0, sizeof junk);
    for (int i = 0; i < TICKS && streams_done == 0; i++) {
        (void)!send(fd, junk, sizeof junk, MSG_NOSIGNAL);
        tick(1);
    }
    cr_assert_eq(streams_done, 1);
    close(fd);
}

Test(ctl_server, clients_are_cut_when_the_server_ends)
{
    stream_quiet = true;
    cr_assert_eq(open_server(0, 0, NULL), EG_OK);
    int fd = dial();
    say(fd, "{\"v\":1,\"op\":\"stream\"}");
    tick(3);
    eg_ctl_server_free(server);
    server = NULL;
    cr_assert_eq(streams_done, 1);
    expect_closed(fd);
}

Test(ctl_server, client_library_finds_nobody)
{
    struct eg_ctl_client *c = NULL;
    cr_assert_eq(eg_ctl_client_open(path, &c, NULL), EG_NOT_FOUND);
    cr_assert_null(c);
    int fd;
    cr_assert_eq(eg_ctl_listen(path, &fd, NULL), EG_OK);
    close(fd);
    cr_assert_eq(eg_ctl_client_open(path, &c, NULL), EG_NOT_FOUND);
}

Test(ctl_server, client_library_speaks_to_the_server)
{
    struct eg_ctl_client *c = NULL;
    json_t *request = json_pack("{s:s,s:i}", "op", "echo", "n", 5), *reply = NULL;
    cr_assert_eq(open_server(0, 0, NULL), EG_OK);
    cr_assert_eq(eg_ctl_client_open(path, &c, NULL), EG_OK);
    cr_assert_eq(eg_ctl_client_send(c, request, NULL), EG_OK);
    cr_assert_eq(eg_ctl_client_receive(c, 0, &reply, NULL), EG_AGAIN);
    tick(3);
    cr_assert_eq(eg_ctl_client_receive(c, 1000, &reply, NULL), EG_OK);
    cr_assert_eq(json_integer_value(json_object_get(reply, "echo")), 5);
    json_decref(reply);
    json_decref(request);
    eg_ctl_server_free(server);
    server = NULL;
    cr_assert_eq(eg_ctl_client_receive(c, 1000, &reply, NULL), EG_EOF);
    eg_ctl_client_free(c);
}
