/* cmd_link.c - packets between supervisor and worker: every one that is not exactly what encode
 * makes is refused, queues are bounded, and a worker that sends what it should not ends its
 * link. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmd/ssh_ask.h"
#include "net/sock.h"

static struct eg_loop *loop;
static int pair[2];
static struct eg_link link_;
static unsigned messages, fds_seen;
static enum eg_link_kind last_kind;
static char last_a[512];
static bool closed, close_in_callback, keep_fd;
static enum eg_status closed_why;
static int kept = -1;

static void on_message(struct eg_link *l, const struct eg_link_message *m, int *fds,
                       unsigned fd_count)
{
    messages++;
    last_kind = m->kind;
    fds_seen += fd_count;
    snprintf(last_a, sizeof last_a, "%.*s", (int)m->a.n, m->a.p);
    if (keep_fd && fd_count) {
        kept = fds[0];
        fds[0] = -1;
    }
    if (close_in_callback)
        eg_link_close(l);
}

static void on_closed(struct eg_link *l, enum eg_status why)
{
    cr_assert(!l->open);
    closed = true;
    closed_why = why;
}

static void setup(void)
{
    cr_assert(sodium_init() >= 0);
    cr_assert_eq(eg_loop_new(&loop, NULL), EG_OK);
    cr_assert_eq(eg_sock_pair(pair, NULL), EG_OK);
    link_.message = on_message;
    link_.closed = on_closed;
}

static void open_link(size_t in_max, unsigned fd_max)
{
    cr_assert_eq(eg_link_open(&link_, loop, pair[0], in_max, fd_max, 1 << 20, NULL), EG_OK);
}

static void teardown(void)
{
    eg_link_close(&link_);
    close(pair[1]);
    eg_loop_free(loop);
}

static void tick(int n)
{
    for (int i = 0; i < n; i++)
        cr_assert_eq(eg_loop_tick(loop, 0, NULL), EG_OK);
}

static void encode(const struct eg_link_message *m, struct eg_buf *b)
{
    eg_buf_init(b, EG_LINK_TO_WORKER_MAX);
    cr_assert_eq(eg_link_encode(m, b), EG_OK);
}

static bool open_fd(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

TestSuite(cmd_link, .init = setup, .fini = teardown);

Test(cmd_link, message_keeps_every_member)
{
    struct eg_buf b;
    struct eg_link_message out = { .kind = EG_LINK_SESSION_PUT,
                                   .generation = 7,
                                   .status = EG_TLS_NAME,
                                   .flag = true,
                                   .at = { { 4, { 127, 0, 0, 1 } }, 3128 },
                                   .when_us = 12345678901234,
                                   .a = EG_SLICE("id"),
                                   .b = EG_SLICE("with\0nul"),
                                   .c = EG_SLICE("token"),
                                   .pair_count = 2,
                                   .pairs = { { "openai", "sk-1" }, { "x", "" } } };
    struct eg_link_message in;
    encode(&out, &b);
    cr_assert_eq(eg_link_decode(eg_buf_slice(&b), &in), EG_OK);
    cr_assert(in.kind == out.kind && in.generation == 7 && in.status == EG_TLS_NAME && in.flag);
    cr_assert(in.at.port == 3128 && eg_addr_eq(&in.at.addr, &out.at.addr) &&
              in.when_us == out.when_us);
    cr_assert(eg_slice_eq(in.a, out.a) && eg_slice_eq(in.b, out.b) && eg_slice_eq(in.c, out.c));
    cr_assert_eq(in.pair_count, 2);
    cr_assert_str_eq(in.pairs[0].service, "openai");
    cr_assert_str_eq(in.pairs[0].phantom, "sk-1");
    cr_assert_str_eq(in.pairs[1].phantom, "");
    eg_buf_done(&b);
}

Test(cmd_link, listener_and_channel_keep_every_member)
{
    struct eg_buf b;
    struct eg_link_message in, out = { .kind = EG_LINK_LISTENER,
                                       .ingress = EG_INGRESS_OPEN,
                                       .protocols = EG_PROTOCOL_SOCKS,
                                       .auth = EG_AUTH_CLIENT_CERT,
                                       .flag = true,
                                       .a = EG_SLICE("cert"),
                                       .b = EG_SLICE("key"),
                                       .c = EG_SLICE("ca"),
                                       .pair_count = 1,
                                       .pairs = { { "spiffe://a/b", "build" } } };
    encode(&out, &b);
    cr_assert_eq(eg_link_decode(eg_buf_slice(&b), &in), EG_OK);
    cr_assert(in.at.addr.family == 0 && in.flag && in.protocols == EG_PROTOCOL_SOCKS &&
              in.auth == EG_AUTH_CLIENT_CERT && eg_slice_eq(in.c, out.c) &&
              in.ingress == EG_INGRESS_OPEN);
    cr_assert_str_eq(in.pairs[0].service, "spiffe://a/b");
    eg_buf_done(&b);
    out = (struct eg_link_message){ .kind = EG_LINK_CHANNEL_ASK,
                                    .id = UINT64_MAX - 1,
                                    .a = EG_SLICE("[2001:db8::1]:22"),
                                    .b = EG_SLICE("jane"),
                                    .c = EG_SLICE("a.example:443") };
    encode(&out, &b);
    cr_assert_eq(eg_link_decode(eg_buf_slice(&b), &in), EG_OK);
    cr_assert(in.id == UINT64_MAX - 1 && eg_slice_eq(in.a, out.a) && eg_slice_eq(in.c, out.c));
    eg_buf_done(&b);
}

Test(cmd_link, longest_ask_for_a_channel_fits_into_what_a_worker_may_send)
{
    struct eg_buf b;
    char text[EG_AUTHORITY_TEXT], user[EG_SSH_USER_MAX];
    struct eg_authority to = { .host_len = EG_HOST_MAX, .port = 65535 };
    memset(to.host, 'a', EG_HOST_MAX);
    memset(user, 'u', sizeof user);
    eg_authority_format(&to, 0, text, sizeof text);
    struct eg_link_message out = { .kind = EG_LINK_CHANNEL_ASK,
                                   .a = eg_slice_str(text),
                                   .b = eg_slice(user, sizeof user),
                                   .c = eg_slice_str(text) };
    encode(&out, &b);
    cr_assert_leq(b.len, (size_t)EG_LINK_FROM_WORKER_MAX);
    eg_buf_done(&b);
}

Test(cmd_link, message_above_the_ceiling_says_so)
{
    static char big[EG_LINK_TO_WORKER_MAX];
    struct eg_err err = { 0 };
    struct eg_link_message m = { .kind = EG_LINK_LISTENER, .a = eg_slice(big, sizeof big) };
    memset(big, 'x', sizeof big);
    open_link(EG_LINK_FROM_WORKER_MAX, 0);
    cr_assert_eq(eg_link_send(&link_, &m, NULL, 0, &err), EG_TOO_BIG);
    cr_assert(strstr(err.text, "bytes"), "%s", err.text);
}

Test(cmd_link, statistics_travel)
{
    struct eg_buf b;
    struct eg_link_message out = { .kind = EG_LINK_STATS,
                                   .stats = { .connections = 9, .tls_resumed = 3 } },
                           in;
    encode(&out, &b);
    cr_assert_eq(eg_link_decode(eg_buf_slice(&b), &in), EG_OK);
    cr_assert(in.stats.connections == 9 && in.stats.tls_resumed == 3);
    eg_buf_done(&b);
}

Test(cmd_link, every_shorter_and_longer_packet_is_refused)
{
    struct eg_buf b;
    struct eg_link_message out = { .kind = EG_LINK_SESSION_PUT,
                                   .a = EG_SLICE("id"),
                                   .pair_count = 1,
                                   .pairs = { { "s", "p" } } },
                           in;
    encode(&out, &b);
    for (size_t n = 0; n < b.len; n++) {
        char *copy = malloc(n ? n : 1); /* exactly so long: the sanitizer sees a read behind it */
        memcpy(copy, b.data, n);
        cr_assert_eq(eg_link_decode(eg_slice(copy, n), &in), EG_INVALID, "%zu bytes", n);
        free(copy);
    }
    cr_assert_eq(eg_buf_append(&b, "", 1), EG_OK);
    cr_assert_eq(eg_link_decode(eg_buf_slice(&b), &in), EG_INVALID);
    eg_buf_done(&b);
}

