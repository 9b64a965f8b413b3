/* keyring.c - finds an item of the Secret Service (org.freedesktop.secrets) on the session bus, and
 * unlocks it. What is in it is keyring_item.c.
 *
 * Blocking, with one deadline for everything: connecting, each call, and a prompt that nobody
 * answers, which is dismissed. The session is `plain`: the bus carries the secret between
 * processes of this user. Texts of the peer reach no error. */

#include <errno.h>
#include <sodium.h>

#include "base/clock.h"
#include "cred/keyring.h"

#ifdef HAVE_SDBUS
static const char layer[] = "keyring";

#define SECRETS_PATH "/org/freedesktop/secrets"
#define SERVICE_IFACE "org.freedesktop.Secret.Service"
#define PROMPT_IFACE "org.freedesktop.Secret.Prompt"

enum eg_status eg_keyring_unavailable(struct eg_keyring *k, int sys, const char *text)
{
    return eg_err_set(k->err, EG_CREDENTIAL_UNAVAILABLE, layer, sys, "%s", text);
}

enum eg_status eg_keyring_strange(struct eg_keyring *k)
{
    return eg_keyring_unavailable(k, 0, "the keyring service gave an answer that makes no sense");
}

/* Microseconds left, 0 when the deadline has passed. */
static uint64_t left_us(const struct eg_keyring *k)
{
    uint64_t now = eg_clock_ms();
    return now < k->deadline_ms ? (k->deadline_ms - now) * 1000 : 0;
}

/* Lets the bus work until *done or, without one, until it is ready. */
static enum eg_status turn(struct eg_keyring *k, const bool *done, const char *late)
{
    for (;;) {
        if (done ? *done : k->sd.sd_bus_is_ready(k->bus) > 0)
            return EG_OK;
        uint64_t us = left_us(k);
        if (us == 0)
            return eg_keyring_unavailable(k, 0, late);
        int r = k->sd.sd_bus_process(k->bus, NULL);
        if (r == 0)
            r = k->sd.sd_bus_wait(k->bus, us);
        if (r < 0 && r != -EINTR)
            return eg_keyring_unavailable(k, -r, "the session bus broke off");
    }
}

static enum eg_status open_bus(struct eg_keyring *k)
{
    int r = k->sd.sd_bus_open_user(&k->bus);
    if (r < 0)
        return eg_keyring_unavailable(k, -r, "there is no session bus");
    return turn(k, NULL, "the session bus does not answer");
}

/* An answer to m, which is given up, or an error in words of ours. */
enum eg_status eg_keyring_call(struct eg_keyring *k, sd_bus_message *m, sd_bus_message **reply)
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
        s = eg_keyring_unavailable(k, 0, "no keyring service (" EG_KEYRING_SERVICE ") is on the session bus");
    else if (r == -ETIMEDOUT || strcmp(name, SD_BUS_ERROR_NO_REPLY) == 0 ||
             strcmp(name, SD_BUS_ERROR_TIMEOUT) == 0)
        s = eg_keyring_unavailable(k, 0, "the keyring service did not answer in time");
    else if (strcmp(name, "org.freedesktop.Secret.Error.IsLocked") == 0)
        s = eg_keyring_unavailable(k, 0, "the keyring is locked");
    else
        s = eg_keyring_unavailable(k, -r, "the keyring service refused");
    k->sd.sd_bus_error_free(&error);
    return s;
}

enum eg_status eg_keyring_message(struct eg_keyring *k, const char *path, const char *iface,
                              const char *member, sd_bus_message **ret)
{
    int r = k->sd.sd_bus_message_new_method_call(k->bus, ret, EG_KEYRING_SERVICE, path, iface, member);
    return r < 0 ? eg_keyring_unavailable(k, -r, "no memory for a call") : EG_OK;
}

static bool keep_path(char *to, const char *path)
{
    size_t n = strlen(path);
    if (n >= EG_KEYRING_PATH)
        return false;
    memcpy(to, path, n + 1);
    return true;
}

static enum eg_status open_session(struct eg_keyring *k)
{
    sd_bus_message *m = NULL, *reply = NULL;
    enum eg_status s = eg_keyring_message(k, SECRETS_PATH, SERVICE_IFACE, "OpenSession", &m);
    if (s != EG_OK)
        return s;
    int r = k->sd.sd_bus_message_append(m, "sv", "plain", "s", "");
    if (r < 0) {
        k->sd.sd_bus_message_unref(m);
        return eg_keyring_unavailable(k, -r, "no memory for a call");
    }
    s = eg_keyring_call(k, m, &reply);
    if (s != EG_OK)
        return s;
    const char *path = NULL;
    if (k->sd.sd_bus_message_skip(reply, "v") < 0 ||
        k->sd.sd_bus_message_read_basic(reply, 'o', &path) < 0 || !keep_path(k->session, path))
        s = eg_keyring_strange(k);
    k->sd.sd_bus_message_unref(reply);
    return s;
}

/* Reads an array of object paths; keeps the first. */
static bool read_paths(struct eg_keyring *k, sd_bus_message *m, char *first)
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

