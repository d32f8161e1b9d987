/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli_transcode.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WORDS_MAX  256
#define NOTE_BYTES (64 << 10)

void cli_words_keep(struct rr_buf *out, int argc, char **argv)
{
    char folder[RR_PATH_BYTES];
    json_t *words = json_array();
    for (int i = 0; i < argc; i++) {
        json_array_append_new(words, cli_json_text(argv[i]));
    }
    json_t *note = json_pack("{s:o, s:o}", "folder",
                             cli_json_text(getcwd(folder, sizeof folder) != NULL ? folder : "/"),
                             "words", words);
    size_t bytes = json_dumpb(note, NULL, 0, JSON_COMPACT);
    rr_buf_reserve(out, bytes + 1);
    RR_CHECK(bytes > 0 &&
             json_dumpb(note, (char *)out->ptr + out->len, bytes, JSON_COMPACT) == bytes);
    out->len += bytes;
    rr_write_u8(out, 0);
    json_decref(note);
}

enum rr_err cli_words_read(char ***argv, int *argc, const char *folder, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    struct rr_buf text = {0};
    json_t *note = NULL;
    enum rr_err err = rr_path(path, fault, "%s/.job/note", folder);
    if (err == RR_OK && access(path, F_OK) != 0) { /* of a job that makes one file */
        err = rr_path(path, fault, "%s.job/note", folder);
    }
    if (err == RR_OK && rr_file_read(&text, path, NOTE_BYTES, fault) != RR_OK) {
        err = rr_fail(fault, RR_ERR_NOTFOUND,
                      "%.200s holds no job to go on with; name a source to begin one", folder);
    }
    note = err == RR_OK ? json_loadb((const char *)text.ptr,
                                     strnlen((const char *)text.ptr, text.len), 0, NULL)
                        : NULL;
    const json_t *words = json_object_get(note, "words");
    size_t count = json_array_size(words);
    const char *at = cli_text(note, "folder");
    if (err == RR_OK && (count < 2 || count > WORDS_MAX || at[0] != '/')) {
        err = rr_fail(fault, RR_ERR_FORMAT, "%.200s is not the note of a job; give its words again",
                      path);
    } else if (err == RR_OK && chdir(at) != 0) {
        err = rr_fail_errno(fault, "the job began in %.200s", at);
    }
    if (err == RR_OK) {
        char **made = rr_alloc_array(count + 1, sizeof *made);
        for (size_t i = 0; i < count; i++) {
            const char *word = json_string_value(json_array_get(words, i));
            made[i] = rr_strdup(word != NULL ? word : "");
        }
        *argv = made;
        *argc = (int)count;
    }
    json_decref(note);
    rr_buf_clear(&text);
    return err;
}

void cli_words_free(char **argv)
{
    for (size_t i = 0; argv != NULL && argv[i] != NULL; i++) {
        rr_free(argv[i]);
    }
    rr_free(argv);
}
