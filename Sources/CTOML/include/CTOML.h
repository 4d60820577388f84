// toml++ behind a C face: a document as a flat list of nodes, each with its position.
#ifndef EVERYHOP_CTOML_H
#define EVERYHOP_CTOML_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

enum everyhop_toml_kind {
    EVERYHOP_TOML_TABLE = 0,
    EVERYHOP_TOML_ARRAY,
    EVERYHOP_TOML_STRING,
    EVERYHOP_TOML_INTEGER,
    EVERYHOP_TOML_FLOAT,
    EVERYHOP_TOML_BOOLEAN,
    EVERYHOP_TOML_TIME,
    /// A day without a time; `integer` is 20261125 for 2026-11-25.
    EVERYHOP_TOML_DATE,
};

/// One node; a table or array is followed by its `children` children, depth first.
struct everyhop_toml_node {
    int kind;
    uint32_t line;
    uint32_t column;
    uint32_t key_line;
    uint32_t key_column;
    uint32_t children;
    int64_t integer;
    /// The key inside a table, or NULL.
    const char *key;
    size_t key_length;
    /// The text of a string, or NULL.
    const char *text;
    size_t text_length;
};

/// A parsed document, or why it is none.
struct everyhop_toml;

/// Parses `length` bytes. Never returns NULL but for want of memory; the caller frees the result.
struct everyhop_toml *everyhop_toml_parse(const char *bytes, size_t length);
void everyhop_toml_free(struct everyhop_toml *document);

/// The nodes, the root table first; 0 when the document is not valid.
size_t everyhop_toml_count(const struct everyhop_toml *document);
const struct everyhop_toml_node *everyhop_toml_node_at(const struct everyhop_toml *document, size_t index);

/// Why the document is not valid, or NULL; and where.
const char *everyhop_toml_error(const struct everyhop_toml *document);
uint32_t everyhop_toml_error_line(const struct everyhop_toml *document);
uint32_t everyhop_toml_error_column(const struct everyhop_toml *document);

#ifdef __cplusplus
}
#endif
#endif
