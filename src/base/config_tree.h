/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to base: the tree that config_parse.c makes and config.c reads. */
#ifndef RR_BASE_CONFIG_TREE_H
#define RR_BASE_CONFIG_TREE_H
#include "base/config.h"

#include <stdatomic.h>

enum {
    CONFIG_TEXT_MAX = 1 << 20,
    CONFIG_DEPTH_MAX = 8,
    CONFIG_KEYS_MAX = 4096,
    CONFIG_ELEMENTS_MAX = 65536, /* of all arrays together */
    CONFIG_NUMBER_MAX = 64,      /* characters of a number */
};

enum config_type {
    CONFIG_TABLE,
    CONFIG_ARRAY,
    CONFIG_STRING,
    CONFIG_INTEGER,
    CONFIG_FLOAT,
    CONFIG_BOOLEAN,
};

/* How a table or array came to be decides what may still be added to it. */
enum config_origin {
    CONFIG_VALUE,    /* key = value, or an element of such an array: closed */
    CONFIG_IMPLICIT, /* on the way of a [header]: a later header may open it once */
    CONFIG_HEADER,   /* its own [header] or [[header]] */
    CONFIG_DOTTED,   /* on the way of a dotted key */
};

struct config_node {
    char *key; /* NULL for an element of an array and for the root */
    enum config_type type;
    enum config_origin origin;
    uint32_t line;
    uint32_t column;
    uint32_t depth;
    _Atomic bool known;
    union {
        char *string;
        double number;
        bool boolean;
        struct {
            uint64_t magnitude;
            bool negative;
        } integer;
        struct {
            struct config_node **items;
            size_t count;
            size_t cap;
        } list; /* of a table or an array, in the order of the text */
    } as;
};

struct rr_config {
    char *name;
    struct config_node root;
};

/* Reads text from *at, which moves; both count lines and columns from 1, columns in characters. */
struct config_text {
    const char *name;
    const uint8_t *at;
    const uint8_t *end;
    uint32_t line;
    uint32_t column;
    uint32_t keys;
    uint32_t elements;
    struct rr_fault *fault;
};

/* RR_ERR_FORMAT at the place of the text (or of the node): "name:line:column: sentence". */
#define config_fail(text, ...) config_fail_at((text), (text)->line, (text)->column, __VA_ARGS__)
enum rr_err config_fail_at(struct config_text *text, uint32_t line, uint32_t column,
                           const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The next byte, -1 at the end. */
int config_peek(const struct config_text *text);
void config_skip(struct config_text *text);
/* Spaces and tabs. */
void config_skip_blanks(struct config_text *text);
/* Blanks and an optional comment; checks the comment's characters. */
enum rr_err config_skip_comment(struct config_text *text) RR_MUST_USE;
/* The end of a line, or of the text; anything else is an error. */
enum rr_err config_end_line(struct config_text *text) RR_MUST_USE;
/* A quoted string, owned by the caller; `text` stands at the quote. */
enum rr_err config_quoted(char **out, struct config_text *text) RR_MUST_USE;
/* Any value into node, whose place and depth are set. On failure node is still one to clear. */
enum rr_err config_value(struct config_node *node, struct config_text *text) RR_MUST_USE;
/* A new last item of a table or array, with limits checked; NULL with the fault filled otherwise.
 * key is taken in either case. */
struct config_node *config_add(struct config_node *list, char *key, struct config_text *text);
struct config_node *config_find(const struct config_node *table, const char *key, size_t len);
void config_clear_node(struct config_node *node);

#endif
