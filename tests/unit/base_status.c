/* base_status.c - the list of outcomes, the detail of a failure, the log line and the clock. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

Test(base, status_rows_are_complete)
{
    for (int i = 0; i < EG_STATUS_COUNT; i++) {
        enum eg_status s = (enum eg_status)i;
        const char *name = egress_status_name(s);
        const char *sentence = egress_status_sentence(s);
        int http = egress_status_http(s);
        int socks = egress_status_socks(s);
        cr_expect(name[0] && strspn(name, "abcdefghijklmnopqrstuvwxyz_") == strlen(name), "%d", i);
        cr_expect(sentence[0] && sentence[strlen(sentence) - 1] != '.', "%s", name);
        cr_expect(http == 0 || (http >= 400 && http < 600) || s == EG_OK, "%s", name);
        cr_expect((socks >= 0 && socks <= 8) || socks == 0xff, "%s", name);
    }
}

Test(base, status_names_are_unique_but_for_one)
{
    for (int i = 0; i < EG_STATUS_COUNT; i++) {
        for (int k = i + 1; k < EG_STATUS_COUNT; k++) {
            bool twins = i == EG_NOT_SUPPORTED && k == EG_VERSION_NOT_SUPPORTED;
            bool same = strcmp(egress_status_name((enum eg_status)i),
                               egress_status_name((enum eg_status)k)) == 0;
            cr_expect_eq(same, twins, "%d %d", i, k);
        }
    }
}

Test(base, status_examples)
{
    cr_expect_str_eq(egress_status_name(EG_HOST_NOT_ALLOWED), "host_not_allowed");
    cr_expect_str_eq(egress_status_name(EG_EOF), "eof");
    cr_expect_eq(egress_status_http(EG_TOKEN_MISSING), 407);
    cr_expect_eq(egress_status_socks(EG_TOKEN_MISSING), 0xff);
    cr_expect_eq(egress_status_socks(EG_CONNECT_REFUSED), 5);
    cr_expect_eq(egress_status_class(EG_DNS_FAILED), EG_CLASS_RESOLVE);
    cr_expect_eq(egress_status_class(EG_OK), EG_CLASS_NONE);
}

Test(base, status_of_no_row)
{
    const int numbers[] = { EG_STATUS_COUNT, EG_STATUS_COUNT + 1, INT32_MAX, -1 };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        enum eg_status s;
        memcpy(&s, &numbers[i], sizeof s);
        cr_expect_str_eq(egress_status_name(s), "invalid");
        cr_expect_eq(egress_status_http(s), 500);
        cr_expect_eq(egress_status_socks(s), 1);
        cr_expect_eq(egress_status_class(s), EG_CLASS_INTERNAL);
        cr_expect(egress_status_sentence(s)[0]);
    }
}

Test(base, err_first_report_wins)
{
    struct eg_err err = { 0 };
    char text[300];
    cr_expect_eq(eg_err_set(&err, EG_IO, "tcp", ECONNRESET, "read of %d bytes", 7), EG_IO);
    cr_expect_eq(eg_err_set(&err, EG_TLS_FAILED, "tls", 0, "later"), EG_TLS_FAILED);
    cr_expect_eq(err.status, EG_IO);
    cr_expect_str_eq(eg_err_format(&err, text, sizeof text),
                     "tcp: read of 7 bytes: Connection reset by peer");
    eg_err_reset(&err);
    cr_expect_eq(err.status, EG_OK);
    cr_expect_eq(err.text[0], '\0');
    cr_expect_null(err.layer);
}

Test(base, err_none_is_allowed)
{
    eg_err_reset(NULL);
    cr_expect_eq(eg_err_set(NULL, EG_NOMEM, "dns", 0, "text"), EG_NOMEM);
}

Test(base, err_without_text_is_the_sentence)
{
    struct eg_err err = { 0 };
    char text[300];
    (void)eg_err_set(&err, EG_DNS_FAILED, "dns", 0, "%s", "");
    cr_expect_str_eq(eg_err_format(&err, text, sizeof text), "dns: the name could not be resolved");
    err = (struct eg_err){ .status = EG_DNS_FAILED };
    cr_expect_str_eq(eg_err_format(&err, text, sizeof text), "the name could not be resolved");
}

Test(base, err_text_is_cut_and_one_line)
{
    struct eg_err err = { 0 };
    char big[1000];
    char small[8];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    (void)eg_err_set(&err, EG_IO, "a", 0, "a\nb\x1b%s", big);
    cr_expect_eq(strlen(err.text), sizeof err.text - 1);
    cr_expect_eq(strncmp(err.text, "a?b?xx", 6), 0);
    cr_expect_str_eq(eg_err_format(&err, small, sizeof small), "a: a?b?");
    cr_expect_str_eq(eg_err_format(&err, small, 1), "");
    cr_expect_str_eq(eg_err_format(&err, small, 0), "");
}

/* What fn's message puts on stderr. */
static size_t captured(enum eg_log_level level, const char *text, char *out, size_t cap)
{
    int ends[2];
    int saved = dup(STDERR_FILENO);
    cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    dup2(ends[1], STDERR_FILENO);
    eg_log(level, "%s", text);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    ssize_t n = read(ends[0], out, cap - 1);
    close(ends[0]);
    out[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

Test(base, log_is_one_escaped_line)
{
    char want[300];
    char out[8192];
    captured(EG_LOG_WARN, "a\nb\x1b[31m\x9b\x7f", out, sizeof out);
    snprintf(want, sizeof want, "%s: warning: a\\x0ab\\x1b[31m\\x9b\\x7f\n",
             program_invocation_short_name);
    cr_expect_str_eq(out, want);
    errno = 77;
    cr_expect_gt(captured(EG_LOG_ERROR, "x", out, sizeof out), 0u);
    cr_expect(strstr(out, ": error: x\n"));
    cr_expect_eq(errno, 77);
}

Test(base, log_level)
{
    char out[8192];
    cr_expect_eq(captured(EG_LOG_DEBUG, "x", out, sizeof out), 0u);
    eg_log_set_level(EG_LOG_DEBUG);
    cr_expect_gt(captured(EG_LOG_DEBUG, "x", out, sizeof out), 0u);
    eg_log_set_level(EG_LOG_ERROR);
    cr_expect_eq(captured(EG_LOG_WARN, "x", out, sizeof out), 0u);
}

Test(base, log_longest_line)
{
    char out[8192];
    char text[3000];
    memset(text, '\x01', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    size_t n = captured(EG_LOG_ERROR, text, out, sizeof out);
    cr_expect_gt(n, 4u * 1023u);
    cr_expect_eq(out[n - 1], '\n');
    cr_expect_eq(strchr(out, '\n'), out + n - 1);
}

Test(base, clock_moves_forward)
{
    uint64_t a = eg_clock_ns();
    uint64_t ms = eg_clock_ms();
    uint64_t b = eg_clock_ns();
    cr_expect_leq(a, b);
    cr_expect(ms >= a / 1000000u && ms <= b / 1000000u);
    cr_expect_gt(eg_clock_wall_us(), UINT64_C(1700000000000000));
}

Test(base, clock_rfc3339)
{
    const struct {
        uint64_t us;
        const char *text;
    } rows[] = {
        { 0, "1970-01-01T00:00:00.000000Z" },
        { 1, "1970-01-01T00:00:00.000001Z" },
        { UINT64_C(951782399999999), "2000-02-28T23:59:59.999999Z" },
        { UINT64_C(951782400000000), "2000-02-29T00:00:00.000000Z" },
        { UINT64_C(2147483648000000), "2038-01-19T03:14:08.000000Z" },
        { UINT64_C(4107542400000000), "2100-03-01T00:00:00.000000Z" },
        { UINT64_C(253402300799999999), "9999-12-31T23:59:59.999999Z" },
        { UINT64_MAX, "9999-12-31T23:59:59.551615Z" },
    };
    char out[28];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect_str_eq(eg_clock_rfc3339(rows[i].us, out, sizeof out), rows[i].text);
}
