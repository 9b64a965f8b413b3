/* trust.c - the trust file: records "HEX  PATH\n", one a file; and `egressctl trust`.
 *
 * Invariants: what is compared is the hash of the text that will be used; a trust file that
 * others could have written trusts nothing; it is replaced as a whole (rename), so that a reader
 * never sees half of it. */
#include "cmd/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "cmd/commands.h"
#include "cmd/files.h"

enum { HASH = 32, HEX = 2 * HASH, TRUST_MAX = 1 << 20 };

static enum eg_status trust_path(char *out, size_t cap, struct eg_err *err)
{
    char folder[PATH_MAX];
    if (eg_cmd_state_dir(folder, sizeof folder) != EG_OK ||
        snprintf(out, cap, "%s/trust", folder) >= (int)cap)
        return eg_err_set(err, EG_NOT_FOUND, "trust", 0,
                          "there is no state folder: set HOME or XDG_STATE_HOME");
    return EG_OK;
}

static void hash_of(struct eg_slice text, char hex[HEX + 1])
{
    unsigned char hash[HASH];
    crypto_generichash(hash, sizeof hash, (const unsigned char *)text.p, text.n, NULL, 0);
    sodium_bin2hex(hex, HEX + 1, hash, sizeof hash);
}

/* The whole trust file; empty when there is none. EG_PERMISSION when others could have written
 * it. */
static enum eg_status trust_load(struct eg_buf *out, struct eg_err *err)
{
    char path[PATH_MAX];
    struct stat st;
    enum eg_status status = trust_path(path, sizeof path, err);
    if (status != EG_OK)
        return status;
    if (lstat(path, &st) < 0 && errno == ENOENT)
        return EG_OK;
    status = eg_file_read(path, out, &st, err);
    if (status != EG_OK)
        return status;
    if (st.st_uid != geteuid() || (st.st_mode & 077))
        return eg_err_set(err, EG_PERMISSION, "trust", 0,
                          "%.120s is not yours alone (mode 0600): it trusts nothing", path);
    return EG_OK;
}

/* Takes the next record; false at the end. Malformed lines are passed over. */
static bool record_next(struct eg_slice *rest, struct eg_slice *hex, struct eg_slice *path)
{
    while (rest->n > 0) {
        long end = eg_slice_index(*rest, '\n');
        struct eg_slice line = eg_slice(rest->p, end < 0 ? rest->n : (size_t)end);
        *rest = eg_slice_from(*rest, line.n + 1);
        if (line.n < HEX + 3 || line.p[HEX] != ' ' || line.p[HEX + 1] != ' ' ||
            line.p[HEX + 2] != '/')
            continue;
        *hex = eg_slice(line.p, HEX);
        *path = eg_slice_from(line, HEX + 2);
        return true;
    }
    return false;
}

static enum eg_status absolute(const char *path, char out[PATH_MAX], struct eg_err *err)
{
    if (!realpath(path, out))
        return eg_err_set(err, errno == ENOENT ? EG_NOT_FOUND : EG_IO, "trust", errno, "%.120s",
                          path);
    if (strchr(out, '\n'))
        return eg_err_set(err, EG_INVALID, "trust", 0, "a path with a line break can't be trusted");
    return EG_OK;
}

enum eg_status eg_trust_check(const char *path, struct eg_slice text, bool *trusted,
                              struct eg_err *err)
{
    char full[PATH_MAX], hex[HEX + 1];
    struct eg_buf file;
    *trusted = false;
    if (absolute(path, full, err) != EG_OK)
        return EG_OK;
    hash_of(text, hex);
    eg_buf_init(&file, TRUST_MAX);
    if (trust_load(&file, err) == EG_OK) {
        struct eg_slice rest = eg_buf_slice(&file), h, p;
        while (record_next(&rest, &h, &p))
            if (eg_slice_eq(p, eg_slice_str(full)) && sodium_memcmp(h.p, hex, HEX) == 0)
                *trusted = true;
    }
    eg_buf_done(&file);
    return EG_OK;
}

