/* cred_source.c - what a credential's value must be, and files as sources. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cred/cred.h"
#include "support/residue.h"

static char folder[64];
static struct eg_buf out;
static struct eg_err err;

static void enter(void)
{
    cr_assert_geq(sodium_init(), 0);
    snprintf(folder, sizeof folder, "/tmp/eg-source-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    eg_buf_init(&out, EG_CREDENTIAL_MAX + 2);
    eg_err_reset(&err);
}

static void leave(void)
{
    static const char *const names[] = { "key", "link", "fifo", "dir" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (unlink(names[i]) != 0)
            (void)rmdir(names[i]);
    cr_expect_eq(chdir("/"), 0);
    cr_expect_eq(rmdir(folder), 0);
    eg_buf_wipe(&out);
    eg_buf_done(&out);
}

#define SOURCE(name) Test(cred, source_##name, .init = enter, .fini = leave)

static void write_key(const void *p, size_t n, mode_t mode)
{
    unlink("key");
    int fd = open("key", O_WRONLY | O_CREAT | O_EXCL, 0600);
    cr_assert_geq(fd, 0);
    for (size_t at = 0; at < n;) {
        ssize_t w = write(fd, (const char *)p + at, n - at);
        cr_assert_gt(w, 0);
        at += (size_t)w;
    }
    cr_assert_eq(fchmod(fd, mode), 0);
    close(fd);
}

static enum eg_status read_key(const char *path)
{
    eg_buf_wipe(&out);
    eg_err_reset(&err);
    enum eg_status s = eg_source_file(path, false, &out, &err);
    if (s != EG_OK) {
        cr_expect_eq(out.len, 0, "a failure leaves nothing");
        cr_expect_eq(err.status, s);
        cr_expect(strstr(err.text, path), "%s names %s", err.text, path);
    }
    return s;
}

SOURCE(check_table)
{
    static const struct {
        struct eg_slice in;
        enum eg_status status;
        const char *value;
    } rows[] = {
        { EG_SLICE("key"), EG_OK, "key" },
        { EG_SLICE("key\n"), EG_OK, "key" },
        { EG_SLICE("key\r\n"), EG_OK, "key" },
        { EG_SLICE("a b"), EG_OK, "a b" },
        { EG_SLICE(" key "), EG_OK, " key " },
        { EG_SLICE("\xc3\xa9\xff"), EG_OK, "\xc3\xa9\xff" },
        { EG_SLICE("key\n\n"), EG_INVALID, NULL },
        { EG_SLICE("key\r"), EG_INVALID, NULL },
        { EG_SLICE("\nkey"), EG_INVALID, NULL },
        { EG_SLICE("a\nb"), EG_INVALID, NULL },
        { EG_SLICE("a\rb"), EG_INVALID, NULL },
        { EG_SLICE("a\0b"), EG_INVALID, NULL },
        { EG_SLICE("a\0"), EG_INVALID, NULL },
        { EG_SLICE("a\tb"), EG_INVALID, NULL },
        { EG_SLICE("a\x1b[2J"), EG_INVALID, NULL },
        { EG_SLICE("a\x7f"), EG_INVALID, NULL },
        { EG_SLICE(""), EG_NOT_FOUND, NULL },
        { EG_SLICE("\n"), EG_NOT_FOUND, NULL },
        { EG_SLICE("\r\n"), EG_NOT_FOUND, NULL },
        { EG_SLICE(" "), EG_NOT_FOUND, NULL },
        { EG_SLICE("   \n"), EG_NOT_FOUND, NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        eg_buf_wipe(&out);
        eg_err_reset(&err);
        cr_assert_eq(eg_buf_put(&out, rows[i].in), EG_OK);
        cr_expect_eq(eg_source_check(&out, false, &err), rows[i].status, "row %zu", i);
        if (rows[i].value) {
            cr_expect(eg_slice_eq(eg_buf_slice(&out), eg_slice_str(rows[i].value)), "row %zu", i);
        } else {
            cr_expect_eq(out.len, 0);
            cr_expect_eq(err.status, rows[i].status);
            for (size_t k = 0; k < out.cap; k++)
                cr_expect_eq(out.data[k], 0, "row %zu is wiped", i);
        }
    }
}

SOURCE(check_length)
{
    char text[EG_CREDENTIAL_MAX + 2];
    memset(text, 'x', sizeof text);
    cr_assert_eq(eg_buf_append(&out, text, EG_CREDENTIAL_MAX), EG_OK);
    cr_expect_eq(eg_source_check(&out, false, &err), EG_OK);
    cr_assert_eq(eg_buf_append(&out, "\n", 1), EG_OK);
    cr_expect_eq(eg_source_check(&out, false, &err), EG_OK);
    cr_expect_eq(out.len, (size_t)EG_CREDENTIAL_MAX);
    cr_assert_eq(eg_buf_append(&out, "x", 1), EG_OK);
    cr_expect_eq(eg_source_check(&out, false, &err), EG_TOO_BIG);
    cr_expect_eq(out.len, 0);
}

SOURCE(file_gives_its_value)
{
    write_key("sk-123\n", 7, 0600);
    cr_assert_eq(read_key("key"), EG_OK);
    cr_expect(eg_slice_eq(eg_buf_slice(&out), EG_SLICE("sk-123")));
    write_key("sk-123", 6, 0400);
    cr_assert_eq(read_key("key"), EG_OK);
    cr_expect(eg_slice_eq(eg_buf_slice(&out), EG_SLICE("sk-123")));
    write_key("sk", 2, 0711);
    cr_expect_eq(read_key("key"), EG_OK, "execute bits tell nobody anything");
}

SOURCE(file_that_others_may_open_is_refused)
{
    static const mode_t bad[] = { 0640, 0604, 0644, 0620, 0602, 0666, 0777, 0660 };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_key("k", 1, bad[i]);
        cr_expect_eq(read_key("key"), EG_PERMISSION, "mode %o", (unsigned)bad[i]);
    }
}

SOURCE(file_of_another_user_is_refused)
{
    if (geteuid() != 0)
        cr_skip("only root can give a file away");
    write_key("k", 1, 0600);
    cr_assert_eq(chown("key", 12345, 12345), 0);
    cr_expect_eq(read_key("key"), EG_PERMISSION);
    cr_expect(strstr(err.text, "another user"));
}

SOURCE(what_is_no_regular_file_is_refused_and_hangs_nobody)
{
    write_key("k", 1, 0600);
    cr_assert_eq(symlink("key", "link"), 0);
    cr_expect_eq(read_key("link"), EG_PERMISSION);
    cr_expect(strstr(err.text, "symbolic link"));
    cr_assert_eq(mkfifo("fifo", 0600), 0);
    cr_expect_eq(read_key("fifo"), EG_PERMISSION);
    cr_assert_eq(mkdir("dir", 0700), 0);
    cr_expect_eq(read_key("dir"), EG_PERMISSION);
    cr_expect_eq(read_key("/dev/zero"), EG_PERMISSION);
    cr_expect_eq(read_key("/dev/null"), EG_PERMISSION);
}

SOURCE(file_that_is_not_there)
{
    cr_expect_eq(read_key("missing"), EG_NOT_FOUND);
    cr_expect_eq(err.sys, ENOENT);
    write_key("k", 1, 0600);
    cr_expect_eq(read_key("key/below"), EG_IO);
    cr_expect_eq(err.sys, ENOTDIR);
}

SOURCE(file_with_a_bad_value)
{
    write_key("", 0, 0600);
    cr_expect_eq(read_key("key"), EG_NOT_FOUND);
    write_key(" \n", 2, 0600);
    cr_expect_eq(read_key("key"), EG_NOT_FOUND);
    cr_expect(strstr(err.text, "blank"));
    write_key("hidden-value\nb", 14, 0600);
    cr_expect_eq(read_key("key"), EG_INVALID);
    cr_expect_null(strstr(err.text, "hidden-value"), "an error shows no value");
    for (size_t k = 0; k < out.cap; k++)
        cr_expect_eq(out.data[k], 0);
}

SOURCE(file_lengths)
{
    static char text[EG_CREDENTIAL_MAX + 4];
    memset(text, 'x', sizeof text);
    write_key(text, EG_CREDENTIAL_MAX, 0600);
    cr_expect_eq(read_key("key"), EG_OK);
    cr_expect_eq(out.len, (size_t)EG_CREDENTIAL_MAX);
    write_key(text, EG_CREDENTIAL_MAX + 1, 0600);
    cr_expect_eq(read_key("key"), EG_TOO_BIG);
    write_key(text, EG_CREDENTIAL_MAX + 2, 0600);
    cr_expect_eq(read_key("key"), EG_TOO_BIG);
    write_key(text, sizeof text, 0600);
    cr_expect_eq(read_key("key"), EG_TOO_BIG);
    memcpy(text + EG_CREDENTIAL_MAX, "\r\n", 2);
    write_key(text, EG_CREDENTIAL_MAX + 2, 0600);
    cr_expect_eq(read_key("key"), EG_OK);
    cr_expect_eq(out.len, (size_t)EG_CREDENTIAL_MAX);
}

SOURCE(file_larger_than_the_callers_buffer)
{
    eg_buf_done(&out);
    eg_buf_init(&out, 8);
    write_key("12345678", 8, 0600);
    cr_expect_eq(read_key("key"), EG_OK);
    cr_expect_eq(out.len, 8);
    write_key("123456789", 9, 0600);
    cr_expect_eq(read_key("key"), EG_TOO_BIG);
    write_key("1234567\n", 8, 0600);
    cr_expect_eq(read_key("key"), EG_OK);
    cr_expect_eq(out.len, 7);
}

/* /proc/self/mem reads as EIO at 0: a regular file by its mode, of ours, that fails in the
 * middle. */
