/* sources.c - every source of a credential with its real part, up to what the origin gets: files, systemd's folder, the kernel's keys,
 * gnome-keyring, programs and their fields; and programs that hang, flood and fail. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/daemon.h"
#include "support/keyring.h"

#define REAL "sk-real-0123456789abcdefghijklmnopqrstuvwxyz"

#define HEAD                                                                                       \
    "egress: 1\n"                                                                                  \
    "services:\n"                                                                                  \
    "  api:\n"                                                                                     \
    "    upstream: https://api.example.test:@ORIGIN@\n"                                            \
    "    credential: key\n"                                                                        \
    "    env: {base_url: API_BASE_URL, key: [API_KEY]}\n"
#define TAIL                                                                                       \
    "networks: {allow: [127.0.0.0/8]}\n"                                                           \
    "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"                                                      \
    "tls: {ca: \"@DIR@/ca.pem\", system: false}\n"                                                 \
    "credentials:\n"                                                                               \
    "  key:\n"                                                                                     \
    "    hosts: [api.example.test]\n"
#define BEARER "    write: [\"header:Authorization: Bearer {}\"]\n"

static const char *const NAMES[] = { "api.example.test=127.0.0.1", NULL };

static void origins(struct eg_world *w)
{
    eg_world_new(w);
    eg_world_origin(w, NULL);
    eg_world_dns(w, NAMES);
}

static void put_secret(const struct eg_world *w, const char *name, const char *text, mode_t mode)
{
    eg_world_write(w, name, text);
    cr_assert_eq(chmod(eg_world_path(w, name), mode), 0);
}

static bool phantom(const struct eg_world *w, char *out, size_t cap)
{
    char *text = NULL;
    cr_assert_eq(eg_ctl_run(w, &text, "env", "--format", "json", NULL), 0, "%s", text);
    bool there = strstr(text, "\"API_KEY\":") != NULL;
    if (there)
        eg_json_text(text, "API_KEY", out, cap);
    free(text);
    return there;
}

static int ask(const struct eg_world *w, const char *key)
{
    struct eg_client c;
    char head[8192];
    eg_client_open(&c, w->proxy_port);
    eg_client_text(&c,
                   "GET /api/x HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAuthorization: Bearer %s\r\n\r\n",
                   w->proxy_port, key);
    int status = eg_client_response(&c, head, sizeof head, NULL, NULL);
    eg_client_close(&c);
    return status;
}

/* The origin gets that line, and no phantom; egressd's log and egressctl hold no secret. */
static void works(struct eg_world *w, const char *line)
{
    char key[600], *text = NULL;
    cr_assert(phantom(w, key, sizeof key), "it is not there");
    cr_expect_null(strstr(key, REAL));
    cr_assert_eq(ask(w, key), 200);
    text = eg_world_read(w, "origin.rec", NULL);
    cr_expect(strstr(text, line), "%s in %s", line, text);
    cr_expect_null(strstr(text, key));
    free(text);
    cr_expect_eq(eg_ctl_run(w, &text, "creds", "test", NULL), 0, "%s", text);
    cr_expect_null(strstr(text, REAL));
    free(text);
    text = eg_world_read(w, "egressd.err", NULL);
    cr_expect_null(strstr(text, REAL));
    free(text);
}

static void fails(struct eg_world *w, const char *says)
{
    char key[600], *text = NULL;
    cr_expect_not(phantom(w, key, sizeof key));
    cr_expect_eq(eg_ctl_run(w, &text, "creds", "list", NULL), 5);
    cr_expect(strstr(text, says), "%s in %s", says, text);
    cr_expect_null(strstr(text, REAL));
    free(text);
}

Test(sources, file_0600_works_and_0644_does_not, .timeout = 120)
{
    struct eg_world w;
    origins(&w);
    put_secret(&w, "secret", REAL "\n", 0600);
    eg_world_egressd(&w, HEAD BEARER TAIL "    from: \"file:@DIR@/secret\"\n", NULL, NULL);
    works(&w, "Authorization: Bearer " REAL "\r\n");
    eg_world_done(&w);
    origins(&w);
    put_secret(&w, "secret", REAL "\n", 0644);
    eg_world_egressd(&w, HEAD BEARER TAIL "    from: \"file:@DIR@/secret\"\n", NULL, NULL);
    fails(&w, "chmod 600");
    eg_world_done(&w);
}

Test(sources, systemd_folder_by_hand, .timeout = 120)
{
    struct eg_world w;
    char folder[300];
    origins(&w);
    snprintf(folder, sizeof folder, "CREDENTIALS_DIRECTORY=%s", w.dir);
    const char *environment[] = { folder, NULL };
    put_secret(&w, "tok", REAL "\n", 0440);
    eg_world_egressd(&w, HEAD BEARER TAIL "    from: \"systemd:tok\"\n", NULL, environment);
    works(&w, "Authorization: Bearer " REAL "\r\n");
    eg_world_done(&w);
    origins(&w);
    eg_world_egressd(&w, HEAD BEARER TAIL "    from: \"systemd:tok\"\n", NULL, NULL);
    fails(&w, "CREDENTIALS_DIRECTORY is not set");
    eg_world_done(&w);
}

