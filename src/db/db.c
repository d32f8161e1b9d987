/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "db/db.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

/* The address range of the file; the file itself grows only with what is written. */
#define MAP_FIRST_BYTES ((size_t)64 << 20)
/* Half of the address space of a process on x86-64 and arm64. */
#define MAP_MAX_BYTES ((size_t)1 << 46)

enum { READERS_MAX = 512 };

struct rr_db {
    MDB_env *env;
    MDB_dbi tables[RR_DB_TABLES_MAX];
    uint32_t table_count;
    int lock_fd;
    /* LMDB may move its map only while this process has no transaction open: `open` lists them, and
     * `growing` holds newcomers back until they are gone. All below is under `gate`. */
    pthread_mutex_t gate;
    pthread_cond_t changed;
    struct rr_db_txn *open;
    uint32_t growing;
    size_t map_bytes;
};

struct rr_db_txn {
    struct rr_db *db;
    MDB_txn *txn;
    pthread_t owner;
    size_t map_bytes; /* when it began: another may have grown the map since */
    bool write;
    bool full; /* met MDB_MAP_FULL: can only end */
    struct rr_db_txn *next;
};

static enum rr_err code_of(int rc)
{
    switch (rc) {
    case ENOSPC:
    case EDQUOT:
        return RR_ERR_FULL;
    case ENOMEM:
        return RR_ERR_MEMORY;
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_PANIC:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
        return RR_ERR_DAMAGED;
    case MDB_READERS_FULL:
        return RR_ERR_BUSY;
    case MDB_TXN_FULL:
    case MDB_MAP_FULL:
        return RR_ERR_LIMIT;
    default:
        return RR_ERR_IO;
    }
}

static enum rr_err fail_lmdb(struct rr_fault *fault, int rc, const char *what)
{
    return rr_fail(fault, code_of(rc), "the database refused to %s: %s", what, mdb_strerror(rc));
}

/* ---- opening ----------------------------------------------------------------------------- */

static enum rr_err open_tables(struct rr_db *db, const char *const *tables, uint32_t count,
                               struct rr_fault *fault)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(db->env, NULL, 0, &txn);
    if (rc != 0) {
        return fail_lmdb(fault, rc, "begin its first transaction");
    }
    for (uint32_t i = 0; i < count; i++) {
        rc = mdb_dbi_open(txn, tables[i], MDB_CREATE, &db->tables[i]);
        if (rc != 0) {
            mdb_txn_abort(txn);
            return fail_lmdb(fault, rc, "open a table");
        }
    }
    rc = mdb_txn_commit(txn);
    return rc == 0 ? RR_OK : fail_lmdb(fault, rc, "commit its tables");
}

static enum rr_err open_env(struct rr_db *db, const char *folder, struct rr_fault *fault)
{
    MDB_env *env;
    MDB_envinfo info;
    int rc = mdb_env_create(&env);
    if (rc != 0) {
        return fail_lmdb(fault, rc, "start");
    }
    rc = mdb_env_set_maxdbs(env, RR_DB_TABLES_MAX);
    rc = rc == 0 ? mdb_env_set_maxreaders(env, READERS_MAX) : rc;
    rc = rc == 0 ? mdb_env_set_mapsize(env, MAP_FIRST_BYTES) : rc;
    /* NOTLS: a reader is tied to its transaction, so that one thread may hold several. */
    rc = rc == 0 ? mdb_env_open(env, folder, MDB_NOTLS, 0600) : rc;
    rc = rc == 0 ? mdb_env_info(env, &info) : rc;
    if (rc != 0) {
        mdb_env_close(env);
        return rr_fail(fault, code_of(rc),
                       "cannot open the database in %s: %s; see its owner and mode, "
                       "or restore the folder",
                       folder, mdb_strerror(rc));
    }
    db->env = env;
    db->map_bytes = info.me_mapsize;
    return RR_OK;
}

static enum rr_err lock_folder(int *out_fd, const char *folder, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    enum rr_err err = rr_path(path, fault, "%s/owner.lock", folder);
    if (err != RR_OK) {
        return err;
    }
    err = rr_lock_file(out_fd, path, fault);
    if (err == RR_ERR_BUSY) {
        err = rr_fail(fault, RR_ERR_BUSY,
                      "another reelrigd uses the folder %s; stop it or choose another folder",
                      folder);
    }
    return err;
}

