/* doctor_secrets.c - which real secrets a child of `run` would still see: variables of its environment, made as `run` makes it, and the files in which
 * known clients keep keys, but for those that `run` covers under this policy.
 *
 * Files are opened as the child's own user: as root, in a process that has become it. A value is compared and wiped, never shown. */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/doctor.h"
#include "cmd/files.h"
#include "cred/cred.h"
#include "policy/diag.h"

#define SAY(d, state, check, fix, ...)                                                             \
    eg_doctor_say((d), (state), "secrets", (check), (fix), __VA_ARGS__)

/* ---- values that are known ---- */

static bool read_value(const struct eg_doctor *d, const struct eg_credential *c, struct eg_buf *out)
{
    char place[PATH_MAX];
    snprintf(place, sizeof place, "%.*s", (int)(c->place.n < sizeof place ? c->place.n : 0),
             c->place.n ? c->place.p : "");
    if (c->kind == EG_SOURCE_FILE)
        return eg_source_file(place, true, out, NULL) == EG_OK;
    const char *value = c->kind == EG_SOURCE_ENV ? eg_environ_get(d->parent, place) : NULL;
    return value && eg_buf_put(out, eg_slice_str(value)) == EG_OK;
}

void eg_doctor_values_read(const struct eg_doctor *d, struct eg_doctor_values *ret)
{
    ret->count = 0;
    for (unsigned i = 0; i < eg_policy_credential_count(d->policy) && ret->count < EG_DOCTOR_VALUES;
         i++) {
        struct eg_credential c;
        struct eg_buf *value = &ret->list[ret->count].value;
        eg_policy_credential(d->policy, i, &c);
        eg_buf_init(value, EG_CREDENTIAL_MAX + 2);
        snprintf(ret->list[ret->count].name, sizeof ret->list->name, "%.*s", (int)c.name.n,
                 c.name.p);
        if (read_value(d, &c, value) && value->len >= EG_DOCTOR_VALUE_MIN) {
            ret->count++;
            continue;
        }
        eg_buf_wipe(value);
        eg_buf_done(value);
    }
}

void eg_doctor_values_done(struct eg_doctor_values *v)
{
    for (unsigned i = 0; i < v->count; i++) {
        eg_buf_wipe(&v->list[i].value);
        eg_buf_done(&v->list[i].value);
    }
    v->count = 0;
}

const char *eg_doctor_value_in(const struct eg_doctor_values *v, struct eg_slice text)
{
    for (unsigned i = 0; i < v->count && text.n > 0; i++) {
        struct eg_slice value = eg_buf_slice(&v->list[i].value);
        if (memmem(text.p, text.n, value.p, value.n))
            return v->list[i].name;
    }
    return NULL;
}

/* ---- variables ---- */

/* Beside what --env=strict leaves out. */
static bool is_password_name(struct eg_slice name)
{
    static const char *const parts[] = { "PASSWORD", "PASSWD", "PRIVATE_KEY", "ACCESS_KEY_ID",
                                         "CREDENTIALS" };
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++)
        for (size_t at = 0; at < name.n; at++)
            if (eg_slice_casestarts(eg_slice_from(name, at), eg_slice_str(parts[i])))
                return true;
    return eg_slice_eq(name, EG_SLICE("PGPASSWORD")) || eg_slice_eq(name, EG_SLICE("MYSQL_PWD"));
}

static bool is_there(char *const *list, const char *item)
{
    for (; *list; list++)
        if (strcmp(*list, item) == 0)
            return true;
    return false;
}

static void check_variable(struct eg_doctor *d, const char *item)
{
    char name[80], fix[300];
    const char *value = strchr(item, '=');
    if (!value || !value[1])
        return;
    struct eg_slice n = eg_slice(item, (size_t)(value - item));
    bool strict = eg_child_env_secret_name(n);
    /* a path, or a list of them, is random enough for the heuristic now and then */
    bool like = !strchr(value, '/') && eg_secret_like(eg_slice_str(value + 1));
    if (!strict && !like && !is_password_name(n))
        return;
    snprintf(name, sizeof name, "%.*s", (int)(n.n < sizeof name ? n.n : sizeof name - 1), item);
    snprintf(fix, sizeof fix, "%s, or let the policy name it: from: env:%s",
             strict ? "run --env strict" : "unset it before the run", name);
    SAY(d, EG_DOCTOR_BAD, name, fix, "this variable is the command's too, and %s",
        like ? "its value looks like a key" : "its name says that it is one");
}

