/* cred.h - credentials: where they come from, how they are kept, their phantoms, and how one is
 * put in place of the other. */
#ifndef EG_CRED_CRED_H
#define EG_CRED_CRED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/slice.h"

/* ---- store: named credentials of one process, in its vault ---- */

struct eg_creds;
/* The vault is borrowed and must outlive it. EG_NOMEM. */
enum eg_status eg_creds_new(struct eg_vault *vault, struct eg_creds **ret) EG_MUST_USE;
/* Wipes every secret. NULL is fine. */
void eg_creds_free(struct eg_creds *c);
/* Stores or replaces; a failure leaves what was there. The caller wipes bytes. EG_INVALID for a
 * name of 0 or more than 255 bytes or an empty value, EG_TOO_BIG when the vault or the store is
 * full, EG_NOMEM. */
enum eg_status eg_creds_put(struct eg_creds *c, struct eg_slice name, const void *bytes, size_t n,
                            struct eg_err *err) EG_MUST_USE;
/* Records that the source failed, with its status and sentence (no secrets). A value that was
 * there is wiped. */
enum eg_status eg_creds_fail(struct eg_creds *c, struct eg_slice name,
                             const struct eg_err *why) EG_MUST_USE;
/* NULL when absent or failed; *why (may be NULL) is then overwritten with the reason. Valid
 * until the next put, fail or drop of that name. */
const struct eg_secret *eg_creds_get(const struct eg_creds *c, struct eg_slice name,
                                     struct eg_err *why);
/* Wipes and forgets the name, loaded or failed. */
void eg_creds_drop(struct eg_creds *c, struct eg_slice name);
/* It exists and was not read yet (load: lazy): get gives NULL and why->status is EG_AGAIN. What was there is wiped. */
enum eg_status eg_creds_lazy(struct eg_creds *c, struct eg_slice name) EG_MUST_USE;
/* Field f of the credential ("NAME#f"); the credential itself for an empty f. As eg_creds_get. */
const struct eg_secret *eg_creds_field(const struct eg_creds *c, struct eg_slice name,
                                       struct eg_slice f, struct eg_err *why);
/* Grows with each change of that name by put, and no two changes of any names have the same; 0: never put. For telling whether a refused credential has been
 * replaced since: of several names the greatest tells. */
uint32_t eg_creds_version(const struct eg_creds *c, struct eg_slice name);
/* The greatest version there is: while it is the same, no name's has changed. UINT32_MAX: it grows no more. */
uint32_t eg_creds_changes(const struct eg_creds *c);
/* Names that have their secret; failed ones do not count. */
unsigned eg_creds_count(const struct eg_creds *c);

/* ---- sources: read by a short-lived helper process of the supervisor, never on a loop.
 * Blocking. ---- */

enum { EG_CREDENTIAL_MAX = 16384 };
/* In all of them: out is empty, its ceiling at least the value's length (EG_CREDENTIAL_MAX + 2
 * takes any), and the caller wipes it (eg_buf_wipe). Failures leave it wiped. Errors name the
 * reference, never the value.
 *
 * What every value must satisfy, also one from the environment (getenv's result, copied by the
 * caller before the environment was wiped): one newline at its end is dropped; NUL, CR, LF or
 * other control bytes inside are EG_INVALID, but for line breaks and tabs in a text (a PEM key);
 * empty or blank is EG_NOT_FOUND; longer than EG_CREDENTIAL_MAX is EG_TOO_BIG. */
enum eg_status eg_source_check(struct eg_buf *value, bool text, struct eg_err *err) EG_MUST_USE;
/* EG_PERMISSION when it is open to group or world, a symbolic link, not a regular file or of an
 * owner who is neither us nor root; EG_NOT_FOUND, EG_IO, and as eg_source_check. */
enum eg_status eg_source_file(const char *path, bool text, struct eg_buf *out,
                              struct eg_err *err) EG_MUST_USE;
/* The file `name` (no slash) in systemd's $CREDENTIALS_DIRECTORY, which is judged as
 * eg_source_file does it, but that mode 0440 passes, as systemd shows an ACL of ours. folder NULL:
 * EG_CREDENTIAL_UNAVAILABLE. */