/* systemd itself gives the credential; that its variable is exported tells that it was read. */
Test(sources, systemd_run_with_load_credential, .timeout = 120)
{
    struct eg_world w;
    char load[400], *out = NULL;
    if (access("/run/systemd/system", F_OK) != 0)
        cr_skip("systemd does not run here");
    eg_world_new(&w);
    put_secret(&w, "secret", REAL "\n", 0600);
    eg_world_write(&w, "egress.yaml",
                   "egress: 1\nservices:\n  api: {upstream: \"https://api.example.test\", "
                   "credential: key}\ncredentials:\n  key: {from: \"systemd:tok\", hosts: "
                   "[api.example.test]}\n");
    snprintf(load, sizeof load, "LoadCredential=tok:%s", eg_world_path(&w, "secret"));
    const char *const argv[] = { "systemd-run",
                                 "--quiet",
                                 "--wait",
                                 "--pipe",
                                 "--collect",
                                 "-p",
                                 load,
                                 EG_BUILD_DIR "/egressctl",
                                 "run",
                                 "--no-enforce",
                                 "--trust",
                                 "-p",
                                 eg_world_path(&w, "egress.yaml"),
                                 "--",
                                 "/usr/bin/env",
                                 NULL };
    int code = eg_proc_run(&w, argv, NULL, &out);
    cr_expect(code == 0 && strstr(out, "\nAPI_API_KEY=") && !strstr(out, REAL), "%d: %s", code,
              out);
    free(out);
    eg_world_done(&w);
}

Test(sources, kernel_key_of_the_session, .timeout = 120)
{
    struct eg_world w;
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 ||
        syscall(SYS_add_key, "user", "egress-test:api", REAL, strlen(REAL),
                KEY_SPEC_SESSION_KEYRING) < 0)
        cr_skip("this system lets nobody use the kernel's keys: %s", strerror(errno));
    origins(&w);
    eg_world_egressd(&w, HEAD BEARER TAIL "    from: \"kernel:egress-test:api\"\n", NULL, NULL);
    works(&w, "Authorization: Bearer " REAL "\r\n");
    eg_world_done(&w);
    origins(&w);
    eg_world_egressd(&w, HEAD BEARER TAIL "    from: \"kernel:egress-test:none\"\n", NULL, NULL);
    fails(&w, "keyctl padd user 'egress-test:none'");
    eg_world_done(&w);
}

Test(sources, keyring_of_gnome, .timeout = 120)
{
    struct eg_world w;
    struct keyring_bus bus;
    keyring_bus_start(&bus);
    if (!bus.missing)
        keyring_gnome_start(&bus);
    if (bus.missing) {
        keyring_stop(&bus);
        cr_skip("%s", bus.missing);
    }
    cr_assert(keyring_gnome_store("openai", "work", REAL, strlen(REAL)));
    origins(&w);
    eg_world_egressd(&w, HEAD BEARER TAIL "    from: \"keyring:openai/work\"\n", NULL, NULL);
    works(&w, "Authorization: Bearer " REAL "\r\n");
    eg_world_done(&w);
    origins(&w);
    eg_world_egressd(&w, HEAD BEARER TAIL "    from: \"keyring:openai/none\"\n", NULL, NULL);
    fails(&w, "secret-tool store");
    eg_world_done(&w);
    keyring_stop(&bus);
}

Test(sources, secret_tool_finds_what_the_keyring_holds, .timeout = 120)
{
    struct eg_world w;
    struct keyring_bus bus;
    if (access("/usr/bin/secret-tool", X_OK) != 0)
        cr_skip("secret-tool is not installed");
    keyring_bus_start(&bus);
    if (!bus.missing)
        keyring_gnome_start(&bus);
    if (bus.missing) {
        keyring_stop(&bus);
        cr_skip("%s", bus.missing);
    }
    cr_assert(keyring_gnome_store("openai", "work", REAL, strlen(REAL)));
    origins(&w);
    eg_world_egressd(&w, HEAD BEARER TAIL "    from: \"secret-tool:service/openai\"\n", NULL, NULL);
    works(&w, "Authorization: Bearer " REAL "\r\n");
    eg_world_done(&w);
    keyring_stop(&bus);
}

