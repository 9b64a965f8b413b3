/* files.c - generated configuration files: programs that read their proxy from a file, or read
 * one before they look at the proxy variables. A program is passed over where the parent set its
 * variable, or its user has a file of their own: what that says is not ours to take away.
 *
 * Texts name the session's token, so that a file is its owner's alone (0400). The folder's path
 * is plain: it needs no quoting in any of these formats. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launch/environment.h"

static const char wgetrc[] = "# made by egressctl run, and removed at its end\n"
                             "use_proxy = on\n"
                             "http_proxy = @URL@\n"
                             "https_proxy = @URL@\n"
                             "no_proxy = 127.0.0.1,localhost\n";

static const char apt_conf[] = "// made by egressctl run, and removed at its end\n"
                               "Acquire::http::Proxy \"@URL@\";\n"
                               "Acquire::https::Proxy \"@URL@\";\n";

static const char docker_json[] =
    "{\"proxies\": {\"default\": {\"httpProxy\": \"@URL@\", \"httpsProxy\": \"@URL@\", "
    "\"noProxy\": \"127.0.0.1,localhost,::1\"}}}\n";

/* pip asks for a newer pip by itself: a refusal that nobody wants to read about. */
static const char pip_conf[] = "# made by egressctl run, and removed at its end\n"
                               "[global]\n"
                               "proxy = @URL@\n"
                               "disable-pip-version-check = true\n";

/* PHP's streams know a proxy only from their context, and no setting reaches that. */
static const char php_ini[] = "; made by egressctl run, and removed at its end\n"
                              "auto_prepend_file = @FOLDER@/proxy.php\n";
static const char php_proxy[] =
    "<?php\n"
    "// made by egressctl run, and removed at its end: streams without a context of their own use "
    "the proxy\n"
    "(static function () {\n"
    "    $url = parse_url((string) getenv('http_proxy'));\n"
    "    if (!isset($url['host'], $url['port'], $url['user'], $url['pass'])) {\n"
    "        return;\n"
    "    }\n"
    "    $login = rawurldecode($url['user']) . ':' . rawurldecode($url['pass']);\n"
    "    stream_context_set_default(['http' => [\n"
    "        'proxy' => 'tcp://' . $url['host'] . ':' . $url['port'],\n"
    "        'request_fulluri' => true,\n"
    "        'header' => ['Proxy-Authorization: Basic ' . base64_encode($login)],\n"
    "    ]]);\n"
    "})();\n";

static const struct eg_file_row {
    const char *variable, *value; /* value: @FOLDER@ is the folder */
    struct {
        const char *name, *text;
    } files[2];
    const char *folder;     /* that the files are in; NULL: none */
    const char *own[2];     /* the user's, below HOME */
    const char *own_config; /* the same below XDG_CONFIG_HOME */
} rows[] = {
    { "WGETRC", "@FOLDER@/wgetrc", { { "wgetrc", wgetrc } }, NULL, { "/.wgetrc" }, NULL },
    { "APT_CONFIG", "@FOLDER@/apt.conf", { { "apt.conf", apt_conf } }, NULL, { NULL }, NULL },
    { "DOCKER_CONFIG",
      "@FOLDER@/docker",
      { { "docker/config.json", docker_json } },
      "docker",
      { "/.docker/config.json" },
      NULL },
    { "PIP_CONFIG_FILE",
      "@FOLDER@/pip.conf",
      { { "pip.conf", pip_conf } },
      NULL,
      { "/.config/pip/pip.conf", "/.pip/pip.conf" },
      "/pip/pip.conf" },
    /* nothing before the colon: the folder that was compiled in */
    { "PHP_INI_SCAN_DIR",
      ":@FOLDER@/php",
      { { "php/egress.ini", php_ini }, { "proxy.php", php_proxy } },
      "php",
      { NULL },
      NULL },
};

static bool is_there(const char *base, const char *below)
{
    char path[4096];
    struct stat st;
    if (!base || *base != '/' || !below)
        return false;
    int n = snprintf(path, sizeof path, "%s%s", base, below);
    return n > 0 && (size_t)n < sizeof path && lstat(path, &st) == 0;
}

static bool wanted(const struct eg_child_env_spec *spec, const struct eg_file_row *row)
{
    const char *home = eg_env_value(spec->parent, EG_SLICE("HOME"));
    const char *config = eg_env_value(spec->parent, EG_SLICE("XDG_CONFIG_HOME"));
    return !eg_env_value(spec->parent, eg_slice_str(row->variable)) &&
           !is_there(home, row->own[0]) && !is_there(home, row->own[1]) &&
           !is_there(config, row->own_config);
}

