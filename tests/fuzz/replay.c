/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs a fuzz target over the files of the folders (and files) that are its arguments, without
 * libFuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Exactly the bytes of the file on the heap, so that a sanitizer sees a read beyond them. */
static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    uint8_t *data = size < 0 ? NULL : malloc(size == 0 ? 1 : (size_t)size);
    int rc = -1;
    rewind(file);
    if (data != NULL && fread(data, 1, (size_t)size, file) == (size_t)size) {
        (void)LLVMFuzzerTestOneInput(data, (size_t)size);
        rc = 0;
    } else {
        perror(path);
    }
    free(data);
    fclose(file);
    return rc;
}

static int replay_path(const char *path, unsigned long *count);

static int replay_folder(const char *path, unsigned long *count)
{
    struct dirent **entries;
    int entry_count = scandir(path, &entries, NULL, alphasort);
    int rc = entry_count < 0 ? -1 : 0;
    for (int i = 0; i < entry_count; i++) {
        char inner[4096];
        int len = snprintf(inner, sizeof inner, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' &&
            (len >= (int)sizeof inner || replay_path(inner, count))) {
            rc = -1;
        }
        free(entries[i]);
    }
    if (entry_count >= 0) {
        free(entries);
    }
    return rc;
}

static int replay_path(const char *path, unsigned long *count)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        perror(path);
        return -1;
    }
    if (S_ISDIR(info.st_mode)) {
        return replay_folder(path, count);
    }
    *count += 1;
    return replay_file(path);
}

int main(int argc, char **argv)
{
    unsigned long count = 0;
    int rc = 0;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-' && replay_path(argv[i], &count) != 0) {
            rc = 1;
        }
    }
    (void)printf("%lu inputs replayed\n", count);
    if (count == 0) {
        (void)fputs("nothing was replayed: name a corpus\n", stderr);
        rc = 1;
    }
    return rc;
}
