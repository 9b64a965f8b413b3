/* cmd_ssh_mux.c - the codec of OpenSSH's control socket against what is short, long or hostile, and
 * what is read from a master's stderr. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/ssh_mux.h"

static struct eg_buf in;

static void feed(const void *p, size_t n)
{
    eg_buf_done(&in);
    eg_buf_init(&in, EG_SSH_MUX_MAX + 512);
    cr_assert_eq(eg_buf_append(&in, p, n), EG_OK);
}

static enum eg_status answer_of(const void *p, size_t n, enum eg_ssh_mux_kind *kind)
{
    feed(p, n);
    return eg_ssh_mux_answer(&in, kind);
}

static void codec_teardown(void)
{
    eg_buf_done(&in);
}

#define BYTES(text) text, sizeof(text) - 1
static const char HELLO[] = "\0\0\0\10\0\0\0\1\0\0\0\4";
static const char OPENED[] = "\0\0\0\14\200\0\0\6\0\0\0\1\0\0\0\2";
static const char FAILURE[] = "\0\0\0\17\200\0\0\3\0\0\0\1\0\0\0\3why";
static const char DENIED[] = "\0\0\0\17\200\0\0\2\0\0\0\1\0\0\0\3why";

TestSuite(cmd_ssh_mux, .fini = codec_teardown);

Test(cmd_ssh_mux, request_is_hello_and_a_stdio_forward)
{
    static const char expected[] =
        "\0\0\0\10\0\0\0\1\0\0\0\4"
        "\0\0\0\36\20\0\0\10\0\0\0\1\0\0\0\0\0\0\0\12a.example.\0\0\1\273";
    struct eg_authority to = { .host = "a.example.", .host_len = 10, .port = 443 };
    eg_buf_init(&in, 512);
    cr_assert_eq(eg_ssh_mux_request(&to, &in), EG_OK);
    cr_assert_eq(in.len, sizeof expected - 1);
    cr_assert(memcmp(in.data + in.off, expected, in.len) == 0);
}

Test(cmd_ssh_mux, longest_name_fits)
{
    struct eg_authority to = { .host_len = EG_HOST_MAX, .port = 1 };
    memset(to.host, 'a', EG_HOST_MAX);
    eg_buf_init(&in, 512);
    cr_assert_eq(eg_ssh_mux_request(&to, &in), EG_OK);
}

Test(cmd_ssh_mux, answers_are_told_apart_and_taken_one_by_one)
{
    enum eg_ssh_mux_kind kind;
    char all[128];
    memcpy(all, BYTES(HELLO));
    memcpy(all + 12, BYTES(OPENED));
    feed(all, 28);
    cr_assert(eg_ssh_mux_answer(&in, &kind) == EG_OK && kind == EG_SSH_MUX_HELLO);
    cr_assert(eg_ssh_mux_answer(&in, &kind) == EG_OK && kind == EG_SSH_MUX_OPENED);
    cr_assert(eg_ssh_mux_answer(&in, &kind) == EG_AGAIN);
    cr_assert(answer_of(BYTES(FAILURE), &kind) == EG_OK && kind == EG_SSH_MUX_FAILURE);
    cr_assert(answer_of(BYTES(DENIED), &kind) == EG_OK && kind == EG_SSH_MUX_DENIED);
    cr_assert(answer_of(BYTES("\0\0\0\4\200\0\0\10"), &kind) == EG_OK && kind == EG_SSH_MUX_OTHER);
    /* extensions behind the version are none of ours */
    cr_assert(answer_of(BYTES("\0\0\0\13\0\0\0\1\0\0\0\4ext"), &kind) == EG_OK &&
              kind == EG_SSH_MUX_HELLO);
}

Test(cmd_ssh_mux, every_shorter_answer_waits)
{
    enum eg_ssh_mux_kind kind;
    for (size_t n = 0; n < sizeof FAILURE - 1; n++) {
        char *copy = malloc(n ? n : 1); /* exactly so long: the sanitizer sees a read behind it */
        memcpy(copy, FAILURE, n);
        cr_assert_eq(answer_of(copy, n, &kind), EG_AGAIN, "%zu bytes", n);
        free(copy);
    }
}