static enum eg_status search(struct eg_keyring *k)
{
    sd_bus_message *m = NULL, *reply = NULL;
    enum eg_status s = eg_keyring_message(k, SECRETS_PATH, SERVICE_IFACE, "SearchItems", &m);
    if (s != EG_OK)
        return s;
    int r = k->account[0] ? k->sd.sd_bus_message_append(m, "a{ss}", 2, "service", k->service,
                                                        "account", k->account)
                          : k->sd.sd_bus_message_append(m, "a{ss}", 1, "service", k->service);
    if (r < 0) {
        k->sd.sd_bus_message_unref(m);
        return eg_err_set(k->err, EG_INVALID, layer, -r, "the item's name can't be sent");
    }
    s = eg_keyring_call(k, m, &reply);
    if (s != EG_OK)
        return s;
    char locked[EG_KEYRING_PATH];
    if (!read_paths(k, reply, k->item) || !read_paths(k, reply, locked)) {
        s = eg_keyring_strange(k);
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
    struct eg_keyring *k = userdata;
    int dismissed = 1;
    (void)error;
    if (k->sd.sd_bus_message_read_basic(m, 'b', &dismissed) < 0)
        dismissed = 1;
    k->prompt_dismissed = dismissed;
    k->prompt_done = true;
    return 0;
}

/* Takes the prompt off the screen again; nobody waits for the answer. */
static void dismiss(struct eg_keyring *k)
{
    sd_bus_message *m = NULL;
    if (k->sd.sd_bus_message_new_method_call(k->bus, &m, EG_KEYRING_SERVICE, k->prompt, PROMPT_IFACE,
                                             "Dismiss") < 0)
        return;
    k->sd.sd_bus_send(k->bus, m, NULL);
    k->sd.sd_bus_message_unref(m);
}

static enum eg_status await_prompt(struct eg_keyring *k)
{
    sd_bus_slot *slot = NULL;
    sd_bus_message *m = NULL, *reply = NULL;
    uint64_t us = left_us(k);
    k->sd.sd_bus_set_method_call_timeout(k->bus, us ? us : 1); /* for match_signal's own call */
    int r = k->sd.sd_bus_match_signal(k->bus, &slot, EG_KEYRING_SERVICE, k->prompt, PROMPT_IFACE, "Completed",
                                      prompt_completed, k);
    if (r < 0)
        return eg_keyring_unavailable(k, -r, "the keyring is locked and its prompt can't be awaited");
    enum eg_status s = eg_keyring_message(k, k->prompt, PROMPT_IFACE, "Prompt", &m);
    if (s == EG_OK && (r = k->sd.sd_bus_message_append(m, "s", "")) < 0) {
        k->sd.sd_bus_message_unref(m);
        s = eg_keyring_unavailable(k, -r, "no memory for a call");
    } else if (s == EG_OK) {
        s = eg_keyring_call(k, m, &reply);
    }
    k->sd.sd_bus_message_unref(reply);
    if (s == EG_OK)
        s = turn(k, &k->prompt_done, "the keyring is locked and nobody unlocked it in time");
    if (s == EG_OK && k->prompt_dismissed)
        s = eg_keyring_unavailable(k, 0, "the keyring is locked and its prompt was dismissed");
    if (!k->prompt_done)
        dismiss(k);
    k->sd.sd_bus_slot_unref(slot);
    return s;
}

static enum eg_status unlock(struct eg_keyring *k)
{
    sd_bus_message *m = NULL, *reply = NULL;
    enum eg_status s = eg_keyring_message(k, SECRETS_PATH, SERVICE_IFACE, "Unlock", &m);
    if (s != EG_OK)
        return s;
    int r = k->sd.sd_bus_message_append(m, "ao", 1, k->item);
    if (r < 0) {
        k->sd.sd_bus_message_unref(m);
        return eg_keyring_unavailable(k, -r, "no memory for a call");
    }
    s = eg_keyring_call(k, m, &reply);
    if (s != EG_OK)
        return s;
    char unlocked[EG_KEYRING_PATH];
    const char *prompt = NULL;
    if (!read_paths(k, reply, unlocked) ||
        k->sd.sd_bus_message_read_basic(reply, 'o', &prompt) < 0 || !keep_path(k->prompt, prompt))
        s = eg_keyring_strange(k);
    k->sd.sd_bus_message_unref(reply);
    if (s != EG_OK || strcmp(k->prompt, "/") == 0) /* "/": unlocked without asking anybody */
        return s;
    return await_prompt(k);
}

enum eg_status eg_keyring_find(struct eg_keyring *k)
{
    enum eg_status s = eg_sdbus_load(&k->sd, k->err);
    if (s == EG_OK)
        s = open_bus(k);
    if (s == EG_OK)
        s = open_session(k);
    if (s == EG_OK)
        s = search(k);
    if (s == EG_OK && k->locked)
        s = unlock(k);
    return s;
}

void eg_keyring_close(struct eg_keyring *k)
{
    if (k->bus)
        k->sd.sd_bus_close_unref(k->bus);
    k->bus = NULL;
}
#else
typedef int eg_keyring_is_not_built;
#endif
