/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The door of db, floor 1: the only includer of lmdb.h. Ordered key-value tables in one
 * environment, full sync at every commit; the map grows by steps by itself (MDB_MAP_FULL never
 * reaches a caller). */
#ifndef RR_DB_H
#define RR_DB_H
#include "base/base.h"

struct rr_db;     /* an environment: a folder with data.mdb */
struct rr_db_txn; /* one read or write transaction */
#define RR_DB_TABLES_MAX 32
#define RR_DB_KEY_MAX    511

/* Opens or makes the folder with the named tables (count <= RR_DB_TABLES_MAX); table i is id i
 * below. Another process that holds it: RR_ERR_BUSY. *out owned by the caller. Blocks. */
enum rr_err rr_db_open(struct rr_db **out, const char *folder, const char *const *tables,
                       uint32_t count, struct rr_fault *fault) RR_MUST_USE;
void rr_db_close(struct rr_db *db); /* NULL is fine; no transaction may be open */

/* One writer at a time (waits), any number of readers; a transaction belongs to the thread that
 * began it. */
enum rr_err rr_db_begin(struct rr_db *db, bool write, struct rr_db_txn **out,
                        struct rr_fault *fault) RR_MUST_USE;
/* Durable on return. On failure nothing of it is kept. Ends the transaction either way. When the
 * map is full the transaction fails with RR_ERR_LIMIT after the map has grown: the caller runs it
 * again; see rr_db_write, which does that. */
enum rr_err rr_db_commit(struct rr_db_txn *txn, struct rr_fault *fault) RR_MUST_USE;
void rr_db_abort(struct rr_db_txn *txn);
/* Runs body in a write transaction and commits, again when the map had to grow; body returning not
 * RR_OK aborts. body must be repeatable. The usual way to write. */
enum rr_err rr_db_write(struct rr_db *db,
                        enum rr_err (*body)(struct rr_db_txn *txn, void *ctx,
                                            struct rr_fault *fault),
                        void *ctx, struct rr_fault *fault) RR_MUST_USE;

/* *value borrowed until the transaction ends or writes. Absent: RR_ERR_NOTFOUND (fault not filled).
 */
enum rr_err rr_db_get(struct rr_db_txn *txn, uint32_t table, struct rr_slice key,
                      struct rr_slice *value, struct rr_fault *fault) RR_MUST_USE;
enum rr_err rr_db_put(struct rr_db_txn *txn, uint32_t table, struct rr_slice key,
                      struct rr_slice value, struct rr_fault *fault) RR_MUST_USE;
/* Absent is RR_OK. */
enum rr_err rr_db_delete(struct rr_db_txn *txn, uint32_t table, struct rr_slice key,
                         struct rr_fault *fault) RR_MUST_USE;
/* Visits keys >= from (from.len 0: all) in byte order until visit returns false. Do not write
 * inside. */
enum rr_err rr_db_scan(struct rr_db_txn *txn, uint32_t table, struct rr_slice from,
                       bool (*visit)(void *ctx, struct rr_slice key, struct rr_slice value),
                       void *ctx, struct rr_fault *fault) RR_MUST_USE;
/* Last key of a table (greatest in byte order); empty: RR_ERR_NOTFOUND. */
enum rr_err rr_db_last(struct rr_db_txn *txn, uint32_t table, struct rr_slice *key,
                       struct rr_slice *value, struct rr_fault *fault) RR_MUST_USE;
#endif
