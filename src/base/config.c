/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading what config_parse.c made. */
#include "base/config.h"

#include "base/config_tree.h"

#include <inttypes.h>
#include <string.h>

void rr_config_free(struct rr_config *config)
{
    if (config != NULL) {
        config_clear_node(&config->root);
        rr_free(config->name);
        rr_free(config);
    }
}

static const char *type_text(enum config_type type)
{
    switch (type) {
    case CONFIG_TABLE:
        return "a table";
    case CONFIG_ARRAY:
        return "an array";
    case CONFIG_STRING:
        return "a string";
    case CONFIG_INTEGER:
        return "an integer";
    case CONFIG_FLOAT:
        return "a number with a fraction";
    case CONFIG_BOOLEAN:
        return "true or false";
    }
    return "?";
}

static enum rr_err fail_type(const struct rr_config *config, const struct config_node *node,
                             const char *path, const char *wanted, struct rr_fault *fault)
{
    return rr_fail(fault, RR_ERR_FORMAT, "%s:%u:%u: \"%s\" is %s, expected %s", config->name,
                   (unsigned)node->line, (unsigned)node->column, path, type_text(node->type),
                   wanted);
}

/* A decimal index below count, without leading zeros. */
static bool parse_index(size_t *out, const char *text, size_t len, size_t count)
{
    size_t index = 0;
    if (len == 0 || (len > 1 && text[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || index >= count) {
            return false;
        }
        index = index * 10 + (size_t)(text[i] - '0');
    }
    *out = index;
    return index < count;
}

static bool is_index(const char *text, size_t len)
{
    return len > 0 && strspn(text, "0123456789") >= len;
}

/* The node at path, NULL when absent. `blocked` receives the node on the way that has no parts of
 * the wanted kind, else NULL. What is on the way becomes known. */
static struct config_node *find_path(const struct rr_config *config, const char *path,
                                     const struct config_node **blocked)
{
    const struct config_node *at = &config->root;
    struct config_node *found = NULL;
    *blocked = NULL;
    while (*path != '\0') {
        size_t len = strcspn(path, ".");
        size_t index;
        if (at->type == CONFIG_TABLE) {
            found = config_find(at, path, len);
        } else if (at->type == CONFIG_ARRAY && is_index(path, len)) {
            found =
                parse_index(&index, path, len, at->as.list.count) ? at->as.list.items[index] : NULL;
        } else {
            *blocked = at;
            return NULL;
        }
        if (found == NULL) {
            return NULL;
        }
        atomic_store_explicit(&found->known, true, memory_order_relaxed);
        at = found;
        path += len;
        path += *path == '.';
    }
    return found;
}

/* *out NULL and RR_OK when absent. */
static enum rr_err find_value(struct config_node **out, const struct rr_config *config,
                              const char *path, struct rr_fault *fault)
{
    const struct config_node *blocked;
    struct config_node *node = find_path(config, path, &blocked);
    if (blocked != NULL) {
        return fail_type(config, blocked, path,
                         blocked->type == CONFIG_ARRAY ? "one [table]" : "a table on its way",
                         fault);
    }
    *out = node;
    return RR_OK;
}

unsigned rr_config_line(const struct rr_config *config, const char *path)
{
    const struct config_node *blocked;
    const struct config_node *node = find_path(config, path, &blocked);
    return node != NULL ? (unsigned)node->line : 0;
}

enum rr_err rr_config_u64(const struct rr_config *config, const char *path, uint64_t *out,
                          uint64_t min, uint64_t max, struct rr_fault *fault)
{
    struct config_node *node = NULL;
    enum rr_err err = find_value(&node, config, path, fault);
    if (err != RR_OK || node == NULL) {
        return err;
    }
    if (node->type != CONFIG_INTEGER) {
        return fail_type(config, node, path, "an integer", fault);
    }
    uint64_t value = node->as.integer.magnitude;
    if (node->as.integer.negative || value < min || value > max) {
        return rr_fail(fault, RR_ERR_FORMAT,
                       "%s:%u:%u: \"%s\" is %s%" PRIu64 ", expected %" PRIu64 " to %" PRIu64,
                       config->name, (unsigned)node->line, (unsigned)node->column, path,
                       node->as.integer.negative ? "-" : "", value, min, max);
    }
    *out = value;
    return RR_OK;
}

enum rr_err rr_config_bool(const struct rr_config *config, const char *path, bool *out,
                           struct rr_fault *fault)
{
    struct config_node *node = NULL;
    enum rr_err err = find_value(&node, config, path, fault);
    if (err != RR_OK || node == NULL) {
        return err;
    }
    if (node->type != CONFIG_BOOLEAN) {
        return fail_type(config, node, path, "true or false", fault);
    }
    *out = node->as.boolean;
    return RR_OK;
}

enum rr_err rr_config_double(const struct rr_config *config, const char *path, double *out,
                             struct rr_fault *fault)
{
    struct config_node *node = NULL;
    enum rr_err err = find_value(&node, config, path, fault);
    if (err != RR_OK || node == NULL) {
        return err;
    }
    if (node->type == CONFIG_FLOAT) {
        *out = node->as.number;
    } else if (node->type == CONFIG_INTEGER) {
        double magnitude = (double)node->as.integer.magnitude;
        *out = node->as.integer.negative ? -magnitude : magnitude;
    } else {
        return fail_type(config, node, path, "a number", fault);
    }
    return RR_OK;
}

enum rr_err rr_config_string(const struct rr_config *config, const char *path, const char **out,
                             struct rr_fault *fault)
{
    struct config_node *node = NULL;
    enum rr_err err = find_value(&node, config, path, fault);
    if (err != RR_OK || node == NULL) {
        return err;
    }
    if (node->type != CONFIG_STRING) {
        return fail_type(config, node, path, "a string in quotes", fault);
    }
    *out = node->as.string;
    return RR_OK;
}

size_t rr_config_count(const struct rr_config *config, const char *path)
{
    const struct config_node *blocked;
    struct config_node *node = find_path(config, path, &blocked);
    if (node == NULL || node->type != CONFIG_ARRAY) {
        if (node != NULL) { /* there, but no array: stays unknown, so that it is told */
            atomic_store_explicit(&node->known, false, memory_order_relaxed);
        }
        return 0;
    }
    return node->as.list.count;
}

/* ---- unknown keys ------------------------------------------------------------------------ */

/* The unknown key that stands first in the text among those below list, or best. */
static const struct config_node *first_unknown(const struct config_node *list,
                                               const struct config_node *best)
{
    for (size_t i = 0; i < list->as.list.count; i++) {
        const struct config_node *item = list->as.list.items[i];
        bool earlier = best == NULL || item->line < best->line ||
                       (item->line == best->line && item->column < best->column);
        if (item->key != NULL && !atomic_load_explicit(&item->known, memory_order_relaxed)) {
            best = earlier ? item : best;
        } else if (item->type == CONFIG_TABLE || item->type == CONFIG_ARRAY) {
            best = first_unknown(item, best);
        }
    }
    return best;
}

enum rr_err rr_config_check_unknown(const struct rr_config *config, struct rr_fault *fault)
{
    const struct config_node *node = first_unknown(&config->root, NULL);
    if (node == NULL) {
        return RR_OK;
    }
    return rr_fail(
        fault, RR_ERR_FORMAT,
        "%s:%u:%u: \"%.64s\" is no key that is known here, or not in this form (a [table], a "
        "[[table]] or a value); correct or remove it",
        config->name, (unsigned)node->line, (unsigned)node->column, node->key);
}