Test(sources, program_that_prints_a_line, .timeout = 120)
{
    struct eg_world w;
    const char *environment[] = { "EG_TEST_OTHER=" REAL, NULL };
    origins(&w);
    put_secret(&w, "get", "env >\"$0.env\"\necho " REAL "\n", 0600);
    eg_world_egressd(&w, HEAD BEARER TAIL "    from: {cmd: [/bin/sh, \"@DIR@/get\"]}\n", NULL,
                     environment);
    works(&w, "Authorization: Bearer " REAL "\r\n");
    char *text = eg_world_read(&w, "get.env", NULL);
    cr_expect(strstr(text, "TERM=dumb\n") && strstr(text, "PATH=/usr/local/sbin:"), "%s", text);
    cr_expect_null(strstr(text, "EG_TEST_OTHER"), "its environment is its own: %s", text);
    free(text);
    eg_world_done(&w);
}

Test(sources, program_that_prints_fields, .timeout = 120)
{
    struct eg_world w;
    origins(&w);
    put_secret(&w, "get",
               "echo '{\"value\":\"" REAL "\",\"app_key\":\"second-key-of-the-two\",\"n\":1}'\n",
               0600);
    eg_world_egressd(
        &w,
        HEAD "    write: [\"header:Authorization: Bearer {}\", \"header:x-app: {app_key}\"]\n" TAIL
             "    from: {cmd: [/bin/sh, \"@DIR@/get\"], json: true}\n",
        NULL, NULL);
    works(&w, "Authorization: Bearer " REAL "\r\n");
    char *text = eg_world_read(&w, "origin.rec", NULL);
    cr_expect(strstr(text, "x-app: second-key-of-the-two\r\n"), "%s", text);
    free(text);
    eg_world_done(&w);
}

Test(sources, programs_that_misbehave_cost_nothing_and_tell_nothing, .timeout = 180)
{
    static const struct {
        const char *script, *says, *json;
    } rows[] = {
        { "echo " REAL "; echo " REAL " >&2; exit 7", "exit status 7", "" },
        { "echo " REAL "; kill -9 $$", "signal 9", "" },
        { "printf '" REAL "\\000x'", "NUL", "" },
        { "printf '" REAL "\\nx\\n'", "line break", "" },
        { "exit 0", "empty", "" },
        { "exec cat /dev/zero", "16384", "" },
        { "echo $$ >\"$0.pid\"; sleep 1000 & echo $! >\"$0.child\"; wait", "in time", "" },
        { "echo '[\"" REAL "\"]'", "no JSON object", ", json: true" },
        { "echo '{\"other\":1}'", "no text member", ", json: true" },
        { "printf '%s' '{\"value\":\"" REAL "\\nx\"}'", "line break", ", json: true" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct eg_world w;
        char policy[2048];
        origins(&w);
        put_secret(&w, "get", rows[i].script, 0600);
        snprintf(policy, sizeof policy,
                 "%s%s%s    from: {cmd: [/bin/sh, \"@DIR@/get\"]%s}\n    timeout: %s\n", HEAD,
                 BEARER, TAIL, rows[i].json, strcmp(rows[i].says, "in time") == 0 ? "2s" : "60s");
        eg_world_egressd(&w, policy, NULL, NULL);
        fails(&w, rows[i].says);
        char *text = eg_world_read(&w, "egressd.err", NULL);
        cr_expect_null(strstr(text, REAL), "row %zu", i);
        free(text);
        static const char *const left[] = { "get.pid", "get.child" };
        for (int k = 0; k < 2; k++) {
            text = eg_world_read(&w, left[k], NULL);
            pid_t pid = atoi(text);
            free(text);
            uint64_t until = eg_clock_ms() + 20000;
            while (pid > 0 && !eg_proc_gone(pid) && eg_clock_ms() < until)
                poll(NULL, 0, 5);
            cr_expect(pid <= 0 || eg_proc_gone(pid), "row %zu: %s is left", i, left[k]);
        }
        eg_world_done(&w);
    }
}

Test(sources, egressd_that_ends_ends_its_program, .timeout = 120)
{
    struct eg_world w;
    pid_t pid = 0;
    origins(&w);
    put_secret(&w, "get",
               "[ -e \"$0.first\" ] || { : >\"$0.first\"; echo " REAL "; exit; }\n"
               "echo $$ >\"$0.pid\"; exec sleep 1000\n",
               0600);
    eg_world_egressd(&w,
                     HEAD BEARER TAIL
                     "    from: {cmd: [/bin/sh, \"@DIR@/get\"]}\n    ttl: 1s\n    timeout: 5m\n",
                     NULL, NULL);
    for (uint64_t until = eg_clock_ms() + 30000; pid <= 0 && eg_clock_ms() < until;) {
        char *text = eg_world_read(&w, "get.pid", NULL);
        pid = atoi(text);
        free(text);
        poll(NULL, 0, 5);
    }
    cr_assert_gt(pid, 0, "it was not read again");
    eg_world_done(&w);
    for (uint64_t until = eg_clock_ms() + 20000; !eg_proc_gone(pid) && eg_clock_ms() < until;)
        poll(NULL, 0, 5);
    cr_expect(eg_proc_gone(pid), "its program is left behind");
}
