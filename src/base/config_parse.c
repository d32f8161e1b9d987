/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lines of the configuration text: headers, keys, and the tree that they make [TOML 1.0, a subset].
 */
#include "base/config_tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum rr_err config_fail_at(struct config_text *text, uint32_t line, uint32_t column,
                           const char *format, ...)
{
    char sentence[sizeof text->fault->text];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    return rr_fail(text->fault, RR_ERR_FORMAT, "%s:%u:%u: %s", text->name, (unsigned)line,
                   (unsigned)column, sentence);
}

/* ---- characters -------------------------------------------------------------------------- */

int config_peek(const struct config_text *text)
{
    return text->at < text->end ? *text->at : -1;
}

void config_skip(struct config_text *text)
{
    uint8_t c = *text->at++;
    if (c == '\n') {
        text->line++;
        text->column = 1;
    } else if ((c & 0xc0) != 0x80) {
        text->column++;
    }
}

void config_skip_blanks(struct config_text *text)
{
    while (config_peek(text) == ' ' || config_peek(text) == '\t') {
        config_skip(text);
    }
}

enum rr_err config_skip_comment(struct config_text *text)
{
    config_skip_blanks(text);
    if (config_peek(text) != '#') {
        return RR_OK;
    }
    for (int c = config_peek(text); c >= 0 && c != '\n' && c != '\r'; c = config_peek(text)) {
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return config_fail(text, "a control character 0x%02x in a comment; remove it",
                               (unsigned)c);
        }
        config_skip(text);
    }
    return RR_OK;
}

enum rr_err config_end_line(struct config_text *text)
{
    int c = config_peek(text);
    if (c == '\r' && text->end - text->at >= 2 && text->at[1] == '\n') {
        config_skip(text);
        c = '\n';
    }
    if (c == '\n') {
        config_skip(text);
        return RR_OK;
    }
    return c < 0 ? RR_OK : config_fail(text, "something is left on the line; expected its end");
}

/* Length of the UTF-8 character at `at` [RFC 3629], 0 when it is none. */
static size_t utf8_length(const uint8_t *at, size_t left)
{
    size_t len = at[0] < 0x80   ? 1
                 : at[0] < 0xc2 ? 0
                 : at[0] < 0xe0 ? 2
                 : at[0] < 0xf0 ? 3
                 : at[0] < 0xf5 ? 4
                                : 0;
    if (len == 0 || len > left) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool surrogate = at[0] == 0xed && at[1] >= 0xa0;
    bool beyond = at[0] == 0xf4 && at[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : len;
}

static enum rr_err check_utf8(struct config_text text)
{
    while (text.at < text.end) {
        size_t len = utf8_length(text.at, (size_t)(text.end - text.at));
        if (len == 0) {
            return config_fail(&text, "byte 0x%02x is not UTF-8; save the file as UTF-8", *text.at);
        }
        for (size_t i = 0; i < len; i++) {
            config_skip(&text);
        }
    }
    return RR_OK;
}

/* ---- the tree ---------------------------------------------------------------------------- */

struct config_node *config_find(const struct config_node *table, const char *key, size_t len)
{
    for (size_t i = 0; i < table->as.list.count; i++) {
        struct config_node *item = table->as.list.items[i];
        if (strlen(item->key) == len && memcmp(item->key, key, len) == 0) {
            return item;
        }
    }
    return NULL;
}

static bool within_limits(const struct config_node *list, bool keyed, struct config_text *text)
{
    if (list->depth >= CONFIG_DEPTH_MAX) {
        (void)config_fail(text, "nested deeper than %d", CONFIG_DEPTH_MAX);
        return false;
    }
    if (keyed ? ++text->keys > CONFIG_KEYS_MAX : ++text->elements > CONFIG_ELEMENTS_MAX) {
        (void)config_fail(text, keyed ? "more than %d keys" : "more than %d elements in arrays",
                          keyed ? CONFIG_KEYS_MAX : CONFIG_ELEMENTS_MAX);
        return false;
    }
    return true;
}

struct config_node *config_add(struct config_node *list, char *key, struct config_text *text)
{
    if (!within_limits(list, key != NULL, text)) {
        rr_free(key);
        return NULL;
    }
    struct config_node *node = rr_alloc(sizeof *node);
    node->key = key;
    node->type = CONFIG_BOOLEAN;
    node->line = text->line;
    node->column = text->column;
    node->depth = list->depth + 1;
    if (list->as.list.count == list->as.list.cap) {
        list->as.list.cap = list->as.list.cap == 0 ? 8 : 2 * list->as.list.cap;
        list->as.list.items = rr_realloc(list->as.list.items, list->as.list.cap * sizeof(void *));
    }
    list->as.list.items[list->as.list.count++] = node;
    return node;
}

/* Depth is limited, and so is this recursion. */
void config_clear_node(struct config_node *node)
{
    if (node->type == CONFIG_TABLE || node->type == CONFIG_ARRAY) {
        for (size_t i = 0; i < node->as.list.count; i++) {
            config_clear_node(node->as.list.items[i]);
            rr_free(node->as.list.items[i]);
        }
        rr_free(node->as.list.items);
    } else if (node->type == CONFIG_STRING) {
        rr_free(node->as.string);
    }
    rr_free(node->key);
}

static struct config_node *add_list(struct config_node *list, char *key, enum config_type type,
                                    enum config_origin origin, struct config_text *text)
{
    struct config_node *node = config_add(list, key, text);
    if (node != NULL) {
        node->type = type;
        node->origin = origin;
    }
    return node;
}

/* ---- keys -------------------------------------------------------------------------------- */

/* One bare or quoted key, owned by the caller. */
static enum rr_err take_key(char **out, struct config_text *text)
{
    struct rr_buf bytes = {0};
    int c = config_peek(text);
    if (c == '"' || c == '\'') {
        return config_quoted(out, text);
    }
    while ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' ||
           c == '-') {
        rr_write_u8(&bytes, (uint8_t)c);
        config_skip(text);
        c = config_peek(text);
    }
    if (bytes.len == 0) {
        return config_fail(text,
                           "expected a key of letters, digits, '_' and '-', or one in quotes");
    }
    rr_write_u8(&bytes, 0);
    *out = (char *)bytes.ptr;
    return RR_OK;
}