/* What `run` would hand on of our own, but for copies of credentials, which it drops as well. */
static void check_environment(struct eg_doctor *d, const struct eg_doctor_values *values)
{
    static const struct eg_sockaddr listener = { { 4, { 127, 0, 0, 1 } }, 1 };
    struct eg_err err = { 0 };
    char **environment = NULL;
    const struct eg_child_env_spec spec = { .parent = d->who.environment,
                                            .policy = d->policy,
                                            .listener = &listener,
                                            .session = "doctor",
                                            .token = "0",
                                            .policy_path = "" };
    unsigned before = d->found->count;
    if (eg_child_env_make(&spec, &environment, &err) != EG_OK) {
        SAY(d, EG_DOCTOR_BAD, "environment", NULL, "it can't be made: %.200s", err.text);
        return;
    }
    for (char *const *e = d->who.environment; *e; e++)
        if (is_there(environment, *e) && !eg_doctor_value_in(values, eg_slice_str(*e)))
            check_variable(d, *e);
    eg_child_env_free(environment);
    if (d->found->count == before)
        SAY(d, EG_DOCTOR_OK, "environment", NULL,
            "no variable that the command gets looks like a key");
}

/* ---- files ---- */

/* Does a cover lie over it, or over a folder above it? */
static bool is_covered(const struct eg_run_paths *p, const char *path)
{
    char whole[PATH_MAX], cover[PATH_MAX];
    if (!realpath(path, whole))
        return false;
    for (unsigned i = 0; i < p->lists.covered_count; i++) {
        size_t n;
        if (!realpath(p->lists.covered[i], cover))
            continue;
        n = strlen(cover);
        if (strncmp(whole, cover, n) == 0 && (whole[n] == '\0' || whole[n] == '/'))
            return true;
    }
    return false;
}

bool eg_doctor_read(const struct eg_run_paths *covered, const char *path, struct eg_buf *out)
{
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0 || is_covered(covered, path))
        return false;
    enum eg_status status = eg_file_read(path, out, NULL, NULL);
    return status == EG_OK || (status == EG_TOO_BIG && out->len > 0);
}

/* Where clients keep keys, beneath the home. mark: what only stands there with a key; NULL: the file is one. */
static const struct {
    const char *path, *mark, *what, *fix;
} files[] = {
    { ".aws/credentials", "aws_secret_access_key", "AWS keys",
      "aws_sigv4: {from: \"aws:PROFILE\"} in the policy covers it" },
    { ".config/gh/hosts.yml", "oauth_token", "GitHub's token",
      "from: \"gh:\" in the policy covers it" },
    { ".config/gcloud/credentials.db", NULL, "Google's tokens",
      "from: \"gcloud:\" in the policy covers it" },
    { ".config/gcloud/application_default_credentials.json", NULL, "Google's tokens",
      "from: \"gcloud:\" in the policy covers it" },
    { ".git-credentials", "://", "passwords of git",
      "git config --global credential.helper libsecret, and remove it" },
    { ".config/git/credentials", "://", "passwords of git",
      "git config --global credential.helper libsecret, and remove it" },
    { ".netrc", "password", "passwords", NULL },
    { ".npmrc", "_auth", "npm's token", NULL },
    { ".yarnrc.yml", "npmAuthToken", "npm's token", NULL },
    { ".pypirc", "password", "PyPI's token", NULL },
    { ".config/pip/pip.conf", "@", "an index' password", NULL },
    { ".cargo/credentials.toml", "token", "cargo's token", NULL },
    { ".cargo/credentials", "token", "cargo's token", NULL },
    { ".gem/credentials", NULL, "RubyGems' key", NULL },
    { ".composer/auth.json", NULL, "composer's tokens", NULL },
    { ".config/composer/auth.json", NULL, "composer's tokens", NULL },
    { ".m2/settings.xml", "<password>", "maven's passwords", NULL },
    { ".gradle/gradle.properties", "assword", "gradle's passwords", NULL },
    { ".docker/config.json", "\"auth\"", "registries' passwords",
      "docker-credential-secretservice as credsStore" },
    { ".config/containers/auth.json", "\"auth\"", "registries' passwords", NULL },
    { ".kube/config", "-data:", "clusters' keys", NULL },
    { ".azure/msal_token_cache.json", NULL, "Azure's tokens", NULL },
    { ".terraform.d/credentials.tfrc.json", NULL, "terraform's token", NULL },
    { ".vault-token", NULL, "vault's token", NULL },
    { ".config/glab-cli/config.yml", "token:", "GitLab's token", NULL },
    { ".config/hub", "oauth_token", "GitHub's token", NULL },
    { ".config/github-copilot/hosts.json", NULL, "Copilot's token", NULL },
    { ".config/github-copilot/apps.json", NULL, "Copilot's token", NULL },
    { ".claude/.credentials.json", NULL, "Claude's token", NULL },
    { ".codex/auth.json", NULL, "Codex' token", NULL },
    { ".gemini/oauth_creds.json", NULL, "Gemini's token", NULL },
    { ".local/share/opencode/auth.json", NULL, "opencode's keys", NULL },
    { ".cache/huggingface/token", NULL, "Hugging Face's token", NULL },
    { ".huggingface/token", NULL, "Hugging Face's token", NULL },
    { ".config/stripe/config.toml", "_api_key", "Stripe's keys", NULL },
    { ".config/rclone/rclone.conf", "pass", "storage keys", NULL },
    { ".s3cfg", "secret_key", "S3 keys", NULL },
    { ".boto", "secret", "AWS keys", NULL },
    { ".pgpass", NULL, "databases' passwords", NULL },
    { ".my.cnf", "password", "databases' passwords", NULL },
    { ".config/op/config", NULL, "1Password's session",
      "from: \"op://...\" in the policy covers it" },
    { ".fly/config.yml", "access_token", "Fly's token", NULL },
    { ".wrangler/config/default.toml", "_token", "Cloudflare's token", NULL },
    { ".password-store/.gpg-id", NULL, "pass (encrypted)",
      "from: \"pass:NAME\" in the policy covers it" },
};

