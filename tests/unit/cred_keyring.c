/* cred_keyring.c - secrets from the Secret Service: a real gnome-keyring without a screen, and
 * a service that misbehaves in every way that the client must bound. Skipped, with the reason,
 * where the programs are not installed. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "cred/cred.h"
#include "support/keyring.h"
#include "support/residue.h"

enum { LONG_MS = 20000, SHORT_MS = 150 };

static struct keyring_bus bus;
static struct eg_buf out;
static struct eg_err err;

static void enter(void)
{
    cr_assert_geq(sodium_init(), 0);
    eg_buf_init(&out, EG_CREDENTIAL_MAX + 2);
    keyring_bus_start(&bus);
}

static void leave(void)
{
    keyring_stop(&bus);
    eg_buf_wipe(&out);
    eg_buf_done(&out);
}

#define KEYRING(name) Test(cred, keyring_##name, .init = enter, .fini = leave)

static void need_bus(void)
{
    if (bus.missing)
        cr_skip("%s", bus.missing);
}

static enum eg_status ask(const char *service, const char *account, uint64_t ms)
{
    uint64_t start = eg_clock_ms();
    eg_buf_wipe(&out);
    eg_err_reset(&err);
    enum eg_status s = eg_source_keyring(service, account, start + ms, false, &out, &err);
    cr_expect_lt(eg_clock_ms(), start + ms + 20000, "the deadline holds");
    cr_expect_eq(err.status, s);
    if (s != EG_OK) {
        cr_expect_eq(out.len, 0);
        cr_expect_neq(err.text[0], '\0');
        cr_expect_null(strstr(err.text, "text of the peer"));
    }
    return s;
}

static bool got(const char *value)
{
    return eg_slice_eq(eg_buf_slice(&out), eg_slice_str(value));
}

/* A new bus for the next row. */
static void again(size_t row)
{
    if (row == 0)
        return;
    keyring_stop(&bus);
    keyring_bus_start(&bus);
}

#define FAKE(...) ((struct fake_service){ .found = true, __VA_ARGS__ })

static void serve(struct fake_service f)
{
    if (!f.secret) {
        f.secret = "s3cret";
        f.secret_len = 6;
    }
    need_bus();
    keyring_fake_start(&bus, &f);
    need_bus();
}

/* ---- the real one ---- */

static void gnome(void)
{
    need_bus();
    keyring_gnome_start(&bus);
    need_bus();
}

KEYRING(gnome_gives_an_item)
{
    gnome();
    cr_assert(keyring_gnome_store("openai", "work", "sk-live-1", 9));
    cr_assert(keyring_gnome_store("openai", "home", "sk-live-2\n", 10));
    cr_assert(keyring_gnome_store("blank", "a", " \n", 2));
    cr_assert(keyring_gnome_store("lines", "a", "a\nb", 3));
    cr_expect_eq(ask("openai", "work", LONG_MS), EG_OK, "%s", err.text);
    cr_expect(got("sk-live-1"));
    cr_expect_eq(ask("openai", "home", LONG_MS), EG_OK);
    cr_expect(got("sk-live-2"));
    cr_expect_eq(ask("openai", NULL, LONG_MS), EG_OK);
    cr_expect_eq(ask("openai", "nobody", LONG_MS), EG_NOT_FOUND);
    cr_expect(strstr(err.text, "openai/nobody"));
    cr_expect_eq(ask("nothing", "work", LONG_MS), EG_NOT_FOUND);
    cr_expect_eq(ask("blank", "a", LONG_MS), EG_NOT_FOUND);
    cr_expect(strstr(err.text, "blank/a") && strstr(err.text, "is blank"), "%s", err.text);
    cr_expect_eq(ask("lines", "a", LONG_MS), EG_INVALID);
}

KEYRING(gnome_locked_without_a_screen)
{
    gnome();
    cr_assert(keyring_gnome_store("openai", "work", "sk-live-1", 9));
    cr_assert(keyring_gnome_lock());
    cr_expect_eq(ask("openai", "work", 2000), EG_CREDENTIAL_UNAVAILABLE);
    cr_expect(strstr(err.text, "locked"), "%s", err.text);
}

/* ---- the one that misbehaves ---- */

KEYRING(item_by_both_attributes_or_service)
{
    serve(FAKE(.locked = false));
    cr_expect_eq(ask("svc", "acc", LONG_MS), EG_OK, "%s", err.text);
    cr_expect(got("s3cret"));
    cr_expect_eq(ask("svc", "", LONG_MS), EG_OK);
    cr_expect_eq(ask("svc", "other", LONG_MS), EG_NOT_FOUND);
    cr_expect_eq(ask("other", "acc", LONG_MS), EG_NOT_FOUND);
}