/* The next part of a dotted key; *more true when a dot follows it, which is skipped. */
static enum rr_err take_part(char **key, bool *more, struct config_text *text)
{
    config_skip_blanks(text);
    enum rr_err err = take_key(key, text);
    if (err != RR_OK) {
        return err;
    }
    config_skip_blanks(text);
    *more = config_peek(text) == '.';
    if (*more) {
        config_skip(text);
    }
    return RR_OK;
}

static enum rr_err fail_twice(const struct config_node *there, struct config_text *text)
{
    return config_fail(text, "\"%.64s\" is there already, at line %u; remove one of the two",
                       there->key, (unsigned)there->line);
}

/* One step on the way of a header (or, with dotted, of a key) into *table. key is taken. */
static enum rr_err step_into(struct config_node **table, char *key, bool dotted,
                             struct config_text *text)
{
    struct config_node *there = config_find(*table, key, strlen(key));
    if (there == NULL) {
        there = add_list(*table, key, CONFIG_TABLE, dotted ? CONFIG_DOTTED : CONFIG_IMPLICIT, text);
        if (there == NULL) {
            return RR_ERR_FORMAT;
        }
        *table = there;
        return RR_OK;
    }
    rr_free(key);
    if (dotted && there->origin != CONFIG_DOTTED) {
        return fail_twice(there, text);
    }
    if (there->type == CONFIG_ARRAY && there->origin == CONFIG_HEADER) {
        there = there->as.list.items[there->as.list.count - 1];
    }
    if (there->type != CONFIG_TABLE) {
        return config_fail(text, "\"%.64s\" is a value since line %u and cannot be a table too",
                           there->key != NULL ? there->key : "?", (unsigned)there->line);
    }
    *table = there;
    return RR_OK;
}

/* The table that a [header] names opens, once. key is taken. */
static enum rr_err open_table(struct config_node **out, struct config_node *parent, char *key,
                              struct config_text *text)
{
    struct config_node *there = config_find(parent, key, strlen(key));
    if (there == NULL) {
        there = add_list(parent, key, CONFIG_TABLE, CONFIG_HEADER, text);
        if (there == NULL) {
            return RR_ERR_FORMAT;
        }
        *out = there;
        return RR_OK;
    }
    rr_free(key);
    if (there->type != CONFIG_TABLE || there->origin != CONFIG_IMPLICIT) {
        return fail_twice(there, text);
    }
    there->origin = CONFIG_HEADER;
    *out = there;
    return RR_OK;
}