static void check_files(struct eg_doctor *d, const struct eg_doctor_values *values,
                        const struct eg_run_paths *covered, const char *home)
{
    char path[PATH_MAX];
    struct eg_buf text;
    eg_buf_init(&text, 1 << 20);
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
        eg_buf_reset(&text);
        snprintf(path, sizeof path, "%s/%s", home, files[i].path);
        if (!eg_doctor_read(covered, path, &text))
            continue;
        struct eg_slice s = eg_buf_slice(&text);
        if (files[i].mark && !memmem(s.p, s.n, files[i].mark, strlen(files[i].mark)))
            continue;
        const char *copy = eg_doctor_value_in(values, s);
        SAY(d, EG_DOCTOR_BAD, "file",
            files[i].fix ? files[i].fix
                         : "a credential with from: \"file:PATH\" covers a file of the key alone; "
                           "else run it as another user, or with another HOME",
            "%.300s can be read by the command: %s%s%s", path, files[i].what,
            copy ? ", and the value of " : "", copy ? copy : "");
    }
    eg_buf_wipe(&text);
    eg_buf_done(&text);
}

/* RFC 4253's older forms say ENCRYPTED; OpenSSH's own begins with the name of its cipher, and that of "none" in base64. */
static void check_ssh_key(struct eg_doctor *d, const char *path, struct eg_slice text)
{
    static const char plain[] = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";
    char fix[300];
    if (!memmem(text.p, text.n, "PRIVATE KEY-----", 16))
        return;
    bool own = memmem(text.p, text.n, "OPENSSH PRIVATE KEY", 19) != NULL;
    bool open = own ? memmem(text.p, text.n, plain, sizeof plain - 1) != NULL
                    : memmem(text.p, text.n, "ENCRYPTED", 9) == NULL;
    snprintf(fix, sizeof fix, "ssh-keygen -p -f %.200s gives it a passphrase", path);
    SAY(d, open ? EG_DOCTOR_BAD : EG_DOCTOR_NOTE, "ssh key", open ? fix : NULL,
        "%.300s can be read by the command%s", path,
        open ? ", and has no passphrase" : "; it has a passphrase");
}