KEYRING(locked_and_opened_without_asking)
{
    serve(FAKE(.locked = true));
    cr_expect_eq(ask("svc", "acc", LONG_MS), EG_OK, "%s", err.text);
    cr_expect(got("s3cret"));
}

KEYRING(prompt_that_is_granted)
{
    serve(FAKE(.locked = true, .prompt = PROMPT_GRANTED));
    cr_expect_eq(ask("svc", "acc", LONG_MS), EG_OK, "%s", err.text);
    cr_expect(got("s3cret"));
}

KEYRING(prompt_that_is_dismissed)
{
    serve(FAKE(.locked = true, .prompt = PROMPT_DISMISSED));
    cr_expect_eq(ask("svc", "acc", LONG_MS), EG_CREDENTIAL_UNAVAILABLE);
    cr_expect(strstr(err.text, "dismissed"));
}

KEYRING(prompt_that_ends_strangely)
{
    serve(FAKE(.locked = true, .prompt = PROMPT_GARBLED));
    cr_expect_eq(ask("svc", "acc", LONG_MS), EG_CREDENTIAL_UNAVAILABLE);
}

KEYRING(prompt_that_nobody_answers_is_taken_away)
{
    serve(FAKE(.locked = true, .prompt = PROMPT_NEVER));
    cr_expect_eq(ask("svc", "acc", SHORT_MS), EG_CREDENTIAL_UNAVAILABLE);
    cr_expect(strstr(err.text, "nobody unlocked it in time"), "%s", err.text);
    cr_expect(keyring_fake_dismissed(&bus));
}

KEYRING(values_are_checked)
{
    static char large[EG_CREDENTIAL_MAX + 3];
    memset(large, 'x', sizeof large);
    static const struct {
        const char *text;
        size_t n;
        enum eg_status status;
    } rows[] = {
        { "", 0, EG_NOT_FOUND },       { "  ", 2, EG_NOT_FOUND },
        { "a\0b", 3, EG_INVALID },     { "a\r\nb", 4, EG_INVALID },
        { large, EG_CREDENTIAL_MAX, EG_OK }, { large, EG_CREDENTIAL_MAX + 1, EG_TOO_BIG },
        { large, sizeof large, EG_TOO_BIG },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        again(i);
        serve(FAKE(.secret = rows[i].text, .secret_len = rows[i].n));
        cr_expect_eq(ask("svc", "acc", LONG_MS), rows[i].status, "row %zu: %s", i, err.text);
    }
}

KEYRING(value_larger_than_the_callers_buffer)
{
    serve(FAKE(.locked = false));
    eg_buf_done(&out);
    eg_buf_init(&out, 5);
    cr_expect_eq(ask("svc", "acc", LONG_MS), EG_TOO_BIG);
}

static const char *const members[] = { "OpenSession", "SearchItems", "Unlock", "Prompt",
                                       "GetSecret" };

KEYRING(silence_ends_at_the_deadline)
{
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        again(i);
        serve(FAKE(.locked = true, .prompt = PROMPT_GRANTED, .silent_on = members[i]));
        cr_expect_eq(ask("svc", "acc", SHORT_MS), EG_CREDENTIAL_UNAVAILABLE, "%s", members[i]);
        cr_expect(strstr(err.text, "in time"), "%s: %s", members[i], err.text);
    }
}

KEYRING(errors_are_told_in_our_words)
{
    struct fake_service f = FAKE(.locked = true, .prompt = PROMPT_GRANTED,
                                 .error_name = "org.freedesktop.DBus.Error.AccessDenied");
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        again(i);
        f.error_on = members[i];
        serve(f);
        cr_expect_eq(ask("svc", "acc", LONG_MS), EG_CREDENTIAL_UNAVAILABLE, "%s", members[i]);
        cr_expect(strstr(err.text, "refused"), "%s: %s", members[i], err.text);
    }
}

KEYRING(answers_of_another_type)
{
    static const char *const typed[] = { "OpenSession", "SearchItems", "Unlock", "GetSecret" };
    for (size_t i = 0; i < sizeof typed / sizeof *typed; i++) {
        again(i);
        serve(FAKE(.locked = true, .garbage_on = typed[i]));
        cr_expect_eq(ask("svc", "acc", LONG_MS), EG_CREDENTIAL_UNAVAILABLE, "%s", typed[i]);
        cr_expect(strstr(err.text, "makes no sense"), "%s: %s", typed[i], err.text);
    }
}

