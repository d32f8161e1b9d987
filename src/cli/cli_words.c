/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli_transcode.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WORDS_MAX  256
#define NOTE_BYTES (64 << 10)

/* A text as it is, or, for JSON cannot hold other bytes than UTF-8, {"hex": its bytes}. */
static json_t *keep_word(const char *word)
{
    json_t *json = json_string(word);
    if (json == NULL) {
        size_t len = strlen(word);
        char *hex = rr_alloc(2 * len + 1);
        rr_hex(hex, word, len);
        json = json_pack("{s:s}", "hex", hex);
        rr_free(hex);
    }
    return json;
}

/* *out owned; false: it is no word. */
static bool read_word(char **out, const json_t *kept)
{
    const char *text = json_string_value(kept), *hex = cli_text(kept, "hex");
    size_t len = strlen(hex) / 2;
    if (text != NULL) {
        *out = rr_strdup(text);
        return true;
    }
    char *word = rr_alloc(len + 1);
    if (len == 0 || !rr_unhex((uint8_t *)word, len, hex) || strlen(word) != len) {
        rr_free(word);
        return false;
    }
    *out = word;
    return true;
}

void cli_words_keep(struct rr_buf *out, int argc, char **argv)
{
    char folder[RR_PATH_BYTES];
    json_t *words = json_array();
    for (int i = 0; i < argc; i++) {
        json_array_append_new(words, keep_word(argv[i]));
    }
    json_t *note =
        json_pack("{s:o, s:o}", "folder",
                  keep_word(getcwd(folder, sizeof folder) != NULL ? folder : "/"), "words", words);
    size_t bytes = json_dumpb(note, NULL, 0, JSON_COMPACT);
    rr_buf_reserve(out, bytes + 1);
    RR_CHECK(bytes > 0 &&
             json_dumpb(note, (char *)out->ptr + out->len, bytes, JSON_COMPACT) == bytes);
    out->len += bytes;
    rr_write_u8(out, 0);
    json_decref(note);
}

/* Where the job is now, which may have been moved, and what it makes. */
static enum rr_err find_job(struct cli_words *words, char path[static RR_PATH_BYTES],
                            const char *folder, struct rr_fault *fault)
{
    char here[RR_PATH_BYTES] = "", place[RR_PATH_BYTES];
    if (folder[0] != '/' && getcwd(here, sizeof here) == NULL) {
        return rr_fail_errno(fault, "this folder cannot be found");
    }
    enum rr_err err = rr_path(place, fault, "%s%s%s", here, here[0] != '\0' ? "/" : "", folder);
    err = err != RR_OK ? err : rr_path(path, fault, "%s/.job/note", place);
    words->whole = err == RR_OK && access(path, F_OK) != 0;
    if (words->whole) {
        err = rr_path(path, fault, "%s.job/note", place);
    }
    if (err == RR_OK && access(path, F_OK) != 0) {
        err = rr_fail(fault, RR_ERR_NOTFOUND,
                      "%.200s holds no job to go on with; name a source to begin one", folder);
    }
    if (err == RR_OK) {
        words->place = rr_strdup(place);
    }
    return err;
}

static enum rr_err read_note(struct cli_words *out, const json_t *note, const char *path,
                             struct rr_fault *fault)
{
    const json_t *words = json_object_get(note, "words");
    size_t count = json_array_size(words);
    char *began = NULL;
    bool good = count >= 2 && count <= WORDS_MAX &&
                read_word(&began, json_object_get(note, "folder")) && began[0] == '/';
    out->argv = rr_alloc_array(count + 1, sizeof *out->argv);
    for (size_t i = 0; i < count && good; i++) {
        good = read_word(&out->argv[i], json_array_get(words, i));
    }
    out->argc = (int)count;
    enum rr_err err = RR_OK;
    if (!good) {
        err = rr_fail(fault, RR_ERR_FORMAT, "%.200s is not the note of a job; give its words again",
                      path);
    } else if (chdir(began) != 0) {
        err = rr_fail_errno(fault, "the job began in %.200s", began);
    }
    rr_free(began);
    return err;
}

enum rr_err cli_words_read(struct cli_words *out, const char *folder, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    struct rr_buf text = {0};
    enum rr_err err = find_job(out, path, folder, fault);
    err = err != RR_OK ? err : rr_file_read(&text, path, NOTE_BYTES, fault);
    if (err == RR_OK) {
        json_t *note =
            json_loadb((const char *)text.ptr, strnlen((const char *)text.ptr, text.len), 0, NULL);
        err = read_note(out, note, path, fault);
        json_decref(note);
    }
    rr_buf_clear(&text);
    return err;
}

void cli_words_clear(struct cli_words *words)
{
    for (size_t i = 0; words->argv != NULL && words->argv[i] != NULL; i++) {
        rr_free(words->argv[i]);
    }
    rr_free(words->argv);
    rr_free(words->place);
    *words = (struct cli_words){0};
}
