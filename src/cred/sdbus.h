/* sdbus.h - libsystemd's D-Bus calls, found at run time: a machine without a keyring needs no
 * libsystemd. Private to the room. */
#ifndef EG_CRED_SDBUS_H
#define EG_CRED_SDBUS_H

#ifdef HAVE_SDBUS
#include <systemd/sd-bus.h>

#include "base/err.h"

#define EG_SDBUS_CALLS(X)                                                                          \
    X(sd_bus_open_user)                                                                            \
    X(sd_bus_close_unref)                                                                          \
    X(sd_bus_is_ready)                                                                             \
    X(sd_bus_process)                                                                              \
    X(sd_bus_wait)                                                                                 \
    X(sd_bus_send)                                                                                 \
    X(sd_bus_call)                                                                                 \
    X(sd_bus_set_method_call_timeout)                                                              \
    X(sd_bus_match_signal)                                                                         \
    X(sd_bus_slot_unref)                                                                           \
    X(sd_bus_error_free)                                                                           \
    X(sd_bus_message_new_method_call)                                                              \
    X(sd_bus_message_append)                                                                       \
    X(sd_bus_message_append_array)                                                                 \
    X(sd_bus_message_open_container)                                                               \
    X(sd_bus_message_close_container)                                                              \
    X(sd_bus_message_sensitive)                                                                    \
    X(sd_bus_message_enter_container)                                                              \
    X(sd_bus_message_exit_container)                                                               \
    X(sd_bus_message_read)                                                                         \
    X(sd_bus_message_read_basic)                                                                   \
    X(sd_bus_message_read_array)                                                                   \
    X(sd_bus_message_skip)                                                                         \
    X(sd_bus_message_unref)

/* Members bear the names of the functions. */
struct eg_sdbus {
#define EG_SDBUS_MEMBER(name) __typeof__(&name) name;
    EG_SDBUS_CALLS(EG_SDBUS_MEMBER)
#undef EG_SDBUS_MEMBER
};

/* Loads libsystemd.so.0 (once loaded it stays, as it has thread-local state) and looks all
 * names up. EG_CREDENTIAL_UNAVAILABLE with a text that names the library or the symbol. */
enum eg_status eg_sdbus_load(struct eg_sdbus *ret, struct eg_err *err) EG_MUST_USE;

#endif
#endif
