/* keyring.c - credentials from the Secret Service (org.freedesktop.secrets) on the session bus.
 *
 * Blocking, with one deadline for everything: connecting, each call, and a prompt that nobody
 * answers, which is dismissed. The session is `plain`: the bus carries the secret between
 * processes of this user. Texts of the peer reach no error. */
#include "cred/cred.h"

#include <errno.h>
#include <sodium.h>

#include "base/clock.h"
#include "cred/sdbus.h"

static const char layer[] = "keyring";

#ifndef HAVE_SDBUS
enum eg_status eg_source_keyring(const char *service, const char *account, uint64_t deadline_ms,
                                 struct eg_buf *out, struct eg_err *err)
{
    (void)service, (void)account, (void)deadline_ms, (void)out;
    return eg_err_set(err, EG_CREDENTIAL_UNAVAILABLE, layer, 0,
                      "this egressd was built without libsystemd's headers: no keyring:");
}
#else

#define SECRETS "org.freedesktop.secrets"
#define SECRETS_PATH "/org/freedesktop/secrets"
#define SERVICE_IFACE "org.freedesktop.Secret.Service"
#define ITEM_IFACE "org.freedesktop.Secret.Item"
#define PROMPT_IFACE "org.freedesktop.Secret.Prompt"

enum { OBJECT_PATH_MAX = 256 };

struct keyring {
    struct eg_sdbus sd;
    sd_bus *bus;
    uint64_t deadline_ms;
    const char *service, *account;
    struct eg_err *err;
    char session[OBJECT_PATH_MAX]; /* object paths; "" = none */
    char item[OBJECT_PATH_MAX];
    char prompt[OBJECT_PATH_MAX];
    bool locked; /* item is */
    bool prompt_done, prompt_dismissed;
};

static enum eg_status unavailable(struct keyring *k, int sys, const char *text)
{
    return eg_err_set(k->err, EG_CREDENTIAL_UNAVAILABLE, layer, sys, "%s", text);
}

static enum eg_status strange(struct keyring *k)
{
    return unavailable(k, 0, "the keyring service gave an answer that makes no sense");
}

/* Microseconds left, 0 when the deadline has passed. */
static uint64_t left_us(const struct keyring *k)
{
    uint64_t now = eg_clock_ms();
    return now < k->deadline_ms ? (k->deadline_ms - now) * 1000 : 0;
}

/* Lets the bus work until *done or, without one, until it is ready. */
static enum eg_status turn(struct keyring *k, const bool *done, const char *late)
{
    for (;;) {
        if (done ? *done : k->sd.sd_bus_is_ready(k->bus) > 0)
            return EG_OK;
        uint64_t us = left_us(k);
        if (us == 0)
            return unavailable(k, 0, late);
        int r = k->sd.sd_bus_process(k->bus, NULL);
        if (r == 0)
            r = k->sd.sd_bus_wait(k->bus, us);
        if (r < 0 && r != -EINTR)
            return unavailable(k, -r, "the session bus broke off");
    }
}

static enum eg_status open_bus(struct keyring *k)
{
    int r = k->sd.sd_bus_open_user(&k->bus);
    if (r < 0)
        return unavailable(k, -r, "there is no session bus");
    return turn(k, NULL, "the session bus does not answer");
}

/* An answer to m, which is given up, or an error in words of ours. */
static enum eg_status call(struct keyring *k, sd_bus_message *m, sd_bus_message **reply)
{
    sd_bus_error error = SD_BUS_ERROR_NULL;
    uint64_t us = left_us(k);
    int r = us ? k->sd.sd_bus_call(k->bus, m, us, &error, reply) : -ETIMEDOUT;
    k->sd.sd_bus_message_unref(m);
    if (r >= 0)
        return EG_OK;
    const char *name = error.name ? error.name : "";
    enum eg_status s;
    if (strcmp(name, SD_BUS_ERROR_SERVICE_UNKNOWN) == 0 ||
        strcmp(name, SD_BUS_ERROR_NAME_HAS_NO_OWNER) == 0 ||
        strncmp(name, "org.freedesktop.DBus.Error.Spawn.", 33) == 0)
        s = unavailable(k, 0, "no keyring service (" SECRETS ") is on the session bus");
    else if (r == -ETIMEDOUT || strcmp(name, SD_BUS_ERROR_NO_REPLY) == 0 ||
             strcmp(name, SD_BUS_ERROR_TIMEOUT) == 0)
        s = unavailable(k, 0, "the keyring service did not answer in time");
    else if (strcmp(name, "org.freedesktop.Secret.Error.IsLocked") == 0)
        s = unavailable(k, 0, "the keyring is locked");
    else
        s = unavailable(k, -r, "the keyring service refused");
    k->sd.sd_bus_error_free(&error);
    return s;
}

