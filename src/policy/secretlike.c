/* secretlike.c - what looks like a key, so that it is neither accepted in a policy nor repeated in a message.
 *
 * A heuristic on words: a vendor's prefix with enough behind it, or a long word that is too random for a name. A false
 * alarm in a message costs a few asterisks; where a finding is an error, callers ask for values only, never for names. */
#include "policy/diag.h"

#include <math.h>
#include <stdio.h>

enum { MIN_PREFIXED = 16, MIN_GLUED = 20, MIN_RANDOM = 24, MAX_WORD = 4096 };

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '+' || c == '=' || c == '~' || c == '/' || c == '.';
}

static bool has_prefix(struct eg_slice word)
{
    static const char *const prefixes[] = {
        "sk-",
        "sk_live_",
        "sk_test_",
        "rk_live_",
        "rk_test_",
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "glpat-",
        "glptt-",
        "xoxb-",
        "xoxp-",
        "xoxa-",
        "xapp-",
        "xoxs-",
        "github_pat_",
        "AKIA",
        "ASIA",
        "AIza",
        "ya29.",
        "pypi-",
        "gsk_",
        "dop_v1_",
        "eyJ",
        "SG.",
        "shpat_",
        "lin_api_",
        "ntn_",
        "AGE-SECRET-KEY-",
    };
    if (word.n < MIN_PREFIXED)
        return false;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (eg_slice_starts(word, eg_slice_str(prefixes[i])))
            return true;
    return false;
}

static bool is_alphanumeric(char c)
{
    return (eg_lower(c) >= 'a' && eg_lower(c) <= 'z') || (c >= '0' && c <= '9');
}

/* A prefix that no name has, wherever in the word, with a long run of letters and digits behind it: something may be glued to the token. */
static bool has_glued(struct eg_slice word)
{
    static const char *const prefixes[] = { "ghp_",   "gho_",  "ghu_",     "ghs_",     "ghr_",
                                            "xoxb-",  "xoxp-", "sk_live_", "sk_test_", "glpat-",
                                            "shpat_", "npm_",  "sk-ant-",  "hf_" };
    for (size_t i = 0; i + MIN_GLUED < word.n; i++)
        for (size_t k = 0; k < sizeof prefixes / sizeof *prefixes; k++) {
            struct eg_slice rest = eg_slice_from(word, i);
            size_t n = strlen(prefixes[k]), run = 0;
            if (rest.p[0] != prefixes[k][0] || !eg_slice_starts(rest, eg_slice_str(prefixes[k])))
                continue;
            while (n + run < rest.n && run < MIN_GLUED && is_alphanumeric(rest.p[n + run]))
                run++;
            if (run == MIN_GLUED)
                return true;
        }
    return false;
}

/* Bits of information a byte, by the frequency of bytes in the word. */
static double entropy(struct eg_slice word)
{
    unsigned count[256] = { 0 };
    double bits = 0;
    for (size_t i = 0; i < word.n; i++)
        count[(unsigned char)word.p[i]]++;
    for (int c = 0; c < 256; c++) {
        double share = (double)count[c] / (double)word.n;
        if (count[c])
            bits -= share * log2(share);
    }
    return bits;
}

/* Changes between digits, capitals, small letters and the rest: names have few, random text has one every few bytes. */
static size_t changes(struct eg_slice word)
{
    size_t n = 0;
    int last = -1;
    for (size_t i = 0; i < word.n; i++) {
        char c = word.p[i];
        int kind = c >= '0' && c <= '9'   ? 0
                   : c >= 'A' && c <= 'Z' ? 1
                   : c >= 'a' && c <= 'z' ? 2
                                          : 3;
        n += last >= 0 && kind != last;
        last = kind;
    }
    return n;
}

static bool has_digit_and_letter(struct eg_slice word)
{
    bool digit = false;
    bool letter = false;
    for (size_t i = 0; i < word.n; i++) {
        char c = eg_lower(word.p[i]);
        digit |= c >= '0' && c <= '9';
        letter |= c >= 'a' && c <= 'z';
    }
    return digit && letter;
}

/* The run around slashes and dots is judged in pieces: paths and host names are long, their parts are not. So is what an = assigns. */
static bool is_random(struct eg_slice word)
{
    if (word.n < MIN_RANDOM || word.n > MAX_WORD || !has_digit_and_letter(word))
        return false;
    return entropy(word) > 3.3 && changes(word) * 4 >= word.n;
}

static bool judge_pieces(struct eg_slice word)
{
    size_t start = 0;
    for (size_t i = 0; i <= word.n; i++) {
        if (i < word.n && word.p[i] != '/' && word.p[i] != '.' && word.p[i] != '=')
            continue;
        struct eg_slice piece = eg_slice(word.p + start, i - start);
        if (has_prefix(piece) || is_random(piece))
            return true;
        start = i + 1;
    }
    return false;
}