enum rr_err rr_db_open(struct rr_db **out, const char *folder, const char *const *tables,
                       uint32_t count, struct rr_fault *fault)
{
    RR_CHECK(count <= RR_DB_TABLES_MAX);
    struct rr_db *db = rr_alloc(sizeof *db);
    db->table_count = count;
    pthread_mutex_init(&db->gate, NULL);
    pthread_cond_init(&db->changed, NULL);
    enum rr_err err = rr_make_folders(folder, fault);
    if (err != RR_OK) {
        goto free_db;
    }
    err = lock_folder(&db->lock_fd, folder, fault);
    if (err != RR_OK) {
        goto free_db;
    }
    err = open_env(db, folder, fault);
    if (err != RR_OK) {
        goto unlock;
    }
    err = open_tables(db, tables, count, fault);
    if (err != RR_OK) {
        goto close_env;
    }
    *out = db;
    return RR_OK;
close_env:
    mdb_env_close(db->env);
unlock:
    close(db->lock_fd);
free_db:
    pthread_cond_destroy(&db->changed);
    pthread_mutex_destroy(&db->gate);
    rr_free(db);
    return err;
}

void rr_db_close(struct rr_db *db)
{
    if (db == NULL) {
        return;
    }
    RR_CHECK(db->open == NULL);
    mdb_env_close(db->env);
    close(db->lock_fd);
    pthread_cond_destroy(&db->changed);
    pthread_mutex_destroy(&db->gate);
    rr_free(db);
}

/* ---- the gate ---------------------------------------------------------------------------- */

static bool owns_open(const struct rr_db *db)
{
    for (const struct rr_db_txn *txn = db->open; txn != NULL; txn = txn->next) {
        if (pthread_equal(txn->owner, pthread_self())) {
            return true;
        }
    }
    return false;
}

/* A thread that has a transaction open passes a waiting grower: the grower waits for that one
 * anyway. */
static void enter(struct rr_db *db, struct rr_db_txn *txn)
{
    pthread_mutex_lock(&db->gate);
    while (db->growing > 0 && !owns_open(db)) {
        pthread_cond_wait(&db->changed, &db->gate);
    }
    txn->next = db->open;
    txn->map_bytes = db->map_bytes;
    db->open = txn;
    pthread_mutex_unlock(&db->gate);
}

static void leave(struct rr_db *db, struct rr_db_txn *txn)
{
    pthread_mutex_lock(&db->gate);
    struct rr_db_txn **link = &db->open;
    while (*link != txn) {
        link = &(*link)->next;
    }
    *link = txn->next;
    pthread_cond_broadcast(&db->changed);
    pthread_mutex_unlock(&db->gate);
}

/* Waits until no transaction is open, then doubles the map, unless another has done so since the
 * caller's transaction began with a map of `seen` bytes. */
static enum rr_err grow(struct rr_db *db, size_t seen, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    pthread_mutex_lock(&db->gate);
    if (owns_open(db)) {
        pthread_mutex_unlock(&db->gate);
        return rr_fail(
            fault, RR_ERR_STATE,
            "the database must grow, but the writing thread still reads from it; end that "
            "transaction first");
    }
    db->growing++;
    while (db->open != NULL) {
        pthread_cond_wait(&db->changed, &db->gate);
    }
    if (db->map_bytes <= seen) {
        size_t bytes = db->map_bytes < MAP_FIRST_BYTES ? MAP_FIRST_BYTES : db->map_bytes * 2;
        int rc = bytes > MAP_MAX_BYTES ? ENOMEM : mdb_env_set_mapsize(db->env, bytes);
        if (rc == 0) {
            db->map_bytes = bytes;
        } else {
            err =
                rr_fail(fault, RR_ERR_MEMORY, "the database cannot grow from %zu to %zu bytes: %s",
                        db->map_bytes, bytes, mdb_strerror(rc));
        }
    }
    db->growing--;
    pthread_cond_broadcast(&db->changed);
    pthread_mutex_unlock(&db->gate);
    return err;
}

