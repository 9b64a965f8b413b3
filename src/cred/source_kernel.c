/* source_kernel.c - credentials from the kernel's key retention service (keyrings(7)), by bare
 * system calls.
 *
 * Blocking only as far as the kernel is. A key that is found may be readable only by who possesses
 * it, that is who reaches it from a keyring of its own process: then the keyring is linked into
 * this process' one, which ends with the process. Errors name the description, never the value. */
#include <errno.h>
#include <linux/keyctl.h>
#include <sodium.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cred/source.h"

static const char layer[] = "credential";

static long keyctl(int operation, long a, long b, long c, long d)
{
    return syscall(SYS_keyctl, operation, a, b, c, d);
}

static const long rings[] = { KEY_SPEC_SESSION_KEYRING, KEY_SPEC_USER_SESSION_KEYRING,
                              KEY_SPEC_USER_KEYRING, 0 /* persistent */ };

/* The number of a keyring; a negative one when there is none. */
static long ring_of(long ring)
{
    if (ring != 0)
        return ring;
    return keyctl(KEYCTL_GET_PERSISTENT, -1, KEY_SPEC_PROCESS_KEYRING, 0, 0);
}

static long find(long ring, const char *description)
{
    return keyctl(KEYCTL_SEARCH, ring, (long)(uintptr_t) "user", (long)(uintptr_t)description, 0);
}

/* How long it is; with a buffer its bytes too. */
static long content(long key, char *to, size_t cap)
{
    return keyctl(KEYCTL_READ, key, (long)(uintptr_t)to, (long)cap, 0);
}

static enum eg_status take(long key, const char *description, struct eg_buf *out,
                           struct eg_err *err)
{
    char *to = NULL;
    size_t room = EG_CREDENTIAL_MAX + 2;
    if (room > eg_buf_room(out))
        room = eg_buf_room(out);
    enum eg_status s = eg_buf_reserve(out, room, &to);
    if (s != EG_OK)
        return eg_err_set(err, s, layer, 0, "no memory for kernel:%s", description);
    long n = content(key, to, room);
    if (n < 0)
        return eg_err_set(err, errno == EACCES ? EG_PERMISSION : EG_IO, layer, errno, "kernel:%s",
                          description);
    if ((size_t)n > room) {
        sodium_memzero(to, room);
        return eg_err_set(err, EG_TOO_BIG, layer, 0, "kernel:%s is longer than %d bytes",
                          description, (int)EG_CREDENTIAL_MAX);
    }
    eg_buf_commit(out, (size_t)n);
    return EG_OK;
}

static enum eg_status none(const char *description, int sys, struct eg_err *err)
{
    if (sys == ENOSYS || sys == EPERM) /* a container's filter says EPERM */
        return eg_err_set(err, EG_CREDENTIAL_UNAVAILABLE, layer, sys,
                          "kernel:%s: this system lets nobody use the kernel's keys", description);
    if (sys == EKEYEXPIRED || sys == EKEYREVOKED || sys == EKEYREJECTED)
        return eg_err_set(err, EG_NOT_FOUND, layer, 0, "kernel:%s has %s", description,
                          sys == EKEYEXPIRED ? "expired" : "been revoked");
    return eg_err_set(err, sys == EACCES ? EG_PERMISSION : EG_NOT_FOUND, layer, 0,
                      sys == EACCES ? "kernel:%s may not be read"
                                    : "there is no kernel:%s (keyctl padd user NAME @u makes one)",
                      description);
}

enum eg_status eg_source_kernel(const char *description, bool text, struct eg_buf *out,
                                struct eg_err *err)
{
    int sys = ENOKEY; /* of the ring that knew more than "not here" */
    long key = -1;
    for (size_t i = 0; key < 0 && i < sizeof rings / sizeof *rings; i++) {
        long ring = ring_of(rings[i]);
        key = ring == -1 ? -1 : find(ring, description);
        if (key >= 0 && content(key, NULL, 0) < 0 && errno == EACCES)
            (void)keyctl(KEYCTL_LINK, ring, KEY_SPEC_PROCESS_KEYRING, 0, 0);
        else if (key < 0 && errno != ENOKEY && (rings[i] != 0 || errno == EKEYEXPIRED))
            sys = errno;
    }
    if (key < 0)
        return none(description, sys, err);
    struct eg_err why = { 0 };
    enum eg_status s = take(key, description, out, err);
    if (s != EG_OK)
        return s;
    s = eg_source_check(out, text, &why);
    return s == EG_OK ? EG_OK
                      : eg_err_set(err, s, layer, 0, "kernel:%s: %s", description, why.text);
}