Test(cmd_link, any_changed_byte_is_refused_or_harmless)
{
    struct eg_buf b;
    struct eg_link_message out = { .kind = EG_LINK_REFUSED,
                                   .status = EG_IO,
                                   .a = EG_SLICE("why"),
                                   .pair_count = 1,
                                   .pairs = { { "s", "p" } } },
                           in;
    encode(&out, &b);
    for (size_t i = 0; i < b.len; i++)
        for (int bit = 0; bit < 8; bit++) {
            b.data[i] ^= (char)(1 << bit);
            if (eg_link_decode(eg_buf_slice(&b), &in) == EG_OK) {
                cr_assert(in.status < EG_STATUS_COUNT && in.pair_count <= EG_LINK_PAIRS);
                cr_assert(in.a.n <= b.len && memchr(in.a.p, 0, in.a.n + 1) == in.a.p + in.a.n);
            }
            b.data[i] ^= (char)(1 << bit);
        }
    eg_buf_done(&b);
}

Test(cmd_link, more_pairs_than_the_ceiling_are_refused)
{
    struct eg_buf b;
    struct eg_link_message out = { .kind = EG_LINK_SESSION_PUT, .pair_count = EG_LINK_PAIRS + 1 };
    eg_buf_init(&b, EG_LINK_TO_WORKER_MAX);
    cr_assert_eq(eg_link_encode(&out, &b), EG_TOO_BIG);
    eg_buf_done(&b);
}