enum eg_status eg_source_systemd(const char *folder, const char *name, bool text,
                                 struct eg_buf *out, struct eg_err *err) EG_MUST_USE;
/* The key of type "user" with that description, searched for in the session keyring, the user
 * session keyring, the user keyring and the user's persistent keyring, in that order. Links
 * keyrings into the calling process' own where it may only so read. EG_NOT_FOUND: nowhere, expired
 * or revoked; EG_PERMISSION; EG_CREDENTIAL_UNAVAILABLE: no such system calls here; and as
 * eg_source_check. */
enum eg_status eg_source_kernel(const char *description, bool text, struct eg_buf *out,
                                struct eg_err *err) EG_MUST_USE;
struct eg_source_command {
    const char *const *argv; /* argv[0]: an absolute path */
    const char *const *env;  /* all of its environment; both end with NULL */
    size_t limit;            /* of its output */
    uint64_t deadline_ms;    /* eg_clock_ms, absolute */
};
/* What the program writes to stdout, as it is (eg_source_check is the caller's). It has no input and
 * no terminal; what it writes to stderr goes nowhere: either may hold the secret, so errors tell
 * only its exit status or signal. It runs in a process group of its own, of which nothing is left
 * when this returns. SIGTERM is blocked meanwhile and makes it return EG_CLOSED. EG_PERMISSION: others
 * than us and root could change the program; EG_NOT_FOUND; EG_IO: it failed or was late;
 * EG_TOO_BIG. out has room for limit + 2 bytes; the caller has SIGCHLD at its default. */
enum eg_status eg_source_cmd(const struct eg_source_command *command, struct eg_buf *out,
                             struct eg_err *err) EG_MUST_USE;
/* The absolute path of a program that is named without a slash, in the system's folders
 * (/usr/local/sbin ... /bin, as login gives them to root): of root, and such that nobody else can
 * change it. path: cap >= EG_PROGRAM_PATH. EG_NOT_FOUND. */
enum { EG_PROGRAM_PATH = 128 };
enum eg_status eg_source_program(const char *name, char *path, struct eg_err *err) EG_MUST_USE;
/* Secret Service over sd-bus (libsystemd.so.0 by dlopen): the first item that has these two
 * attributes (and any others); an empty account asks by service alone. A locked collection is
 * unlocked; its prompt is awaited until deadline_ms (eg_clock_ms, absolute), which bounds
 * everything else too. Needs DBUS_SESSION_BUS_ADDRESS or XDG_RUNTIME_DIR in the environment.
 * EG_NOT_FOUND: no such item, or blank; EG_CREDENTIAL_UNAVAILABLE: no bus, no service, locked,
 * dismissed, too late, or not built in; and as eg_source_check. */
enum eg_status eg_source_keyring(const char *service, const char *account, uint64_t deadline_ms,
                                 bool text, struct eg_buf *out, struct eg_err *err) EG_MUST_USE;

/* Puts a new value in the place of the one that the source gave: a rotated refresh token. The file is
 * judged as eg_source_file does it and written in place; the keyring's item is the one that
 * eg_source_keyring reads. Errors as of reading. */
enum eg_status eg_source_file_put(const char *path, const void *bytes, size_t n,
                                  struct eg_err *err) EG_MUST_USE;
enum eg_status eg_source_keyring_put(const char *service, const char *account, uint64_t deadline_ms,
                                     const void *bytes, size_t n, struct eg_err *err) EG_MUST_USE;

/* ---- phantoms ---- */

enum { EG_PHANTOM_MAX = 512 };
/* Text of a session's phantom for a service: prefix + base62 of keyed BLAKE2b(session_key,
 * service), `length` characters in all (raised to prefix + 24 at least, cut at EG_PHANTOM_MAX).
 * Deterministic. It can't carry a valid CRC-32 in base 62 at its end (GitHub, npm). out: cap >=
 * EG_PHANTOM_MAX + 1. session_key: 16 to 64 bytes. EG_INVALID for another key, and for a prefix
 * above EG_PHANTOM_MAX - 24 or with a byte that is not visible ASCII. */