static void check_ssh(struct eg_doctor *d, const struct eg_run_paths *covered, const char *home)
{
    char folder[PATH_MAX], path[PATH_MAX];
    const struct dirent *e;
    struct eg_buf text;
    snprintf(folder, sizeof folder, "%s/.ssh", home);
    DIR *list = opendir(folder);
    eg_buf_init(&text, 64 << 10);
    for (unsigned i = 0; list && i < 200 && (e = readdir(list)); i++) {
        eg_buf_reset(&text);
        int n = snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (n > 0 && (size_t)n < sizeof path && eg_doctor_read(covered, path, &text))
            check_ssh_key(d, path, eg_buf_slice(&text));
    }
    if (list)
        closedir(list);
    eg_buf_wipe(&text);
    eg_buf_done(&text);
}

/* ---- as the child's user ---- */

static void find_home(struct eg_doctor *d)
{
    for (char *const *e = d->who.environment; *e; e++)
        if (strncmp(*e, "HOME=/", 6) == 0)
            snprintf(d->home, sizeof d->home, "%s", *e + 5);
}

static void look_at_files(struct eg_doctor *d, const struct eg_doctor_values *values,
                          const struct eg_run_paths *covered)
{
    unsigned before = d->found->count;
    if (d->home[0]) {
        check_files(d, values, covered, d->home);
        check_ssh(d, covered, d->home);
    }
    eg_doctor_search(d, values, covered);
    if (d->found->count == before)
        SAY(d, EG_DOCTOR_OK, "files", NULL,
            "no known file of keys, and no copy of a credential, can be read by the command");
}

/* Root reads more than its child. */
static void become_and_look(struct eg_doctor *d, const struct eg_doctor_values *values,
                            const struct eg_run_paths *covered)
{
    int status = 0;
    uid_t uid = d->who.uid;
    const struct passwd *p = getpwuid(uid);
    gid_t gid = p ? p->pw_gid : (gid_t)-1;
    pid_t pid = p ? fork() : -1;
    if (pid == 0) {
        bool other = setgroups(0, NULL) == 0 && setresgid(gid, gid, gid) == 0 &&
                     setresuid(uid, uid, uid) == 0;
        if (other)
            look_at_files(d, values, covered);
        _exit(other ? 0 : 1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        SAY(d, EG_DOCTOR_BAD, "files", NULL, "they could not be looked at as the command's user");
}

/* ---- what is kept from it ---- */

/* Two reasons may lead to one path. */
static bool said_before(const char *const *paths, unsigned i)
{
    for (unsigned k = 0; k < i; k++)
        if (strcmp(paths[k], paths[i]) == 0)
            return true;
    return false;
}

static void say_list(struct eg_doctor *d, const char *check, const char *what,
                     const char *const *paths, unsigned count)
{
    char text[EG_DOCTOR_TEXT - 64];
    size_t n = 0;
    unsigned left = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < count; i++) {
        size_t size = strlen(paths[i]);
        if (said_before(paths, i) || access(paths[i], F_OK) < 0)
            continue;
        if (size + 3 > sizeof text - n)
            left++;
        else
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? ", " : "", paths[i]);
    }
    if (left > 0)
        SAY(d, EG_DOCTOR_OK, check, NULL, "%s: %s and %u more", what, text, left);
    else if (n > 0)
        SAY(d, EG_DOCTOR_OK, check, NULL, "%s: %s", what, text);
}

static void say_kept(struct eg_doctor *d, const struct eg_launch_paths *p)
{
    say_list(d, "hidden", "the command does not see", p->covered, p->covered_count);
    say_list(d, "sockets", "the command does not reach", p->sockets, p->socket_count);
    say_list(d, "read-only", "the command can't change", p->read_only, p->read_only_count);
    say_list(d, "held", "the command can't change", p->held, p->held_count);
}

void eg_doctor_secrets(struct eg_doctor *d)
{
    struct eg_doctor_values *values = calloc(1, sizeof *values);
    struct eg_run_paths *covered = calloc(1, sizeof *covered);
    const struct eg_run_child child = { .uid = d->who.uid, .enforcement = d->enforcement };
    find_home(d);
    if (values && covered &&
        eg_run_paths_make(d->places, d->parent, d->policy, &child, covered) == EG_OK) {
        eg_doctor_values_read(d, values);
        check_environment(d, values);
        if (d->who.uid != geteuid())
            become_and_look(d, values, covered);
        else
            look_at_files(d, values, covered);
        say_kept(d, &covered->lists);
        eg_doctor_values_done(values);
        eg_run_paths_done(covered);
    } else {
        SAY(d, EG_DOCTOR_BAD, "files", NULL, "what run covers could not be found out");
    }
    free(covered);
    free(values);
}
