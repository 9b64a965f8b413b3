/* cred_places.c - credentials from the kernel's keyrings and from systemd's folder. Where the
 * kernel lets nobody use its keys the tests are skipped, with the reason. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cred/cred.h"

static struct eg_buf out;
static struct eg_err err;

static void enter(void)
{
    cr_assert_geq(sodium_init(), 0);
    eg_buf_init(&out, EG_CREDENTIAL_MAX + 2);
    eg_err_reset(&err);
}

static void leave(void)
{
    eg_buf_wipe(&out);
    eg_buf_done(&out);
}

#define PLACE(name) Test(cred, name, .init = enter, .fini = leave)

static bool got(const char *text)
{
    return eg_slice_eq(eg_buf_slice(&out), eg_slice_str(text));
}

/* ---- kernel ---- */

static char named[64]; /* no other test's, nor anybody's */

static long key_add(long ring, const void *p, size_t n)
{
    return syscall(SYS_add_key, "user", named, p, n, ring);
}

static long control(int op, long a, long b)
{
    return syscall(SYS_keyctl, op, a, b, 0, 0);
}

/* A session keyring of the test's own, in which only what it adds is. */
static void own_session(void)
{
    snprintf(named, sizeof named, "egress-test:%d", (int)getpid());
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0)
        cr_skip("this system lets nobody use the kernel's keys: %s", strerror(errno));
}

static enum eg_status ask(const char *description)
{
    eg_buf_wipe(&out);
    eg_err_reset(&err);
    return eg_source_kernel(description, false, &out, &err);
}

PLACE(kernel_session_keyring)
{
    own_session();
    cr_expect_eq(ask(named), EG_NOT_FOUND);
    cr_expect(strstr(err.text, named), "%s", err.text);
    cr_assert_geq(key_add(KEY_SPEC_SESSION_KEYRING, "sk-kernel\n", 10), 0);
    cr_expect_eq(ask(named), EG_OK, "%s", err.text);
    cr_expect(got("sk-kernel"));
    cr_assert_geq(key_add(KEY_SPEC_SESSION_KEYRING, "a\0b", 3), 0);
    cr_expect_eq(ask(named), EG_INVALID);
    cr_expect_eq(out.len, 0);
}

PLACE(kernel_user_keyring_that_the_session_does_not_possess)
{
    own_session();
    long key = key_add(KEY_SPEC_USER_KEYRING, "sk-user", 7);
    if (key < 0)
        cr_skip("no key may be put into the user keyring: %s", strerror(errno));
    enum eg_status s = ask(named);
    control(KEYCTL_UNLINK, key, KEY_SPEC_USER_KEYRING);
    cr_expect_eq(s, EG_OK, "%s", err.text);
    cr_expect(got("sk-user"));
}

PLACE(kernel_session_comes_before_user)
{
    own_session();
    long key = key_add(KEY_SPEC_USER_KEYRING, "sk-user", 7);
    cr_assert_geq(key_add(KEY_SPEC_SESSION_KEYRING, "sk-session", 10), 0);
    enum eg_status s = ask(named);
    if (key >= 0)
        control(KEYCTL_UNLINK, key, KEY_SPEC_USER_KEYRING);
    cr_expect_eq(s, EG_OK, "%s", err.text);
    cr_expect(got("sk-session"));
}

PLACE(kernel_revoked_key_is_not_found)
{
    own_session();
    long key = key_add(KEY_SPEC_SESSION_KEYRING, "sk-old", 6);
    cr_assert_geq(key, 0);
    cr_assert_eq(control(KEYCTL_REVOKE, key, 0), 0);
    cr_expect_eq(ask(named), EG_NOT_FOUND);
    cr_expect(strstr(err.text, "revoked"), "%s", err.text);
}

PLACE(kernel_long_key_is_refused)
{
    static char big[EG_CREDENTIAL_MAX + 3];
    own_session();
    memset(big, 'k', sizeof big);
    if (key_add(KEY_SPEC_SESSION_KEYRING, big, sizeof big) < 0)
        cr_skip("the quota of keys is smaller: %s", strerror(errno));
    cr_expect_eq(ask(named), EG_TOO_BIG);
    cr_expect_eq(out.len, 0);
    cr_assert_geq(key_add(KEY_SPEC_SESSION_KEYRING, big, EG_CREDENTIAL_MAX), 0);
    cr_expect_eq(ask(named), EG_OK);
    cr_expect_eq(out.len, EG_CREDENTIAL_MAX);
}

/* ---- systemd ---- */

static char folder[64];

static void put(const char *name, const char *text, mode_t mode)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(fchmod(fd, mode), 0);
    close(fd);
}

static enum eg_status systemd(const char *name)
{
    eg_buf_wipe(&out);
    eg_err_reset(&err);
    return eg_source_systemd(folder, name, false, &out, &err);
}

PLACE(systemd_folder_by_hand)
{
    static const struct {
        mode_t mode;
        enum eg_status status;
    } rows[] = {
        { 0400, EG_OK },         { 0440, EG_OK },         { 0600, EG_OK },
        { 0640, EG_PERMISSION }, { 0404, EG_PERMISSION }, { 0444, EG_PERMISSION },
        { 0460, EG_PERMISSION }, { 0402, EG_PERMISSION }, { 0644, EG_PERMISSION },
    };
    snprintf(folder, sizeof folder, "/tmp/eg-systemd-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put("key", "sk-systemd\n", rows[i].mode);
        cr_expect_eq(systemd("key"), rows[i].status, "mode %o: %s", rows[i].mode, err.text);
        cr_expect(rows[i].status != EG_OK || got("sk-systemd"));
    }
    cr_expect(strstr(err.text, "systemd:key"), "%s", err.text);
    cr_expect_eq(systemd("other"), EG_NOT_FOUND);
    cr_expect_eq(systemd("../key"), EG_INVALID);
    cr_expect_eq(systemd(".."), EG_INVALID);
    cr_expect_eq(systemd(""), EG_INVALID);
    char path[128];
    snprintf(path, sizeof path, "%s/link", folder);
    cr_assert_eq(symlink("key", path), 0);
    cr_expect_eq(systemd("link"), EG_PERMISSION);
    unlink(path);
    snprintf(path, sizeof path, "%s/key", folder);
    unlink(path);
    cr_expect_eq(rmdir(folder), 0);
}

PLACE(systemd_needs_its_folder)
{
    cr_expect_eq(eg_source_systemd(NULL, "key", false, &out, &err), EG_CREDENTIAL_UNAVAILABLE);
    cr_expect(strstr(err.text, "CREDENTIALS_DIRECTORY"), "%s", err.text);
    eg_err_reset(&err);
    cr_expect_eq(eg_source_systemd("relative", "key", false, &out, &err),
                 EG_CREDENTIAL_UNAVAILABLE);
}
