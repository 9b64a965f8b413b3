/* oauth.c - see oauth.h. A failure of anything fails the test; nothing of egressd is looked at but by its own commands and records. */
#include "support/oauth.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const NAMES[] = { "api.example.test=127.0.0.1", NULL };

void oauth_origins(struct eg_world *w)
{
    eg_world_new(w);
    eg_world_origin(w, NULL);
    eg_world_dns(w, NAMES);
}

void oauth_put_secret(const struct eg_world *w, const char *name, const char *text)
{
    eg_world_write(w, name, text);
    cr_assert(chmod(eg_world_path(w, name), 0600) == 0);
}

int oauth_ask(const struct eg_world *w, const char *path, const char *key, char **body)
{
    struct eg_client c;
    char head[8192];
    eg_client_open(&c, w->proxy_port);
    eg_client_text(&c, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s%s%s\r\n", path, w->proxy_port,
                   key ? "Authorization: Bearer " : "", key ? key : "", key ? "\r\n" : "");
    int status = eg_client_response(&c, head, sizeof head, body, NULL);
    eg_client_close(&c);
    return status;
}

void oauth_tell(const struct eg_world *w, const char *word)
{
    char path[64];
    snprintf(path, sizeof path, "/as/set?%s", word);
    cr_assert_eq(oauth_ask(w, path, NULL, NULL), 200);
}

long oauth_counted(const struct eg_world *w, const char *key)
{
    char *body = NULL;
    cr_assert_eq(oauth_ask(w, "/as/state", NULL, &body), 200);
    long n = eg_json_number(body, NULL, key);
    free(body);
    return n;
}

void oauth_phantom(const struct eg_world *w, char *out, size_t cap)
{
    char *text = NULL;
    cr_assert(eg_ctl_run(w, &text, "env", "--session", "default", "--format", "json", NULL) == 0,
              "%s", text);
    cr_expect(strstr(text, "oauth2~") == NULL, "%s", text);
    eg_json_text(text, "API_KEY", out, cap);
    free(text);
}

unsigned oauth_at_origin(const struct eg_world *w, const char *text)
{
    unsigned n = 0;
    size_t size = strlen(text);
    char *rec = eg_world_read(w, "origin.rec", NULL);
    for (const char *p = rec; (p = strstr(p, text)); p += size)
        n++;
    free(rec);
    return n;
}

void oauth_reload(const struct eg_world *w, unsigned count)
{
    cr_assert(kill(w->egressd.pid, SIGHUP) == 0);
    cr_assert(eg_world_await_event(w, count, "\"reloaded\"", "generation"));
}