/* A [[header]] adds a table to its array. key is taken. */
static enum rr_err open_element(struct config_node **out, struct config_node *parent, char *key,
                                struct config_text *text)
{
    struct config_node *there = config_find(parent, key, strlen(key));
    if (there == NULL) {
        there = add_list(parent, key, CONFIG_ARRAY, CONFIG_HEADER, text);
    } else {
        rr_free(key);
        if (there->type != CONFIG_ARRAY || there->origin != CONFIG_HEADER) {
            return fail_twice(there, text);
        }
    }
    there = there == NULL ? NULL : add_list(there, NULL, CONFIG_TABLE, CONFIG_HEADER, text);
    if (there == NULL) {
        return RR_ERR_FORMAT;
    }
    *out = there;
    return RR_OK;
}

/* ---- lines ------------------------------------------------------------------------------- */

static enum rr_err header_line(struct config_node *root, struct config_node **table,
                               struct config_text *text)
{
    struct config_node *at = root;
    bool more = true;
    config_skip(text);
    bool element = config_peek(text) == '[';
    if (element) {
        config_skip(text);
    }
    while (more) {
        char *key;
        enum rr_err err = take_part(&key, &more, text);
        if (err == RR_OK) {
            err = more      ? step_into(&at, key, false, text)
                  : element ? open_element(&at, at, key, text)
                            : open_table(&at, at, key, text);
        }
        if (err != RR_OK) {
            return err;
        }
    }
    for (int i = 0; i < 1 + element; i++) {
        if (config_peek(text) != ']') {
            return config_fail(text, "a table's header ends with %s", element ? "]]" : "]");
        }
        config_skip(text);
    }
    *table = at;
    return RR_OK;
}

static enum rr_err key_line(struct config_node *table, struct config_text *text)
{
    struct config_node *at = table;
    uint32_t line = text->line;
    uint32_t column = text->column;
    char *key;
    bool more;
    enum rr_err err = take_part(&key, &more, text);
    while (err == RR_OK && more) {
        err = step_into(&at, key, true, text);
        if (err == RR_OK) {
            err = take_part(&key, &more, text);
        }
    }
    if (err != RR_OK) {
        return err;
    }
    if (config_peek(text) != '=') {
        err = config_fail(text, "expected '=' and a value after the key \"%.64s\"", key);
        rr_free(key);
        return err;
    }
    const struct config_node *there = config_find(at, key, strlen(key));
    if (there != NULL) {
        rr_free(key);
        return fail_twice(there, text);
    }
    config_skip(text);
    config_skip_blanks(text);
    struct config_node *node = config_add(at, key, text);
    err = node == NULL ? RR_ERR_FORMAT : config_value(node, text);
    if (err == RR_OK) {
        node->line = line; /* the key's place, which the errors of the gets name */
        node->column = column;
    }
    return err;
}

static enum rr_err parse_lines(struct config_node *root, struct config_text *text)
{
    struct config_node *table = root;
    while (config_peek(text) >= 0) {
        enum rr_err err = RR_OK;
        config_skip_blanks(text);
        int c = config_peek(text);
        if (c == '[') {
            err = header_line(root, &table, text);
        } else if (c >= 0 && c != '#' && c != '\n' && c != '\r') {
            err = key_line(table, text);
        }
        if (err == RR_OK) {
            err = config_skip_comment(text);
        }
        if (err == RR_OK) {
            err = config_end_line(text);
        }
        if (err != RR_OK) {
            return err;
        }
    }
    return RR_OK;
}

enum rr_err rr_config_parse(struct rr_config **out, struct rr_slice bytes, const char *name,
                            struct rr_fault *fault)
{
    struct rr_fault own; /* the place is always written, also when nobody asks */
    struct config_text text = {.name = name,
                               .at = bytes.ptr,
                               .end = bytes.len == 0 ? bytes.ptr : bytes.ptr + bytes.len,
                               .line = 1,
                               .column = 1,
                               .fault = fault != NULL ? fault : &own};
    if (bytes.len > CONFIG_TEXT_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "%s has %zu bytes, at most %d are allowed", name,
                       bytes.len, CONFIG_TEXT_MAX);
    }
    if (bytes.len >= 3 && memcmp(bytes.ptr, "\xef\xbb\xbf", 3) == 0) {
        text.at += 3;
    }
    enum rr_err err = check_utf8(text);
    if (err != RR_OK) {
        return err;
    }
    struct rr_config *config = rr_alloc(sizeof *config);
    config->name = rr_strdup(name);
    config->root.type = CONFIG_TABLE;
    config->root.origin = CONFIG_HEADER;
    err = parse_lines(&config->root, &text);
    if (err != RR_OK) {
        rr_config_free(config);
        return err;
    }
    *out = config;
    return RR_OK;
}