KEYRING(path_without_end)
{
    serve(FAKE(.long_path = true));
    cr_expect_eq(ask("svc", "acc", LONG_MS), EG_CREDENTIAL_UNAVAILABLE);
    cr_expect(strstr(err.text, "makes no sense"), "%s", err.text);
}

KEYRING(item_that_is_locked_after_all)
{
    serve(FAKE(.error_on = "GetSecret", .error_name = "org.freedesktop.Secret.Error.IsLocked"));
    cr_expect_eq(ask("svc", "acc", LONG_MS), EG_CREDENTIAL_UNAVAILABLE);
    cr_expect(strstr(err.text, "is locked"), "%s", err.text);
}

KEYRING(service_that_is_not_there)
{
    need_bus();
    cr_expect_eq(ask("svc", "acc", LONG_MS), EG_CREDENTIAL_UNAVAILABLE);
    cr_expect(strstr(err.text, "no keyring service"), "%s", err.text);
}

KEYRING(deadline_that_has_passed)
{
    serve(FAKE(.locked = false));
    cr_expect_eq(eg_source_keyring("svc", "acc", 0, false, &out, &err), EG_CREDENTIAL_UNAVAILABLE);
}

KEYRING(bus_that_is_not_there)
{
    need_bus();
    setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere/bus", 1);
    cr_expect_eq(ask("svc", "acc", LONG_MS), EG_CREDENTIAL_UNAVAILABLE);
    unsetenv("DBUS_SESSION_BUS_ADDRESS");
    unsetenv("XDG_RUNTIME_DIR");
    cr_expect_eq(ask("svc", "acc", LONG_MS), EG_CREDENTIAL_UNAVAILABLE);
    cr_expect(strstr(err.text, "no session bus"), "%s", err.text);
}

KEYRING(bus_that_says_nothing)
{
    need_bus();
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    char address[160];
    snprintf(at.sun_path, sizeof at.sun_path, "%s/mute", bus.folder);
    snprintf(address, sizeof address, "unix:path=%s", at.sun_path);
    int mute = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(mute, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(listen(mute, 1), 0);
    setenv("DBUS_SESSION_BUS_ADDRESS", address, 1);
    cr_expect_eq(ask("svc", "acc", SHORT_MS), EG_CREDENTIAL_UNAVAILABLE);
    cr_expect(strstr(err.text, "does not answer"), "%s", err.text);
    close(mute);
}

KEYRING(name_that_can_not_be_sent)
{
    serve(FAKE(.locked = false));
    cr_expect_neq(ask("\xff\xfe", "acc", LONG_MS), EG_OK);
}

KEYRING(value_is_left_in_the_callers_buffer_only)
{
    struct residue r;
    static char plain[RESIDUE_MAX];
    residue_choose(&r, 40);
    residue_reveal(&r, plain);
    serve(FAKE(.secret = plain, .secret_len = 40));
    sodium_memzero(plain, sizeof plain);
    cr_assert_eq(residue_count(&r), 0);
    cr_assert_eq(ask("svc", "acc", LONG_MS), EG_OK, "%s", err.text);
    cr_expect_eq(residue_count(&r), 1);
    eg_buf_wipe(&out);
    cr_expect_eq(residue_count(&r), 0);
}

#ifndef HAVE_SDBUS
Test(cred, keyring_that_is_not_built_in_says_so)
{
    cr_expect_eq(ask("svc", "acc", LONG_MS), EG_CREDENTIAL_UNAVAILABLE);
    cr_expect(strstr(err.text, "built without"));
}
#endif

/* ---- writing back ---- */

KEYRING(gnome_takes_a_rotated_value)
{
    gnome();
    cr_assert(keyring_gnome_store("oauth", "work", "rt-1", 4));
    cr_assert(keyring_gnome_store("oauth", "home", "rt-other", 8));
    eg_err_reset(&err);
    cr_assert_eq(eg_source_keyring_put("oauth", "work", eg_clock_ms() + LONG_MS, "rt-2-longer", 11,
                                       &err),
                 EG_OK, "%s", err.text);
    cr_expect_eq(ask("oauth", "work", LONG_MS), EG_OK, "%s", err.text);
    cr_expect(got("rt-2-longer"));
    cr_expect_eq(ask("oauth", "home", LONG_MS), EG_OK);
    cr_expect(got("rt-other"));
    eg_err_reset(&err);
    cr_expect_eq(eg_source_keyring_put("oauth", "nobody", eg_clock_ms() + LONG_MS, "x", 1, &err),
                 EG_NOT_FOUND);
}