Test(cmd_ssh_mux, what_is_no_answer_of_ours_is_refused)
{
    enum eg_ssh_mux_kind kind;
    static const struct {
        const char *what, *p;
        size_t n;
    } bad[] = {
        { "no type", BYTES("\0\0\0\0") },
        { "half a type", BYTES("\0\0\0\3\0\0\0") },
        { "longer than the ceiling", BYTES("\0\0\17\375\200\0\0\3") },
        { "a huge length", BYTES("\377\377\377\377\200\0\0\3") },
        { "another version", BYTES("\0\0\0\10\0\0\0\1\0\0\0\5") },
        { "hello without a version", BYTES("\0\0\0\4\0\0\0\1") },
        { "opened for another request", BYTES("\0\0\0\14\200\0\0\6\0\0\0\2\0\0\0\2") },
        { "opened without a session", BYTES("\0\0\0\10\200\0\0\6\0\0\0\1") },
        { "opened with more", BYTES("\0\0\0\15\200\0\0\6\0\0\0\1\0\0\0\2x") },
        { "failure without a request", BYTES("\0\0\0\4\200\0\0\3") },
        { "denied without a request", BYTES("\0\0\0\6\200\0\0\2\0\0") },
        { "text", BYTES("HTTP/1.1 200 OK\r\n") },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(answer_of(bad[i].p, bad[i].n, &kind), EG_INVALID, "%s", bad[i].what);
}

/* ---- stderr ---- */

Test(cmd_ssh_said, reasons)
{
    static const struct {
        const char *line;
        enum eg_status status;
    } rows[] = {
        { "channel 2: open failed: connect failed: Connection refused", EG_SSH_REFUSED },
        { "channel 12: open failed: administratively prohibited: open failed", EG_SSH_PROHIBITED },
        { "channel 2: open failed: unknown channel type: ", EG_SSH_PROHIBITED },
        { "channel 2: open failed: connect failed: Name or service not known", EG_DNS_NOT_FOUND },
        { "channel 2: open failed: connect failed: Temporary failure in name resolution",
          EG_DNS_FAILED },
        { "channel 2: open failed: connect failed: Connection timed out", EG_CONNECT_TIMEOUT },
        { "channel 2: open failed: connect failed: No route to host", EG_HOST_UNREACHABLE },
        { "channel 2: open failed: connect failed: Network is unreachable", EG_NET_UNREACHABLE },
        { "channel 2: open failed: resource shortage: ", EG_SSH_REFUSED },
        { "channel 2: open failed: ", EG_SSH_REFUSED },
        { "channel : open failed: x", EG_OK },
        { "channel 2: open failed", EG_OK },
        { "Permission denied (publickey).", EG_OK },
        { "", EG_OK },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_assert_eq(eg_ssh_failure(eg_slice_str(rows[i].line)), rows[i].status, "%s",
                     rows[i].line);
}

static void say(struct eg_ssh_said *s, const char *text)
{
    eg_ssh_said_add(s, text, strlen(text));
}

Test(cmd_ssh_said, lines_come_in_pieces_and_are_made_printable)
{
    static struct eg_ssh_said s;
    say(&s, "chan");
    say(&s, "nel 3: open failed: administratively prohibited: open failed\r\nBye\x1b[2J\xc3\r\n");
    cr_assert_str_eq(s.last, "Bye?[2J?");
    cr_assert_eq(s.failure_count, 1);
    cr_assert_eq(eg_ssh_said_claim(&s), EG_SSH_PROHIBITED);
    cr_assert_eq(eg_ssh_said_claim(&s), EG_SSH_REFUSED, "nothing was said");
}

Test(cmd_ssh_said, long_lines_and_many_failures_are_bounded)
{
    static struct eg_ssh_said s;
    for (int i = 0; i < 10000; i++)
        say(&s, "x");
    say(&s, "\n");
    cr_assert_eq(strlen(s.last), EG_SSH_LINE_MAX);
    for (int i = 0; i < 2 * EG_SSH_FAILURES_MAX; i++)
        say(&s, "channel 1: open failed: connect failed: Connection refused\n");
    cr_assert_eq(s.failure_count, EG_SSH_FAILURES_MAX);
}

Test(cmd_ssh_said, different_reasons_at_once_are_given_to_nobody)
{
    static struct eg_ssh_said s;
    say(&s, "channel 1: open failed: connect failed: Connection refused\n"
            "channel 2: open failed: administratively prohibited: open failed\n"
            "channel 3: open failed: administratively prohibited: open failed\n");
    for (int i = 0; i < 3; i++)
        cr_assert_eq(eg_ssh_said_claim(&s), EG_SSH_REFUSED);
    say(&s, "channel 2: open failed: administratively prohibited: open failed\n"
            "channel 2: open failed: administratively prohibited: open failed\n");
    for (int i = 0; i < 2; i++)
        cr_assert_eq(eg_ssh_said_claim(&s), EG_SSH_PROHIBITED);
}
