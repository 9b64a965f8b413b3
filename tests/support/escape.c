/* escape.c - what the attempts share: their targets, and proof. The tables are in escape_*.c. */
#include "support/escape.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TARGETS = 96 };

static struct {
    char *name, *value;
} targets[TARGETS];
static unsigned target_count;

void escape_tell(const char *line)
{
    const char *equal = strchr(line, '=');
    if (!equal || target_count == TARGETS)
        return;
    targets[target_count].name = strndup(line, (size_t)(equal - line));
    targets[target_count].value = strdup(equal + 1);
    if (targets[target_count].name && targets[target_count].value)
        target_count++;
}

const char *escape_target(const char *name)
{
    for (unsigned i = target_count; i-- > 0;)
        if (strcmp(targets[i].name, name) == 0)
            return targets[i].value;
    return NULL;
}

long escape_number(const char *name)
{
    const char *text = escape_target(name);
    return text ? strtol(text, NULL, 0) : -1;
}

int escape_result(long rc)
{
    return rc < 0 ? errno : ESCAPE_OUT;
}

int escape_opened(int fd)
{
    int result = escape_result(fd);
    if (fd >= 0)
        close(fd);
    return result;
}

bool escape_where(const char *text, union escape_address *to, socklen_t *n)
{
    char host[128], port[64], zone[32] = "";
    memset(to, 0, sizeof *to);
    if (sscanf(text, "%127s %63s", host, port) != 2)
        return false;
    if (escape_target(host))
        snprintf(host, sizeof host, "%s", escape_target(host));
    long number = escape_number(port) > 0 ? escape_number(port) : strtol(port, NULL, 10);
    char *percent = strchr(host, '%');
    if (percent) {
        snprintf(zone, sizeof zone, "%s", percent + 1);
        *percent = '\0';
    }
    if (number <= 0)
        return false;
    if (strchr(host, ':')) {
        to->in6.sin6_family = AF_INET6;
        to->in6.sin6_port = htons((uint16_t)number);
        to->in6.sin6_scope_id = *zone ? if_nametoindex(zone) : 0;
        *n = sizeof to->in6;
        return inet_pton(AF_INET6, host, &to->in6.sin6_addr) == 1;
    }
    to->in.sin_family = AF_INET;
    to->in.sin_port = htons((uint16_t)number);
    *n = sizeof to->in;
    return inet_pton(AF_INET, host, &to->in.sin_addr) == 1;
}

int escape_ask(int fd)
{
    if (send(fd, "ask\n", 4, MSG_NOSIGNAL) < 0)
        return errno;
    return escape_expect_proof(fd);
}

int escape_is_proof(const char *p, size_t n)
{
    return memmem(p, n, ESCAPE_PROOF, sizeof ESCAPE_PROOF - 1) ? ESCAPE_OUT : ESCAPE_NO_PROOF;
}

int escape_expect_proof(int fd)
{
    char text[512];
    size_t n = 0;
    struct pollfd p = { .fd = fd, .events = POLLIN };
    while (n < sizeof text) {
        int ready = poll(&p, 1, ESCAPE_WAIT_MS);
        if (ready <= 0)
            return ready < 0 ? errno : ETIMEDOUT;
        ssize_t k = read(fd, text + n, sizeof text - n);
        if (k < 0)
            return errno;
        n += (size_t)k;
        if (k == 0 || escape_is_proof(text, n) == ESCAPE_OUT)
            break;
    }
    return escape_is_proof(text, n);
}

int escape_read_proof(const char *path)
{
    static char text[1 << 20];
    size_t n = 0;
    ssize_t k = 0;
    if (!path)
        return ESCAPE_NO_TARGET;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno;
    while (n < sizeof text && (k = read(fd, text + n, sizeof text - n)) > 0)
        n += (size_t)k;
    int result = k < 0 ? errno : escape_is_proof(text, n);
    close(fd);
    return result;
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    ssize_t n = write(fd, text, strlen(text));
    int result = n < 0 ? errno : 0;
    close(fd);
    return result;
}

int escape_gain(int namespaces)
{
    char map[64];
    const unsigned uid = (unsigned)geteuid(), gid = (unsigned)getegid();
    if (uid == 0)
        return unshare(namespaces) < 0 ? errno : 0;
    if (unshare(namespaces | CLONE_NEWUSER) < 0)
        return errno;
    snprintf(map, sizeof map, "0 %u 1\n", uid);
    int result = write_file("/proc/self/setgroups", "deny");
    if (result == 0)
        result = write_file("/proc/self/uid_map", map);
    snprintf(map, sizeof map, "0 %u 1\n", gid);
    return result == 0 ? write_file("/proc/self/gid_map", map) : result;
}