/* ---- transactions ------------------------------------------------------------------------ */

enum rr_err rr_db_begin(struct rr_db *db, bool write, struct rr_db_txn **out,
                        struct rr_fault *fault)
{
    struct rr_db_txn *txn = rr_alloc(sizeof *txn);
    txn->db = db;
    txn->owner = pthread_self();
    enter(db, txn);
    int rc = mdb_txn_begin(db->env, NULL, write ? 0 : MDB_RDONLY, &txn->txn);
    if (rc != 0) {
        leave(db, txn);
        rr_free(txn);
        return fail_lmdb(fault, rc, "begin a transaction");
    }
    txn->write = write;
    *out = txn;
    return RR_OK;
}

/* Frees an ended transaction; when it met a full map, grows it. */
static enum rr_err end(struct rr_db_txn *txn, struct rr_fault *fault)
{
    struct rr_db *db = txn->db;
    bool full = txn->full;
    size_t seen = txn->map_bytes;
    leave(db, txn);
    rr_free(txn);
    return full ? grow(db, seen, fault) : RR_OK;
}

/* As rr_db_commit; *again true when the map was full and has grown. */
static enum rr_err commit(struct rr_db_txn *txn, bool *again, struct rr_fault *fault)
{
    int rc = 0;
    *again = false;
    RR_CHECK(!txn->write || pthread_equal(txn->owner, pthread_self()));
    if (txn->full) {
        mdb_txn_abort(txn->txn);
    } else {
        rc = mdb_txn_commit(txn->txn); /* frees it on failure too */
        txn->full = rc == MDB_MAP_FULL;
    }
    bool full = txn->full;
    enum rr_err err = end(txn, fault);
    if (err != RR_OK) {
        return err;
    }
    if (full) {
        *again = true;
        return rr_fail(fault, RR_ERR_LIMIT, "the database was full and has grown; run this again");
    }
    return rc == 0 ? RR_OK : fail_lmdb(fault, rc, "commit");
}

enum rr_err rr_db_commit(struct rr_db_txn *txn, struct rr_fault *fault)
{
    bool again;
    return commit(txn, &again, fault);
}

void rr_db_abort(struct rr_db_txn *txn)
{
    RR_CHECK(!txn->write || pthread_equal(txn->owner, pthread_self()));
    mdb_txn_abort(txn->txn);
    (void)end(txn, NULL); /* a map that could not grow shows at the next write */
}

enum rr_err rr_db_write(struct rr_db *db,
                        enum rr_err (*body)(struct rr_db_txn *txn, void *ctx,
                                            struct rr_fault *fault),
                        void *ctx, struct rr_fault *fault)
{
    for (;;) {
        struct rr_db_txn *txn = NULL;
        bool again;
        enum rr_err err = rr_db_begin(db, true, &txn, fault);
        if (err != RR_OK) {
            return err;
        }
        err = body(txn, ctx, fault);
        if (err != RR_OK && !txn->full) {
            rr_db_abort(txn);
            return err;
        }
        err = commit(txn, &again, fault);
        if (!again) {
            return err;
        }
    }
}

/* ---- records ----------------------------------------------------------------------------- */

static MDB_dbi table_of(const struct rr_db_txn *txn, uint32_t table)
{
    RR_CHECK(table < txn->db->table_count);
    return txn->db->tables[table];
}

/* LMDB takes plain pointers and does not write through them. */
static MDB_val value_of(struct rr_slice bytes)
{
    return (MDB_val){bytes.len, (void *)(uintptr_t)bytes.ptr};
}

static struct rr_slice slice_of(MDB_val value)
{
    return (struct rr_slice){value.mv_data, value.mv_size};
}

static enum rr_err check_key(struct rr_slice key, struct rr_fault *fault)
{
    if (key.len == 0 || key.len > RR_DB_KEY_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "a database key has %zu bytes, 1 to %d are allowed",
                       key.len, RR_DB_KEY_MAX);
    }
    return RR_OK;
}