/* Writes all records but that of `path`, then, with a hash, a new one. *found: there was one. */
static enum eg_status trust_rewrite(const char *path, const char *hex, bool *found,
                                    struct eg_err *err)
{
    char file[PATH_MAX];
    struct eg_buf old, out;
    *found = false;
    eg_buf_init(&old, TRUST_MAX);
    eg_buf_init(&out, TRUST_MAX);
    enum eg_status status = trust_path(file, sizeof file, err);
    if (status == EG_OK)
        status = trust_load(&old, err);
    struct eg_slice rest = eg_buf_slice(&old), h, p;
    while (status == EG_OK && record_next(&rest, &h, &p)) {
        if (eg_slice_eq(p, eg_slice_str(path)))
            *found = true;
        else
            status = eg_buf_printf(&out, "%.*s  %.*s\n", HEX, h.p, (int)p.n, p.p);
    }
    if (status == EG_OK && hex)
        status = eg_buf_printf(&out, "%s  %s\n", hex, path);
    if (status == EG_TOO_BIG)
        (void)!eg_err_set(err, status, "trust", 0, "the trust file is full");
    if (status == EG_OK && (hex || *found))
        status = eg_file_replace(file, eg_buf_slice(&out), err);
    eg_buf_done(&old);
    eg_buf_done(&out);
    return status;
}

/* Rewrites under a lock, so that of two commands at once none is lost. */
static enum eg_status trust_change(const char *path, const char *hex, bool *found,
                                   struct eg_err *err)
{
    char folder[PATH_MAX];
    if (eg_cmd_state_dir(folder, sizeof folder) != EG_OK)
        return eg_err_set(err, EG_NOT_FOUND, "trust", 0, "set HOME or XDG_STATE_HOME");
    enum eg_status status = eg_cmd_state_make(folder, err);
    if (status != EG_OK)
        return status;
    int lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0 || flock(lock, LOCK_EX) < 0)
        status = eg_err_set(err, EG_IO, "trust", errno, "%.120s", folder);
    else
        status = trust_rewrite(path, hex, found, err);
    if (lock >= 0)
        close(lock);
    return status;
}

enum eg_status eg_trust_add(const char *path, struct eg_err *err)
{
    char full[PATH_MAX], hex[HEX + 1];
    struct eg_buf text;
    bool found;
    enum eg_status status = absolute(path, full, err);
    if (status != EG_OK)
        return status;
    eg_buf_init(&text, EG_FILE_POLICY_MAX);
    status = eg_file_read(full, &text, NULL, err);
    if (status == EG_OK) {
        hash_of(eg_buf_slice(&text), hex);
        status = trust_change(full, hex, &found, err);
    }
    eg_buf_done(&text);
    return status;
}

enum eg_status eg_trust_remove(const char *path, struct eg_err *err)
{
    char full[PATH_MAX];
    bool found;
    /* a file that is gone can be removed by the path that --list shows */
    if (!realpath(path, full)) {
        if (*path != '/' || strlen(path) >= sizeof full)
            return eg_err_set(err, EG_NOT_FOUND, "trust", 0, "%.120s is not trusted", path);
        memcpy(full, path, strlen(path) + 1);
    }
    enum eg_status status = trust_change(full, NULL, &found, err);
    if (status == EG_OK && !found)
        return eg_err_set(err, EG_NOT_FOUND, "trust", 0, "%.120s is not trusted", path);
    return status;
}

enum eg_status eg_trust_each(void (*each)(void *ctx, const char *path, int state), void *ctx,
                             struct eg_err *err)
{
    struct eg_buf file;
    eg_buf_init(&file, TRUST_MAX);
    enum eg_status status = trust_load(&file, err);
    struct eg_slice rest = eg_buf_slice(&file), h, p;
    while (status == EG_OK && record_next(&rest, &h, &p)) {
        char path[PATH_MAX], hex[HEX + 1];
        struct eg_buf text;
        if (p.n >= sizeof path)
            continue;
        memcpy(path, p.p, p.n);
        path[p.n] = 0;
        eg_buf_init(&text, EG_FILE_POLICY_MAX);
        int state = 2;
        if (eg_file_read(path, &text, NULL, NULL) == EG_OK) {
            hash_of(eg_buf_slice(&text), hex);
            state = memcmp(hex, h.p, HEX) == 0 ? 0 : 1;
        }
        eg_buf_done(&text);
        each(ctx, path, state);
    }
    eg_buf_done(&file);
    return status;
}
