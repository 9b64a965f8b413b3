/* init_find.c - finds what a first policy should name. It reads plain files and names of variables, asks no program and no host, and believes nothing: a host
 * is taken when it is a host's name and nothing else. A file that can't be read is no finding. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/uri.h"
#include "cmd/files.h"
#include "cmd/init.h"

enum { FILE_MAX = 4 << 20 };

static void add(struct eg_init_hosts *hosts, struct eg_slice name)
{
    struct eg_authority at;
    if (hosts->count == EG_INIT_HOSTS || eg_authority_parse(name, 443, &at, NULL) != EG_OK || at.literal)
        return;
    struct eg_slice host = eg_authority_host(&at);
    if (eg_slice_index(host, '.') < 0)
        return;
    for (unsigned i = 0; i < hosts->count; i++)
        if (eg_slice_eq(eg_slice_str(hosts->list[i]), host))
            return;
    snprintf(hosts->list[hosts->count++], EG_INIT_HOST, "%.*s", (int)host.n, host.p);
}

/* "https://user@host:port/path" from its scheme on: the authority without the user. */
static struct eg_slice authority_of(struct eg_slice url)
{
    struct eg_slice rest = eg_slice_from(url, eg_slice_starts(url, EG_SLICE("https://")) ? 8 : 7);
    size_t n = 0;
    while (n < rest.n && !strchr("/?# \t\r\n\"'<>,|)]}", rest.p[n]))
        n++;
    rest.n = n;
    for (size_t i = n; i > 0; i--)
        if (rest.p[i - 1] == '@')
            return eg_slice_from(rest, i);
    return rest;
}

void eg_init_urls(struct eg_slice text, const char *token, struct eg_init_hosts *ret)
{
    struct eg_slice mark = eg_slice_str(token);
    bool behind = mark.n == 0;
    for (size_t i = 0; i < text.n; i++) {
        struct eg_slice rest = eg_slice_from(text, i);
        if (text.p[i] == '\n')
            behind = mark.n == 0;
        else if (!behind && eg_slice_starts(rest, mark))
            behind = true;
        else if (behind && text.p[i] == 'h' &&
                 (eg_slice_starts(rest, EG_SLICE("https://")) || eg_slice_starts(rest, EG_SLICE("http://"))))
            add(ret, authority_of(rest));
    }
}