enum eg_status eg_phantom_make(const struct eg_secret *session_key, struct eg_slice service,
                               struct eg_slice prefix, size_t length, char *out) EG_MUST_USE;

/* ---- tokens ---- */

enum { EG_TOKEN_HEX = 64 };
/* 256 random bits as 64 hex digits and a NUL. */
void eg_token_make(char out[EG_TOKEN_HEX + 1]);
/* The key under which a token or phantom is kept in a table: BLAKE2b-256 with a process-wide
 * random key given by the caller. */
void eg_token_hash(const unsigned char key[32], struct eg_slice token, unsigned char out[32]);
/* Parses the value of Proxy-Authorization or Authorization: Basic (token = password after the
 * first ':'; RFC 7617) or Bearer (RFC 6750); scheme case-insensitive, then one space or more,
 * no list. scratch holds the decoded text (wipe it); *token and *user borrow from it or from
 * value. *user may be NULL; it is empty for Bearer. A Basic value that does not fit into cap is
 * malformed. EG_TOKEN_MISSING: other scheme or nothing; EG_TOKEN_INVALID: malformed or an empty
 * token. */
enum eg_status eg_token_parse(struct eg_slice value, char *scratch, size_t cap,
                              struct eg_slice *user, struct eg_slice *token) EG_MUST_USE;

/* ---- injection ---- */

enum eg_escape { EG_ESCAPE_NONE, EG_ESCAPE_BASE64, EG_ESCAPE_PERCENT };
/* Appends a template of the policy (struct eg_write.text) with the credential's values in it: as they are (a field's value, a cookie), the whole
 * in base64 (Basic), or each value percent-encoded (query, path). out holds the credential afterwards. EG_CREDENTIAL_UNAVAILABLE: a field
 * that the credential has not; EG_INVALID: a byte that can't stand there; EG_TOO_BIG, EG_NOMEM: out keeps what it had. */
enum eg_status eg_inject_template(struct eg_buf *out, struct eg_slice text,
                                  const struct eg_creds *creds, struct eg_slice credential,
                                  enum eg_escape escape, struct eg_err *err) EG_MUST_USE;

/* Are all the values there that a template wants? EG_OK; EG_AGAIN: not read yet (load: lazy); EG_CREDENTIAL_UNAVAILABLE, err tells why. */
enum eg_status eg_inject_ready(struct eg_slice text, const struct eg_creds *creds,
                               struct eg_slice credential, struct eg_err *err) EG_MUST_USE;

/* Appends "NAME: " before + secret + after "\r\n" to out. The bytes of out hold the credential
 * afterwards: wipe it once sent. EG_INVALID for a name that is no token or for control bytes;
 * EG_TOO_BIG, EG_NOMEM: out keeps what it had. */
enum eg_status eg_inject_field(struct eg_buf *out, struct eg_slice name, struct eg_slice before,
                               struct eg_slice after, const struct eg_secret *secret) EG_MUST_USE;
/* "Basic base64(user:secret)" for proxy hops: password is "user:password", or a password with
 * user given. *ret is a new secret in the vault, the caller's: the whole field value.
 * EG_INVALID: a colon in user, or none in password without one. */
enum eg_status eg_inject_basic(struct eg_vault *vault, struct eg_slice user,
                               const struct eg_secret *password, struct eg_secret **ret,
                               struct eg_err *err) EG_MUST_USE;
/* "Bearer TOKEN" for proxy hops (RFC 6750 section 2.1), as eg_inject_basic. EG_INVALID: the token
 * has a byte that is not visible ASCII. */
enum eg_status eg_inject_bearer(struct eg_vault *vault, const struct eg_secret *token,
                                struct eg_secret **ret, struct eg_err *err) EG_MUST_USE;
/* "user:password" as eg_stream_socks5 takes it; its first colon ends the user name. password as
 * eg_inject_basic takes it. EG_INVALID as there. */
enum eg_status eg_inject_login(struct eg_vault *vault, struct eg_slice user,
                               const struct eg_secret *password, struct eg_secret **ret,
                               struct eg_err *err) EG_MUST_USE;

#endif