Test(cmd_link, largest_session_fits_into_a_packet)
{
    static char service[65], phantom[513];
    struct eg_link_message out = { .kind = EG_LINK_SESSION_PUT, .pair_count = EG_LINK_PAIRS };
    memset(service, 's', 64);
    memset(phantom, 'p', 512);
    for (int i = 0; i < EG_LINK_PAIRS; i++)
        out.pairs[i] = (struct eg_session_phantom){ service, phantom };
    open_link(EG_LINK_TO_WORKER_MAX, 0);
    struct eg_link other = { .message = on_message, .closed = on_closed };
    cr_assert_eq(eg_link_open(&other, loop, dup(pair[1]), EG_LINK_TO_WORKER_MAX, 0, 1 << 20, NULL),
                 EG_OK);
    cr_assert_eq(eg_link_send(&link_, &out, NULL, 0, NULL), EG_OK);
    tick(2);
    cr_assert_eq(messages, 1);
    eg_link_close(&other);
}

Test(cmd_link, garbage_from_a_worker_ends_the_link)
{
    open_link(EG_LINK_FROM_WORKER_MAX, 0);
    cr_assert_eq(send(pair[1], "hello", 5, 0), 5);
    tick(2);
    cr_assert(closed && closed_why == EG_INVALID && messages == 0);
}

Test(cmd_link, packet_above_the_ceiling_ends_the_link)
{
    struct eg_buf b;
    static char big[EG_LINK_FROM_WORKER_MAX];
    memset(big, 'x', sizeof big);
    struct eg_link_message m = { .kind = EG_LINK_WARN, .a = eg_slice(big, sizeof big) };
    encode(&m, &b);
    open_link(EG_LINK_FROM_WORKER_MAX, 0);
    cr_assert_eq(send(pair[1], b.data, b.len, 0), (ssize_t)b.len);
    tick(2);
    cr_assert(closed && closed_why == EG_TOO_BIG && messages == 0);
    eg_buf_done(&b);
}

Test(cmd_link, descriptor_from_a_worker_ends_the_link_and_is_closed)
{
    struct eg_buf b;
    struct eg_link_message m = { .kind = EG_LINK_READY };
    encode(&m, &b);
    open_link(EG_LINK_FROM_WORKER_MAX, 0);
    int fds[1] = { open("/dev/null", O_RDONLY | O_CLOEXEC) };
    int next = dup(fds[0]);
    close(next);
    cr_assert_eq(eg_sock_send_fds(pair[1], b.data, b.len, fds, 1, NULL), EG_OK);
    tick(2);
    cr_assert(closed && messages == 0);
    cr_assert(!open_fd(next), "the descriptor that came was closed");
    close(fds[0]);
    eg_buf_done(&b);
}