static bool read_at(const char *folder, const char *name, struct eg_buf *text)
{
    char path[4096];
    eg_buf_reset(text);
    if (!folder || snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return false;
    return eg_file_read(path, text, NULL, NULL) == EG_OK;
}

/* ---- package managers ---- */

static const struct manager {
    const char *preset, *ask;
    const char *files[6];     /* that one of these is here says that it is used */
    const char *variables[3]; /* that name the registry */
    struct {
        const char *file, *token; /* "~/" : of the home folder */
    } sources[7];
} managers[] = {
    { "npm", "npm config get registry",
      { "package.json", "package-lock.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock" },
      { "npm_config_registry", "NPM_CONFIG_REGISTRY" },
      { { ".npmrc", "registry" }, { "~/.npmrc", "registry" }, { "package-lock.json", "\"resolved\"" }, { "yarn.lock", "resolved" },
        { ".yarnrc.yml", "npmRegistryServer" } } },
    { "pip", "pip config get global.index-url",
      { "requirements.txt", "pyproject.toml", "uv.lock", "poetry.lock", "setup.py", "Pipfile" },
      { "PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX" },
      { { "requirements.txt", "index-url" }, { "~/.config/pip/pip.conf", "index-url" }, { "~/.pip/pip.conf", "index-url" },
        { "Pipfile", "url" }, { "uv.lock", "registry = " }, { "uv.lock", "url = " }, { "pyproject.toml", "url = " } } },
    { "cargo", "cat ~/.cargo/config.toml",
      { "Cargo.toml", "Cargo.lock" },
      { NULL },
      { { ".cargo/config.toml", "registry = " }, { "~/.cargo/config.toml", "registry = " }, { "~/.cargo/config.toml", "index = " } } },
    { "go", "go env GOPROXY GOSUMDB",
      { "go.mod", "go.sum", "go.work" },
      { "GOPROXY" },
      { { "~/.config/go/env", "GOPROXY=" } } },
    { "rubygems", "gem sources",
      { "Gemfile", "Gemfile.lock" },
      { NULL },
      { { "Gemfile", "source " }, { "Gemfile.lock", "remote: " }, { "~/.gemrc", "" } } },
    { "maven", "mvn help:effective-settings",
      { "pom.xml", "build.gradle", "build.gradle.kts" },
      { NULL },
      { { "~/.m2/settings.xml", "<url>" }, { "build.gradle", "url" } } },
    { "composer", "composer config repositories",
      { "composer.json", "composer.lock" },
      { NULL },
      { { "composer.json", "\"url\"" } } },
};

static void find_hosts(const struct manager *m, const char *home, struct eg_buf *text, struct eg_init_manager *ret)
{
    for (unsigned i = 0; i < 3 && m->variables[i]; i++) {
        const char *value = getenv(m->variables[i]);
        eg_init_urls(eg_slice_str(value ? value : ""), "", &ret->hosts);
        if (ret->hosts.count > 0 && !ret->place[0])
            snprintf(ret->place, sizeof ret->place, "%s", m->variables[i]);
    }
    for (unsigned i = 0; i < 7 && m->sources[i].file; i++) {
        const char *file = m->sources[i].file;
        bool at_home = strncmp(file, "~/", 2) == 0;
        if (!read_at(at_home ? home : ".", file + (at_home ? 2 : 0), text))
            continue;
        eg_init_urls(eg_buf_slice(text), m->sources[i].token, &ret->hosts);
        if (ret->hosts.count > 0 && !ret->place[0])
            snprintf(ret->place, sizeof ret->place, "%s", file);
    }
}

static void find_managers(const char *home, struct eg_buf *text, struct eg_init_found *ret)
{
    for (size_t i = 0; i < sizeof managers / sizeof *managers; i++) {
        const struct manager *m = &managers[i];
        for (unsigned k = 0; k < 6 && m->files[k]; k++) {
            if (access(m->files[k], F_OK) != 0)
                continue;
            struct eg_init_manager *one = &ret->managers[ret->manager_count++];
            *one = (struct eg_init_manager){ .preset = m->preset, .file = m->files[k], .ask = m->ask };
            find_hosts(m, home, text, one);
            break;
        }
    }
}

/* ---- git ---- */

bool eg_init_remote(struct eg_slice url, bool *ssh, char host[EG_INIT_HOST])
{
    struct eg_init_hosts found = { 0 };
    struct eg_slice rest = url;
    url = eg_slice_trim(url);
    *ssh = !eg_slice_starts(url, EG_SLICE("https://")) && !eg_slice_starts(url, EG_SLICE("http://"));
    if (!*ssh) {
        add(&found, authority_of(url));
    } else {
        bool scheme = eg_slice_starts(url, EG_SLICE("ssh://"));
        rest = scheme ? eg_slice_from(url, 6) : url;
        size_t n = 0;
        while (n < rest.n && rest.p[n] != '/' && rest.p[n] != ':')
            n++;
        if (!scheme && (n == rest.n || rest.p[n] != ':'))
            return false; /* a path of this machine */
        rest.n = n;
        long at = eg_slice_index(rest, '@');
        add(&found, eg_slice_from(rest, (size_t)(at + 1)));
    }
    if (found.count > 0)
        memcpy(host, found.list[0], EG_INIT_HOST);
    return found.count > 0;
}

static void find_remotes(struct eg_buf *text, struct eg_init_found *ret)
{
    if (!read_at(".", ".git/config", text))
        return;
    struct eg_slice rest = eg_buf_slice(text);
    bool remote = false;
    while (rest.n > 0) {
        long end = eg_slice_index(rest, '\n');
        struct eg_slice line = eg_slice_trim(end < 0 ? rest : eg_slice(rest.p, (size_t)end));
        char host[EG_INIT_HOST];
        bool ssh;
        rest = end < 0 ? EG_SLICE_NONE : eg_slice_from(rest, (size_t)end + 1);
        if (line.n > 0 && line.p[0] == '[')
            remote = eg_slice_starts(line, EG_SLICE("[remote "));
        long equals = eg_slice_index(line, '=');
        bool url = equals > 0 && eg_slice_eq(eg_slice_trim(eg_slice(line.p, (size_t)equals)), EG_SLICE("url"));
        if (remote && url && eg_init_remote(eg_slice_from(line, (size_t)equals + 1), &ssh, host))
            add(ssh ? &ret->ssh : &ret->https, eg_slice_str(host));
    }
}

/* ---- services ---- */

/* "env:NAME" of a credential, wherever it stands below it. */
static void find_variables(const struct eg_yaml *node, struct eg_slice *ret)
{
    if (node->kind == EG_YAML_TEXT && ret->n == 0 && eg_slice_starts(node->text, EG_SLICE("env:")))
        *ret = eg_slice_from(node->text, 4);
    for (const struct eg_yaml *n = node->first; n; n = n->next)
        find_variables(n, ret);
}

/* Two presets by one variable (of an API, and of git): the first by name, but one that can be used beats one that can't. */
static void keep(struct eg_init_found *ret, struct eg_init_service s)
{
    for (unsigned i = 0; i < ret->service_count; i++) {
        if (strcmp(ret->services[i].variable, s.variable) != 0)
            continue;
        if (ret->services[i].intercept && !s.intercept)
            ret->services[i] = s;
        return;
    }
    if (ret->service_count < EG_INIT_SERVICES)
        ret->services[ret->service_count++] = s;
}

static struct eg_init_service service(const struct eg_yaml *root, const struct eg_preset *p,
                                      const char *variable, bool intercept)
{
    struct eg_init_service s = { .preset = p, .variable = variable, .intercept = intercept };
    struct eg_init_hosts hosts = { 0 };
    const struct eg_yaml *services = eg_yaml_get(root, "services");
    const struct eg_yaml *upstream = services && services->first ? eg_yaml_get(services->first, "upstream") : NULL;
    if (upstream)
        eg_init_urls(upstream->text, "", &hosts);
    if (hosts.count > 0)
        memcpy(s.host, hosts.list[0], sizeof s.host);
    return s;
}

static enum eg_status find_services(struct eg_arena *arena, struct eg_init_found *ret)
{
    struct eg_diags *diags = NULL;
    enum eg_status st = eg_diags_new(&diags);
    for (unsigned i = 0; st == EG_OK && eg_preset_each(i); i++) {
        const struct eg_preset *p = eg_preset_each(i);
        struct eg_source source = { .layer = EG_LAYER_PRESET, .trusted = true };
        struct eg_preset_head head;
        struct eg_yaml *root;
        struct eg_slice name = EG_SLICE_NONE;
        if (p->kind != EG_PRESET_SERVICE)
            continue;
        st = eg_preset_open(p, arena, diags, &source, &head, &root);
        const struct eg_yaml *credentials = st == EG_OK ? eg_yaml_get(root, "credentials") : NULL;
        if (credentials)
            find_variables(credentials, &name);
        const char *variable = name.n ? eg_arena_dup(arena, name) : NULL;
        const char *value = variable ? getenv(variable) : NULL;
        bool needs = false;
        for (unsigned k = 0; st == EG_OK && k < head.count; k++)
            needs = needs || head.params[k].standard.n == 0;
        if (value && *value && !needs)
            keep(ret, service(root, p, variable, head.intercept));
    }
    eg_diags_free(diags);
    return st;
}

enum eg_status eg_init_find(struct eg_arena *arena, struct eg_init_found *ret)
{
    struct eg_buf text;
    const char *home = getenv("HOME");
    memset(ret, 0, sizeof *ret);
    eg_buf_init(&text, FILE_MAX);
    find_managers(home, &text, ret);
    find_remotes(&text, ret);
    eg_buf_done(&text);
    return find_services(arena, ret);
}
