/* keyring.h - a session bus of the test's own, with gnome-keyring or a Secret Service that
 * misbehaves on it. */
#ifndef EG_TESTS_SUPPORT_KEYRING_H
#define EG_TESTS_SUPPORT_KEYRING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct keyring_bus {
    char folder[64];  /* of the socket and of the keyring's files, removed by stop */
    pid_t bus, service;
    int answers; /* a pipe from the false service */
    const char *missing; /* why there is none: a reason to skip; NULL: it runs */
};

/* Starts a dbus-daemon that activates nothing, and sets DBUS_SESSION_BUS_ADDRESS. */
void keyring_bus_start(struct keyring_bus *b);
/* Starts gnome-keyring-daemon on it with an unlocked login keyring, and waits for its name. */
void keyring_gnome_start(struct keyring_bus *b);
/* Stores an item in the login keyring (libsecret's attributes). false on failure. */
bool keyring_gnome_store(const char *service, const char *account, const void *secret, size_t n);
/* Locks the login keyring. false on failure. */
bool keyring_gnome_lock(void);
void keyring_stop(struct keyring_bus *b);

enum fake_prompt { PROMPT_NONE, PROMPT_GRANTED, PROMPT_DISMISSED, PROMPT_NEVER, PROMPT_GARBLED };
struct fake_service { /* answers by the book but for what is set */
    const char *error_on; /* member that fails with error_name */
    const char *error_name;
    const char *silent_on;  /* member that is never answered */
    const char *garbage_on; /* member that is answered with a string */
    const void *secret;
    size_t secret_len;
    bool found, locked;
    bool long_path; /* the item's path is longer than any sane one */
    enum fake_prompt prompt;
};
/* A process that owns org.freedesktop.secrets and behaves as told; waits for its name. Its item
 * has the attributes service "svc" and account "acc", or service alone. */
void keyring_fake_start(struct keyring_bus *b, const struct fake_service *f);
/* Was Dismiss called? Waits for it until a deadline. */
bool keyring_fake_dismissed(struct keyring_bus *b);

#endif
