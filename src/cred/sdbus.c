/* sdbus.c - finds libsystemd's D-Bus calls at run time.
 *
 * Knows nothing of keyrings. A program that no policy sends to a keyring never maps libsystemd. */
#include "cred/sdbus.h"

#ifdef HAVE_SDBUS
#include <dlfcn.h>
#include <string.h>

static const char *const names[] = {
#define EG_SDBUS_NAME(name) #name,
    EG_SDBUS_CALLS(EG_SDBUS_NAME)
#undef EG_SDBUS_NAME
};
_Static_assert(sizeof(struct eg_sdbus) == sizeof names, "one member a name, in the same order");

enum eg_status eg_sdbus_load(struct eg_sdbus *ret, struct eg_err *err)
{
    void *lib = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!lib)
        return eg_err_set(err, EG_CREDENTIAL_UNAVAILABLE, "keyring", 0,
                          "keyring: needs libsystemd.so.0, which can't be loaded");
    struct eg_sdbus found;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *call = dlsym(lib, names[i]);
        memcpy((char *)&found + i * sizeof call, &call, sizeof call);
        if (!call) {
            dlclose(lib);
            return eg_err_set(err, EG_CREDENTIAL_UNAVAILABLE, "keyring", 0,
                              "libsystemd.so.0 lacks %s, which keyring: needs", names[i]);
        }
    }
    *ret = found;
    return EG_OK;
}
#else
typedef int eg_sdbus_is_not_built;
#endif
