/* strict.c - the checks beyond llhttp: start lines on raw bytes, field lines, and the one place
 * that decides framing.
 *
 * It repairs nothing: what two readers could understand in two ways is refused (RFC 9112 6.3,
 * security.md T8, T10, T18). It allocates nothing and keeps no state; slices that it stores in the
 * head point into the line or field it was given. It doesn't parse targets or authorities
 * (base/uri does), it only keeps bytes out that no target or host holds. */
#include "http/strict.h"

#include "http/hygiene.h"

static enum eg_status say(enum eg_status status, const char **why, const char *text)
{
    *why = text;
    return status;
}

/* RFC 9110 5.6.2 */
static bool is_tchar(unsigned char c)
{
    static const bool tchars[256] = {
        ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['!'] = true,
        ['#'] = true,         ['$'] = true,         ['%'] = true,         ['&'] = true,
        ['\''] = true,        ['*'] = true,         ['+'] = true,         ['-'] = true,
        ['.'] = true,         ['^'] = true,         ['_'] = true,         ['`'] = true,
        ['|'] = true,         ['~'] = true,
    };
    return tchars[c];
}

bool eg_strict_token(struct eg_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_tchar((unsigned char)s.p[i])) {
            return false;
        }
    }
    return s.n > 0;
}

/* "HTTP/1.0" or "HTTP/1.1" exactly; other numbers are a version that we don't speak, other texts
 * are no version. */