static enum eg_status message(struct keyring *k, const char *path, const char *iface,
                              const char *member, sd_bus_message **ret)
{
    int r = k->sd.sd_bus_message_new_method_call(k->bus, ret, SECRETS, path, iface, member);
    return r < 0 ? unavailable(k, -r, "no memory for a call") : EG_OK;
}

static bool keep_path(char *to, const char *path)
{
    size_t n = strlen(path);
    if (n >= OBJECT_PATH_MAX)
        return false;
    memcpy(to, path, n + 1);
    return true;
}

static enum eg_status open_session(struct keyring *k)
{
    sd_bus_message *m = NULL, *reply = NULL;
    enum eg_status s = message(k, SECRETS_PATH, SERVICE_IFACE, "OpenSession", &m);
    if (s != EG_OK)
        return s;
    int r = k->sd.sd_bus_message_append(m, "sv", "plain", "s", "");
    if (r < 0) {
        k->sd.sd_bus_message_unref(m);
        return unavailable(k, -r, "no memory for a call");
    }
    s = call(k, m, &reply);
    if (s != EG_OK)
        return s;
    const char *path = NULL;
    if (k->sd.sd_bus_message_skip(reply, "v") < 0 ||
        k->sd.sd_bus_message_read_basic(reply, 'o', &path) < 0 || !keep_path(k->session, path))
        s = strange(k);
    k->sd.sd_bus_message_unref(reply);
    return s;
}

/* Reads an array of object paths; keeps the first. */
static bool read_paths(struct keyring *k, sd_bus_message *m, char *first)
{
    const char *path = NULL;
    first[0] = '\0';
    if (k->sd.sd_bus_message_enter_container(m, 'a', "o") < 0)
        return false;
    int r;
    while ((r = k->sd.sd_bus_message_read_basic(m, 'o', &path)) > 0)
        if (!first[0] && !keep_path(first, path))
            return false;
    return r == 0 && k->sd.sd_bus_message_exit_container(m) >= 0;
}

static enum eg_status search(struct keyring *k)
{
    sd_bus_message *m = NULL, *reply = NULL;
    enum eg_status s = message(k, SECRETS_PATH, SERVICE_IFACE, "SearchItems", &m);
    if (s != EG_OK)
        return s;
    int r = k->account[0] ? k->sd.sd_bus_message_append(m, "a{ss}", 2, "service", k->service,
                                                        "account", k->account)
                          : k->sd.sd_bus_message_append(m, "a{ss}", 1, "service", k->service);
    if (r < 0) {
        k->sd.sd_bus_message_unref(m);
        return eg_err_set(k->err, EG_INVALID, layer, -r, "the item's name can't be sent");
    }
    s = call(k, m, &reply);
    if (s != EG_OK)
        return s;
    char locked[OBJECT_PATH_MAX];
    if (!read_paths(k, reply, k->item) || !read_paths(k, reply, locked)) {
        s = strange(k);
    } else if (!k->item[0] && locked[0]) {
        memcpy(k->item, locked, sizeof locked);
        k->locked = true;
    } else if (!k->item[0]) {
        s = eg_err_set(k->err, EG_NOT_FOUND, layer, 0, "the keyring has no item %s/%s", k->service,
                       k->account);
    }
    k->sd.sd_bus_message_unref(reply);
    return s;
}

static int prompt_completed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    struct keyring *k = userdata;
    int dismissed = 1;
    (void)error;
    if (k->sd.sd_bus_message_read_basic(m, 'b', &dismissed) < 0)
        dismissed = 1;
    k->prompt_dismissed = dismissed;
    k->prompt_done = true;
    return 0;
}

/* Takes the prompt off the screen again; nobody waits for the answer. */
static void dismiss(struct keyring *k)
{
    sd_bus_message *m = NULL;
    if (k->sd.sd_bus_message_new_method_call(k->bus, &m, SECRETS, k->prompt, PROMPT_IFACE,
                                             "Dismiss") < 0)
        return;
    k->sd.sd_bus_send(k->bus, m, NULL);
    k->sd.sd_bus_message_unref(m);
}