enum rr_err rr_db_get(struct rr_db_txn *txn, uint32_t table, struct rr_slice key,
                      struct rr_slice *value, struct rr_fault *fault)
{
    enum rr_err err = check_key(key, fault);
    if (err != RR_OK) {
        return err;
    }
    MDB_val k = value_of(key);
    MDB_val v;
    int rc = mdb_get(txn->txn, table_of(txn, table), &k, &v);
    if (rc == MDB_NOTFOUND) {
        return RR_ERR_NOTFOUND;
    }
    if (rc != 0) {
        return fail_lmdb(fault, rc, "read a record");
    }
    *value = slice_of(v);
    return RR_OK;
}

static enum rr_err fail_write(struct rr_db_txn *txn, int rc, const char *what,
                              struct rr_fault *fault)
{
    if (rc == MDB_MAP_FULL) {
        txn->full = true;
        return rr_fail(fault, RR_ERR_LIMIT,
                       "the database is full and grows when this transaction ends; run it again");
    }
    return fail_lmdb(fault, rc, what);
}

enum rr_err rr_db_put(struct rr_db_txn *txn, uint32_t table, struct rr_slice key,
                      struct rr_slice value, struct rr_fault *fault)
{
    RR_CHECK(txn->write);
    enum rr_err err = check_key(key, fault);
    if (err != RR_OK) {
        return err;
    }
    if (txn->full) {
        return fail_write(txn, MDB_MAP_FULL, "write a record", fault);
    }
    if (value.len > UINT32_MAX) { /* LMDB keeps sizes in 32 bits */
        return rr_fail(fault, RR_ERR_LIMIT,
                       "a database value has %zu bytes, at most %u are allowed", value.len,
                       UINT32_MAX);
    }
    MDB_val k = value_of(key);
    MDB_val v = value_of(value);
    int rc = mdb_put(txn->txn, table_of(txn, table), &k, &v, 0);
    return rc == 0 ? RR_OK : fail_write(txn, rc, "write a record", fault);
}

enum rr_err rr_db_delete(struct rr_db_txn *txn, uint32_t table, struct rr_slice key,
                         struct rr_fault *fault)
{
    RR_CHECK(txn->write);
    enum rr_err err = check_key(key, fault);
    if (err != RR_OK) {
        return err;
    }
    if (txn->full) {
        return fail_write(txn, MDB_MAP_FULL, "delete a record", fault);
    }
    MDB_val k = value_of(key);
    int rc = mdb_del(txn->txn, table_of(txn, table), &k, NULL);
    return rc == 0 || rc == MDB_NOTFOUND ? RR_OK : fail_write(txn, rc, "delete a record", fault);
}

enum rr_err rr_db_scan(struct rr_db_txn *txn, uint32_t table, struct rr_slice from,
                       bool (*visit)(void *ctx, struct rr_slice key, struct rr_slice value),
                       void *ctx, struct rr_fault *fault)
{
    MDB_cursor *cursor;
    if (from.len > 0) {
        enum rr_err err = check_key(from, fault);
        if (err != RR_OK) {
            return err;
        }
    }
    int rc = mdb_cursor_open(txn->txn, table_of(txn, table), &cursor);
    if (rc != 0) {
        return fail_lmdb(fault, rc, "scan a table");
    }
    MDB_val k = value_of(from);
    MDB_val v;
    rc = mdb_cursor_get(cursor, &k, &v, from.len > 0 ? MDB_SET_RANGE : MDB_FIRST);
    while (rc == 0 && visit(ctx, slice_of(k), slice_of(v))) {
        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return rc == 0 || rc == MDB_NOTFOUND ? RR_OK : fail_lmdb(fault, rc, "scan a table");
}

enum rr_err rr_db_last(struct rr_db_txn *txn, uint32_t table, struct rr_slice *key,
                       struct rr_slice *value, struct rr_fault *fault)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn->txn, table_of(txn, table), &cursor);
    if (rc != 0) {
        return fail_lmdb(fault, rc, "read the last record");
    }
    MDB_val k;
    MDB_val v;
    rc = mdb_cursor_get(cursor, &k, &v, MDB_LAST);
    mdb_cursor_close(cursor);
    if (rc == MDB_NOTFOUND) {
        return RR_ERR_NOTFOUND;
    }
    if (rc != 0) {
        return fail_lmdb(fault, rc, "read the last record");
    }
    *key = slice_of(k);
    *value = slice_of(v);
    return RR_OK;
}
