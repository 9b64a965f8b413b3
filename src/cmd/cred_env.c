/* cred_env.c - the environment of a program that is a credential's source.
 *
 * Invariant: nothing comes from our environment but what a table here names; a variable that is a
 * key itself goes to the one program that it is for. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/creds.h"

/* Where a user's things are. */
static const char *const common[] = {
    "HOME", "USER", "LOGNAME", "LANG", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "GNUPGHOME"
};

/* Of programs that are named without a slash, so that we know which they are. */
static const struct {
    const char *program; /* NULL: any of them */
    const char *name;
} special[] = {
    { NULL, "XDG_CONFIG_HOME" },
    { NULL, "XDG_DATA_HOME" },
    { NULL, "DISPLAY" }, /* to ask for a passphrase */
    { NULL, "WAYLAND_DISPLAY" },
    { NULL, "XAUTHORITY" },
    { NULL, "HTTPS_PROXY" },
    { NULL, "https_proxy" },
    { NULL, "NO_PROXY" },
    { NULL, "no_proxy" },
    { NULL, "SSL_CERT_FILE" },
    { NULL, "SSL_CERT_DIR" },
    { "op", "OP_ACCOUNT" },
    { "op", "OP_CONNECT_HOST" },
    { "op", "OP_CONNECT_TOKEN" },
    { "op", "OP_SERVICE_ACCOUNT_TOKEN" },
    { "bw", "BITWARDENCLI_APPDATA_DIR" },
    { "bw", "BW_SESSION" },
    { "pass", "PASSWORD_STORE_DIR" },
    { "gh", "GH_CONFIG_DIR" },
    { "gcloud", "CLOUDSDK_CONFIG" },
    { "gcloud", "CLOUDSDK_ACTIVE_CONFIG_NAME" },
    { "aws", "AWS_PROFILE" },
    { "aws", "AWS_CONFIG_FILE" },
    { "aws", "AWS_SHARED_CREDENTIALS_FILE" },
    { "aws", "AWS_CA_BUNDLE" },
    { "aws", "AWS_REGION" },
    { "aws", "AWS_DEFAULT_REGION" },
    { "aws", "AWS_ROLE_ARN" },
    { "aws", "AWS_ROLE_SESSION_NAME" },
    { "aws", "AWS_WEB_IDENTITY_TOKEN_FILE" },
};

enum {
    COMMON = sizeof common / sizeof *common,
    SPECIAL = sizeof special / sizeof *special,
    FIXED = 3
};

static bool add(char **env, unsigned *n, const char *name, const char *value)
{
    if (value && asprintf(&env[*n], "%s=%s", name, value) < 0) {
        env[*n] = NULL;
        return false;
    }
    *n += value != NULL;
    return true;
}

enum eg_status eg_cred_env_make(const struct eg_environ *from, const char *bare, char ***ret)
{
    unsigned n = 0;
    char **env = calloc(COMMON + SPECIAL + FIXED + 1, sizeof *env);
    if (!env)
        return EG_NOMEM;
    bool whole =
        add(env, &n, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") &&
        add(env, &n, "TERM", "dumb") &&
        /* the child of `run` can write to what Python would run from HOME */
        add(env, &n, "PYTHONNOUSERSITE", "1");
    for (unsigned i = 0; whole && i < COMMON; i++)
        whole = add(env, &n, common[i], eg_environ_get(from, common[i]));
    for (unsigned i = 0; whole && bare && i < SPECIAL; i++)
        if (!special[i].program || strcmp(special[i].program, bare) == 0)
            whole = add(env, &n, special[i].name, eg_environ_get(from, special[i].name));
    if (!whole) {
        eg_cred_env_free(env);
        return EG_NOMEM;
    }
    *ret = env;
    return EG_OK;
}

void eg_cred_env_free(char **env)
{
    for (char **e = env; e && *e; e++) {
        sodium_memzero(*e, strlen(*e));
        free(*e);
    }
    free(env);
}