static enum eg_status parse_version(struct eg_slice v, uint8_t *minor, const char **why)
{
    if (v.n != 8 || memcmp(v.p, "HTTP/", 5) != 0 || v.p[5] < '0' || v.p[5] > '9' || v.p[6] != '.' ||
        v.p[7] < '0' || v.p[7] > '9') {
        return say(EG_BAD_VERSION, why, "the start line does not end in HTTP/1.0 or HTTP/1.1");
    }
    if (v.p[5] != '1' || v.p[7] > '1') {
        return say(EG_VERSION_NOT_SUPPORTED, why, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    }
    *minor = (uint8_t)(v.p[7] - '0');
    return EG_OK;
}

static long last_index(struct eg_slice s, char c)
{
    for (size_t i = s.n; i > 0; i--) {
        if (s.p[i - 1] == c) {
            return (long)(i - 1);
        }
    }
    return -1;
}

static enum eg_status check_target(struct eg_slice method, struct eg_slice target, const char **why)
{
    if (target.n == 0) {
        return say(EG_BAD_TARGET, why, "the request-target is missing");
    }
    for (size_t i = 0; i < target.n; i++) {
        unsigned char c = (unsigned char)target.p[i];
        if (c <= 0x20 || c >= 0x7f) {
            return say(EG_BAD_TARGET, why, "the request-target holds a space");
        }
    }
    if (eg_slice_eq(target, EG_SLICE("*")) && !eg_slice_eq(method, EG_SLICE("OPTIONS"))) {
        return say(EG_BAD_TARGET, why, "only OPTIONS takes * for a target");
    }
    return EG_OK;
}

enum eg_status eg_strict_request_line(struct eg_slice line, struct eg_head *head, const char **why)
{
    long first = eg_slice_index(line, ' ');
    long last = last_index(line, ' ');
    if (first < 0) {
        return say(EG_BAD_REQUEST, why, "the request line has no target");
    }
    struct eg_slice method = eg_slice(line.p, (size_t)first);
    if (!eg_strict_token(method)) {
        return say(EG_BAD_REQUEST, why, "the method is not a token");
    }
    if (eg_slice_eq(method, EG_SLICE("PRI"))) {
        return say(EG_BAD_REQUEST, why, "HTTP/2 is not spoken here");
    }
    struct eg_slice version = eg_slice_from(line, (size_t)last + 1);
    struct eg_slice target = eg_slice_from(line, (size_t)first + 1);
    if (first == last) {
        return eg_slice_starts(target, EG_SLICE("HTTP/"))
                   ? say(EG_BAD_TARGET, why, "the request-target is missing")
                   : say(EG_BAD_VERSION, why, "the request line has no version (HTTP/0.9)");
    }
    target.n = (size_t)(last - first - 1);
    uint8_t minor = 0;
    enum eg_status status = parse_version(version, &minor, why);
    if (status == EG_OK) {
        status = check_target(method, target, why);
    }
    if (status == EG_OK && eg_slice_eq(method, EG_SLICE("TRACE"))) {
        return say(EG_TRACE, why, "TRACE would echo credentials");
    }
    if (status == EG_OK) {
        head->method = method;
        head->target = target;
        head->minor = minor;
    }
    return status;
}

enum eg_status eg_strict_status_line(struct eg_slice line, struct eg_head *head, const char **why)
{
    if (line.n < 12 || line.p[8] != ' ' || (line.n > 12 && line.p[12] != ' ')) {
        return say(EG_BAD_RESPONSE, why, "the status line is malformed");
    }
    enum eg_status status = parse_version(eg_slice(line.p, 8), &head->minor, why);
    if (status != EG_OK) {
        return status;
    }
    unsigned code = 0;
    for (size_t i = 9; i < 12; i++) {
        if (line.p[i] < '0' || line.p[i] > '9') {
            return say(EG_BAD_RESPONSE, why, "the status is not three digits");
        }
        code = code * 10 + (unsigned)(line.p[i] - '0');
    }
    if (code < 100 || code > 599) {
        return say(EG_BAD_RESPONSE, why, "the status is not in 100 to 599");
    }
    head->status = (uint16_t)code;
    head->reason = eg_slice_from(line, 13);
    return EG_OK;
}

/* Origins behind CGI-like interfaces read X_API_KEY as X-Api-Key: such twins of names that decide
 * something are refused. */
static bool is_lookalike(struct eg_slice name, bool *framing)
{
    char dashed[64];
    if (eg_slice_index(name, '_') < 0 || name.n > sizeof(dashed)) {
        return false;
    }
    for (size_t i = 0; i < name.n; i++) {
        dashed[i] = (char)(name.p[i] == '_' ? '-' : name.p[i]);
    }
    enum eg_field_class kind = eg_hygiene_name_class(eg_slice(dashed, name.n));
    *framing = kind == EG_FIELD_FRAMING;
    return kind != EG_FIELD_PASS;
}

enum eg_status eg_strict_field_line(enum eg_msg_kind kind, struct eg_slice line, const char **why)
{
    if (line.p[0] == ' ' || line.p[0] == '\t') {
        return say(EG_BAD_REQUEST, why, "a field line begins with white space (obsolete folding)");
    }
    long colon = eg_slice_index(line, ':');
    if (colon < 0) {
        return say(EG_BAD_REQUEST, why, "a field line has no colon");
    }
    struct eg_slice name = eg_slice(line.p, (size_t)colon);
    if (!eg_strict_token(name)) {
        return say(EG_BAD_REQUEST, why,
                   name.n == 0 ? "a field name is empty" : "a field name is not a token");
    }
    bool framing = false;
    if (is_lookalike(name, &framing) && (framing || kind == EG_MSG_REQUEST)) {
        return say(framing ? EG_AMBIGUOUS_FRAMING : EG_BAD_REQUEST, why,
                   "a field name with _ stands for one that is spelled with -");
    }
    return EG_OK;
}

struct seen { /* the fields that decide something, gathered in one pass */
    unsigned lengths, codings, hosts, expects, upgrades;
    size_t connection_bytes;
    bool close, persist, upgrade; /* options of Connection */
    struct eg_slice length, coding, host, expect;
};

static void see_connection(struct eg_slice value, struct seen *s)
{
    struct eg_slice option;
    s->connection_bytes += value.n;
    if (s->connection_bytes > EG_CONNECTION_MAX) {
        return;
    }
    while (eg_slice_list_next(&value, &option)) {
        s->close = s->close || eg_slice_caseeq(option, EG_SLICE("close"));
        s->persist = s->persist || eg_slice_caseeq(option, EG_SLICE("keep-alive"));
        s->upgrade = s->upgrade || eg_slice_caseeq(option, EG_SLICE("upgrade"));
    }
}

static void see_field(const struct eg_field *f, struct seen *s)
{
    if (eg_slice_caseeq(f->name, EG_SLICE("host"))) {
        s->hosts++;
        s->host = f->value;
    } else if (eg_slice_caseeq(f->name, EG_SLICE("content-length"))) {
        s->lengths++;
        s->length = f->value;
    } else if (eg_slice_caseeq(f->name, EG_SLICE("transfer-encoding"))) {
        s->codings++;
        s->coding = f->value;
    } else if (eg_slice_caseeq(f->name, EG_SLICE("connection"))) {
        see_connection(f->value, s);
    } else if (eg_slice_caseeq(f->name, EG_SLICE("expect"))) {
        s->expects++;
        s->expect = f->value;
    } else if (eg_slice_caseeq(f->name, EG_SLICE("upgrade"))) {
        s->upgrades++;
    }
}

/* Content-Length and Transfer-Encoding as they stand, whatever the message is. A coding besides
 * chunked is refused on both sides: the body goes on under our own framing, which would no longer
 * say that it is coded. */
static enum eg_status read_framing(const struct seen *s, struct eg_head *head, const char **why)
{
    head->framing = EG_BODY_NONE;
    head->length = 0;
    head->has_length = s->lengths > 0;
    if (s->codings > 0) {
        if (s->lengths > 0) {
            return say(EG_AMBIGUOUS_FRAMING, why, "both Content-Length and Transfer-Encoding");
        }
        if (head->minor == 0) {
            return say(EG_AMBIGUOUS_FRAMING, why, "Transfer-Encoding with HTTP/1.0");
        }
        if (s->codings > 1 || !eg_slice_caseeq(s->coding, EG_SLICE("chunked"))) {
            return say(EG_AMBIGUOUS_FRAMING, why, "Transfer-Encoding is not exactly chunked");
        }
        head->framing = EG_BODY_CHUNKED;
        return EG_OK;
    }
    if (s->lengths > 1) {
        return say(EG_AMBIGUOUS_FRAMING, why, "more than one Content-Length");
    }
    if (s->lengths == 1) {
        unsigned long long n = 0;
        if (!eg_slice_u64(s->length, &n) || n > INT64_MAX ||
            (s->length.n > 1 && s->length.p[0] == '0')) {
            return say(EG_AMBIGUOUS_FRAMING, why, "Content-Length is not a plain decimal number");
        }
        head->framing = EG_BODY_LENGTH;
        head->length = n;
    }
    return EG_OK;
}

/* Bytes that neither a host nor a port ever holds; the grammar itself is base/uri's. */
static bool is_host_like(struct eg_slice host)
{
    for (size_t i = 0; i < host.n; i++) {
        if (host.p[i] == '\t' || host.p[i] == '\0' || strchr(" ,@/\\?#\"<>", host.p[i]) != NULL) {
            return false;
        }
    }
    return true;
}

/* RFC 9112 3.2. CONNECT decides on its target alone, and HTTP/1.0 clients have no Host (clients.md
 * 8). */
static enum eg_status check_host(const struct seen *s, bool connect, struct eg_head *head,
                                 const char **why)
{
    if (s->hosts > 1) {
        return say(EG_BAD_HOST, why, "more than one Host");
    }
    if (s->hosts == 0 && head->minor >= 1 && !connect) {
        return say(EG_BAD_HOST, why, "no Host");
    }
    if (s->hosts == 1 && ((s->host.n == 0 && !connect) || !is_host_like(s->host))) {
        return say(EG_BAD_HOST, why, "Host is not a host");
    }
    head->host = s->hosts == 1 ? s->host : EG_SLICE_NONE;
    return EG_OK;
}

static enum eg_status judge_request(const struct seen *s, bool connect, struct eg_head *head,
                                    const char **why)
{
    enum eg_status status = check_host(s, connect, head, why);
    if (status != EG_OK) {
        return status;
    }
    if (s->expects > 0) {
        if (s->expects > 1 || !eg_slice_caseeq(s->expect, EG_SLICE("100-continue"))) {
            return say(EG_EXPECTATION_FAILED, why, "Expect is not exactly 100-continue");
        }
        head->expect_continue = head->minor >= 1; /* RFC 9110 10.1.1: ignored in HTTP/1.0 */
    }
    bool body = head->framing == EG_BODY_CHUNKED || head->length > 0;
    head->upgrade = s->upgrade && s->upgrades > 0;
    if (body && connect) {
        return say(EG_AMBIGUOUS_FRAMING, why, "CONNECT with a body");
    }
    if (body && head->upgrade) {
        return say(EG_AMBIGUOUS_FRAMING, why, "Upgrade with a body");
    }
    if (connect) {
        head->framing = EG_BODY_NONE;
    }
    /* RFC 9112 9.3: a proxy keeps no HTTP/1.0 client, whatever it asks for. */
    head->keep_alive = head->minor >= 1 && !s->close;
    return EG_OK;
}

static enum eg_status judge_response(const struct seen *s, struct eg_slice method,
                                     struct eg_head *head, const char **why)
{
    bool silent = head->status < 200 || head->status == 204;
    if (silent && (head->framing == EG_BODY_CHUNKED || head->length > 0)) {
        return say(EG_BAD_RESPONSE, why, "a body where the status allows none");
    }
    bool tunnel =
        eg_slice_eq(method, EG_SLICE("CONNECT")) && head->status >= 200 && head->status < 300;
    head->upgrade = head->status == 101;
    if (silent || tunnel || head->status == 304 || eg_slice_eq(method, EG_SLICE("HEAD"))) {
        head->framing = EG_BODY_NONE; /* a length still says what GET would have brought */
    } else if (head->framing == EG_BODY_NONE) {
        head->framing = EG_BODY_UNTIL_CLOSE;
    }
    head->keep_alive =
        head->framing != EG_BODY_UNTIL_CLOSE && !s->close && (head->minor >= 1 || s->persist);
    return EG_OK;
}

enum eg_status eg_strict_head(enum eg_msg_kind kind, struct eg_slice method, struct eg_head *head,
                              const char **why)
{
    struct seen s = { 0 };
    for (uint32_t i = 0; i < head->field_count; i++) {
        see_field(&head->fields[i], &s);
    }
    if (s.connection_bytes > EG_CONNECTION_MAX) {
        return say(EG_BAD_REQUEST, why, "the Connection fields are too long");
    }
    enum eg_status status = read_framing(&s, head, why);
    if (status != EG_OK) {
        return status;
    }
    return kind == EG_MSG_REQUEST
               ? judge_request(&s, eg_slice_eq(method, EG_SLICE("CONNECT")), head, why)
               : judge_response(&s, method, head, why);
}
