/* token.c - the file that holds the first session's token: made, and removed at the end.
 *
 * Invariants: it is new (O_EXCL) and 0600; what is removed is what a killed run left, or what
 * this run made, and nothing else. */
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/files.h"
#include "cmd/state.h"

/* Left by a run that was killed: nothing, or a token or the beginning of one. What holds
 * anything else is somebody's file. */
static bool token_stale(const char *path)
{
    char text[EG_TOKEN_HEX + 3];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n < 0)
        return false;
    text[n] = 0;
    size_t digits = strspn(text, "0123456789abcdef");
    bool stale = digits == (size_t)n ||
                 (digits == EG_TOKEN_HEX && n == EG_TOKEN_HEX + 1 && text[digits] == '\n');
    sodium_memzero(text, sizeof text);
    return stale;
}

enum eg_status eg_sup_token_write(struct eg_supervisor *s, const char *token, struct eg_err *err)
{
    int fd;
    if (!s->options.token_file)
        return EG_OK;
    bool stale = token_stale(s->options.token_file);
    enum eg_status status = eg_file_create(s->options.token_file, stale, &fd, err);
    if (status != EG_OK)
        return status;
    s->token_written = fstat(fd, &s->token_stat) == 0;
    status = eg_file_write(fd, eg_slice_str(token), err);
    if (status == EG_OK)
        status = eg_file_write(fd, EG_SLICE("\n"), err);
    close(fd);
    return status;
}

void eg_sup_token_remove(const struct eg_supervisor *s)
{
    struct stat st;
    if (s->token_written && lstat(s->options.token_file, &st) == 0 &&
        st.st_dev == s->token_stat.st_dev && st.st_ino == s->token_stat.st_ino)
        (void)unlink(s->options.token_file);
}
