/* compile.h - policy files to one block: yaml (libfyaml events) -> model (typed by one schema table) -> compile. Every problem of every file is reported
 * in one run; nothing is compiled when there is an error. Pure but for the callbacks. */
#ifndef EG_POLICY_COMPILE_H
#define EG_POLICY_COMPILE_H

#include "policy/policy.h"

struct eg_policy_file {
    const char *path;       /* as messages show it */
    struct eg_slice text;
    enum eg_layer layer;
    bool trusted;           /* org, user, command line, egressd --policy, or trusted by hash (eg_policy_reader.trust) */
};

/* One entry of `tests`, as it is written and found to be one. What it asks: policy/tests.h. */
enum eg_test_expect { EG_EXPECT_ALLOW, EG_EXPECT_DENY, EG_EXPECT_WOULD_DENY };
struct eg_policy_test {
    const char *file;
    uint32_t line, column;
    struct eg_slice connect, request; /* one of them */
    struct eg_slice service, address, rule, reason; /* may be empty */
    enum eg_test_expect expect;
    enum eg_scheme scheme; /* NONE: whatever flows */
};

/* Reads a file that the policy names (certificates) into out; relative paths are relative to the naming file's folder. Errors become diagnostics at the key. */
struct eg_policy_reader {
    enum eg_status (*read)(void *ctx, const char *path, struct eg_buf *out, struct eg_err *err);
    void *ctx;
    const struct eg_addr *own_addresses; /* of this machine's interfaces: denied unless networks.allow names them */
    unsigned own_count;
    const struct eg_upstream_choice *upstream; /* NULL: only the policy's */
    bool observe;      /* --observe: the command line's mode, over that of every file */
    bool allow_remote; /* --allow-remote: a listener on other than loopback addresses needs no client certificates */
    void (*test)(void *ctx, const struct eg_policy_test *t); /* every entry of `tests` of every file, once the policy is compiled; NULL: nobody asks. Copy what is kept */
    void *test_ctx;
    const char *revision; /* "REV:", with which the paths of files begin that are read from one; NULL: none are */

    /* Reads a policy file that another one extends; the text is ctx's and lives as long as the compilation. below: NULL, or the end of path that must be
     * reached without a symbolic link (else EG_PERMISSION without an errno), since who wrote the naming file is not trusted. Relative paths are as with read. NULL: no
     * policy extends a file here. */
    enum eg_status (*extend)(void *ctx, const char *path, const char *below, struct eg_slice *text, struct eg_err *err);
    /* Both NULL: a file is as trusted as it is given. Was the file, which is given as not trusted, ever trusted in some form? If not, nothing is read
     * that an untrusted one may not name. */
    bool (*recorded)(void *ctx, const struct eg_policy_file *file);
    /* Is it, with exactly these files that it extends (in the order in which they are met)? */
    bool (*trust)(void *ctx, const struct eg_policy_file *file, const struct eg_policy_file *parts, unsigned count);
};

/* All files that a file extends, directly or not, as they are given to eg_policy_reader.trust. Presets are none. EG_INVALID: one can't be read, or they are too
 * many; err tells. */
typedef enum eg_status eg_policy_take_parts(void *ctx, const struct eg_policy_file *parts, unsigned count, struct eg_err *err);
enum eg_status eg_policy_parts(const struct eg_policy_file *file, const struct eg_policy_reader *reader, eg_policy_take_parts *take, void *ctx,
                               struct eg_err *err) EG_MUST_USE;

/* What stands outside the policy files and may choose the proxies: the command line (from EG_UPSTREAM_OPTION: beats every policy), or the
 * environment (EG_UPSTREAM_ENV: only where the policy says `upstream: env` or nothing). hop.credential names a credential that the caller provides; it is bound to the
 * hop's host, and its name should be one that no policy may give ([a-z0-9._-]). An empty hop.text is filled in. Texts are copied. A list that can't be a
 * chain (too long, ssh behind the first hop) is EG_INVALID of eg_policy_compile. */
struct eg_upstream_choice {
    enum eg_upstream_from from;
    const struct eg_hop *secure, *plain;
    unsigned secure_count, plain_count;
    const struct eg_slice *bypass; /* items of NO_PROXY: host, .suffix, address, CIDR, each with an optional port; "*" is everything */
    unsigned bypass_count;
};

/* One proxy URL: scheme http, https, socks5, socks5h, socks5+tls, ssh, or a bare host:port (http). One slash at its end is harmless; path, query and
 * fragment are errors. *user and *password are the percent-decoded userinfo, in room (>= url.n bytes, which the caller wipes); empty when there is none.
 * ret->text, user and credential are not set. At most 8192 bytes. Errors never repeat a byte of the userinfo. EG_INVALID. */
enum eg_status eg_proxy_url_parse(struct eg_slice url, char *room, struct eg_hop *ret, struct eg_slice *user, struct eg_slice *password,
                                  struct eg_err *err) EG_MUST_USE;

enum { EG_HOP_TEXT = EG_AUTHORITY_TEXT + 16 };
/* "socks5://host:1080" of a hop, for eg_hop.text and messages: scheme, host and port, never user or password. Returns out; cap >= EG_HOP_TEXT. */
char *eg_hop_format(const struct eg_hop *hop, char *out, size_t cap);

enum eg_severity { EG_DIAG_ERROR, EG_DIAG_WARNING };
struct eg_diag {
    enum eg_severity severity;
    const char *code;         /* stable: "unknown-key" ... */
    const char *file;
    uint32_t line, column;    /* from 1; 0: the file as a whole */
    uint32_t width;           /* of the caret's underline, columns */
    const char *text;         /* sentence; never the value of something that looks like a secret */
    const char *fix;          /* may be NULL */
    struct eg_slice source;   /* the line; of a long one the part around the column; what looks like a secret is masked */
    uint32_t source_column;   /* the column at which source begins */
};
struct eg_diags; /* growing list with a ceiling of 1,000, owns its texts */

enum eg_status eg_diags_new(struct eg_diags **ret) EG_MUST_USE;
void eg_diags_free(struct eg_diags *d);
unsigned eg_diags_count(const struct eg_diags *d, enum eg_severity severity);
unsigned eg_diags_total(const struct eg_diags *d);
const struct eg_diag *eg_diags_at(const struct eg_diags *d, unsigned i); /* sorted by file, line, column */
/* "file:line:col: error[code]: sentence", the line, a caret, "  fix: ...". color: ANSI. */
enum eg_status eg_diag_render(const struct eg_diag *diag, bool color, struct eg_buf *out) EG_MUST_USE;
/* All of them, and how many more there are. */
enum eg_status eg_diags_render(const struct eg_diags *d, bool color, struct eg_buf *out) EG_MUST_USE;

/* EG_OK: block holds the compiled policy (its ceiling is the caller's buf.max). EG_INVALID: diags tell. EG_NOMEM, EG_TOO_BIG. */
enum eg_status eg_policy_compile(const struct eg_policy_file *files, unsigned count, const struct eg_policy_reader *reader, struct eg_diags *diags,
                                 struct eg_buf *block, struct eg_err *err) EG_MUST_USE;

#endif
