/* upstream.h - which proxies the command line or the environment chooses, and their logins. */
#ifndef EG_CMD_UPSTREAM_H
#define EG_CMD_UPSTREAM_H

#include "cmd/options.h"
#include "cmd/supervisor.h"

/* Lives in pages that no core holds and no forked process inherits, since it holds passwords. */
struct eg_sup_upstream;

enum { EG_UPSTREAM_URL_MAX = 4096, EG_UPSTREAM_NO_PROXY_MAX = 16384 };

/* --upstream-proxy: a chain of 1 to EG_HOPS_MAX URLs in order, copied. EG_INVALID: err says which
 * one and why, without a byte of it. EG_NOMEM. */
enum eg_status eg_sup_upstream_option(const char *const *urls, unsigned count,
                                      struct eg_sup_upstream **ret, struct eg_err *err) EG_MUST_USE;
/* https_proxy, HTTPS_PROXY, all_proxy, ALL_PROXY for tunnels, SOCKS and routes; http_proxy,
 * HTTP_PROXY (not where REQUEST_METHOD is set: a CGI client writes it), all_proxy, ALL_PROXY for
 * plain requests; no_proxy, NO_PROXY: the first that is set and not empty. *ret is NULL when none
 * chooses a proxy. A value that is none is no failure yet: a policy may have proxies of its own
 * (eg_sup_upstream_check). EG_NOMEM. */
enum eg_status eg_sup_upstream_environment(const struct eg_environ *e,
                                           struct eg_sup_upstream **ret) EG_MUST_USE;
void eg_sup_upstream_free(struct eg_sup_upstream *u); /* wipes; NULL is fine */

/* For the policy's compiler; borrows from u. NULL for NULL. */
const struct eg_upstream_choice *eg_sup_upstream_choice(const struct eg_sup_upstream *u);
/* Does the compiled policy leave the choice to u? false for NULL. */
bool eg_sup_upstream_in_force(const struct eg_sup_upstream *u, const struct eg_policy *p);
/* EG_INVALID when it does and a variable's value is no proxy; err names the variable. */
enum eg_status eg_sup_upstream_check(const struct eg_sup_upstream *u, const struct eg_policy *p,
                                     struct eg_err *err) EG_MUST_USE;

/* Warns of logins that would cross a network in clear text. */
void eg_sup_upstream_warn(const struct eg_sup_upstream *u, const struct eg_policy *p);

struct eg_sup_upstream_login {
    const char *name;      /* of the credential, as the hop names it: "@upstream-1" */
    struct eg_slice value; /* "user:password" */
    const char *plain;     /* text of a hop that sends it over a network in clear text; or NULL */
};
enum { EG_UPSTREAM_LOGINS = 4 };
unsigned eg_sup_upstream_login_count(const struct eg_sup_upstream *u);
const struct eg_sup_upstream_login *eg_sup_upstream_login(const struct eg_sup_upstream *u,
                                                          unsigned i);

/* All --upstream-proxy of a command line, which are then overwritten where they hold a login. *ret
 * is NULL when there is none. -1 to go on, else 2: the usage error is on stderr. */
int eg_sup_upstream_take(const struct eg_cmd_options *o, const struct eg_cmd_given *given,
                         unsigned count, struct eg_sup_upstream **ret);
/* Overwrites the value of an option, in place, when it holds user or password: /proc/PID/cmdline
 * shows it to everybody. */
void eg_sup_upstream_hide(const char *value);

#endif