SOURCE(file_that_can_not_be_read)
{
    cr_expect_eq(read_key("/proc/self/mem"), EG_IO);
    cr_expect_eq(err.sys, EIO);
}

SOURCE(value_is_left_nowhere)
{
    struct residue r;
    char plain[RESIDUE_MAX + 1];
    residue_choose(&r, 40);
    for (unsigned bad = 0; bad < 2; bad++) {
        residue_reveal(&r, plain);
        plain[40] = bad ? '\t' : '\n';
        write_key(plain, 41, 0600);
        sodium_memzero(plain, sizeof plain);
        cr_assert_eq(residue_count(&r), 0);
        cr_expect_eq(read_key("key"), bad ? EG_INVALID : EG_OK);
        cr_expect_eq(residue_count(&r), bad ? 0 : 1, "one copy, in the caller's buffer");
        eg_buf_wipe(&out);
        cr_expect_eq(residue_count(&r), 0);
    }
}

/* ---- writing back ---- */

SOURCE(file_put_replaces_the_value_in_place)
{
    struct stat before, after;
    write_key("rt-1", 4, 0600);
    cr_assert_eq(stat("key", &before), 0);
    cr_assert_eq(eg_source_file_put("key", "rt-2-longer", 11, &err), EG_OK, "%s", err.text);
    cr_assert_eq(read_key("key"), EG_OK);
    cr_expect(eg_slice_eq(eg_buf_slice(&out), EG_SLICE("rt-2-longer")));
    cr_assert_eq(stat("key", &after), 0);
    cr_expect_eq(after.st_mode, before.st_mode);
    cr_expect_eq(after.st_uid, before.st_uid);
    cr_expect_eq(after.st_ino, before.st_ino, "what covers it from a child stays over it");
    char path[128];
    snprintf(path, sizeof path, "%s/key", folder);
    cr_expect_eq(eg_source_file_put(path, "rt-3", 4, &err), EG_OK, "a shorter one");
    cr_assert_eq(read_key("key"), EG_OK);
    cr_expect(eg_slice_eq(eg_buf_slice(&out), EG_SLICE("rt-3")));
}

SOURCE(file_put_judges_as_reading_does)
{
    cr_expect_eq(eg_source_file_put("key", "x", 1, &err), EG_NOT_FOUND);
    cr_expect_neq(access("key", F_OK), 0, "it makes none");
    write_key("old", 3, 0644);
    eg_err_reset(&err);
    cr_expect_eq(eg_source_file_put("key", "x", 1, &err), EG_PERMISSION);
    write_key("old", 3, 0600);
    cr_assert_eq(symlink("key", "link"), 0);
    eg_err_reset(&err);
    cr_expect_eq(eg_source_file_put("link", "x", 1, &err), EG_PERMISSION);
    cr_assert_eq(read_key("key"), EG_OK);
    cr_expect(eg_slice_eq(eg_buf_slice(&out), EG_SLICE("old")));
}
