/* keyring.h - one item of the Secret Service, found and unlocked. Private to the room. */
#ifndef EG_CRED_KEYRING_H
#define EG_CRED_KEYRING_H

#include "cred/cred.h"
#include "cred/sdbus.h"

#ifdef HAVE_SDBUS
#define EG_KEYRING_SERVICE "org.freedesktop.secrets"

enum { EG_KEYRING_PATH = 256 };

struct eg_keyring {
    struct eg_sdbus sd;
    sd_bus *bus;
    uint64_t deadline_ms;
    const char *service, *account;
    bool text;
    struct eg_err *err;
    char session[EG_KEYRING_PATH]; /* object paths; "" = none */
    char item[EG_KEYRING_PATH];
    char prompt[EG_KEYRING_PATH];
    bool locked; /* item is */
    bool prompt_done, prompt_dismissed;
};

/* deadline_ms, service, account, text and err are set. Finds the item, unlocked; then session and item name it. Close it whatever happens. */
enum eg_status eg_keyring_find(struct eg_keyring *k) EG_MUST_USE;
void eg_keyring_close(struct eg_keyring *k);

enum eg_status eg_keyring_message(struct eg_keyring *k, const char *path, const char *iface,
                                  const char *member, sd_bus_message **ret) EG_MUST_USE;
/* An answer to m, which is given up, or an error in words of ours. */
enum eg_status eg_keyring_call(struct eg_keyring *k, sd_bus_message *m,
                               sd_bus_message **reply) EG_MUST_USE;
enum eg_status eg_keyring_unavailable(struct eg_keyring *k, int sys, const char *text);
enum eg_status eg_keyring_strange(struct eg_keyring *k);
#endif

#endif