static bool is_secret(struct eg_slice word)
{
    return has_prefix(word) || has_glued(word) || judge_pieces(word);
}

/* The next word in text from *at; false at the end. */
static bool next_word(struct eg_slice text, size_t *at, struct eg_slice *ret)
{
    size_t start = *at;
    while (start < text.n && !is_word(text.p[start]))
        start++;
    size_t end = start;
    while (end < text.n && is_word(text.p[end]))
        end++;
    *at = end;
    *ret = eg_slice(text.p + start, end - start);
    return end > start;
}

bool eg_secret_like(struct eg_slice text)
{
    struct eg_slice word;
    size_t at = 0;
    while (text.n > 0 && next_word(text, &at, &word))
        if (is_secret(word))
            return true;
    return false;
}

/* ---- what stands before the @ of a URL ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_open(char c)
{
    return c == '"' || c == '\'' || c == '[' || c == '{';
}

struct userinfo {
    size_t scheme; /* behind the last "SCHEME://" that begins a word; SIZE_MAX: none yet */
    size_t key;    /* behind the last "proxy:": a value that may be malformed in any way */
    size_t run;    /* where the letters of a scheme may begin */
    size_t word;   /* behind the last blank, and behind what opens a text */
    bool colon;    /* in the word */
};

static bool ends_scheme(const struct userinfo *u, const char *text, size_t i)
{
    return text[i] == '/' && i >= 2 && memcmp(text + i - 2, ":/", 2) == 0 &&
           (u->run == 0 || is_blank(text[u->run - 1]) || is_open(text[u->run - 1]));
}

/* Reads text[i], i < n. In one pass, since a line may be made of @. */
static void follow(struct userinfo *u, const char *text, size_t i, size_t n)
{
    char c = text[i];
    bool slash = i + 1 < n && text[i + 1] == '/';
    if (ends_scheme(u, text, i))
        u->scheme = i + 1;
    if (i >= 5 && memcmp(text + i - 5, "proxy", 5) == 0 && (is_open(c) || c == ':'))
        u->key = i + 1;
    else if (u->key == i && (is_blank(c) || is_open(c) || c == ':'))
        u->key = i + 1;
    if (is_blank(c) || (u->word == i && is_open(c))) {
        u->word = i + 1;
        u->colon = false;
    }
    u->colon |= c == ':';
    if (!is_word(c) || c == '/')
        u->run = slash && (c == ':' || c == '/') ? u->run : i + 1;
}

/* Where the user name of this @ begins; `at` when it is none's. */
static size_t userinfo_start(const struct userinfo *u, size_t at)
{
    size_t start = u->scheme < u->key ? u->scheme : u->key;
    if (start != SIZE_MAX)
        return start;
    return u->colon ? u->word : at;
}

static void mask_userinfo(char *text, size_t n)
{
    struct userinfo u = { SIZE_MAX, SIZE_MAX, 0, 0, false };
    size_t done = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] != '@') {
            follow(&u, text, i, n);
            continue;
        }
        size_t start = userinfo_start(&u, i);
        start = start < done ? done : start; /* masked before */
        memset(text + start, '*', i - start);
        done = i;
        follow(&u, text, i, n);
    }
}

void eg_secret_mask(char *text, size_t n)
{
    struct eg_slice word;
    size_t at = 0;
    mask_userinfo(text, n);
    while (next_word(eg_slice(text, n), &at, &word))
        if (is_secret(word))
            memset(text + (word.p - text), '*', word.n);
}

void eg_secret_mask_known(char *text, size_t n)
{
    struct eg_slice word;
    size_t at = 0;
    while (next_word(eg_slice(text, n), &at, &word))
        if (has_prefix(word) || has_glued(word))
            memset(text + (word.p - text), '*', word.n);
}

static bool has_userinfo(struct eg_slice text)
{
    return memmem(text.p, text.n, "://", 3) && eg_slice_index(text, '@') >= 0;
}

struct eg_quoted eg_quote(struct eg_slice text)
{
    struct eg_quoted q;
    size_t out = 0;
    if (text.n > 0 && (eg_secret_like(text) || has_userinfo(text))) {
        snprintf(q.text, sizeof q.text, "<hidden>");
        return q;
    }
    q.text[out++] = '\'';
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (out > sizeof q.text - 12) {
            out += (size_t)snprintf(q.text + out, sizeof q.text - out, "...");
            break;
        }
        if (c >= 0x20 && c < 0x7f)
            q.text[out++] = (char)c;
        else
            out += (size_t)snprintf(q.text + out, sizeof q.text - out, "\\x%02x", c);
    }
    q.text[out++] = '\'';
    q.text[out] = '\0';
    return q;
}