Test(cmd_link, end_of_the_other_side_is_told_after_its_last_words)
{
    struct eg_buf b;
    struct eg_link_message m = { .kind = EG_LINK_WARN, .a = EG_SLICE("bye") };
    encode(&m, &b);
    open_link(EG_LINK_FROM_WORKER_MAX, 0);
    cr_assert_eq(send(pair[1], b.data, b.len, 0), (ssize_t)b.len);
    shutdown(pair[1], SHUT_RDWR);
    tick(2);
    cr_assert(closed && closed_why == EG_EOF && messages == 1);
    cr_assert_str_eq(last_a, "bye");
    eg_buf_done(&b);
}

Test(cmd_link, link_may_be_closed_from_its_callback)
{
    struct eg_buf b;
    struct eg_link_message m = { .kind = EG_LINK_READY };
    encode(&m, &b);
    open_link(EG_LINK_FROM_WORKER_MAX, 0);
    close_in_callback = true;
    for (int i = 0; i < 3; i++)
        cr_assert_eq(send(pair[1], b.data, b.len, 0), (ssize_t)b.len);
    tick(3);
    cr_assert(messages == 1 && !closed && !link_.open);
    eg_buf_done(&b);
}

Test(cmd_link, descriptors_go_along_and_the_rest_is_closed)
{
    struct eg_link_message m = { .kind = EG_LINK_POLICY };
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC), fds[2] = { null, null };
    struct eg_link other = { .message = on_message, .closed = on_closed };
    open_link(EG_LINK_FROM_WORKER_MAX, 0);
    cr_assert_eq(eg_link_open(&other, loop, dup(pair[1]), EG_LINK_TO_WORKER_MAX, 2, 1 << 20, NULL),
                 EG_OK);
    keep_fd = true;
    cr_assert_eq(eg_link_send(&link_, &m, fds, 2, NULL), EG_OK);
    tick(2);
    cr_assert_eq(fds_seen, 2);
    cr_assert(kept >= 0 && open_fd(kept));
    close(kept);
    close(null);
    eg_link_close(&other);
}

Test(cmd_link, queue_keeps_order_and_descriptors_when_the_other_side_is_slow)
{
    enum { COUNT = 3000 };
    char text[16];
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    open_link(EG_LINK_FROM_WORKER_MAX, 0);
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "%d", i);
        struct eg_link_message m = { .kind = EG_LINK_SESSION_REVOKE, .a = eg_slice_str(text) };
        cr_assert_eq(eg_link_send(&link_, &m, &null, i == COUNT - 1, NULL), EG_OK);
    }
    cr_assert(link_.queued > 0, "the socket took all: the test shows nothing");
    close(null); /* queued ones were duplicated */
    struct eg_link other = { .message = on_message, .closed = on_closed };
    cr_assert_eq(eg_link_open(&other, loop, dup(pair[1]), EG_LINK_TO_WORKER_MAX, 1, 1 << 20, NULL),
                 EG_OK);
    for (int i = 0; i < COUNT && messages < COUNT; i++)
        tick(1);
    cr_assert_eq(messages, COUNT);
    cr_assert_str_eq(last_a, "2999");
    cr_assert_eq(fds_seen, 1);
    cr_assert_eq(link_.queued, 0);
    eg_link_close(&other);
}

Test(cmd_link, full_queue_is_an_error_and_not_memory)
{
    static char big[EG_CREDENTIAL_MAX];
    struct eg_link_message m = { .kind = EG_LINK_CREDENTIAL,
                                 .a = EG_SLICE("x"),
                                 .b = eg_slice(big, sizeof big) };
    enum eg_status status = EG_OK;
    open_link(EG_LINK_FROM_WORKER_MAX, 0);
    for (int i = 0; i < 1000 && status == EG_OK; i++)
        status = eg_link_send(&link_, &m, NULL, 0, NULL);
    cr_assert_eq(status, EG_TOO_BIG);
    cr_assert(link_.queued <= 1 << 20);
}

Test(cmd_link, sending_to_one_that_is_gone_is_closed)
{
    struct eg_link_message m = { .kind = EG_LINK_DRAIN };
    open_link(EG_LINK_FROM_WORKER_MAX, 0);
    shutdown(pair[1], SHUT_RDWR);
    cr_assert_eq(eg_link_send(&link_, &m, NULL, 0, NULL), EG_CLOSED);
    eg_link_close(&link_);
    cr_assert_eq(eg_link_send(&link_, &m, NULL, 0, NULL), EG_CLOSED);
}
