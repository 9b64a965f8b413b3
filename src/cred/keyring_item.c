/* keyring_item.c - reads the secret of a keyring's item, and writes one that was rotated back into
 * it.
 *
 * Blocking, as keyring.c is. The session is `plain`: the bus carries the secret between processes of
 * this user. Texts of the peer reach no error; messages that hold the secret are wiped. */
#include "cred/keyring.h"

#include <sodium.h>
#include <string.h>

static const char layer[] = "keyring";

#ifndef HAVE_SDBUS
enum eg_status eg_source_keyring(const char *service, const char *account, uint64_t deadline_ms,
                                 bool text, struct eg_buf *out, struct eg_err *err)
{
    (void)service, (void)account, (void)deadline_ms, (void)text, (void)out;
    return eg_err_set(err, EG_CREDENTIAL_UNAVAILABLE, layer, 0,
                      "this egressd was built without libsystemd's headers: no keyring:");
}

enum eg_status eg_source_keyring_put(const char *service, const char *account, uint64_t deadline_ms,
                                     const void *bytes, size_t n, struct eg_err *err)
{
    (void)service, (void)account, (void)deadline_ms, (void)bytes, (void)n;
    return eg_err_set(err, EG_CREDENTIAL_UNAVAILABLE, layer, 0,
                      "this egressd was built without libsystemd's headers: no keyring:");
}
#else

#define ITEM_IFACE "org.freedesktop.Secret.Item"

/* Copies the value and wipes the message's own copy, which libsystemd frees as it is. */
static enum eg_status take_value(struct eg_keyring *k, sd_bus_message *reply, struct eg_buf *out)
{
    const void *value = NULL;
    size_t n = 0;
    if (k->sd.sd_bus_message_enter_container(reply, 'r', "oayays") < 0 ||
        k->sd.sd_bus_message_skip(reply, "oay") < 0 ||
        k->sd.sd_bus_message_read_array(reply, 'y', &value, &n) < 0)
        return eg_keyring_strange(k);
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

static enum eg_status get_secret(struct eg_keyring *k, struct eg_buf *out)
{
    sd_bus_message *m = NULL, *reply = NULL;
    enum eg_status s = eg_keyring_message(k, k->item, ITEM_IFACE, "GetSecret", &m);
    if (s != EG_OK)
        return s;
    int r = k->sd.sd_bus_message_append(m, "o", k->session);
    if (r < 0) {
        k->sd.sd_bus_message_unref(m);
        return eg_keyring_unavailable(k, -r, "no memory for a call");
    }
    s = eg_keyring_call(k, m, &reply);
    if (s == EG_OK)
        s = take_value(k, reply, out);
    k->sd.sd_bus_message_unref(reply);
    if (s != EG_OK)
        return s;
    struct eg_err why = { 0 };
    s = eg_source_check(out, k->text, &why);
    if (s != EG_OK)
        return eg_err_set(k->err, s, layer, 0, "the keyring's item %s/%s: %s", k->service,
                          k->account, why.text);
    return EG_OK;
}

enum eg_status eg_source_keyring(const char *service, const char *account, uint64_t deadline_ms,
                                 bool text, struct eg_buf *out, struct eg_err *err)
{
    struct eg_keyring k = { .deadline_ms = deadline_ms,
                            .service = service,
                            .account = account ? account : "",
                            .text = text,
                            .err = err };
    enum eg_status s = eg_keyring_find(&k);
    if (s == EG_OK)
        s = get_secret(&k, out);
    eg_keyring_close(&k);
    return s;
}

/* (session, parameters, value, content type), as the specification has it. */
static bool put_value(struct eg_keyring *k, sd_bus_message *m, const void *bytes, size_t n)
{
    const struct eg_sdbus *sd = &k->sd;
    return sd->sd_bus_message_sensitive(m) >= 0 &&
           sd->sd_bus_message_open_container(m, 'r', "oayays") >= 0 &&
           sd->sd_bus_message_append(m, "o", k->session) >= 0 &&
           sd->sd_bus_message_append_array(m, 'y', NULL, 0) >= 0 &&
           sd->sd_bus_message_append_array(m, 'y', bytes, n) >= 0 &&
           sd->sd_bus_message_append(m, "s", "text/plain") >= 0 &&
           sd->sd_bus_message_close_container(m) >= 0;
}

static enum eg_status set_secret(struct eg_keyring *k, const void *bytes, size_t n)
{
    sd_bus_message *m = NULL, *reply = NULL;
    enum eg_status s = eg_keyring_message(k, k->item, ITEM_IFACE, "SetSecret", &m);
    if (s != EG_OK)
        return s;
    if (!put_value(k, m, bytes, n)) {
        k->sd.sd_bus_message_unref(m);
        return eg_keyring_unavailable(k, 0, "no memory for a call");
    }
    s = eg_keyring_call(k, m, &reply);
    k->sd.sd_bus_message_unref(reply);
    return s;
}

enum eg_status eg_source_keyring_put(const char *service, const char *account, uint64_t deadline_ms,
                                     const void *bytes, size_t n, struct eg_err *err)
{
    struct eg_keyring k = { .deadline_ms = deadline_ms,
                            .service = service,
                            .account = account ? account : "",
                            .err = err };
    enum eg_status s = eg_keyring_find(&k);
    if (s == EG_OK)
        s = set_secret(&k, bytes, n);
    eg_keyring_close(&k);
    return s;
}
#endif
