#include "CTOML.h"

#include <algorithm>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include <toml++/toml.h>

struct everyhop_toml {
    toml::table root;
    std::vector<everyhop_toml_node> nodes;
    std::string error;
    uint32_t error_line = 0;
    uint32_t error_column = 0;
};

namespace {

struct Walker {
    std::vector<everyhop_toml_node> &nodes;

    void place(const toml::node &node, const toml::key *key) {
        everyhop_toml_node entry{};
        entry.line = node.source().begin.line;
        entry.column = node.source().begin.column;
        if (key) {
            entry.key = key->str().data();
            entry.key_length = key->str().size();
            entry.key_line = key->source().begin.line;
            entry.key_column = key->source().begin.column;
        }
        const size_t index = nodes.size();
        nodes.push_back(entry);
        fill(node, index);
    }

    void fill(const toml::node &node, size_t index) {
        switch (node.type()) {
            case toml::node_type::table: {
                nodes[index].kind = EVERYHOP_TOML_TABLE;
                // toml++ keeps tables in key order; the file's order is what a reader expects.
                std::vector<std::pair<const toml::key *, const toml::node *>> entries;
                for (auto &&[key, value] : *node.as_table()) entries.emplace_back(&key, &value);
                std::sort(entries.begin(), entries.end(), [](auto &left, auto &right) {
                    return left.first->source().begin < right.first->source().begin;
                });
                nodes[index].children = static_cast<uint32_t>(entries.size());
                for (auto &entry : entries) place(*entry.second, entry.first);
                break;
            }
            case toml::node_type::array: {
                nodes[index].kind = EVERYHOP_TOML_ARRAY;
                const auto &array = *node.as_array();
                nodes[index].children = static_cast<uint32_t>(array.size());
                for (auto &&element : array) place(element, nullptr);
                break;
            }
            case toml::node_type::string: {
                nodes[index].kind = EVERYHOP_TOML_STRING;
                const std::string &text = node.as_string()->get();
                nodes[index].text = text.data();
                nodes[index].text_length = text.size();
                break;
            }
            case toml::node_type::integer:
                nodes[index].kind = EVERYHOP_TOML_INTEGER;
                nodes[index].integer = node.as_integer()->get();
                break;
            case toml::node_type::floating_point: nodes[index].kind = EVERYHOP_TOML_FLOAT; break;
            case toml::node_type::boolean:
                nodes[index].kind = EVERYHOP_TOML_BOOLEAN;
                nodes[index].integer = node.as_boolean()->get() ? 1 : 0;
                break;
            case toml::node_type::date: {
                nodes[index].kind = EVERYHOP_TOML_DATE;
                const toml::date &day = node.as_date()->get();
                nodes[index].integer = day.year * 10000 + day.month * 100 + day.day;
                break;
            }
            default: nodes[index].kind = EVERYHOP_TOML_TIME; break;
        }
    }
};

}  // namespace

extern "C" {

everyhop_toml *everyhop_toml_parse(const char *bytes, size_t length) {
    auto *document = new (std::nothrow) everyhop_toml;
    if (!document) return nullptr;
    toml::parse_result result = toml::parse(std::string_view(bytes, length));
    if (!result) {
        document->error = std::string(result.error().description());
        if (document->error.empty()) document->error = "not valid TOML";
        document->error_line = result.error().source().begin.line;
        document->error_column = result.error().source().begin.column;
        return document;
    }
    document->root = std::move(result).table();
    Walker{document->nodes}.place(document->root, nullptr);
    return document;
}

void everyhop_toml_free(everyhop_toml *document) { delete document; }

size_t everyhop_toml_count(const everyhop_toml *document) { return document->nodes.size(); }

const everyhop_toml_node *everyhop_toml_node_at(const everyhop_toml *document, size_t index) {
    return index < document->nodes.size() ? &document->nodes[index] : nullptr;
}

const char *everyhop_toml_error(const everyhop_toml *document) {
    return document->error.empty() ? nullptr : document->error.c_str();
}

uint32_t everyhop_toml_error_line(const everyhop_toml *document) { return document->error_line; }

uint32_t everyhop_toml_error_column(const everyhop_toml *document) { return document->error_column; }
}