/* Copies text with the folder and the proxy's URL in their places. */
static enum eg_status fill(struct eg_buf *out, const char *text,
                           const struct eg_child_env_spec *spec, const char *url)
{
    enum eg_status status = EG_OK;
    while (*text && status == EG_OK) {
        struct eg_slice at = eg_slice_str(text);
        bool folder = eg_slice_starts(at, EG_SLICE("@FOLDER@"));
        if (folder || eg_slice_starts(at, EG_SLICE("@URL@"))) {
            status = eg_buf_put(out, eg_slice_str(folder ? spec->files : url));
            text += folder ? sizeof "@FOLDER@" - 1 : sizeof "@URL@" - 1;
        } else {
            size_t n = 1 + strcspn(text + 1, "@");
            status = eg_buf_append(out, text, n);
            text += n;
        }
    }
    return status;
}

enum eg_status eg_env_files(const struct eg_child_env_spec *spec, struct eg_env_list *l)
{
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows && status == EG_OK; i++) {
        struct eg_buf value;
        if (!wanted(spec, &rows[i]))
            continue;
        eg_buf_init(&value, EG_ENV_TEXT_MAX);
        status = fill(&value, rows[i].value, spec, "");
        if (status == EG_OK)
            status = eg_env_set(l, eg_slice_str(rows[i].variable), eg_buf_slice(&value));
        eg_buf_done(&value);
    }
    return status;
}

/* ---- writing them ---- */

static enum eg_status failed(const char *name, int sys, struct eg_err *err)
{
    return eg_err_set(err, EG_IO, "launch", sys,
                      "the file %.60s for the command can't be written; TMPDIR names another place",
                      name);
}

static int write_all(int fd, struct eg_slice text)
{
    while (text.n > 0) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : ENOSPC;
        text = eg_slice_from(text, (size_t)n);
    }
    return 0;
}

static enum eg_status write_file(int folder, const char *name, struct eg_slice text, uid_t owner,
                                 struct eg_err *err)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
    if (fd < 0)
        return failed(name, errno, err);
    int sys = write_all(fd, text);
    if (sys == 0 && owner != geteuid() && fchown(fd, owner, (gid_t)-1) < 0)
        sys = errno;
    if (close(fd) < 0 && sys == 0) /* where a full disk shows on some file systems */
        sys = errno;
    return sys == 0 ? EG_OK : failed(name, sys, err);
}

/* Names are no secret: another user's program has to find them. */
static enum eg_status make_folder(int folder, const char *name, uid_t owner, struct eg_err *err)
{
    if (mkdirat(folder, name, 0700) < 0 ||
        fchmodat(folder, name, owner == geteuid() ? 0700 : 0755, 0) < 0)
        return failed(name, errno, err);
    return EG_OK;
}

static enum eg_status write_row(const struct eg_child_env_spec *spec, const struct eg_file_row *row,
                                int folder, const char *url, uid_t owner, struct eg_err *err)
{
    enum eg_status status = row->folder ? make_folder(folder, row->folder, owner, err) : EG_OK;
    for (unsigned i = 0; i < 2 && row->files[i].name && status == EG_OK; i++) {
        struct eg_buf text;
        eg_buf_init(&text, EG_ENV_TEXT_MAX);
        status = fill(&text, row->files[i].text, spec, url);
        if (status == EG_OK)
            status = write_file(folder, row->files[i].name, eg_buf_slice(&text), owner, err);
        else
            status = failed(row->files[i].name, ENOMEM, err);
        eg_buf_wipe(&text);
        eg_buf_done(&text);
    }
    return status;
}

enum eg_status eg_child_files_write(const struct eg_child_env_spec *spec, uid_t owner,
                                    struct eg_err *err)
{
    char url[EG_ENV_URL_MAX];
    enum eg_status status = eg_env_proxy_url(spec, url);
    int folder = open(spec->files, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (status != EG_OK || folder < 0)
        status = failed("folder", folder < 0 ? errno : EINVAL, err);
    else if (fchmod(folder, owner == geteuid() ? 0700 : 0755) < 0)
        status = failed("folder", errno, err);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows && status == EG_OK; i++)
        if (wanted(spec, &rows[i]))
            status = write_row(spec, &rows[i], folder, url, owner, err);
    if (folder >= 0)
        close(folder);
    explicit_bzero(url, sizeof url);
    return status;
}
