/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Part of the door of hash: the winners of races between variants, in a text file. hash.h includes
 * it. */
#ifndef RR_HASH_TUNING_H
#define RR_HASH_TUNING_H
#include "base/base.h"

/* File: the line "reelrig-tuning 1", then "key TAB text" a line; '#' starts a comment. Lines that
 * are anything else are left out with a warning; they go at the next save. */
struct rr_hash_tuning_file;
#define RR_HASH_TUNING_TEXT 96  /* bytes of a text with its NUL */
#define RR_HASH_TUNING_KEY  256 /* bytes of a key with its NUL */
#define RR_HASH_TUNING_MAX  512 /* entries; beyond, the oldest goes */

/* Opens the file; absent, or of another version, is empty (the latter warned of). path copied; *out
 * owned (rr_hash_tuning_close). Blocks. Never fails: without it a device is only raced once more.
 */
void rr_hash_tuning_open(struct rr_hash_tuning_file **out, const char *path);
void rr_hash_tuning_close(struct rr_hash_tuning_file *file); /* NULL is fine */
/* As rr_hash_tuning_store wants them, ctx a struct rr_hash_tuning_file. Any thread. A save takes
 * what others wrote into the file meanwhile, and replaces it whole (durable); when that fails it
 * warns, and what it was given holds as long as the process. Texts with control characters are
 * refused with a warning. */
bool rr_hash_tuning_load(void *ctx, const char *key, char text[static RR_HASH_TUNING_TEXT]);
void rr_hash_tuning_save(void *ctx, const char *key, const char *text);
#endif
