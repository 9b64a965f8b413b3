/* trust.c - the trust file: records "HEX  PATH\n", one a file.
 *
 * Invariants: what is compared is the hash of the texts that will be used; a trust file that
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
#include "cmd/parts.h"

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

static void add_framed(crypto_generichash_state *state, const char *p, size_t n)
{
    unsigned char size[8];
    for (size_t i = 0; i < sizeof size; i++)
        size[i] = (unsigned char)((uint64_t)n >> 8 * i);
    crypto_generichash_update(state, size, sizeof size);
    crypto_generichash_update(state, (const unsigned char *)p, n);
}

/* A part's path is taken as it is below the file's folder, so that it does not matter from where the file is named. */
static const char *below_folder(const char *path, const char *part)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    return strncmp(part, path, n) == 0 ? part + n : part;
}

/* Of a file that extends none: its text's own hash. Else keyed, so that no text alone has it. */
static void hash_of(const char *path, struct eg_slice text, const struct eg_policy_file *parts,
                    unsigned count, char hex[HEX + 1])
{
    static const unsigned char key[] = "egress: a file and all it extends";
    unsigned char hash[HASH];
    crypto_generichash_state state;
    if (count == 0) {
        crypto_generichash(hash, sizeof hash, (const unsigned char *)text.p, text.n, NULL, 0);
    } else {
        crypto_generichash_init(&state, key, sizeof key, sizeof hash);
        add_framed(&state, text.p, text.n);
        for (unsigned i = 0; i < count; i++) {
            const char *name = below_folder(path, parts[i].path);
            add_framed(&state, name, strlen(name));
            add_framed(&state, parts[i].text.p, parts[i].text.n);
        }
        crypto_generichash_final(&state, hash, sizeof hash);
    }
    sodium_bin2hex(hex, HEX + 1, hash, sizeof hash);
}

/* The hash of a file as it is now, with all that it extends. */
struct reviewed {
    const char *path;
    struct eg_slice text;
    struct eg_buf *covers;
    char hex[HEX + 1];
};

static enum eg_status take_parts(void *ctx, const struct eg_policy_file *parts, unsigned count,
                                 struct eg_err *err)
{
    struct reviewed *r = ctx;
    enum eg_status status = EG_OK;
    (void)err;
    hash_of(r->path, r->text, parts, count, r->hex);
    for (unsigned i = 0; i < count && r->covers && status == EG_OK; i++)
        status = eg_buf_printf(r->covers, "%s\n", parts[i].path);
    return status;
}

static enum eg_status hash_now(const char *path, struct eg_buf *covers, char hex[HEX + 1],
                               struct eg_err *err)
{
    struct eg_buf text;
    struct eg_parts parts = { 0 };
    const struct eg_policy_reader reader = { .extend = eg_parts_read, .ctx = &parts };
    eg_buf_init(&text, EG_FILE_POLICY_MAX);
    enum eg_status status = eg_file_read(path, &text, NULL, err);
    struct reviewed r = { .path = path, .text = eg_buf_slice(&text), .covers = covers };
    const struct eg_policy_file file = { path, r.text, EG_LAYER_REPO, true };
    if (status == EG_OK)
        status = eg_policy_parts(&file, &reader, take_parts, &r, err);
    memcpy(hex, r.hex, sizeof r.hex);
    eg_parts_done(&parts);
    eg_buf_done(&text);
    return status;
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

/* Is the file in the folder that its path names? What it says of files beside it is read there. */
static bool stays_in_folder(const char *path, const char *full)
{
    char folder[PATH_MAX], real[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + 1 : 0, k = (size_t)(strrchr(full, '/') - full);
    if (n >= sizeof folder)
        return false;
    memcpy(folder, path, n);
    folder[n] = '\0';
    if (!realpath(n > 0 ? folder : ".", real))
        return false;
    return strncmp(real, full, k) == 0 && strcmp(real + k, k > 0 ? "" : "/") == 0;
}

/* EG_INVALID: a link leads to a file in another folder. */
static enum eg_status absolute(const char *path, char out[PATH_MAX], struct eg_err *err)
{
    if (!realpath(path, out))
        return eg_err_set(err, errno == ENOENT ? EG_NOT_FOUND : EG_IO, "trust", errno, "%.120s",
                          path);
    if (!stays_in_folder(path, out))
        return eg_err_set(err, EG_INVALID, "trust", 0,
                          "%.120s is a link to another folder: name the file itself", path);
    if (strchr(out, '\n'))
        return eg_err_set(err, EG_INVALID, "trust", 0, "a path with a line break can't be trusted");
    return EG_OK;
}

/* The path's record; is it this hash, where one is given? */
static bool has_record(const char *full, const char *hex, struct eg_err *err)
{
    struct eg_buf file;
    bool found = false;
    eg_buf_init(&file, TRUST_MAX);
    if (trust_load(&file, err) == EG_OK) {
        struct eg_slice rest = eg_buf_slice(&file), h, p;
        while (record_next(&rest, &h, &p))
            if (eg_slice_eq(p, eg_slice_str(full)) && (!hex || sodium_memcmp(h.p, hex, HEX) == 0))
                found = true;
    }
    eg_buf_done(&file);
    return found;
}

enum eg_status eg_trust_check(const char *path, struct eg_slice text,
                              const struct eg_policy_file *parts, unsigned count, bool *trusted,
                              struct eg_err *err)
{
    char full[PATH_MAX], hex[HEX + 1];
    *trusted = false;
    if (absolute(path, full, err) != EG_OK)
        return EG_OK;
    hash_of(path, text, parts, count, hex);
    *trusted = has_record(full, hex, err);
    return EG_OK;
}

bool eg_trust_recorded(const char *path)
{
    char full[PATH_MAX];
    return absolute(path, full, NULL) == EG_OK && has_record(full, NULL, NULL);
}

bool eg_trust_holds(const char *path)
{
    char full[PATH_MAX], hex[HEX + 1];
    return absolute(path, full, NULL) == EG_OK && hash_now(path, NULL, hex, NULL) == EG_OK &&
           has_record(full, hex, NULL);
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

enum eg_status eg_trust_add(const char *path, struct eg_buf *covers, struct eg_err *err)
{
    char full[PATH_MAX], hex[HEX + 1];
    bool found;
    enum eg_status status = absolute(path, full, err);
    if (status == EG_OK)
        status = hash_now(path, covers, hex, err);
    return status == EG_OK ? trust_change(full, hex, &found, err) : status;
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
        if (p.n >= sizeof path)
            continue;
        memcpy(path, p.p, p.n);
        path[p.n] = 0;
        enum eg_status now = hash_now(path, NULL, hex, NULL);
        int state = now != EG_OK && access(path, R_OK) < 0       ? 2
                    : now == EG_OK && memcmp(hex, h.p, HEX) == 0 ? 0
                                                                 : 1;
        each(ctx, path, state);
    }
    eg_buf_done(&file);
    return status;
}