static enum eg_status await_prompt(struct keyring *k)
{
    sd_bus_slot *slot = NULL;
    sd_bus_message *m = NULL, *reply = NULL;
    uint64_t us = left_us(k);
    k->sd.sd_bus_set_method_call_timeout(k->bus, us ? us : 1); /* for match_signal's own call */
    int r = k->sd.sd_bus_match_signal(k->bus, &slot, SECRETS, k->prompt, PROMPT_IFACE, "Completed",
                                      prompt_completed, k);
    if (r < 0)
        return unavailable(k, -r, "the keyring is locked and its prompt can't be awaited");
    enum eg_status s = message(k, k->prompt, PROMPT_IFACE, "Prompt", &m);
    if (s == EG_OK && (r = k->sd.sd_bus_message_append(m, "s", "")) < 0) {
        k->sd.sd_bus_message_unref(m);
        s = unavailable(k, -r, "no memory for a call");
    } else if (s == EG_OK) {
        s = call(k, m, &reply);
    }
    k->sd.sd_bus_message_unref(reply);
    if (s == EG_OK)
        s = turn(k, &k->prompt_done, "the keyring is locked and nobody unlocked it in time");
    if (s == EG_OK && k->prompt_dismissed)
        s = unavailable(k, 0, "the keyring is locked and its prompt was dismissed");
    if (!k->prompt_done)
        dismiss(k);
    k->sd.sd_bus_slot_unref(slot);
    return s;
}

static enum eg_status unlock(struct keyring *k)
{
    sd_bus_message *m = NULL, *reply = NULL;
    enum eg_status s = message(k, SECRETS_PATH, SERVICE_IFACE, "Unlock", &m);
    if (s != EG_OK)
        return s;
    int r = k->sd.sd_bus_message_append(m, "ao", 1, k->item);
    if (r < 0) {
        k->sd.sd_bus_message_unref(m);
        return unavailable(k, -r, "no memory for a call");
    }
    s = call(k, m, &reply);
    if (s != EG_OK)
        return s;
    char unlocked[OBJECT_PATH_MAX];
    const char *prompt = NULL;
    if (!read_paths(k, reply, unlocked) ||
        k->sd.sd_bus_message_read_basic(reply, 'o', &prompt) < 0 || !keep_path(k->prompt, prompt))
        s = strange(k);
    k->sd.sd_bus_message_unref(reply);
    if (s != EG_OK || strcmp(k->prompt, "/") == 0) /* "/": unlocked without asking anybody */
        return s;
    return await_prompt(k);
}

/* Copies the value and wipes the message's own copy, which libsystemd frees as it is. */
static enum eg_status take_value(struct keyring *k, sd_bus_message *reply, struct eg_buf *out)
{
    const void *value = NULL;
    size_t n = 0;
    if (k->sd.sd_bus_message_enter_container(reply, 'r', "oayays") < 0 ||
        k->sd.sd_bus_message_skip(reply, "oay") < 0 ||
        k->sd.sd_bus_message_read_array(reply, 'y', &value, &n) < 0)
        return strange(k);
    enum eg_status s = EG_OK;
    char *to = NULL;
    if (n > EG_CREDENTIAL_MAX + 2)
        s = EG_TOO_BIG;
    else if (n > 0 && (s = eg_buf_reserve(out, n, &to)) == EG_OK) {
        memcpy(to, value, n);
        eg_buf_commit(out, n);
    }
    if (n > 0)
        sodium_memzero((void *)(uintptr_t)value, n);
    if (s != EG_OK)
        return eg_err_set(k->err, s, layer, 0, "the keyring's item %s/%s is too long", k->service,
                          k->account);
    return EG_OK;
}

static enum eg_status get_secret(struct keyring *k, struct eg_buf *out)
{
    sd_bus_message *m = NULL, *reply = NULL;
    enum eg_status s = message(k, k->item, ITEM_IFACE, "GetSecret", &m);
    if (s != EG_OK)
        return s;
    int r = k->sd.sd_bus_message_append(m, "o", k->session);
    if (r < 0) {
        k->sd.sd_bus_message_unref(m);
        return unavailable(k, -r, "no memory for a call");
    }
    s = call(k, m, &reply);
    if (s == EG_OK)
        s = take_value(k, reply, out);
    k->sd.sd_bus_message_unref(reply);
    if (s != EG_OK)
        return s;
    struct eg_err why = { 0 };
    s = eg_source_check(out, &why);
    if (s != EG_OK)
        return eg_err_set(k->err, s, layer, 0, "the keyring's item %s/%s: %s", k->service,
                          k->account, why.text);
    return EG_OK;
}

enum eg_status eg_source_keyring(const char *service, const char *account, uint64_t deadline_ms,
                                 struct eg_buf *out, struct eg_err *err)
{
    struct keyring k = { .deadline_ms = deadline_ms,
                         .service = service,
                         .account = account ? account : "",
                         .err = err };
    enum eg_status s = eg_sdbus_load(&k.sd, err);
    if (s != EG_OK)
        return s;
    s = open_bus(&k);
    if (s == EG_OK)
        s = open_session(&k);
    if (s == EG_OK)
        s = search(&k);
    if (s == EG_OK && k.locked)
        s = unlock(&k);
    if (s == EG_OK)
        s = get_secret(&k, out);
    if (k.bus)
        k.sd.sd_bus_close_unref(k.bus);
    return s;
}
#endif
